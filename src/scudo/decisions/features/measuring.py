"""Generates the function that reads all features of an event.

One function for the whole vector, with every key's layout written into it: offsets are
constants, members of the event are locals, and a key's state is fetched once.
"""

from scudo.decisions.expressions import INT_MAX
from scudo.decisions.features.definitions import Feature, Function
from scudo.decisions.features.layout import NULL, Dimension, Source, counted
from scudo.decisions.features.source import Prelude, holds, indented


def measuring_source(dimensions: tuple[Dimension, ...], *, size: int) -> str:
    """Write `measure(e, ordered_at)`, which returns the vector of `size` features.

    The tables of states are globals `d0`, `d1`, …, one per dimension.
    """
    prelude = Prelude()
    starts: dict[tuple[int, int], str] = {}
    body: list[str] = []
    for number, dimension in enumerate(dimensions):
        body += _Measuring(number, dimension, prelude=prelude, starts=starts).lines()
    windows = [f"{name} = {_start(*window)}" for window, name in starts.items()]
    vector = "".join(f"f{index}, " for index in range(size))
    lines = [*prelude.lines(), *windows, *body, f"return ({vector})"]
    return "\n".join(["def measure(e, ordered_at):", *indented(lines), ""])


def _start(span_us: int, tile_us: int) -> str:
    start = f"ordered_at - {span_us}"
    return f"({start}) // {tile_us} * {tile_us}" if tile_us else start


class _Measuring:
    """Source for the features of one dimension."""

    def __init__(
        self,
        number: int,
        dimension: Dimension,
        *,
        prelude: Prelude,
        starts: dict[tuple[int, int], str],
    ) -> None:
        self._number = number
        self._dimension = dimension
        self._prelude = prelude
        self._starts = starts
        self._found: dict[str, str] = {}

    def lines(self) -> list[str]:
        """Write key, look-up, values of a known key, of a new one, and of none."""
        dimension = self._dimension
        names = [f"f{index}" for index, _ in dimension.features]
        known = self._known()
        lines = self._prelude.key(dimension)
        branch = [f"s = d{self._number}.get(k)", "if s is not None:", *indented(known)]
        branch += ["else:", *indented(self._empty())]
        for index, feature in dimension.features:
            branch += self._with_self(index, feature)
        if set(dimension.keys) <= {"customer", "account"}:
            return [*lines, *branch]
        missing = f"{' = '.join(names)} = None"
        return [*lines, "if k is not None:", *indented(branch), "else:", *indented([missing])]

    def _known(self) -> list[str]:
        dimension = self._dimension
        stacks = "".join(f", x{n}, y{n}" for n in range(len(dimension.stacks)))
        lines = [f"times, cells{stacks} = s"]
        ordered = sorted(dimension.features, key=lambda pair: -(pair[1].window.span_us or 0))
        for index, feature in ordered:
            lines += self._value(index, feature)
        return lines

    def _value(self, index: int, feature: Feature) -> list[str]:
        source = Source(feature.argument, feature.condition)
        dimension, text = self._dimension, source.text
        match feature.function:
            case Function.COUNT | Function.SUM | Function.MEAN:
                return self._totals(index, feature)
            case Function.MIN | Function.MAX:
                stack = dimension.stacks.index((feature.function is Function.MAX, text))
                start = self._window(feature)
                at = f"i = bisect_left(x{stack}, {start})"
                return [at, f"f{index} = y{stack}[i] if i < len(y{stack}) else None"]
            case Function.DISTINCT:
                first = dimension.distinct[text, feature.cap]
                times, end = first + feature.cap, first + 2 * feature.cap
                at = f"u{index} = bisect_left(cells, {self._window(feature)}, {times}, {end})"
                return [at, f"f{index} = {end} - u{index}"]
            case Function.LATEST:
                cell = f"cells[{dimension.latest[text]}]"
                return [f"f{index} = None if (c := {cell}) == {NULL} else c"]
            case function:
                since = function is Function.SINCE_LATEST
                cells = dimension.latest_at if since else dimension.first_at
                elapsed = f"None if c == {NULL} else ordered_at - c"
                return [f"c = cells[{cells[text]}]", f"f{index} = {elapsed}"]

    def _window(self, feature: Feature) -> str:
        window = feature.window
        assert window.span_us is not None
        place = (window.span_us, window.tile_us)
        return self._starts.setdefault(place, f"w{len(self._starts)}")

    def _totals(self, index: int, feature: Feature) -> list[str]:
        lines: list[str] = []
        base = None
        if feature.window.span_us is not None:
            start = self._window(feature)
            base = self._found.get(start)
            if base is None:
                base = self._found[start] = f"r{start[1:]}"
                row = f"{self._dimension.head} + i * {self._dimension.width}"
                lines += [f"i = bisect_left(times, {start})", f"{base} = {row} if i else 0"]
        needs = []
        if feature.function is not Function.SUM:
            needs.append(("n", self._dimension.total(counted(feature), is_count=True), True))
        if feature.function is not Function.COUNT:
            source = Source(feature.argument, feature.condition)
            needs.append(("s", self._dimension.total(source, is_count=False), False))
        for kind, column, is_count in needs:
            name = f"{kind}{index}" if feature.function is Function.MEAN else f"f{index}"
            lines += self._difference(name, column, base, is_count=is_count)
        if feature.function is Function.MEAN and not feature.window.includes_self:
            lines.append(self._mean(index, feature))
        return lines

    def _difference(self, name: str, column: int, base: str | None, *, is_count: bool) -> list[str]:
        """Write newest total minus the total before the window.

        `base` is one past that row, or 0 when no event lies before the window.
        """
        newest = self._found.get(f"total{column}")
        lines = []
        if newest is None:
            newest = self._found[f"total{column}"] = f"t{-column}"
            lines.append(f"{newest} = cells[{column}]")
        if base is None:
            return [*lines, f"{name} = {newest}"]
        lines.append(f"{name} = {newest} - cells[{base} - {-column}] if {base} else {newest}")
        if not is_count:
            lines.append(f"if not {-INT_MAX} <= {name} <= {INT_MAX}: {name} = wrapped({name})")
        return lines

    def _mean(self, index: int, feature: Feature) -> str:
        argument = feature.argument
        assert argument is not None
        quotient = f"s{index} // n{index}" if argument.low >= 0 else f"divide(s{index}, n{index})"
        return f"f{index} = {quotient} if n{index} else None"

    def _empty(self) -> list[str]:
        zeros, nulls = [], []
        for index, feature in self._dimension.features:
            match feature.function:
                case Function.COUNT | Function.SUM | Function.DISTINCT:
                    zeros.append(f"f{index}")
                case Function.MEAN if feature.window.includes_self:
                    zeros += [f"n{index}", f"s{index}"]
                case _:
                    nulls.append(f"f{index}")
            if feature.function is Function.DISTINCT and feature.window.includes_self:
                zeros.append(f"u{index}")
        lines = [" = ".join([*zeros, "0"])] if zeros else []
        return lines + ([" = ".join([*nulls, "None"])] if nulls else [])

    def _with_self(self, index: int, feature: Feature) -> list[str]:
        """Write what the event that is being decided adds to its own features."""
        if not feature.window.includes_self:
            return []
        function = feature.function
        source = Source(feature.argument, feature.condition)
        condition = self._prelude.condition(source)
        if function is Function.COUNT:
            return [f"if {condition}: f{index} += 1" if condition else f"f{index} += 1"]
        argument = feature.argument
        assert argument is not None
        is_bounded = function in {Function.SUM, Function.MEAN}
        value = self._prelude.value(source, is_bounded=is_bounded)
        adds = holds(condition, value, is_nullable=argument.nullable) or "True"
        if function is Function.SUM:
            wrap = f"if not {-INT_MAX} <= f{index} <= {INT_MAX}: f{index} = wrapped(f{index})"
            return [f"if {adds}: f{index} += {value}", wrap]
        if function is Function.MEAN:
            added = [f"if {adds}:", f"    n{index} += 1", f"    s{index} += {value}"]
            return [*added, self._mean(index, feature)]
        if function is Function.DISTINCT:
            return self._distinct_self(index, feature, adds=adds, value=value)
        wins = ">" if function is Function.MAX else "<"
        beats = f"(f{index} is None or {value} {wins} f{index})"
        return [f"if {adds} and {beats}: f{index} = {value}"]

    def _distinct_self(self, index: int, feature: Feature, *, adds: str, value: str) -> list[str]:
        source = Source(feature.argument, feature.condition)
        first = self._dimension.distinct[source.text, feature.cap]
        seen = f"cells[u{index} - {feature.cap}:{first + feature.cap}]"
        room = f"f{index} < {feature.cap}"
        is_new = f"(s is None or {value} not in {seen})"
        return [f"if {adds} and {room} and {is_new}: f{index} += 1"]
