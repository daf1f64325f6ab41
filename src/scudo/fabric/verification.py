"""The auditor's walk along the log: nothing missing, nothing added, nothing changed.

Every stored row is hashed as it is stored and put back into its place among the leaves of
its batch; root and chain must come out as they were written. Rows up to the head never
change, so the walk needs no long snapshot and runs beside live traffic. What the rows mean
is for the witnesses of the rooms, which see each verified stretch of the log once.
"""

import struct
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, Final

import msgspec
from psycopg import Connection

from scudo.fabric.batches import read_rows
from scudo.fabric.diagnosis import NO_ROW, PLACE, Before, Diagnosis
from scudo.fabric.evidence import RowBroken, Seen, Stretch, Witness
from scudo.fabric.log.model import BATCH, ENTRY, Event, Head
from scudo.fabric.rows import queries
from scudo.fabric.stored import (
    KEY_BYTES,
    BatchRow,
    Chained,
    StoredRows,
    batch_row,
    key_position,
    read_images,
    spool_images,
)
from scudo.kernel import GENESIS, POSTGRES_EPOCH_US, chain, merkle_root

_SQL: Final = queries("scudo.fabric", "verification.sql")
#: No position lies beyond these.
FIRST: Final = -(1 << 50)
LAST: Final = (1 << 50) - 1
#: Positions that are read and checked at once.
_STRETCH: Final = 30_000
_BATCHES: Final = 128
_SPOOL_BYTES: Final = 64 << 20
_ENTRY_ROW: Final = struct.Struct(">6xq4xq4xq4xq4xh4xhi")
_INT4: Final = struct.Struct(">i")
#: What reading a row that was tampered with may raise.
_UNREADABLE: Final = (LookupError, ValueError, AssertionError, struct.error, msgspec.MsgspecError)


class _Keys:
    """Idempotency rows in the order of positions, kept aside: no index has that order."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._ahead: deque[bytes] = deque()

    def take(self, last: int) -> list[bytes]:
        """Rows up to a position, from where the last call ended."""
        taken: list[bytes] = []
        ahead = self._ahead
        while True:
            if not ahead:
                block = self._file.read(KEY_BYTES * 8_192)
                if not block:
                    return taken
                ahead.extend(block[at : at + KEY_BYTES] for at in range(0, len(block), KEY_BYTES))
            while ahead and key_position(ahead[0]) <= last:
                taken.append(ahead.popleft())
            if ahead:
                return taken


class Walk:
    """A walk from the first batch on.

    Attributes:
        position: how far everything was found whole.
        rows: how many rows were hashed and found in their place.
    """

    def __init__(
        self,
        connection: Connection[Any],
        *,
        tables: Sequence[Chained],
        decode: Callable[[bytes], Sequence[Event]],
        witnesses: Sequence[Witness],
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Begin before the first batch.

        Args:
            connection: in autocommit mode; may read every table.
            tables: the rooms' chained tables, in the order of an entry's leaves.
            decode: reads the events of an entry.
            witnesses: of the rooms, in the order in which their findings count.
            progress: is told how far the walk is and how far it goes.
        """
        self._connection = connection
        self._tables = tables
        self._decode = decode
        self._witnesses = witnesses
        self._progress = progress
        self._batches: deque[BatchRow] = deque()
        self._first_batch = FIRST
        self.position = 0
        self.rows = 0
        self.ordered_at = 0
        self.number = 0
        self.epoch = 0
        self.hash = GENESIS

    def read_head(self) -> Head:
        """Where the log stands."""
        row = self._connection.execute(_SQL["head"]).fetchone()
        assert row is not None, "the head row exists since the first migration"
        return Head(*row)

    def advance(self, head: Head) -> None:
        """Walk to a head.

        Raises:
            RowBroken: at the first bad row.
        """
        first = FIRST if self.position == 0 else self.position + 1
        if self.position >= head.position:
            return
        with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as file:
            query: dict[str, object] = {"first": first, "last": head.position}
            spool_images(self._connection, _SQL["keys"], query, into=file)
            file.seek(0)
            self._advance(head, _Keys(file), first=first)

    def _advance(self, head: Head, keys: _Keys, *, first: int) -> None:
        while self.position < head.position:
            batches = self._next_batches(head)
            last = self._end_of(batches, head)
            rows = self._read(first, last, keys.take(last))
            try:
                stretch = self._check(batches, rows, first=first)
            except RowBroken as broken:
                self._refine(broken, batches, rows)
                raise
            for witness in self._witnesses:
                witness.see(stretch, self._connection)
            first = self.position + 1
            if self._progress is not None:
                self._progress(self.position, head.position)

    def conclude(self, head: Head) -> None:
        """Check that nothing lies beyond the head, and the rooms' state; in one snapshot.

        Raises:
            RowBroken: at the first bad row.
        """
        beyond = self._read(
            head.position + 1,
            LAST,
            read_images(self._connection, _SQL["keys"], {"first": head.position + 1, "last": LAST}),
        )
        for _, strand, index in beyond.between(FIRST, LAST):
            raise RowBroken(
                strand.table.name,
                strand.shown(strand.images[index]),
                expected=f"nothing beyond position {head.position}",
                found="a row",
            )
        self._batches.clear()
        for row in self._more_batches(LAST):
            raise RowBroken(
                BATCH.name,
                str(row.first),
                expected=f"nothing beyond position {head.position}",
                found="a row",
            )
        for name, expected, found in (
            ("position", self.position, head.position),
            ("batch", self.number, head.batch),
            ("hash", self.hash.hex(), head.hash.hex()),
            ("ordered_at", self.ordered_at, head.ordered_at),
        ):
            if expected != found:
                raise RowBroken(
                    "fabric.log_head", "head", column=name, expected=expected, found=found
                )
        for witness in self._witnesses:
            witness.conclude(self._connection)

    # ---- reading

    def _more_batches(self, through: int) -> Sequence[BatchRow]:
        images = read_images(
            self._connection,
            _SQL["batches"],
            {"after": self._first_batch, "through": through, "limit": _BATCHES},
        )
        rows = [batch_row(image) for image in images]
        if rows:
            self._first_batch = rows[-1].first
            self._batches.extend(rows)
        return rows

    def _next_batches(self, head: Head) -> list[BatchRow]:
        # Batches of about a stretch; one more stays in `_batches` to look ahead.
        taken: list[BatchRow] = []
        reach = self.position + _STRETCH
        while True:
            if len(self._batches) < 2:
                self._more_batches(head.position)
            if not self._batches:
                break
            taken.append(self._batches.popleft())
            if taken[-1].last >= reach:
                break
        if not taken:
            raise RowBroken(
                BATCH.name,
                str(self.position + 1),
                expected=f"a batch that begins at position {self.position + 1}",
                found=NO_ROW,
            )
        return taken

    def _end_of(self, batches: Sequence[BatchRow], head: Head) -> int:
        """How far to read for these batches, even if one of them tells a wrong end."""
        end = self._batches[0].first - 1 if self._batches else head.position
        claimed = min(batches[-1].last, end + _STRETCH)
        return min(max(end, claimed, self.position + 1), head.position)

    def _read(self, first: int, last: int, keys: list[bytes]) -> StoredRows:
        return read_rows(self._connection, first, last, tables=self._tables, keys=keys)

    # ---- checking

    def _check(self, batches: Sequence[BatchRow], rows: StoredRows, *, first: int) -> Stretch:
        for index, row in enumerate(batches):
            leaves = rows.leaves(row.last)
            root = merkle_root([row.leaf(), *leaves])
            if (
                root != row.root
                or chain(self.hash, root) != row.hash
                or row.first != self.position + 1
                or row.number != self.number + 1
                or row.leaves != len(leaves) + 1
                or row.epoch < self.epoch
            ):
                following = batches[index + 1 :] or self._batches
                before = Before(
                    first if not self.position else self.position + 1,
                    self.position,
                    self.number,
                    self.epoch,
                    self.hash,
                )
                raise Diagnosis(
                    before,
                    row,
                    rows=rows,
                    following=following[0] if following else None,
                    tables=self._tables,
                ).conclude()
            self.position, self.number, self.hash = row.last, row.number, row.hash
            self.epoch = row.epoch
            self.rows += row.leaves
        end = rows.entries.at
        stretch = Stretch(
            first,
            self.position,
            self._entries(rows.entries.images[:end]),
            {s.table.name: s.images[: s.at] for s in rows.others},
        )
        self._check_entries(stretch)
        return stretch

    def _entries(self, images: Sequence[bytes]) -> list[Seen]:
        entries, decode = [], self._decode
        start = _ENTRY_ROW.size
        for image in images:
            position, ordered_at, correlation, client, count, status, size = _ENTRY_ROW.unpack_from(
                image
            )
            at = start + size
            (length,) = _INT4.unpack_from(image, at)
            entries.append(
                Seen(
                    position,
                    ordered_at + POSTGRES_EPOCH_US,
                    correlation,
                    client,
                    count,
                    status,
                    image[start:at],
                    decode(image[at + 4 : at + 4 + length]),
                )
            )
        return entries

    def _check_entries(self, stretch: Stretch) -> None:
        # Positions without a gap, time that only goes on, as many events as are counted.
        expected = max(stretch.first, 1)
        for entry in stretch.entries:
            for column, wanted, found in (
                ("position", expected, entry.position),
                ("event_count", len(entry.events), entry.event_count),
            ):
                if wanted != found:
                    raise RowBroken(
                        ENTRY.name, str(entry.position), column=column, expected=wanted, found=found
                    )
            if entry.ordered_at <= self.ordered_at:
                raise RowBroken(
                    ENTRY.name,
                    str(entry.position),
                    column="ordered_at",
                    expected=f"more than {self.ordered_at}",
                    found=entry.ordered_at,
                )
            expected = entry.position + entry.event_count
            self.ordered_at = entry.ordered_at + entry.event_count - 1
        if expected != stretch.last + 1:
            raise RowBroken(ENTRY.name, str(expected), expected="an entry", found=NO_ROW)

    def _refine(self, broken: RowBroken, batches: Sequence[BatchRow], rows: StoredRows) -> None:
        """Let the witnesses say which column of the bad row it is, if they can.

        What they find before it, in batches that are whole, is the first bad row itself.
        """
        for finding in self._findings(batches, rows):
            coarse, fine = broken.row, finding.row
            is_missing = coarse.key.startswith(PLACE) and fine.found == NO_ROW
            if fine.table == coarse.table and (fine.key == coarse.key or is_missing):
                raise finding from broken

    def _findings(self, batches: Sequence[BatchRow], rows: StoredRows) -> Iterator[RowBroken]:
        first = batches[0].first
        upto = max(self.position, batches[-1].last)
        found: dict[str, list[bytes]] = {s.table.name: [] for s in rows.others}
        entries: list[bytes] = []
        for _, strand, index in rows.between(first, upto):
            (entries if strand.table is ENTRY else found[strand.table.name]).append(
                strand.images[index]
            )
        try:
            stretch = Stretch(first, upto, self._entries(entries), found)
        except _UNREADABLE:
            return
        for witness in self._witnesses:
            try:
                witness.see(stretch, self._connection)
            except RowBroken as finding:
                yield finding
            except _UNREADABLE:
                continue
