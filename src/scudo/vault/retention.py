"""What goes from the vault by its age: cards that expired long ago, and records of reads.

How old is too old the caller says, by rules that are not the vault's; the database's functions and
the statements here have floors below which nobody gets. Persons go by erasure, and no other way.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from scudo.fabric import queries
from scudo.vault.answers import Answer, Forgotten, Kept, Tally
from scudo.vault.database import Database
from scudo.vault.wire import CountKept, ForgetCards, ForgetReads

_SQL: Final = queries("scudo.vault", "retention.sql")


class Ageing:
    """Forgets and counts by age; times are microseconds since 1970."""

    def __init__(self, database: Database) -> None:
        """Work on a database."""
        self._database = database

    @property
    def handlers(self) -> dict[type, Callable[[Any], Awaitable[Answer]]]:
        """What answers each kind of request; also while sealed, since nothing is opened."""
        return {
            ForgetReads: self._forget_reads,
            ForgetCards: self._forget_cards,
            CountKept: self._count,
        }

    async def _forget_reads(self, request: ForgetReads) -> Forgotten:
        async with self._database.transaction() as connection:
            cursor = await connection.execute(_SQL["forget_reads"], _parameters(request))
            row = await cursor.fetchone()
        assert row is not None, "a function has an answer"
        return Forgotten(int(row[0]))

    async def _forget_cards(self, request: ForgetCards) -> Forgotten:
        async with self._database.transaction() as connection:
            cursor = await connection.execute(_SQL["forget_cards"], _parameters(request))
            return Forgotten(cursor.rowcount)

    async def _count(self, request: CountKept) -> Kept:
        held = list(request.held)
        reads = await self._one("count_reads", {"before": request.reads_before, "held": held})
        cards = await self._one("count_cards", {"before": request.cards_before, "held": held})
        (persons,) = await self._one("count_persons", {})
        return Kept(persons, Tally(*reads), Tally(*cards))

    async def _one(self, name: str, asked: dict[str, Any]) -> Sequence[int]:
        async with self._database.connection() as connection:
            row = await (await connection.execute(_SQL[name], asked)).fetchone()
        assert row is not None, "a count has a row"
        return row


def _parameters(request: ForgetReads | ForgetCards) -> dict[str, Any]:
    return {"before": request.before, "held": list(request.held), "most": request.most}
