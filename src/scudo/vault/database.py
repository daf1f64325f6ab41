"""Connections of the vault's role: a few for writes, one for reads, each checked when it is made.

Whenever a connection is new, the database behind it may be an older one that was restored:
nothing is asked over it before the erasures outside the database were replayed through it.
"""

import asyncio
import contextlib
import select
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow

from scudo.fabric import Lookup
from scudo.vault.errors import VaultUnavailable

WRITERS_MAX: Final = 4
CONNECT_TIMEOUT_S: Final = 5
_STATEMENT_TIMEOUT: Final = "10s"
_SILENT: Final = "the vault's database does not answer"

Connection = AsyncConnection[TupleRow]
#: Brings a database up to what the vault knows, before it is used.
Attend = Callable[[Connection], Awaitable[None]]


class Database:
    """The vault's connections to its database."""

    def __init__(self, dsn: str) -> None:
        """Name the database; nothing is connected before it is used.

        Args:
            dsn: of the vault's own role.
        """
        self._dsn = dsn
        self._attend: Attend | None = None
        self._idle: list[Connection] = []
        self._room = asyncio.Semaphore(WRITERS_MAX)
        self._reads: _Reads | None = None
        self._connecting = asyncio.Lock()

    def attend_with(self, attend: Attend) -> None:
        """Have every new connection brought up to date before it is used."""
        self._attend = attend

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction, which is committed at the end.

        Raises:
            VaultUnavailable: the database does not answer; whether a commit that was under
                way happened is then not known.
        """
        async with self.connection() as connection, connection.transaction():
            yield connection

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection that is in no transaction.

        Raises:
            VaultUnavailable: the database does not answer; whether a commit that was under
                way happened is then not known.
        """
        async with self._room:
            try:
                connection = await self._idle_one() or await self._connect()
                try:
                    yield connection
                finally:
                    if connection.broken or connection.closed:
                        await connection.close()
                    else:
                        self._idle.append(connection)
            except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as error:
                # The others are of the same server, which may have gone.
                idle, self._idle = self._idle, []
                for connection in idle:
                    await connection.close()
                raise VaultUnavailable(_SILENT) from error

    async def _idle_one(self) -> Connection | None:
        """A connection that is kept and still stands."""
        while self._idle:
            connection = self._idle.pop()
            # On one that nobody uses only its end has something to say.
            look = select.poll()
            look.register(connection.fileno(), select.POLLIN)
            if not look.poll(0):
                return connection
            await connection.close()
        return None

    async def ask(self, query: str, parameters: dict[str, Any]) -> Sequence[TupleRow]:
        """Ask over the connection for reads; those who ask at once share a round trip.

        Raises:
            VaultUnavailable: the database does not answer.
        """
        try:
            if self._reads is not None and not self._reads.is_lost:
                with contextlib.suppress(psycopg.OperationalError, OSError):
                    return await self._reads.ask(query, parameters)
            # There is none, or the server went away and may be back: reading twice is no harm.
            return await (await self._renew()).ask(query, parameters)
        except (psycopg.Error, OSError) as error:
            raise VaultUnavailable(_SILENT) from error

    async def close(self) -> None:
        """Leave the database."""
        if self._reads is not None:
            await self._reads.close()
        for connection in self._idle:
            await connection.close()
        self._idle.clear()

    async def _renew(self) -> "_Reads":
        async with self._connecting:
            if self._reads is None or self._reads.is_lost:
                if self._reads is not None:
                    await self._reads.close()
                connection = await self._connect()
                # A record of a read that was answered outlives every process; what a power
                # cut takes of the last moment is in the bank's log.
                await _set(connection, "synchronous_commit", "off")
                self._reads = _Reads(connection)
            return self._reads

    async def _connect(self) -> Connection:
        connection = await AsyncConnection.connect(
            self._dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S
        )
        try:
            await _set(connection, "statement_timeout", _STATEMENT_TIMEOUT)
            await _set(connection, "application_name", "scudo vault")
            if self._attend is not None:
                await self._attend(connection)
        except BaseException:
            await connection.close()
            raise
        return connection


class _Reads:
    """One connection for many who ask: what is asked while others wait goes out together."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lookup = Lookup(connection)
        self._waiting: list[asyncio.Future[Sequence[TupleRow]]] = []
        self._carrying: asyncio.Task[None] | None = None
        self.is_lost = False

    async def ask(self, query: str, parameters: dict[str, Any]) -> Sequence[TupleRow]:
        """Rows that the query gives."""
        waiter: asyncio.Future[Sequence[TupleRow]] = asyncio.get_running_loop().create_future()

        def take(rows: Sequence[TupleRow]) -> None:
            if not waiter.done():
                waiter.set_result(rows)

        self._lookup.ask(query, parameters, take)
        self._waiting.append(waiter)
        if self._carrying is None:
            self._carrying = asyncio.create_task(self._carry())
        return await waiter

    async def _carry(self) -> None:
        """Send what is asked until nobody waits."""
        try:
            while self._waiting:
                carried, self._waiting = self._waiting, []
                try:
                    await self._lookup.answer()
                except (psycopg.Error, OSError) as error:
                    # One that fails takes its round trip along; none of it was committed.
                    self._fail(carried, error)
        finally:
            self._carrying = None

    def _fail(
        self, carried: Sequence[asyncio.Future[Sequence[TupleRow]]], error: Exception
    ) -> None:
        self.is_lost = True
        for waiter in (*carried, *self._waiting):
            if not waiter.done():
                waiter.set_exception(error)
        self._waiting = []

    async def close(self) -> None:
        """Give the connection up."""
        self.is_lost = True
        self._lookup.close()
        await self._connection.close()


async def _set(connection: Connection, name: str, value: str) -> None:
    statement = sql.SQL("SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
    await connection.execute(statement)
