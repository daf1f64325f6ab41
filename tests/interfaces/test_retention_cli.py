"""`scudo retention`, as it is used at the bank's machine."""

import json

import pytest
from tests.interfaces.test_operator_cli import run


class TestRetention:
    # Four runs of the program, each with a database, two with a vault of their own.
    @pytest.mark.timeout(300)
    def test_runs_the_job_and_reports_what_it_found(self, tmp_path):
        """Before a run nothing is known; after it each rule has figures, and none is overdue."""
        tmp_path.chmod(0o755)
        home = tmp_path / "home"
        assert run(home, "init").returncode == 0

        before = run(home, "retention", "report", "--json")
        ran = run(home, "retention", "run", "--json")
        after = run(home, "retention", "report", "--json")

        assert (before.returncode, ran.returncode, after.returncode) == (0, 0, 0), ran.stderr
        assert {rule["ran_at"] for rule in json.loads(before.stdout)["rules"]} == {None}
        told = {rule["rule"]: rule for rule in json.loads(ran.stdout)["rules"]}
        assert {rule["result"] for rule in told.values()} == {"done"}
        report = json.loads(after.stdout)
        kept = {rule["name"]: rule["kept"] for rule in report["rules"] if rule["ran_at"]}
        assert kept == {name: rule["kept"] for name, rule in told.items()}
        assert not any(rule["is_overdue"] for rule in report["rules"])
        assert report["legal_holds"] == []
