"""Reading feature definitions and rules: what is refused, and where."""

import pytest

from scudo.decisions import DefinitionRefused, Gate, Outcome
from scudo.decisions.expressions import ColumnType, Schema, Type, canonical
from scudo.decisions.features import FeatureSet, Function, read_features
from scudo.decisions.rules import Rule, WhenNull, read_rules

BEFORE = "PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW"
WINDOW = "PARTITION BY card ORDER BY ordered_at RANGE BETWEEN INTERVAL 1 HOUR PRECEDING"
HOUR = f"WINDOW w AS ({WINDOW} AND CURRENT ROW)"
EVER = f"WINDOW w AS (PARTITION BY card ORDER BY ordered_at RANGE BETWEEN UNBOUNDED {BEFORE})"


def _features(column: str, window: str = HOUR) -> FeatureSet:
    return read_features(f"SELECT\n  {column}\nFROM gate_event\n{window}", source="f.sql")


class TestReadFeatures:
    """Definitions are valid SQL of a few forms; everything else is refused by name."""

    @pytest.mark.parametrize(
        ("column", "function"),
        [
            ("COUNT(*) OVER w AS a", Function.COUNT),
            ("COALESCE(SUM(amount_minor) OVER w, 0) AS a", Function.SUM),
            ("MEAN(amount_minor * 2) OVER w AS a", Function.MEAN),
            ("MIN(amount_minor) OVER w AS a", Function.MIN),
            ("MAX(amount_minor) FILTER (WHERE channel = 4) OVER w AS a", Function.MAX),
            ("LEAST(COUNT(DISTINCT merchant) OVER w, 8) AS a", Function.DISTINCT),
        ],
    )
    def test_tells_the_function_from_its_form(self, column: str, function: Function) -> None:
        """Each form of SQL stands for one function."""
        (feature,) = _features(column).features

        assert feature.function is function
        assert feature.window.span_us == 3_600_000_000
        assert feature.window.includes_self

    @pytest.mark.parametrize(
        ("column", "function"),
        [
            ("ARG_MAX(merchant, ordered_at) OVER w AS a", Function.LATEST),
            ("ordered_at - MAX(ordered_at) OVER w AS a", Function.SINCE_LATEST),
            ("ordered_at - MIN(ordered_at) OVER w AS a", Function.SINCE_FIRST),
        ],
    )
    def test_looks_back_without_end_for_the_latest_and_the_first(
        self, column: str, function: Function
    ) -> None:
        """Latest, time since and first seen are over all earlier events."""
        (feature,) = _features(column, EVER).features

        assert feature.function is function
        assert feature.window.span_us is None
        assert not feature.window.includes_self

    @pytest.mark.parametrize(
        ("column", "word"),
        [
            ("COUNT(*) OVER w", "has a name"),
            ("COUNT(*) OVER w AS Shout", "has a name"),
            ("COUNT(*) OVER w AS card", "is taken"),
            ("COUNT(*) OVER w AS a, COUNT(*) OVER w AS a", "is taken"),
            ("COUNT(*) OVER v AS a", "no window v"),
            ("COUNT(*) OVER (PARTITION BY card) AS a", "named window"),
            ("COUNT(card) OVER w AS a", "not a feature function"),
            ("SUM(amount_minor) OVER w AS a", "COALESCE(SUM(x) OVER w, 0)"),
            ("COALESCE(SUM(amount_minor) OVER w, 1) AS a", "not a form"),
            ("AVG(amount_minor) OVER w AS a", "not a feature function"),
            ("STDDEV(amount_minor) OVER w AS a", "not a feature function"),
            ("MAX(surname) OVER w AS a", "no column surname"),
            ("MAX(approved) OVER w AS a", "no column approved"),
            ("MAX(amount_minor / 2) OVER w AS a", "bare division"),
            ("MAX(amount_minor > 2) OVER w AS a", "int is wanted"),
            ("COUNT(*) FILTER (WHERE declined) OVER w AS a", "EXCLUDE CURRENT ROW"),
            ("COUNT(*) FILTER (WHERE amount_minor) OVER w AS a", "bool is wanted"),
            ("LEAST(COUNT(DISTINCT ip) OVER w, 65) AS a", "cap"),
            ("COUNT(DISTINCT ip) OVER w AS a", "not a feature function"),
            ("ARG_MAX(merchant, ordered_at) OVER w AS a", "UNBOUNDED"),
            ("ordered_at - MIN(ordered_at) OVER w AS a", "UNBOUNDED"),
            ("ordered_at - MIN(amount_minor) OVER w AS a", "MIN or MAX(ordered_at)"),
            ("amount_minor AS a", "not a form"),
        ],
    )
    def test_refuses_other_columns(self, column: str, word: str) -> None:
        """A column that is no feature is refused with the file, the line and the way out."""
        with pytest.raises(DefinitionRefused) as refused:
            _features(column)

        assert word in refused.value.message
        assert "f.sql" in refused.value.message
        assert "line 2" in refused.value.message

    @pytest.mark.parametrize(
        ("frame", "word"),
        [
            ("PARTITION BY surname ORDER BY ordered_at", "PARTITION BY"),
            ("ORDER BY ordered_at", "PARTITION BY"),
            ("PARTITION BY card, card ORDER BY ordered_at", "PARTITION BY"),
            ("PARTITION BY card, ip, device ORDER BY ordered_at", "PARTITION BY"),
            ("PARTITION BY card ORDER BY occurred_at", "ORDER BY ordered_at"),
            ("PARTITION BY card ORDER BY ordered_at DESC", "ORDER BY ordered_at"),
            ("PARTITION BY card ORDER BY ordered_at", "frame"),
            (
                "PARTITION BY card ORDER BY ordered_at ROWS BETWEEN 5 PRECEDING AND CURRENT ROW",
                "RANGE",
            ),
            (WINDOW.replace("1 HOUR", "2 HOURS") + " AND CURRENT ROW", "tiled"),
            (WINDOW.replace("1 HOUR", "1 MONTH") + " AND CURRENT ROW", "INTERVAL"),
            (WINDOW + " AND UNBOUNDED FOLLOWING", "CURRENT ROW"),
            (WINDOW + " AND CURRENT ROW EXCLUDE TIES", "EXCLUDE CURRENT ROW"),
            (
                WINDOW.replace("INTERVAL 1 HOUR", "tiled(INTERVAL 5 DAYS, INTERVAL 2 DAYS)")
                + " AND CURRENT ROW",
                "divides",
            ),
            (
                WINDOW.replace("INTERVAL 1 HOUR", "tiled(INTERVAL 30 DAYS, INTERVAL 1 MINUTE)")
                + " AND CURRENT ROW",
                "divides",
            ),
        ],
    )
    def test_refuses_other_windows(self, frame: str, word: str) -> None:
        """A window that the engines could read differently is refused."""
        with pytest.raises(DefinitionRefused) as refused:
            _features("COUNT(*) OVER w AS a", f"WINDOW w AS ({frame})")

        assert word in refused.value.message
        assert "f.sql" in refused.value.message

    @pytest.mark.parametrize(
        "text",
        ["", "SELECT 1", "DROP TABLE gate_event", "SELECT COUNT(*) FROM other", "SELECT ("],
    )
    def test_refuses_what_is_no_list_of_features(self, text: str) -> None:
        """Only one SELECT from gate_event is accepted."""
        with pytest.raises(DefinitionRefused, match=r"f\.sql"):
            read_features(text, source="f.sql")

    def test_comments_and_layout_leave_the_hash_alone(self) -> None:
        """Only a change of meaning, or of the vector's order, changes the hash."""
        plain = _features("COUNT(*) OVER w AS a, MIN(mcc) OVER w AS b")
        dressed = _features("-- how often\n  COUNT( * )  OVER w AS a,\n  MIN(mcc) OVER w AS b")
        turned = _features("MIN(mcc) OVER w AS b, COUNT(*) OVER w AS a")

        assert plain.hash == dressed.hash
        assert plain.hash != turned.hash


SCHEMA: Schema = {
    "amount_minor": ColumnType(Type.INT),
    "card_count": ColumnType(Type.INT, nullable=True),
}

HEADER = {
    "rule": "too_many",
    "outcome": "step_up",
    "reason": "velocity",
    "priority": "10",
    "when null": "fail_closed",
    "typology": "velocity",
    "owner": "card fraud",
    "gates": "card, payment",
    "says": "{card_count} payments, the latest of {amount_minor:money}.",
}
BODY = "SELECT card_count >= 4\n  AND amount_minor > 100;"


def _text(body: str = BODY, **changes: str | None) -> str:
    header = HEADER | {name.replace("_", " "): value for name, value in changes.items()}
    lines = [f"-- {name}: {value}" for name, value in header.items() if value is not None]
    return "\n".join(["-- A file of rules.", "", *lines, body, ""])


def _rules(text: str) -> tuple[Rule, ...]:
    return read_rules(text, source="r.sql", schema=SCHEMA)


class TestReadRules:
    """Rules are a header of comments and one condition."""

    def test_reads_header_and_condition(self) -> None:
        """Every line of the header and the condition become the rule."""
        (rule,) = _rules(_text())

        assert rule.name == "too_many"
        assert rule.outcome is Outcome.STEP_UP
        assert rule.when_null is WhenNull.FAIL_CLOSED
        assert rule.gates == (Gate.PAYMENT, Gate.CARD)
        assert canonical(rule.condition) == "((card_count >= 4) AND (amount_minor > 100))"
        assert rule.source == "r.sql, line 3"

    def test_joins_a_sentence_of_several_lines(self) -> None:
        """A sentence may be written over several lines."""
        (rule,) = _rules(_text(says="One,\n-- says: two."))

        assert rule.sentence == "One, two."

    def test_reads_many_rules_with_comments_between(self) -> None:
        """Rules follow each other; comments inside and between them mean nothing."""
        body = "-- why 4: see the analysis\nSELECT card_count >= 4; "
        found = _rules(_text(body) + "\n-- The next.\n" + _text(rule="another"))

        assert [rule.name for rule in found] == ["too_many", "another"]

    @pytest.mark.parametrize(
        ("text", "line", "word"),
        [
            (_text(outcome="allow"), 4, "outcome is one of"),
            (_text(outcome=None), 3, "lacks outcome"),
            (_text(rule="Too Many"), 3, "lower_case"),
            (_text(priority="high"), 6, "number"),
            (_text(when_null="maybe"), 7, "ignore, review, fail_closed"),
            (_text(gates="card, door"), 10, "payment, card"),
            (_text(says="{surname} paid"), 11, "surname"),
            (_text(says="{card_count:roman}"), 11, "can be told as"),
            (_text(says="{card_count!r}"), 11, "can be told as"),
            (_text(says="{card_count"), 11, "not readable"),
            (_text(owner="x\n-- colour: blue"), 10, "colour is not one of"),
            (_text(owner="x\n-- owner: y"), 10, "given twice"),
            (_text(BODY.removesuffix(";")), 3, "semicolon"),
            (_text("card_count >= 4;"), 12, "SELECT"),
            (_text("SELECT card_count >= 4\n  AND surname = 1;"), 13, "column 7: there is no"),
            (_text("SELECT card_count;"), 12, "bool is wanted"),
            (_text("SELECT;"), 12, "SELECT"),
            ("SELECT 1;", 1, "begins with"),
        ],
    )
    def test_refuses_by_file_and_line(self, text: str, line: int, word: str) -> None:
        """Every mistake is named with its file, its line and what is wanted there."""
        with pytest.raises(DefinitionRefused) as refused:
            _rules(text)

        assert f"r.sql, line {line}" in refused.value.message
        assert word in refused.value.message
