"""Pieces that both generated functions of the feature state share."""

from typing import Final

from scudo.decisions.expressions import PythonWriter, columns_of
from scudo.decisions.features.definitions import DECIDED, VALUE_MAX
from scudo.decisions.features.layout import Dimension, Source

#: Keys of a pair are one number; ids and tokens are positive and below 2**63.
PAIR_SHIFT: Final = 64


class Prelude:
    """Event members, conditions and values of one generated function, each once.

    Conditions are written as plain truth (NULL does not count), values as a number or
    None. Sums take the bounded form of a value.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._members: dict[str, None] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._lines: list[str] = []
        self._writer = PythonWriter(_Members(self._members))

    def key(self, dimension: Dimension) -> list[str]:
        """Write `k`, the key of one dimension, None when a part is missing."""
        for member in dimension.keys:
            self._members[member] = None
        if len(dimension.keys) == 1:
            return [f"k = {dimension.keys[0]}"]
        one, two = dimension.keys
        packed = f"{one} << {PAIR_SHIFT} | {two}"
        return [f"k = None if {one} is None or {two} is None else {packed}"]

    def condition(self, source: Source) -> str | None:
        """Name the local that says whether an event counts; None when all do."""
        if source.condition is None:
            return None
        return self._local("q", source.text, self._writer.true(source.condition))

    def value(self, source: Source, *, is_bounded: bool) -> str:
        """Name the local that holds what an event adds."""
        argument = source.argument
        assert argument is not None
        name = self._local("v", source.text, self._writer.value(argument))
        if not is_bounded or (argument.low >= -VALUE_MAX and argument.high <= VALUE_MAX):
            return name
        bounded = f"min(max({name}, {-VALUE_MAX}), {VALUE_MAX})"
        inside = f"-{VALUE_MAX} <= {name} <= {VALUE_MAX}"
        null = f"{name} is None or " if argument.nullable else ""
        return self._local("b", source.text, f"{name} if {null}{inside} else {bounded}")

    def is_decided(self, source: Source) -> bool:
        """Tell whether a source reads what only a decided event has."""
        parts = (source.argument, source.condition)
        return any(columns_of(part) & set(DECIDED) for part in parts if part is not None)

    def lines(self) -> list[str]:
        """Write the assignments, members first."""
        given = {*DECIDED, "ordered_at"}
        members = [f"{name} = e.{name}" for name in self._members if name not in given]
        return [*members, *self._lines]

    def _local(self, kind: str, text: str, written: str) -> str:
        name = self._names.get((kind, text))
        if name is None:
            name = f"{kind}{len(self._names)}"
            self._names[kind, text] = name
            self._lines.append(f"{name} = {written}")
        return name


class _Members(dict[str, str]):
    """Names of columns in generated source; remembers which were asked for."""

    def __init__(self, asked: dict[str, None]) -> None:
        super().__init__()
        self._asked = asked

    def __missing__(self, column: str) -> str:
        self._asked[column] = None
        return column


def holds(condition: str | None, value: str | None, *, is_nullable: bool) -> str:
    """Write whether a source adds anything, empty when it always does."""
    checks = [] if condition is None else [condition]
    if value is not None and is_nullable:
        checks.append(f"{value} is not None")
    return " and ".join(checks)


def indented(lines: list[str], levels: int = 1) -> list[str]:
    """Indent generated lines."""
    return ["    " * levels + line for line in lines]
