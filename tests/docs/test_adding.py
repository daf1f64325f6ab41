"""The recipes of docs/adding.md hold."""

import re
import shutil
from pathlib import Path

from scudo.bootstrap import CATALOGUE
from scudo.decisions import load_policy
from scudo.decisions.policy import STANDARD

GUIDE = (Path(__file__).resolve().parent.parent.parent / "docs" / "adding.md").read_text()


def blocks(language: str) -> list[str]:
    """Code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, flags=re.MULTILINE | re.DOTALL)


class TestAdding:
    """What the guide shows can be added as it stands."""

    def test_the_rule_that_is_shown_is_accepted(self, tmp_path: Path) -> None:
        """The example joins the shipped policy, which then has another hash."""
        rule = blocks("sql")[0]
        shutil.copytree(STANDARD, tmp_path / "policy")
        (tmp_path / "policy" / "rules" / "example.sql").write_text(rule)

        policy = load_policy(tmp_path / "policy")

        assert "night_owl" in {rule.name for rule in policy.rules}
        assert policy.hash != load_policy().hash

    def test_the_feature_that_is_shown_is_one_of_ours(self) -> None:
        """The example is a line of the shipped features."""
        feature = blocks("sql")[1].strip()

        assert feature in (STANDARD / "features.sql").read_text()

    def test_the_event_that_is_shown_is_in_the_catalogue(self) -> None:
        """The example's name and tag are those of the event."""
        (example,) = blocks("python")
        tags = {event.name: event.__struct_config__.tag for event in CATALOGUE.types}

        assert tags["ledger.account.closed.v1"] == 202
        assert "tag=202" in example
        assert "ledger.account.closed.v1" in example
