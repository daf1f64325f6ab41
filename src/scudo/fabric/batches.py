"""Batches read back from the log: their hashes in order, and one with all of its leaves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import Connection

from scudo.fabric.log.model import BATCH
from scudo.fabric.rows import queries
from scudo.fabric.stored import (
    BatchRow,
    Chained,
    StoredRows,
    chained_strand,
    entry_strand,
    key_strand,
    read_images,
    read_images_together,
)
from scudo.kernel import GENESIS, micros

_READS: Final = queries("scudo.fabric", "reads.sql")
_SQL: Final = queries("scudo.fabric", "verification.sql")


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """A batch as the chain knows it.

    Attributes:
        first, last: positions of its first and its last event.
        number: from 1 on, without a gap.
        root: of the tree over its rows.
        hash: chains the root to the batch before.
    """

    first: int
    last: int
    number: int
    root: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class StoredLeaf:
    """A chained row of a batch.

    Attributes:
        position: where its entry begins; 0 for the batch's own row.
        tag: of its table.
        image: its bytes; the batch's own row has none here.
    """

    position: int
    tag: bytes
    image: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class WholeBatch:
    """A batch, the hash it is chained to, and its leaves in their order."""

    number: int
    previous: bytes
    hash: bytes
    leaves: tuple[StoredLeaf, ...]


def list_batches(connection: Connection[Any], *, after: int, limit: int) -> list[SealedBatch]:
    """List batches in order, from the first that begins after a position."""
    cursor = connection.execute(
        _READS["list_batches"], {"after": after, "limit": limit}, binary=True
    )
    return [SealedBatch(*row) for row in cursor.fetchall()]


def find_batch(
    connection: Connection[Any], position: int, *, tables: Sequence[Chained]
) -> WholeBatch | None:
    """Find the batch that holds a position; None if the log does not reach it.

    Args:
        connection: of a role that may read every table.
        position: of any event.
        tables: the rooms' chained tables, in the order of an entry's leaves.
    """
    found = connection.execute(_READS["find_batch"], {"position": position}, binary=True).fetchone()
    if found is None or found[1] < position:
        return None
    first, last, number, epoch, recorded_at, *rest, previous = found
    row = BatchRow(first, last, number, epoch, micros(recorded_at), *rest)
    rows = _read_batch(connection, first, last, tables=tables)
    leaves = [StoredLeaf(0, BATCH.tag, b"", row.leaf())]
    for begins, strand, index in rows.between(first, last):
        tag, image = strand.table.tag, strand.images[index]
        leaves.append(StoredLeaf(begins, tag, image, strand.digests[index]))
    return WholeBatch(number, previous or GENESIS, row.hash, tuple(leaves))


def newest_entries(
    connection: Connection[Any], *, limit: int
) -> list[tuple[int, bytes, bytes, bytes]]:
    """List the last entries, the newest first: position, command, events, answer as stored."""
    return connection.execute(_READS["newest_entries"], {"limit": limit}, binary=True).fetchall()


def summarise_keys(connection: Connection[Any]) -> None:
    """Let `find_batch` be quick for what was added since the last call; every minute or so."""
    connection.execute(_READS["summarise_keys"])


def read_rows(
    connection: Connection[Any],
    first: int,
    last: int,
    *,
    tables: Sequence[Chained],
    keys: list[bytes],
) -> StoredRows:
    """Read every chained row of a range of positions, which may be many.

    Args:
        connection: of a role that may read every table.
        first: position of the range.
        last: position of the range.
        tables: the rooms' chained tables, in the order of an entry's leaves.
        keys: images of the idempotency rows.
    """
    entries, *others = [
        read_images(connection, *read) for read in _reads(first, last, tables=tables)
    ]
    return _put_together(entries, keys, others, tables=tables)


def _read_batch(
    connection: Connection[Any], first: int, last: int, *, tables: Sequence[Chained]
) -> StoredRows:
    """Read every chained row of a batch."""
    bounds: dict[str, object] = {"first": first, "last": last}
    reads = [(_SQL["keys"], bounds), *_reads(first, last, tables=tables)]
    images = read_images_together(connection, reads)
    return _put_together(images[1], images[0], images[2:], tables=tables)


def _reads(
    first: int, last: int, *, tables: Sequence[Chained]
) -> Iterator[tuple[str, dict[str, object]]]:
    """What reads the rows of entries, and those of the rooms."""
    yield _SQL["entries"], {"first": first, "last": last}
    for chained in tables:
        low, high = first << chained.shift, ((last + 1) << chained.shift) - 1
        yield chained.query, {"first": low, "last": high}


def _put_together(
    entries: list[bytes],
    keys: list[bytes],
    others: list[list[bytes]],
    *,
    tables: Sequence[Chained],
) -> StoredRows:
    strands = [chained_strand(*pair) for pair in zip(tables, others, strict=True)]
    return StoredRows(entry_strand(entries), [key_strand(keys), *strands])
