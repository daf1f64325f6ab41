"""The hot part of a commit, spoken to libpq directly.

A small batch spends its time on round trips, not on rows: seven COPYs of thirty rows take
seven milliseconds, the same rows as pipelined INSERTs from arrays two. A large batch is the
reverse. Here both go over one registration with the event loop; everything else goes
through the driver.

Source:
    PostgreSQL documentation, libpq, "Asynchronous Command Processing" and "Functions
    Associated with the COPY Command".
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2s
from itertools import accumulate
from types import TracebackType
from typing import Final, Self

from psycopg import AsyncConnection
from psycopg.abc import Buffer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow

_COMMITTED: Final = b"COMMIT"
_DONE: Final = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK})


@dataclass(frozen=True, slots=True)
class Statement:
    """A prepared statement and its parameters in binary form, with their types."""

    sql: bytes
    types: tuple[int, ...]
    values: tuple[bytes, ...]


class CommitRolledBack(Exception):
    """COMMIT was answered with ROLLBACK: a statement before it had failed."""


def demand_committed(result: PGresult) -> None:
    """See that COMMIT was answered with COMMIT.

    Raises:
        CommitRolledBack: if it was not.
    """
    if result.command_status != _COMMITTED:
        message = "the transaction was rolled back where it should have been committed"
        raise CommitRolledBack(message)


class Wire:
    """Holds a connection's socket for a few commands; use it as a context, from one task.

    Raises:
        psycopg.Error: whatever the server or the connection refuses with, by SQLSTATE.
    """

    def __init__(
        self, connection: AsyncConnection[TupleRow], *, prepared: dict[bytes, bytes]
    ) -> None:
        """Borrow a connection that nobody else uses meanwhile.

        Args:
            connection: in autocommit mode, outside a pipeline.
            prepared: statements that this connection knows, by their text; grows.
        """
        self._pgconn = connection.pgconn
        self._prepared = prepared
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        """Listen on the socket."""
        self._loop.add_reader(self._pgconn.socket, self._on_readable)
        self._socket = self._pgconn.socket
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the socket back."""
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)

    async def run(self, statements: Sequence[Statement]) -> list[PGresult]:
        """Run statements in one round trip; returns the result of each.

        Raises:
            psycopg.Error: of the first that failed; those after it were not run.
        """  # noqa: DOC501 - made by a function that returns it
        pgconn = self._pgconn
        pgconn.enter_pipeline_mode()
        try:
            steps = [self._send(statement) for statement in statements]
            pgconn.pipeline_sync()
            await self._flush()
            results = [await self._step() for count in steps for _ in range(count)]
            await self._result()
        finally:
            if pgconn.status == ConnStatus.OK:
                pgconn.exit_pipeline_mode()
        # The last step of each statement is its execution; one before it prepared it.
        ends = list(accumulate(steps))
        for statement, count, end in zip(statements, steps, ends, strict=True):
            if count > 1 and results[end - count].status != ExecStatus.COMMAND_OK:
                del self._prepared[statement.sql]
        for result in results:
            if result.status not in _DONE:
                raise error_from_result(result)
        return [results[end - 1] for end in ends]

    def _send(self, statement: Statement) -> int:
        """Queue a statement, prepared first if it is new; returns its number of results."""
        steps = 1
        name = self._prepared.get(statement.sql)
        if name is None:
            # The first word says in a trace, or to a proxy, what is run.
            word = statement.sql.split(maxsplit=1)[0]
            digest = blake2s(statement.sql, digest_size=8).hexdigest()
            name = self._prepared[statement.sql] = word + b"_" + digest.encode()
            self._pgconn.send_prepare(name, statement.sql, statement.types)
            steps = 2
        formats = (Format.BINARY,) * len(statement.values)
        self._pgconn.send_query_prepared(name, statement.values, formats, Format.BINARY)
        return steps

    async def _step(self) -> PGresult:
        """One result of a pipeline, and the mark that ends it."""
        result = await self._result()
        assert result is not None, "every step of a pipeline has a result"
        await self._result()
        return result

    async def copy_in(self, command: bytes, rows: Buffer) -> None:
        """Send rows by one COPY … FROM STDIN."""
        pgconn = self._pgconn
        pgconn.send_query(command)
        await self._flush()
        self._demand(await self._result(), ExecStatus.COPY_IN)
        while not pgconn.put_copy_data(rows):
            await self._writable()
        while not pgconn.put_copy_end():
            await self._writable()
        await self._flush()
        await self._finish(ExecStatus.COMMAND_OK)

    async def commit(self) -> None:
        """Commit the open transaction.

        Raises:
            CommitRolledBack: if the server rolled it back instead.
        """
        self._pgconn.send_query(b"COMMIT")
        await self._flush()
        demand_committed(await self._finish(ExecStatus.COMMAND_OK))

    async def roll_back(self) -> None:
        """Undo the open transaction, if there is one.

        Not through the driver, which would then drop every prepared statement.
        """
        self._pgconn.send_query(b"ROLLBACK")
        await self._flush()
        await self._finish(ExecStatus.COMMAND_OK)

    # ---- one step each

    def _on_readable(self) -> None:
        waiter = self._waiter
        try:
            self._pgconn.consume_input()
        except Exception as error:  # noqa: BLE001 - handed to the task that waits
            self._loop.remove_reader(self._socket)
            if waiter is not None and not waiter.done():
                waiter.set_exception(error)
            return
        if waiter is not None and not waiter.done() and not self._pgconn.is_busy():
            waiter.set_result(None)

    async def _result(self) -> PGresult | None:
        while self._pgconn.is_busy():
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._pgconn.get_result()

    async def _finish(self, expected: ExecStatus) -> PGresult:
        result = self._demand(await self._result(), expected)
        while await self._result() is not None:
            pass
        return result

    def _demand(self, result: PGresult | None, expected: ExecStatus) -> PGresult:
        assert result is not None, "a command that was sent has a result"
        if result.status != expected:
            raise error_from_result(result)
        return result

    async def _flush(self) -> None:
        while self._pgconn.flush():
            await self._writable()

    async def _writable(self) -> None:
        self._pgconn.flush()
        writable: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_writer(self._socket, _wake, writable)
        try:
            await writable
        finally:
            self._loop.remove_writer(self._socket)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
