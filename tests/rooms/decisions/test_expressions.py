"""What the expression language takes, what it refuses, and how it names the place."""

import pytest

from scudo.decisions import ExpressionRefused
from scudo.decisions.expressions import (
    RUNTIME,
    ColumnType,
    PythonWriter,
    Schema,
    Type,
    canonical,
    digest,
    parse,
)

SCHEMA: Schema = {
    "amount": ColumnType(Type.INT),
    "balance": ColumnType(Type.INT, nullable=True),
    "count": ColumnType(Type.INT, low=0, high=1000),
    "flag": ColumnType(Type.BOOL, nullable=True),
    "word": ColumnType(Type.TEXT),
    "latitude": ColumnType(Type.INT, nullable=True),
}


def _distance(*points: int | None) -> object:
    names = ("a", "b", "c", "d")
    schema = {name: ColumnType(Type.INT, nullable=True) for name in names}
    node = parse("distance_m(a, b, c, d)", schema=schema)
    written = PythonWriter({name: name for name in names}).value(node)
    return eval(written, dict(RUNTIME), dict(zip(names, points, strict=True)))


class TestParse:
    """One text in, one typed tree or one refusal out."""

    @pytest.mark.parametrize(
        ("text", "place", "word"),
        [
            ("amount / 2 > 1", "line 1, column 8", "safe_div"),
            ("amount >\n balance % 2", "line 2, column 10", "remainder"),
            ("amount > 1.5", "line 1, column 10", "minor units"),
            ("amount > 1e3", "line 1, column 10", "minor units"),
            ("amount > 9223372036854775808", "line 1, column 10", "64 bits"),
            ("now() > amount", "line 1, column 1", "now"),
            ("current_timestamp > amount", "CURRENT_TIMESTAMP", "subset"),
            ("amount > (SELECT 1)", "line 1, column 11", "sub-selects"),
            ("amount > 1; amount > 2", "line 1, column 11", "semicolon"),
            ("upper(word) = 'A'", "line 1, column 1", "UPPER"),
            ("word || 'a' = 'b'", "line 1, column 6", "text functions"),
            ("word < 'b'", "line 1, column 1", "no order"),
            ("word LIKE 'a%'", "line 1, column 1", "LIKE"),
            ("surname = 'a'", "line 1, column 1", "no column surname"),
            ("event.amount = 1", "line 1, column", "no column event.amount"),
            ("amount = 'a'", "line 1, column 1", "cannot be compared"),
            ("flag = TRUE", "line 1, column 1", "not compared"),
            ("amount <> NULL", "line 1, column 1", "IS [NOT] NULL"),
            ("balance NOT IN (1, 2)", "line 1, column", "silently never true"),
            ("bits(amount, count) > 0", "line 1, column", "written as a number"),
            ("bits(amount, -1) > 0", "line 1, column", "written as a number"),
            ("amount IN (1, NULL)", "line 1, column 1", "no NULL"),
            ("amount IN (SELECT 1)", "line 1, column 12", "sub-selects"),
            ("flag IS TRUE", "line 1, column 1", "IS [NOT] NULL"),
            ("LEAST(amount, balance) > 1", "line 1, column", "COALESCE"),
            ("CASE amount WHEN 1 THEN 2 END > 1", "line 1, column", "CASE WHEN"),
            ("CASE WHEN flag THEN 1 ELSE 'a' END = 1", "line 1, column", "one type"),
            ("amount::TEXT = 'a'", "line 1, column 7", "casts"),
            ("CAST(amount AS TEXT) = 'a'", "line 1, column", "CAST"),
            ("safe_div(amount, 2) > 1", "line 1, column 1", "arguments"),
            ("ABS(flag) > 1", "line 1, column 5", "int is wanted"),
            ("COUNT(*) > 1", "line 1, column 1", "COUNT"),
            ("? > amount", "line 1, column 1", "parameters"),
            ("amount", "line 1, column 1", "bool is wanted"),
            ("amount >", "line 1, column", ""),
            ("", "line 1, column 1", "missing"),
            ("'a", "", "not readable"),
        ],
    )
    def test_refuses_by_name_and_place(self, text: str, place: str, word: str) -> None:
        """What is outside the subset is refused with line, column and what to write instead."""
        with pytest.raises(ExpressionRefused) as refused:
            parse(text, schema=SCHEMA, wanted=Type.BOOL)

        assert place in refused.value.message
        assert word in refused.value.message

    @pytest.mark.parametrize(
        "text",
        [
            "(" * 5_000 + "amount" + ")" * 5_000 + " > 1",
            "NOT " * 1_900 + "flag",
            "- " * 3_000 + "amount > 1",
            "amount" + " + amount" * 800 + " > 1",
            " AND ".join(["amount > 1"] * 600),
            "amount IN (" + ", ".join("1" * 2_100) + ")",
            "amount > 1" + " " * 9_000,
            "CASE WHEN flag THEN " * 300 + "1" + " END" * 300 + " > 1",
            "(" * 60 + "SAFE_DIV(1," * 30 + "amount" + ", 1)" * 30 + ")" * 60 + " > 1",
        ],
        ids=["brackets", "not", "minus", "sum", "and", "in", "length", "case", "division"],
    )
    def test_refuses_a_text_that_would_explode(self, text: str) -> None:
        """Depth, size and repetition are limited before they cost anything."""
        with pytest.raises(ExpressionRefused):
            parse(text, schema=SCHEMA, wanted=Type.BOOL)

    def test_counts_lines_from_where_the_text_begins(self) -> None:
        """A refusal names the line of the file when told where the text stands."""
        with pytest.raises(ExpressionRefused, match="line 12, column 7"):
            parse("amount > 1\n  AND surname", schema=SCHEMA, line=11)

    def test_one_meaning_has_one_spelling(self) -> None:
        """Layout, brackets and case of keywords change neither text nor hash."""
        plain = parse("amount>1 AND NOT balance IS NULL", schema=SCHEMA)
        dressed = parse("((AMOUNT > 1)) and\n (balance is not null)".lower(), schema=SCHEMA)

        assert canonical(plain) == "((amount > 1) AND (NOT (balance IS NULL)))"
        assert digest(plain) == digest(dressed)

    def test_reads_its_own_spelling(self) -> None:
        """The canonical text parses to the tree that it was written from."""
        text = (
            "CASE WHEN flag THEN ABS(balance) ELSE safe_div(amount, count, NULL) END "
            "BETWEEN -5 AND COALESCE(balance, 7) OR amount IN (1, -2) OR word <> 'it''s' "
            "OR balance IS NOT DISTINCT FROM LEAST(amount, 3)"
        )

        tree = parse(text, schema=SCHEMA)

        assert parse(canonical(tree), schema=SCHEMA) == tree


class TestDistance:
    """The way between two points in whole metres."""

    def test_is_close_to_the_great_circle(self) -> None:
        """Rome to Milan is 477 km, within one percent."""
        metres = _distance(419_028, 124_964, 454_642, 91_900)

        assert isinstance(metres, int)
        assert abs(metres - 477_000) < 4_770

    def test_takes_the_short_way_around(self) -> None:
        """Two points on either side of the date line are neighbours."""
        metres = _distance(0, 1_799_000, 0, -1_799_000)

        assert metres == 2_000 * 111_319 // 10_000

    @pytest.mark.parametrize("latitude", [None, 900_001, -900_001])
    def test_is_null_where_there_is_no_point(self, latitude: int | None) -> None:
        """A missing or impossible coordinate has no distance."""
        assert _distance(latitude, 0, 0, 0) is None
