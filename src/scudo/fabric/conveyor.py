"""The conveyor: a group commit. While one batch commits, the next one gathers.

A lone request goes at once; a thousand share one fsync. What runs inside is a pure
function of request and state, in memory, without awaiting; every waiter is answered after
the commit that holds its effects. Answers are values, never raised exceptions: with
Python's cyclic collector off, a traceback that holds its own exception would never go.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import psycopg
import structlog

from scudo.fabric.ahead import Ahead
from scudo.fabric.carried import Application, Item, Limits, Tally, refused
from scudo.fabric.evaluation import Evaluation, Gathered
from scudo.fabric.line import Line
from scudo.fabric.log.errors import (
    BankUnavailable,
    OutcomeUnknown,
    Overloaded,
    RequestPoisoned,
    WriterFenced,
)
from scudo.fabric.log.model import Answer, Command, Head
from scudo.fabric.writer import Plan, StaleState, Writer
from scudo.kernel import InvariantBroken, Refusal

_log = structlog.get_logger("scudo.conveyor")

#: Waiters are told "unknown" or "unavailable" when the database has been gone for so long.
GRACE_S: Final = 5.0
#: A batch that meets a lost connection or stale state is tried so often.
_ATTEMPTS: Final = 5
#: After something due could not be done, it is not tried again for so long.
_PAUSE_US: Final = 1_000_000
#: SQLSTATE classes that blame the server's circumstances, never one item of the batch.
_CIRCUMSTANCES: Final = ("08", "25", "40", "53", "55", "57", "58", "F0", "XX")


class Conveyor:
    """Takes items from many callers and commits them through the one writer."""

    def __init__(
        self,
        writer: Writer,
        application: Application,
        *,
        head: Head,
        now: Callable[[], int],
        clock_ns: Callable[[], int],
        limits: Limits | None = None,
    ) -> None:
        """Put a conveyor before an opened writer.

        Args:
            writer: opened; the conveyor alone uses it from now on.
            application: the rooms.
            head: where the log stands.
            now: microseconds since 1970, our wall clock.
            clock_ns: a monotonic clock for measurements.
            limits: sizes of batch and queue.
        """
        self._writer = writer
        self._application = application
        self._now = now
        self._clock_ns = clock_ns
        self.limits = limits or Limits()
        self._loop = asyncio.get_running_loop()
        self._line = Line(self.limits)
        self._at_rest: list[Callable[[], None]] = []
        self._stopping = False
        self._is_stale = False
        self._apart = 0
        self.head = head
        self.tally = Tally()
        self._evaluation = Evaluation(
            application, now=now, clock_ns=clock_ns, limits=self.limits, tally=self.tally
        )
        self._ahead = Ahead(
            self._evaluation, self._line, limits=self.limits, lookup=lambda: writer.lookup
        )
        self.unavailable: Refusal | None = None

    # ---- in front of the belt

    def submit(self, item: Item, *, background: bool = False) -> asyncio.Future[Answer]:
        """Queue an item; its answer comes after the commit.

        A full queue or a lost database is answered at once, and nothing was done.
        """
        if self.unavailable is not None:
            item.answer.set_result(refused(self.unavailable))
        elif not self._line.add(item, background=background):
            item.answer.set_result(refused(Overloaded("the queue before the writer is full")))
        return item.answer

    def item(  # noqa: PLR0913 - one parameter per property
        self,
        command: Command,
        *,
        client: int = 0,
        owner: int | None = None,
        key: bytes | None = None,
        request: bytes = b"",
        at: int | None = None,
        is_timers: bool = False,
    ) -> Item:
        """Make an item of a command."""
        answer: asyncio.Future[Answer] = self._loop.create_future()
        return Item(command, client, owner, key, request, at, answer, is_timers)

    def at_rest(self, work: Callable[[], None]) -> None:
        """Do some short work between two batches, when nothing is half done."""
        self._at_rest.append(work)
        self._line.woken.set()

    def nudge(self) -> None:
        """Look for commands that time has made due, even without traffic."""
        self._line.woken.set()

    async def stop(self) -> None:
        """Answer what is queued, then let `run` return."""
        self._stopping = True
        self._line.woken.set()

    # ---- the belt

    async def run(self) -> None:
        """Carry batches until stopped or fenced.

        Raises:
            WriterFenced: another writer has taken over; all waiters were told.
        """
        items: list[Item] = []
        try:
            while True:
                while self._at_rest and self._ahead.gathered is None:
                    self._at_rest.pop()()
                items = self._ahead.items or self._line.take(self.limits.batch)
                if items or self._evaluation.is_due(self.head):
                    await self._carry(items)
                elif self._stopping:
                    return
                else:
                    await self._line.wait()
        except BaseException as error:
            reason: Refusal = (
                error if isinstance(error, Refusal) else BankUnavailable("the writer has stopped")
            )
            self._tell(items, reason, in_doubt=False)
            self._turn_away(reason.with_traceback(None))
            raise

    def _turn_away(self, reason: Refusal) -> None:
        self.unavailable = reason
        answer = refused(reason)
        for item in self._line.drain():
            _answer(item, answer)

    async def _carry(self, items: list[Item]) -> None:
        """Carry items through one commit; halves them where the data is to blame.

        Raises:
            Refusal: the writer cannot go on: fenced, or stopped without a database.
            InvariantBroken: memory or log contradict themselves.
        """
        try:
            await self._commit(items)
        except (Refusal, InvariantBroken):
            # Nobody carries on from here: `run` tells whoever still waits.
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, only its items may suffer
            if _is_circumstance(error):
                _log.warning("batch_refused", **_blame(error))
                reason = BankUnavailable("the database could not take the request")
                self._tell(items, reason, in_doubt=False)
                self._evaluation.due_from = 0 if items else self._now() + _PAUSE_US
            elif len(items) > 1:
                self.tally.bisected += 1
                middle = len(items) // 2
                await self._carry_apart(items[:middle], items[middle:])
            elif self._evaluation.has_run_due:
                # What time made due came before the item, and may be what cannot be done.
                _log.error("due_poisoned", **_blame(error))
                self._evaluation.due_from = self._now() + _PAUSE_US
                await self._carry_apart(items)
            else:
                self.tally.poisoned += 1
                _log.error("item_poisoned", **_blame(error))
                poisoned = RequestPoisoned("this request cannot be written")
                self._tell(items, poisoned, in_doubt=False)

    async def _carry_apart(self, *parts: list[Item]) -> None:
        """Carry parts of a batch one after the other; nothing may come between them."""
        self._apart += 1
        try:
            for part in parts:
                await self._carry(part)
        finally:
            self._apart -= 1

    async def _commit(self, items: list[Item]) -> None:  # noqa: C901 - one case per way to fail
        has_reloaded = False
        for _ in range(_ATTEMPTS):
            gathered = self._ahead.take()
            try:
                if self._is_stale:
                    async with self._writer.apart() as connection:
                        await self._application.reload(connection)
                    self._is_stale, has_reloaded = False, True
                if gathered is None:
                    gathered = await self._ahead.decide(items, self.head)
                await self._write(gathered)
            except StaleState:
                self._evaluation.undo(gathered)
                if has_reloaded:
                    raise InvariantBroken("memory and database differ after reloading") from None
                self._is_stale = True
            except (psycopg.Error, OSError) as error:
                if not _is_lost(error, self._writer):
                    self._evaluation.undo(gathered)
                    raise
                if await self._recover(gathered, items):
                    return
            except Exception:
                # Rows that cannot even be packed: the transaction has been rolled back.
                self._evaluation.undo(gathered)
                raise
            else:
                self._line.put_back(gathered.left)
                return
        raise psycopg.OperationalError("the database was lost again and again")

    async def _write(self, gathered: Gathered) -> None:
        """Commit what was gathered and answer; meanwhile the next batch is decided on top."""
        begun, commit = self._clock_ns(), None
        try:
            plan = self._evaluation.seal(gathered)
            if plan is None:
                self._evaluation.undo(gathered)
            else:
                commit = self._writer.commit(plan)
                commit.add_done_callback(lambda _: self._line.woken.set())
                self._application.hand_over()
                if self.limits.looks_ahead and not gathered.left and not self._apart:
                    await self._ahead.fill(gathered, commit, until=lambda: bool(self._at_rest))
                await commit
                self._committed(gathered, plan)
        except BaseException:
            if commit is not None:
                await asyncio.wait((commit,))
            await self._ahead.take_back()
            self._evaluation.has_run_due = gathered.has_run_due
            raise
        self.tally.commit_ns += self._clock_ns() - begun
        # In the loop's next turn, so that the next commit is on its way before answers are.
        self._loop.call_soon(_answer_all, gathered.answers)

    def _committed(self, gathered: Gathered, plan: Plan) -> None:
        self.head = plan.after
        gathered.batch.journal.clear()
        self._application.committed()
        tally = self.tally
        tally.batches += 1
        tally.entries += len(gathered.answers)
        tally.largest = max(tally.largest, len(gathered.answers))

    async def _recover(self, gathered: Gathered | None, items: list[Item]) -> bool:
        """The connection is gone: find out what became of the batch; True when items are answered.

        While it is not known whether the batch was committed, nothing is decided.

        Raises:
            Refusal: of `_find_out`.
        """
        self.tally.recovered += 1
        in_doubt = gathered is not None and self._writer.lost_in_commit
        if gathered is None or gathered.plan is None or not in_doubt:
            self._evaluation.undo(gathered)
            _, told = await self._find_out(None, items)
            return told
        try:
            is_there, told = await self._find_out(gathered.plan.after, items)
        except Refusal:
            self._evaluation.undo(gathered)
            raise
        if not is_there:
            self._evaluation.undo(gathered)
            return told
        self._committed(gathered, gathered.plan)
        self._line.put_back(gathered.left)
        _answer_all(gathered.answers)
        return True

    async def _find_out(self, after: Head | None, items: Sequence[Item]) -> tuple[bool, bool]:
        """Reconnect, however long it takes; whether `after` is there, and whether items were told.

        Args:
            after: the head that a batch in doubt made; None if there is no doubt.
            items: of the batch.

        Raises:
            WriterFenced: another writer has taken over; items were told.
            BankUnavailable: the bank is to stop, and the database does not come back.
        """
        give_up, told = self._loop.time() + GRACE_S, False
        while True:
            try:
                is_there = await self._writer.settle(after)
            except WriterFenced as fenced:
                # Another writer has the log, and this batch is known not to be in it.
                self._tell(items, fenced, in_doubt=False)
                raise
            except (psycopg.Error, OSError, Refusal):
                if not told and self._loop.time() > give_up:
                    told = True
                    reason = BankUnavailable("the database has been lost")
                    self._tell(items, reason, in_doubt=after is not None)
                    self._turn_away(reason)
                if told and self._stopping:
                    raise BankUnavailable("the database is lost, and the bank stops") from None
                await asyncio.sleep(0.1)
            else:
                self.unavailable = None
                return is_there, told

    def _tell(self, items: Sequence[Item], reason: Refusal, *, in_doubt: bool) -> None:
        doubt = OutcomeUnknown("the database was lost while it committed")
        answer = refused(doubt if in_doubt else reason.with_traceback(None))
        for item in items:
            _answer(item, answer)


def _answer_all(answers: Sequence[tuple[Item, Answer]]) -> None:
    for item, answer in answers:
        _answer(item, answer)


def _answer(item: Item, answer: Answer) -> None:
    if not item.answer.done():
        item.answer.set_result(answer)


def _is_lost(error: Exception, writer: Writer) -> bool:
    return isinstance(error, OSError) or writer.lost_in_commit or writer.is_lost


def _blame(error: Exception) -> dict[str, str | None]:
    """What the log says of a failure; never the rows, which a database error may quote."""
    if isinstance(error, psycopg.Error):
        return {"sqlstate": error.sqlstate, "error": error.diag.message_primary}
    return {"sqlstate": None, "error": f"{type(error).__name__}: {error}"}


def _is_circumstance(error: Exception) -> bool:
    """Whether the database's circumstances are to blame, and never one item of the batch."""
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    return error.sqlstate.startswith(_CIRCUMSTANCES)
