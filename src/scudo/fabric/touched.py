"""What open batches have changed in memory: of each thing, which version is stored.

Two batches may be open: one whose commit is under way, and one that is evaluated meanwhile
on top of it. The older one can only be committed, the newer one only be aborted, until the
older has ended.
"""

from collections import deque
from collections.abc import Container, Iterator
from typing import Generic, Protocol, TypeVar


class Versioned(Protocol):
    """A thing that memory holds and the database stores.

    Attributes:
        version: raised by every change.
        stored_version: what the database has, once the batches under way are committed;
            -1 when it has never been stored.
    """

    id: int
    version: int
    stored_version: int


T = TypeVar("T", bound=Versioned)


class Touched(Generic[T]):
    """Things of one kind that open batches touched."""

    def __init__(self) -> None:
        """Nothing is touched."""
        self._now: dict[int, T] = {}
        self._open: deque[tuple[dict[int, T], dict[int, int]]] = deque()
        self._stored: dict[int, T] = {}

    def add(self, thing: T) -> None:
        """The newest batch changes a thing."""
        self._now[thing.id] = thing

    def discard(self, number: int) -> None:
        """The newest batch has undone the birth of a thing."""
        self._now.pop(number, None)

    def stored(self) -> list[T]:
        """Touched by the newest batch and in the database, by id."""
        return [thing for _, thing in sorted(self._now.items()) if thing.stored_version >= 0]

    def new(self) -> Iterator[T]:
        """Born in the newest batch."""
        return (thing for thing in self._now.values() if thing.stored_version < 0)

    def begin(self) -> None:
        """A batch begins."""
        self._now = {}
        self._open.append((self._now, {}))

    def hand_over(self) -> None:
        """The newest batch goes to the database as it stands; another may begin on top of it."""
        things, before = self._open[-1]
        for number, thing in things.items():
            before[number] = thing.stored_version
            thing.stored_version = thing.version

    def committed(self) -> None:
        """The oldest batch is in the database."""
        things, _ = self._open.popleft()
        self._stored.update(things)

    def is_open(self, number: int) -> bool:
        """Whether an open batch touches a thing."""
        return any(number in things for things, _ in self._open)

    def unsettled(self) -> Iterator[T]:
        """All that may differ from what a look into the database finds now."""
        for things, _ in self._open:
            yield from things.values()
        yield from self._stored.values()

    def settled(self, needed: Container[int]) -> Iterator[T]:
        """What batches have stored, is not needed, and no open batch touches again, once each.

        Memory may let go of it: none can be undone that changed it.
        """
        stored, self._stored = self._stored, {}
        for number, thing in stored.items():
            if number in needed or self.is_open(number):
                self._stored[number] = thing
            else:
                yield thing

    def forget(self) -> None:
        """Memory has let go of everything."""
        self._stored.clear()

    def aborted(self) -> None:
        """The newest batch was undone: what is stored is what was stored before it."""
        things, before = self._open.pop()
        for number, thing in things.items():
            if number in before:
                thing.stored_version = before[number]
        self._now = self._open[-1][0] if self._open else {}
