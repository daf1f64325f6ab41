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
from functools import lru_cache
from typing import Any, Final, Protocol

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.fabric.log.batch import Batch
from scudo.fabric.log.errors import WriterAlive, WriterFenced
from scudo.fabric.log.model import Head
from scudo.fabric.lookup import Lookup
from scudo.fabric.rows import (
    HEADER,
    TRAILER,
    Table,
    array,
    columns,
    numbered,
    parameter,
    queries,
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


#: Errors that `fabric.demand` raises: rows of the rooms, or the head, are not as expected.
_STALE_ROWS: Final = "SC001"
_HEAD_MOVED: Final = "SC002"


@lru_cache(maxsize=64)
def _demanding(query: str, code: str) -> tuple[bytes, tuple[str, ...]]:
    """Turn an update into one that fails unless it touches as many rows as it must."""
    sql, names = numbered(query)
    demand = f"fabric.demand(count(*), ${len(names) + 1}, '{code}')".encode()
    return b"WITH touched AS (%b RETURNING 1) SELECT %b FROM touched" % (sql, demand), names


def _statement(update: Guarded, code: str = _STALE_ROWS) -> Statement:
    sql, names = _demanding(update.query, code)
    values = (*(update.parameters[name] for name in names), update.count)
    types, parameters = zip(*map(parameter, values), strict=True)
    return Statement(sql, types, parameters)


#: What is asked is always asked by keys, whatever statistics say of tables that have just
#: grown: planning anew could only find the same.
BY_KEYS: Final = ("SET plan_cache_mode = force_generic_plan", "SET enable_seqscan = off")


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
        self._lookup: Lookup | None = None
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
    def lookup(self) -> Lookup:
        """Reads what the next batch needs, over a connection of its own, also during a commit."""
        assert self._lookup is not None, "the writer has not been opened"
        return self._lookup

    @contextlib.asynccontextmanager
    async def apart(self) -> AsyncIterator[AsyncConnection[TupleRow]]:
        """Lend a connection for reading much: its transactions may take longer than a batch."""
        async with await self._connect() as connection:
            yield connection

    @property
    def is_lost(self) -> bool:
        """Whether one of the two connections is closed."""
        return self.connection.closed or self._scout is None or self._scout.closed

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
        await connection.execute(f"SET transaction_timeout = {TRANSACTION_TIMEOUT_MS:d}")
        self._connection = connection
        self._prepared = {}
        self._scout = await self._connect()
        for each in (connection, self._scout):
            for setting in BY_KEYS:
                await each.execute(setting)
        self._lookup = Lookup(self._scout)
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
        """Close the connections, whatever state they are in."""
        if self._lookup is not None:
            self._lookup.close()
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

    def commit(self, plan: Plan) -> asyncio.Task[None]:
        """Begin to commit a batch; one of few rows is on its way to the server on return.

        Raises:
            Exception: whatever a row cannot be packed for. Nothing was sent.

        The task raises:
            WriterFenced: if another writer has the epoch. Nothing was done.
            StaleState: if memory and database differ. Nothing was done.
            psycopg.Error: the database refused or was lost. When `lost_in_commit` is then
                true, the batch may or may not be there: `settle` finds out.
        """
        self.lost_in_commit = False
        wire = Wire(self.connection, prepared=self._prepared)
        is_small = sum(len(images) for _, images in plan.rows) <= SMALL_BATCH_ROWS
        is_sent = is_small and self._is_prepared_for(plan)
        if is_sent:
            self._send(wire, plan)
        return asyncio.create_task(self._carry_out(plan, wire, is_small=is_small, is_sent=is_sent))

    async def _carry_out(self, plan: Plan, wire: Wire, *, is_small: bool, is_sent: bool) -> None:
        refusal = None
        try:
            if not is_sent:
                await self._prepare_for(plan)
            async with wire:
                if not is_small:
                    await self._copy(wire, plan)
                    committed = await wire.commit()
                else:
                    if not is_sent:
                        self._send(wire, plan)
                    *_, committed = await wire.results()
            demand_committed(committed)
            self.lost_in_commit = False
        except BaseException as error:
            if isinstance(error, psycopg.Error) and error.sqlstate and not self.connection.closed:
                # The server said no and is there: the transaction cannot have been committed.
                self.lost_in_commit = False
                refusal = error.sqlstate
            await self._roll_back()
            if refusal not in {_STALE_ROWS, _HEAD_MOVED}:
                raise
        if refusal is not None:
            raise await self._overtaken(plan.before, refusal)

    lost_in_commit: bool = False

    def _is_prepared_for(self, plan: Plan) -> bool:
        return plan.after.position < self._covered and all(
            table in self._types for table, _ in plan.rows
        )

    async def _prepare_for(self, plan: Plan) -> None:
        """See that there are partitions, and ask once for the types of a table's columns."""
        await self._make_room(plan.after.position)
        for table, _ in plan.rows:
            await self._learn(table)

    async def _copy(self, wire: Wire, plan: Plan) -> None:
        """Many rows: the locks, a COPY for each table, then COMMIT."""
        await wire.run(self._locks(plan))
        for table, images in plan.rows:
            await wire.copy_in(table.copy_in, b"".join((HEADER, *images, TRAILER)))
        self.lost_in_commit = True

    def _send(self, wire: Wire, plan: Plan) -> None:
        """Few rows: one round trip for the locks, an INSERT from arrays per table, and COMMIT."""
        statements = self._locks(plan)
        for table, images in plan.rows:
            elements, arrays = self._types[table]
            fields = zip(elements, columns(table, images), strict=True)
            values = tuple(array(element, len(images), column) for element, column in fields)
            statements.append(Statement(table.insert, arrays, values))
        statements.append(_COMMIT)
        self.lost_in_commit = True
        wire.send(statements)

    async def _learn(self, table: Table) -> None:
        """Ask once for the types of a table's columns."""
        if table not in self._types:
            cursor = await self.connection.execute(_SQL["column_types"], {"table": table.name})
            types = {name: (one, many) for name, one, many in await cursor.fetchall()}
            elements, arrays = zip(*(types[column] for column in table.columns), strict=True)
            self._types[table] = (elements, arrays)

    def _locks(self, plan: Plan) -> list[Statement]:
        """Begin, lock the rooms' rows by changing them, and move the head, which comes last.

        Each fails unless it finds what memory says is there.
        """
        after = plan.after
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
        return [_BEGIN, *map(_statement, plan.guarded), _statement(head, _HEAD_MOVED)]

    async def _overtaken(self, expected: Head, refusal: str) -> Exception:
        """Why rows, or the head, were not as this writer left them."""
        head = await self.read_head()
        if head.epoch != self.epoch:
            return WriterFenced(f"epoch {self.epoch} has ended; the log is at epoch {head.epoch}")
        if refusal == _STALE_ROWS:
            return StaleState()
        return InvariantBroken(f"the head is at {head.position}, memory says {expected.position}")

    async def _roll_back(self) -> None:
        """Undo the open transaction; a connection that cannot even do that is closed."""
        try:
            async with Wire(self.connection, prepared=self._prepared) as wire:
                await wire.roll_back()
        except (psycopg.Error, OSError):
            with contextlib.suppress(psycopg.Error, OSError):
                await self.connection.close()

    async def _make_room(self, through: int) -> None:
        if through >= self._covered:
            row = await self._one("grow", through=through + 1)
            assert row is not None, "a function returns a row"
            self._covered = row[0]

    async def settle(self, after: Head | None) -> bool:
        """Find out whether a batch whose commit was not answered is there; reconnects.

        Args:
            after: the head that the batch made; None if there is none in doubt.

        Reading the head waits for the lost transaction: one that had sent its COMMIT holds
        the head's lock until it has ended, one that had not can never commit.

        Raises:
            WriterFenced: if another writer has the epoch, and the batch is not there.
            psycopg.Error: if the database cannot be reached yet.
        """
        await self._reconnect()
        row = await self._one("lock_head")
        assert row is not None, "the head row exists since the first migration"
        head = Head(*row)
        if head.epoch != self.epoch:
            if after is not None and await self._is_there(after):
                return True
            message = f"epoch {self.epoch} has ended; the log is at epoch {head.epoch}"
            raise WriterFenced(message)
        await self._record()
        return after is not None and head.hash == after.hash

    async def _is_there(self, after: Head) -> bool:
        latest = await self._one("batch_hash_at", position=after.position)
        return latest == (after.position, after.hash)
