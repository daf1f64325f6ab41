"""The hot part of a commit, spoken to libpq directly.

A small batch spends its time on round trips, not on rows: a COPY of thirty rows takes about
a millisecond, and a batch has seven. Pipelined INSERTs from arrays need one round trip for
all of them. For many rows COPY is cheaper. Here both go over one registration with the
event loop; everything else goes through the driver.

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

import psycopg
from psycopg import AsyncConnection
from psycopg.abc import Buffer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow

_COMMITTED: Final = b"COMMIT"
_LOOK_AGAIN_S: Final = 0.2
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
    """Holds a connection's socket for a few commands; use it from one task at a time.

    Use it as a context where the driver also uses the connection.

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
        self._socket = -1
        self._lost: psycopg.Error | None = None
        self._under_way: list[tuple[Statement, int]] = []

    async def __aenter__(self) -> Self:
        """Listen on the socket."""
        self.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the socket back."""
        self.ignore()

    def listen(self) -> None:
        """Take the socket, unless it is taken or was lost."""
        if self._socket < 0 and self._lost is None:
            self._socket = self._pgconn.socket
            self._loop.add_reader(self._socket, self._on_readable)

    async def run(self, statements: Sequence[Statement]) -> list[PGresult]:
        """Run statements in one round trip; returns the result of each.

        Raises:
            psycopg.Error: of the first that failed; those after it were not run.
        """
        self.send(statements)
        return await self.results()

    def send(self, statements: Sequence[Statement]) -> None:
        """Hand statements to the socket, as many as it takes; `results` sends the rest.

        Raises:
            psycopg.Error: the connection cannot be used any more, and has been closed.
        """
        pgconn = self._pgconn
        try:
            pgconn.enter_pipeline_mode()
            self._under_way = [(statement, self._send(statement)) for statement in statements]
            pgconn.pipeline_sync()
            pgconn.flush()
        except psycopg.Error:
            pgconn.finish()
            raise

    async def results(self) -> list[PGresult]:
        """The result of each statement that was sent.

        Raises:
            psycopg.Error: of the first that failed; those after it were not run.
        """  # noqa: DOC501 - made by a function that returns it
        pgconn, under_way = self._pgconn, self._under_way
        try:
            await self._flush()
            results = [await self._step() for _, count in under_way for _ in range(count)]
            await self._result()
        finally:
            if pgconn.status == ConnStatus.OK:
                pgconn.exit_pipeline_mode()
        # The last step of each statement is its execution; one before it prepared it.
        ends = list(accumulate(count for _, count in under_way))
        for (statement, count), end in zip(under_way, ends, strict=True):
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
        result = await self._some_result()
        await self._result()
        return result

    async def copy_in(self, command: bytes, rows: Buffer) -> None:
        """Send rows by one COPY … FROM STDIN."""
        pgconn = self._pgconn
        pgconn.send_query(command)
        await self._flush()
        self._demand(await self._some_result(), ExecStatus.COPY_IN)
        while not pgconn.put_copy_data(rows):
            await self._writable()
        while not pgconn.put_copy_end():
            await self._writable()
        await self._flush()
        await self._finish(ExecStatus.COMMAND_OK)

    async def commit(self) -> PGresult:
        """Commit the open transaction."""
        self._pgconn.send_query(b"COMMIT")
        await self._flush()
        return await self._finish(ExecStatus.COMMAND_OK)

    async def roll_back(self) -> None:
        """Undo the open transaction, if there is one.

        Not through the driver, which would then drop every prepared statement.
        """
        self._pgconn.send_query(b"ROLLBACK")
        await self._flush()
        await self._finish(ExecStatus.COMMAND_OK)

    # ---- one step each

    def _on_readable(self) -> None:
        try:
            self._pgconn.consume_input()
        except psycopg.Error as error:
            self._lost = error
        if self._lost is not None or self._pgconn.status != ConnStatus.OK:
            # libpq has closed the socket: its number may be another's from here on.
            self.ignore()
            _wake(self._waiter)
        elif not self._pgconn.is_busy():
            _wake(self._waiter)

    def ignore(self) -> None:
        """Give the socket back."""
        if self._socket >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket = -1

    async def _wait(self) -> None:
        """Wait until something comes, or can be sent; not on a connection that is lost."""
        if self._socket < 0:
            raise self._lost or psycopg.OperationalError("the connection was lost")
        self._waiter = self._loop.create_future()
        timer = self._loop.call_later(_LOOK_AGAIN_S, self._look_again)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _look_again(self) -> None:
        """Look at a socket that has been quiet for long.

        An event loop may drop a socket that has an error (libuv does, when the server was
        killed), and would then never call.
        """
        if self._socket >= 0:
            self._loop.remove_reader(self._socket)
            self._loop.add_reader(self._socket, self._on_readable)
            self._on_readable()
        _wake(self._waiter)

    async def _result(self) -> PGresult | None:
        while self._pgconn.is_busy():
            await self._wait()
        return self._pgconn.get_result()

    async def _some_result(self) -> PGresult:
        result = await self._result()
        if result is None:
            raise self._lost or psycopg.OperationalError("the connection was lost")
        return result

    async def _finish(self, expected: ExecStatus) -> PGresult:
        result = self._demand(await self._some_result(), expected)
        while await self._result() is not None:
            pass
        return result

    @staticmethod
    def _demand(result: PGresult, expected: ExecStatus) -> PGresult:
        if result.status != expected:
            raise error_from_result(result)
        return result

    async def _flush(self) -> None:
        while self._pgconn.flush():
            await self._writable()

    async def _writable(self) -> None:
        """Wait until more can be sent; what comes meanwhile is read, or both sides could wait."""
        if self._socket >= 0:
            self._loop.add_writer(self._socket, self._on_writable)
        await self._wait()

    def _on_writable(self) -> None:
        self._loop.remove_writer(self._socket)
        _wake(self._waiter)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
