"""What the auditor shows to the witnesses of the rooms, and what they find."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from psycopg import Connection

from scudo.fabric.log.model import Event


@dataclass(frozen=True, slots=True)
class BadRow:
    """The first row that is not as it must be.

    Attributes:
        table: schema and table.
        key: of the row, as clients see it.
        column: None where only the row is known.
        expected, found: in words.
    """

    table: str
    key: str
    column: str | None
    expected: str
    found: str

    def __str__(self) -> str:
        """Say it in one line."""
        what = f"{self.table} {self.key}" + (f" {self.column}" if self.column else "")
        return f"{what}: expected {self.expected}, found {self.found}"


class RowBroken(Exception):
    """Raised by a check at the first row that is not as it must be."""

    def __init__(
        self, table: str, key: str, *, column: str | None = None, expected: object, found: object
    ) -> None:
        """Name the row, and what was expected of it."""
        self.row = BadRow(table, key, column, str(expected), str(found))
        super().__init__(str(self.row))


class Seen(msgspec.Struct, gc=False):
    """An entry of the log, as witnesses see it."""

    position: int
    ordered_at: int
    correlation: int
    client: int
    event_count: int
    status: int
    command: bytes
    events: Sequence[Event]


@dataclass(slots=True)
class Stretch:
    """Consecutive entries and their chained rows, whole and in order.

    Attributes:
        first, last: the positions that were looked for rows.
        entries: in order.
        rows: images, by name of the table.
    """

    first: int
    last: int
    entries: list[Seen]
    rows: dict[str, list[bytes]]


class Witness(Protocol):
    """Checks of one room: sees the log once, in order, and at last the room's state."""

    def see(self, stretch: Stretch, connection: Connection[Any]) -> None:
        """Check a stretch.

        Raises:
            RowBroken: at the first bad row.
        """

    def conclude(self, connection: Connection[Any]) -> None:
        """Compare stored state with what was seen, in the snapshot of the last head.

        Raises:
            RowBroken: at the first bad row.
        """
