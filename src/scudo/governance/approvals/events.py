"""What approvals tell the log."""

from typing import ClassVar

from scudo.fabric import Event
from scudo.kernel import ids


class ApprovalProposed(Event, frozen=True, tag=522):
    """A change was proposed; an emergency pages its owner.

    Attributes:
        hash: SHA-256 of the proposal's document, in hex.
    """

    name: ClassVar[str] = "governance.approval.proposed.v1"

    approval: ids.ApprovalId
    kind: str
    proposer: ids.OperatorId
    hash: str
    expires_at: int
    severity: str


class ApprovalGiven(Event, frozen=True, tag=523):
    """A change was approved by a second person, and carried out."""

    name: ClassVar[str] = "governance.approval.given.v1"

    approval: ids.ApprovalId
    kind: str
    proposer: ids.OperatorId
    approver: ids.OperatorId
    hash: str
    decision: ids.DecisionId


class ApprovalRejected(Event, frozen=True, tag=524):
    """A second person did not want a change."""

    name: ClassVar[str] = "governance.approval.rejected.v1"

    approval: ids.ApprovalId
    by: ids.OperatorId
    reason: str


class ApprovalWithdrawn(Event, frozen=True, tag=525):
    """The proposer does not want a change any more."""

    name: ClassVar[str] = "governance.approval.withdrawn.v1"

    approval: ids.ApprovalId


class ApprovalExpired(Event, frozen=True, tag=526):
    """Nobody decided on a change in time."""

    name: ClassVar[str] = "governance.approval.expired.v1"

    approval: ids.ApprovalId


class ApprovalRefused(Event, frozen=True, tag=527):
    """Somebody tried what they may not, or what cannot be done.

    Attributes:
        approval: 0: it was a proposal, and became none.
        code: of the refusal.
    """

    name: ClassVar[str] = "governance.approval.refused.v1"

    approval: ids.ApprovalId
    kind: str
    by: ids.OperatorId
    act: str
    code: str
    severity: str


class ApprovalUsed(Event, frozen=True, tag=520):
    """What was approved is done now, outside the log; the approval is good no more.

    Attributes:
        client: number of the sender; 0: the bank's own process.
    """

    name: ClassVar[str] = "governance.approval.used.v1"

    approval: ids.ApprovalId
    kind: str
    client: int


class OwnersWayClosed(Event, frozen=True, tag=521):
    """From now on two people decide on these kinds of change, and no client alone.

    Attributes:
        notice: position of this event.
    """

    name: ClassVar[str] = "governance.owners_way.closed.v1"

    notice: ids.EventId
    closed: tuple[str, ...]


class OwnersWayRefused(Event, frozen=True, tag=528):
    """A sender tried alone what two people decide on.

    Attributes:
        notice: position of this event.
    """

    name: ClassVar[str] = "governance.owners_way.refused.v1"

    notice: ids.EventId
    kind: str
    client: int
    severity: str
