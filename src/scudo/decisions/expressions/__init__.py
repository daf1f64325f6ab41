"""Expressions: a small SQL subset, parsed, type-checked and written for two engines."""

from scudo.decisions.expressions.duckdb import to_duckdb
from scudo.decisions.expressions.parser import check_tokens, parse, parse_sql, tokens_of
from scudo.decisions.expressions.python import RUNTIME, PythonWriter
from scudo.decisions.expressions.resolver import refuse_near, resolve
from scudo.decisions.expressions.tree import (
    INT_MAX,
    INT_MIN,
    ColumnType,
    Node,
    Op,
    Schema,
    Type,
    canonical,
    columns_of,
    digest,
)

__all__ = [
    "INT_MAX",
    "INT_MIN",
    "RUNTIME",
    "ColumnType",
    "Node",
    "Op",
    "PythonWriter",
    "Schema",
    "Type",
    "canonical",
    "check_tokens",
    "columns_of",
    "digest",
    "parse",
    "parse_sql",
    "refuse_near",
    "resolve",
    "to_duckdb",
    "tokens_of",
]
