"""When things expire: the near ones are in memory, the others wait in the database.

Money may be set aside for a week, at a thousand payments a second: memory holds what expires
next, and whoever keeps it there asks the database for more in time.
"""

import heapq
from collections import deque
from collections.abc import Container, Iterable, Mapping
from typing import Final, Generic, Protocol, TypeVar

from scudo.fabric.touched import Touched, Versioned

#: So many things that expire much later stay in memory all the same, the newest: who placed
#: them often acts on them at once.
_RESTING_MAX: Final = 50_000


class Waiting(Versioned, Protocol):
    """A thing that may wait for something, and expires if it does not come."""

    @property
    def waits_until(self) -> int | None:
        """When it expires, microseconds; None if it waits for nothing (any more)."""


T = TypeVar("T", bound=Waiting)


class Deadlines:
    """Numbers of things of one kind, by the time at which they expire (microseconds).

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

    def first(self, now: int, things: Mapping[int, T]) -> T | None:
        """The thing that expires first, at or before `now`; of those in memory."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            at, number = heap[0]
            thing = things.get(number)
            if thing is not None and thing.waits_until == at:
                return thing
            # It has ended, or expires at another time, or was taken back and left its number
            # to another thing.
            heapq.heappop(heap)
        return None

    def forget(self) -> None:
        """Memory has let go of everything."""
        self._heap.clear()
        self.reach = 0


class Residence(Generic[T]):
    """Which things of one kind stay in memory, of those that wait for something."""

    def __init__(self, things: dict[int, T], touched: Touched[T], deadlines: Deadlines) -> None:
        """Watch over things in memory.

        Args:
            things: in memory, by number; they are let go of here.
            touched: of these things.
            deadlines: of these things.
        """
        self._things = things
        self._touched = touched
        self._deadlines = deadlines
        self._resting: deque[int] = deque()

    def tidy(self, *, needed: Container[int], seen: Iterable[int]) -> None:
        """Let go of what has ended, and of what expires much later.

        Args:
            needed: stays, for commands that have not been decided.
            seen: was in memory for commands that have been decided by now.
        """
        for thing in self._touched.settled(needed):
            self._settle(thing)
        for number in seen:
            if (idle := self._idle(number, needed)) is not None:
                self._settle(idle)
        while len(self._resting) > _RESTING_MAX:
            idle = self._idle(self._resting.popleft(), needed)
            if idle is not None and not self._is_near(idle):
                del self._things[idle.id]

    def _idle(self, number: int, needed: Container[int]) -> T | None:
        """A thing in memory that nothing open or prepared is about."""
        if number in needed or self._touched.is_open(number):
            return None
        return self._things.get(number)

    def _settle(self, thing: T) -> None:
        if thing.waits_until is None:
            self._things.pop(thing.id, None)
        elif not self._is_near(thing):
            self._resting.append(thing.id)

    def _is_near(self, thing: T) -> bool:
        until = thing.waits_until
        return until is not None and until <= self._deadlines.reach

    def reach_to(self, reach: int) -> None:
        """Keep new deadlines up to `reach`, while the stored ones are being looked up.

        What that look cannot see yet, because its batch is under way, is kept here at once.
        """
        self._deadlines.reach = reach
        for thing in self._touched.unsettled():
            until = thing.waits_until
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
