"""The gate: decides, keeps the record, and tells the log, all inside one entry."""

import struct
from collections.abc import Iterable
from typing import Final

import msgspec

from scudo.decisions.engine import Engine
from scudo.decisions.events import AlertRaised, DecisionDegraded, DecisionMade, DecisionRescored
from scudo.decisions.features import FeatureState
from scudo.decisions.model import DecisionRecord, GateEvent, Outcome, Verdict, record_of
from scudo.decisions.policy import Policy
from scudo.fabric import Answer, Command, Entry, Table, sized
from scudo.kernel import POSTGRES_EPOCH_US

DECISION: Final = Table(
    "decisions.decision",
    ("id", "subject", "ordered_at", "gate", "outcome", "degraded", "record"),
    b"D1",
    (8, 8, 8, 2, 2, 2, 0),
)
#: Rank of decisions among the leaves of an entry (before the transfers they allow).
DECISION_ORDER: Final = 10
_FIXED: Final = struct.Struct(">hiqiqiqihihih")
#: Of what a policy that decides no more has said.
UNKNOWN_REASON: Final = "unknown"
_encode: Final = msgspec.msgpack.Encoder().encode


class Rescore(Command, frozen=True, tag=301):
    """Judge a decision again that was made degraded."""

    decision: int
    payment: int
    event: GateEvent
    outcome: Outcome


def keep_record(entry: Entry, record: DecisionRecord, *, number: int, subject: int) -> None:
    """Add the row of a decision to the entry that it was made in.

    Args:
        entry: of what stood before the gate.
        record: what is kept.
        number: id of the decision.
        subject: number of the payment that it is about; 0: of none.
    """
    image = _FIXED.pack(
        *(7, 8, number, 8, subject, 8, record.ordered_at - POSTGRES_EPOCH_US),
        *(2, record.event.gate, 2, record.outcome, 2, record.degraded),
    ) + sized(_encode(record))
    entry.add(DECISION, image, order=DECISION_ORDER)


class Gatekeeper:
    """The gates that money moves through: one engine on one state of features.

    Attributes:
        degraded_at: when a decision was made degraded last, microseconds of our clock.
    """

    def __init__(self, policy: Policy, state: FeatureState) -> None:
        """Decide by a policy on a state that was rebuilt from the log."""
        self.policy = policy
        self.state = state
        self.degraded_at = 0
        self._engine = Engine(policy, state)

    def decide(
        self,
        entry: Entry,
        event: GateEvent,
        *,
        payment: int,
        discharged: frozenset[Outcome] = frozenset(),
    ) -> tuple[int, Verdict]:
        """Decide on an event; returns the decision's id and the verdict.

        The record, the event and the change of the features' state belong to the entry:
        when it is taken back, nothing of them remains.
        """
        ordered_at = entry.ordered_at
        verdict = self._engine.decide(event, ordered_at=ordered_at, discharged=discharged)
        mark = self.state.mark()
        self._engine.record(event, verdict, ordered_at=ordered_at)
        entry.undo(self.state.undo_to, mark)
        number = entry.next_position
        entry.emit(DecisionMade(number, payment, event.gate, verdict.outcome, verdict.degraded))
        if verdict.degraded:
            self.degraded_at = entry.recorded_at
            entry.emit(DecisionDegraded(number, payment))
        if verdict.outcome != Outcome.ALLOW:
            entry.emit(AlertRaised(entry.next_position, number, payment, verdict.outcome))
        record = record_of(
            verdict,
            event=event,
            policy=self.policy.hash,
            ordered_at=ordered_at,
            position=entry.position - 1,
        )
        keep_record(entry, record, number=number, subject=payment)
        return number, verdict

    def reasons_of(self, policy: bytes, hits: Iterable[int]) -> frozenset[str]:
        """Reasons of the rules that spoke against an event, by the policy that decided on it.

        Of another policy than ours the indexes say nothing: then it is `UNKNOWN_REASON`.
        """
        if policy != self.policy.hash:
            return frozenset({UNKNOWN_REASON})
        rules = self.policy.rules
        return frozenset(rules[max(hit, ~hit)].reason for hit in hits)

    def rescore(self, command: Rescore, entry: Entry) -> Answer:
        """Judge a degraded decision again, on the state as it is now.

        The decision stands; a higher outcome opens an alert. The features' state does not
        change: the event was counted when it was decided.
        """
        verdict = self._engine.decide(command.event, ordered_at=entry.ordered_at)
        entry.correlation = command.payment
        entry.emit(
            DecisionRescored(command.decision, command.payment, command.outcome, verdict.outcome)
        )
        if verdict.outcome > command.outcome:
            entry.emit(
                AlertRaised(entry.next_position, command.decision, command.payment, verdict.outcome)
            )
        return Answer(200, b"{}")
