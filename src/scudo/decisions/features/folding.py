"""Generates the function that folds a decided event into the state of its keys.

Before a key's state changes, the function leaves in the journal what undoing needs:

    (dimension, key, None)                            the key is new
    (dimension, key, state, rows, head, replaced)     rows kept before, a copy of the head,
                                                      and what the stacks lost
"""

from scudo.decisions.expressions import INT_MAX
from scudo.decisions.features.layout import NULL, THIN_AT, Dimension
from scudo.decisions.features.source import Prelude, holds, indented


def folding_source(dimensions: tuple[Dimension, ...]) -> str:
    """Write `fold(e, ordered_at, approved, declined, journal)`.

    Tables of states are globals `d0`, `d1`, …; `thinned` and `wrapped` are globals too.
    """
    prelude = Prelude()
    body: list[str] = []
    for number, dimension in enumerate(dimensions):
        body += _Folding(number, dimension, prelude).lines()
    lines = [*prelude.lines(), *body]
    head = "def fold(e, ordered_at, approved, declined, journal):"
    return "\n".join([head, *indented(lines), ""])


class _Folding:
    """Source for one dimension."""

    def __init__(self, number: int, dimension: Dimension, prelude: Prelude) -> None:
        self._number = number
        self._dimension = dimension
        self._prelude = prelude

    def lines(self) -> list[str]:
        """Write key, look-up, a new key's state, and a known key's change."""
        number = self._number
        lines = self._prelude.key(self._dimension)
        branch = [f"s = d{number}.get(k)", "if s is None:", *indented(self._new())]
        branch += ["else:", *indented(self._known())]
        if set(self._dimension.keys) <= {"customer", "account"}:
            return [*lines, *branch]
        return [*lines, "if k is not None:", *indented(branch)]

    def _value(self, text: str, *, is_bounded: bool = False) -> tuple[str, str]:
        """Name a source's value and write when it counts ("" for always)."""
        source = self._dimension.sources[text]
        condition = self._prelude.condition(source)
        if source.argument is None:
            return "1", condition or ""
        value = self._prelude.value(source, is_bounded=is_bounded)
        return value, holds(condition, value, is_nullable=source.argument.nullable)

    def _added(self, total: tuple[bool, str]) -> str:
        """Write what one running total grows by."""
        is_count, text = total
        value, adds = self._value(text, is_bounded=not is_count)
        value = "1" if is_count else value
        return f"({value} if {adds} else 0)" if adds else value

    def _new(self) -> list[str]:
        dimension, number = self._dimension, self._number
        head = [str(THIN_AT) if dimension.has_rows else "ordered_at"]
        head += [str(NULL)] * (dimension.head - 1)
        for cells, is_time in self._singles():
            for text, place in cells.items():
                value, adds = self._value(text)
                written = "ordered_at" if is_time else value
                head[place] = f"({written} if {adds} else {NULL})" if adds else written
        for (text, cap), first in dimension.distinct.items():
            value, adds = self._value(text)
            last_value, last_time = first + cap - 1, first + 2 * cap - 1
            for place, written in ((last_value, value), (last_time, "ordered_at")):
                head[place] = f"({written} if {adds} else {NULL})" if adds else written
        row = [self._added(total) for total in dimension.totals]
        stacks = ""
        lines = []
        for stack, (_, text) in enumerate(dimension.stacks):
            value, adds = self._value(text)
            for name, written in (("x", "ordered_at"), ("y", value)):
                filled = f"array('q', ({written},))"
                filled = f"{filled} if {adds} else array('q')" if adds else filled
                lines.append(f"{name}{stack} = {filled}")
            stacks += f", x{stack}, y{stack}"
        times = "array('q', (ordered_at,))" if dimension.has_rows else "NO_TIMES"
        cells_source = f"array('q', ({', '.join([*head, *row])},))"
        lines.append(f"d{number}[k] = ({times}, {cells_source}{stacks})")
        lines.append(f"journal(({number}, k, None))")
        return lines

    def _known(self) -> list[str]:
        dimension, number = self._dimension, self._number
        stacks = "".join(f", x{n}, y{n}" for n in range(len(dimension.stacks)))
        head = f"cells[:{dimension.head}]" if dimension.changes_head else "None"
        lines = [f"times, cells{stacks} = s"]
        lines.append("n = len(times)" if dimension.has_rows else "n = 0")
        replaced = "None"
        if dimension.stacks:
            replaced = f"[{', '.join(['None'] * len(dimension.stacks))}]"
            lines.append(f"replaced = {replaced}")
            replaced = "replaced"
        lines.append(f"journal(({number}, k, s, n, {head}, {replaced}))")
        lines += self._row()
        lines += self._singles_changed()
        for (text, cap), first in dimension.distinct.items():
            lines += self._distinct(text, cap, first)
        for stack, (is_max, text) in enumerate(dimension.stacks):
            lines += self._stack(stack, text, is_max=is_max)
        if dimension.has_rows:
            lines.append(f"if n >= cells[0]: d{number}[k] = thinned({number}, s, ordered_at)")
        else:
            lines.append("cells[0] = ordered_at")
        return lines

    def _row(self) -> list[str]:
        dimension = self._dimension
        if not dimension.has_rows:
            return []
        lines = ["times.append(ordered_at)"]
        # Every append moves the previous row one further from the end, so the total of the
        # same column is always `width` cells back.
        for total in dimension.totals:
            grown = f"cells[-{dimension.width}] + {self._added(total)}"
            if total[0]:
                lines.append(f"cells.append({grown})")
            else:
                lines.append(f"c = {grown}")
                lines.append(f"cells.append(c if -{INT_MAX} <= c <= {INT_MAX} else wrapped(c))")
        return lines

    def _singles(self) -> tuple[tuple[dict[str, int], bool], ...]:
        dimension = self._dimension
        return (
            (dimension.latest, False),
            (dimension.latest_at, True),
            (dimension.first_at, True),
        )

    def _singles_changed(self) -> list[str]:
        lines = []
        for cells, is_time in self._singles():
            for text, place in cells.items():
                value, adds = self._value(text)
                written = "ordered_at" if is_time else value
                if cells is self._dimension.first_at:
                    if not adds:
                        continue
                    adds = f"cells[{place}] == {NULL} and {adds}"
                change = f"cells[{place}] = {written}"
                lines.append(f"if {adds}: {change}" if adds else change)
        return lines

    def _distinct(self, text: str, cap: int, first: int) -> list[str]:
        """Write move-to-end of a value in its block, both halves in order of time."""
        value, adds = self._value(text)
        times, end = first + cap, first + 2 * cap
        body = [
            f"i = {first}",
            f"if {value} in cells[{first}:{times}]: i = cells.index({value}, {first}, {times})",
            f"cells[i:{times - 1}] = cells[i + 1:{times}]",
            f"cells[{times - 1}] = {value}",
            f"cells[i + {cap}:{end - 1}] = cells[i + {cap + 1}:{end}]",
            f"cells[{end - 1}] = ordered_at",
        ]
        # The commonest case: the same value as last time.
        lines = [f"if cells[{times - 1}] == {value}: cells[{end - 1}] = ordered_at", "else:"]
        lines += indented(body)
        return [f"if {adds}:", *indented(lines)] if adds else lines

    def _stack(self, stack: int, text: str, *, is_max: bool) -> list[str]:
        """Write a push onto a monotonic stack: values that can no longer win leave."""
        value, adds = self._value(text)
        loses = "<=" if is_max else ">="
        lines = [
            f"i = len(y{stack})",
            f"while i and y{stack}[i - 1] {loses} {value}: i -= 1",
            f"replaced[{stack}] = (i, x{stack}[i:], y{stack}[i:])",
            f"x{stack}[i:] = array('q', (ordered_at,))",
            f"y{stack}[i:] = array('q', ({value},))",
        ]
        return [f"if {adds}:", *indented(lines)] if adds else lines
