"""`scudo operator`, as it is used at the bank's machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scudo.identity import operators

SCUDO = str(Path(sys.executable).parent / "scudo")


def run(home, *arguments):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCUDO_")}
    return subprocess.run(
        [SCUDO, *arguments],
        env={**kept, "SCUDO_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


class TestOperator:
    # Five runs of the program, each with a database and a vault of its own.
    @pytest.mark.timeout(180)
    def test_begins_a_bank_with_two_people_once_and_seals_its_glass(self, tmp_path):
        """Two invitations are shown once; a second time is refused; two of three shares fit."""
        tmp_path.chmod(0o755)
        home = tmp_path / "home"
        assert run(home, "init").returncode == 0

        first = run(home, "operator", "enroll-first", "s4711", "s4712", "--json")
        again = run(home, "operator", "enroll-first", "s4713", "s4714", "--json")
        sealed = run(home, "operator", "seal-break-glass", "--json")
        unfit = run(home, "operator", "seal-break-glass", "--threshold", "5", "--json")

        invited = json.loads(first.stdout)
        assert [one["handle"] for one in invited] == ["s4711", "s4712"]
        assert len({one["invitation"] for one in invited}) == 2
        assert (again.returncode, json.loads(again.stdout)["refused"]) == (3, "operators_exist")
        shares = json.loads(sealed.stdout)["shares"]
        assert operators.digest_of_shares(shares[:2]) == operators.digest_of_shares(shares[1:])
        assert operators.digest_of_shares(shares[:2]) != b""
        assert (unfit.returncode, json.loads(unfit.stdout)["refused"]) == (3, "break_glass_unfit")
