"""Reads of the log: events in order, and remembered answers."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.fabric.log.model import Answer
from scudo.fabric.lookup import Lookup, Take
from scudo.fabric.rows import Int8Array, queries

_SQL: Final = queries("scudo.fabric")
_READS: Final = queries("scudo.fabric", "reads.sql")


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """What one command did, as the log keeps it.

    Attributes:
        position: of its first event.
        ordered_at: of its first event; each further one is a microsecond later.
        events: encoded, in order; `EventCatalogue.decode` reads them.
    """

    position: int
    ordered_at: datetime
    correlation: int
    client: int
    event_count: int
    events: bytes


async def list_entries(
    connection: AsyncConnection[TupleRow], *, after: int, limit: int
) -> Sequence[StoredEntry]:
    """List entries in order, from the one that holds the position after `after`."""
    cursor = await connection.execute(_SQL["entry_start"], {"position": after + 1})
    row = await cursor.fetchone()
    if row is None or row[0] is None:
        return ()
    cursor = await connection.execute(_SQL["read_entries"], {"start": row[0], "limit": limit + 1})
    return [StoredEntry(*entry) for entry in await cursor.fetchall()]


def ask_commands(lookup: Lookup, positions: Iterable[int], take: Take) -> None:
    """Ask for the position and canonical command of each of these entries."""
    lookup.ask(_READS["find_commands"], {"positions": Int8Array(positions)}, take)


async def find_answer(connection: AsyncConnection[TupleRow], digest: bytes) -> Answer | None:
    """Find what was answered under a key, by `idempotency_digest` of client and key."""
    cursor = await connection.execute(_READS["find_answer"], {"key": uuid.UUID(bytes=digest)})
    row = await cursor.fetchone()
    return None if row is None else Answer(row[0], bytes(row[1]))
