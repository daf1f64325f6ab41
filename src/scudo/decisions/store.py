"""The only place that touches the decisions room's tables (new rows go with their entry)."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.decisions.model import DecisionRecord
from scudo.fabric import Int8Array, Lookup, queries

_SQL: Final = queries("scudo.decisions")
_decode: Final = msgspec.msgpack.Decoder(DecisionRecord).decode
#: Decisions read at once while the features' state is rebuilt.
_PAGE: Final = 5_000


async def read_decisions(
    connection: AsyncConnection[TupleRow], *, after: int, through: int
) -> AsyncIterator[tuple[int, DecisionRecord]]:
    """Read decisions in the order of the log: positions after `after`, up to `through`."""
    while True:
        cursor = await connection.execute(
            _SQL["read_decisions"],
            {"after": after, "through": through, "limit": _PAGE},
            binary=True,
        )
        rows = await cursor.fetchall()
        for number, record in rows:
            yield number, _decode(record)
        if len(rows) < _PAGE:
            return
        after = rows[-1][0]


async def find_decision(
    connection: AsyncConnection[TupleRow], number: int
) -> tuple[int, DecisionRecord] | None:
    """The payment that a decision was about, and its record; None if there is none."""
    row = await (
        await connection.execute(_SQL["find_decision"], {"id": number}, binary=True)
    ).fetchone()
    return None if row is None else (row[1], _decode(row[2]))


def ask_records(
    lookup: Lookup, numbers: Iterable[int], take: Callable[[int, DecisionRecord], None]
) -> None:
    """Ask for the records of decisions; `take` is given each with its number."""

    def decoded(rows: Iterable[TupleRow]) -> None:
        for number, record in rows:
            take(number, _decode(record))

    lookup.ask(_SQL["load_records"], {"ids": Int8Array(numbers)}, decoded)


async def list_degraded(
    connection: AsyncConnection[TupleRow], *, after: int, limit: int
) -> list[tuple[int, int, DecisionRecord]]:
    """Degraded decisions after a position: id, payment, record."""
    cursor = await connection.execute(
        _SQL["find_degraded"], {"after": after, "limit": limit}, binary=True
    )
    return [
        (number, subject, _decode(record)) for number, subject, record in await cursor.fetchall()
    ]


async def add_alerts(
    connection: AsyncConnection[TupleRow], alerts: Sequence[dict[str, Any]]
) -> None:
    """Open alerts, each given by the columns of its row; those that are open stay as they are."""
    await connection.cursor().executemany(_SQL["add_alert"], alerts)


async def list_alerts(
    connection: AsyncConnection[TupleRow], *, before: int, limit: int
) -> list[tuple[Any, ...]]:
    """Alerts, newest first: id, decision, payment, outcome, opened_at."""
    cursor = await connection.execute(_SQL["list_alerts"], {"before": before, "limit": limit})
    return await cursor.fetchall()


async def keep_policy(
    connection: AsyncConnection[TupleRow], *, digest: bytes, name: str, source: str, now: datetime
) -> None:
    """Keep the text of a policy that decides, so that its decisions can be explained for ever."""
    await connection.execute(
        _SQL["keep_policy"],
        {"hash": digest.hex(), "name": name, "source": source, "now": now},
    )
