"""Name and type checking: from sqlglot's tree to ours.

sqlglot knows every construct of SQL; only those with a resolver below pass.
"""

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from scudo.decisions.errors import ExpressionRefused
from scudo.decisions.expressions.tree import (
    DISTANCE_MAX_M,
    INT_MAX,
    INT_MIN,
    Node,
    Op,
    Schema,
    Type,
)

DEPTH_MAX: Final = 24
WEIGHT_MAX: Final = 2_000

_COMPARE: Final[dict[type[exp.Expr], Op]] = {
    exp.EQ: Op.EQ,
    exp.NEQ: Op.NE,
    exp.LT: Op.LT,
    exp.LTE: Op.LE,
    exp.GT: Op.GT,
    exp.GTE: Op.GE,
}
_ARITHMETIC: Final[dict[type[exp.Expr], Op]] = {
    exp.Add: Op.ADD,
    exp.Sub: Op.SUB,
    exp.Mul: Op.MUL,
}
#: How often a back end repeats each argument of a function.
_REPEATS: Final = {Op.SAFE_DIV: 2, Op.DISTANCE_M: 6, Op.BETWEEN: 2, Op.LEAST: 2, Op.GREATEST: 2}


def refuse_at(line: int, column: int, reason: str) -> ExpressionRefused:
    """Make the refusal of one place in a text."""
    refusal = ExpressionRefused(f"line {line}, column {column}: {reason}")
    refusal.field = f"line {line}"
    return refusal


def resolve(parsed: exp.Expr, *, schema: Schema, wanted: Type | None = None) -> Node:
    """Check one parsed expression against a schema.

    Raises:
        ExpressionRefused: unknown names, wrong types, constructs outside the subset.
    """  # noqa: DOC501 - made by a function that returns it
    try:
        node = _Resolver(schema).node(parsed)
    except RecursionError as error:
        raise ExpressionRefused("nested too deeply") from error
    if wanted is not None and node.type is not wanted:
        raise refuse_near(parsed, f"this is {node.type}, {wanted} is wanted")
    return node


def refuse_near(parsed: exp.Expr, reason: str) -> ExpressionRefused:
    """Make the refusal of the first known place in a parsed construct."""
    # sqlglot counts columns to the end of a word.
    places = [
        (meta["line"], meta["col"] - (meta["end"] - meta["start"]))
        for meta in (part.meta for part in parsed.walk())
        if "line" in meta
    ]
    if not places:
        return ExpressionRefused(f"near {parsed.sql(dialect='duckdb')[:60]}: {reason}")
    line, column = min(places)
    return refuse_at(line, column, reason)


class _Resolver:
    """One walk over one expression."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def node(self, parsed: exp.Expr) -> Node:
        kind = type(parsed)
        if kind in _COMPARE:
            return self._comparison(parsed, _COMPARE[kind])
        if kind in _ARITHMETIC:
            return self._arithmetic(parsed, _ARITHMETIC[kind])
        resolver = _RESOLVERS.get(kind)
        if resolver is None:
            name = parsed.name if isinstance(parsed, exp.Anonymous) else parsed.key
            raise refuse_near(parsed, f"{name.upper()} is not in the subset")
        return resolver(self, parsed)

    def _make(  # noqa: PLR0913 - one parameter per property
        self,
        parsed: exp.Expr,
        op: Op,
        kind: Type,
        args: tuple[Node, ...],
        *,
        nullable: bool | None = None,
        low: int = INT_MIN,
        high: int = INT_MAX,
    ) -> Node:
        weight = 1 + _REPEATS.get(op, 1) * sum(arg.weight for arg in args)
        depth = 1 + max(arg.depth for arg in args)
        if weight > WEIGHT_MAX or depth > DEPTH_MAX:
            raise refuse_near(parsed, "the expression is too large; split it")
        if nullable is None:
            nullable = any(arg.nullable for arg in args)
        return Node(op, kind, nullable, args, None, low, high, weight, depth)

    def _typed(self, parsed: exp.Expr, wanted: Type) -> Node:
        node = self.node(parsed)
        if node.type is not wanted:
            raise refuse_near(parsed, f"this is {node.type}, {wanted} is wanted")
        return node

    def literal(self, parsed: exp.Expr) -> Node:
        if parsed.args["is_string"]:
            return Node(Op.LITERAL, Type.TEXT, nullable=False, value=parsed.this)
        return _whole(int(parsed.this))

    def negative(self, parsed: exp.Expr) -> Node:
        operand = self._typed(parsed.this, Type.INT)
        if operand.op is Op.LITERAL:
            return _whole(-int(operand.value or 0))
        args = (_whole(0), operand)
        return self._make(parsed, Op.SUB, Type.INT, args, low=-operand.high, high=-operand.low)

    def boolean(self, parsed: exp.Expr) -> Node:
        return Node(Op.LITERAL, Type.BOOL, nullable=False, value=bool(parsed.this))

    def null(self, _: exp.Expr) -> Node:
        return Node(Op.LITERAL, Type.NULL, nullable=True)

    def column(self, parsed: exp.Expr) -> Node:
        name = parsed.name
        if parsed.args.get("table") or name not in self._schema:
            raise refuse_near(parsed, f"there is no column {parsed.sql()}")
        column = self._schema[name]
        return Node(
            Op.COLUMN, column.type, column.nullable, (), name, low=column.low, high=column.high
        )

    def paren(self, parsed: exp.Expr) -> Node:
        return self.node(parsed.this)

    def _pair(self, parsed: exp.Expr) -> tuple[Node, Node]:
        left, right = self.node(parsed.this), self.node(parsed.expression)
        if Type.NULL in {left.type, right.type}:
            raise refuse_near(parsed, "comparing with NULL is never true; write IS [NOT] NULL")
        if left.type is not right.type:
            raise refuse_near(parsed, f"{left.type} cannot be compared with {right.type}")
        return left, right

    def _comparison(self, parsed: exp.Expr, op: Op) -> Node:
        left, right = self._pair(parsed)
        if left.type is Type.BOOL:
            raise refuse_near(parsed, "a condition is not compared; write it, or NOT it")
        if left.type is Type.TEXT and op not in {Op.EQ, Op.NE}:
            raise refuse_near(parsed, "text has no order here; only = and <> are allowed")
        return self._make(parsed, op, Type.BOOL, (left, right))

    def distinct(self, parsed: exp.Expr) -> Node:
        pair = self._pair(parsed)
        node = self._make(parsed, Op.DISTINCT, Type.BOOL, pair, nullable=False)
        if isinstance(parsed, exp.NullSafeEQ):
            return self._make(parsed, Op.NOT, Type.BOOL, (node,))
        return node

    def is_null(self, parsed: exp.Expr) -> Node:
        if not isinstance(parsed.expression, exp.Null):
            reason = "only IS [NOT] NULL and IS [NOT] DISTINCT FROM are allowed"
            raise refuse_near(parsed, reason)
        operand = self.node(parsed.this)
        return self._make(parsed, Op.IS_NULL, Type.BOOL, (operand,), nullable=False)

    def negation(self, parsed: exp.Expr) -> Node:
        operand = self._typed(parsed.this, Type.BOOL)
        if operand.op is Op.IN and operand.nullable:
            raise refuse_near(parsed, "NOT IN of something that can be NULL is silently never true")
        return self._make(parsed, Op.NOT, Type.BOOL, (operand,))

    def connective(self, parsed: exp.Expr) -> Node:
        op = Op.AND if isinstance(parsed, exp.And) else Op.OR
        parts = tuple(self._typed(part, Type.BOOL) for part in parsed.flatten(unnest=False))
        return self._make(parsed, op, Type.BOOL, parts)

    def between(self, parsed: exp.Expr) -> Node:
        parts = (parsed.this, parsed.args["low"], parsed.args["high"])
        if parsed.args.get("symmetric"):
            raise refuse_near(parsed, "BETWEEN SYMMETRIC is not in the subset")
        args = tuple(self._typed(part, Type.INT) for part in parts)
        return self._make(parsed, Op.BETWEEN, Type.BOOL, args)

    def membership(self, parsed: exp.Expr) -> Node:
        operand = self.node(parsed.this)
        listed = tuple(self.node(member) for member in parsed.expressions)
        if not listed or operand.type not in {Type.INT, Type.TEXT}:
            raise refuse_near(parsed, "IN takes a number or text and a list of literals")
        for member in listed:
            if member.op is not Op.LITERAL or member.type is not operand.type:
                raise refuse_near(parsed, f"IN takes literals of type {operand.type}, no NULL")
        return self._make(parsed, Op.IN, Type.BOOL, (operand, *listed))

    def case(self, parsed: exp.Expr) -> Node:
        if parsed.this is not None:
            raise refuse_near(parsed, "write CASE WHEN x = 1 THEN …, not CASE x WHEN 1 THEN …")
        default = parsed.args.get("default")
        args: list[Node] = []
        for branch in parsed.args["ifs"]:
            args.append(self._typed(branch.this, Type.BOOL))
            args.append(self.node(branch.args["true"]))
        args.append(self.null(parsed) if default is None else self.node(default))
        values = (*args[1:-1:2], args[-1])
        return self._joined(parsed, Op.CASE, tuple(args), values=values)

    def coalesce(self, parsed: exp.Expr) -> Node:
        args = tuple(self.node(part) for part in (parsed.this, *parsed.expressions))
        node = self._joined(parsed, Op.COALESCE, args, values=args)
        if all(arg.nullable for arg in args):
            return node
        return self._make(
            parsed, Op.COALESCE, node.type, args, nullable=False, low=node.low, high=node.high
        )

    def _joined(
        self, parsed: exp.Expr, op: Op, args: tuple[Node, ...], *, values: tuple[Node, ...]
    ) -> Node:
        # The value of the node is one of `values`, which must agree in type.
        kinds = {value.type for value in values} - {Type.NULL}
        if len(kinds) != 1:
            raise refuse_near(
                parsed, "all alternatives must have one type, and one must not be NULL"
            )
        known = [value for value in values if value.type is not Type.NULL]
        low, high = min(value.low for value in known), max(value.high for value in known)
        nullable = any(value.nullable for value in values)
        return self._make(parsed, op, kinds.pop(), args, nullable=nullable, low=low, high=high)

    def _arithmetic(self, parsed: exp.Expr, op: Op) -> Node:
        left = self._typed(parsed.this, Type.INT)
        right = self._typed(parsed.expression, Type.INT)
        (low, high), (least, most) = _clipped(left), _clipped(right)
        match op:
            case Op.ADD:
                low, high = low + least, high + most
            case Op.SUB:
                low, high = low - most, high - least
            case _:
                ends = [a * b for a in (low, high) for b in (least, most)]
                low, high = min(ends), max(ends)
        if low > INT_MAX or high < INT_MIN:
            raise refuse_near(parsed, "the result is always beyond 64 bits")
        overflows = low < INT_MIN or high > INT_MAX
        nullable = left.nullable or right.nullable or overflows
        return self._make(
            parsed, op, Type.INT, (left, right), nullable=nullable, low=low, high=high
        )

    def function(self, parsed: exp.Expr) -> Node:
        name = parsed.name.lower()
        if name == "safe_div" and len(parsed.expressions) == 3:
            return self._safe_div(parsed)
        if name == "bits" and len(parsed.expressions) == 2:
            return self._bits(parsed)
        if name == "distance_m" and len(parsed.expressions) == 4:
            args = tuple(self._typed(part, Type.INT) for part in parsed.expressions)
            return self._make(
                parsed, Op.DISTANCE_M, Type.INT, args, nullable=True, low=0, high=DISTANCE_MAX_M
            )
        raise refuse_near(parsed, f"there is no function {name} with this many arguments")

    def _bits(self, parsed: exp.Expr) -> Node:
        number, mask = (self._typed(part, Type.INT) for part in parsed.expressions)
        if mask.op is not Op.LITERAL or mask.low < 0:
            raise refuse_near(parsed, "the bits that are asked for are written as a number")
        return self._make(parsed, Op.BITS, Type.INT, (number, mask), low=0, high=mask.high)

    def _safe_div(self, parsed: exp.Expr) -> Node:
        dividend, divisor = (self._typed(part, Type.INT) for part in parsed.expressions[:2])
        default = self.node(parsed.expressions[2])
        if default.type not in {Type.INT, Type.NULL}:
            raise refuse_near(parsed, "the default of safe_div is a number or NULL")
        low, high = _clipped(dividend)
        reach = (min(low, -high), max(high, -low))
        if dividend.low >= 0 and divisor.low >= 0:
            reach = (0, high)
        if default.type is Type.INT:
            reach = (min(reach[0], default.low), max(reach[1], default.high))
        args = (dividend, divisor, default)
        return self._make(parsed, Op.SAFE_DIV, Type.INT, args, low=reach[0], high=reach[1])

    def abs(self, parsed: exp.Expr) -> Node:
        operand = self._typed(parsed.this, Type.INT)
        low, high = _clipped(operand)
        least = 0 if low <= 0 <= high else min(abs(low), abs(high))
        return self._make(
            parsed, Op.ABS, Type.INT, (operand,), low=least, high=max(abs(low), abs(high))
        )

    def extreme(self, parsed: exp.Expr) -> Node:
        op = Op.LEAST if isinstance(parsed, exp.Least) else Op.GREATEST
        parts = (parsed.this, *parsed.expressions)
        args = tuple(self._typed(part, Type.INT) for part in parts)
        if any(arg.nullable for arg in args):
            raise refuse_near(parsed, f"engines disagree on {op} of NULL; COALESCE its arguments")
        pick = min if op is Op.LEAST else max
        return self._make(
            parsed,
            op,
            Type.INT,
            args,
            low=pick(arg.low for arg in args),
            high=pick(arg.high for arg in args),
        )


def _whole(value: int) -> Node:
    return Node(Op.LITERAL, Type.INT, nullable=False, value=value, low=value, high=value)


def _clipped(node: Node) -> tuple[int, int]:
    """The interval of a value that is there: an overflow has become NULL before."""
    return max(node.low, INT_MIN), min(node.high, INT_MAX)


_RESOLVERS: Final[dict[type[exp.Expr], Callable[[_Resolver, exp.Expr], Node]]] = {
    exp.Literal: _Resolver.literal,
    exp.Neg: _Resolver.negative,
    exp.Boolean: _Resolver.boolean,
    exp.Null: _Resolver.null,
    exp.Column: _Resolver.column,
    exp.Paren: _Resolver.paren,
    exp.NullSafeNEQ: _Resolver.distinct,
    exp.NullSafeEQ: _Resolver.distinct,
    exp.Is: _Resolver.is_null,
    exp.Not: _Resolver.negation,
    exp.And: _Resolver.connective,
    exp.Or: _Resolver.connective,
    exp.Between: _Resolver.between,
    exp.In: _Resolver.membership,
    exp.Case: _Resolver.case,
    exp.Coalesce: _Resolver.coalesce,
    exp.Anonymous: _Resolver.function,
    exp.Abs: _Resolver.abs,
    exp.Least: _Resolver.extreme,
    exp.Greatest: _Resolver.extreme,
}
