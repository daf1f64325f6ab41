"""The auditor: puts the rooms' witnesses together and walks the whole log of a bank.

Once, for `scudo verify`; or for ever, beside the bank: new rows as they come, and all rows
anew in rounds, so that whatever is changed is named within one round.
"""

import contextlib
import gc
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from psycopg import Connection

from scudo.decisions import DECISIONS, DecisionWitness
from scudo.fabric import RECORDS, BadRow, EventCatalogue, RecordWitness, RowBroken, Walk
from scudo.governance import EvidenceAudit, MandateWitness
from scudo.kernel import SECOND_US
from scudo.ledger import TRANSFERS, LedgerWitness
from scudo.payments import PaymentWitness

#: Tables whose rows are chained, beside the log's own, in the order of an entry's leaves.
CHAINED: Final = (RECORDS, DECISIONS, TRANSFERS)
#: How far the log may have moved on for the rest to be walked inside the last snapshot.
_NEAR: Final = 20_000
_NICE: Final = 10
#: Between two looks for new rows.
FOLLOW_S: Final = 1.0
#: So many times as long as it worked the first round rests: measured beside it, a recount without
#: rest took a quarter of the payments that two busy processors could decide.
RESTS: Final = 3
#: Told how far the walk is, and how far it goes; positions of the log.
Progress = Callable[[int, int], None]


class Verdict(msgspec.Struct, frozen=True):
    """What the auditor found.

    Attributes:
        rows: how many stored rows were hashed and put back into their place.
        ok: whether everything that was seen is whole and right.
        accounts, transfers: how many were recomputed.
        chain_length: batches whose hash was proven.
        head: hash of the last of them, in hex.
        first_bad: the first row that is not as it must be.
    """

    ok: bool
    rows: int
    accounts: int
    transfers: int
    chain_length: int
    head: str
    first_bad: BadRow | None


def verify_bank(
    connection: Connection[Any],
    *,
    catalogue: EventCatalogue,
    progress: Progress | None = None,
    gentle: bool = True,
    evidence: EvidenceAudit | None = None,
) -> Verdict:
    """Prove a bank's books from its log, up to the head it has when the walk ends.

    Walks rows that cannot change any more without a snapshot, then the little that was
    added meanwhile and the stored state inside one.

    Args:
        connection: in autocommit mode, of a role that may read every table, used by nobody
            else.
        catalogue: every event of the bank.
        progress: is told of every stretch.
        gentle: give way to live traffic. Lowers the priority of the calling thread for good,
            and of the database's process where we may.
        evidence: compares what was signed; without a witness by default.
    """
    if gentle:
        give_way(connection)
    connection.execute("SET work_mem = '32MB'")
    walk, ledger = _begin(connection, catalogue=catalogue, progress=progress)
    first_bad = None
    try:
        with _collector_paused():
            _walk_all(walk, evidence or EvidenceAudit(), connection)
    except RowBroken as broken:
        first_bad = broken.row
    return Verdict(
        ok=first_bad is None,
        rows=walk.rows,
        accounts=ledger.accounts,
        transfers=ledger.transfers,
        chain_length=walk.number,
        head=walk.hash.hex(),
        first_bad=first_bad,
    )


def _begin(
    connection: Connection[Any], *, catalogue: EventCatalogue, progress: Progress | None
) -> tuple[Walk, LedgerWitness]:
    """A walk of all witnesses, before the first row."""
    mandates, gates = MandateWitness(), DecisionWitness()
    ledger = LedgerWitness(mandates)
    walk = Walk(
        connection,
        tables=CHAINED,
        decode=catalogue.decode,
        witnesses=(RecordWitness(), mandates, ledger, gates, PaymentWitness(ledger, gates)),
        progress=progress,
    )
    return walk, ledger


class Recount(msgspec.Struct, frozen=True):
    """How far a bank has been recounted.

    Attributes:
        position: up to which the log is found whole, and rightly added up.
        head: how far it goes.
        rows: hashed since the auditor started.
        rounds: that this bank has seen.
        round_position: how far the round is that is under way.
        finished_at: when the last round came to its end, microseconds; 0: never.
        first_bad: the first row that is not as it must be; the auditor has then stopped.
    """

    position: int = 0
    head: int = 0
    rows: int = 0
    rounds: int = 0
    round_position: int = 0
    finished_at: int = 0
    first_bad: BadRow | None = None


class _Stopped(Exception):
    """The auditor was told to stop in the middle of a round."""


class Auditor:
    """Recounts a bank for ever.

    The first round, which is all that a stop and a start cost, rests longer than it works, as long
    as it is ahead of its time; each further one takes its time. Between two stretches of a round,
    what is new is recounted.

    Attributes:
        recount: how far it is.
    """

    def __init__(  # noqa: PLR0913 - one parameter per property
        self,
        connection: Connection[Any],
        *,
        catalogue: EventCatalogue,
        notes: Path,
        round_us: int,
        clock: Callable[[], int],
        witness: Path | None = None,
        tell: Callable[[Recount], None] = lambda _: None,
        rests: int = RESTS,
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            connection: as `verify_bank` wants it.
            catalogue: every event of the bank.
            notes: file that says when the last round ended, for the next start.
            round_us: microseconds that a round may take, and from the begin of one to the next.
            clock: microseconds since 1970.
            witness: folder of the signed heads; None: they are compared with the log only.
            tell: is told now and then how far the recount is.
            rests: in the first round, how many times as long as it worked.
        """
        self._connection = connection
        self._rests = rests
        self._catalogue = catalogue
        self._notes = notes
        self._round_us = round_us
        self._clock = clock
        self._witness = witness
        self._tell = tell
        self._front: Walk | None = None
        self._walk: Walk | None = None
        self._began = 0
        self._resumed = 0
        self._looked = 0
        self._counted = 0
        self._is_paced = False
        self.recount = read_notes(notes)

    def run(self, stopping: threading.Event) -> BadRow | None:
        """Recount until told to stop, or until a row is wrong; returns that row."""
        self._connection.execute("SET work_mem = '32MB'")
        try:
            with _collector_paused():
                while not stopping.is_set():
                    self._round(stopping)
                    self._rest(stopping)
        except _Stopped:
            pass
        except RowBroken as broken:
            self._note(first_bad=broken.row)
        return self.recount.first_bad

    def _round(self, stopping: threading.Event) -> None:
        self._began, self._is_paced = self._clock(), self._front is not None
        self._resumed = self._began
        self._walk, _ = _begin(
            self._connection,
            catalogue=self._catalogue,
            progress=lambda done, of: self._attend(done, of, stopping),
        )
        _walk_all(self._walk, EvidenceAudit(self._witness), self._connection)
        if self._front is not None:
            self._counted += self._front.rows
        self._front, self._walk = self._walk, None
        self._note(rounds=self.recount.rounds + 1, finished_at=self._clock())
        self._notes.write_bytes(msgspec.json.encode(self.recount))

    def _attend(self, done: int, of: int, stopping: threading.Event) -> None:
        """Between two stretches of a round: follow, and keep to the pace.

        Raises:
            _Stopped: nobody wants to know any more.
        """
        now, due = self._clock(), self._began + self._round_us * done // max(of, 1)
        if not self._is_paced:
            due = min(due, now + self._rests * (now - self._resumed))
        # Nobody waits while the last stretch is walked, which is done in a snapshot.
        while not stopping.is_set():
            self._follow(round_position=done)
            left = (due - self._clock()) / SECOND_US if of - done > _NEAR else 0.0
            if left <= 0 or stopping.wait(min(left, FOLLOW_S)):
                break
        self._resumed = self._clock()
        if stopping.is_set():
            raise _Stopped

    def _rest(self, stopping: threading.Event) -> None:
        while not stopping.is_set() and self._clock() < self._began + self._round_us:
            self._follow(round_position=0)
            stopping.wait(FOLLOW_S)

    def _follow(self, *, round_position: int) -> None:
        """Recount what is new since the last look."""
        now = self._clock()
        if 0 <= now - self._looked < FOLLOW_S * SECOND_US // 2:
            return
        self._looked = now
        position, head = round_position, 0
        if self._front is not None:
            at = self._front.read_head()
            self._front.advance(at)
            position, head = self._front.position, at.position
        self._note(position=position, head=head or round_position, round_position=round_position)

    def _note(self, **changes: int | BadRow) -> None:
        walks = [walk.rows for walk in (self._front, self._walk) if walk is not None]
        rows = self._counted + sum(walks)
        self.recount = msgspec.structs.replace(self.recount, rows=rows, **changes)
        self._tell(self.recount)


def read_notes(notes: Path) -> Recount:
    """What the last auditor noted of its rounds; nothing, if that cannot be read."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        found = msgspec.json.decode(notes.read_bytes(), type=Recount)
        return Recount(rounds=found.rounds, finished_at=found.finished_at)
    return Recount()


def _walk_all(walk: Walk, evidence: EvidenceAudit, connection: Connection[Any]) -> None:
    head = walk.read_head()
    while head.position - walk.position > _NEAR:
        walk.advance(head)
        head = walk.read_head()
    evidence.prepare(connection)
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        head = walk.read_head()
        walk.advance(head)
        walk.conclude(head)
        evidence.check(connection)


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Millions of rows come and go, none in a cycle: looking for cycles costs a third."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def give_way(connection: Connection[Any]) -> None:
    """Lower the priority of this thread, and of our backend if it runs on this machine.

    Linux may share processors out between sessions first, and look at nice only inside one
    (sched(7), the autogroup feature): a session of our own gives way as a whole.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
        if os.getsid(0) == os.getpid():
            Path("/proc/self/autogroup").write_text(str(_NICE), encoding="ascii")
    backend = connection.info.backend_pid
    if connection.info.host.startswith("/"):
        with contextlib.suppress(OSError):
            if "postgres" in Path(f"/proc/{backend}/comm").read_text(encoding="ascii"):
                os.setpriority(os.PRIO_PROCESS, backend, _NICE)
