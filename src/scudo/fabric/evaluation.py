"""Deciding what a batch does: idempotency, what time makes due, and one item after the other."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import structlog

from scudo.fabric.carried import Application, Item, Limits, Tally, fields, refused, repeat
from scudo.fabric.log.batch import Batch, Entry
from scudo.fabric.log.errors import ClockIsLive, LogPastTime, RequestPoisoned
from scudo.fabric.log.model import Answer, Command, Head
from scudo.fabric.lookup import Lookup
from scudo.fabric.rows import Int8Array, UuidArray, queries
from scudo.fabric.writer import Plan, Writer
from scudo.kernel import SECOND_US, InvariantBroken, Refusal

_SQL: Final = queries("scudo.fabric")
_log = structlog.get_logger("scudo.conveyor")
_decode: Final = msgspec.msgpack.Decoder().decode
#: How far the log's clock may have run ahead of a file's: every event takes a microsecond, and a
#: file has many rows of one instant.
AHEAD_US: Final = 60 * SECOND_US


#: Digest of a key: digest of the request, the command, and its answer.
Keys = dict[bytes, tuple[bytes, Command, Answer]]
#: The same as it is stored.
Known = dict[bytes, tuple[bytes, list[object], Answer]]


@dataclass(slots=True)
class Gathered:
    """A batch and what its items will be answered once it is committed.

    Attributes:
        items: all that the batch was to carry.
        answered_keys: what it answers, under which key.
        left: those that must wait, because time made too much due before them.
        plan: what the batch writes; None if that is nothing.
    """

    batch: Batch
    items: list[Item]
    answers: list[tuple[Item, Answer]] = field(default_factory=list)
    answered_keys: Keys = field(default_factory=dict)
    left: list[Item] = field(default_factory=list)
    plan: Plan | None = None
    has_run_due: bool = False


class Evaluation:
    """Decides batches in memory; nothing of one is written or answered here.

    Attributes:
        due_from: microseconds; before it nothing that time made due is carried out, because
            it failed a moment ago.
        has_run_due: whether the latest batch carried out something that was due.
    """

    def __init__(
        self,
        application: Application,
        *,
        now: Callable[[], int],
        clock_ns: Callable[[], int],
        limits: Limits,
        tally: Tally,
    ) -> None:
        """Decide for one application."""
        self._application = application
        self._now = now
        self._clock_ns = clock_ns
        self._limits = limits
        self._tally = tally
        self.due_from = 0
        self.has_run_due = False

    def log_time(self, head: Head) -> int:
        """What time it is for the log: a replayed file's, or ours."""
        return head.ordered_at if head.clock == "file" else self._now()

    def is_due(self, head: Head) -> bool:
        """Whether time has made something due that may be carried out now."""
        now, application = self.log_time(head), self._application
        return self._now() >= self.due_from and (
            now > application.known_until or application.has_due(now)
        )

    def undo(self, gathered: Gathered | None) -> None:
        """Leave no trace in memory of the newest batch."""
        if gathered is not None:
            gathered.batch.undo_to(0)
            self._application.aborted()

    def evaluate(
        self,
        items: list[Item],
        known: Known,
        *,
        head: Head,
        before: Gathered | None = None,
        onto: Gathered | None = None,
        recent: Sequence[Keys] = (),
    ) -> Gathered:
        """Decide items that have been looked up; what is to be written is sealed later.

        Args:
            items: in the order in which they are decided.
            known: what `look_up` found for them.
            head: where the log stands.
            before: the batch that is being committed, on top of which this one rests.
            onto: the batch that these items join; by default they begin one.
            recent: what batches answered that were not committed when the items were looked up.

        Raises:
            Exception: whatever was met; the whole batch has then been undone.
        """
        gathered = onto or self._begin(head, before)
        try:
            self._evaluate(items, known, gathered, recent)
        except BaseException:
            self.undo(gathered)
            raise
        return gathered

    def seal(self, gathered: Gathered) -> Plan | None:
        """Chain a batch that is complete, and make its plan; None if it writes nothing."""
        if not gathered.batch.is_empty:
            gathered.plan = Writer.plan(gathered.batch, self._application.stores)
        return gathered.plan

    def look_up(
        self, items: Sequence[Item], lookup: Lookup, *, onto: Head | Batch
    ) -> asyncio.Task[Known]:
        """Load what items refer to, and find those whose key was answered before.

        Args:
            items: to be decided.
            lookup: the connection that is asked.
            onto: what they are decided on top of, as far as is known yet.

        The first questions are on their way on return. One more look-up may begin before these
        items are decided.

        Raises:
            psycopg.Error: the connection cannot be used any more; nothing was asked.
        """
        found: list[tuple[Any, ...]] = []
        keys = UuidArray(item.key for item in items if item.key is not None)
        if keys:
            lookup.ask(_SQL["find_keys"], {"keys": keys}, found.extend)
        waves = self._application.prepare(
            lookup, [item.command for item in items], until=self._until(items, onto)
        )
        next(waves, None)
        lookup.send()
        return asyncio.create_task(self._look_up(lookup, waves, found))

    def _until(self, items: Sequence[Item], onto: Head | Batch) -> int:
        """About at what log time items will be decided."""
        now = self._now()
        idle = onto.ordered_at if onto.clock == "file" else now
        asked = (i.at if i.at is not None else idle if i.is_timers else now for i in items)
        return max(onto.ordered_at, *(asked if items else (idle,)))

    async def _look_up(
        self, lookup: Lookup, waves: Iterator[None], found: list[tuple[Any, ...]]
    ) -> Known:
        await lookup.answer()
        for _ in waves:
            await lookup.answer()
        if not found:
            return {}
        rows: list[tuple[Any, ...]] = []
        positions = Int8Array(position for _, _, position in found)
        lookup.ask(_SQL["find_answers"], {"positions": positions}, rows.extend)
        await lookup.answer()
        answers = {
            position: (_decode(command), Answer(status, body))
            for position, status, command, body in rows
        }
        return {key.bytes: (request.bytes, *answers[position]) for key, request, position in found}

    def _begin(self, head: Head, before: Gathered | None) -> Gathered:
        if before is None or before.plan is None:
            gathered = Gathered(Batch(head, recorded_at=self._now()), [])
        else:
            gathered = Gathered(Batch(before.plan.after, recorded_at=self._now()), [])
        self._application.begin()
        return gathered

    def _evaluate(
        self, items: list[Item], known: Known, gathered: Gathered, recent: Sequence[Keys]
    ) -> None:
        begun = self._clock_ns()
        now = self._now()
        gathered.items += items
        self.has_run_due = gathered.has_run_due
        if not items:
            self._run_due(gathered, self.log_time(gathered.batch.head))
        for number, item in enumerate(items):
            answer = self._repeat(gathered, item, known, recent)
            if answer is None:
                answer = self._answer_one(gathered, item, now)
            if answer is None:
                gathered.left = items[number:]
                break
            gathered.answers.append((item, answer))
        gathered.has_run_due = self.has_run_due
        self._tally.evaluate_ns += self._clock_ns() - begun

    def _run_due(self, gathered: Gathered, until: int) -> bool:
        """Carry out what time has made due before `until`, each at its own entry.

        False when more is due than one batch takes, or than memory knows: what comes after
        it must wait.

        Raises:
            RuntimeError: something due was refused.
        """
        batch, application = gathered.batch, self._application
        if self._now() < self.due_from:
            return True
        known_until = application.known_until
        for _ in range(self._limits.batch):
            command = application.due(min(until, known_until))
            if command is None:
                return until <= known_until
            self.has_run_due = True
            entry = batch.entry(client=0, owner=None, now=until, at=None)
            try:
                answer = application.apply(command, entry)
            except Refusal as refusal:
                # Nobody asked, so nobody can be refused: this is a fault of ours.
                raise RuntimeError(f"what was due was refused: {refusal.code}") from None
            if entry.events:
                batch.close(entry, command=command, answer=answer, key=None)
        return until <= known_until and not application.has_due(until)

    def _repeat(
        self, gathered: Gathered, item: Item, known: Known, recent: Sequence[Keys]
    ) -> Answer | None:
        """Answer an item whose key was answered before; None if it was not."""
        key = item.key
        if key is None:
            return None
        earlier = known.get(key)
        if earlier is None:
            for keys in (gathered.answered_keys, *recent):
                twin = keys.get(key)
                if twin is not None:
                    earlier = (twin[0], fields(twin[1]), twin[2])
                    break
            else:
                return None
        self._tally.replayed += 1
        return repeat(item, *earlier)

    def _answer_one(self, gathered: Gathered, item: Item, now: int) -> Answer | None:
        """Answer an item within the batch; None if it must wait for the next one."""
        key, batch = item.key, gathered.batch
        at = item.at
        if at is not None and (refusal := _out_of_time(batch, at)) is not None:
            return refused(refusal)
        if item.is_timers and batch.clock != "live":
            at = batch.ordered_at
        if not self._run_due(gathered, max(batch.ordered_at, now if at is None else at)):
            return None
        answer, entry = self._apply(batch, item, now=now, at=at)
        if entry.events:
            key_row = (key, item.request) if key is not None else None
            batch.close(entry, command=item.command, answer=answer, key=key_row)
            if not item.is_timers:
                batch.clock = "live" if item.at is None else "file"
            if key is not None:
                gathered.answered_keys[key] = (item.request, item.command, answer)
        return answer

    def _apply(self, batch: Batch, item: Item, *, now: int, at: int | None) -> tuple[Answer, Entry]:
        entry = batch.entry(client=item.client, owner=item.owner, now=now, at=at)
        try:
            return self._application.apply(item.command, entry), entry
        except Refusal as refusal:
            entry.take_back()
            self._tally.refused += 1
            answer = refused(refusal)
            self._application.refuse(item.command, refusal.with_traceback(None), entry)
            return answer, entry
        except InvariantBroken:
            raise
        except Exception:  # noqa: BLE001 - see below
            # The edge of evaluation: a fault of ours in one item must not stop the others.
            entry.take_back()
            self._tally.poisoned += 1
            _log.exception("item_poisoned", command=type(item.command).__name__)
            return refused(RequestPoisoned("this request met a fault on our side")), entry


def _out_of_time(batch: Batch, at: int) -> Refusal | None:
    """Why a file cannot have something happen at a time; None if it can."""
    if batch.clock == "live":
        return ClockIsLive("live traffic has run; a file cannot drive this log's clock")
    if at < batch.ordered_at - AHEAD_US:
        return LogPastTime("the log is past this time", field="scudo-ordered-at")
    return None
