"""Connections for queries: they can only read, and are lent for one call each."""

import contextlib
from collections.abc import AsyncIterator
from typing import Final

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from scudo.fabric.log.errors import BankUnavailable

READERS_MAX: Final = 8
READER_WAIT_S: Final = 3.0


class ReadPool:
    """Connections that can only read, for queries; lent for one call each."""

    def __init__(self, dsn: str) -> None:
        """Prepare a pool; nothing is connected before `open`."""
        self._pool = AsyncConnectionPool(
            dsn,
            min_size=1,
            max_size=READERS_MAX,
            open=False,
            kwargs={"autocommit": True, "options": "-c default_transaction_read_only=on"},
            timeout=READER_WAIT_S,
        )

    async def open(self) -> None:
        """Begin to connect, in the background."""
        await self._pool.open()

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    @contextlib.asynccontextmanager
    async def __call__(self) -> AsyncIterator[AsyncConnection[TupleRow]]:
        """Lend a connection.

        Raises:
            BankUnavailable: if none is to be had, or the database is lost meanwhile.
        """
        try:
            async with self._pool.connection() as connection:
                yield connection
        except psycopg.OperationalError as error:
            message = "the database cannot be read now"
            raise BankUnavailable(message) from error

    async def check(self) -> None:
        """See whether the database answers.

        Raises:
            BankUnavailable: if it does not.
        """
        async with self() as connection:
            await AsyncConnectionPool.check_connection(connection)
