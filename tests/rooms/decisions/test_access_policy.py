"""The access policy: each rule stops its story, and ordinary life goes through."""

from typing import Any

import pytest

from scudo.decisions import (
    PASSAGES,
    Engine,
    FeatureState,
    Gate,
    GateEvent,
    Outcome,
    Verdict,
    explain,
    load_access_policy,
    load_policy,
    record_of,
)
from scudo.governance import Passage, Ruling

POLICY = load_access_policy()
NOW = 1_700_000_000_000_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

Step = dict[str, Any]
"""Members of one event that differ from an ordinary log-in, with `after` and `outcome`."""

LOG_IN: Step = {"after": DAY}
SOON: Step = {"after": MINUTE}
STRANGE: Step = {"device": 99, "ip": 98}
ONBOARDED: Step = SOON | {"gate": Gate.ONBOARDING}
ADDED: Step = SOON | {"gate": Gate.NEW_DEVICE}
PAYEE: Step = SOON | {"gate": Gate.BENEFICIARY}
RECOVERED: Step = SOON | {"gate": Gate.RECOVERY}
LIMIT: Step = SOON | {"gate": Gate.LIMIT_CHANGE}
FAILED: Step = SOON | {"gate": Gate.FAILED_PROOF}
DONE: Step = SOON | {"gate": Gate.SESSION_ACT, "session": 50, "act": 1, "hour": 13}
READS: Step = DONE | {"after": 10 * SECOND, "act": 6}
ACT: Step = SOON | {"gate": Gate.OPERATOR_ACT, "customer": 7_000}


def _event(step: Step) -> GateEvent:
    members: Step = {
        "gate": Gate.LOG_IN,
        "amount_minor": 0,
        "currency": 0,
        "customer": 1,
        "account": 0,
        "device": 5,
        "ip": 6,
        "country": 380,
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


def _each(step: Step, member: str, count: int, *, first: int = 100) -> tuple[Step, ...]:
    return tuple(step | {member: number} for number in range(first, first + count))


#: A rule, and the shortest story that it stops; one step less it lets pass.
STORIES: dict[str, tuple[Step, ...]] = {
    "device_across_customers": _each(SOON, "customer", 5),
    "device_refused_repeatedly": (*(SOON | {"outcome": Outcome.DECLINE},) * 5, SOON),
    "network_across_customers": tuple(
        SOON | {"customer": number, "device": number} for number in range(100, 120)
    ),
    "log_in_after_failures": (*(FAILED,) * 8, SOON),
    "log_in_after_failures_of_network": (
        *_each(FAILED | {"after": SECOND}, "customer", 40, first=1_000),
        SOON,
    ),
    "proofs_guessed": _each(FAILED | {"after": SECOND}, "device", 200),
    "log_in_after_recovery": (RECOVERED, SOON | STRANGE),
    "log_in_new_device": (LOG_IN, SOON | {"device": 99}),
    "log_in_elsewhere": (LOG_IN, SOON | {"country": 826}),
    "log_in_many_networks": _each(SOON, "ip", 6),
    "log_in_velocity": (SOON,) * 20,
    "log_in_after_long": (LOG_IN, {"after": 181 * DAY}),
    "session_floods": (DONE | {"after": SECOND},) * 60,
    "session_harvests": (READS,) * 30,
    "act_at_once": (*(LOG_IN,) * 3, DONE | {"after": SECOND}),
    "act_unheard_of": (*(LOG_IN,) * 3, DONE | STRANGE),
    "act_at_unusual_hour": (
        *(DONE | {"after": DAY},) * 10,
        DONE | {"after": 13 * HOUR, "hour": 2, "ip": 98},
    ),
    "act_elsewhere": (SOON, DONE | {"country": 826}),
    "acts_follow_quickly": (DONE | {"after": SECOND},) * 20,
    "act_after_many_reads": (*(READS,) * 5, DONE),
    "onboarding_one_device": _each(ONBOARDED, "customer", 4),
    "onboarding_one_network": tuple(
        ONBOARDED | {"customer": number, "device": number} for number in range(100, 120)
    ),
    "new_device_after_recovery": (RECOVERED, ADDED | {"device": 99}),
    "new_device_confirmed": (LOG_IN, ADDED | {"device": 99}),
    "many_new_devices": _each(ADDED, "device", 5),
    "beneficiary_after_recovery": (RECOVERED, PAYEE),
    "beneficiary_from_new_device": (LOG_IN, LOG_IN, PAYEE | {"device": 99}),
    "many_beneficiaries_added": (PAYEE,) * 6,
    "recovery_from_nowhere": (LOG_IN, RECOVERED | STRANGE),
    "recovered_repeatedly": (RECOVERED,) * 3,
    "limit_after_recovery": (RECOVERED, LIMIT),
    "limit_from_new_device": (LOG_IN, LOG_IN, LIMIT | {"device": 99}),
    "limits_changed_repeatedly": (LIMIT,) * 4,
    "operator_from_new_device": (ACT, ACT | {"device": 99}),
    "operator_velocity": (ACT | {"after": SECOND},) * 60,
}

#: Ordinary life beside a rule's story: what just does not meet it.
JUST_NOT: dict[str, tuple[Step, ...]] = {
    "five customers of one device within two hours": _each({"after": 30 * MINUTE}, "customer", 5),
    "the first log-in of all": (SOON,),
    "a refused customer from another device": (
        *(SOON | {"outcome": Outcome.DECLINE},) * 4,
        SOON | {"device": 99},
    ),
    "a stranger's failures, and the customer's own device": (
        *(LOG_IN,) * 3,
        *(FAILED | STRANGE,) * 30,
        SOON,
    ),
    "somebody who mistypes": (LOG_IN, *(FAILED,) * 5, SOON),
    "failures two hours ago": (
        LOG_IN,
        *(FAILED,) * 20,
        {"after": 2 * HOUR},
    ),
    "the first acts of a new customer, at once": (
        ONBOARDED,
        SOON,
        DONE | {"after": SECOND},
        DONE | {"after": SECOND, "act": 4},
    ),
    "a payment like any other, at once": (
        *(LOG_IN, DONE) * 3,
        LOG_IN,
        DONE | {"after": SECOND, "session": 51},
    ),
    "a first time, slowly and from home": (*(LOG_IN, DONE) * 3, DONE | {"act": 4}),
    "the usual act at an unusual hour, from home": (
        *(DONE | {"after": DAY},) * 10,
        DONE | {"after": 13 * HOUR, "hour": 2},
    ),
    "the usual act from elsewhere, a little earlier than usual": (
        *(DONE | {"after": DAY},) * 10,
        DONE | {"after": 20 * HOUR, "hour": 9, "ip": 98},
    ),
    "an act in another country, after a flight": (
        LOG_IN,
        DONE | {"after": 3 * HOUR, "country": 826},
    ),
    "an act from a network whose country nobody knows": (SOON, DONE | {"country": None}),
    "somebody who looks through the history": ((READS | {"after": 3 * MINUTE}),) * 30,
    "another country, the next day": (LOG_IN, LOG_IN | {"country": 826}),
    "a beneficiary from the usual device": (*(LOG_IN,) * 3, PAYEE),
    "a limit four days after a recovery": (RECOVERED, LIMIT | {"after": 4 * DAY}),
    "the first device of a new customer": (ONBOARDED, ADDED),
    "an operator's usual acts": (ACT,) * 20,
    "recovery from the usual device": (LOG_IN, RECOVERED),
}


class TestAccessPolicy:
    """What is shipped for everything that persons do beside paying."""

    def test_every_rule_has_a_story(self) -> None:
        """A rule that no story here stops would not be known to work."""
        assert set(STORIES) == {rule.name for rule in POLICY.rules}

    @pytest.mark.parametrize("rule", STORIES)
    def test_a_rule_stops_its_story_and_not_the_step_before(self, rule: str) -> None:
        """The last step is hit, the one before it is not, and all of it can be told."""
        verdict, event, now = _play(*STORIES[rule])
        before = _play(*STORIES[rule][:-1])[0] if STORIES[rule][:-1] else None

        hits = [POLICY.rules[hit].name for hit in verdict.hits]
        record = record_of(verdict, event=event, policy=POLICY.hash, ordered_at=now, position=1)
        told = explain(record, policy=POLICY)
        assert rule in hits
        assert verdict.outcome >= POLICY.rules[verdict.hits[hits.index(rule)]].outcome
        assert before is None or rule not in [POLICY.rules[hit].name for hit in before.hits]
        assert all("{" not in sentence and "None" not in sentence for sentence in told.sentences)
        assert "payment" not in told.headline

    @pytest.mark.parametrize("story", JUST_NOT)
    def test_ordinary_life_goes_through(self, story: str) -> None:
        """What only resembles an attack raises nothing."""
        verdict, _, _ = _play(*JUST_NOT[story])

        assert verdict.hits == ()
        assert verdict.outcome is Outcome.ALLOW

    @pytest.mark.parametrize("known", [True, False])
    def test_failures_from_elsewhere_step_up_devices_that_are_new_only(self, known: bool) -> None:
        """Guessing at an account from many places steps up what it did not know before."""
        guessed = _each(FAILED, "device", 10, first=1_000)
        verdict, _, _ = _play(LOG_IN, LOG_IN, *guessed, SOON | ({} if known else {"device": 99}))

        hits = [POLICY.rules[hit].name for hit in verdict.hits]
        assert ("log_in_after_failures" in hits) is not known
        assert verdict.outcome is (Outcome.ALLOW if known else Outcome.STEP_UP)

    def test_a_month_of_log_ins_raises_nothing(self) -> None:
        """The same device every day for a month."""
        verdict, _, _ = _play(*(LOG_IN,) * 30)

        assert verdict.outcome is Outcome.ALLOW

    @pytest.mark.fault(59)
    @pytest.mark.parametrize("gate", sorted(PASSAGES))
    def test_every_gate_has_a_closed_posture(self, gate: Gate) -> None:
        """A part of the engine that fails lets nobody pass."""
        engine = Engine(POLICY, FeatureState(POLICY.features))

        def fails(*_: object) -> tuple[int | None, ...]:
            raise MemoryError

        engine.state.measure = fails
        verdict = engine.decide(_event({"gate": gate}), ordered_at=NOW)

        assert verdict.degraded
        assert verdict.outcome is POLICY.postures[gate]
        assert verdict.outcome >= Outcome.HOLD

    def test_gates_and_rulings_have_the_numbers_of_the_port(self) -> None:
        """Governance counts passages and rulings as this room counts gates and outcomes."""
        assert {p.name: p.value for p in Passage} == {g.name: g.value for g in PASSAGES}
        assert {r.name: r.value for r in Ruling} == {o.name: o.value for o in Outcome}

    def test_the_two_policies_share_no_gate(self) -> None:
        """Every gate has one policy, and all of them have one."""
        payments, access = load_policy().gates, POLICY.gates

        assert payments | access == set(Gate)
        assert not payments & access
