"""Watches what operators do, and says once when it is odd."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.fabric import Answer, Command, Entry, Event, Recorded, queries
from scudo.governance.anomalies.rules import USUAL, Conduct, Rule, Thresholds
from scudo.governance.events import ActRecorded, AnomalyFound
from scudo.kernel import micros

_SQL: Final = queries("scudo.governance", "conduct.sql")

#: Hands a command to the writer under a key that makes it act once.
Act = Callable[[Command, str], Awaitable[Answer]]
#: What an event tells of somebody's conduct; None: nothing.
Reader = Callable[[Recorded], Conduct | None]


class TellAnomaly(Command, frozen=True, tag=540):
    """Tell the log that somebody's conduct is odd."""

    actor: int
    actor_kind: int
    rule: str
    severity: str
    period: int
    count: int
    usual: int


def tell_anomaly(command: TellAnomaly, entry: Entry) -> Answer:
    """Tell the log of an anomaly."""
    entry.emit(
        AnomalyFound(
            entry.next_position,
            command.actor,
            command.actor_kind,
            command.rule,
            command.severity,
            command.period,
            command.count,
            command.usual,
        )
    )
    return Answer(200, b"{}")


def read_act(recorded: Recorded) -> Conduct:
    """What an act of the audit trail tells."""
    event = recorded.event
    assert isinstance(event, ActRecorded), "it reads nothing else"
    return Conduct(
        actor=event.actor,
        actor_kind=event.actor_kind,
        act=event.act,
        result=event.result,
        reason=event.reason,
        of_person=event.whose is not None,
        at=recorded.ordered_at,
    )


class Anomalies:
    """Counts what operators do by hours and days, and tells what passes a threshold.

    Counts are kept with the consumer's position, and what is told has a key of its own for
    each operator, rule and period: after a crash nothing counts twice, and nothing is told twice.
    """

    name: Final = "governance.anomalies"

    def __init__(
        self,
        act: Act,
        thresholds: Thresholds,
        readers: Mapping[type[Event], Reader] | None = None,
    ) -> None:
        """Watch.

        Args:
            act: hands commands to the writer.
            thresholds: what is odd.
            readers: of events beside acts that tell what operators do, from rooms above.
        """
        self._act = act
        self._thresholds = thresholds
        self._readers: dict[type[Event], Reader] = {ActRecorded: read_act, **(readers or {})}
        self.wants: frozenset[type[Event]] = frozenset(self._readers)

    async def take(self, connection: AsyncConnection[TupleRow], page: Sequence[Recorded]) -> None:
        """Count what the events tell, and tell what is odd."""
        thresholds = self._thresholds
        for recorded in page:
            conduct = self._readers[type(recorded.event)](recorded)
            if conduct is None or not thresholds.watches(conduct):
                continue
            for rule in thresholds.rules:
                if rule.counts(conduct, thresholds.office):
                    await self._count(connection, rule, conduct)

    async def _count(
        self, connection: AsyncConnection[TupleRow], rule: Rule, conduct: Conduct
    ) -> None:
        period = rule.period_of(conduct.at)
        row: dict[str, Any] = {
            "actor": conduct.actor,
            "actor_kind": conduct.actor_kind,
            "rule": rule.name,
            "period": period,
            "since": period - USUAL,
        }
        counted = await (await connection.execute(_SQL["count"], row)).fetchone()
        assert counted is not None, "it returns a row"
        count, is_told = counted
        if is_told or count < rule.at_least:
            return
        found = await (await connection.execute(_SQL["usual"], row)).fetchone()
        assert found is not None, "an aggregate is a row"
        (usual,) = found
        if count < rule.threshold(usual):
            return
        began = micros(period)
        await self._act(
            TellAnomaly(
                conduct.actor,
                conduct.actor_kind,
                rule.name,
                rule.severity,
                began,
                count,
                usual,
            ),
            f"{self.name}:{rule.name}:{conduct.actor_kind}:{conduct.actor}:{began}",
        )
        await connection.execute(_SQL["tell"], row)
