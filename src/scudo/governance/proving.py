"""Proofs for people outside: an entry was in the log, and the log has only grown."""

import json
from collections.abc import Sequence
from typing import Any, Final

from psycopg import Connection

from scudo import proofcheck
from scudo.fabric import Chained, WholeBatch, find_batch
from scudo.governance import logic, store
from scudo.governance.errors import (
    EntryUnknown,
    EvidenceContradicted,
    HeadUnknown,
    LogContradictsHead,
    ProofNotReady,
)
from scudo.governance.model import MOMENT, show_head, show_key, text
from scudo.proofcheck import Head, NotProven, Unreadable

_HEADLESS: Final = "no head is signed yet"


def prove_entry(
    connection: Connection[Any],
    position: int,
    *,
    tables: Sequence[Chained],
    cadences: Sequence[str] = (MOMENT,),
) -> bytes:
    """Prove that an entry with all of its rows was in the log when its newest head was signed.

    Args:
        connection: of a role that may read every table.
        position: of the entry's first event.
        tables: the rooms' chained tables, in the order of an entry's leaves.
        cadences: of the head; those for hours and days are signed with ML-DSA-65.

    Returns:
        A file for `proofcheck`.

    Raises:
        EntryUnknown: no entry begins there.
        ProofNotReady: no signed head covers it yet.
        LogContradictsHead: what is stored does not lead to what was signed.
    """
    batch = find_batch(connection, position, tables=tables)
    known = _rows_of(batch, position) if batch else (0, 0)
    if batch is None or known == (0, 0):
        message = f"no entry of the log begins at position {position}"
        raise EntryUnknown(message)
    head = store.find_latest(connection, *cadences)
    if head is None or head.size < batch.number:
        covered = _HEADLESS if head is None else f"{head} is the newest"
        message = f"the entry is in batch {batch.number}; {covered}"
        raise ProofNotReady(message)
    path = _digests(connection, logic.inclusion(batch.number - 1, head.size))
    digests = [leaf.digest for leaf in batch.leaves]
    shape, beside = logic.shape(digests, known, (0, len(digests)))
    return _proven(
        {
            "rows": [
                {"table": leaf.tag.decode(), "image": text(leaf.image)}
                for leaf in batch.leaves[slice(*known)]
            ],
            "batch": {
                "shape": shape,
                "path": text(b"".join(beside)),
                "previous": text(batch.previous),
            },
            "log": {"index": batch.number - 1, "path": text(b"".join(path))},
            "head": show_head(head),
            "key": show_key(store.read_keys(connection)[head.key]),
        }
    )


def prove_growth(connection: Connection[Any], first: int, second: int) -> bytes:
    """Prove that the log of one signed head is the beginning of the log of another.

    Args:
        connection: of a role that may read every table.
        first: size of the log of one head.
        second: size of the log of the other.

    Returns:
        A file for `proofcheck`.

    Raises:
        HeadUnknown: no head was signed of such a log.
        LogContradictsHead: it is not the beginning.
    """
    sizes = sorted((first, second))
    heads = [_head_of(connection, size) for size in sizes]
    keys = store.read_keys(connection)
    path = _digests(connection, logic.consistency(*sizes))
    return _proven(
        {
            "first": show_head(heads[0]),
            "second": show_head(heads[1]),
            "path": text(b"".join(path)),
            "keys": [show_key(keys[head.key]) for head in heads],
        }
    )


def _head_of(connection: Connection[Any], size: int) -> Head:
    head = store.find_head(connection, size)
    if head is None:
        message = f"no head was signed when the log had {size} batches"
        raise HeadUnknown(message)
    return head


def _rows_of(batch: WholeBatch, position: int) -> tuple[int, int]:
    """Which leaves are the rows of an entry: the first, and the one after the last."""
    places = [at for at, leaf in enumerate(batch.leaves) if leaf.position == position]
    return (places[0], places[-1] + 1) if places else (0, 0)


def _digests(connection: Connection[Any], ranges: list[logic.Range]) -> list[bytes]:
    try:
        return store.find_digests(connection, ranges)
    except EvidenceContradicted as error:
        raise LogContradictsHead(str(error)) from error


def _proven(proof: dict[str, Any]) -> bytes:
    """Write a proof, after having checked it as others will.

    Raises:
        LogContradictsHead: it does not hold.
    """
    written = json.dumps(proof, indent=1).encode()
    try:
        proofcheck.check(written)
    except (NotProven, Unreadable) as error:
        raise LogContradictsHead(str(error)) from error
    return written
