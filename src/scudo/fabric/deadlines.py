"""When things expire: the near ones are in memory, the others wait in the database.

Money may be set aside for a week, at a thousand payments a second: memory holds what expires
next, and whoever keeps it there asks the database for more in time.
"""

import heapq
from collections import deque
from collections.abc import Callable, Container, Iterable
from typing import Final, Generic, TypeVar

from scudo.fabric.touched import Touched, Versioned

#: So many things that expire much later stay in memory all the same, the newest: who placed
#: them often acts on them at once.
_RESTING_MAX: Final = 50_000
T = TypeVar("T", bound=Versioned)


class Deadlines:
    """Numbers of things of one kind, by the time at which they expire (microseconds).

    A thing that has ended, or expires at another time by now, leaves its number behind: who
    takes the first must look whether it still holds.

    Attributes:
        reach: what expires later is not kept here.
    """

    __slots__ = ("_heap", "reach")

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._heap: list[tuple[int, int]] = []
        self.reach = 0

    def add(self, at: int, number: int) -> None:
        """Keep a deadline, if it is near."""
        if at <= self.reach:
            heapq.heappush(self._heap, (at, number))

    def first(self, now: int) -> tuple[int, int] | None:
        """The first deadline at or before `now`, and whose it is."""
        heap = self._heap
        return heap[0] if heap and heap[0][0] <= now else None

    def drop_first(self) -> None:
        """Let go of the first."""
        heapq.heappop(self._heap)

    def forget(self) -> None:
        """Memory has let go of everything."""
        self._heap.clear()
        self.reach = 0


class Residence(Generic[T]):
    """Which things of one kind stay in memory, of those that wait for something."""

    def __init__(
        self,
        things: dict[int, T],
        touched: Touched[T],
        deadlines: Deadlines,
        *,
        waits_until: Callable[[T], int | None],
    ) -> None:
        """Watch over things in memory.

        Args:
            things: in memory, by number; they are let go of here.
            touched: of these things.
            deadlines: of these things.
            waits_until: when a thing expires, microseconds; None if it waits no longer.
        """
        self._things = things
        self._touched = touched
        self._deadlines = deadlines
        self._waits_until = waits_until
        self._resting: deque[int] = deque()

    def tidy(self, *, needed: Container[int], seen: Iterable[int]) -> None:
        """Let go of what has ended, and of what expires much later.

        Args:
            needed: stays, for commands that have not been decided.
            seen: was in memory for commands that have been decided by now.
        """
        things, touched = self._things, self._touched
        for thing in touched.settled(needed):
            self._settle(thing)
        for number in seen:
            thing_seen = things.get(number)
            if thing_seen is not None and number not in needed and not touched.is_open(number):
                self._settle(thing_seen)
        while len(self._resting) > _RESTING_MAX:
            number = self._resting.popleft()
            rested = things.get(number)
            if (
                rested is not None
                and not self._is_near(self._waits_until(rested))
                and number not in needed
                and not touched.is_open(number)
            ):
                del things[number]

    def _settle(self, thing: T) -> None:
        until = self._waits_until(thing)
        if until is None:
            self._things.pop(thing.id, None)
        elif not self._is_near(until):
            self._resting.append(thing.id)

    def _is_near(self, until: int | None) -> bool:
        return until is not None and until <= self._deadlines.reach

    def reach_to(self, reach: int) -> None:
        """Keep new deadlines up to `reach`, while the stored ones are being looked up.

        What that look cannot see yet, because its batch is under way, is kept here at once.
        """
        self._deadlines.reach = reach
        for thing in self._touched.unsettled():
            until = self._waits_until(thing)
            if until is not None:
                self._deadlines.add(until, thing.id)

    def found(self, stored: Iterable[tuple[int, int]], *, known_until: int) -> None:
        """Keep deadlines that are stored; nothing is missing up to `known_until`.

        Args:
            stored: numbers and times.
            known_until: what expires later will be looked up later.
        """
        for number, at in stored:
            self._deadlines.add(at, number)
        self._deadlines.reach = known_until

    def forget(self) -> None:
        """Let go of everything that can be loaded again."""
        self._things.clear()
        self._touched.forget()
        self._deadlines.forget()
        self._resting.clear()
