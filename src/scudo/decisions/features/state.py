"""The feature state: what the unit remembers of every key, in memory.

Changed in place by one writer. Inside a batch every change is in a journal, so that one
item, or a whole batch, leaves no trace when it is undone; batches may overlap, since
the next may be decided while the one before is being committed.
"""

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from scudo.decisions.expressions import RUNTIME
from scudo.decisions.features.definitions import FeatureSet, Function
from scudo.decisions.features.folding import folding_source
from scudo.decisions.features.forgetting import Forgotten
from scudo.decisions.features.layout import NULL, Dimension, Source, dimensions_of
from scudo.decisions.features.measuring import measuring_source
from scudo.decisions.features.source import PAIR_SHIFT
from scudo.decisions.features.thinning import thinner
from scudo.decisions.model import REFUSING, GateEvent, Outcome
from scudo.kernel import InvariantBroken

#: State of one key: times, cells, then pairs of stack arrays (see `layout`).
State = tuple["array[int]", ...]

#: (event, ordered_at) to the vector of its features.
Measure = Callable[[GateEvent, int], tuple[int | None, ...]]

_WRAP: Final = 1 << 64
_HALF: Final = 1 << 63

#: Stands in for the times of keys that need none.
NO_TIMES: Final = array("q")


def wrapped(total: int) -> int:
    """Bring a running total back into 64 bits; differences of totals stay exact."""
    return (total + _HALF) % _WRAP - _HALF


class FeatureState:
    """All keys of all dimensions, and the journal of what is not committed yet.

    Attributes:
        features: the definitions that this state serves.
        ordered_at: microseconds; when the newest event folded in was ordered.
        has_forgotten: whether any key was ever evicted, so that `unknown` must be asked.
    """

    def __init__(self, features: FeatureSet) -> None:
        """Start with an empty history and generate the code for these definitions."""
        self.features = features
        self.ordered_at = 0
        self.has_forgotten = False
        self.dimensions: Final[tuple[Dimension, ...]] = dimensions_of(features)
        self.tables: Final[tuple[dict[int, State], ...]] = tuple({} for _ in self.dimensions)
        self.forgotten: Final = tuple(Forgotten() for _ in self.dimensions)
        self._journal: list[Any] = []
        #: Absolute number of the journal's first entry, and of each open batch's first.
        self._journal_start = 0
        self._batches: deque[int] = deque()
        names: dict[str, Any] = {
            **RUNTIME,
            **{f"d{number}": table for number, table in enumerate(self.tables)},
            "array": array,
            "bisect_left": bisect_left,
            "thinned": thinner(self.dimensions),
            "wrapped": wrapped,
            "NO_TIMES": NO_TIMES,
        }
        measuring = measuring_source(self.dimensions, size=len(features.features))
        exec(compile(measuring, "<features: measure>", "exec"), names)  # noqa: S102 - our own generated text, never input
        exec(compile(folding_source(self.dimensions), "<features: fold>", "exec"), names)  # noqa: S102 - our own generated text, never input
        #: Reads the whole vector of an event; changes nothing.
        self.measure: Measure = names["measure"]
        self._fold: Callable[..., None] = names["fold"]

    def apply(self, event: GateEvent, *, ordered_at: int, outcome: Outcome) -> None:
        """Fold one decided event into the state of all its keys.

        Undoable while a batch is open; for good otherwise (rebuilding from the log).

        Units:
            ordered_at: microseconds since 1970.

        Raises:
            InvariantBroken: `ordered_at` does not lie after the newest event; nothing changed.
        """
        if ordered_at <= self.ordered_at:
            msg = f"event ordered at {ordered_at}, but {self.ordered_at} has been folded in"
            raise InvariantBroken(msg)
        journal = self._journal
        mark = len(journal)
        journal.append(self.ordered_at)
        is_declined = outcome in REFUSING
        try:
            is_approved = outcome <= Outcome.REVIEW
            self._fold(event, ordered_at, is_approved, is_declined, journal.append)
        except BaseException:
            self._undo(mark)
            raise
        self.ordered_at = ordered_at
        if not self._batches:
            self._journal_start += len(journal)
            journal.clear()

    def begin(self) -> None:
        """Open a batch behind those that are open."""
        self._batches.append(self.mark())

    def mark(self) -> int:
        """Name the present point of the journal for `undo_to`."""
        return self._journal_start + len(self._journal)

    def undo_to(self, mark: int) -> None:
        """Take back every event folded in after a mark of the newest open batch.

        Raises:
            InvariantBroken: the mark lies before the newest open batch, or ahead.
        """
        if not self._batches or not self._batches[-1] <= mark <= self.mark():
            msg = f"mark {mark} is not in the open batch"
            raise InvariantBroken(msg)
        self._undo(mark - self._journal_start)

    def commit(self) -> None:
        """Close the oldest open batch for good.

        Raises:
            InvariantBroken: no batch is open.
        """
        self._require_batch()
        self._batches.popleft()
        end = self._batches[0] if self._batches else self.mark()
        del self._journal[: end - self._journal_start]
        self._journal_start = end

    def abort(self) -> None:
        """Undo and close the newest open batch; the state is as if it had not begun.

        Raises:
            InvariantBroken: no batch is open.
        """
        self._require_batch()
        self._undo(self._batches.pop() - self._journal_start)

    def unknown(self, event: GateEvent, *, ordered_at: int) -> tuple[int, ...]:
        """List features of an event whose value was forgotten with an evicted key.

        Empty as long as nothing was evicted. A window that begins after the eviction
        is known again; what an unbounded window lost stays unknown.
        """
        found: list[int] = []
        for dimension, table, forgotten in zip(
            self.dimensions, self.tables, self.forgotten, strict=True
        ):
            key = _key(event, dimension)
            before = forgotten.before(key) if key is not None else None
            if before is not None:
                state = table.get(key) if key is not None else None
                found += _lost(dimension, state, before=before, ordered_at=ordered_at)
        return tuple(sorted(found))

    def evict(self, *, before: int) -> int:
        """Drop keys whose latest event is older than `before`, and remember that they were.

        Takes about a second per million keys; for quiet hours.

        Units:
            before: microseconds since 1970.

        Returns:
            How many keys were dropped.

        Raises:
            InvariantBroken: a batch is open.
        """
        if self._batches:
            raise InvariantBroken("keys are evicted between batches only")
        dropped = 0
        for dimension, table, forgotten in zip(
            self.dimensions, self.tables, self.forgotten, strict=True
        ):
            # The latest time: of the last row, or in the first cell where there are no rows.
            holder, cell = (0, -1) if dimension.has_rows else (1, 0)
            cold = [key for key, state in table.items() if state[holder][cell] < before]
            for key in cold:
                del table[key]
            forgotten.add(cold, before=before)
            dropped += len(cold)
        self.has_forgotten = self.has_forgotten or dropped > 0
        return dropped

    @property
    def keys(self) -> int:
        """How many keys are in memory."""
        return sum(len(table) for table in self.tables)

    def _require_batch(self) -> None:
        if not self._batches:
            raise InvariantBroken("no batch is open")

    def _undo(self, length: int) -> None:
        journal = self._journal
        while len(journal) > length:
            entry = journal.pop()
            if isinstance(entry, int):
                self.ordered_at = entry
                continue
            number, key, state = entry[:3]
            table = self.tables[number]
            if state is None:
                table.pop(key, None)
                continue
            table[key] = state
            _restore(self.dimensions[number], state, *entry[3:])


def _restore(
    dimension: Dimension,
    state: State,
    rows: int,
    head: "array[int] | None",
    replaced: "list[tuple[int, array[int], array[int]] | None] | None",
) -> None:
    times, cells, *stacks = state
    if dimension.has_rows:
        del times[rows:]
        del cells[dimension.head + rows * dimension.width :]
    if head is not None:
        cells[: dimension.head] = head
    for number, change in enumerate(replaced or ()):
        if change is not None:
            at, former_times, former_values = change
            stacks[2 * number][at:] = former_times
            stacks[2 * number + 1][at:] = former_values


def _key(event: GateEvent, dimension: Dimension) -> int | None:
    """Make the key of an event as the generated code does."""
    parts: list[int | None] = [getattr(event, member) for member in dimension.keys]
    key: int | None = 0
    for part in parts:
        key = None if part is None or key is None else key << PAIR_SHIFT | part
    return key


def _lost(dimension: Dimension, state: State | None, *, before: int, ordered_at: int) -> list[int]:
    """List the features of one key that an eviction at `before` made unknown."""
    lost = []
    for index, feature in dimension.features:
        window = feature.window
        if window.span_us is not None:
            start = ordered_at - window.span_us
            start -= start % window.tile_us if window.tile_us else 0
            if start >= before:
                continue
        elif feature.function in {Function.LATEST, Function.SINCE_LATEST}:
            since = feature.function is Function.SINCE_LATEST
            cells = dimension.latest_at if since else dimension.latest
            source = Source(feature.argument, feature.condition)
            if state is not None and state[1][cells[source.text]] != NULL:
                continue
        lost.append(index)
    return lost
