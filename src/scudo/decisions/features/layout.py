"""Where each number of a key's state lies.

All features of one key share one state, a tuple of arrays:

    times    when each kept event of the key was ordered (ascending)
    cells    a head of fixed size, then one row of running totals per kept event
    stacks   for each minimum or maximum, two arrays: times and values that may still win

A window's count or sum is the difference of two rows of running totals, found by
bisection; so one row serves every window, a window needs no tail pointer, and reading
changes nothing. Rows that no window can start behind any more are thinned out: the last
row of each tile stays, and so does every row of the exact hour. Which rows are kept
never changes an answer, only memory.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from scudo.decisions.expressions import Node, canonical
from scudo.decisions.features.definitions import Feature, FeatureSet, Function

#: Stands for NULL in a cell; no integer of an event has this value.
NULL: Final = -(1 << 63)

#: Rows that a new key may gather before it is thinned.
THIN_AT: Final = 16

_TOTALS: Final = frozenset({Function.COUNT, Function.SUM, Function.MEAN})
_EXTREMES: Final = frozenset({Function.MIN, Function.MAX})


@dataclass(frozen=True, slots=True)
class Source:
    """What an event adds: an optional value under an optional condition.

    Two features with the same source share their running total.
    """

    argument: Node | None
    condition: Node | None

    @property
    def text(self) -> str:
        """Canonical text of both parts."""
        parts = (self.argument, self.condition)
        return "|".join("" if part is None else canonical(part) for part in parts)


class Dimension:
    """The layout of one kind of key, shared by all features over it.

    Attributes:
        keys: members of the event that make the key.
        features: (index in the vector, feature) of this key.
        totals: columns of a row, as (is_count, source).
        stacks: (is_max, source) of each pair of stack arrays.
        latest, first: cells of the head, by source.
        distinct: blocks of the head, by (source, cap): `cap` values, then `cap` times.
    """

    def __init__(self, keys: tuple[str, ...], features: list[tuple[int, Feature]]) -> None:
        """Give every source its place."""
        self.keys = keys
        self.features = features
        self.totals: list[tuple[bool, str]] = []
        self.stacks: list[tuple[bool, str]] = []
        self.latest: dict[str, int] = {}
        self.latest_at: dict[str, int] = {}
        self.first_at: dict[str, int] = {}
        self.distinct: dict[tuple[str, int], int] = {}
        self.sources: dict[str, Source] = {}
        #: Cell 0 is the number of rows at which to thin, or the key's latest event.
        self.head = 1
        for _, feature in features:
            self._place(feature)

    @cached_property
    def has_rows(self) -> bool:
        """Whether any feature needs the times of single events."""
        return bool(self.totals or self.stacks)

    @cached_property
    def changes_head(self) -> bool:
        """Whether an event changes the head in place, so that undoing needs a copy."""
        return self.head > 1 or not self.has_rows

    @cached_property
    def exact_us(self) -> int:
        """The longest exact window."""
        windows = (f.window for _, f in self.features if f.function is not Function.DISTINCT)
        spans = (window.span_us or 0 for window in windows if not window.tile_us)
        return max(spans, default=0)

    @cached_property
    def tiled_us(self) -> tuple[tuple[int, int], ...]:
        """Each tile width with the longest window that uses it."""
        longest: dict[int, int] = {}
        for _, feature in self.features:
            window = feature.window
            if window.tile_us and window.span_us and feature.function is not Function.DISTINCT:
                span_us = max(longest.get(window.tile_us, 0), window.span_us)
                longest[window.tile_us] = span_us
        return tuple(sorted(longest.items()))

    @property
    def width(self) -> int:
        """Cells of one row."""
        return len(self.totals)

    def total(self, source: Source, *, is_count: bool) -> int:
        """Column of a running total, counted from the end of a row (-1 is the last)."""
        return self.totals.index((is_count, source.text)) - self.width

    def _source(self, source: Source) -> str:
        text = source.text
        self.sources.setdefault(text, source)
        return text

    def _place(self, feature: Feature) -> None:
        source = self._source(Source(feature.argument, feature.condition))
        function = feature.function
        if function in _TOTALS:
            if function is not Function.SUM:
                self._add_total(self._source(counted(feature)), is_count=True)
            if function is not Function.COUNT:
                self._add_total(source, is_count=False)
        elif function in _EXTREMES:
            stack = (function is Function.MAX, source)
            if stack not in self.stacks:
                self.stacks.append(stack)
        elif function is Function.DISTINCT:
            if (source, feature.cap) not in self.distinct:
                self.distinct[source, feature.cap] = self._take(2 * feature.cap)
        else:
            cells = {
                Function.LATEST: self.latest,
                Function.SINCE_LATEST: self.latest_at,
                Function.SINCE_FIRST: self.first_at,
            }[function]
            if source not in cells:
                cells[source] = self._take(1)

    def _add_total(self, source: str, *, is_count: bool) -> None:
        if (is_count, source) not in self.totals:
            self.totals.append((is_count, source))

    def _take(self, cells: int) -> int:
        place = self.head
        self.head += cells
        return place


def counted(feature: Feature) -> Source:
    """What the count of a COUNT or a MEAN counts.

    An argument that can be NULL is counted where it is not; any other does not matter.
    """
    argument = feature.argument
    if argument is not None and not argument.nullable:
        argument = None
    return Source(argument, feature.condition)


def dimensions_of(features: FeatureSet) -> tuple[Dimension, ...]:
    """Group features by key, in the order of their first appearance."""
    grouped: dict[tuple[str, ...], list[tuple[int, Feature]]] = {}
    for index, feature in enumerate(features.features):
        grouped.setdefault(feature.window.keys, []).append((index, feature))
    return tuple(Dimension(keys, members) for keys, members in grouped.items())
