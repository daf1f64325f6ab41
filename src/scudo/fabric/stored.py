"""Rows as they are stored: read by binary COPY, so that they hash as they were written."""

import struct
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import IO, Any, Final

import msgspec
from psycopg import Connection
from psycopg.pq.abc import PGresult

from scudo.fabric.log.model import ENTRY, KEY, batch_leaf
from scudo.fabric.rows import HEADER, TRAILER, Table
from scudo.kernel import POSTGRES_EPOCH_US, Prefix, ids

KEY_BYTES: Final = 54
_BATCH_ROW: Final = struct.Struct(">6xq4xq4xq4xq4xq4xii")
_INT2: Final = struct.Struct(">h")
_INT4: Final = struct.Struct(">i")
_NULL: Final = _INT4.pack(-1)
_COPY: Final = ("COPY (", ") TO STDOUT (FORMAT binary)")
_FIRST_INT8: Final = struct.Struct(">6xq")
_KEY_POSITION: Final = struct.Struct(">46xq")
#: Stands after the last row of a strand, beyond every position.
_END: Final = 1 << 62


def read_images(
    connection: Connection[Any], statement: str, parameters: dict[str, object]
) -> list[bytes]:
    """Read the images of the rows that a COPY statement of ours sends.

    Takes rows from the library below the driver's cursor: one call a row instead of several,
    and millions of rows are read.
    """
    images: list[bytes] = []
    _take_images(connection, statement, parameters, into=images.append)
    return images


def read_images_together(
    connection: Connection[Any], reads: Sequence[tuple[str, dict[str, object]]]
) -> list[list[bytes]]:
    """Read the images of a few rows each of several COPY statements of ours, in one round trip.

    What a COPY sends of a row are its columns as a query sends them; but COPY is planned anew each
    time, and waits twice.
    """
    with connection.pipeline():
        cursors = [
            connection.execute(_selected(statement), parameters, binary=True, prepare=True)
            for statement, parameters in reads
        ]
    return [_images_of(cursor.pgresult) for cursor in cursors if cursor.pgresult is not None]


def _selected(statement: str) -> bytes:
    return statement.removeprefix(_COPY[0]).removesuffix(_COPY[1]).encode()


def _images_of(result: PGresult) -> list[bytes]:
    columns, read = range(result.nfields), result.get_value
    begin = _INT2.pack(len(columns))
    images = []
    for row in range(result.ntuples):
        parts = [begin]
        for column in columns:
            value = read(row, column)
            parts += (_NULL,) if value is None else (_INT4.pack(len(value)), value)
        images.append(b"".join(parts))
    return images


def spool_images(
    connection: Connection[Any], statement: str, parameters: dict[str, object], *, into: IO[bytes]
) -> None:
    """Write the images of many rows to a file, one after the other."""
    _take_images(connection, statement, parameters, into=into.write)


def _take_images(
    connection: Connection[Any],
    statement: str,
    parameters: dict[str, object],
    *,
    into: Callable[[bytes], object],
) -> None:
    with connection.cursor().copy(statement.encode(), parameters) as copy:
        read = connection.pgconn.get_copy_data
        size, row = read(0)
        size, row = size - len(HEADER), row[len(HEADER) :]
        # The trailer is shorter than any row.
        while size > len(TRAILER):
            into(bytes(row))
            size, row = read(0)
        copy.read()


@dataclass(frozen=True, slots=True, eq=False)
class Chained:
    """An append-only table of a room, as the auditor must know it.

    Attributes:
        table: its first column is its key.
        shift: how many low bits of the key lie below the position; with any, all rows of an
            entry carry the position of its beginning.
        prefix: of the key, as clients see it.
        query: COPY of the rows with keys `first` to `last`, in order.
    """

    table: Table
    shift: int
    prefix: Prefix
    query: str

    def shown(self, image: bytes) -> str:
        """Key of a row, as clients see it."""
        return ids.show(self.prefix, first_int8(image))


class BatchRow(msgspec.Struct, gc=False):
    """A row of `fabric.log_batch`."""

    first: int
    last: int
    number: int
    epoch: int
    recorded_at: int
    leaves: int
    outline: bytes
    root: bytes
    hash: bytes

    def leaf(self) -> bytes:
        """Leaf 0 of the batch."""
        return batch_leaf(
            first=self.first,
            last=self.last,
            number=self.number,
            epoch=self.epoch,
            recorded_at=self.recorded_at,
            leaves=self.leaves,
            outline=self.outline,
        )


def batch_row(image: bytes) -> BatchRow:
    """Read the image of a row of `fabric.log_batch`."""
    first, last, number, epoch, recorded, leaves, size = _BATCH_ROW.unpack_from(image)
    at = _BATCH_ROW.size
    outline, at = image[at : at + size], at + size
    (size,) = _INT4.unpack_from(image, at)
    root, at = image[at + 4 : at + 4 + size], at + 4 + size
    recorded += POSTGRES_EPOCH_US
    return BatchRow(first, last, number, epoch, recorded, leaves, outline, root, image[at + 4 :])


def first_int8(image: bytes) -> int:
    """First column of an image, a bigint."""
    number: int = _FIRST_INT8.unpack_from(image)[0]
    return number


def key_position(image: bytes) -> int:
    """Position that a row of `fabric.idempotency` points at."""
    position: int = _KEY_POSITION.unpack_from(image)[0]
    return position


class Strand:
    """Rows of one table in a stretch of the log: where they belong, their leaves, their images."""

    __slots__ = ("at", "begins", "digests", "images", "positions", "shown", "table")

    def __init__(
        self,
        table: Table,
        images: list[bytes],
        *,
        positions: list[int],
        shown: Callable[[bytes], str],
        begins: bool,
    ) -> None:
        """Hash rows that are sorted by position.

        Args:
            table: whose rows they are.
            images: of the rows.
            positions: of the rows in the log, one each.
            shown: the key of an image in words.
            begins: whether every position is where an entry begins.
        """
        self.table = table
        self.images = images
        self.positions = [*positions, _END]
        self.shown = shown
        self.begins = begins
        prefix = b"\x00" + table.tag
        self.digests = [sha256(prefix + image).digest() for image in images]
        self.at = 0


def entry_strand(images: list[bytes]) -> Strand:
    """The strand of `fabric.log_entry`."""
    return Strand(
        ENTRY,
        images,
        positions=[position for (position,) in map(_FIRST_INT8.unpack_from, images)],
        shown=lambda image: str(first_int8(image)),
        begins=True,
    )


def key_strand(images: list[bytes]) -> Strand:
    """The strand of `fabric.idempotency`."""
    return Strand(
        KEY,
        images,
        positions=[position for (position,) in map(_KEY_POSITION.unpack_from, images)],
        shown=lambda image: image[6:22].hex(),
        begins=True,
    )


def chained_strand(chained: Chained, images: list[bytes]) -> Strand:
    """The strand of a room's table."""
    shift = chained.shift
    return Strand(
        chained.table,
        images,
        positions=[key >> shift for (key,) in map(_FIRST_INT8.unpack_from, images)],
        shown=chained.shown,
        begins=shift > 0,
    )


class StoredRows:
    """Everything that is stored for a stretch of positions."""

    def __init__(self, entries: Strand, others: Sequence[Strand]) -> None:
        """Put strands together; `others` in the order of an entry's leaves."""
        self.entries = entries
        self.others = others

    def leaves(self, last: int) -> list[bytes]:
        """Leaves of the entries from where the last call ended up to a position, in order."""
        entries, others = self.entries, self.others
        positions, digests = entries.positions, entries.digests
        leaves: list[bytes] = []
        append, at = leaves.append, entries.at
        while positions[at] <= last:
            append(digests[at])
            at += 1
            # What stands beyond the batch is not its own, even if the next entry is missing.
            end = min(positions[at], last + 1)
            for strand in others:
                index = strand.at
                if strand.positions[index] < end:
                    while strand.positions[index] < end:
                        append(strand.digests[index])
                        index += 1
                    strand.at = index
        entries.at = at
        return leaves

    def between(self, first: int, last: int) -> list[tuple[int, Strand, int]]:
        """Rows of a range of positions in the order of leaves: position, strand, index.

        Entries that are missing are made up for: where other rows begin, one begins.
        """
        strands = (self.entries, *self.others)
        starts = {
            position
            for strand in strands
            if strand.begins
            for position in strand.positions[:-1]
            if first <= position <= last
        }
        begins = sorted(starts)
        found: list[tuple[int, int, int, Strand]] = []
        for rank, strand in enumerate(strands):
            low = bisect_left(strand.positions, first)
            high = bisect_left(strand.positions, last + 1)
            for index in range(low, high):
                slot = bisect_left(begins, strand.positions[index] + 1) - 1
                begin = begins[slot] if slot >= 0 else strand.positions[index]
                found.append((begin, rank, index, strand))
        found.sort(key=lambda row: row[:3])
        return [(position, strand, index) for position, _, index, strand in found]
