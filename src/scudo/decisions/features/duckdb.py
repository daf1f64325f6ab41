"""DuckDB SQL of all features, from the same definitions: one query over the history."""

from scudo.decisions.expressions import to_duckdb
from scudo.decisions.features.definitions import VALUE_MAX, Feature, FeatureSet, Function, Window


def features_to_duckdb(features: FeatureSet, *, table: str) -> str:
    """Write the query whose rows are the feature vectors of all events, in order.

    Args:
        features: the definitions.
        table: has the members of `GateEvent` and `ordered_at` as BIGINT columns, and
            `approved` and `declined` as BOOLEAN; `ordered_at` is unique.
    """
    # The query is assembled from a tree that was checked; nothing of it is foreign text.
    columns = ",\n  ".join(f"{_column(feature)} AS {feature.name}" for feature in features.features)
    return f"SELECT\n  {columns}\nFROM {table}\nORDER BY ordered_at"


def _column(feature: Feature) -> str:
    keyed = " AND ".join(f"{key} IS NOT NULL" for key in feature.window.keys)
    return f"CASE WHEN {keyed} THEN {_aggregate(feature)} END"


def _aggregate(feature: Feature) -> str:  # noqa: PLR0911 - one case per kind
    over = _over(feature)
    argument = "" if feature.argument is None else to_duckdb(feature.argument)
    bounded = f"LEAST(GREATEST({argument}, {-VALUE_MAX}), {VALUE_MAX})"
    if feature.argument is not None and feature.argument.nullable:
        bounded = f"CASE WHEN {argument} IS NOT NULL THEN {bounded} END"
    match feature.function:
        case Function.COUNT:
            return f"COUNT(*) {over}"
        case Function.SUM:
            return f"CAST(COALESCE(SUM({bounded}) {over}, 0) AS BIGINT)"
        case Function.MEAN:
            counted = f"COUNT({argument}) {over}"
            mean = f"SUM({bounded}) {over} // {counted}"
            return f"CASE WHEN {counted} > 0 THEN CAST({mean} AS BIGINT) END"
        case Function.MIN | Function.MAX:
            return f"{feature.function.upper()}({argument}) {over}"
        case Function.DISTINCT:
            return f"LEAST(COUNT(DISTINCT {argument}) {over}, {feature.cap})"
        case Function.LATEST:
            return f"ARG_MAX({argument}, ordered_at) {over}"
        case Function.SINCE_LATEST:
            return f"ordered_at - MAX(ordered_at) {over}"
        case Function.SINCE_FIRST:
            return f"ordered_at - MIN(ordered_at) {over}"


def _over(feature: Feature) -> str:
    window = feature.window
    condition = ""
    if feature.condition is not None:
        condition = f"FILTER (WHERE {to_duckdb(feature.condition)}) "
    excluded = "" if window.includes_self else " EXCLUDE CURRENT ROW"
    return (
        f"{condition}OVER (PARTITION BY {', '.join(window.keys)} ORDER BY ordered_at "
        f"RANGE BETWEEN {_reach(window)} PRECEDING AND CURRENT ROW{excluded})"
    )


def _reach(window: Window) -> str:
    """Write how far a window reaches back; a tiled one up to the start of a tile."""
    if window.span_us is None:
        return "UNBOUNDED"
    if not window.tile_us:
        return str(window.span_us)
    # Widths divide lengths, so this is ordered_at - (ordered_at - span) // tile * tile.
    return f"(ordered_at % {window.tile_us} + {window.span_us})"
