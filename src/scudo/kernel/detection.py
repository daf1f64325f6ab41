"""Finds personal and card data where none should be: in events, answers, records and logs.

It looks at values, not at what they are declared to be. It finds what has a form: card numbers,
bank accounts, e-mail addresses, telephone numbers, and fields that are named like secrets.
"""

import re
from collections.abc import Iterator
from typing import Final

#: Most and fewest digits of a card number that is looked for, and of a whole number that may be
#: one: tokens are numbers too, and those of 63 bits mostly have more digits.
_WHOLE_DIGITS: Final = frozenset({15, 16})
#: First digits of the card networks.
#: Source: ISO/IEC 7812-1 and the networks' published ranges: American Express 34, 37; JCB 35;
#: Visa 4; Mastercard 51-55 and 2221-2720; Discover 6011, 64, 65; UnionPay 62; Maestro 50, 56-58,
#: 63, 67.
_NETWORK: Final = re.compile(
    r"3[457]|4|5[0-8]|6011|6[23457]|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720"
)
_CARD: Final = re.compile(r"(?<![\w.+-])\d(?:[ -]?\d){12,18}(?![\w.-]*\w)")
_IBAN: Final = re.compile(r"(?<![\w-])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}(?![\w-]*\w)")
#: How many signs an IBAN has, by country; without it some ids in hexadecimal would be one.
#: Source: SWIFT, IBAN Registry (ISO 13616-2).
_IBAN_SIGNS: Final = {
    country: int(signs)
    for signs, countries in {
        "15": "NO", "16": "BE", "18": "DK FI FK FO GL NL SD", "19": "MK SI",
        "20": "AT BA EE KZ LT LU MN XK", "21": "CH HR LI LV", "22": "BG BH CR DE GB GE IE ME RS VA",
        "23": "AE GI IL IQ OM SO TL", "24": "AD CZ ES MD PK RO SA SE SK TN VG", "25": "LY PT ST",
        "26": "IS TR", "27": "BI DJ FR GR IT MC MR SM", "28": "AL AZ BY CY DO GT HU LB NI PL SV",
        "29": "BR EG PS QA UA", "30": "JO KW MU YE", "31": "MT SC", "32": "LC", "33": "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}")
_PHONE: Final = re.compile(r"(?<![\w+])\+[1-9](?:[ ()/-]?\d){7,14}(?!\w)")
_LAST_DIGITS: Final = 4
_SECRET_NAMES: Final = frozenset(
    {
        "birth_date",
        "card_number",
        "cvc",
        "cvv",
        "date_of_birth",
        "document_number",
        "email",
        "first_name",
        "iban",
        "last_name",
        "pan",
        "passport",
        "password",
        "phone",
        "pin",
        "private_key",
        "seed",
        "totp_secret",
    }
)


def find_in_text(text: str) -> Iterator[str]:
    """Kinds of data that a text holds: `card`, `iban`, `email`, `phone`; one for each place."""
    for match in _CARD.finditer(text):
        digits = "".join(filter(str.isdecimal, match.group()))
        if _is_card(digits):
            yield "card"
    for match in _IBAN.finditer(text):
        if _begins_with_iban(match.group()):
            yield "iban"
    for kind, pattern in (("email", _EMAIL), ("phone", _PHONE)):
        for _ in pattern.finditer(text):
            yield kind


def hide_cards(text: str) -> str:
    """A text in which of each card number only the last four digits are left.

    Source:
        What may be shown of a card number: PCI DSS 4.0.1, requirement 3.4.1.
    """
    return _CARD.sub(_hidden, text)


def _hidden(match: re.Match[str]) -> str:
    number = match.group()
    if not _is_card("".join(filter(str.isdecimal, number))):
        return number
    digits = [place for place, sign in enumerate(number) if sign.isdecimal()]
    hidden = set(digits[:-_LAST_DIGITS])
    return "".join("*" if place in hidden else sign for place, sign in enumerate(number))


def find_in_value(value: object, *, path: str = "") -> Iterator[tuple[str, str]]:
    """Where a decoded value holds personal or card data: path and kind; never the data itself.

    Args:
        value: of JSON or MessagePack: maps, lists, texts, bytes, numbers.
        path: where the value stands.
    """
    match value:
        case dict():
            for name, member in value.items():
                where = f"{path}.{name}"
                if str(name).lower() in _SECRET_NAMES and member is not None:
                    yield where, "name"
                yield from find_in_value(member, path=where)
        case list() | tuple():
            for index, member in enumerate(value):
                yield from find_in_value(member, path=f"{path}[{index}]")
        case str():
            yield from ((path, kind) for kind in find_in_text(value))
        case bytes():
            text = value.decode("utf-8", errors="replace")
            yield from ((path, kind) for kind in find_in_text(text))
        case int():
            digits = str(value)
            if len(digits) in _WHOLE_DIGITS and _is_card(digits):
                yield path, "card"
        case _:
            # Truth values, fractions and nothing hold no such data.
            pass


def _is_card(digits: str) -> bool:
    """Whether digits are of a card network and end with their check digit.

    Source:
        Luhn's formula: ISO/IEC 7812-1, annex B.
    """
    if not _NETWORK.match(digits) or len(set(digits)) < 2:
        return False
    total = 0
    for index, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if index % 2 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def _begins_with_iban(text: str) -> bool:
    """Whether the first words of a text are an account number: of its length, rightly checked.

    Source:
        ISO 13616-1 and ISO/IEC 7064 (MOD 97-10).
    """
    signs, joined = _IBAN_SIGNS.get(text[:2]), ""
    for word in text.split(" "):
        joined += word.replace("-", "")
        if len(joined) == signs:
            turned = joined[4:] + joined[:4]
            return int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1
    return False
