"""Reading feature definitions: one SELECT with named windows, in SQL.

The text is what DuckDB accepts, but for two words: `MEAN` is an integer mean that is
cut towards zero, and `tiled(length, width)` in a frame names the width of the tiles.
"""

import re
from dataclasses import dataclass
from typing import Final

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from scudo.decisions.errors import DefinitionRefused, ExpressionRefused
from scudo.decisions.expressions import (
    Node,
    Type,
    check_tokens,
    columns_of,
    parse_sql,
    refuse_near,
    resolve,
    tokens_of,
)
from scudo.decisions.features.definitions import (
    DECIDED,
    EVENT_SCHEMA,
    EXACT_MAX_US,
    HISTORY_SCHEMA,
    KEYS,
    Feature,
    FeatureSet,
    Function,
    Window,
)

FEATURES_MAX: Final = 200
TILES_MAX: Final = 100
CAP_MAX: Final = 64
TEXT_MAX: Final = 200_000

_UNITS_US: Final = {
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": 86_400_000_000,
}
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_AGGREGATES: Final[dict[type[exp.Expr], Function]] = {
    exp.Sum: Function.SUM,
    exp.Min: Function.MIN,
    exp.Max: Function.MAX,
    exp.ArgMax: Function.LATEST,
}
_BANNED: Final = {
    TokenType.SLASH: "bare division is not allowed",
    TokenType.SEMICOLON: "one SELECT, without semicolon",
    TokenType.PARAMETER: "parameters are not allowed",
    TokenType.PLACEHOLDER: "parameters are not allowed",
}


@dataclass(frozen=True, slots=True)
class _Aggregate:
    """The parts of one aggregate as written."""

    call: exp.Expr
    condition: exp.Expr | None
    window: str


def read_features(text: str, *, source: str) -> FeatureSet:
    """Read all feature definitions of one file.

    Args:
        text: one SELECT … FROM gate_event WINDOW ….
        source: name of the file, for refusals.

    Raises:
        DefinitionRefused: names file, line and column, and what is wanted there.
    """
    try:
        return _Reading(_select(text)).features()
    except ExpressionRefused as refusal:
        raise DefinitionRefused(f"{source}, {refusal.message}", field=source) from refusal


def _select(text: str) -> exp.Select:
    if len(text) > TEXT_MAX:
        msg = f"feature definitions have at most {TEXT_MAX} characters"
        raise ExpressionRefused(msg)
    check_tokens(tokens_of(text), banned=_BANNED)
    parsed = parse_sql(text)
    if not isinstance(parsed, exp.Select):
        raise ExpressionRefused("feature definitions are one SELECT")
    allowed = {"expressions", "from_", "windows", "kind", "operation_modifiers"}
    extra = {name for name, value in parsed.args.items() if value} - allowed
    table = parsed.args.get("from_")
    if extra or table is None or table.this.sql() != "gate_event":
        raise ExpressionRefused("feature definitions are SELECT … FROM gate_event WINDOW …")
    return parsed


def _line(parsed: exp.Expr) -> int:
    return min((part.meta["line"] for part in parsed.walk() if "line" in part.meta), default=1)


class _Reading:
    """One walk over the definitions of one file."""

    def __init__(self, select: exp.Select) -> None:
        self._select = select
        windows = select.args.get("windows") or []
        self._windows = {window.name: self._window(window) for window in windows}
        if len(self._windows) != len(windows):
            raise refuse_near(select, "two windows have one name")

    def features(self) -> FeatureSet:
        found = tuple(self._feature(column) for column in self._select.expressions)
        if not 0 < len(found) <= FEATURES_MAX:
            raise refuse_near(self._select, f"1 to {FEATURES_MAX} features, here {len(found)}")
        seen: set[str] = set(HISTORY_SCHEMA)
        for feature, column in zip(found, self._select.expressions, strict=True):
            if feature.name in seen:
                raise refuse_near(column, f"the name {feature.name} is taken")
            seen.add(feature.name)
        return FeatureSet(found)

    def _window(self, parsed: exp.Window) -> Window:
        keys = tuple(key.name for key in parsed.args.get("partition_by") or ())
        if not 1 <= len(keys) <= 2 or len(set(keys)) < len(keys) or not set(keys) <= set(KEYS):
            raise refuse_near(parsed, f"PARTITION BY one or two of {', '.join(KEYS)}")
        order = parsed.args.get("order")
        if order is None or order.sql(dialect="duckdb").strip() != "ORDER BY ordered_at":
            raise refuse_near(parsed, "a window is ORDER BY ordered_at")
        spec = parsed.args.get("spec")
        if spec is None or spec.args.get("kind") != "RANGE":
            raise refuse_near(parsed, "spell the frame out: RANGE BETWEEN … AND CURRENT ROW")
        if spec.args.get("start_side") != "PRECEDING" or spec.args.get("end") != "CURRENT ROW":
            raise refuse_near(parsed, "a frame is RANGE BETWEEN … PRECEDING AND CURRENT ROW")
        exclude = spec.args.get("exclude")
        if exclude is not None and exclude.name.upper() != "CURRENT ROW":
            raise refuse_near(parsed, "only EXCLUDE CURRENT ROW is allowed")
        span_us, tile_us = self._span(parsed, spec.args["start"])
        return Window(keys, span_us, tile_us, includes_self=exclude is None)

    def _span(self, parsed: exp.Window, start: exp.Expr | str) -> tuple[int | None, int]:
        if start == "UNBOUNDED":
            return None, 0
        if isinstance(start, exp.Interval):
            span_us = self._interval(start)
            if span_us > EXACT_MAX_US:
                reason = "a window above one hour is tiled(INTERVAL length, INTERVAL width)"
                raise refuse_near(parsed, reason)
            return span_us, 0
        is_call = isinstance(start, exp.Anonymous) and start.name.lower() == "tiled"
        widths = start.expressions if isinstance(start, exp.Anonymous) and is_call else []
        if len(widths) != 2:
            raise refuse_near(parsed, "a frame starts UNBOUNDED, at an INTERVAL, or tiled(…, …)")
        span_us, tile_us = (self._interval(part) for part in widths)
        if span_us % tile_us or not 1 <= span_us // tile_us <= TILES_MAX:
            raise refuse_near(parsed, f"the width divides the length, into {TILES_MAX} at most")
        return span_us, tile_us

    def _interval(self, parsed: exp.Expr) -> int:
        if isinstance(parsed, exp.Interval) and isinstance(parsed.this, exp.Literal):
            unit = str(parsed.args.get("unit") or "").upper().removesuffix("S")
            amount = str(parsed.this.this)
            if unit in _UNITS_US and amount.isdecimal() and 0 < int(amount) < 100_000:
                return int(amount) * _UNITS_US[unit]
        raise refuse_near(parsed, f"write INTERVAL n {', '.join(_UNITS_US)}")

    def _feature(self, column: exp.Expr) -> Feature:
        if not isinstance(column, exp.Alias) or not _NAME.fullmatch(column.alias):
            raise refuse_near(column, "every feature has a name: … AS lower_case_name")
        function, aggregate, cap = self._shape(column.this)
        window = self._windows.get(aggregate.window)
        if window is None:
            raise refuse_near(column, f"there is no window {aggregate.window}")
        argument = self._argument(function, aggregate.call, window)
        condition = None
        if aggregate.condition is not None:
            schema = HISTORY_SCHEMA
            condition = resolve(aggregate.condition, schema=schema, wanted=Type.BOOL)
        feature = Feature(column.alias, function, window, argument, condition, cap, _line(column))
        self._check(feature, column)
        return feature

    def _shape(self, body: exp.Expr) -> tuple[Function, _Aggregate, int]:
        # The function shows in the way it is written around its window.
        if isinstance(body, exp.Coalesce) and [e.sql() for e in body.expressions] == ["0"]:
            aggregate = self._aggregate(body.this)
            if isinstance(aggregate.call, exp.Sum):
                return Function.SUM, aggregate, 0
        elif isinstance(body, exp.Least) and len(body.expressions) == 1:
            aggregate = self._aggregate(body.this)
            cap = body.expressions[0]
            if isinstance(aggregate.call, exp.Count) and isinstance(cap, exp.Literal):
                return Function.DISTINCT, aggregate, int(cap.this)
        elif isinstance(body, exp.Sub) and body.this.sql() == "ordered_at":
            aggregate = self._aggregate(body.expression)
            if isinstance(aggregate.call, exp.Max | exp.Min):
                if aggregate.call.this.sql() != "ordered_at":
                    raise refuse_near(body, "times are measured from MIN or MAX(ordered_at)")
                is_latest = isinstance(aggregate.call, exp.Max)
                function = Function.SINCE_LATEST if is_latest else Function.SINCE_FIRST
                return function, aggregate, 0
        elif isinstance(body, exp.Window):
            return self._plain(self._aggregate(body))
        raise refuse_near(
            body,
            "not a form that is known: COUNT(*), COALESCE(SUM(x) OVER w, 0), MEAN(x), MIN(x), "
            "MAX(x), LEAST(COUNT(DISTINCT x) OVER w, cap), ARG_MAX(x, ordered_at), "
            "ordered_at - MAX(ordered_at) OVER w, ordered_at - MIN(ordered_at) OVER w",
        )

    def _plain(self, aggregate: _Aggregate) -> tuple[Function, _Aggregate, int]:
        call = aggregate.call
        if isinstance(call, exp.Count) and isinstance(call.this, exp.Star):
            return Function.COUNT, aggregate, 0
        if isinstance(call, exp.Anonymous) and call.name.upper() == "MEAN":
            return Function.MEAN, aggregate, 0
        function = _AGGREGATES.get(type(call))
        if function is Function.SUM:
            raise refuse_near(call, "SQL's empty sum is NULL; write COALESCE(SUM(x) OVER w, 0)")
        if function is None:
            raise refuse_near(call, f"{call.sql(dialect='duckdb')[:40]} is not a feature function")
        if function is Function.LATEST and call.expression.sql() != "ordered_at":
            raise refuse_near(call, "the latest value is ARG_MAX(x, ordered_at)")
        return function, aggregate, 0

    def _aggregate(self, parsed: exp.Expr) -> _Aggregate:
        if not isinstance(parsed, exp.Window) or not parsed.alias:
            raise refuse_near(parsed, "an aggregate is OVER a named window")
        if isinstance(parsed.this, exp.Filter):
            return _Aggregate(parsed.this.this, parsed.this.expression.this, parsed.alias)
        return _Aggregate(parsed.this, None, parsed.alias)

    def _argument(self, function: Function, call: exp.Expr, window: Window) -> Node | None:
        if function in {Function.COUNT, Function.SINCE_LATEST, Function.SINCE_FIRST}:
            return None
        written = call.this
        if function is Function.MEAN:
            written = call.expressions[0] if len(call.expressions) == 1 else call
        if function is Function.DISTINCT:
            if not isinstance(written, exp.Distinct) or len(written.expressions) != 1:
                raise refuse_near(call, "write LEAST(COUNT(DISTINCT x) OVER w, cap)")
            written = written.expressions[0]
        schema = EVENT_SCHEMA if window.includes_self else HISTORY_SCHEMA
        return resolve(written, schema=schema, wanted=Type.INT)

    def _check(self, feature: Feature, column: exp.Expr) -> None:
        window, function = feature.window, feature.function
        if function in {Function.MIN, Function.MAX, Function.DISTINCT} and window.span_us is None:
            raise refuse_near(column, f"{function} needs a window with a length")
        if function in {Function.LATEST, Function.SINCE_LATEST, Function.SINCE_FIRST} and (
            window.span_us is not None or window.includes_self
        ):
            reason = "needs UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW"
            raise refuse_near(column, f"{function} {reason}")
        if function is Function.DISTINCT and not 1 <= feature.cap <= CAP_MAX:
            raise refuse_near(column, f"the cap of a distinct count is 1 to {CAP_MAX}")
        if window.includes_self and feature.condition is not None:
            decided = columns_of(feature.condition) & set(DECIDED)
            if decided:
                reason = "is not known of the event itself; EXCLUDE CURRENT ROW"
                raise refuse_near(column, f"{', '.join(sorted(decided))} {reason}")
