"""What remains of evicted keys: a fingerprint each, so that unknown is not mistaken for new."""

from array import array
from bisect import bisect_left
from typing import Final

_MASK: Final = (1 << 64) - 1
#: Odd constants of SplitMix64 (Steele, Lea, Flood 2014).
_MIX_ONE: Final = 0xBF58476D1CE4E5B9
_MIX_TWO: Final = 0x94D049BB133111EB

#: Evictions that are told apart; older ones are merged, under the latest of their times.
GENERATIONS_MAX: Final = 4


def fingerprint(key: int) -> int:
    """Mix a key of up to 127 bits into 64; two keys may meet, and are then both unknown."""
    mixed = (key ^ (key >> 64) * _MIX_TWO) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * _MIX_ONE) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * _MIX_TWO) & _MASK
    return mixed ^ (mixed >> 31)


class Forgotten:
    """Evicted keys of one dimension, eight bytes each.

    Attributes:
        generations: (before, sorted fingerprints) of each eviction, oldest first.
    """

    __slots__ = ("generations",)

    def __init__(self) -> None:
        """Start with nothing forgotten."""
        self.generations: list[tuple[int, array[int]]] = []

    def add(self, keys: list[int], *, before: int) -> None:
        """Remember that these keys had no event at or after `before` and were dropped."""
        if not keys:
            return
        self.generations.append((before, array("Q", sorted(map(fingerprint, keys)))))
        if len(self.generations) > GENERATIONS_MAX:
            (one, first), (two, second) = self.generations[:2]
            merged = array("Q", sorted({*first, *second}))
            self.generations[:2] = [(max(one, two), merged)]

    def before(self, key: int) -> int | None:
        """Tell when a key was evicted for the last time; None if it never was."""
        if not self.generations:
            return None
        wanted = fingerprint(key)
        for before, fingerprints in reversed(self.generations):
            place = bisect_left(fingerprints, wanted)
            if place < len(fingerprints) and fingerprints[place] == wanted:
                return before
        return None
