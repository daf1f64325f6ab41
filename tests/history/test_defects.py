"""The checker checked: each of these defects is planted in a bank, and must be found.

A checker that passes everything proves nothing. The first test shows that the same work
without a defect raises no complaint, whatever batches are broken meanwhile.
"""

import asyncio
import itertools
import re
from typing import TYPE_CHECKING, Any

import pytest
from tests.history.banks import Driver, opened
from tests.history.check import check
from tests.history.decided import decision_problems
from tests.model.replay import fence_problems, read_stored

from scudo.bootstrap import Bank, rooms
from scudo.fabric import Entry, deadlines, evaluation, writer
from scudo.fabric.evaluation import Evaluation
from scudo.fabric.log import Batch, batch
from scudo.governance import Mandates
from scudo.kernel import GENESIS, chain
from scudo.ledger import Book, LedgerStore, book, store
from scudo.payments import Payments


def answered_before_commit(patch: Any) -> None:
    """Waiters are told as soon as their items are evaluated."""
    evaluate = Evaluation._evaluate

    def plant(self: Evaluation, items: Any, known: Any, gathered: Any, recent: Any) -> None:
        evaluate(self, items, known, gathered, recent)
        for item, answer in gathered.answers:
            if not item.answer.done():
                item.answer.set_result(answer)

    patch.setattr(Evaluation, "_evaluate", plant)


def dedupe_skipped(patch: Any) -> None:
    """Keys that were answered are not looked up."""
    look_up = Evaluation._look_up

    async def plant(self: Evaluation, *arguments: Any) -> Any:
        await look_up(self, *arguments)
        return {}

    patch.setattr(Evaluation, "_look_up", plant)


def overlay_kept(patch: Any) -> None:
    """What an aborted batch taught the features stays."""

    def plant(bank: Bank) -> None:
        state = bank.rooms.gatekeeper.state
        bank.rooms.aborted = lambda: (
            state.commit(),
            [room.aborted() for room in bank.rooms._stores],
        )
        state.undo_to = lambda mark: None

    patch.bank = plant


def hold_lost(patch: Any) -> None:
    """A hold changes the books, and is forgotten on the way to the table."""
    copies = LedgerStore.copies

    def plant(self: LedgerStore) -> Any:
        return [(t, rows) for t, rows in copies(self) if t.name != "ledger.hold"]

    patch.setattr(LedgerStore, "copies", plant)


def hold_not_counted(patch: Any) -> None:
    """A hold is placed without lowering what is available."""
    place = Book.place

    def plant(self: Book, entry: Entry, **named: Any) -> Any:
        hold = place(self, entry, **named)
        named["debit"].debits_held -= named["amount"]
        return hold

    patch.setattr(Book, "place", plant)


def captured_twice(patch: Any) -> None:
    """A capture forgets what it captured, so that it can be done again."""
    capture = Book.capture

    def plant(self: Book, entry: Entry, hold: Any, **named: Any) -> Any:
        before = hold.captured
        number = capture(self, entry, hold, **named)
        hold.captured = before
        return number

    patch.setattr(Book, "capture", plant)


def limit_skipped(patch: Any) -> None:
    """Nobody looks whether the balance covers the amount."""
    patch.setattr(book, "check_limit", lambda *_: None)


def day_forgotten(patch: Any) -> None:
    """Nobody remembers what a day has used of a mandate's bound."""
    patch.setattr(Mandates, "close", lambda *_: None)


def epoch_unchecked(patch: Any) -> None:
    """A writer goes on although another one has taken the log over."""
    query = writer._SQL["advance_head"]
    assert "epoch = %(epoch)s AND" in query
    patch.setitem(writer._SQL, "advance_head", query.replace("epoch = %(epoch)s AND", ""))


def position_skipped(patch: Any) -> None:
    """Now and then a position is left out."""
    entry, count = Batch.entry, itertools.count()

    def plant(self: Batch, **named: Any) -> Entry:
        if next(count) % 50 == 49:
            self.position += 1
        return entry(self, **named)

    patch.setattr(Batch, "entry", plant)


def chain_broken(patch: Any) -> None:
    """A batch is chained to nothing."""
    patch.setattr(batch, "chain", lambda previous, root: chain(GENESIS, root))


def refusal_forgotten(patch: Any) -> None:
    """A refusal is told, and its key is not kept."""
    close = Batch.close

    def plant(self: Batch, entry: Entry, *, answer: Any, key: Any, **named: Any) -> None:
        kept = key if answer.status < 400 else None
        close(self, entry, answer=answer, key=kept, **named)

    patch.setattr(Batch, "close", plant)


def event_suppressed(patch: Any) -> None:
    """The event of a hold that was placed is left out."""
    emit = Entry.emit

    def plant(self: Entry, event: Any) -> int:
        if type(event).__name__ == "HoldPlaced":
            return self.next_position
        return emit(self, event)

    patch.setattr(Entry, "emit", plant)


def balance_off_by_one(patch: Any) -> None:
    """An account that is loaded again has lost a cent."""
    load = store._account

    def plant(row: Any) -> Any:
        account = load(row)
        account.credits_posted -= account.credits_posted > 0
        return account

    patch.setattr(store, "_account", plant)


def answer_of_another(patch: Any) -> None:
    """A replayed key is answered with what is now, not with what was."""

    def plant(item: Any, request: bytes, earlier: Any, answer: Any) -> Any:
        return type(answer)(answer.status, answer.body.replace(b'"', b' "', 1))

    patch.setattr(evaluation, "repeat", plant)


def expiry_overlooked(patch: Any) -> None:
    """What is due is never done."""
    patch.setattr(Payments, "next_expiry", lambda self, now: None)


#: Each defect, and what the checker must say of it.
DEFECTS = {
    answered_before_commit: "acknowledged and lost",
    dedupe_skipped: "is no answer to a key",
    overlay_kept: "decision .* features",
    hold_lost: "hold_not_found",
    hold_not_counted: "transfer is",
    captured_twice: "capture_too_high|hold .* captured",
    limit_skipped: "insufficient_funds",
    day_forgotten: "mandate_exceeded",
    epoch_unchecked: "after epoch",
    position_skipped: "position .* follows",
    chain_broken: "is not chained",
    refusal_forgotten: "acknowledged and lost",
    event_suppressed: "events is",
    balance_off_by_one: "transfer is",
    answer_of_another: "not the answer of entry",
    expiry_overlooked: "was due before",
}


if TYPE_CHECKING:
    from collections.abc import Callable


class Patch:
    """Changes to classes, taken back by pytest, and one to the bank once it is open."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.setattr = monkeypatch.setattr
        self.setitem = monkeypatch.setitem
        self.bank: Callable[[Bank], Any] = lambda _: None


async def worked(database: Any, folder: Any, patch: Patch, *, pause_s: float = 0) -> list[str]:
    """Work with a bank, break batches, end its epoch; what the checker finds."""
    driver = Driver(4)
    ways = itertools.cycle((["data"], ["disk"], ["stale"], ["lost"], ["data"] * 4, ["lost"] * 2))
    async with asyncio.timeout(40), opened(database.dsn, folder, batch=32) as (bank, saboteur):
        await driver.setup(bank)
        patch.bank(bank)
        for number in range(15):
            if number % 3 == 2:
                saboteur.ways = list(next(ways))
            await driver.work(bank, count=driver.random.randint(1, 24))
        await driver.send(bank, [driver.workload.under_mandate() for _ in range(16)])
        await asyncio.sleep(pause_s)
        await driver.work(bank, count=4)
        fence = database.connection.execute(
            "UPDATE fabric.log_head SET epoch = epoch + 1 RETURNING epoch, position"
        ).fetchone()
        await driver.work(bank, count=4)
    stored = read_stored(database.dsn.read)
    problems = check(stored, driver.tries) + decision_problems(stored)
    return problems + fence_problems(stored, epoch=fence[0], position=fence[1])


def test_a_sound_bank_is_found_sound(database, tmp_path, monkeypatch):
    """Without a defect nothing is found, though batches were broken in every way."""
    assert asyncio.run(worked(database, tmp_path, Patch(monkeypatch))) == []


def test_a_bank_that_keeps_little_in_memory_is_found_sound(database, tmp_path, monkeypatch):
    """What waits is let go of at once, and loaded one by one shortly before it expires."""
    monkeypatch.setattr(deadlines, "_RESTING_MAX", 0)
    monkeypatch.setattr(rooms, "_SOON_US", 0)
    monkeypatch.setattr(rooms, "_WINDOW_US", 200_000)
    monkeypatch.setattr(rooms, "_EXPIRING_MAX", 1)
    assert asyncio.run(worked(database, tmp_path, Patch(monkeypatch), pause_s=1)) == []


@pytest.mark.parametrize(
    ("defect", "complaint"), DEFECTS.items(), ids=lambda value: getattr(value, "__name__", "")
)
def test_a_planted_defect_is_found(database, tmp_path, monkeypatch, defect, complaint):
    """A bank with this defect is found out, for what is wrong with it."""
    patch = Patch(monkeypatch)
    defect(patch)
    pause_s = 2.5 if defect is expiry_overlooked else 0
    found = asyncio.run(worked(database, tmp_path, patch, pause_s=pause_s))
    assert any(re.search(complaint, problem) for problem in found), found[:5]
