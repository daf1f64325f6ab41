"""Finds out which row of a batch is bad, once root and chain say that one is."""

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from scudo.fabric.evidence import RowBroken
from scudo.fabric.log.model import BATCH, ENTRY, KEY, outline_mark
from scudo.fabric.stored import BatchRow, Chained, StoredRows, Strand
from scudo.kernel import chain, ids, merkle_root

_MARK_BYTES: Final = 4
NO_ROW: Final = "no row"
#: Begins what stands for the key of a row of which only its entry is known.
PLACE: Final = "of position "
_EVENT_COUNT: Final = struct.Struct(">54xh")
#: Rows in the order of leaves: position of their entry, strand, index in it.
_Found = Sequence[tuple[int, Strand, int]]


@dataclass(frozen=True, slots=True)
class Before:
    """What was found whole before the batch.

    Attributes:
        start: where rows of the batch may begin.
        position, number, epoch, hash: of the batch before it.
    """

    start: int
    position: int
    number: int
    epoch: int
    hash: bytes


class Diagnosis:
    """One batch that is not whole, and everything that is stored for it."""

    def __init__(
        self,
        before: Before,
        row: BatchRow,
        *,
        rows: StoredRows,
        following: BatchRow | None,
        tables: Sequence[Chained],
    ) -> None:
        """Look at a batch; `following` is the row of the next one, if there is one."""
        self._before = before
        self._row = row
        self._rows = rows
        self._following = following
        self._tables = tables

    def conclude(self) -> RowBroken:
        """Find the first bad row.

        Raises:
            RowBroken: where it is the batch's own row.
        """
        row, rows, following = self._row, self._rows, self._following
        start, first = self._before.start, self._before.position + 1
        ends = [row.last]
        if following is not None:
            ends.append(following.first - 1)
        for end in ends:
            found = rows.between(start, end)
            self._check_batch_row(found)
        if row.first != first:
            return _no_batch(first, row.first)
        if row.number != self._before.number + 1:
            return RowBroken(
                BATCH.name,
                str(row.first),
                expected=f"batch {self._before.number + 1}",
                found=f"what belongs to batch {row.number}",
            )
        found = rows.between(start, row.last)
        return self._by_outline(found) or RowBroken(
            BATCH.name,
            str(row.first),
            expected="a row that its own leaf proves (epoch, recorded_at)",
            found=row.leaf().hex(),
        )

    def _check_batch_row(self, found: _Found) -> None:
        # Puts right one column of the batch's row at a time; the one that proves it is bad.
        row, before, following = self._row, self._before, self._following
        leaves = [strand.digests[index] for _, strand, index in found]
        outline = b"".join(
            [outline_mark(strand.table.tag, strand.digests[index]) for _, strand, index in found]
        )
        root = merkle_root([row.leaf(), *leaves])
        if root == row.root:
            if row.first != before.position + 1:
                raise _no_batch(before.position + 1, row.first)
            wanted = chain(before.hash, root)
            if row.hash != wanted:
                raise _batch_broken(row, "hash", wanted.hex(), row.hash.hex())
        elif chain(before.hash, root) == row.hash:
            raise _batch_broken(row, "root", root.hex(), row.root.hex())
        last = following.first - 1 if following is not None else row.last
        for column, value in (
            ("first", before.position + 1),
            ("last", last),
            ("number", before.number + 1),
            ("leaves", len(leaves) + 1),
            ("outline", outline),
            ("epoch", before.epoch),
            ("epoch", following.epoch if following is not None else before.epoch + 1),
        ):
            stored = getattr(row, column)
            righted = msgspec.structs.replace(row, **{column: value})
            if stored != value and merkle_root([righted.leaf(), *leaves]) == row.root:
                name = {"first": "first_position", "last": "last_position"}.get(column, column)
                raise _batch_broken(row, name, value, stored)

    def _by_outline(self, found: _Found) -> RowBroken | None:
        """Compare rows with the outline of their batch; the first that differs is bad."""
        row = self._row
        marks = [
            row.outline[at : at + _MARK_BYTES] for at in range(0, len(row.outline), _MARK_BYTES)
        ]
        stored = [
            outline_mark(strand.table.tag, strand.digests[index]) for _, strand, index in found
        ]
        extra, missing = Counter(stored), Counter(marks)
        extra.subtract(marks)
        missing.subtract(stored)
        surplus = next((i for i, mark in enumerate(stored) if extra[mark] > 0), None)
        gap = next((i for i, mark in enumerate(marks) if missing[mark] > 0), None)
        lost = None if gap is None else self._missing(marks, gap, found)
        if surplus is not None:
            position, strand, index = found[surplus]
            changed = gap is not None and marks[gap][:1] == stored[surplus][:1]
            if changed or lost is None or position <= lost[0]:
                mark = marks[gap].hex() if gap is not None else NO_ROW
                return RowBroken(
                    strand.table.name,
                    strand.shown(strand.images[index]),
                    expected=f"a row as it was written ({mark})",
                    found=f"another ({stored[surplus].hex()})",
                )
        if lost is not None:
            return RowBroken(lost[1], lost[2], expected="the row that was written", found=NO_ROW)
        return None

    def _missing(self, marks: Sequence[bytes], gap: int, found: _Found) -> tuple[int, str, str]:
        """Where a missing row belongs: position of its entry, table, and its key."""
        letter = marks[gap][:1]
        begins = [i for i, mark in enumerate(marks[: gap + 1]) if mark[:1] == ENTRY.tag[:1]]
        stands = [p for p, strand, _ in found if strand.table is ENTRY]
        if letter == ENTRY.tag[:1]:
            known = sorted({p for p, _, _ in found})
            place = len(begins) - 1
            position = (
                known[place]
                if place < len(known) and known[place] not in stands
                else (self._after(found, stands[place - 1]) if place else self._row.first)
            )
            return position, ENTRY.name, str(position)
        position = (
            stands[len(begins) - 1] if begins and len(begins) <= len(stands) else self._row.first
        )
        if letter == KEY.tag[:1]:
            return position, KEY.name, f"{PLACE}{position}"
        chained = next(c for c in self._tables if c.table.tag[:1] == letter)
        if not chained.shift:
            return position, chained.table.name, f"{PLACE}{position}"
        leg = sum(mark[:1] == letter for mark in marks[begins[-1] if begins else 0 : gap])
        number = position << chained.shift | leg
        return position, chained.table.name, ids.show(chained.prefix, number)

    @staticmethod
    def _after(found: _Found, position: int) -> int:
        """Position that follows the entry at a position."""
        for begin, strand, index in found:
            if begin == position and strand.table is ENTRY:
                count: int = _EVENT_COUNT.unpack_from(strand.images[index])[0]
                return position + count
        return position


def _no_batch(first: int, found: int) -> RowBroken:
    return RowBroken(
        BATCH.name,
        str(first),
        expected=f"a batch that begins at position {first}",
        found=f"the next one begins at {found}",
    )


def _batch_broken(row: BatchRow, column: str, expected: object, found: object) -> RowBroken:
    shown = [v.hex() if isinstance(v, bytes) else str(v) for v in (expected, found)]
    return RowBroken(BATCH.name, str(row.first), column=column, expected=shown[0], found=shown[1])
