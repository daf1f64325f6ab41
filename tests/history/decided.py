"""The law of decisions: a fresh engine, fed the log in order, decides everything again."""

from typing import Any

import msgspec
from tests.model.replay import PAYMENTS, Stored

from scudo.decisions import (
    DecisionRecord,
    Engine,
    FeatureState,
    Policy,
    load_access_policy,
    load_policy,
)


def decision_problems(stored: Stored, *, policy: Policy | None = None) -> list[str]:
    """Decisions that a fresh engine would not have made so, or not from the same values."""
    policies = {True: policy or load_policy(), False: load_access_policy()}
    engines = {
        is_payment: Engine(p, FeatureState(p.features)) for is_payment, p in policies.items()
    }
    problems = []
    for number in sorted(stored.decisions):
        record = msgspec.convert(stored.decisions[number]["record"], DecisionRecord)
        engine = engines[record.event.gate in PAYMENTS]
        again = engine.decide(
            record.event, ordered_at=record.ordered_at, discharged=frozenset(record.discharged)
        )
        engine.record(record.event, again, ordered_at=record.ordered_at)
        for name in ("outcome", "hits", "features", "obligations", "unknown", "degraded"):
            is_: Any = getattr(record, name)
            if is_ != getattr(again, name):
                problems.append(f"decision {number}: {name} {is_!r}, now {getattr(again, name)!r}")
    return problems[:20]
