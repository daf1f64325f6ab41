"""Dropping rows that no window can need any more."""

import math
from array import array
from bisect import bisect_left
from collections.abc import Callable

from scudo.decisions.features.layout import Dimension

_State = tuple["array[int]", ...]


def thinner(dimensions: tuple[Dimension, ...]) -> Callable[[int, _State, int], _State]:
    """Make `thinned(dimension, state, now)`, which returns a smaller equal of a state.

    The state that was is left as it is: the journal still refers to it.
    """

    def thinned(number: int, state: _State, now: int) -> _State:
        dimension = dimensions[number]
        times, cells, *stacks = state
        kept, first_exact = _kept(dimension, times, now)
        head, width = dimension.head, dimension.width
        new_times = array("q", [times[row] for row in kept])
        new_times += times[first_exact:]
        new_cells = cells[:head]
        for row in kept:
            new_cells += cells[head + row * width : head + (row + 1) * width]
        new_cells += cells[head + first_exact * width :]
        rows = len(new_times)
        new_cells[0] = rows + rows // 4 + 8
        shrunk: list[array[int]] = []
        for stack in range(0, len(stacks), 2):
            shrunk += _shrunk(dimension, stacks[stack], stacks[stack + 1], now=now)
        return (new_times, new_cells, *shrunk)

    return thinned


def _kept(dimension: Dimension, times: "array[int]", now: int) -> tuple[list[int], int]:
    """List old rows to keep, and the first of the exact rows, which are all kept.

    A window needs the last row before its start; starts are multiples of a tile's
    width, or lie within the exact span.
    """
    first_exact = bisect_left(times, now - dimension.exact_us)
    kept = {first_exact - 1}
    for tile_us, span_us in dimension.tiled_us:
        start = (now - span_us) // tile_us * tile_us
        for boundary in range(start, now + 1, tile_us):
            row = bisect_left(times, boundary) - 1
            if row >= first_exact:
                break
            kept.add(row)
    return sorted(row for row in kept if row >= 0), first_exact


def _shrunk(
    dimension: Dimension, times: "array[int]", values: "array[int]", *, now: int
) -> tuple["array[int]", "array[int]"]:
    """Drop what lies before every window, and all but the first of each old tile.

    The first of a tile wins against the others of its tile in any window that has it,
    and every window has whole tiles.
    """
    starts = [now - dimension.exact_us]
    starts += [(now - span_us) // tile_us * tile_us for tile_us, span_us in dimension.tiled_us]
    tile_us = math.gcd(*(width for width, _ in dimension.tiled_us))
    first_exact = bisect_left(times, now - dimension.exact_us)
    kept_times, kept_values = array("q"), array("q")
    latest_tile = None
    for place in range(bisect_left(times, min(starts)), first_exact):
        tile = times[place] // tile_us
        if tile != latest_tile:
            kept_times.append(times[place])
            kept_values.append(values[place])
            latest_tile = tile
    return kept_times + times[first_exact:], kept_values + values[first_exact:]
