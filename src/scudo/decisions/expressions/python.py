"""Python source of a typed tree, in SQL's three-valued logic.

NULL is None. A condition can be written in three ways: its value (True, False, None),
whether it is true, and whether it is false. The last two need no third value, which is
what makes a rule cost a few comparisons: `NOT` swaps them, `AND` and `OR` pass them on.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

from scudo.decisions.expressions.tree import (
    ARITHMETIC,
    COMPARISONS,
    INT_MAX,
    INT_MIN,
    Node,
    Op,
)

_Write = Callable[[list[str]], str]
_WriteNode = Callable[[Node], str]

_SPELLED: Final = {Op.EQ: "==", Op.NE: "!="}
_INVERSE: Final = {
    Op.EQ: "!=",
    Op.NE: "==",
    Op.LT: ">=",
    Op.LE: ">",
    Op.GT: "<=",
    Op.GE: "<",
}

#: Half a turn and a turn, in ten-thousandths of a degree.
_HALF_TURN_E4: Final = 1_800_000
_TURN_E4: Final = 3_600_000
_POLE_E4: Final = 900_000
#: 180 degrees squared, in the same unit; from Bhaskara's cosine (32400 - 4x²) / (32400 + x²).
_BHASKARA_E8: Final = 3_240_000_000_000
#: Ten-thousandths of a metre in a ten-thousandth of a degree of a great circle.
_METRE_E4: Final = 111_319


def distance_m(
    latitude_e4: int | None,
    longitude_e4: int | None,
    other_latitude_e4: int | None,
    other_longitude_e4: int | None,
) -> int | None:
    """Measure the way between two points, in whole metres, with integers alone.

    Equirectangular: within 1 % for a few hundred kilometres away from the poles, too
    long for great distances at high latitudes. NULL when a coordinate is missing or
    does not exist.

    Source:
        Bhaskara I's approximation of the cosine (error below 0.0017).
    """
    if (
        latitude_e4 is None
        or longitude_e4 is None
        or other_latitude_e4 is None
        or other_longitude_e4 is None
        or not -_POLE_E4 <= latitude_e4 <= _POLE_E4
        or not -_POLE_E4 <= other_latitude_e4 <= _POLE_E4
        or not -_HALF_TURN_E4 <= longitude_e4 <= _HALF_TURN_E4
        or not -_HALF_TURN_E4 <= other_longitude_e4 <= _HALF_TURN_E4
    ):
        return None
    east = abs(longitude_e4 - other_longitude_e4)
    if east > _HALF_TURN_E4:
        east = _TURN_E4 - east
    middle = abs(latitude_e4 + other_latitude_e4) // 2
    square = middle * middle
    cosine_e6 = 1_000_000 * (_BHASKARA_E8 - 4 * square) // (_BHASKARA_E8 + square)
    east = east * cosine_e6 // 1_000_000
    north = latitude_e4 - other_latitude_e4
    return math.isqrt(east * east + north * north) * _METRE_E4 // 10_000


def divide(dividend: int, divisor: int) -> int:
    """Divide towards zero, as SQL engines do."""
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


#: Names that generated source may call.
RUNTIME: Final = {"distance_m": distance_m, "divide": divide}


class PythonWriter:
    """Writes expressions of one generated function.

    Args:
        names: Python source for each column, cheap to repeat.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        """Start with no temporary names taken."""
        self._names = names
        self._taken = 0

    def value(self, node: Node) -> str:  # noqa: C901, PLR0911, PLR0912 - one case per kind
        """Write the value of an expression; None stands for NULL."""
        if node.op is Op.LITERAL:
            return repr(node.value)
        if node.op is Op.COLUMN:
            return self._names[str(node.value)]
        if node.op in ARITHMETIC:
            return self._arithmetic(node)
        match node.op:
            case Op.CASE:
                return self._case(node, self.value)
            case Op.COALESCE:
                return self._coalesce(node)
            case Op.SAFE_DIV:
                return self._safe_div(node)
            case Op.ABS:
                return self._strict(node.args, lambda a: f"abs({a[0]})")
            case Op.LEAST:
                return f"min({', '.join(self.value(arg) for arg in node.args)})"
            case Op.GREATEST:
                return f"max({', '.join(self.value(arg) for arg in node.args)})"
            case Op.BITS:
                return self._strict(node.args, lambda a: f"({a[0]} & {a[1]})")
            case Op.DISTANCE_M:
                return f"distance_m({', '.join(self.value(arg) for arg in node.args)})"
            case _:
                return self._condition(node)

    def true(self, node: Node) -> str:  # noqa: PLR0911 - one case per kind
        """Write whether a condition is true (not false, not NULL)."""
        match node.op:
            case Op.NOT:
                return self.false(node.args[0])
            case Op.AND | Op.OR:
                return self._joined(f" {node.op.lower()} ", [self.true(a) for a in node.args])
            case Op.CASE:
                return self._case(node, self.true)
            case Op.COALESCE:
                return f"({self.value(node)} is True)"
            case Op.IN:
                return f"({self.value(node.args[0])} in {_listed(node)})"
            case Op.COLUMN if node.nullable:
                return f"({self.value(node)} is True)"
            case Op.BETWEEN if node.nullable:
                return f"({self._condition(node)} is True)"
            case op if op in COMPARISONS and node.nullable:
                return self._compare(node, _SPELLED.get(op, op.value))
            case Op.LITERAL:
                return repr(node.value is True)
            case _:
                return self.value(node)

    def false(self, node: Node) -> str:  # noqa: PLR0911 - one case per kind
        """Write whether a condition is false (not true, not NULL)."""
        match node.op:
            case Op.NOT:
                return self.true(node.args[0])
            case Op.AND:
                return self._joined(" or ", [self.false(a) for a in node.args])
            case Op.OR:
                return self._joined(" and ", [self.false(a) for a in node.args])
            case Op.CASE:
                return self._case(node, self.false)
            case Op.LITERAL:
                return repr(node.value is False)
            case op if op in COMPARISONS:
                return self._compare(node, _INVERSE[op])
            case _ if node.nullable:
                return f"({self.value(node)} is False)"
            case _:
                return f"(not {self.true(node)})"

    def _condition(self, node: Node) -> str:  # noqa: PLR0911 - one case per kind
        """Write the three-valued result of a comparison or connective."""
        args = node.args
        match node.op:
            case Op.NOT:
                return self._strict(args, lambda a: f"not {a[0]}")
            case Op.AND | Op.OR if node.nullable:
                return self._kleene(node)
            case Op.AND | Op.OR:
                return self._joined(f" {node.op.lower()} ", [self.value(a) for a in args])
            case Op.IS_NULL:
                return f"({self.value(args[0])} is None)" if args[0].nullable else "False"
            case Op.DISTINCT:
                return f"({self.value(args[0])} != {self.value(args[1])})"
            case Op.IN:
                return self._strict(args[:1], lambda a: f"{a[0]} in {_listed(node)}")
            case Op.BETWEEN if node.nullable:
                return self._between(node)
            case Op.BETWEEN:
                operand, low, high = (self.value(arg) for arg in args)
                return f"({low} <= {operand} <= {high})"
            case _:
                spelled = _SPELLED.get(node.op, node.op.value)
                return self._strict(args, lambda a: f"{a[0]} {spelled} {a[1]}")

    def _bind(self, node: Node) -> tuple[str, str]:
        """Write an operand that is used twice: its first use, and its later name."""
        text = self.value(node)
        if text.isidentifier() or node.op is Op.LITERAL:
            return text, text
        self._taken += 1
        name = f"_t{self._taken}"
        return f"({name} := {text})", name

    def _strict(self, args: tuple[Node, ...], write: _Write) -> str:
        """Write an operation that is NULL when any operand is."""
        checks, names = [], []
        for arg in args:
            if arg.nullable:
                first, name = self._bind(arg)
                checks.append(f"{first} is None")
                names.append(name)
            else:
                names.append(self.value(arg))
        if not checks:
            return f"({write(names)})"
        return f"(None if {' or '.join(checks)} else {write(names)})"

    def _compare(self, node: Node, spelled: str) -> str:
        """Write a comparison that does not hold when an operand is NULL."""
        checks, names = [], []
        for arg in node.args:
            if arg.nullable:
                first, name = self._bind(arg)
                checks.append(f"{first} is not None")
                names.append(name)
            else:
                names.append(self.value(arg))
        return f"({' and '.join([*checks, f'{names[0]} {spelled} {names[1]}'])})"

    def _arithmetic(self, node: Node) -> str:
        def write(names: list[str]) -> str:
            plain = f"{names[0]} {node.op.value} {names[1]}"
            if node.low >= INT_MIN and node.high <= INT_MAX:
                return plain
            self._taken += 1
            result = f"_t{self._taken}"
            return f"({result} if {INT_MIN} <= ({result} := {plain}) <= {INT_MAX} else None)"

        return self._strict(node.args, write)

    def _safe_div(self, node: Node) -> str:
        dividend, divisor, default = node.args
        first, name = self._bind(divisor)
        floors = dividend.low >= 0 and divisor.low >= 0

        def write(names: list[str]) -> str:
            return f"{names[0]} // {name}" if floors else f"divide({names[0]}, {name})"

        quotient = self._strict((dividend,), write)
        if divisor.nullable:
            quotient = f"(None if {name} is None else {quotient})"
        return f"({self.value(default)} if {first} == 0 else {quotient})"

    def _case(self, node: Node, write: _WriteNode) -> str:
        text = write(node.args[-1])
        pairs = zip(node.args[-3::-2], node.args[-2::-2], strict=True)
        for condition, value in pairs:
            text = f"({write(value)} if {self.true(condition)} else {text})"
        return text

    def _coalesce(self, node: Node) -> str:
        parts: list[str] = []
        for arg in node.args:
            if not arg.nullable:
                parts.append(self.value(arg))
                break
            first, name = self._bind(arg)
            parts.append(f"{name} if {first} is not None else ")
        else:
            parts.append("None")
        return f"({''.join(parts)})"

    def _kleene(self, node: Node) -> str:
        """Write AND, OR of three values: a decided part wins over NULL."""
        decides, otherwise = ("False", "True") if node.op is Op.AND else ("True", "False")
        bound = [self._bind(arg) for arg in node.args]
        decided = " or ".join(f"{first} is {decides}" for first, _ in bound)
        unknown = " or ".join(f"{name} is None" for _, name in bound)
        return f"({decides} if {decided} else None if {unknown} else {otherwise})"

    def _between(self, node: Node) -> str:
        (first, name), (low, low_name), (high, high_name) = (self._bind(a) for a in node.args)
        bounds = (
            (node.args[1], low, low_name, "<"),
            (node.args[2], high, high_name, ">"),
        )
        outside, unknown = [], []
        for bound, written, later, side in bounds:
            if bound.nullable:
                outside.append(f"({written} is not None and {name} {side} {later})")
                unknown.append(f"{later} is None")
            else:
                outside.append(f"{name} {side} {written}")
        inside = f"None if {' or '.join(unknown)} else True" if unknown else "True"
        null = "" if node.args[0].op is Op.LITERAL else f"None if {first} is None else "
        return f"({null}False if {' or '.join(outside)} else {inside})"

    @staticmethod
    def _joined(word: str, parts: list[str]) -> str:
        return f"({word.join(parts)})" if len(parts) > 1 else parts[0]


def _listed(node: Node) -> str:
    return "{" + ", ".join(repr(member.value) for member in node.args[1:]) + "}"
