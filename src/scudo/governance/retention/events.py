"""What retention tells the log: numbers, codes and times."""

from typing import ClassVar

from scudo.fabric import Event
from scudo.kernel import ids


class RetentionRun(Event, frozen=True, tag=570):
    """The job went through one rule.

    Attributes:
        run: the first event of the same run.
        rule: its name.
        done: how many were forgotten.
        kept, due, held: how many there are; are due and not forgotten; would be, but for a hold.
        result: `done`, or the code of what stopped it.
    """

    name: ClassVar[str] = "governance.retention.run.v1"

    run: ids.EventId
    rule: str
    done: int
    kept: int
    due: int
    held: int
    result: str


class LegalHoldPlaced(Event, frozen=True, tag=571):
    """Two people had all of a customer kept, whatever is due.

    Attributes:
        authority, matter: who wants it, and the case's number, as codes.
        until: microseconds since 1970; None: until it is lifted.
    """

    name: ClassVar[str] = "governance.legal_hold.placed.v1"

    legal_hold: ids.LegalHoldId
    customer: ids.CustomerId
    authority: str
    matter: str
    until: int | None
    approval: ids.ApprovalId


class LegalHoldLifted(Event, frozen=True, tag=572):
    """Two people let a hold go; what is due is forgotten by the next run."""

    name: ClassVar[str] = "governance.legal_hold.lifted.v1"

    legal_hold: ids.LegalHoldId
    customer: ids.CustomerId
    approval: ids.ApprovalId
