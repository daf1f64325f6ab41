"""The engine: outcomes, obligations, and what happens when it cannot answer."""

import io
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scudo.decisions import (
    OBLIGATIONS,
    DecisionRecord,
    DefinitionRefused,
    Degradation,
    Engine,
    FeatureState,
    Gate,
    GateEvent,
    Outcome,
    Policy,
    PolicyMismatch,
    dump_state,
    explain,
    judge,
    load_policy,
    load_state,
    record_of,
)
from scudo.decisions.features import FeatureSet, read_features
from scudo.decisions.logic import combine
from scudo.decisions.policy import make_policy
from scudo.decisions.rules import read_rules
from scudo.kernel import InvariantBroken

OUTCOMES = st.sampled_from(Outcome)
NOW = 1_700_000_000_000_000
DAY = 86_400_000_000

FEATURES = read_features(
    """
    SELECT
      COUNT(*) OVER recent AS recent,
      MAX(amount_minor) OVER recent AS largest,
      ordered_at - MIN(ordered_at) OVER ever AS known,
      ordered_at - MAX(ordered_at) OVER ever AS quiet
    FROM gate_event
    WINDOW
      recent AS (PARTITION BY customer ORDER BY ordered_at
        RANGE BETWEEN INTERVAL 1 HOUR PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW),
      ever AS (PARTITION BY customer ORDER BY ordered_at
        RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW)
    """,
    source="features.sql",
)


def _policy(*rules: tuple[str, str, str, str], features: FeatureSet = FEATURES) -> Policy:
    """Make a policy of (name, outcome, when null, condition), by priority."""
    text = "".join(
        f"-- rule: {name}\n-- outcome: {outcome}\n-- reason: {name}\n-- priority: {priority}\n"
        f"-- when null: {when_null}\n-- typology: {name}\n-- owner: test\n"
        f"-- gates: payment, card\n-- says: The rule {name} with {{recent}} events.\n"
        f"SELECT {condition};\n"
        for priority, (name, outcome, when_null, condition) in enumerate(rules)
    )
    read = read_rules(text, source="rules.sql", schema=features.schema)
    postures = {Gate.PAYMENT: Outcome.HOLD, Gate.CARD: Outcome.DECLINE}
    return make_policy(name="test", features=features, rules=read, postures=postures)


def _event(amount_minor: int = 100, *, gate: Gate = Gate.PAYMENT, customer: int = 1) -> GateEvent:
    return GateEvent(gate, amount_minor, 978, customer, 2)


def _engine(policy: Policy) -> Engine:
    return Engine(policy, FeatureState(policy.features))


class TestCombine:
    """The lattice of outcomes."""

    @settings(deadline=None)
    @given(raised=st.lists(OUTCOMES), more=OUTCOMES, met=st.frozensets(OUTCOMES))
    def test_evidence_only_raises(
        self, raised: list[Outcome], more: Outcome, met: frozenset[Outcome]
    ) -> None:
        """One more piece of evidence never lowers the outcome or loses an obligation."""
        outcome, obligations = combine(raised, discharged=met)
        higher, others = combine([*raised, more], discharged=met)

        assert higher >= outcome
        assert set(others) >= set(obligations)

    @settings(deadline=None)
    @given(raised=st.lists(OUTCOMES), chance=st.randoms(use_true_random=False))
    def test_order_does_not_matter(self, raised: list[Outcome], chance: object) -> None:
        """The same evidence in any order gives the same answer."""
        shuffled = list(raised)
        chance.shuffle(shuffled)  # type: ignore[attr-defined]

        assert combine(raised, discharged=()) == combine(shuffled, discharged=())

    @settings(deadline=None)
    @given(raised=st.lists(OUTCOMES), met=OUTCOMES)
    def test_discharging_one_leaves_the_others(self, raised: list[Outcome], met: Outcome) -> None:
        """A met obligation is left out; every other, and every refusal, stays."""
        outcome, obligations = combine(raised, discharged={met})
        _, before = combine(raised, discharged=())

        assert set(obligations) == set(before) - {met}
        if max(raised, default=Outcome.ALLOW) not in OBLIGATIONS:
            assert outcome == max(raised, default=Outcome.ALLOW)


class TestEngine:
    """One event in, one verdict out."""

    def test_carries_all_obligations_and_tells_reasons_by_priority(self) -> None:
        """The outcome is the highest; obligations and hits are complete."""
        policy = _policy(
            ("looked_at", "review", "ignore", "amount_minor > 10"),
            ("confirmed", "step_up", "ignore", "amount_minor > 10"),
            ("never", "block", "ignore", "amount_minor > 1000"),
            ("held", "hold", "ignore", "amount_minor > 10"),
        )

        verdict = _engine(policy).decide(_event(), ordered_at=NOW)

        assert verdict.outcome is Outcome.STEP_UP
        assert verdict.obligations == (Outcome.STEP_UP, Outcome.HOLD, Outcome.REVIEW)
        assert [policy.rules[hit].name for hit in verdict.hits] == [
            "looked_at",
            "confirmed",
            "held",
        ]

    def test_decides_again_without_what_was_discharged(self) -> None:
        """A met step-up leaves the hold, and the hits that raised both."""
        policy = _policy(
            ("confirmed", "step_up", "ignore", "amount_minor > 10"),
            ("held", "hold", "ignore", "amount_minor > 10"),
        )

        verdict = _engine(policy).decide(
            _event(), ordered_at=NOW, discharged=frozenset({Outcome.STEP_UP})
        )

        assert verdict.outcome is Outcome.HOLD
        assert verdict.obligations == (Outcome.HOLD,)
        assert verdict.discharged == (Outcome.STEP_UP,)
        assert verdict.hits == (0, 1)

    def test_reads_only(self) -> None:
        """Deciding leaves the state as it was; recording changes it."""
        policy = _policy(("any", "review", "ignore", "recent > 0"))
        engine = _engine(policy)

        first = engine.decide(_event(), ordered_at=NOW)
        second = engine.decide(_event(), ordered_at=NOW)
        engine.record(_event(), second, ordered_at=NOW)
        third = engine.decide(_event(), ordered_at=NOW + 1)

        assert first.features == second.features == (0, None, None, None)
        assert third.features == (1, 100, 1, 1)
        assert third.outcome is Outcome.REVIEW

    @pytest.mark.parametrize(
        ("when_null", "outcome"),
        [
            ("ignore", Outcome.ALLOW),
            ("review", Outcome.REVIEW),
            ("fail_closed", Outcome.STEP_UP),
        ],
    )
    def test_a_null_condition_follows_its_declared_policy(
        self, when_null: str, outcome: Outcome
    ) -> None:
        """NULL is no hit, a review, or the rule's own outcome, as declared; not degraded."""
        policy = _policy(("old", "step_up", when_null, "largest > 50"))

        verdict = _engine(policy).decide(_event(), ordered_at=NOW)

        assert verdict.outcome is outcome
        assert verdict.hits == (() if when_null == "ignore" else (~0,))
        assert verdict.degraded is Degradation.NONE

    @pytest.mark.parametrize(
        ("when_null", "outcome"),
        [
            ("ignore", Outcome.ALLOW),
            ("review", Outcome.REVIEW),
            ("fail_closed", Outcome.HOLD),
        ],
    )
    def test_an_unknown_feature_degrades_the_verdict(
        self, when_null: str, outcome: Outcome
    ) -> None:
        """What was evicted is not taken for empty: the rule is not believed, whatever it says."""
        policy = _policy(("new", "decline", when_null, "COALESCE(known, 0) < 5"))
        engine = _engine(policy)
        engine.state.apply(_event(), ordered_at=NOW, outcome=Outcome.ALLOW)

        dropped = engine.state.evict(before=NOW + DAY)
        verdict = engine.decide(_event(), ordered_at=NOW + 2 * DAY)
        again = judge(
            policy,
            event=_event(),
            ordered_at=NOW + 2 * DAY,
            features=verdict.features,
            unknown=verdict.unknown,
        )
        stranger = engine.decide(_event(customer=9), ordered_at=NOW + 2 * DAY)

        assert dropped == 1
        assert verdict.outcome is outcome
        assert verdict.degraded is Degradation.FEATURE_UNKNOWN
        assert [policy.features.names[index] for index in verdict.unknown] == ["known", "quiet"]
        assert (again.outcome, again.hits) == (verdict.outcome, verdict.hits)
        assert stranger.outcome is Outcome.DECLINE
        assert stranger.unknown == ()

    def test_a_window_is_known_again_after_the_eviction(self) -> None:
        """Windows that begin after an eviction are full; first seen stays unknown."""
        engine = _engine(_policy(("any", "review", "ignore", "recent > 0")))
        engine.state.apply(_event(), ordered_at=NOW, outcome=Outcome.ALLOW)
        engine.state.evict(before=NOW + 1)

        early = engine.decide(_event(), ordered_at=NOW + 2)
        engine.state.apply(_event(), ordered_at=NOW + 3, outcome=Outcome.ALLOW)
        late = engine.decide(_event(), ordered_at=NOW + DAY)
        file = io.BytesIO()
        dump_state(engine.state, file, position=7)
        file.seek(0)
        loaded, _ = load_state(file, features=FEATURES)

        assert early.unknown == (0, 1, 2, 3)
        assert early.features == (None,) * 4
        assert early.degraded is Degradation.FEATURE_UNKNOWN
        assert late.unknown == (2,)
        assert loaded.unknown(_event(), ordered_at=NOW + DAY) == (2,)

    @pytest.mark.parametrize(
        ("gate", "outcome"), [(Gate.PAYMENT, Outcome.HOLD), (Gate.CARD, Outcome.DECLINE)]
    )
    @pytest.mark.fault(59)
    def test_answers_with_the_posture_when_it_breaks(self, gate: Gate, outcome: Outcome) -> None:
        """An engine that cannot compute answers as declared, and says that it is degraded."""
        policy = _policy(("any", "review", "ignore", "recent > 0"))
        broken = msgspec.structs.replace(_event(gate=gate), amount_minor="not a number")
        engine = _engine(policy)
        engine.state.tables[0][1] = ()

        features_failed = engine.decide(_event(gate=gate), ordered_at=NOW)
        rules_failed = _engine(_policy(("sum", "review", "ignore", "amount_minor > 5"))).decide(
            broken, ordered_at=NOW
        )

        assert features_failed.outcome is rules_failed.outcome is outcome
        assert features_failed.degraded is Degradation.FEATURES_FAILED
        assert rules_failed.degraded is Degradation.RULES_FAILED
        assert features_failed.unknown == (0, 1, 2, 3)

    def test_refuses_a_state_of_other_features(self) -> None:
        """A policy and a state of other definitions do not work together."""
        with pytest.raises(InvariantBroken):
            Engine(load_policy(), FeatureState(FEATURES))

    def test_time_only_moves_forward(self) -> None:
        """An event that is not after the newest one is refused and changes nothing."""
        engine = _engine(_policy(("any", "review", "ignore", "recent > 0")))
        engine.state.apply(_event(), ordered_at=NOW, outcome=Outcome.ALLOW)

        with pytest.raises(InvariantBroken):
            engine.state.apply(_event(), ordered_at=NOW, outcome=Outcome.ALLOW)

        assert engine.decide(_event(), ordered_at=NOW + 1).features[0] == 1

    def test_an_event_that_cannot_be_folded_leaves_no_trace(self) -> None:
        """A number beyond 64 bits fails as a whole, even outside a batch."""
        state = FeatureState(FEATURES)
        state.apply(_event(), ordered_at=NOW, outcome=Outcome.ALLOW)

        with pytest.raises(OverflowError):
            state.apply(_event(1 << 70), ordered_at=NOW + 1, outcome=Outcome.ALLOW)

        assert state.measure(_event(), NOW + 2) == (1, 100, 2, 2)


class TestJudge:
    """Replaying a decision from what its record holds."""

    @settings(deadline=None)
    @given(amounts=st.lists(st.integers(1, 400), min_size=1, max_size=20))
    def test_repeats_the_decision(self, amounts: list[int]) -> None:
        """The stored vector gives the identical outcome, obligations and hits."""
        policy = _policy(
            ("many", "step_up", "ignore", "recent > 3"),
            ("large", "hold", "review", "amount_minor > 2 * largest"),
            ("huge", "decline", "fail_closed", "amount_minor > 3 * largest AND known > 5"),
        )
        engine = _engine(policy)

        for place, amount in enumerate(amounts):
            event, now = _event(amount), NOW + 1 + place * 900_000_000
            verdict = engine.decide(event, ordered_at=now)
            engine.record(event, verdict, ordered_at=now)
            record = record_of(
                verdict, event=event, policy=policy.hash, ordered_at=now, position=place
            )
            stored = msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=DecisionRecord)
            again = judge(
                policy,
                event=stored.event,
                ordered_at=stored.ordered_at,
                features=stored.features,
                unknown=stored.unknown,
                discharged=stored.discharged,
            )

            assert stored == record
            assert again.outcome is stored.outcome
            assert again.obligations == stored.obligations
            assert again.hits == stored.hits


class TestExplain:
    """A stored decision in words."""

    def _record(self, policy: Policy, event: GateEvent) -> DecisionRecord:
        verdict = _engine(policy).decide(event, ordered_at=NOW)
        return record_of(verdict, event=event, policy=policy.hash, ordered_at=NOW, position=1)

    def test_says_what_was_unusual(self) -> None:
        """Sentences are filled with the values that the decision saw, by priority."""
        policy = _policy(
            ("first", "decline", "ignore", "amount_minor > 10"),
            ("second", "step_up", "review", "largest > 10"),
        )

        told = explain(self._record(policy, _event()), policy=policy)

        assert told.sentences == (
            "The payment was declined.",
            "The rule first with 0 events.",
            "The check for second could not be made, because data is missing.",
            "Also required: review.",
        )
        assert [reason.raised for reason in told.reasons] == [Outcome.DECLINE, Outcome.REVIEW]

    @pytest.mark.parametrize(("amount", "code"), [(50, "security_refusal"), (5, "approved")])
    def test_tells_customers_one_coarse_code(self, amount: int, code: str) -> None:
        """Declines and blocks look alike outside, a review looks like an approval."""
        for refusal in ("decline", "block"):
            policy = _policy(
                ("refused", refusal, "ignore", "amount_minor > 10"),
                ("looked_at", "review", "ignore", "amount_minor > 1"),
            )

            told = explain(self._record(policy, _event(amount)), policy=policy)

            assert told.public_reason == code

    def test_tells_amounts_and_times_in_words(self) -> None:
        """Money has its currency and decimals, durations their unit."""
        policy = load_policy()
        event = GateEvent(Gate.CARD, 1_234_567, 978, 1, 2)

        told = explain(self._record(policy, event), policy=policy)

        assert told.sentences == (
            "The payment waits for the customer to confirm it.",
            "12,345.67 EUR is more than a card pays without confirmation.",
        )

    def test_refuses_another_policy(self) -> None:
        """A record is explained by the version that decided, or not at all."""
        one = _policy(("any", "review", "ignore", "recent > 0"))
        other = _policy(("any", "review", "ignore", "recent > 1"))

        with pytest.raises(PolicyMismatch):
            explain(self._record(one, _event()), policy=other)


class TestLoadPolicy:
    """A policy is a folder of text."""

    def test_hash_names_the_meaning(self) -> None:
        """Another threshold is another policy."""
        one = _policy(("any", "review", "ignore", "recent > 0"))
        same = _policy(("any", "review", "ignore", "(recent) > 0 -- often"))
        other = _policy(("any", "review", "ignore", "recent > 1"))

        assert one.hash == same.hash != other.hash
        assert len(one.hash) == 16

    def test_two_rules_cannot_share_a_name(self) -> None:
        """A second rule of a name is refused."""
        twice = ("any", "review", "ignore", "recent > 0")

        with pytest.raises(DefinitionRefused, match="any stands in"):
            _policy(twice, twice)

    @pytest.mark.parametrize(
        ("settings", "word"),
        [
            ("name = ", "policy.toml"),
            ('name = "a"', "postures"),
            ('name = "a"\n[postures]\npayment = "allow"\ncard = "hold"', "hold, step_up"),
            ('name = "a"\n[postures]\npayment = "hold"', "payment, card"),
            ('name = "a"\ncolour = 1\n[postures]\npayment = "hold"\ncard = "hold"', "nothing else"),
        ],
    )
    def test_refuses_postures_that_let_money_through(
        self, tmp_path: Path, settings: str, word: str
    ) -> None:
        """Every gate has a posture, and a posture is closed."""
        (tmp_path / "policy.toml").write_text(settings)

        with pytest.raises(DefinitionRefused, match=word):
            load_policy(tmp_path)

    def test_refuses_a_folder_without_files(self, tmp_path: Path) -> None:
        """A missing file is named."""
        with pytest.raises(DefinitionRefused, match=r"policy\.toml"):
            load_policy(tmp_path)
