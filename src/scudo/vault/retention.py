"""What goes from the vault by its age: cards that expired long ago, and records of reads.

How old is too old the caller says, by rules that are not the vault's; the database's functions and
the statements here have floors below which nobody gets. Persons go by erasure, and no other way.
"""

from collections.abc import Sequence
from typing import Any, Final

from scudo.fabric import queries
from scudo.vault.answers import Kept, Tally
from scudo.vault.database import Database

_SQL: Final = queries("scudo.vault", "retention.sql")


class Ageing:
    """Forgets and counts by age; times are microseconds since 1970."""

    def __init__(self, database: Database) -> None:
        """Work on a database."""
        self._database = database

    async def forget_reads(self, before: int, held: Sequence[int], most: int) -> int:
        """Delete some records of reads from before a time; gives how many."""
        asked = {"before": before, "held": list(held), "most": most}
        async with self._database.transaction() as connection:
            row = await (await connection.execute(_SQL["forget_reads"], asked)).fetchone()
        assert row is not None, "a function has an answer"
        return int(row[0])

    async def forget_cards(self, before: int, held: Sequence[int], most: int) -> int:
        """Delete some cards that had expired before a time; gives how many."""
        asked = {"before": before, "held": list(held), "most": most}
        async with self._database.transaction() as connection:
            return (await connection.execute(_SQL["forget_cards"], asked)).rowcount

    async def count(self, *, reads_before: int, cards_before: int, held: Sequence[int]) -> Kept:
        """Count what there is."""
        reads = await self._one("count_reads", {"before": reads_before, "held": list(held)})
        cards = await self._one("count_cards", {"before": cards_before, "held": list(held)})
        (persons,) = await self._one("count_persons", {})
        return Kept(persons, Tally(*reads), Tally(*cards))

    async def _one(self, name: str, asked: dict[str, Any]) -> Sequence[int]:
        async with self._database.connection() as connection:
            row = await (await connection.execute(_SQL[name], asked)).fetchone()
        assert row is not None, "a count has a row"
        return row
