"""The feature state in a file, so that a start need not replay the whole log.

Layout: magic; a MessagePack header; for each chunk of keys its parts; SHA-256 over all
that went before. Header and parts have their length in front. The parts of a chunk are
the keys (for pairs the firsts, then the seconds), then for each array of a state its
lengths (4 bytes each) and its contents. All numbers are little-endian.
"""

import hashlib
import sys
from array import array
from collections.abc import Iterable, Iterator
from itertools import accumulate, islice, pairwise, repeat
from os import SEEK_END
from typing import BinaryIO, Final, Literal

import msgspec

from scudo.decisions.errors import SnapshotDamaged, SnapshotForeign
from scudo.decisions.features.definitions import FeatureSet
from scudo.decisions.features.forgetting import Forgotten
from scudo.decisions.features.layout import Dimension
from scudo.decisions.features.source import PAIR_SHIFT
from scudo.decisions.features.state import NO_TIMES, FeatureState, State

MAGIC: Final = b"SCUDOFS1"
CHUNK_KEYS: Final = 65_536
PAIR_MASK: Final = (1 << PAIR_SHIFT) - 1

_IS_FOREIGN: Final = sys.byteorder == "big"


class _Header(msgspec.Struct, frozen=True, array_like=True):
    """What the file is of.

    Attributes:
        keys: how many keys each dimension has.
        forgotten: for each dimension, (before, number of fingerprints) of each eviction.
    """

    definitions: bytes
    position: int
    ordered_at: int
    keys: tuple[int, ...]
    forgotten: tuple[tuple[tuple[int, int], ...], ...]


class _Writer:
    """A file that hashes what it is given."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def write(self, part: bytes | memoryview) -> None:
        self._hash.update(part)
        self._file.write(part)

    def framed(self, part: "bytes | array[int]") -> None:
        view = memoryview(part)
        self.write(view.nbytes.to_bytes(8, "little"))
        self.write(view.cast("B"))

    def close(self) -> None:
        self._file.write(self._hash.digest())


class _Reader:
    """A file that hashes what it gives, and refuses to end early."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        start = file.tell()
        self._left = file.seek(0, SEEK_END) - start
        file.seek(start)

    def read(self, size: int) -> bytes:
        # Asked before reading: a damaged length must not ask for memory that is not there.
        self._left -= size
        if self._left < 0:
            raise SnapshotDamaged("the snapshot ends too early")
        part = self._file.read(size)
        self._hash.update(part)
        return part

    def framed(self) -> bytes:
        return self.read(int.from_bytes(self.read(8), "little"))

    def parts(self) -> Iterator[bytes]:
        while True:
            yield self.framed()

    def close(self) -> None:
        expected = self._hash.digest()
        if self._file.read(len(expected)) != expected or self._file.read(1):
            raise SnapshotDamaged("the snapshot does not match its checksum")


def dump(state: FeatureState, file: BinaryIO, *, position: int) -> None:
    """Write the whole state; reads it only, so a forked child may do this.

    Args:
        state: must not have an open batch.
        file: opened for writing; the caller syncs and renames it.
        position: last position of the log that is folded in.
    """
    writer = _Writer(file)
    writer.write(MAGIC)
    header = _Header(
        state.features.hash,
        position,
        state.ordered_at,
        tuple(len(table) for table in state.tables),
        tuple(
            tuple((before, len(prints)) for before, prints in forgotten.generations)
            for forgotten in state.forgotten
        ),
    )
    writer.framed(msgspec.msgpack.encode(header))
    for forgotten in state.forgotten:
        for _, prints in forgotten.generations:
            writer.framed(_little(prints))
    for dimension, table in zip(state.dimensions, state.tables, strict=True):
        items = iter(table.items())
        while chunk := list(islice(items, CHUNK_KEYS)):
            for part in _packed(chunk, dimension):
                writer.framed(part)
    writer.close()


def load(file: BinaryIO, *, features: FeatureSet) -> tuple[FeatureState, int]:
    """Read a state that `dump` wrote, from a file that can seek.

    Returns:
        The state, and the last position of the log that it knows.

    Raises:
        SnapshotForeign: written for other definitions.
        SnapshotDamaged: cut, altered, or no snapshot at all.
    """
    reader = _Reader(file)
    if reader.read(len(MAGIC)) != MAGIC:
        raise SnapshotDamaged("this is not a snapshot of a feature state")
    try:
        header = msgspec.msgpack.decode(reader.framed(), type=_Header)
    except msgspec.MsgspecError as error:
        raise SnapshotDamaged("the snapshot's header is not readable") from error
    if header.definitions != features.hash:
        raise SnapshotForeign("the snapshot was made for other feature definitions")
    state = FeatureState(features)
    if not len(header.keys) == len(header.forgotten) == len(state.dimensions):
        raise SnapshotDamaged("the snapshot's header contradicts itself")
    for forgotten, generations in zip(state.forgotten, header.forgotten, strict=True):
        _read_forgotten(reader, forgotten, generations)
    for dimension, table, keys in zip(state.dimensions, state.tables, header.keys, strict=True):
        while len(table) < keys:
            before = len(table)
            try:
                _unpack(reader.parts(), dimension, table)
            except ValueError as error:
                raise SnapshotDamaged("a chunk of the snapshot contradicts itself") from error
            if len(table) == before:
                raise SnapshotDamaged("the snapshot has an empty chunk")
    reader.close()
    state.ordered_at = header.ordered_at
    state.has_forgotten = any(header.forgotten)
    return state, header.position


def _read_forgotten(
    reader: _Reader, forgotten: Forgotten, generations: tuple[tuple[int, int], ...]
) -> None:
    for before, size in generations:
        part = reader.framed()
        if len(part) != 8 * size:
            raise SnapshotDamaged("the snapshot's evictions have the wrong size")
        forgotten.generations.append((before, _little(array("Q", part))))


def _packed(chunk: list[tuple[int, State]], dimension: Dimension) -> Iterator["bytes | array[int]"]:
    keys = [key for key, _ in chunk]
    if len(dimension.keys) > 1:
        yield _little(array("q", [key >> PAIR_SHIFT for key in keys]))
        keys = [key & PAIR_MASK for key in keys]
    yield _little(array("q", keys))
    for number in _arrays(dimension):
        column = [state[number] for _, state in chunk]
        yield _little(array("I", map(len, column)))
        yield b"".join(map(_little, column) if _IS_FOREIGN else column)


def _unpack(parts: Iterator[bytes], dimension: Dimension, table: dict[int, State]) -> None:
    keys = _numbers("q", next(parts))
    if len(dimension.keys) > 1:
        seconds = _numbers("q", next(parts))
        keys = [one << PAIR_SHIFT | two for one, two in zip(keys, seconds, strict=True)]
    columns: list[Iterable[array[int]]] = [repeat(NO_TIMES, len(keys))] * (not dimension.has_rows)
    for _ in _arrays(dimension):
        lengths = _numbers("I", next(parts))
        columns.append(_cut(next(parts), lengths))
    table.update(zip(keys, zip(*columns, strict=True), strict=True))


def _arrays(dimension: Dimension) -> range:
    """Places of the arrays that a state of this dimension really has."""
    return range(0 if dimension.has_rows else 1, 2 + 2 * len(dimension.stacks))


def _numbers(typecode: Literal["q", "I", "Q"], part: bytes) -> list[int]:
    return _little(array(typecode, part)).tolist()


def _cut(cells: bytes, lengths: list[int]) -> "list[array[int]]":
    ends = list(accumulate((8 * length for length in lengths), initial=0))
    if ends[-1] != len(cells):
        raise SnapshotDamaged("a chunk of the snapshot has the wrong size")
    column = [array("q", cells[start:end]) for start, end in pairwise(ends)]
    return list(map(_little, column)) if _IS_FOREIGN else column


def _little(cells: "array[int]") -> "array[int]":
    """Turn an array from or into little-endian order; nothing to do on most machines."""
    if _IS_FOREIGN:
        cells = cells[:]
        cells.byteswap()
    return cells
