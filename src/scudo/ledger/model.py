"""The ledger's values: accounts with their balances, holds, authorities."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from scudo.governance import Side

#: A basis point is a hundredth of a percent.
BPS: Final = 10_000


class Nature(IntEnum):
    """Which side makes an account grow: debits (assets, expenses) or credits (the others)."""

    DEBIT = 1
    CREDIT = 2


class AccountStatus(IntEnum):
    """Whether an account takes movements."""

    OPEN = 1
    CLOSED = 2


class Product(IntEnum):
    """What an account is for. Those below 100 are the bank's own, one per currency."""

    FUNDING = 1
    CARD_SETTLEMENT = 2
    FEE_INCOME = 3
    INTEREST_EXPENSE = 4
    SUSPENSE = 5
    CURRENT = 100
    MERCHANT = 101


HOUSE_NATURE: Final = {
    Product.FUNDING: Nature.DEBIT,
    Product.CARD_SETTLEMENT: Nature.CREDIT,
    Product.FEE_INCOME: Nature.CREDIT,
    Product.INTEREST_EXPENSE: Nature.DEBIT,
    Product.SUSPENSE: Nature.CREDIT,
}


class TransferKind(IntEnum):
    """What a transfer row does: `amount` is posted, `held` is added to what is held."""

    POST = 1
    HOLD = 2
    RAISE = 3
    CAPTURE = 4
    RELEASE = 5
    EXPIRE = 6


class HoldStatus(IntEnum):
    """An open hold ends in exactly one way."""

    OPEN = 1
    CAPTURED = 2
    RELEASED = 3
    EXPIRED = 4


class AuthorityKind(IntEnum):
    """By whose authority a transfer exists."""

    DECISION = 1
    MANDATE = 2


class Mandate(IntEnum):
    """The mandates that every bank is founded with; others have the number of their entry."""

    OPENING = 1
    FUNDING = 2
    FEES = 3
    INTEREST = 4
    SETTLEMENT = 5
    ADJUSTMENT = 6


@dataclass(frozen=True, slots=True)
class Authority:
    """What a transfer names as its authority; `reference` is a decision's id or a mandate."""

    kind: AuthorityKind
    reference: int

    @staticmethod
    def decision(number: int) -> "Authority":
        """The authority that a gate's decision gives."""
        return Authority(AuthorityKind.DECISION, number)

    @staticmethod
    def mandate(mandate: int) -> "Authority":
        """The authority of a mandate of the bank."""
        return Authority(AuthorityKind.MANDATE, mandate)


class Account:
    """An account as memory holds it between batches; changed in place, with an undo.

    Balances, each with its one definition:
        posted: credits posted minus debits posted for a credit account, the reverse for a
            debit account.
        held: held on the side that makes the account shrink.
        available: posted - held + posting_limit; what may still be spent.

    Limits: how far below zero posted - held may go, by a hold and by a posting; None is
    without limit (the bank's own accounts).
    """

    __slots__ = (
        "credits_held",
        "credits_posted",
        "currency",
        "debits_held",
        "debits_posted",
        "hold_limit",
        "id",
        "nature",
        "opened_at",
        "owner",
        "posting_limit",
        "product",
        "status",
        "stored_version",
        "version",
    )

    def __init__(  # noqa: PLR0913 - one parameter per property
        self,
        *,
        id: int,  # noqa: A002 - the field's name everywhere
        owner: int,
        nature: int,
        currency: int,
        product: int,
        status: int,
        opened_at: int,
        hold_limit: int | None,
        posting_limit: int | None,
        debits_posted: int = 0,
        credits_posted: int = 0,
        debits_held: int = 0,
        credits_held: int = 0,
        version: int = 0,
        stored_version: int = -1,
    ) -> None:
        """Make an account; `stored_version` is -1 until it is in the database."""
        self.id = id
        self.owner = owner
        self.nature = nature
        self.currency = currency
        self.product = product
        self.status = status
        self.opened_at = opened_at
        self.hold_limit = hold_limit
        self.posting_limit = posting_limit
        self.debits_posted = debits_posted
        self.credits_posted = credits_posted
        self.debits_held = debits_held
        self.credits_held = credits_held
        self.version = version
        self.stored_version = stored_version

    @property
    def posted(self) -> int:
        """Posted balance in minor units, positive on the account's own side."""
        net = self.credits_posted - self.debits_posted
        return net if self.nature == Nature.CREDIT else -net

    @property
    def held(self) -> int:
        """Amount held on the side that makes the account shrink."""
        return self.debits_held if self.nature == Nature.CREDIT else self.credits_held

    @property
    def available(self) -> int | None:
        """What may still be spent; None without limit."""
        if self.posting_limit is None:
            return None
        return self.posted - self.held + self.posting_limit

    def restore(
        self, debits_posted: int, credits_posted: int, held: tuple[int, int], version: int
    ) -> None:
        """Take the balances back to what they were."""
        self.debits_posted = debits_posted
        self.credits_posted = credits_posted
        self.debits_held, self.credits_held = held
        self.version = version

    def restore_status(self, status: int) -> None:
        """Take the status back to what it was."""
        self.status = status


def side(account: Account) -> Side:
    """An account as mandates see it."""
    return Side(account.id, account.product, account.owner)


class Hold:
    """Money set aside on a debit account in favour of a credit account.

    Invariant:
        captured <= held * (1 + tolerance); remaining is what is still set aside; an ended
        hold has nothing remaining.
    """

    __slots__ = (
        "authority",
        "captured",
        "code",
        "credit_account",
        "debit_account",
        "expires_at",
        "held",
        "id",
        "remaining",
        "status",
        "stored_version",
        "tolerance_bps",
        "version",
    )

    def __init__(  # noqa: PLR0913 - one parameter per property
        self,
        *,
        id: int,  # noqa: A002 - the field's name everywhere
        debit_account: int,
        credit_account: int,
        held: int,
        tolerance_bps: int,
        expires_at: int,
        authority: Authority,
        code: int,
        captured: int = 0,
        remaining: int | None = None,
        status: int = HoldStatus.OPEN,
        version: int = 0,
        stored_version: int = -1,
    ) -> None:
        """Make a hold; `stored_version` is -1 until it is in the database."""
        self.id = id
        self.debit_account = debit_account
        self.credit_account = credit_account
        self.held = held
        self.tolerance_bps = tolerance_bps
        self.expires_at = expires_at
        self.authority = authority
        self.code = code
        self.captured = captured
        self.remaining = held if remaining is None else remaining
        self.status = status
        self.version = version
        self.stored_version = stored_version

    @property
    def sides(self) -> tuple[int, int]:
        """The debit and the credit account."""
        return self.debit_account, self.credit_account

    @property
    def waits_until(self) -> int | None:
        """When it expires, microseconds; None if it has ended."""
        return self.expires_at if self.status == HoldStatus.OPEN else None

    @property
    def capturable(self) -> int:
        """How much may still be captured, over-capture within the tolerance included."""
        return self.held + self.held * self.tolerance_bps // BPS - self.captured

    def restore(self, held: int, captured: int, remaining: int, status: int, version: int) -> None:
        """Take the hold back to what it was."""
        self.held = held
        self.captured = captured
        self.remaining = remaining
        self.status = status
        self.version = version
