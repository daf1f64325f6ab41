"""The one writer of a unit: takes the log over, and commits batches to it.

A batch is one transaction. Locks are taken in one order, in this one place: first the rows
of the rooms (their guarded updates, in the order in which the rooms are given), last the
log head; rows that carry a position follow. So position order is commit order, and a
paused old writer, whose epoch the head no longer carries, moves nothing.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.fabric.log.batch import Batch
from scudo.fabric.log.errors import WriterAlive, WriterFenced
from scudo.fabric.log.model import Head
from scudo.fabric.rows import (
    HEADER,
    TRAILER,
    Table,
    array,
    columns,
    numbered,
    parameter,
    queries,
    register_arrays,
)
from scudo.fabric.wire import Statement, Wire, demand_committed
from scudo.kernel import InvariantBroken

_SQL: Final = queries("scudo.fabric")
_BEGIN: Final = Statement(_SQL["begin"].encode(), (), ())
_COMMIT: Final = Statement(_SQL["commit"].encode(), (), ())
_log = structlog.get_logger("scudo.writer")

#: A writer that has not been heard of for so long may be replaced.
SILENCE_MS_MAX: Final = 2_500
#: How long a new writer waits for the recorded one to fall silent or to leave.
PATIENCE_S: Final = 3.5
#: No transaction of a writer lives longer: a stopped process cannot hold the head.
TRANSACTION_TIMEOUT_MS: Final = 2_000
#: Batches of up to so many rows are inserted in one round trip; larger ones are copied.
SMALL_BATCH_ROWS: Final = 1_000

Connect = Callable[[], Awaitable[AsyncConnection[TupleRow]]]


@dataclass(frozen=True, slots=True)
class Guarded:
    """An update that must touch exactly `count` rows, or the batch rests on stale state."""

    query: str
    parameters: dict[str, Any]
    count: int


class Store(Protocol):
    """What a room writes in a batch, beside the chained rows that its entries added."""

    def locks(self) -> Iterable[Guarded]:
        """Updates of rows that may be locked by others; they come before the head."""

    def copies(self) -> Iterable[tuple[Table, Sequence[bytes]]]:
        """New rows that are not chained: their table and images."""

    def begin(self) -> None:
        """A batch begins; one whose commit is under way may be open."""

    def hand_over(self) -> None:
        """What `locks` and `copies` gave of the newest batch goes to the database."""

    def committed(self) -> None:
        """The oldest open batch is in the database."""

    def aborted(self) -> None:
        """The newest open batch was undone."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A sealed batch, and everything it writes.

    Attributes:
        before, after: head that it rests on, and the head it makes.
        guarded: updates of the rooms, in lock order.
        rows: new rows, chained or not.
    """

    before: Head
    after: Head
    guarded: Sequence[Guarded]
    rows: Sequence[tuple[Table, Sequence[bytes]]]


def _statement(update: Guarded) -> Statement:
    sql, names = numbered(update.query)
    parameters = [parameter(update.parameters[name]) for name in names]
    types = tuple(oid for oid, _ in parameters)
    return Statement(sql, types, tuple(value for _, value in parameters))


class StaleState(Exception):
    """A guarded update did not find the rows as memory says they are."""


class Writer:
    """Holds the log's epoch and commits batches; at most one lives per unit."""

    def __init__(self, connect: Connect, *, description: str) -> None:
        """Prepare a writer; `connect` gives a new connection of the application's role.

        Args:
            connect: also starts an embedded database that has died.
            description: who writes (for a person that finds the log taken).
        """
        self._connect = connect
        self._description = description
        self._connection: AsyncConnection[TupleRow] | None = None
        self._scout: AsyncConnection[TupleRow] | None = None
        self._covered = 0
        self._prepared: dict[bytes, bytes] = {}
        self._types: dict[Table, tuple[tuple[int, ...], tuple[int, ...]]] = {}
        self.epoch = 0

    @property
    def connection(self) -> AsyncConnection[TupleRow]:
        """The writer's own connection; use it only between batches, from the conveyor."""
        assert self._connection is not None, "the writer has not been opened"
        return self._connection

    @property
    def scout(self) -> AsyncConnection[TupleRow]:
        """A second connection, to read what the next batch needs while one is committed."""
        assert self._scout is not None, "the writer has not been opened"
        return self._scout

    async def open(self) -> Head:
        """Take the log over: wait for a dead or silent writer, end its backend, raise the epoch.

        Raises:
            WriterAlive: if the recorded writer keeps its heartbeat.
        """
        connection = await self._reconnect()
        clock = asyncio.get_running_loop().time
        give_up = clock() + PATIENCE_S
        async with self._as_login():
            while not await self._may_take_over(connection):
                if clock() > give_up:
                    row = await self._one("read_writer")
                    message = f"the log is held by a running writer: {row[2] if row else 'unknown'}"
                    await self.close()
                    raise WriterAlive(message)
                await asyncio.sleep(0.1)
            await connection.execute(_SQL["end_writer"])
        row = await self._one("raise_epoch")
        assert row is not None, "the head row exists since the first migration"
        self.epoch = row[0]
        await self._record()
        return await self.read_head()

    @contextlib.asynccontextmanager
    async def _as_login(self) -> AsyncIterator[None]:
        """Act as the role that logged in: it alone may see its backends, and end them."""
        await self.connection.execute("SET ROLE NONE")
        yield
        await self.connection.execute("RESET ROLE")

    async def _may_take_over(self, connection: AsyncConnection[TupleRow]) -> bool:
        row = await (await connection.execute(_SQL["read_writer"])).fetchone()
        if row is None:
            return True
        _, _, _, running, silent_ms = row
        return not running or silent_ms > SILENCE_MS_MAX

    async def _one(self, name: str, **parameters: object) -> TupleRow | None:
        return await (await self.connection.execute(_SQL[name], parameters)).fetchone()

    async def _record(self) -> None:
        async with self._as_login():
            await self.connection.execute(
                _SQL["record_writer"], {"epoch": self.epoch, "description": self._description}
            )

    async def _reconnect(self) -> AsyncConnection[TupleRow]:
        await self.close()
        connection = await self._connect()
        register_arrays(connection)
        connection.prepare_threshold = 0
        await connection.execute(f"SET transaction_timeout = {TRANSACTION_TIMEOUT_MS:d}")
        self._connection = connection
        self._prepared = {}
        self._scout = await self._connect()
        register_arrays(self._scout)
        self._scout.prepare_threshold = 0
        return connection

    async def read_head(self) -> Head:
        """Where the log stands."""
        row = await self._one("read_head")
        assert row is not None, "the head row exists since the first migration"
        return Head(*row)

    async def beat(self, connection: AsyncConnection[TupleRow]) -> None:
        """Keep the heartbeat, on a connection that is not the writer's own."""
        await connection.execute(_SQL["beat"], {"epoch": self.epoch})

    async def retire(self) -> None:
        """Leave in order, so that the next writer need not wait."""
        with contextlib.suppress(psycopg.Error):
            await self.connection.execute(_SQL["retire"], {"epoch": self.epoch})
        await self.close()

    async def close(self) -> None:
        """Close the connection, whatever state it is in."""
        for connection in (self._connection, self._scout):
            if connection is not None:
                with contextlib.suppress(psycopg.Error, OSError):
                    await connection.close()

    @staticmethod
    def plan(batch: Batch, stores: Sequence[Store]) -> Plan:
        """Seal a batch, and take from the stores what it writes, before anything else changes."""
        after = batch.seal()
        rows = [taken for store in stores for taken in store.copies()]
        rows.extend(batch.rows.items())
        return Plan(
            before=batch.head,
            after=after,
            guarded=[update for store in stores for update in store.locks()],
            rows=[(table, images) for table, images in rows if images],
        )

    async def commit(self, plan: Plan) -> None:
        """Commit a batch.

        Raises:
            WriterFenced: if another writer has the epoch. Nothing was done.
            StaleState: if memory and database differ. Nothing was done.
            psycopg.Error: the database refused or was lost. When `lost_in_commit` is then
                true, the batch may or may not be there: `settle` finds out.
        """
        self.lost_in_commit = False
        after, rows = plan.after, plan.rows
        await self._make_room(after.position)
        is_small = sum(len(images) for _, images in rows) <= SMALL_BATCH_ROWS
        for table, _ in rows if is_small else ():
            await self._learn(table)
        try:
            async with Wire(self.connection, prepared=self._prepared) as wire:
                await self._lock(wire, plan)
                if is_small:
                    await self._insert(wire, rows)
                else:
                    await self._copy(wire, rows)
        except BaseException as error:
            if isinstance(error, psycopg.Error) and error.sqlstate and not self.connection.closed:
                # The server said no and is there: the transaction cannot have been committed.
                self.lost_in_commit = False
            await self._roll_back()
            raise

    lost_in_commit: bool = False

    async def _copy(self, wire: Wire, rows: Sequence[tuple[Table, Sequence[bytes]]]) -> None:
        """Many rows: a COPY for each table, then COMMIT."""
        for table, images in rows:
            await wire.copy_in(table.copy_in, b"".join((HEADER, *images, TRAILER)))
        self.lost_in_commit = True
        await wire.commit()
        self.lost_in_commit = False

    async def _insert(self, wire: Wire, rows: Sequence[tuple[Table, Sequence[bytes]]]) -> None:
        """Few rows: one round trip with an INSERT from arrays for each table, and COMMIT."""
        statements = []
        for table, images in rows:
            elements, arrays = self._types[table]
            fields = zip(elements, columns(images), strict=True)
            values = tuple(array(element, len(images), column) for element, column in fields)
            statements.append(Statement(table.insert, arrays, values))
        statements.append(_COMMIT)
        self.lost_in_commit = True
        *_, committed = await wire.run(statements)
        demand_committed(committed)
        self.lost_in_commit = False

    async def _learn(self, table: Table) -> None:
        """Ask once for the types of a table's columns."""
        if table not in self._types:
            cursor = await self.connection.execute(_SQL["column_types"], {"table": table.name})
            types = {name: (one, many) for name, one, many in await cursor.fetchall()}
            elements, arrays = zip(*(types[column] for column in table.columns), strict=True)
            self._types[table] = (elements, arrays)

    async def _lock(self, wire: Wire, plan: Plan) -> None:
        """Begin, lock the rooms' rows, and move the head, in one round trip.

        Raises:
            WriterFenced: if another writer has the epoch.
            StaleState: if a guarded update did not find its rows.
            InvariantBroken: if the head is elsewhere within our own epoch.
        """
        after, guarded = plan.after, plan.guarded
        head = Guarded(
            _SQL["advance_head"],
            {
                "position": after.position,
                "ordered_at": after.ordered_at,
                "hash": after.hash,
                "clock": after.clock,
                "epoch": self.epoch,
                "expected": plan.before.position,
                "batch": plan.before.batch,
            },
            1,
        )
        statements = [_BEGIN, *(_statement(update) for update in (*guarded, head))]
        _, *results, moved = await wire.run(statements)
        if moved.command_tuples != head.count:
            raise await self._fenced_at(plan.before)
        if [result.command_tuples for result in results] != [update.count for update in guarded]:
            raise StaleState

    async def _fenced_at(self, expected: Head) -> Exception:
        """Why the head was not where this writer left it."""
        await self._roll_back()
        head = await self.read_head()
        if head.epoch != self.epoch:
            return WriterFenced(f"epoch {self.epoch} has ended; the log is at epoch {head.epoch}")
        return InvariantBroken(f"the head is at {head.position}, memory says {expected.position}")

    async def _roll_back(self) -> None:
        with contextlib.suppress(psycopg.Error, OSError):
            async with Wire(self.connection, prepared=self._prepared) as wire:
                await wire.roll_back()

    async def _make_room(self, through: int) -> None:
        if through >= self._covered:
            row = await self._one("grow", through=through + 1)
            assert row is not None, "a function returns a row"
            self._covered = row[0]

    async def settle(self, after: Head) -> bool:
        """Find out whether a batch whose commit was not answered is there; reconnects.

        Reading the head waits for the lost transaction: one that had sent its COMMIT holds
        the head's lock until it has ended, one that had not can never commit.

        Raises:
            WriterFenced: if another writer has the epoch.
            psycopg.Error: if the database cannot be reached yet.
        """
        await self._reconnect()
        row = await self._one("lock_head")
        assert row is not None, "the head row exists since the first migration"
        head = Head(*row)
        if head.epoch != self.epoch:
            message = f"epoch {self.epoch} has ended; the log is at epoch {head.epoch}"
            raise WriterFenced(message)
        await self._record()
        return head.hash == after.hash
