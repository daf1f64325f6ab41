"""The engine: one event in, one verdict out, from memory alone.

Nothing here waits and nothing here raises: what fails becomes the gate's declared
posture, and the verdict says that it is degraded.
"""

from collections.abc import Callable, Collection
from time import perf_counter_ns
from typing import Final

from scudo.decisions.features import FeatureState
from scudo.decisions.logic import combine
from scudo.decisions.model import Degradation, Gate, GateEvent, Outcome, Verdict
from scudo.decisions.policy import Policy
from scudo.decisions.rules import WhenNull
from scudo.kernel import InvariantBroken

_NOTHING: Final[tuple[Outcome, ...]] = ()


class Engine:
    """Decides events of one unit by one policy on one feature state.

    Attributes:
        policy: the version that decides.
        state: shared with whoever rebuilds, snapshots and undoes it.
    """

    def __init__(
        self,
        policy: Policy,
        state: FeatureState,
        *,
        timer: Callable[[], int] = perf_counter_ns,
    ) -> None:
        """Join a policy with a state of the same features.

        Args:
            policy: the version that decides.
            state: holds the history; may be behind, but never of other definitions.
            timer: nanoseconds of any origin; measures steps, decides nothing.

        Raises:
            InvariantBroken: the state serves other feature definitions.
        """
        if state.features.hash != policy.features.hash:
            raise InvariantBroken("the feature state was made for another policy")
        self.policy = policy
        self.state = state
        self._timer = timer
        self._nothing_known = (None,) * len(policy.features.features)

    def decide(
        self, event: GateEvent, *, ordered_at: int, discharged: Collection[Outcome] = ()
    ) -> Verdict:
        """Decide one event; reads the state and changes nothing.

        Args:
            event: what stands before the gate.
            ordered_at: microseconds since 1970; windows end here.
            discharged: obligations that have been met since the first decision.
        """
        timer, state = self._timer, self.state
        began = timer()
        try:
            features = state.measure(event, ordered_at)
            unknown = state.unknown(event, ordered_at=ordered_at) if state.has_forgotten else ()
        except Exception:  # noqa: BLE001 - the edge: a fault of ours must not stop the others
            degraded = Degradation.FEATURES_FAILED
            return self._posture(
                event,
                degraded,
                features=self._nothing_known,
                unknown=tuple(range(len(self._nothing_known))),
                discharged=discharged,
                began=began,
            )
        measured = timer()
        # Rules see what was measured even where it is unknown: `_raised` discards what they say.
        try:
            hits = self.policy.evaluate[event.gate](event, ordered_at, features)
        except Exception:  # noqa: BLE001 - the edge: a fault of ours must not stop the others
            degraded = Degradation.RULES_FAILED
            return self._posture(
                event,
                degraded,
                features=_replaced(features, unknown, None),
                unknown=unknown,
                discharged=discharged,
                began=began,
            )
        evaluated = timer()
        degraded = Degradation.NONE
        if unknown:
            features = _replaced(features, unknown, None)
        if hits or unknown:
            hits, raised, degraded = _raised(self.policy, event.gate, hits=hits, unknown=unknown)
            outcome, obligations = combine(raised, discharged=discharged)
        else:
            outcome, obligations = Outcome.ALLOW, _NOTHING
        return Verdict(
            outcome,
            obligations,
            tuple(hits),
            features,
            unknown,
            tuple(sorted(discharged)) if discharged else _NOTHING,
            degraded,
            (measured - began, evaluated - measured, timer() - evaluated),
        )

    def record(self, event: GateEvent, verdict: Verdict, *, ordered_at: int) -> None:
        """Fold a decided event, with its outcome, into the state.

        Raises:
            InvariantBroken: an event that is not older has been folded in already.
        """
        self.state.apply(event, ordered_at=ordered_at, outcome=verdict.outcome)

    def _posture(
        self,
        event: GateEvent,
        degraded: Degradation,
        *,
        features: tuple[int | None, ...],
        unknown: tuple[int, ...],
        discharged: Collection[Outcome],
        began: int,
    ) -> Verdict:
        # An event whose gate nobody knows is refused.
        posture = self.policy.postures.get(event.gate, Outcome.DECLINE)
        outcome, obligations = combine((posture,), discharged=discharged)
        elapsed = (self._timer() - began, 0, 0)
        met = tuple(sorted(discharged))
        return Verdict(outcome, obligations, (), features, unknown, met, degraded, elapsed)


def judge(
    policy: Policy,
    *,
    event: GateEvent,
    ordered_at: int,
    features: tuple[int | None, ...],
    unknown: tuple[int, ...] = (),
    discharged: Collection[Outcome] = (),
) -> Verdict:
    """Decide again on feature values that are given: the same values, the same outcome.

    Units:
        ordered_at: microseconds since 1970, as in the record.
    """
    # Any number will do for what is unknown: `_raised` discards what rules say of it.
    known = _replaced(features, unknown, 0)
    hits = policy.evaluate[event.gate](event, ordered_at, known)
    hits, raised, degraded = _raised(policy, event.gate, hits=hits, unknown=unknown)
    outcome, obligations = combine(raised, discharged=discharged)
    met = tuple(sorted(discharged))
    return Verdict(outcome, obligations, tuple(hits), features, unknown, met, degraded, (0, 0, 0))


def _replaced(
    features: tuple[int | None, ...], places: tuple[int, ...], value: int | None
) -> tuple[int | None, ...]:
    """Put one value in some places of a vector."""
    if not places:
        return features
    values = list(features)
    for place in places:
        values[place] = value
    return tuple(values)


def _raised(
    policy: Policy, gate: Gate, *, hits: list[int], unknown: tuple[int, ...]
) -> tuple[list[int], list[Outcome], Degradation]:
    """Turn what the rules said into raised outcomes.

    A rule that reads an unknown feature is not believed, whatever it said: it raises
    what its null policy says, and the verdict is degraded.

    Returns:
        Hits (~index where a rule could not be evaluated), outcomes, and degradation.
    """
    rules = policy.rules
    degraded = Degradation.NONE
    doubted: set[int] = set()
    if unknown:
        missing = {policy.features.names[index] for index in unknown}
        doubted = {
            index
            for index, rule in enumerate(rules)
            if gate in rule.gates and not missing.isdisjoint(rule.reads)
        }
        if doubted:
            degraded = Degradation.FEATURE_UNKNOWN
        kept = [hit for hit in hits if max(hit, ~hit) not in doubted]
        kept += [~index for index in doubted if rules[index].when_null is not WhenNull.IGNORE]
        hits = sorted(kept, key=lambda hit: max(hit, ~hit))
    posture = policy.postures[gate]
    raised = [
        rules[max(hit, ~hit)].raises(
            is_certain=hit >= 0, is_doubted=max(hit, ~hit) in doubted, posture=posture
        )
        for hit in hits
    ]
    return hits, raised, degraded
