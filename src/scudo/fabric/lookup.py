"""Questions to the database that the next batch asks together, in one round trip."""

from collections.abc import Callable, Sequence
from typing import Any

from psycopg import AsyncConnection
from psycopg.adapt import Transformer
from psycopg.pq import Format
from psycopg.rows import TupleRow

from scudo.fabric.rows import numbered, parameter
from scudo.fabric.wire import Statement, Wire

Take = Callable[[Sequence[TupleRow]], object]


class Lookup:
    """Collects questions, and sends them all at once; use it from one task."""

    def __init__(self, connection: AsyncConnection[TupleRow]) -> None:
        """Ask over a connection that nobody else uses.

        Args:
            connection: in autocommit mode, outside a pipeline.
        """
        self._connection = connection
        self._asked: list[tuple[Statement, Take]] = []
        self._sent: list[Take] | None = None
        self._wire = Wire(connection, prepared={})

    def ask(self, query: str, parameters: dict[str, Any], take: Take) -> None:
        """Add a question; `take` is given its rows, and may ask more for the next time."""
        sql, names = numbered(query)
        types, values = zip(*(parameter(parameters[name]) for name in names), strict=True)
        self._asked.append((Statement(sql, types, values), take))

    def send(self) -> None:
        """Send what was asked; nothing asked, nothing sent.

        Raises:
            psycopg.Error: the connection cannot be used any more.
        """
        asked, self._asked = self._asked, []
        if asked:
            self._wire.send([statement for statement, _ in asked])
            self._sent = [take for _, take in asked]

    async def answer(self) -> None:
        """Hand the rows to those who asked; sends what has not been sent.

        Raises:
            psycopg.Error: whatever the server or the connection refuses with; nothing was taken.
        """
        if self._sent is None:
            self.send()
        takes, self._sent = self._sent, None
        if takes is None:
            return
        self._wire.listen()
        results = await self._wire.results()
        for take, result in zip(takes, results, strict=True):
            rows = Transformer(self._connection)
            rows.set_pgresult(result, set_loaders=True, format=Format.BINARY)
            take(rows.load_rows(0, result.ntuples, tuple))

    def close(self) -> None:
        """Listen no longer; call it before the connection is closed."""
        self._wire.ignore()
