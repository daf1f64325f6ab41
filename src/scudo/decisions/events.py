"""What the decisions room tells the log."""

from typing import ClassVar

from scudo.fabric import Event
from scudo.kernel import ids


class DecisionMade(Event, frozen=True, tag=301):
    """A gate decided; the record of the decision is in the same entry."""

    name: ClassVar[str] = "decisions.decision.made.v1"

    decision: ids.DecisionId
    payment: ids.PaymentId
    gate: int
    outcome: int
    degraded: int


class AlertRaised(Event, frozen=True, tag=302):
    """A decision asks for a person's eyes."""

    name: ClassVar[str] = "decisions.alert.raised.v1"

    alert: ids.AlertId
    decision: ids.DecisionId
    payment: ids.PaymentId
    outcome: int


class DecisionDegraded(Event, frozen=True, tag=304):
    """A gate decided without everything that its policy asks for; it will judge again."""

    name: ClassVar[str] = "decisions.decision.degraded.v1"

    decision: ids.DecisionId
    payment: ids.PaymentId


class DecisionRescored(Event, frozen=True, tag=303):
    """A decision that was made degraded was judged again with everything present."""

    name: ClassVar[str] = "decisions.decision.rescored.v1"

    decision: ids.DecisionId
    payment: ids.PaymentId
    outcome: int
    rescored_outcome: int


class PassageDecided(Event, frozen=True, tag=311):
    """A gate decided on something other than a payment; the record is in the same entry.

    Attributes:
        customer: who stood before the gate; None at an operator's act, and before there is one.
        operator: who stood there otherwise.
    """

    name: ClassVar[str] = "decisions.passage.decided.v1"

    decision: ids.DecisionId
    customer: ids.CustomerId | None
    operator: ids.OperatorId | None
    gate: int
    outcome: int
    degraded: int


class PassageFlagged(Event, frozen=True, tag=312):
    """A decision on something other than a payment asks for a person's eyes."""

    name: ClassVar[str] = "decisions.passage.flagged.v1"

    alert: ids.AlertId
    decision: ids.DecisionId
    gate: int
    outcome: int


class PassageRescored(Event, frozen=True, tag=313):
    """A decision on a passage that was made degraded was judged again with everything present."""

    name: ClassVar[str] = "decisions.passage.rescored.v1"

    decision: ids.DecisionId
    outcome: int
    rescored_outcome: int


class ListEntrySet(Event, frozen=True, tag=341):
    """Something came onto a list that rules ask, or left it; two people wanted it.

    Attributes:
        notice: position of this event.
        member: which member of a gate's event `value` is compared with.
        value: a token, a number or a country.
        until: microseconds; what left the list has left it then.
    """

    name: ClassVar[str] = "decisions.list_entry.set.v1"

    notice: ids.EventId
    listed: str
    member: str
    value: int
    until: int
    approval: ids.ApprovalId
