"""The gates of everything that is not a payment: log-ins, devices, beneficiaries, operators' acts.

They fill governance's port. Policy and features are their own, so that nothing of it counts
among payments or costs them time; the record, its chain and its replay are those of every gate.
"""

from typing import Final

from scudo.decisions.engine import Engine
from scudo.decisions.events import PassageDecided, PassageFlagged, PassageRescored
from scudo.decisions.features import FeatureState
from scudo.decisions.gate import Rescore, keep_record
from scudo.decisions.model import PASSAGES, Gate, GateEvent, Outcome, Verdict, record_of
from scudo.decisions.policy import Policy
from scudo.fabric import Answer, Entry
from scudo.governance import Asked, Ruling
from scudo.kernel import SECOND_US

_HOUR_US: Final = 3_600 * SECOND_US
#: Obligations that a person of the bank discharges; a step-up is the asker's own.
_BY_STAFF: Final = frozenset({Outcome.REVIEW, Outcome.HOLD})


class Passages:
    """Fills `governance.Gates`: one engine on one state of features.

    Attributes:
        degraded_at: when a decision was made degraded last, microseconds of our clock.
    """

    def __init__(self, policy: Policy, state: FeatureState) -> None:
        """Decide by a policy on a state that was rebuilt from the log."""
        self.policy = policy
        self.state = state
        self.degraded_at = 0
        self._engine = Engine(policy, state)

    def pass_through(
        self, entry: Entry, asked: Asked, *, discharged: frozenset[Ruling] = frozenset()
    ) -> tuple[int, Ruling]:
        """Ask the gate; the decision, its event and what it changes belong to the entry.

        Args:
            entry: of the act.
            asked: who is about to do what.
            discharged: obligations that were met (a step-up that was passed).

        Returns:
            the decision's id, and the ruling.
        """
        met = frozenset(Outcome(ruling) for ruling in discharged)
        number = entry.next_position
        # One entry may pass several gates: each decision is at the time of its own event.
        ordered_at = entry.ordered_at + number - entry.position
        event = _event_of(asked, ordered_at=ordered_at)
        verdict = self._engine.decide(event, ordered_at=ordered_at, discharged=met)
        mark = self.state.mark()
        self._engine.record(event, verdict, ordered_at=ordered_at)
        entry.undo(self.state.undo_to, mark)
        customer, operator = _who(event)
        entry.emit(
            PassageDecided(
                number, customer, operator, event.gate, verdict.outcome, verdict.degraded
            )
        )
        if verdict.degraded:
            self.degraded_at = entry.recorded_at
        if _needs_eyes(verdict):
            entry.emit(PassageFlagged(entry.next_position, number, event.gate, verdict.outcome))
        record = record_of(
            verdict,
            event=event,
            policy=self.policy.hash,
            ordered_at=ordered_at,
            position=number - 1,
        )
        keep_record(entry, record, number=number, subject=0)
        return number, Ruling(verdict.outcome)

    def rescore(self, command: Rescore, entry: Entry) -> Answer:
        """Judge a degraded decision again, on the state as it is now; the decision stands."""
        verdict = self._engine.decide(command.event, ordered_at=entry.ordered_at)
        entry.correlation = command.decision
        entry.emit(PassageRescored(command.decision, command.outcome, verdict.outcome))
        if verdict.outcome > command.outcome:
            entry.emit(
                PassageFlagged(
                    entry.next_position, command.decision, command.event.gate, verdict.outcome
                )
            )
        return Answer(200, b"{}")


def _needs_eyes(verdict: Verdict) -> bool:
    """Whether a person of the bank should look: strangers who are just refused are too many."""
    return verdict.outcome is Outcome.BLOCK or not _BY_STAFF.isdisjoint(verdict.obligations)


def _event_of(asked: Asked, *, ordered_at: int) -> GateEvent:
    return GateEvent(
        Gate(asked.passage),
        amount_minor=0,
        currency=0,
        customer=asked.customer,
        account=0,
        device=asked.device,
        ip=asked.network,
        country=asked.country,
        occurred_at=asked.occurred_at,
        act=asked.act,
        session=asked.session,
        hour=ordered_at // _HOUR_US % 24,
    )


def _who(event: GateEvent) -> tuple[int | None, int | None]:
    assert event.gate in PASSAGES, "payments have their own gates"
    if event.gate is Gate.OPERATOR_ACT:
        return None, event.customer
    return event.customer or None, None
