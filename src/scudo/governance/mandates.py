"""Mandates: by what the bank moves money of its own accord, without a gate's decision.

Interest, fees, settlement. A mandate is a record that somebody answers for and that somebody
approved; it says between which accounts money may move, how much, and from when to when. A
journal names one, and the ledger asks it about every movement.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.fabric import Answer, Command, Entry, Reference, Register, list_records
from scudo.governance.errors import MandateExceeded, MandateLapsed, MandateMalformed, MandateUnknown
from scudo.governance.events import MandateApproved
from scudo.kernel import DAY_US, Prefix, ids

TERMS_KIND: Final = 501
USAGE_KIND: Final = 502
NAME_CHARS_MAX: Final = 64
#: Products and accounts that a mandate may name, of each.
NAMED_MAX: Final = 256
_encode: Final = msgspec.json.Encoder().encode
_CREATED: Final = 201
_OK: Final = 200


class Terms(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a mandate allows; an empty bound allows everything.

    Attributes:
        name: a code, such as `card_settlement`.
        owner: the function of the bank that answers for it; no person.
        debit_products, credit_products: what the accounts on either side may be.
        accounts: customers' accounts that may be moved; the bank's own are bound by product.
        currency: ISO 4217 number; a mandate with a bounded amount has one.
        amount_max: minor units of one movement.
        day_max: minor units of all movements of one day of the log's time.
        valid_from, valid_to: microseconds; from the first on, and before the second.
        approved_by: the client that approved it alone; 0: it came with the bank, or two people.
        approval: by which two people approved it; 0: a client did, or it came with the bank.
    """

    name: str
    owner: str
    debit_products: tuple[int, ...] = ()
    credit_products: tuple[int, ...] = ()
    accounts: tuple[int, ...] = ()
    currency: int | None = None
    amount_max: int | None = None
    day_max: int | None = None
    valid_from: int = 0
    valid_to: int | None = None
    approved_by: int = 0
    approval: int = 0

    @property
    def is_bounded(self) -> bool:
        """Whether movements have to be looked at one by one."""
        return bool(
            self.debit_products
            or self.credit_products
            or self.accounts
            or self.currency is not None
        )

    @property
    def is_standing(self) -> bool:
        """Whether it allows everything, at any time."""
        return not self.is_bounded and not self.valid_from and self.valid_to is None

    def is_valid_at(self, at: int) -> bool:
        """Whether it may be used at a time of the log."""
        return self.valid_from <= at and (self.valid_to is None or at < self.valid_to)

    def objection(self, movement: "Moved") -> tuple[str, str] | None:
        """What a movement does that the mandate does not allow: a field, and words for it."""
        for name, side, products in (
            ("debit_account_id", movement.debit, self.debit_products),
            ("credit_account_id", movement.credit, self.credit_products),
        ):
            if products and side.product not in products:
                return name, "the mandate does not cover accounts of this product on this side"
            if self.accounts and side.owner and side.account not in self.accounts:
                return name, "the mandate does not cover this account"
        if self.currency is not None and movement.currency != self.currency:
            return "currency", "the mandate is for another currency"
        if self.amount_max is not None and movement.amount > self.amount_max:
            return "amount_minor", f"the mandate allows at most {self.amount_max} a movement"
        return None


class Side(msgspec.Struct, frozen=True, gc=False):
    """An account that a movement changes; owner 0 is the bank itself."""

    account: int
    product: int
    owner: int


class Moved(msgspec.Struct, frozen=True, gc=False):
    """A movement as a mandate sees it: what it posts or sets aside beyond what was set aside."""

    debit: Side
    credit: Side
    currency: int
    amount: int


class Usage(msgspec.Struct, frozen=True):
    """How much was moved on a day under a mandate with a bound for the day.

    Attributes:
        day: days since 1970 of the log's time.
        used: minor units of the mandate's currency.
    """

    day: int
    currency: int
    used: int

    @staticmethod
    def on(before: "Usage | None", day: int, currency: int) -> int:
        """How much of a day's bound was used before."""
        if before is None or (before.day, before.currency) != (day, currency):
            return 0
        return before.used


def _standing(name: str, owner: str = "finance") -> Terms:
    return Terms(name, owner)


#: Mandates that every bank is founded with, by number. The first journal under one of them
#: makes it a record; from then on what is approved holds.
STANDING: Final[Mapping[int, Terms]] = {
    1: _standing("opening"),
    2: _standing("funding", "treasury"),
    3: _standing("fees"),
    4: _standing("interest"),
    5: _standing("settlement", "operations"),
    6: _standing("adjustment"),
}


#: Above every position: numbers of mandates that were approved where standing ones are numbered.
_BEYOND: Final = 1 << 61


class ApproveMandate(Command, frozen=True, tag=502):
    """Put a mandate into force, or change one.

    Attributes:
        mandate: number; 0 makes a new one.
        terms: what is allowed from now on; whoever sends this is the one who approves.
    """

    mandate: int
    terms: Terms


class MandateBody(msgspec.Struct, frozen=True):
    """Answer to a mandate that was approved."""

    id: str
    version: int


class Leave:
    """Leave to move money under one mandate, within one entry.

    Attributes:
        is_bounded: whether leave has to be taken for movements one by one.
        before, used: what the day had taken of its bound before the entry, and has by now.
    """

    def __init__(self, number: int, terms: Terms, *, used: int) -> None:
        """Start with what was used of the day before."""
        self.number = number
        self.terms = terms
        self.is_bounded = terms.is_bounded
        self.before = used
        self.used = used

    def take(self, movement: Moved) -> None:
        """Take leave for one movement.

        Raises:
            MandateExceeded: the mandate does not allow it; nothing is used.
        """
        objection = self.terms.objection(movement)
        if objection is not None:
            field, message = objection
            raise MandateExceeded(message, field=field)
        if self.terms.day_max is not None:
            if self.used + movement.amount > self.terms.day_max:
                message = f"the mandate allows {self.terms.day_max} a day, and {self.used} are used"
                raise MandateExceeded(message, field="amount_minor")
            self.used += movement.amount


class Mandates:
    """Keeps the mandates, and how much of a day's bound is used."""

    def __init__(self) -> None:
        """Start without any."""
        self._terms = Register(TERMS_KIND, Terms, resident=True)
        self._usage = Register(USAGE_KIND, Usage, resident=True)
        self.registers: Sequence[Register[Any]] = (self._terms, self._usage)
        self.handlers: Mapping[type[Command], Callable[[Any, Entry], Answer]] = {
            ApproveMandate: self.approve
        }

    def refers_to(self, command: Command) -> Iterable[Reference]:
        """Nothing: all mandates are in memory."""
        del command
        return ()

    def terms(self, number: int) -> Terms:
        """What a mandate allows now.

        Raises:
            MandateUnknown: there is none of this number.
        """
        found = self._terms.get(number) or STANDING.get(number)
        if found is None:
            message = "there is no such mandate"
            raise MandateUnknown(message, field="mandate")
        return found

    def open(self, entry: Entry, number: int) -> Leave:
        """Begin to move money under a mandate; a standing one becomes a record by that.

        Raises:
            MandateUnknown: there is none of this number.
            MandateLapsed: it is not valid at the entry's time.
        """
        terms = self.terms(number)
        if not terms.is_valid_at(entry.ordered_at):
            message = "the mandate is not valid at this time"
            raise MandateLapsed(message, field="mandate")
        if number not in self._terms:
            self._terms.put(entry, number, terms)
        used = 0
        if terms.day_max is not None and terms.currency is not None:
            day = entry.ordered_at // DAY_US
            used = Usage.on(self._usage.get(number), day, terms.currency)
        return Leave(number, terms, used=used)

    def close(self, entry: Entry, leave: Leave) -> None:
        """Keep what an entry has used of the day's bound."""
        terms = leave.terms
        if leave.used != leave.before and terms.currency is not None:
            day = entry.ordered_at // DAY_US
            self._usage.put(entry, leave.number, Usage(day, terms.currency, leave.used))

    def approve(self, command: ApproveMandate, entry: Entry) -> Answer:
        """Put a mandate into force, or change one.

        Raises:
            MandateUnknown: one is to be changed that there is not.
            MandateMalformed: its bounds contradict each other.
        """
        self.demand_fit(command.mandate, command.terms)
        terms = msgspec.structs.replace(command.terms, approved_by=entry.client)
        number = command.mandate or entry.position
        if not command.mandate and number in STANDING:
            # One of the log's first entries, whose positions the standing ones have as numbers.
            number |= _BEYOND
        version = self.put_into_force(entry, number, terms)
        body = MandateBody(ids.show(Prefix.MANDATE, number), version)
        return Answer(_OK if command.mandate else _CREATED, _encode(body))

    def demand_fit(self, number: int, terms: Terms) -> None:
        """Refuse terms that cannot be put into force; number 0 is a new mandate.

        Raises:
            MandateUnknown: one is to be changed that there is not.
        """
        if number:
            self.terms(number)
        check_terms(terms)

    def put_into_force(self, entry: Entry, number: int, terms: Terms) -> int:
        """Let a mandate hold as it was approved; gives the version of its record."""
        self._terms.put(entry, number, terms)
        version = self._terms.version(number)
        entry.emit(
            MandateApproved(number, version, terms.name, terms.approved_by, digest_of(terms))
        )
        return version


def check_terms(terms: Terms) -> None:
    """Terms must make sense.

    Raises:
        MandateMalformed: they do not; the field is named.
    """
    for field, is_wrong, message in (
        ("name", not terms.name, "a mandate has a name"),
        ("owner", not terms.owner, "somebody answers for a mandate"),
        (
            "currency",
            terms.currency is None and not terms.amount_max is terms.day_max is None,
            "a bounded amount is one of a currency",
        ),
        ("amount_max_minor", (terms.amount_max or 0) < 0, "a bound is not negative"),
        ("day_max_minor", (terms.day_max or 0) < 0, "a bound is not negative"),
        (
            "valid_to",
            terms.valid_to is not None and terms.valid_to <= terms.valid_from,
            "a mandate ends after it begins",
        ),
    ):
        if is_wrong:
            raise MandateMalformed(message, field=field)


def digest_of(terms: Terms) -> str:
    """SHA-256 of terms as their record holds them, in hex; the event of an approval has it."""
    return sha256(_encode(terms)).hexdigest()


async def list_mandates(
    connection: AsyncConnection[TupleRow],
) -> list[tuple[int, int, Terms]]:
    """List every mandate by number, with its version; 0: it stands, and was not used yet."""
    register = Register(TERMS_KIND, Terms, resident=True)
    stored = {
        n: (n, version, terms) for n, version, terms in await list_records(connection, register)
    }
    standing = {n: (n, 0, terms) for n, terms in STANDING.items()}
    return [found for _, found in sorted((standing | stored).items())]
