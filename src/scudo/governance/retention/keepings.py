"""Where this room keeps what rules speak for: tables, of which functions of the database take."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.fabric import queries, web
from scudo.governance.retention.rules import ALL
from scudo.governance.retention.running import AT_ONCE, Asked, Count
from scudo.kernel import Prefix, ids, instant, micros

_SQL: Final = queries("scudo.governance", "retention.sql")

Connect = Callable[[], Awaitable[AsyncConnection[TupleRow]]]


class TableKeeping:
    """Rows of one table that go by their age."""

    def __init__(self, connect: Connect, table: str) -> None:
        """Keep rows of a table: `requests`, `acts`, or `conduct`."""
        self._connect = connect
        self._forget, self._count = _SQL[f"forget_{table}"], _SQL[f"count_{table}"]

    async def forget(self, asked: Asked) -> AsyncIterator[int]:
        """Delete what is due, the oldest first, a statement for each batch."""
        async with await self._connect() as connection:
            while True:
                cursor = await connection.execute(
                    self._forget, {**_parameters(asked), "most": AT_ONCE}
                )
                row = await cursor.fetchone()
                assert row is not None, "a function has an answer"
                yield row[0]
                if row[0] < AT_ONCE:
                    return

    async def count(self, asked: Asked) -> Count:
        """Count all rows."""
        async with await self._connect() as connection:
            row = await (await connection.execute(self._count, _parameters(asked))).fetchone()
        assert row is not None, "a count has a row"
        kept, oldest, due, held = row
        return Count(kept, 0 if oldest is None else micros(oldest), due, held)


def _parameters(asked: Asked) -> dict[str, object]:
    held = sorted(asked.held())
    return {
        "before": instant(asked.cuts[ALL]),
        "held": held,
        "named": [ids.show(Prefix.CUSTOMER, number) for number in held],
        "customer_kind": int(web.PrincipalKind.CUSTOMER),
    }


class FileKeeping:
    """Files of one folder that go by their age.

    Whose they are nobody can tell from outside: while anybody's data is held, all of them stay.
    """

    def __init__(self, folder: Path, pattern: str) -> None:
        """Keep files of a folder, which need not be there."""
        self._folder, self._pattern = folder, pattern

    async def forget(self, asked: Asked) -> AsyncIterator[int]:
        """Remove the files that are due, as long as nothing is held."""
        done = 0
        for path in [path for path, began in self._files() if began < asked.cuts[ALL]]:
            if asked.held():
                break
            path.unlink(missing_ok=True)
            done += 1
            if done == AT_ONCE:
                yield done
                done = 0
        yield done

    async def count(self, asked: Asked) -> Count:
        """Count all files."""
        began = [began for _, began in self._files()]
        due = sum(one < asked.cuts[ALL] for one in began)
        is_held = bool(asked.held())
        return Count(len(began), min(began, default=0), 0 if is_held else due, due * is_held)

    def _files(self) -> list[tuple[Path, int]]:
        """Files, and when they were written, in microseconds."""
        return [
            (path, path.stat().st_mtime_ns // 1_000) for path in self._folder.glob(self._pattern)
        ]
