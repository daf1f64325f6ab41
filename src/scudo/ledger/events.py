"""What the ledger tells the log."""

from typing import Annotated, ClassVar

from scudo.fabric import INSTANT, Event
from scudo.kernel import ids

Instant = Annotated[int, INSTANT]


class AccountOpened(Event, frozen=True, tag=201):
    """An account was opened."""

    name: ClassVar[str] = "ledger.account.opened.v1"

    account: ids.AccountId
    owner: ids.CustomerId | None
    nature: int
    currency: str
    product: int
    hold_limit_minor: int | None
    posting_limit_minor: int | None


class AccountClosed(Event, frozen=True, tag=202):
    """An account was closed and takes no more movements."""

    name: ClassVar[str] = "ledger.account.closed.v1"

    account: ids.AccountId


class JournalPosted(Event, frozen=True, tag=203):
    """A journal was posted under a mandate; its transfers are those of the same entry."""

    name: ClassVar[str] = "ledger.journal.posted.v1"

    journal: ids.JournalId
    mandate: int
    transfers: int
    reference: str


class JournalRefused(Event, frozen=True, tag=204):
    """A journal was refused; nothing of it was posted."""

    name: ClassVar[str] = "ledger.journal.refused.v1"

    journal: ids.JournalId
    code: str
    field: str | None


class HoldPlaced(Event, frozen=True, tag=205):
    """Money was set aside on an account."""

    name: ClassVar[str] = "ledger.hold.placed.v1"

    hold: ids.HoldId
    account: ids.AccountId
    amount_minor: int
    expires_at: Instant
    tolerance_bps: int


class HoldRaised(Event, frozen=True, tag=206):
    """More money was set aside by a hold."""

    name: ClassVar[str] = "ledger.hold.raised.v1"

    hold: ids.HoldId
    account: ids.AccountId
    amount_minor: int


class HoldReleased(Event, frozen=True, tag=207):
    """Money that was set aside is available again."""

    name: ClassVar[str] = "ledger.hold.released.v1"

    hold: ids.HoldId
    account: ids.AccountId
    amount_minor: int


class HoldExpired(Event, frozen=True, tag=208):
    """The time of a hold passed; what remained is available again."""

    name: ClassVar[str] = "ledger.hold.expired.v1"

    hold: ids.HoldId
    account: ids.AccountId
    amount_minor: int
