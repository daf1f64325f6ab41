"""Rules of operators' conduct: what counts, and files that are not as documented."""

from pathlib import Path

import pytest

from scudo.fabric.web import PrincipalKind
from scudo.governance.anomalies import Conduct, load_thresholds
from scudo.governance.anomalies.rules import THRESHOLDS
from scudo.kernel import InvariantBroken, parse_rfc3339

SHIPPED = load_thresholds()
RULES = {rule.name: rule for rule in SHIPPED.rules}
#: A Wednesday.
NOON = parse_rfc3339("2026-01-14T12:00:00Z")
NIGHT = parse_rfc3339("2026-01-14T02:00:00Z")
SUNDAY = parse_rfc3339("2026-01-18T12:00:00Z")


def conduct(**changed: object) -> Conduct:
    """An operator's ordinary read of a person's data, for a case, at noon."""
    members: dict[str, object] = {
        "actor": 7,
        "actor_kind": int(PrincipalKind.OPERATOR),
        "act": "vault.read_email",
        "result": "done",
        "reason": "support:cas_0000000000000001",
        "of_person": True,
        "at": NOON,
    }
    return Conduct(**(members | changed))  # type: ignore[arg-type]


class TestRules:
    """The shipped rules."""

    @pytest.mark.parametrize(
        ("changed", "counting"),
        [
            ({}, {"reads_above_own_baseline"}),
            ({"of_person": False}, set()),
            ({"reason": "support:asked"}, {"reads_above_own_baseline", "reads_without_case"}),
            ({"at": NIGHT}, {"reads_above_own_baseline", "acts_at_odd_hours"}),
            ({"at": SUNDAY}, {"reads_above_own_baseline", "acts_at_odd_hours"}),
            ({"act": "payments.release", "of_person": True}, {"many_overrides"}),
            ({"act": "payments.release", "result": "not_held"}, {"repeated_refusals"}),
            ({"act": "flags.set"}, set()),
        ],
    )
    def test_count_what_they_say(self, changed: dict[str, object], counting: set[str]) -> None:
        """Each act counts for the rules that it concerns, and for no other."""
        act = conduct(**changed)

        assert {n for n, rule in RULES.items() if rule.counts(act, SHIPPED.office)} == counting

    @pytest.mark.parametrize(
        ("usual", "threshold"), [(0, 30), (5, 30), (10, 30), (11, 33), (100, 300)]
    )
    def test_a_threshold_grows_with_what_is_usual(self, usual: int, threshold: int) -> None:
        """Three times the own mean, and never fewer than thirty."""
        assert RULES["reads_above_own_baseline"].threshold(usual) == threshold

    @pytest.mark.parametrize(
        ("kind", "actor", "watched"),
        [
            (PrincipalKind.OPERATOR, 7, True),
            (PrincipalKind.CLIENT, 7, True),
            (PrincipalKind.CUSTOMER, 7, False),
            (PrincipalKind.NOBODY, 0, False),
            (PrincipalKind.CLIENT, 0, False),
        ],
    )
    def test_watch_the_banks_own_people(
        self, kind: PrincipalKind, actor: int, *, watched: bool
    ) -> None:
        """Not customers, not strangers, not the bank itself."""
        assert SHIPPED.watches(conduct(actor=actor, actor_kind=int(kind))) is watched

    @pytest.mark.parametrize(
        ("found", "put"),
        [
            ('severity = "high"', 'severity = "huge"'),
            ("at_least = 30", "at_least = 0"),
            ("at_least = 30", "at_least = 30\ncolour = 1"),
            ('name = "many_overrides"', 'name = "repeated_refusals"'),
            ('timezone = "UTC"', 'timezone = "Nowhere/Atlantis"'),
            ('watched = ["operator", "client"]', 'watched = ["everybody"]'),
            ("[office]", "[office"),
            ('acts = ["*.read*", "*.show*"]', "acts = []"),
        ],
    )
    def test_a_file_that_is_not_as_documented_is_refused(
        self, tmp_path: Path, found: str, put: str
    ) -> None:
        """Nobody is left unwatched by a slip of the pen."""
        text = THRESHOLDS.read_text()
        assert found in text
        file = tmp_path / "thresholds.toml"
        file.write_text(text.replace(found, put, 1))

        with pytest.raises(InvariantBroken, match=r"thresholds\.toml"):
            load_thresholds(file)

    def test_offices_have_a_time_zone(self, tmp_path: Path) -> None:
        """Two in the morning in UTC is ten in Singapore."""
        file = tmp_path / "thresholds.toml"
        text = THRESHOLDS.read_text().replace('timezone = "UTC"', 'timezone = "Asia/Singapore"')
        file.write_text(text)

        assert SHIPPED.office.is_closed(NIGHT)
        assert not load_thresholds(file).office.is_closed(NIGHT)
