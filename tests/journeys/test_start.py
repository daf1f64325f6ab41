"""A bank that starts again reads what it needs, and no table from end to end."""

import asyncio

import pytest
from psycopg import AsyncConnection
from tests.history.banks import opened

from scudo.fabric import queries


@pytest.mark.parametrize(
    ("room", "name", "index"),
    [
        ("scudo.payments", "load_waiting", "payment_that_waits"),
        ("scudo.ledger", "load_open_holds", "hold_that_is_open"),
        ("scudo.ledger", "load_house", "account_of_house"),
    ],
)
def test_what_is_loaded_is_found_by_an_index_even_without_statistics(
    database, tmp_path, room, name, index
):
    """A table that has just grown by millions of rows does not keep the bank from starting."""

    async def run() -> str:
        async with (
            opened(database.dsn, tmp_path) as (bank, _),
            await AsyncConnection.connect(database.dsn.app, autocommit=True) as connection,
        ):
            await bank.rooms.load(connection)
            cursor = await connection.execute(f"EXPLAIN {queries(room)[name]}")
            return "\n".join(line for (line,) in await cursor.fetchall())

    assert index in asyncio.run(run())
