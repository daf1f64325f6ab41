"""The line before the belt: bounded, payments first, and always a little of the rest."""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence

from scudo.fabric.carried import Item, Limits


class Line:
    """Items that wait to be carried.

    Attributes:
        woken: set whenever there may be something to do.
    """

    def __init__(self, limits: Limits) -> None:
        """Start empty."""
        self._limits = limits
        self._payments: deque[Item] = deque()
        self._background: deque[Item] = deque()
        self.woken = asyncio.Event()

    def add(self, item: Item, *, background: bool) -> bool:
        """Put an item at the end; False if the line is full."""
        queue = self._background if background else self._payments
        if len(queue) >= self._limits.queue:
            return False
        queue.append(item)
        self.woken.set()
        return True

    def take(self, room: int) -> list[Item]:
        """Take up to `room` items from the front, and a few more if they are background work."""
        payments, background = self._payments, self._background
        items = [payments.popleft() for _ in range(min(room, len(payments)))]
        # Background work gets what payments leave, and always a little, so that it ends.
        left = max(room - len(items), self._limits.batch // 16)
        items.extend(background.popleft() for _ in range(min(left, len(background))))
        return items

    def put_back(self, items: Sequence[Item]) -> None:
        """Put items to the front, in their order."""
        self._payments.extendleft(reversed(items))

    def drain(self) -> Iterator[Item]:
        """Take out everything."""
        for queue in (self._payments, self._background):
            while queue:
                yield queue.popleft()

    async def wait(self) -> None:
        """Wait until something has happened since now."""
        self.woken.clear()
        await self.woken.wait()
