"""DuckDB SQL of a typed tree: the bulk engine of backtests.

Literals are cast to BIGINT, since DuckDB would compute in 32 bits; sums and products
that can leave 64 bits are computed in 128 and become NULL, as they do inline.
"""

from collections.abc import Mapping
from typing import Final

from scudo.decisions.expressions.tree import ARITHMETIC, INT_MAX, INT_MIN, Node, Op, literal

_LEAST_OF_64_BITS: Final = "CAST(-9223372036854775808 AS BIGINT)"


def to_duckdb(  # noqa: C901, PLR0911, PLR0912 - one case per kind
    node: Node, *, names: Mapping[str, str] | None = None
) -> str:
    """Write an expression for DuckDB.

    Args:
        node: the typed tree.
        names: SQL for columns that are not simply named; others keep their name.

    Invariant:
        equal to the inline value on every row whose integers keep their column's bounds.
    """
    args = [to_duckdb(arg, names=names) for arg in node.args]
    if node.op in ARITHMETIC:
        return _arithmetic(node, args)
    match node.op:
        case Op.LITERAL:
            is_whole = isinstance(node.value, int) and not isinstance(node.value, bool)
            return f"CAST({node.value} AS BIGINT)" if is_whole else literal(node.value)
        case Op.COLUMN:
            return (names or {}).get(str(node.value), str(node.value))
        case Op.NOT:
            return f"(NOT {args[0]})"
        case Op.IS_NULL:
            return f"({args[0]} IS NULL)"
        case Op.BETWEEN:
            return f"({args[0]} BETWEEN {args[1]} AND {args[2]})"
        case Op.IN:
            return f"({args[0]} IN ({', '.join(args[1:])}))"
        case Op.CASE:
            pairs = zip(args[:-1:2], args[1:-1:2], strict=True)
            whens = "".join(f" WHEN {condition} THEN {value}" for condition, value in pairs)
            return f"(CASE{whens} ELSE {args[-1]} END)"
        case Op.SAFE_DIV:
            dividend, divisor, default = args
            return f"(CASE WHEN {divisor} = 0 THEN {default} ELSE {dividend} // {divisor} END)"
        case Op.BITS:
            return f"({args[0]} & {args[1]})"
        case Op.DISTANCE_M:
            return _distance(*args)
        case Op.COALESCE | Op.ABS | Op.LEAST | Op.GREATEST:
            return f"{node.op}({', '.join(args)})"
        case _:
            return f"({f' {node.op} '.join(args)})"


def _arithmetic(node: Node, args: list[str]) -> str:
    left, right = args
    if node.low >= INT_MIN and node.high <= INT_MAX:
        return f"({left} {node.op} {right})"
    wide = f"CAST({left} AS HUGEINT) {node.op} CAST({right} AS HUGEINT)"
    return f"NULLIF(TRY_CAST({wide} AS BIGINT), {_LEAST_OF_64_BITS})"


def _distance(latitude: str, longitude: str, other_latitude: str, other_longitude: str) -> str:
    """Spell `distance_m`; the square root is exact, its argument stays below 2**52."""
    inside = (
        f"{latitude} BETWEEN -900000 AND 900000 AND {other_latitude} BETWEEN -900000 AND 900000 "
        f"AND {longitude} BETWEEN -1800000 AND 1800000 "
        f"AND {other_longitude} BETWEEN -1800000 AND 1800000"
    )
    turned = f"ABS({longitude} - {other_longitude})"
    east = f"LEAST({turned}, 3600000 - {turned})"
    middle = f"(ABS({latitude} + {other_latitude}) // 2)"
    square = f"({middle} * {middle})"
    cosine = f"(1000000 * (3240000000000 - 4 * {square}) // (3240000000000 + {square}))"
    shortened = f"({east} * {cosine} // 1000000)"
    north = f"({latitude} - {other_latitude})"
    squared = f"({shortened} * {shortened} + {north} * {north})"
    metres = f"CAST(floor(sqrt({squared})) AS BIGINT) * 111319 // 10000"
    return f"(CASE WHEN {inside} THEN {metres} END)"
