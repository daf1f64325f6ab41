"""A batch is read back with every leaf that its root was made of."""

import asyncio

import psycopg
from tests.history.banks import opened

from scudo.fabric import find_batch, list_batches
from scudo.fabric.batches import summarise_keys
from scudo.identity import CustomerKind, RegisterCustomer
from scudo.kernel import GENESIS, chain, merkle_root


async def register(bank, count):
    """Register customers in batches as they come, every other one under a key."""
    answers = [
        bank.queue(
            RegisterCustomer(f"c{n}", CustomerKind.PERSON, None),
            client=1,
            key=f"key {n}" if n % 2 else None,
        )
        for n in range(count)
    ]
    assert {(await answer).status for answer in answers} == {201}


async def live(database, home):
    async with opened(database.dsn, home, batch=16) as (bank, _):
        await register(bank, 100)


class TestFindBatch:
    def test_gives_the_leaves_of_every_batch(self, database, tmp_path):
        """From any position of a batch its leaves lead to its hash, with and without summaries."""
        asyncio.run(live(database, tmp_path))
        with psycopg.connect(database.dsn.app, autocommit=True) as connection:
            batches = list_batches(connection, after=0, limit=1_000)
            assert sum(batch.last - batch.first + 1 for batch in batches) == 100
            for _ in range(2):
                previous = GENESIS
                for batch in batches:
                    for position in {batch.first, batch.last}:
                        found = find_batch(connection, position, tables=())
                        root = merkle_root([leaf.digest for leaf in found.leaves])
                        assert (found.number, found.previous) == (batch.number, previous)
                        assert found.hash == chain(previous, root) == batch.hash
                    previous = batch.hash
                summarise_keys(connection)
            assert find_batch(connection, 101, tables=()) is None

    def test_leaves_nothing_to_summarise(self, database, tmp_path):
        """What was added is summarised, by a role that could not do it on its own."""
        asyncio.run(live(database, tmp_path))
        with psycopg.connect(database.dsn.app, autocommit=True) as connection:
            summarise_keys(connection)

        left = database.connection.execute(
            "SELECT sum(brin_summarize_new_values(relid))"
            " FROM pg_partition_tree('fabric.idempotency_by_position') WHERE isleaf"
        ).fetchone()[0]

        assert left == 0
