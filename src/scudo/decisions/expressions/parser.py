"""From SQL text to a typed tree, or a refusal that names the place.

The subset is what three engines compute alike: what is not listed in `_RESOLVERS` does
not exist. Sizes are limited before and after parsing, so that a crafted text can
exhaust neither the parser nor a back end.
"""

import re
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from scudo.decisions.errors import ExpressionRefused
from scudo.decisions.expressions.resolver import refuse_at, resolve
from scudo.decisions.expressions.tree import INT_MAX, Node, Schema, Type

TEXT_MAX: Final = 8_000
#: Nesting of brackets that reaches the parser; far above what the tree allows.
BRACKETS_MAX: Final = 64
#: Runs of NOT and minus signs, the other way to make the parser recurse.
PREFIXES_MAX: Final = 32

DIALECT: Final = "duckdb"

#: Tokens that never occur in the subset, with the advice that a reader needs.
_BANNED: Final = {
    TokenType.SLASH: "bare division is not allowed; write safe_div(a, b, when_zero)",
    TokenType.DIV: "integer division is not allowed; write safe_div(a, b, when_zero)",
    TokenType.MOD: "the remainder is not in the subset",
    TokenType.DPIPE: "text functions are not in the subset",
    TokenType.DCOLON: "casts are not in the subset",
    TokenType.SELECT: "sub-selects are not allowed; define a feature",
    TokenType.PARAMETER: "parameters are not allowed",
    TokenType.PLACEHOLDER: "parameters are not allowed",
    TokenType.SEMICOLON: "one expression, without semicolon",
}

_PREFIXES: Final = frozenset({TokenType.NOT, TokenType.DASH, TokenType.TILDE})
_WHOLE: Final = re.compile(r"[0-9]+")


def tokens_of(text: str) -> list[Token]:
    """Cut a text into tokens; the caller has limited its length.

    Raises:
        ExpressionRefused: too deeply nested, or an unclosed string.
    """  # noqa: DOC501 - made by a function that returns it
    try:
        tokens = list(sqlglot.tokenize(text, read=DIALECT))
    except (SqlglotError, ValueError, RecursionError) as error:
        raise ExpressionRefused(f"not readable as SQL: {_first_line(error)}") from error
    brackets = prefixes = 0
    for token in tokens:
        if token.token_type in {TokenType.L_PAREN, TokenType.CASE}:
            brackets += 1
        elif token.token_type in {TokenType.R_PAREN, TokenType.END}:
            brackets -= 1
        prefixes = prefixes + 1 if token.token_type in _PREFIXES else 0
        if brackets > BRACKETS_MAX or prefixes > PREFIXES_MAX:
            raise refuse_at(token.line, _column(token), "nested too deeply")
    return tokens


def check_tokens(tokens: list[Token], *, banned: dict[TokenType, str] | None = None) -> None:
    """Refuse tokens that no expression may contain, each with its place.

    Raises:
        ExpressionRefused: a banned operator, a decimal, or a number beyond 64 bits.
    """  # noqa: DOC501 - made by a function that returns it
    banned = _BANNED if banned is None else banned
    for token in tokens:
        if token.token_type in banned:
            raise refuse_at(token.line, _column(token), banned[token.token_type])
        if token.token_type is TokenType.NUMBER:
            if not _WHOLE.fullmatch(token.text):
                reason = f"{token.text} is not a whole number; use minor units"
                raise refuse_at(token.line, _column(token), reason)
            if int(token.text) > INT_MAX:
                raise refuse_at(token.line, _column(token), f"{token.text} is beyond 64 bits")


def parse_sql(text: str) -> exp.Expr:
    """Parse one statement or expression with sqlglot.

    Raises:
        ExpressionRefused: a syntax error, with line and column.
    """  # noqa: DOC501 - made by a function that returns it
    try:
        parsed = sqlglot.parse_one(text, dialect=DIALECT)
    except sqlglot.ParseError as error:
        first = error.errors[0] if error.errors else {}
        line, column = first.get("line") or 1, first.get("col") or 1
        reason = str(first.get("description") or "not readable as SQL").rstrip(".")
        raise refuse_at(line, column, reason) from error
    except (SqlglotError, ValueError, RecursionError) as error:
        raise ExpressionRefused(f"not readable as SQL: {_first_line(error)}") from error
    return parsed


def parse(text: str, *, schema: Schema, wanted: Type | None = None, line: int = 1) -> Node:
    """Turn the text of one expression into a typed tree.

    Args:
        text: SQL of the subset.
        schema: the columns that exist.
        wanted: type that the whole must have; None accepts any.
        line: where the text begins in its file, for refusals.

    Raises:
        ExpressionRefused: anything outside the subset; names line and column.
    """  # noqa: DOC501 - made by a function that returns it
    if len(text) > TEXT_MAX:
        msg = f"an expression has at most {TEXT_MAX} characters, this one {len(text)}"
        raise ExpressionRefused(msg)
    # Empty lines in front make the tokenizer count as the file does.
    text = "\n" * (line - 1) + text
    tokens = tokens_of(text)
    if not tokens:
        raise refuse_at(line, 1, "an expression is missing")
    check_tokens(tokens)
    return resolve(parse_sql(text), schema=schema, wanted=wanted)


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:200]


def _column(token: Token) -> int:
    """Where a token begins; sqlglot counts to its end."""
    return token.col - (token.end - token.start)
