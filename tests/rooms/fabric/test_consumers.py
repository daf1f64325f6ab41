"""Consumers take every event once, in order, and stop at a gap."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from tests.conftest import Database
from tests.history.banks import opened

from scudo import identity
from scudo.bootstrap import CATALOGUE, Bank
from scudo.fabric import ConsumerRunner, GapInLog, Recorded, add_consumer, read_log, replay_from
from scudo.fabric.consumers import PAGE
from scudo.identity import CustomerKind, RegisterCustomer

REGISTERED = identity.events.CustomerRegistered


@dataclass
class Counting:
    """A consumer with an effect in the database: one row for each event."""

    fails_at: int | None = None
    taken: list[int] = field(default_factory=list)
    name: str = "tests.counting"
    wants: frozenset[type] = frozenset({REGISTERED})

    async def take(self, connection: AsyncConnection[TupleRow], page: Sequence[Recorded]) -> None:
        for recorded in page:
            await connection.execute("INSERT INTO tests.seen VALUES (%s)", (recorded.position,))
            self.taken.append(recorded.position)
            if recorded.position == self.fails_at:
                self.fails_at = None
                message = "the effect of this event failed"
                raise RuntimeError(message)


async def register(bank: Bank, count: int) -> None:
    """Put `count` events of one type into the log."""
    answers = [
        bank.queue(RegisterCustomer(f"c{n}", CustomerKind.PERSON, None), client=1)
        for n in range(count)
    ]
    assert {(await answer).status for answer in answers} == {201}


def seen(database: Database) -> list[int]:
    """Effects of the counting consumer, in order."""
    rows = database.connection.execute(
        "SELECT position FROM tests.seen ORDER BY position"
    ).fetchall()
    return [position for (position,) in rows]


@pytest.fixture
def effects(database: Database) -> Database:
    """A database in which the counting consumer can have its effects."""
    database.connection.execute("CREATE SCHEMA tests")
    database.connection.execute("CREATE TABLE tests.seen (position bigint)")
    database.connection.execute("GRANT USAGE ON SCHEMA tests TO scudo_app")
    database.connection.execute("GRANT SELECT, INSERT ON tests.seen TO scudo_app")
    return database


async def step_to_the_end(connection: AsyncConnection[TupleRow], consumer: Counting) -> None:
    """Let a consumer take all there is."""
    runner = ConsumerRunner((consumer,), catalogue=CATALOGUE, connect=lambda: None)  # type: ignore[arg-type,return-value]
    await add_consumer(connection, consumer.name)
    while await runner.step(connection, consumer):
        pass


class TestConsumerRunner:
    """Effects and position are one transaction."""

    def test_takes_every_event_once_over_several_pages(
        self, effects: Database, tmp_path: Path
    ) -> None:
        """Each event has exactly one effect, in the order of the log."""

        async def scenario() -> None:
            async with opened(effects.dsn, tmp_path) as (bank, _):
                await register(bank, 2 * PAGE + 7)
                async with await bank.connect() as connection:
                    await step_to_the_end(connection, Counting())

        asyncio.run(scenario())

        assert seen(effects) == list(range(1, 2 * PAGE + 8))

    def test_goes_on_after_a_failure_without_doing_anything_twice(
        self, effects: Database, tmp_path: Path
    ) -> None:
        """An effect that fails undoes its page, position included; the next run does it again."""
        consumer = Counting(fails_at=5)

        async def scenario() -> None:
            async with opened(effects.dsn, tmp_path) as (bank, _):
                await register(bank, 9)
                async with await bank.connect() as connection:
                    with pytest.raises(RuntimeError):
                        await step_to_the_end(connection, consumer)
                    assert seen(effects) == []
                    await step_to_the_end(connection, consumer)

        asyncio.run(scenario())

        assert consumer.taken == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6, 7, 8, 9]
        assert seen(effects) == list(range(1, 10))

    def test_replays_from_any_position(self, effects: Database, tmp_path: Path) -> None:
        """A consumer that is set back takes everything after that position again."""
        consumer = Counting()

        async def scenario() -> None:
            async with opened(effects.dsn, tmp_path) as (bank, _):
                await register(bank, 6)
                async with await bank.connect() as connection:
                    await step_to_the_end(connection, consumer)
                    await replay_from(connection, consumer.name, position=4)
                    await step_to_the_end(connection, consumer)

        asyncio.run(scenario())

        assert consumer.taken == [1, 2, 3, 4, 5, 6, 5, 6]

    def test_stops_before_a_gap(self, effects: Database, tmp_path: Path) -> None:
        """An event that somebody removed is an alarm, and nothing after it is taken."""
        consumer = Counting()

        async def scenario() -> None:
            async with opened(effects.dsn, tmp_path) as (bank, _):
                await register(bank, 6)
                with psycopg.connect(effects.dsn.admin, autocommit=True) as superuser:
                    superuser.execute("DELETE FROM fabric.log_entry WHERE position = 4")
                async with await bank.connect() as connection:
                    with pytest.raises(GapInLog, match="at 5 where 4 was expected"):
                        await step_to_the_end(connection, consumer)

        asyncio.run(scenario())

        assert seen(effects) == []

    def test_raises_the_alarm_that_operators_see(self, effects: Database, tmp_path: Path) -> None:
        """The running consumers of a bank report a gap by name, and readiness looks at it."""
        every = {
            *("decisions.alerts", "decisions.rescoring"),
            *("governance.acts", "governance.anomalies"),
        }

        async def scenario() -> set[str]:
            async with opened(effects.dsn, tmp_path) as (bank, _):
                await register(bank, 2)
                while bank.consumers.positions.get("decisions.alerts", 0) < 2:
                    await asyncio.sleep(0.02)
                await register_more(bank)
                with psycopg.connect(effects.dsn.admin, autocommit=True) as superuser:
                    superuser.execute("UPDATE fabric.consumer SET position = 0")
                    superuser.execute("DELETE FROM fabric.log_entry WHERE position = 1")
                for _ in range(1_500):
                    if bank.consumers.alarms == every:
                        break
                    await asyncio.sleep(0.02)
                return bank.consumers.alarms

        async def register_more(bank: Bank) -> None:
            answer = await bank.submit(
                RegisterCustomer("another", CustomerKind.PERSON, None), client=1
            )
            assert answer.status == 201

        assert asyncio.run(scenario()) == every


class TestReadLog:
    """Reading gives whole entries, each event at its own position and time."""

    def test_gives_positions_and_times_without_gaps(
        self, database: Database, tmp_path: Path
    ) -> None:
        """Positions count up by one, and time is strictly increasing with them."""

        async def scenario() -> list[Recorded]:
            async with opened(database.dsn, tmp_path) as (bank, _):
                await register(bank, 20)
                async with bank.reads() as connection:
                    recorded, through = await read_log(connection, CATALOGUE, after=0, limit=50)
                    assert through == bank.conveyor.head.position
                    return recorded

        recorded = asyncio.run(scenario())

        assert [item.position for item in recorded] == list(range(1, 21))
        times = [item.ordered_at for item in recorded]
        assert times == sorted(set(times))
