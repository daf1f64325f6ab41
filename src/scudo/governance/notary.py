"""The notary: makes the log's tree grow, signs its heads, and takes them to the witness.

It runs beside the writer and trusts nobody in between: before it signs, what it signed last
must still be true, in the tree, in the chain and at the witness. If it is not, somebody has
rewritten the log; then nothing is signed any more, and what the witness has stays the proof.

Each step is a transaction, or repeats to the same effect: killed at any moment, it goes on.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import psycopg
import structlog
from psycopg import Connection

from scudo.fabric import SealedBatch, list_batches, summarise_keys
from scudo.governance import logic, store
from scudo.governance.errors import EvidenceContradicted
from scudo.governance.model import DAY, ED25519, HOUR, ML_DSA_65, MOMENT, Signer, Tree
from scudo.governance.witness import Line, WitnessFolder
from scudo.kernel import DAY_US, SECOND_US, chain
from scudo.proofcheck import Head, Key, NotProven, Unreadable, check_consistency, check_signature

_log = structlog.get_logger("scudo.notary")

#: Between two heads for the moment, while the log grows.
EVERY_US: Final = 5 * SECOND_US
_HOUR_US: Final = 3_600 * SECOND_US
#: Batches taken in one transaction: few, so that payments are not kept waiting.
PAGE: Final = 256
#: Heads taken to the witness in one transaction.
_EXPORTED_AT_ONCE: Final = 100
#: Between two times that what proofs look for is put in order.
_SUMMARISED_EVERY_US: Final = 60 * SECOND_US
_PAUSE_S: Final = 0.5
_AFTER_FAULT_S: Final = 2.0


class Notary:
    """Keeps the evidence of one log.

    Attributes:
        alarm: what does not fit, in words; nothing is signed from then on.
        size: batches in the tree.
        signed: number of the last head.
        exported: number of the last head that the witness has.
    """

    def __init__(self, *, signer: Signer, witness: Path, every_us: int = EVERY_US) -> None:
        """Prepare.

        Args:
            signer: holds the keys.
            witness: folder of the second place.
            every_us: microseconds between two heads for the moment, at the least.
        """
        self._signer = signer
        self._folder = witness
        self._every_us = every_us
        self._witnessed: Head | None = None
        self._witness: WitnessFolder | None = None
        self._fault = ""
        self._summarised_at = 0
        self.alarm: str | None = None
        self.size = 0
        self.signed = 0
        self.exported = 0

    @property
    def stands(self) -> bool:
        """Whether this log was compared with its witness since the start, and fits it."""
        return self._witness is not None and self.alarm is None

    def run(
        self,
        connect: Callable[[], Connection[Any]],
        *,
        clock: Callable[[], int],
        stopping: threading.Event,
    ) -> None:
        """Keep the evidence until told to stop, or until it is contradicted; at last, sign all.

        Args:
            connect: a new connection of the application's role, in autocommit mode.
            clock: microseconds since 1970.
            stopping: set when the log does not grow any more.
        """
        while not stopping.is_set() and self.alarm is None:
            with self._watched(), connect() as connection:
                while self.alarm is None:
                    if stopping.wait(0 if self.grow(connection) else _PAUSE_S):
                        break
                    # The tree grows on, also where signer or witness cannot be reached.
                    with self._watched():
                        self.attest(connection, now=clock())
                        self._summarise(connection, now=clock())
            if self.alarm is None:
                stopping.wait(_AFTER_FAULT_S)
        if self.alarm is None:
            with self._watched(), connect() as connection:
                while self.grow(connection):
                    pass
                self.attest(connection, now=clock(), is_last=True)
                summarise_keys(connection)

    def _summarise(self, connection: Connection[Any], *, now: int) -> None:
        if abs(now - self._summarised_at) >= _SUMMARISED_EVERY_US:
            summarise_keys(connection)
            self._summarised_at = now

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Let faults pass that go by, and raise the alarm when evidence is contradicted."""
        try:
            yield
            self._fault = ""
        except EvidenceContradicted as contradiction:
            self.alarm = str(contradiction)
            _log.error("evidence_contradicted", reason=self.alarm)
        except (psycopg.Error, OSError) as error:
            # It is tried again and again; once is enough to tell of it.
            if self._fault != type(error).__name__:
                self._fault = type(error).__name__
                _log.warning("notary_interrupted", error=self._fault)
        except Exception as fault:  # noqa: BLE001 - nobody waits for this thread: say it here
            self.alarm = f"the notary met a fault of its own: {type(fault).__name__}"
            _log.exception("notary_failed")

    # ---- the tree

    def grow(self, connection: Connection[Any]) -> bool:
        """Take the next batches into the tree; whether there may be more.

        Raises:
            EvidenceContradicted: the chain does not go on from what the tree has taken.
        """
        with connection.transaction():
            tree = store.read_tree(connection)
            batches = list_batches(connection, after=tree.begins - 1, limit=PAGE + 1)
            fresh = self._continued(tree, batches)
            if fresh:
                store.hurry_not(connection)
                if store.lock_tree(connection) != tree:
                    return True
                tree = self._take(connection, tree, fresh)
        self.size = tree.size
        return len(fresh) == PAGE

    @staticmethod
    def _continued(tree: Tree, batches: list[SealedBatch]) -> list[SealedBatch]:
        """The batches after those that the tree has, which must be as it took them.

        Raises:
            EvidenceContradicted: they are not, or are not chained.
        """
        if tree.size:
            latest, *batches = batches or [SealedBatch(0, 0, 0, b"", b"")]
            if (latest.number, latest.last, latest.hash) != (tree.size, tree.position, tree.hash):
                message = f"batch {tree.size} is not what the tree has taken: it was rewritten"
                raise EvidenceContradicted(message)
        number, position, previous = tree.size, tree.position, tree.hash
        for batch in batches[:PAGE]:
            is_next = (batch.number, batch.first) == (number + 1, position + 1)
            if not is_next or batch.hash != chain(previous, batch.root):
                message = f"batch {number + 1} is not chained to the one before"
                raise EvidenceContradicted(message)
            number, position, previous = batch.number, batch.last, batch.hash
        return batches[:PAGE]

    @staticmethod
    def _take(connection: Connection[Any], tree: Tree, batches: list[SealedBatch]) -> Tree:
        subtrees = logic.full_subtrees((0, tree.size))
        whole = [(index << level, (index + 1) << level) for level, index in subtrees]
        frontier = logic.Frontier(tree.size, store.find_digests(connection, whole))
        store.add_nodes(
            connection, [node for batch in batches for node in frontier.push(batch.hash)]
        )
        latest = batches[-1]
        grown = Tree(tree.log, latest.number, latest.first, latest.last, latest.hash)
        store.move_tree(connection, grown)
        return grown

    # ---- heads

    def attest(self, connection: Connection[Any], *, now: int, is_last: bool = False) -> None:
        """Sign what is due, and take it to the witness.

        Args:
            connection: in autocommit mode.
            now: microseconds since 1970.
            is_last: sign whatever has grown, as nobody will do it later.

        Raises:
            EvidenceContradicted: what was signed is not true any more; nothing is signed.
            OSError: signer or witness cannot be reached; it is made up for next time.
        """
        if self._witness is None:
            self._witness = self._find_witness(connection)
        self.sign(connection, now=now, is_last=is_last)
        self.export(connection)

    def sign(self, connection: Connection[Any], *, now: int, is_last: bool = False) -> None:
        """Sign the heads that are due; see `attest`."""
        tree = store.read_tree(connection)
        if not tree.size or not self._due(connection, tree, now, is_last=is_last):
            return
        with connection.transaction():
            tree = store.lock_tree(connection)
            latest = store.find_latest(connection)
            # The clock may be set back; what was signed stays in order.
            at, number = (now, 0) if latest is None else (max(now, latest.signed_at), latest.number)
            keys = self._keys(connection, at)
            root = self._root(connection, tree, latest)
            for algorithm, cadence in self._due(connection, tree, now, is_last=is_last):
                number += 1
                key = keys[algorithm]
                head = Head(
                    *(tree.log, number, tree.size, root, tree.position),
                    *(at, cadence, algorithm, key.fingerprint),
                )
                head = replace(head, signature=self._signer.sign(algorithm, head.statement))
                _must_be_signed(head, key)
                store.add_head(connection, head)
        self.signed = number

    def _due(
        self, connection: Connection[Any], tree: Tree, now: int, *, is_last: bool
    ) -> list[tuple[str, str]]:
        """What is to be signed now: algorithm and cadence."""
        due = []
        moment = store.find_latest(connection, MOMENT)
        waits = moment is not None and not is_last and now - moment.signed_at < self._every_us
        if moment is None or (tree.size > moment.size and not waits):
            due.append((ED25519, MOMENT))
        daily = store.find_latest(connection, DAY)
        slow = store.find_latest(connection, HOUR, DAY)
        # The day is signed also when nothing happened: a witness shows that the bank was there.
        if slow is None or daily is None or now // DAY_US > daily.signed_at // DAY_US:
            due.append((ML_DSA_65, DAY))
        elif tree.size > slow.size and now // _HOUR_US > slow.signed_at // _HOUR_US:
            due.append((ML_DSA_65, HOUR))
        return due

    def _root(self, connection: Connection[Any], tree: Tree, latest: Head | None) -> bytes:
        """Root of the tree, which must be the continuation of what was signed and witnessed.

        Raises:
            EvidenceContradicted: it is not.
        """
        (root,) = store.find_digests(connection, [(0, tree.size)])
        if latest is not None:
            self._must_be_ours(latest, store.read_keys(connection)[latest.key])
        for head in (latest, self._witnessed):
            if head is not None:
                _must_continue(connection, head, tree.size, root)
        if self._witnessed and (latest is None or latest.number < self._witnessed.number):
            message = f"{self._witnessed} is at the witness, but not here any more"
            raise EvidenceContradicted(message)
        return root

    def _keys(self, connection: Connection[Any], at: int) -> dict[str, Key]:
        """The keys that are in use, by algorithm; new ones are in use from now on."""
        keys = {}
        for algorithm, public_key in self._signer.public_keys():
            key = Key(algorithm, public_key, at)
            store.add_key(connection, key)
            keys[algorithm] = key.fingerprint
        known = store.read_keys(connection)
        return {algorithm: known[fingerprint] for algorithm, fingerprint in keys.items()}

    # ---- the witness

    def export(self, connection: Connection[Any]) -> None:
        """Take the heads that the witness does not have to it, in order; see `attest`."""
        while self._witnessed is None or self._witnessed.number < self.signed:
            with connection.transaction():
                store.lock_export(connection)
                lines = self._lines(connection, self._witnessed)
                if not lines:
                    return
                assert self._witness is not None, "it is found before anything is signed"
                self._witness.append(lines)
                latest = lines[-1].head
                store.move_export(connection, latest.number)
            self._witnessed, self.exported = latest, latest.number

    def _lines(self, connection: Connection[Any], earlier: Head | None) -> list[Line]:
        after = earlier.number if earlier else 0
        heads = store.list_heads(connection, after=after, limit=_EXPORTED_AT_ONCE)
        keys, lines = store.read_keys(connection), []
        for head in heads:
            self._must_be_ours(head, keys[head.key])
            path = []
            if earlier is not None:
                path = _must_continue(connection, earlier, head.size, head.root)
            lines.append(Line(head, keys[head.key], path))
            earlier = head
        return lines

    def _find_witness(self, connection: Connection[Any]) -> WitnessFolder:
        """See what the witness has, which must be what was signed here.

        Raises:
            EvidenceContradicted: it is not.
        """
        witness = WitnessFolder(self._folder, store.read_tree(connection).log)
        try:
            found = witness.read_latest()
        except (NotProven, Unreadable) as error:
            message = f"the witness contradicts itself: {error}"
            raise EvidenceContradicted(message) from error
        if found and store.list_heads(connection, after=found.number - 1, limit=1) != [found]:
            message = f"{found} is at the witness, but was changed or taken out here"
            raise EvidenceContradicted(message)
        latest, number = store.find_latest(connection), found.number if found else 0
        if store.read_export(connection) > number:
            # Another place, or one that has lost lines: it is given everything that it lacks.
            _log.warning("witness_lacks_heads", has=number)
        self._witnessed, self.exported = found, number
        self.signed = latest.number if latest else 0
        return witness

    def _must_be_ours(self, head: Head, key: Key) -> None:
        if (key.algorithm, key.public_key) not in self._signer.public_keys():
            message = f"{head} is signed by a key that is none of ours"
            raise EvidenceContradicted(message)
        _must_be_signed(head, key)


def _must_be_signed(head: Head, key: Key) -> None:
    try:
        check_signature(head, key)
    except (NotProven, Unreadable) as error:
        raise EvidenceContradicted(str(error)) from error


def _must_continue(connection: Connection[Any], head: Head, size: int, root: bytes) -> list[bytes]:
    """The path that proves a log of some size and root to be the continuation of a head's.

    Raises:
        EvidenceContradicted: it is not.
    """
    if size < head.size:
        message = f"the log has {size} batches, but {head} was signed"
        raise EvidenceContradicted(message)
    path = store.find_digests(connection, logic.consistency(head.size, size))
    try:
        check_consistency((head.size, head.root), (size, root), path)
    except NotProven as error:
        raise EvidenceContradicted(str(error)) from error
    return path
