"""Looking ahead: the next batch is looked up and decided while one is being committed.

Nothing of it is written or answered before that commit is known to be done. If the commit
fails, the batch ahead is undone first, and its items go back to the line.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psycopg

from scudo.fabric.carried import Item, Limits
from scudo.fabric.evaluation import Evaluation, Gathered, Keys, Known
from scudo.fabric.line import Line
from scudo.fabric.log.model import Head
from scudo.fabric.lookup import Lookup

#: So many items are looked up, and then decided, at a time: a commit is not kept waiting long.
_STRIDE: Final = 32


@dataclass(slots=True)
class _Asked:
    """Items that are being looked up.

    Attributes:
        recent: what was answered by batches that may have been committed only afterwards.
    """

    items: list[Item]
    task: asyncio.Task[Known]
    recent: list[Keys]


class Ahead:
    """The batch after the one that is being committed; used by the conveyor's task alone."""

    def __init__(
        self,
        evaluation: Evaluation,
        line: Line,
        *,
        limits: Limits,
        lookup: Callable[[], Lookup],
    ) -> None:
        """Start with nothing ahead.

        Args:
            evaluation: decides.
            line: where items come from.
            limits: sizes of a batch.
            lookup: the present connection for look-ups.
        """
        self._evaluation = evaluation
        self._line = line
        self._limits = limits
        self._lookup = lookup
        self._asked: _Asked | None = None
        self.gathered: Gathered | None = None

    @property
    def items(self) -> list[Item]:
        """What is to be carried next: what is decided, or else what is being looked up."""
        if self.gathered is not None:
            return self.gathered.items
        return [] if self._asked is None else self._asked.items

    def take(self) -> Gathered | None:
        """Hand over the batch that has been decided, if there is one."""
        gathered, self.gathered = self.gathered, None
        return gathered

    async def decide(self, items: list[Item], head: Head) -> Gathered:
        """Decide items on the log's head, while nothing is being committed."""
        asked, self._asked = self._asked, None
        assert asked is None or asked.items is items, "what is looked up is carried next"
        if asked is None:
            task = self._evaluation.look_up(items, self._lookup(), onto=head)
            asked = _Asked(items, task, [])
        known = await asked.task
        return self._evaluation.evaluate(items, known, head=head, recent=asked.recent)

    async def fill(
        self, before: Gathered, commit: asyncio.Task[None], *, until: Callable[[], bool]
    ) -> None:
        """Decide items as they come, on top of `before`, until its commit has ended."""
        if self._asked is not None:
            self._asked.recent.append(before.answered_keys)
        while not commit.done() and not until():
            if self._asked is None:
                self._asked = self._ask(before, expected=0)
            asked = self._asked
            if asked is None or not asked.task.done():
                await self._line.wait()
                continue
            # While these are decided, the next ones are looked up.
            self._asked = self._ask(before, expected=len(asked.items))
            undecided = asked.items
            try:
                known = asked.task.result()
                gathered = self.take()
                undecided = [*(gathered.items if gathered is not None else ()), *undecided]
                self.gathered = self._evaluation.evaluate(
                    asked.items,
                    known,
                    head=before.batch.head,
                    before=before,
                    onto=gathered,
                    recent=asked.recent,
                )
            except Exception:  # noqa: BLE001 - it is met again when these items are carried alone
                await self._return()
                self._line.put_back(undecided)
                return
            if self.gathered.left:
                await self._return()
                return

    def _ask(self, before: Gathered, *, expected: int) -> _Asked | None:
        """Begin to look up the next items, if there are any, and the batch has room.

        Args:
            before: the batch that is being committed.
            expected: so many items are still to be decided before them.
        """
        taken = expected + (0 if self.gathered is None else len(self.gathered.items))
        room = min(self._limits.batch - taken, _STRIDE)
        items = self._line.take(room) if room > 0 else []
        if not items:
            return None
        try:
            task = self._evaluation.look_up(items, self._lookup(), onto=before.batch)
        except psycopg.Error:
            # It is met again when these items are carried alone.
            self._line.put_back(items)
            return None
        task.add_done_callback(lambda _: self._line.woken.set())
        return _Asked(items, task, [before.answered_keys])

    async def _return(self) -> None:
        """Give back to the line what is being looked up."""
        asked, self._asked = self._asked, None
        if asked is not None:
            # Its connection is in use until it has ended, one way or the other.
            await asyncio.wait((asked.task,))
            asked.task.exception()
            self._line.put_back(asked.items)

    async def take_back(self) -> None:
        """Undo what rests on a batch that is not there, or not known to be."""
        await self._return()
        gathered = self.take()
        if gathered is not None:
            self._evaluation.undo(gathered)
            self._line.put_back(gathered.items)
