"""The auditor's look at the evidence: log, tree, signed heads and witness tell the same.

A chain that was computed anew as a whole is right in itself. It is found here: it does not
lead to the roots that were signed, of which the witness keeps those that were taken out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from psycopg import Connection

from scudo.fabric import RowBroken, SealedBatch, list_batches
from scudo.governance import store
from scudo.governance.logic import Frontier, Node
from scudo.governance.witness import WitnessFolder
from scudo.proofcheck import (
    Head,
    Key,
    NotProven,
    Unreadable,
    Witness,
    check_signature,
    witness_files,
)

_PAGE: Final = 2_048
_NO_ROW: Final = "no row"
_BATCH: Final = "fabric.log_batch"
_NODE: Final = "governance.tree_node"
_HEAD: Final = "governance.signed_head"
_WITNESS: Final = "witness"


class EvidenceAudit:
    """Compares everything that was signed with the log as it is now.

    Attributes:
        heads: how many were compared.
        witnessed: how many of them the witness has; None if no witness is at hand.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Compare with the witness in a folder, if there is one."""
        self._folder = folder
        self._files: list[tuple[Path, int]] | None = None
        self._size = 0
        #: A node of the tree that the log does not give, until a head says which of them is right.
        self._doubt: tuple[SealedBatch, RowBroken] | None = None
        #: A head of the witness that is not here; told if the log itself fits what was signed.
        self._lost: RowBroken | None = None
        self.heads = 0
        self.witnessed: int | None = None

    def prepare(self, connection: Connection[Any]) -> None:
        """See how far the witness is; before the snapshot, which then holds all that it has."""
        if self._folder is not None:
            witness = WitnessFolder(self._folder, store.read_tree(connection).log)
            if witness.path.is_dir():
                self._files, self.witnessed = witness_files(witness.path), 0

    def check(self, connection: Connection[Any]) -> None:
        """Compare, in one snapshot.

        Raises:
            RowBroken: at the first row that does not fit.
        """
        tree, frontier = store.read_tree(connection), Frontier(0, [])
        heads = self._heads(connection)
        head, after = next(heads, None), 0
        latest = SealedBatch(0, 0, 0, b"", tree.hash)
        while frontier.size < tree.size:
            start = frontier.size
            limit = min(_PAGE, tree.size - start)
            batches = list_batches(connection, after=after, limit=limit)
            if not batches:
                raise RowBroken(
                    _BATCH, str(latest.last + 1), expected=f"batch {start + 1}", found=_NO_ROW
                )
            nodes: dict[Node, tuple[bytes, SealedBatch]] = {}
            reached: list[tuple[Head, bytes, int]] = []
            for latest in batches:
                for level, index, digest in frontier.push(latest.hash):
                    nodes[level, index] = (digest, latest)
                while head is not None and head.size <= frontier.size:
                    reached.append((head, frontier.root, latest.last))
                    head = next(heads, None)
            self._compare_nodes(nodes, store.grown_nodes(connection, start, frontier.size))
            for signed, root, last in reached:
                self._compare_head(signed, root, last)
            after = latest.first
        self._conclude(connection, head, (latest.number, latest.last, latest.hash))

    def _conclude(
        self, connection: Connection[Any], head: Head | None, reached: tuple[int, int, bytes]
    ) -> None:
        """Nothing is signed, and no node is there, beyond what the log gives.

        Raises:
            RowBroken: something is.
        """
        tree = store.read_tree(connection)
        if self._doubt is not None:
            raise self._doubt[1]
        if self._lost is not None:
            raise self._lost
        if head is not None:
            expected = f"at most {tree.size}, as the log has grown"
            raise RowBroken(
                _HEAD, str(head.number), column="size", expected=expected, found=head.size
            )
        beyond = store.find_beyond(connection, tree.size)
        if beyond is not None:
            raise RowBroken(
                _NODE, _name(beyond), expected=f"nothing beyond {tree.size}", found="a row"
            )
        if reached != (tree.size, tree.position, tree.hash):
            raise RowBroken(
                "governance.tree", "tree", expected=f"batch {reached[0]}", found="another"
            )

    def _compare_nodes(
        self, nodes: dict[Node, tuple[bytes, SealedBatch]], stored: dict[Node, bytes]
    ) -> None:
        for node, (digest, batch) in nodes.items():
            if self._doubt is None and stored.get(node) != digest:
                found = stored[node].hex() if node in stored else _NO_ROW
                broken = RowBroken(
                    _NODE, _name(node), column="hash", expected=digest.hex(), found=found
                )
                self._doubt = batch, broken

    def _compare_head(self, head: Head, root: bytes, position: int) -> None:
        """Compare a head with the log; it says who is right where the tree is in doubt.

        Raises:
            RowBroken: it does not fit, or what was in doubt is wrong.
        """
        if head.root == root and head.position == position:
            if self._doubt is not None:
                raise self._doubt[1]
            self._size = head.size
            return
        if self._doubt is not None:
            batch, _ = self._doubt
            raise RowBroken(
                _BATCH,
                str(batch.first),
                column="hash",
                expected=f"what head {head.number} was signed over",
                found=f"{batch.hash.hex()}: the log was rewritten",
            )
        raise RowBroken(
            _BATCH,
            f"of number {self._size + 1} to {head.size}",
            column="hash",
            expected=f"the root {head.root.hex()} of head {head.number}, which was signed",
            found=f"the root {root.hex()}: the log was rewritten, and its tree",
        )

    # ---- heads

    def _heads(self, connection: Connection[Any]) -> Iterator[Head]:
        """Every head in order; where the witness has one it is that one, and must be ours.

        Raises:
            RowBroken: at the first head that is not as it was signed, or not there.
        """
        keys, earlier = store.read_keys(connection), 0
        witness = self._witness()
        seen, latest = next(witness, None), 0
        for head in store.every_head(connection):
            while seen is not None and seen.number < head.number:
                self._lose(seen, _NO_ROW)
                yield seen
                earlier, seen = seen.number, next(witness, None)
            if head.number != earlier + 1:
                raise RowBroken(_HEAD, str(earlier + 1), expected="a signed head", found=_NO_ROW)
            if seen is not None and seen.number == head.number:
                if seen != head:
                    self._lose(seen, "another")
                yield seen
                seen, latest = next(witness, None), head.number
            else:
                self._must_be_signed(head, keys[head.key])
                yield head
            earlier = head.number
            self.heads += 1
        while seen is not None:
            self._lose(seen, _NO_ROW)
            yield seen
            latest, seen = seen.number, next(witness, None)
        exported = store.read_export(connection)
        if self._files is not None and latest < exported:
            raise RowBroken(
                _WITNESS, f"head {exported}", expected="a line", found=f"the last is {latest}"
            )

    def _lose(self, head: Head, found: str) -> None:
        if self._lost is None:
            expected = "the head that is at the witness"
            self._lost = RowBroken(_HEAD, str(head.number), expected=expected, found=found)

    def _witness(self) -> Iterator[Head]:
        """Heads at the witness.

        Raises:
            RowBroken: what is there contradicts itself.
        """
        try:
            for head in Witness(self._files or ()):
                self.witnessed = (self.witnessed or 0) + 1
                yield head
        except (NotProven, Unreadable) as error:
            expected = "signed heads, each the continuation of the one before"
            raise RowBroken(_WITNESS, "lines", expected=expected, found=error) from error

    @staticmethod
    def _must_be_signed(head: Head, key: Key) -> None:
        try:
            check_signature(head, key)
        except (NotProven, Unreadable) as error:
            raise RowBroken(
                _HEAD,
                str(head.number),
                column="signature",
                expected="one of the bank's keys",
                found=error,
            ) from error


def _name(node: Node) -> str:
    level, index = node
    return f"level {level} index {index}"
