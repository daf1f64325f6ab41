"""Decides again what the log says was decided: the same features, hits and outcome each time."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.decisions import (
    DecisionRecord,
    Engine,
    FeatureState,
    Policy,
    PolicyMismatch,
    Verdict,
    read_decisions,
)

#: What must come out the same, in the order in which a difference is named.
_COMPARED: Final = (
    "features",
    "unknown",
    "hits",
    "obligations",
    "discharged",
    "degraded",
    "outcome",
)
_TELL_EVERY: Final = 5_000


@dataclass(frozen=True, slots=True)
class Difference:
    """The first decision that came out otherwise, and in which of its members."""

    decision: int
    member: str
    recorded: object
    recomputed: object


@dataclass(frozen=True, slots=True)
class Redecided:
    """How many decisions were made again, and the first that differs; None if none does."""

    decisions: int
    difference: Difference | None

    @property
    def is_identical(self) -> bool:
        """Whether every decision came out as it was recorded."""
        return self.difference is None


async def redecide(
    connection: AsyncConnection[TupleRow],
    policies: Iterable[Policy],
    *,
    through: int,
    watch: Callable[[int], None] = lambda _: None,
) -> Redecided:
    """Make every decision up to one again, on features recomputed from the log alone.

    Starts from nothing and reads only what gates were asked; each decision is compared
    with its record and then folded, so one pass proves all of them.

    Args:
        connection: to the bank's database.
        policies: one for each gate; their states are apart, as they were.
        through: id of the last decision.
        watch: is told now and then how many were made again.

    Raises:
        PolicyMismatch: a decision was made by another policy.
    """
    engines = {policy.hash: Engine(policy, FeatureState(policy.features)) for policy in policies}
    count = 0
    async for number, record in read_decisions(connection, after=0, through=through):
        engine = engines.get(record.policy)
        if engine is None:
            message = f"decision {number} was made by policy {record.policy.hex()}"
            raise PolicyMismatch(message)
        verdict = engine.decide(
            record.event,
            ordered_at=record.ordered_at,
            discharged=frozenset(record.discharged),
        )
        count += 1
        difference = _difference(number, record, verdict)
        if difference is not None:
            return Redecided(count, difference)
        engine.record(record.event, verdict, ordered_at=record.ordered_at)
        if count % _TELL_EVERY == 0:
            watch(count)
    return Redecided(count, None)


def _difference(number: int, record: DecisionRecord, verdict: Verdict) -> Difference | None:
    for member in _COMPARED:
        recorded, recomputed = getattr(record, member), getattr(verdict, member)
        if recorded != recomputed:
            return Difference(number, member, recorded, recomputed)
    return None
