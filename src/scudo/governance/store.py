"""The only place that touches the tables of evidence."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

from psycopg import Connection

from scudo.fabric import queries
from scudo.governance import logic
from scudo.governance.errors import EvidenceContradicted
from scudo.governance.logic import Node, Range
from scudo.governance.model import DAY, HOUR, MOMENT, Tree
from scudo.kernel import instant, micros
from scudo.proofcheck import Head, Key

_SQL: Final = queries("scudo.governance")
#: Heads read at once.
_PAGE: Final = 1_000


def read_tree(connection: Connection[Any]) -> Tree:
    """How far the tree has grown."""
    return _tree(connection, "read_tree")


def lock_tree(connection: Connection[Any]) -> Tree:
    """How far the tree has grown; nobody else makes it grow or signs it in this transaction."""
    return _tree(connection, "lock_tree")


def _tree(connection: Connection[Any], query: str) -> Tree:
    row = connection.execute(_SQL[query], binary=True).fetchone()
    assert row is not None, "the row is there since the first migration"
    return Tree(row[0].bytes, *row[1:])


def hurry_not(connection: Connection[Any]) -> None:
    """Let this transaction not wait for the disk."""
    connection.execute(_SQL["hurry_not"])


def move_tree(connection: Connection[Any], tree: Tree) -> None:
    """Say how far the tree has grown now."""
    connection.execute(
        _SQL["move_tree"],
        {
            "size": tree.size,
            "begins": tree.begins,
            "position": tree.position,
            "hash": tree.hash,
        },
    )


def add_nodes(connection: Connection[Any], nodes: Sequence[tuple[int, int, bytes]]) -> None:
    """Keep subtrees that have become full: level, index, digest."""
    levels, indexes, hashes = zip(*nodes, strict=True)
    connection.execute(
        _SQL["add_nodes"],
        {"levels": list(levels), "indexes": list(indexes), "hashes": list(hashes)},
    )


def find_digests(connection: Connection[Any], subtrees: Sequence[Range]) -> list[bytes]:
    """Digests of subtrees of the log, in one query.

    Raises:
        EvidenceContradicted: the tree lacks what it must have.
    """
    parts = [logic.full_subtrees(subtree) for subtree in subtrees]
    wanted = {node for nodes in parts for node in nodes}
    found = find_nodes(connection, sorted(wanted))
    for level, index in sorted(wanted - found.keys()):
        message = f"the tree of the log has no node {index} of level {level}"
        raise EvidenceContradicted(message)
    return [logic.joined([found[node] for node in nodes]) for nodes in parts]


def find_nodes(connection: Connection[Any], nodes: Sequence[Node]) -> dict[Node, bytes]:
    """Digests of full subtrees, as far as they are there."""
    if not nodes:
        return {}
    levels, indexes = zip(*nodes, strict=True)
    cursor = connection.execute(
        _SQL["find_nodes"], {"levels": list(levels), "indexes": list(indexes)}, binary=True
    )
    return {(level, index): digest for level, index, digest in cursor.fetchall()}


def grown_nodes(connection: Connection[Any], first: int, second: int) -> dict[Node, bytes]:
    """Digests of the subtrees that became full while the log grew between two sizes."""
    rows = logic.grown(first, second)
    levels, lows, highs = zip(*rows, strict=True)
    bounds = {"levels": list(levels), "lows": list(lows), "highs": list(highs)}
    cursor = connection.execute(_SQL["grown_nodes"], bounds, binary=True)
    return {(level, index): digest for level, index, digest in cursor.fetchall()}


def find_beyond(connection: Connection[Any], size: int) -> Node | None:
    """A leaf that the tree must not have at a size, if it has one."""
    return cast("Node | None", connection.execute(_SQL["nodes_beyond"], {"size": size}).fetchone())


def add_key(connection: Connection[Any], key: Key) -> None:
    """Keep a public key, unless it is known."""
    connection.execute(
        _SQL["add_key"],
        {
            "fingerprint": key.fingerprint,
            "algorithm": key.algorithm,
            "public_key": key.public_key,
            "valid_from": instant(key.valid_from),
        },
    )


def read_keys(connection: Connection[Any]) -> dict[bytes, Key]:
    """Every public key by fingerprint, in the order in which they came into use."""
    rows = connection.execute(_SQL["list_keys"], binary=True).fetchall()
    keys = [Key(algorithm, public_key, micros(at)) for algorithm, public_key, at in rows]
    return {key.fingerprint: key for key in keys}


def add_head(connection: Connection[Any], head: Head) -> None:
    """Keep a head that was signed."""
    connection.execute(
        _SQL["add_head"],
        {
            "number": head.number,
            "size": head.size,
            "root": head.root,
            "position": head.position,
            "signed_at": instant(head.signed_at),
            "cadence": head.cadence,
            "key": head.key,
            "signature": head.signature,
        },
    )


def list_heads(connection: Connection[Any], *, after: int, limit: int) -> list[Head]:
    """Heads after a number, in order."""
    return _heads(connection, "list_heads", {"after": after, "limit": limit})


def every_head(connection: Connection[Any]) -> Iterator[Head]:
    """Every head, in order."""
    after = 0
    while page := list_heads(connection, after=after, limit=_PAGE):
        yield from page
        after = page[-1].number


def find_latest(connection: Connection[Any], *cadences: str) -> Head | None:
    """The newest head of some cadences; of any, without."""
    query = "latest_head" if MOMENT in cadences or not cadences else "latest_slow_head"
    wanted = list(cadences or (MOMENT, HOUR, DAY))
    return next(iter(_heads(connection, query, {"cadences": wanted})), None)


def find_head(connection: Connection[Any], size: int) -> Head | None:
    """The first head that was signed of a log of this size."""
    return next(iter(_heads(connection, "head_of_size", {"size": size})), None)


def _heads(connection: Connection[Any], query: str, bounds: dict[str, Any]) -> list[Head]:
    rows = connection.execute(_SQL[query], bounds, binary=True).fetchall()
    return [
        Head(log.bytes, number, size, root, position, micros(at), *rest)
        for log, number, size, root, position, at, *rest in rows
    ]


def lock_export(connection: Connection[Any]) -> int:
    """Number of the last exported head; nobody else exports in this transaction."""
    return _number(connection, "lock_export")


def read_export(connection: Connection[Any]) -> int:
    """Number of the last exported head."""
    return _number(connection, "read_export")


def _number(connection: Connection[Any], query: str) -> int:
    row = connection.execute(_SQL[query]).fetchone()
    assert row is not None, "the row is there since the first migration"
    return int(row[0])


def move_export(connection: Connection[Any], number: int) -> None:
    """The witness has heads up to a number."""
    connection.execute(_SQL["move_export"], {"number": number})
