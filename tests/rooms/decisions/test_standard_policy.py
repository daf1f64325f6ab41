"""The shipped policy: each rule stops its story, and ordinary life goes through."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scudo.decisions import (
    Channel,
    Engine,
    FeatureState,
    Gate,
    GateEvent,
    Outcome,
    Verdict,
    explain,
    load_policy,
    record_of,
)
from scudo.decisions.expressions.python import distance_m
from scudo.payments.routes.wire import coarse
from scudo.vault import TextSignal

POLICY = load_policy()
NOW = 1_700_000_000_000_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

Step = dict[str, Any]
"""Members of one event that differ from an ordinary one, with `after` and `outcome`."""

USUAL_CARD: Step = {"after": DAY}
USUAL_PAYMENT: Step = {"after": DAY, "gate": Gate.PAYMENT, "merchant": None, "card": None}
PAID = USUAL_PAYMENT | {"beneficiary": 77, "device": 5}
SOON = {"after": MINUTE}
ROME = {"latitude_e4": 419_000, "longitude_e4": 125_000}
OSLO = {"latitude_e4": 599_000, "longitude_e4": 107_000}


def _event(step: Step) -> GateEvent:
    members: Step = {
        "gate": Gate.CARD,
        "amount_minor": 2_000,
        "currency": 978,
        "customer": 1,
        "account": 11,
        "card": 21,
        "merchant": 31,
        "channel": Channel.CARD_PRESENT,
        "available_minor": 1_000_000,
    }
    members |= {name: value for name, value in step.items() if name not in {"after", "outcome"}}
    return GateEvent(**members)


def _play(*story: Step) -> tuple[Verdict, GateEvent, int]:
    """Fold in all steps but the last, and decide that one."""
    engine = Engine(POLICY, FeatureState(POLICY.features))
    now = NOW
    for step in story[:-1]:
        now += step["after"]
        outcome = step.get("outcome", Outcome.ALLOW)
        engine.state.apply(_event(step), ordered_at=now, outcome=outcome)
    now += story[-1]["after"]
    event = _event(story[-1])
    return engine.decide(event, ordered_at=now), event, now


STORIES: dict[str, tuple[Step, ...]] = {
    "card_testing_small_amounts": (SOON | {"amount_minor": 100},) * 4,
    "card_testing_one_device": tuple(
        SOON | {"device": 5, "card": card, "account": card, "customer": card}
        for card in (101, 102, 103, 104)
    ),
    "card_testing_one_address": tuple(
        SOON | {"ip": 6, "card": card, "account": card, "amount_minor": 100}
        for card in range(101, 111)
    ),
    "card_declined_repeatedly": (*(SOON | {"outcome": Outcome.DECLINE},) * 3, SOON),
    "card_velocity": (SOON,) * 8,
    "impossible_travel": (USUAL_CARD | ROME, {"after": HOUR} | OSLO),
    "card_amount_above_history": (*(USUAL_CARD,) * 6, SOON | {"amount_minor": 6_100}),
    "card_amount_large": (USUAL_CARD | {"amount_minor": 22_001},),
    "merchant_with_many_declines": (
        *(SOON | {"card": n, "outcome": Outcome.DECLINE} for n in range(101, 106)),
        SOON,
    ),
    "new_device_and_new_beneficiary": (
        *(PAID,) * 3,
        PAID | {"device": 6, "beneficiary": 78, "amount_minor": 200_001},
    ),
    "new_device": (*(PAID,) * 3, PAID | {"device": 6, "amount_minor": 50_001}),
    "new_beneficiary": (PAID, PAID | {"beneficiary": 78, "amount_minor": 100_001}),
    "drained_balance": (PAID | {"amount_minor": 60_000, "available_minor": 61_000},),
    "message_of_a_scam": (
        *(PAID | {"text_signals": signals} for signals in (None, 0, 129)),
        PAID | {"beneficiary": 78, "amount_minor": 10_001, "text_signals": 0},
        PAID | {"beneficiary": 79, "amount_minor": 10_001, "text_signals": 128},
    ),
    "payment_amount_above_history": (*(PAID,) * 6, PAID | {"amount_minor": 20_001}),
    "many_payers_one_beneficiary": tuple(
        PAID | SOON | {"customer": n, "account": n} for n in range(101, 109)
    ),
    "many_beneficiaries": tuple(PAID | SOON | {"beneficiary": n} for n in range(101, 109)),
    "payment_velocity": (PAID | SOON,) * 20,
    "repeated_refusals": (*(PAID | SOON | {"outcome": Outcome.DECLINE},) * 5, PAID | SOON),
    "dormant_account_wakes": (PAID, PAID | {"after": 91 * DAY, "amount_minor": 100_001}),
    "on_deny_list": (SOON, SOON | {"listed": 32_512 + 8_323_072}, SOON | {"listed": 8}),
    "on_watch_list": (SOON, SOON | {"listed": 8_323_072}, SOON | {"listed": 2_048}),
    "shared_device": tuple(SOON | {"device": 5, "customer": n} for n in range(101, 106)),
    "shared_address": tuple(PAID | SOON | {"ip": 6, "customer": n} for n in range(101, 113)),
}


class TestStandardPolicy:
    """The shipped features and rules together."""

    def test_is_as_large_as_promised(self) -> None:
        """At least 24 features and 12 rules, every one with its story here."""
        assert len(POLICY.features.features) >= 24
        assert len(POLICY.rules) >= 12
        assert set(STORIES) == {rule.name for rule in POLICY.rules}

    @pytest.mark.parametrize("rule", list(STORIES))
    def test_each_rule_stops_its_story(self, rule: str) -> None:
        """The last event of the story hits the rule; what went before it did not."""
        verdict, event, now = _play(*STORIES[rule])
        before, _, _ = _play(*STORIES[rule][:-1]) if len(STORIES[rule]) > 1 else (None, 0, 0)

        hits = [POLICY.rules[hit].name for hit in verdict.hits]
        record = record_of(verdict, event=event, policy=POLICY.hash, ordered_at=now, position=1)
        told = explain(record, policy=POLICY)
        assert rule in hits
        assert verdict.outcome >= POLICY.rules[verdict.hits[hits.index(rule)]].outcome
        assert before is None or rule not in [POLICY.rules[hit].name for hit in before.hits]
        assert all("{" not in sentence and "None" not in sentence for sentence in told.sentences)

    @pytest.mark.parametrize("usual", [USUAL_CARD | ROME, PAID], ids=["card", "payment"])
    def test_ordinary_life_goes_through(self, usual: Step) -> None:
        """A month of usual purchases or payments raises nothing."""
        for days in (1, 2, 30):
            verdict, _, _ = _play(*(usual,) * days)

            assert verdict.outcome is Outcome.ALLOW
            assert verdict.hits == ()

    def test_a_journey_at_the_speed_of_an_airliner_is_possible(self) -> None:
        """Rome to Oslo in four hours is a flight."""
        verdict, _, _ = _play(USUAL_CARD | ROME, {"after": 4 * HOUR} | OSLO)

        assert verdict.outcome is Outcome.ALLOW

    @pytest.mark.parametrize(
        ("changed", "holds"),
        [
            ({}, True),
            ({"text_signals": TextSignal.LINK}, True),
            ({"text_signals": TextSignal.SHOUTS | TextSignal.CARD_NUMBER}, False),
            ({"text_signals": None}, False),
            ({"amount_minor": 10_000}, False),
            ({"beneficiary": 77}, False),
        ],
    )
    def test_a_message_counts_with_a_new_payee_and_an_amount(
        self, changed: Step, *, holds: bool
    ) -> None:
        """Words of scams and links hold what goes to somebody new; other signals do not."""
        last = {"beneficiary": 78, "amount_minor": 10_001, "text_signals": TextSignal.SCAM_WORDS}
        verdict, _, _ = _play(*(PAID,) * 3, PAID | last | changed)

        hits = [POLICY.rules[hit].name for hit in verdict.hits]
        assert ("message_of_a_scam" in hits) is holds

    @given(
        st.integers(-800_000, 800_000),
        st.integers(-1_790_000, 1_790_000),
        st.integers(0, 4_000_000),
    )
    def test_coarse_places_move_a_journey_by_four_kilometres_at_most(
        self, latitude: int, longitude: int, far: int
    ) -> None:
        """Rounded at the edge, a distance changes little beside the hundred that it is held to."""
        other = (latitude * 7 % 800_000, (longitude + far) % 3_580_000 - 1_790_000)
        exact = distance_m(latitude, longitude, *other)
        rounded = distance_m(*map(coarse, (latitude, longitude, *other)))

        assert exact is not None
        assert rounded is not None
        assert abs(exact - rounded) <= 4_000
