"""Consumers of the log: each takes every event once, in order, and keeps its position.

A consumer's effects and its position are one transaction: after a crash it goes on exactly
where its effects ended, and it can be replayed from any position. One that makes the bank
act hands the writer a command under a key made of its name and the event's position, so
that an event taken twice acts once.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.fabric.log.catalogue import EventCatalogue
from scudo.fabric.log.model import Event, event_mark
from scudo.fabric.rows import queries
from scudo.kernel import InvariantBroken, micros

_SQL: Final = queries("scudo.fabric")
_log = structlog.get_logger("scudo.consumers")

#: Entries taken in one transaction: few, so that payments are not kept waiting.
PAGE: Final = 500
_PAUSE_S: Final = 0.25
_AFTER_FAULT_S: Final = 1.0


class GapInLog(InvariantBroken):
    """Positions are missing between two entries: somebody has suppressed events."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event as the log recorded it.

    Attributes:
        position: of the event.
        ordered_at: microseconds.
        correlation: id that ties the event's entry to others.
        client: id of the client whose command caused it; 0 for the bank itself.
    """

    position: int
    ordered_at: int
    correlation: int
    client: int
    event: Event


class Consumer(Protocol):
    """Takes events, in the order of the log."""

    @property
    def name(self) -> str:
        """Under which its position is kept: `room.noun`."""

    @property
    def wants(self) -> frozenset[type[Event]]:
        """Types of events that it takes; it passes the others."""

    async def take(self, connection: AsyncConnection[TupleRow], page: Sequence[Recorded]) -> None:
        """Take some events; effects go through `connection` and commit with the position."""


async def read_log(
    connection: AsyncConnection[TupleRow],
    catalogue: EventCatalogue,
    *,
    after: int,
    limit: int,
    wants: frozenset[type[Event]] | None = None,
) -> tuple[list[Recorded], int]:
    """Read whole entries after a position: their events, and the position reached.

    Args:
        connection: may be one that only reads.
        catalogue: of all events.
        after: position after which an entry begins; 0 for the first.
        limit: entries at the most.
        wants: types of events to give; None gives all. Entries that cannot hold one of
            them are passed without being decoded.

    Raises:
        GapInLog: if an entry does not start where the one before ended.
    """
    cursor = await connection.execute(
        _SQL["read_entries"], {"start": after + 1, "limit": limit}, binary=True
    )
    # An event begins with its tag, so an entry without the bytes of a tag has no such event.
    marks = [b""] if wants is None else [event_mark(event) for event in wants]
    expected = after + 1
    found: list[Recorded] = []
    for position, ordered_at, correlation, client, count, events in await cursor.fetchall():
        if position != expected:
            message = f"the log goes on at {position} where {expected} was expected"
            raise GapInLog(message)
        expected = position + count
        if not any(mark in events for mark in marks):
            continue
        at = micros(ordered_at)
        found.extend(
            Recorded(position + i, at + i, correlation, client, event)
            for i, event in enumerate(catalogue.decode(events))
            if wants is None or type(event) in wants
        )
    return found, expected - 1


class ConsumerRunner:
    """Runs consumers beside the conveyor, each at its own position."""

    def __init__(
        self,
        consumers: Sequence[Consumer],
        *,
        catalogue: EventCatalogue,
        connect: Callable[[], Awaitable[AsyncConnection[TupleRow]]],
    ) -> None:
        """Prepare consumers of one log.

        Args:
            consumers: with names of their own.
            catalogue: of all events.
            connect: a new connection of the application's role.
        """
        self._consumers = consumers
        self._catalogue = catalogue
        self._connect = connect
        self.positions: dict[str, int] = {}
        #: Names of consumers that met a gap in the log; they stay where they are.
        self.alarms: set[str] = set()

    async def run(self) -> None:
        """Take events until cancelled."""
        async with asyncio.TaskGroup() as group:
            for consumer in self._consumers:
                group.create_task(self._follow(consumer))

    async def _follow(self, consumer: Consumer) -> None:
        while True:
            try:
                async with self._connection() as connection:
                    await add_consumer(connection, consumer.name)
                    while True:
                        if not await self.step(connection, consumer):
                            await asyncio.sleep(_PAUSE_S)
            except GapInLog as gap:
                self.alarms.add(consumer.name)
                _log.error("gap_in_log", consumer=consumer.name, reason=str(gap))
                return
            except (psycopg.Error, OSError) as error:
                _log.warning(
                    "consumer_interrupted", consumer=consumer.name, error=type(error).__name__
                )
                await asyncio.sleep(_AFTER_FAULT_S)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[TupleRow]]:
        async with await self._connect() as connection:
            # Effects and position are lost together or not at all, and are then done again:
            # nobody waits for them, so the disk need not hurry.
            await connection.execute("SET synchronous_commit = off")
            yield connection

    async def step(self, connection: AsyncConnection[TupleRow], consumer: Consumer) -> bool:
        """Let a consumer take the next page; False when there was not a whole page left.

        Raises:
            GapInLog: if positions are missing; the consumer stays before the gap.
        """
        async with connection.transaction():
            cursor = await connection.execute(_SQL["lock_consumer"], {"name": consumer.name})
            row = await cursor.fetchone()
            assert row is not None, "a consumer is added before its first step"
            after: int = row[0]
            recorded, through = await read_log(
                connection, self._catalogue, after=after, limit=PAGE, wants=consumer.wants
            )
            if through == after:
                self.positions[consumer.name] = after
                return False
            if recorded:
                await consumer.take(connection, recorded)
            await connection.execute(
                _SQL["move_consumer"], {"name": consumer.name, "position": through}
            )
        # Only now is it true that everything up to here was taken.
        self.positions[consumer.name] = through
        return through - after >= PAGE


async def add_consumer(
    connection: AsyncConnection[TupleRow], name: str, *, position: int = 0
) -> None:
    """Register a consumer at a position, unless it is known."""
    await connection.execute(_SQL["add_consumer"], {"name": name, "position": position})


async def replay_from(connection: AsyncConnection[TupleRow], name: str, *, position: int) -> None:
    """Let a consumer take everything after a position again."""
    await connection.execute(_SQL["move_consumer"], {"name": name, "position": position})


async def is_batch_end(
    connection: AsyncConnection[TupleRow], *, position: int, batch_hash: bytes
) -> bool:
    """Whether a batch of this log ended at a position, with a hash that starts like this."""
    cursor = await connection.execute(_SQL["batch_hash_at"], {"position": position}, binary=True)
    row = await cursor.fetchone()
    return row is not None and row[0] == position and row[1].startswith(batch_hash)
