"""The auditor: puts the rooms' witnesses together and walks the whole log of a bank."""

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from psycopg import Connection

from scudo.decisions import DECISIONS, DecisionWitness
from scudo.fabric import RECORDS, BadRow, EventCatalogue, RecordWitness, RowBroken, Walk
from scudo.governance import EvidenceAudit, MandateWitness
from scudo.ledger import TRANSFERS, LedgerWitness
from scudo.payments import PaymentWitness

#: Tables whose rows are chained, beside the log's own, in the order of an entry's leaves.
CHAINED: Final = (RECORDS, DECISIONS, TRANSFERS)
#: How far the log may have moved on for the rest to be walked inside the last snapshot.
_NEAR: Final = 20_000
_NICE: Final = 10
#: Told how far the walk is, and how far it goes; positions of the log.
Progress = Callable[[int, int], None]


class Verdict(msgspec.Struct, frozen=True):
    """What the auditor found.

    Attributes:
        ok: whether everything that was seen is whole and right.
        accounts, transfers: how many were recomputed.
        chain_length: batches whose hash was proven.
        head: hash of the last of them, in hex.
        first_bad: the first row that is not as it must be.
    """

    ok: bool
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
        _give_way(connection)
    connection.execute("SET work_mem = '32MB'")
    mandates, gates = MandateWitness(), DecisionWitness()
    ledger = LedgerWitness(mandates)
    walk = Walk(
        connection,
        tables=CHAINED,
        decode=catalogue.decode,
        witnesses=(RecordWitness(), mandates, ledger, gates, PaymentWitness(ledger, gates)),
        progress=progress,
    )
    first_bad = None
    try:
        with _collector_paused():
            _walk_all(walk, evidence or EvidenceAudit(), connection)
    except RowBroken as broken:
        first_bad = broken.row
    return Verdict(
        ok=first_bad is None,
        accounts=ledger.accounts,
        transfers=ledger.transfers,
        chain_length=walk.number,
        head=walk.hash.hex(),
        first_bad=first_bad,
    )


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


def _give_way(connection: Connection[Any]) -> None:
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
