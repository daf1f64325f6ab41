"""The raw part of a commit: what it does when the connection dies under it."""

import asyncio

import psycopg
import pytest
from psycopg import AsyncConnection
from tests.conftest import Database

from scudo.fabric.wire import Statement, Wire

SLEEP = Statement(b"SELECT pg_sleep(30)", (), ())


class TestWire:
    """A lost connection ends the command, and touches nobody else's socket."""

    def test_a_lost_connection_neither_hangs_nor_disturbs_others(self, database: Database) -> None:
        """Sockets that take over the number of a lost one are heard, again and again."""

        async def lose(admin: psycopg.Connection) -> None:
            connection = await AsyncConnection.connect(database.dsn.app, autocommit=True)
            pid = connection.info.backend_pid
            async with Wire(connection, prepared={}) as wire:
                running = asyncio.create_task(wire.run([SLEEP]))
                await asyncio.sleep(0.02)
                admin.execute("SELECT pg_terminate_backend(%s)", (pid,))
                others = [asyncio.create_task(greet()) for _ in range(3)]
                with pytest.raises(psycopg.OperationalError):
                    await running
                others += [asyncio.create_task(greet()) for _ in range(3)]
                await asyncio.sleep(0)
            await asyncio.gather(*others)
            await connection.close()

        async def greet() -> None:
            async with await AsyncConnection.connect(database.dsn.app) as connection:
                await connection.execute("SELECT 1")

        async def scenario() -> None:
            with psycopg.connect(database.dsn.admin, autocommit=True) as admin:
                for _ in range(10):
                    await asyncio.wait_for(lose(admin), 10)

        asyncio.run(scenario())

    def test_an_error_leaves_the_connection_and_later_statements_usable(
        self, database: Database
    ) -> None:
        """What was not run because of an error before it is prepared anew the next time."""
        fails, works = Statement(b"SELECT 1 / 0", (), ()), Statement(b"SELECT 2", (), ())

        async def scenario() -> list[int | None]:
            async with await AsyncConnection.connect(
                database.dsn.app, autocommit=True
            ) as connection:
                prepared: dict[bytes, bytes] = {}
                async with Wire(connection, prepared=prepared) as wire:
                    with pytest.raises(psycopg.errors.DivisionByZero):
                        await wire.run([fails, works])
                    await wire.roll_back()
                    return [result.ntuples for result in await wire.run([works, works])]

        assert asyncio.run(scenario()) == [1, 1]
