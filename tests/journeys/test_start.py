"""A bank that starts again reads what it needs, and no table from end to end."""

import asyncio

import pytest
from psycopg import AsyncConnection
from tests.history.banks import opened

from scudo.fabric import queries
from scudo.fabric.log.errors import WriterAlive
from scudo.fabric.writer import BY_KEYS


@pytest.mark.parametrize(
    ("room", "name", "index"),
    [
        ("scudo.payments", "find_expiring", "payment_that_waits"),
        ("scudo.ledger", "find_expiring", "hold_that_is_open"),
        ("scudo.ledger", "load_house", "account_of_house"),
    ],
)
def test_what_a_start_needs_is_found_by_an_index_even_without_statistics(
    database, tmp_path, room, name, index
):
    """A table that has just grown by millions of rows does not keep the bank from starting."""

    async def run() -> str:
        async with await AsyncConnection.connect(database.dsn.app, autocommit=True) as connection:
            for setting in BY_KEYS:
                await connection.execute(setting)
            window = {"after": 0, "through": 1, "limit": 1} if name == "find_expiring" else {}
            cursor = await connection.execute(f"EXPLAIN {queries(room)[name]}", window)
            return "\n".join(line for (line,) in await cursor.fetchall())

    assert index in asyncio.run(run())


def test_a_bank_that_rebuilds_for_long_keeps_the_log(database, tmp_path):
    """Reading the log again takes as long as it takes; nobody may think that the writer is dead."""

    async def run() -> None:
        async with opened(database.dsn, tmp_path):
            pass
        async with await AsyncConnection.connect(database.dsn.owner, autocommit=True) as owner:
            async with owner.transaction():
                await owner.execute("LOCK TABLE decisions.decision")
                slow = asyncio.create_task(_open_and_close(database.dsn, tmp_path))
                await asyncio.sleep(0.5)
                with pytest.raises(WriterAlive):
                    await _open_and_close(database.dsn, tmp_path)
                assert not slow.done(), "it waits for the table"
            await slow

    asyncio.run(run())


async def _open_and_close(dsn, home):
    async with opened(dsn, home):
        pass
