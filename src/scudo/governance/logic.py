"""The shape of the log's tree: which subtrees are full, and which of them a proof needs.

A subtree of 2^level leaves is named by its level and its index from the left. Full ones never
change, so they are stored once; every proof is made of them.

Source:
    RFC 9162 section 2.1: trees (2.1.1), inclusion (2.1.3.1) and consistency (2.1.4.1).
"""

from collections.abc import Sequence
from typing import TypeAlias

from scudo.kernel import merkle_root
from scudo.proofcheck import leaf_digest, node_digest, split

#: Level and index.
Node: TypeAlias = tuple[int, int]
#: First leaf, and the one after the last.
Range: TypeAlias = tuple[int, int]


def full_subtrees(leaves: Range) -> list[Node]:
    """Full subtrees that a subtree of the log consists of, left to right."""
    low, high = leaves
    found = []
    while low < high:
        level = (high - low).bit_length() - 1
        found.append((level, low >> level))
        low += 1 << level
    return found


def joined(digests: Sequence[bytes]) -> bytes:
    """Digest of the subtree that full subtrees, given left to right, make up."""
    *others, digest = digests
    for left in reversed(others):
        digest = node_digest(left, digest)
    return digest


def inclusion(index: int, size: int) -> list[Range]:
    """Subtrees whose digests are the inclusion path of a leaf, from the leaf upwards."""
    low, high, beside = 0, size, []
    while high - low > 1:
        middle = low + split(high - low)
        if index < middle:
            beside.append((middle, high))
            high = middle
        else:
            beside.append((low, middle))
            low = middle
    return beside[::-1]


def consistency(first: int, second: int) -> list[Range]:
    """Subtrees whose digests prove that a log of one size is the beginning of another."""
    if first in {0, second}:
        return []
    low, high, beside = 0, second, []
    while first != high:
        middle = low + split(high - low)
        if first <= middle:
            beside.append((middle, high))
            high = middle
        else:
            beside.append((low, middle))
            low = middle
    # As long as it reaches from the first leaf on, it is the first root, which is known.
    if low:
        beside.append((low, high))
    return beside[::-1]


def grown(first: int, second: int) -> list[tuple[int, int, int]]:
    """Subtrees that become full while a log grows: level, first index, index after the last."""
    return [
        (level, first >> level, second >> level)
        for level in range(second.bit_length())
        if second >> level > first >> level
    ]


class Frontier:
    """The full subtrees of a growing log, and no more: its root, and what the next leaf fills."""

    def __init__(self, size: int, digests: Sequence[bytes]) -> None:
        """Begin with a log of a size, and the digests of its full subtrees, left to right."""
        self.size = size
        self._digests = list(digests)
        assert len(self._digests) == size.bit_count(), "a full subtree for every binary one"

    def push(self, content: bytes) -> list[tuple[int, int, bytes]]:
        """Add a leaf; returns the subtrees that are full now: level, index, digest."""
        digest, level = leaf_digest(content), 0
        filled = [(0, self.size, digest)]
        while self.size >> level & 1:
            digest = node_digest(self._digests.pop(), digest)
            level += 1
            filled.append((level, self.size >> level, digest))
        self._digests.append(digest)
        self.size += 1
        return filled

    @property
    def root(self) -> bytes:
        """Root of the log's tree, which has a leaf."""
        return joined(self._digests)


def shape(digests: Sequence[bytes], known: Range, leaves: Range) -> tuple[str, list[bytes]]:
    """What `proofcheck.root_of_shape` needs beside some known leaves to find a tree's root.

    Args:
        digests: of all leaves.
        known: those that the other side has.
        leaves: of the subtree; all of them at first.
    """
    low, high = leaves
    first, last = known
    if high <= first or low >= last:
        return ".", [merkle_root(digests[low:high])]
    if high - low == 1:
        return "#", []
    middle = low + split(high - low)
    left, beside = shape(digests, known, (low, middle))
    right, more = shape(digests, known, (middle, high))
    return f"+{left}{right}", beside + more
