"""The index of acts, kept from the log, and what is asked of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.fabric import Event, Recorded, queries
from scudo.governance.events import ActRecorded
from scudo.kernel import MINOR_MAX, instant

_SQL: Final = queries("scudo.governance", "trail.sql")


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for; None is not asked.

    Attributes:
        actor, actor_kind: number and kind of who did it.
        whose: number of the customer whose data or money it was.
        since, until: from the first instant on, up to before the second.
        before: number of the last act of the page before.
    """

    actor: int | None = None
    actor_kind: int | None = None
    whose: int | None = None
    object: str | None = None
    trace: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: int = MINOR_MAX
    limit: int = 50


class ActIndex:
    """Keeps acts where they are searched, so that nobody has to go through the log."""

    name: Final = "governance.acts"
    wants: Final[frozenset[type[Event]]] = frozenset({ActRecorded})

    async def take(self, connection: AsyncConnection[TupleRow], page: Sequence[Recorded]) -> None:
        """Keep the acts that the events tell of."""
        await connection.cursor().executemany(_SQL["add_act"], [_row(one) for one in page])


def _row(recorded: Recorded) -> dict[str, Any]:
    event = recorded.event
    assert isinstance(event, ActRecorded), "it wants nothing else"
    row = msgspec.structs.asdict(event)
    row["id"] = row.pop("act_id")
    return row | {"at": instant(recorded.ordered_at)}


async def find_acts(
    connection: AsyncConnection[TupleRow], search: Search
) -> Sequence[tuple[Any, ...]]:
    """Acts, newest first, by the columns of their row."""
    # Planned for what is asked each time: each kind of question has an index of its own.
    cursor = await connection.execute(
        _SQL["find_acts"], msgspec.structs.asdict(search), prepare=False
    )
    return await cursor.fetchall()


async def find_requests(
    connection: AsyncConnection[TupleRow], search: Search
) -> Sequence[tuple[Any, ...]]:
    """Requests, newest first, by the columns of their row."""
    cursor = await connection.execute(
        _SQL["find_requests"], msgspec.structs.asdict(search), prepare=False
    )
    return await cursor.fetchall()
