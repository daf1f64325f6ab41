"""What the vault keeps, for whom, and what it is called; declared here and nowhere else.

Source:
    Data that may never be kept (CVV, PIN) and what may be shown of a card number (at most
    its first six and last four digits): PCI DSS 4.0.1, requirements 3.3.1 and 3.4.1. Length
    and check digit of a card number: ISO/IEC 7812-1, annex B.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from scudo.vault.errors import (
    CardNumberInvalid,
    FieldUndeclared,
    FieldValueUnfit,
    VaultForbidden,
)

VALUE_CHARACTERS_MAX: Final = 2_000
BIN_DIGITS: Final = 6
LAST_DIGITS: Final = 4
_PAN_DIGITS: Final = range(13, 20)
_MONTHS: Final = range(1, 13)


@dataclass(frozen=True, slots=True)
class Clock:
    """What time it is, in microseconds: since 1970, and of a clock that only goes forward."""

    wall_us: Callable[[], int]
    monotonic_us: Callable[[], int]


class DataClass(StrEnum):
    """How closely data is guarded; a purpose names the classes that it may read."""

    PERSONAL = "personal"
    CARDHOLDER = "cardholder"
    SECRET = "secret"  # noqa: S105 - a class of data


def _folded(value: str) -> str:
    return unicodedata.normalize("NFKC", value).strip().casefold()


def _digits(value: str) -> str:
    return "".join(filter(str.isdigit, unicodedata.normalize("NFKC", value)))


def _compact(value: str) -> str:
    return "".join(filter(str.isalnum, _folded(value)))


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that may be kept of a person.

    Attributes:
        data_class: who may read it.
        searched_as: how a value is written before it is hashed for `FindPerson`; none if a
            person is never looked up by it.
        token: kind of the keyed token by which events and features know it; none if they
            never do.
    """

    data_class: DataClass
    searched_as: Callable[[str], str] | None = None
    token: str | None = None


#: `YYYY-MM-DD`; rules know of it how old somebody is, in bands.
BIRTH_DATE: Final = "birth_date"

FIELDS: Final[dict[str, Field]] = {
    "given_name": Field(DataClass.PERSONAL),
    "family_name": Field(DataClass.PERSONAL),
    BIRTH_DATE: Field(DataClass.PERSONAL),
    "birth_place": Field(DataClass.PERSONAL),
    "nationality": Field(DataClass.PERSONAL),
    "address": Field(DataClass.PERSONAL),
    "email": Field(DataClass.PERSONAL, searched_as=_folded, token="email"),  # noqa: S106 - a kind
    "phone": Field(DataClass.PERSONAL, searched_as=_digits, token="phone"),  # noqa: S106 - a kind
    "alias": Field(DataClass.PERSONAL, searched_as=_folded, token="alias"),  # noqa: S106 - a kind
    "document_number": Field(
        DataClass.PERSONAL,
        searched_as=_compact,
        token="document",  # noqa: S106 - a kind
    ),
    "tax_number": Field(DataClass.PERSONAL, searched_as=_compact),
    "totp_seed": Field(DataClass.SECRET),
    "password_hash": Field(DataClass.SECRET),
}

#: What may stand in events and feature keys as a keyed token.
TOKEN_KINDS: Final = frozenset(
    {"card", "merchant", "device", "ip", "alias", "email", "phone", "document", "code"}
)

#: Hashed for look-up beside the fields of persons.
CARD_NUMBER: Final = "card_number"

#: As reads of it are recorded: what somebody wrote to whom they paid.
PAYMENT_TEXT: Final = "payment_text"


@dataclass(frozen=True, slots=True)
class Purpose:
    """What personal data may be read for.

    Attributes:
        classes: that may be read.
        reads_per_second: of values, before it is refused.
    """

    classes: frozenset[DataClass]
    reads_per_second: int


_PERSONAL: Final = frozenset({DataClass.PERSONAL})
_WITH_CARDS: Final = frozenset({DataClass.PERSONAL, DataClass.CARDHOLDER})

PURPOSES: Final[dict[str, Purpose]] = {
    "customer_care": Purpose(_WITH_CARDS, 50),
    "investigation": Purpose(_WITH_CARDS, 100),
    "screening": Purpose(_PERSONAL, 5_000),
    "payment_message": Purpose(_PERSONAL, 5_000),
    # Who has written it sees it.
    PAYMENT_TEXT: Purpose(_PERSONAL, 500),
    "notification": Purpose(_PERSONAL, 2_000),
    "statement": Purpose(_PERSONAL, 500),
    "privacy_request": Purpose(_WITH_CARDS, 20),
    "authentication": Purpose(frozenset({DataClass.SECRET}), 1_000),
    # The one purpose that is given a full card number.
    "network": Purpose(frozenset({DataClass.CARDHOLDER}), 500),
}
NETWORK: Final = "network"


def demand_purpose(name: str, data_class: DataClass) -> Purpose:
    """The purpose of this name, if it may read this class of data.

    Raises:
        FieldUndeclared: there is no such purpose.
        VaultForbidden: it may not.
    """
    purpose = PURPOSES.get(name)
    if purpose is None:
        message = "this purpose is not declared"
        raise FieldUndeclared(message, field="purpose")
    if data_class not in purpose.classes:
        message = f"{name} is no purpose to read {data_class} data for"
        raise VaultForbidden(message, field="purpose")
    return purpose


def demand_field(name: str) -> Field:
    """The declared field of this name.

    Raises:
        FieldUndeclared: there is none; the name is not repeated, it may be data.
    """
    field = FIELDS.get(name)
    if field is None:
        message = "this field is not declared"
        raise FieldUndeclared(message, field="fields")
    return field


def demand_kind(kind: str) -> None:
    """See that tokens of this kind are declared.

    Raises:
        FieldUndeclared: they are not.
    """
    if kind not in TOKEN_KINDS:
        message = "this kind of token is not declared"
        raise FieldUndeclared(message, field="kind")


def demand_value(name: str, value: str) -> str:
    """The value of a declared field, if it can be kept.

    Raises:
        FieldUndeclared: the field is not declared.
        FieldValueUnfit: it is empty, too long, or a look-up by it would compare nothing.
    """
    field = demand_field(name)
    fits = 0 < len(value) <= VALUE_CHARACTERS_MAX and value.strip() and value.isprintable()
    if name == BIRTH_DATE:
        fits = fits and _date(value) is not None
    if not fits or (field.searched_as is not None and not field.searched_as(value)):
        message = f"this is no value for {name}"
        raise FieldValueUnfit(message, field=name)
    return value


#: First year of each band of age but the first, which goes from birth.
_BANDS: Final = (18, 25, 35, 50, 65)


def age_band(birth_date: str, *, today: date) -> str:
    """How old somebody is, as rules may know it: `0-17`, `18-24`, … `65+`.

    Too coarse to tell one person from another, and fine enough for who may have an account
    and who is often cheated. Nobody is younger than nothing: a date to come counts as today.
    """
    born = _date(birth_date)
    assert born is not None, "a date of birth is looked at before it is kept"
    had_birthday = (today.month, today.day) >= (born.month, born.day)
    years = max(0, today.year - born.year - (0 if had_birthday else 1))
    first = max((band for band in _BANDS if band <= years), default=0)
    following = next((band for band in _BANDS if band > years), None)
    return f"{first}+" if following is None else f"{first}-{following - 1}"


def _date(text: str) -> date | None:
    try:
        read = date.fromisoformat(text)
    except ValueError:
        return None
    # Other forms of ISO 8601 are read too; a date is kept in one.
    return read if read.isoformat() == text else None


def searched(kind: str, value: str) -> str:
    """A value as it is hashed for look-up.

    Raises:
        FieldUndeclared: no person is looked up by this field.
    """
    field = FIELDS.get(kind)
    if field is None or field.searched_as is None:
        message = "nobody is looked up by this field"
        raise FieldUndeclared(message, field="kind")
    return field.searched_as(value)


def demand_card(number: str, expiry: str) -> None:
    """See that a card number and an expiry can be ones.

    Args:
        number: 13 to 19 digits, the last of which checks the others.
        expiry: year and month, `YYYY-MM`.

    Raises:
        CardNumberInvalid: they cannot.
    """
    if not _is_digits(number) or len(number) not in _PAN_DIGITS or _luhn(number):
        message = "this is no card number"
        raise CardNumberInvalid(message, field="number")
    year, _, month = expiry.partition("-")
    is_month = (
        _is_digits(year + month) and (len(year), len(month)) == (4, 2) and int(month) in _MONTHS
    )
    if not is_month:
        message = "this is no month"
        raise CardNumberInvalid(message, field="expiry")


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _luhn(number: str) -> int:
    """What is left of the weighted sum of digits modulo ten; zero for a good number."""
    total = 0
    for place, digit in enumerate(map(int, reversed(number))):
        doubled = 2 * digit if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10
