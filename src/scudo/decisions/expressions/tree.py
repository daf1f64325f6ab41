"""The typed tree of an expression: the one form behind Python and DuckDB.

Every node knows its type, whether it can be NULL and, for integers, the interval in
which its value lies; back ends drop NULL and overflow checks that the node rules out.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: Integers are 64-bit and symmetric: the least value has a positive counterpart.
INT_MAX: Final = (1 << 63) - 1
INT_MIN: Final = -INT_MAX

#: No coordinate lies further apart than half the equator.
DISTANCE_MAX_M: Final = 40_100_000


class Type(StrEnum):
    """Types of the subset; NULL is the type of the bare literal."""

    INT = "int"
    TEXT = "text"
    BOOL = "bool"
    NULL = "null"


class Op(StrEnum):
    """What a node does. The value is how the canonical text spells it."""

    LITERAL = "literal"
    COLUMN = "column"
    EQ = "="
    NE = "<>"
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    DISTINCT = "IS DISTINCT FROM"
    IS_NULL = "IS NULL"
    NOT = "NOT"
    AND = "AND"
    OR = "OR"
    BETWEEN = "BETWEEN"
    IN = "IN"
    CASE = "CASE"
    COALESCE = "COALESCE"
    ADD = "+"
    SUB = "-"
    MUL = "*"
    SAFE_DIV = "SAFE_DIV"
    ABS = "ABS"
    LEAST = "LEAST"
    GREATEST = "GREATEST"
    DISTANCE_M = "DISTANCE_M"
    BITS = "BITS"


COMPARISONS: Final = frozenset({Op.EQ, Op.NE, Op.LT, Op.LE, Op.GT, Op.GE})
ARITHMETIC: Final = frozenset({Op.ADD, Op.SUB, Op.MUL})


@dataclass(frozen=True, slots=True)
class ColumnType:
    """What a schema says of one column.

    Invariant:
        integers lie in [low, high]; whoever fills the row keeps that promise.
    """

    type: Type
    nullable: bool = False
    low: int = INT_MIN
    high: int = INT_MAX


Schema = Mapping[str, ColumnType]


@dataclass(frozen=True, slots=True)
class Node:
    """One typed node.

    Attributes:
        value: the literal, or the name of the column.
        weight: nodes that a back end may write for this tree at most; repeated
            operands count as often as they are repeated.
        depth: levels below and including this one.
    """

    op: Op
    type: Type
    nullable: bool
    args: tuple["Node", ...] = ()
    value: int | str | bool | None = None
    low: int = INT_MIN
    high: int = INT_MAX
    weight: int = 1
    depth: int = 1


def columns_of(node: Node) -> frozenset[str]:
    """Collect the names of all columns that an expression reads."""
    if node.op is Op.COLUMN:
        return frozenset({str(node.value)})
    return frozenset().union(*(columns_of(arg) for arg in node.args))


def canonical(node: Node) -> str:  # noqa: PLR0911 - one case per kind
    """Write the one spelling of an expression: full parentheses, upper-case words.

    Two expressions with the same canonical text have the same value on every row.
    """
    args = [canonical(arg) for arg in node.args]
    match node.op:
        case Op.LITERAL:
            return literal(node.value)
        case Op.COLUMN:
            return str(node.value)
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
        case Op.COALESCE | Op.SAFE_DIV | Op.ABS | Op.LEAST | Op.GREATEST | Op.DISTANCE_M | Op.BITS:
            return f"{node.op}({', '.join(args)})"
        case _:
            return f"({f' {node.op} '.join(args)})"


def literal(value: int | str | bool | None) -> str:  # noqa: FBT001 - one of a node's members
    """Spell one literal in SQL."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int():
            return str(value)
        case str():
            return "'" + value.replace("'", "''") + "'"


def digest(node: Node) -> bytes:
    """Hash the canonical text with SHA-256."""
    return hashlib.sha256(canonical(node).encode()).digest()
