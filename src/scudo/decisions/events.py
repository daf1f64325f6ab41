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
