"""The command line, as a person or a script uses it, on an embedded bank of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from scudo.fabric.postgres import EmbeddedServer

SCUDO = str(Path(sys.executable).parent / "scudo")
COMMANDS = (
    *("init", "serve", "replay", "verify", "why", "prove", "check-proof", "bench", "doctor"),
    *("demo", "token"),
)
#: Modules that take long to load and that `--help` needs none of.
HEAVY = ("duckdb", "psycopg", "sqlglot", "uvicorn", "httpx", "rich.console")


def environment(home):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCUDO_")}
    return {**kept, "SCUDO_HOME": str(home), "SCUDO_PORT": "0"}


def run(home, *arguments, cwd=None, **more):
    return subprocess.run(
        [SCUDO, *map(str, arguments)],
        env={**environment(home), **more},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a bank, and what `init --json` said when it was made."""
    folder = tmp_path_factory.mktemp("bank")
    # Whoever runs the database as root's stand-in has to reach its folder.
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(parent.stat().st_mode | 0o011)
    home = folder / "home"
    done = run(home, "init", "--json")
    assert done.returncode == 0, done.stderr
    # As long as somebody is attached, PostgreSQL does not stop after every command.
    with EmbeddedServer(home):
        yield home, json.loads(done.stdout)


@pytest.fixture
def home(made):
    return made[0]


class TestHelp:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_teaches_every_command(self, tmp_path, command):
        """Every command says what it does, and shows how unless it needs no words."""
        done = run(tmp_path, command, "--help")

        assert done.returncode == 0
        assert "Usage: scudo" in done.stdout
        assert "Examples:" in done.stdout or command == "demo"

    def test_loads_nothing_heavy(self):
        """The command line itself imports none of what its commands need."""
        code = "import sys, scudo.interfaces.cli; print(*sys.modules)"

        loaded = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()

        assert set(HEAVY).isdisjoint(loaded)

    @pytest.mark.parametrize("arguments", [("nonsense",), ("replay",), ("why", "--nonsense", "x")])
    def test_is_offered_after_wrong_usage(self, tmp_path, arguments):
        """Wrong usage ends with code 2 and no traceback."""
        done = run(tmp_path, *arguments)

        assert done.returncode == 2
        assert "Traceback" not in done.stderr


class TestInit:
    def test_tells_the_token_once(self, made):
        """The first run makes the bank and prints the token; a second changes nothing."""
        home, first = made

        again = json.loads(run(home, "init", "--json").stdout)

        assert first["made"] is True
        assert first["token"].startswith("scudo_")
        assert again == {**first, "made": False, "token": None}

    def test_keeps_the_token_from_others(self, made):
        """The owner's copy is readable by nobody else."""
        home, first = made
        kept = home / "token"

        assert kept.stat().st_mode & 0o777 == 0o600
        assert len(kept.read_text().strip()) == len(first["token"])

    def test_gives_a_new_token_when_asked(self, home):
        """--new-token prints another token and keeps that one."""
        before = (home / "token").read_text()

        given = json.loads(run(home, "init", "--new-token", "--json").stdout)

        assert given["token"] != before.strip()
        assert (home / "token").read_text().strip() == given["token"]


class TestToken:
    def test_is_given_with_scopes(self, home):
        """A client gets a token with exactly the scopes that were named."""
        done = run(home, "token", "shop", "--scope", "payments:write", "--json")

        given = json.loads(done.stdout)
        assert given["client"] == "shop"
        assert given["scopes"] == ["payments:write"]
        assert given["token"].startswith("scudo_")

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [(("--scope", "payments:steal"), "scope_unknown"), ((), "scopes_missing")],
    )
    def test_is_refused_with_what_to_do(self, home, arguments, code):
        """A scope that does not exist, or none, is refused by code with a next step."""
        done = run(home, "token", "shop", *arguments)

        assert done.returncode == 3
        assert done.stdout == ""
        assert code in done.stderr
        assert "next" in done.stderr
        assert "Traceback" not in done.stderr


class TestBooks:
    def test_of_an_empty_bank_are_right(self, home):
        """`verify --json` prints one object with the promised keys."""
        done = run(home, "verify", "--json")

        verdict = json.loads(done.stdout)
        assert done.returncode == 0
        assert list(verdict) == [
            *("ok", "rows", "accounts", "transfers", "chain_length", "head", "first_bad")
        ]
        assert verdict["ok"] is True

    def test_are_asked_for_where_there_is_no_bank(self, tmp_path):
        """A folder without a bank is refused and stays empty."""
        done = run(tmp_path / "nothing", "verify", "--json")

        assert done.returncode == 3
        assert json.loads(done.stdout)["refused"] == "bank_not_found"
        assert not (tmp_path / "nothing").exists()


class TestWhy:
    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("pay_0000000000000001", "id_unknown"),
            ("dec_0000000000000001", "id_unknown"),
            ("alt_0000000000000001", "id_unknown"),
            ("pay_1", "id_malformed"),
            ("something", "id_unknown"),
        ],
    )
    def test_is_refused_for_what_is_not_there(self, home, text, code):
        """An id of nothing is refused, with one JSON object."""
        done = run(home, "why", text, "--json")

        assert done.returncode == 3
        assert json.loads(done.stdout)["refused"] == code


class TestProve:
    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (("pay_00000000000fffff",), "entry_unknown"),
            (("pay_1",), "id_malformed"),
            ((), "proof_unclear"),
            (("pay_0000000000000001", "--from", "1", "--to", "2"), "proof_unclear"),
            (("--from", "1"), "proof_unclear"),
            (("--from", "1", "--to", "2"), "head_unknown"),
        ],
    )
    def test_is_refused_for_what_is_not_there(self, home, tmp_path, arguments, code):
        """Nothing is written; what is missing is said with a next step."""
        done = run(home, "prove", *arguments, cwd=tmp_path)

        assert done.returncode == 3
        assert code in done.stderr
        assert list(tmp_path.iterdir()) == []


class TestCheckProof:
    def test_ends_with_2_for_what_it_cannot_read(self, home, tmp_path):
        """A file that is no proof is told from a proof that does not hold; no bank is needed."""
        (tmp_path / "proof.json").write_text("{}")

        done = run(tmp_path / "nowhere", "check-proof", tmp_path / "proof.json")

        assert done.returncode == 2
        assert done.stdout.startswith("Cannot be read: ")
        assert run(tmp_path / "nowhere", "check-proof").returncode == 2
        assert run(tmp_path / "nowhere", "check-proof", "--witness", tmp_path).returncode == 1
        assert not (tmp_path / "nowhere").exists()


class TestDoctor:
    def test_says_that_a_witness_in_the_home_is_no_second_place(self, home):
        """The finding is not vital, and cannot be overlooked."""
        examined = json.loads(run(home, "doctor", "--json").stdout)

        (witness,) = (found for found in examined["findings"] if found["name"] == "witness")
        assert witness["ok"] is False
        assert "NO SECOND PLACE" in witness["found"]
        assert "SCUDO_WITNESS" in witness["next_step"]

    def test_finds_a_new_bank_well(self, home):
        """A bank as init makes it is durable and its files are private."""
        done = run(home, "doctor", "--json")

        examined = json.loads(done.stdout)
        assert done.returncode == 0, examined
        assert examined["ok"] is True
        assert {"fsync", "full_page_writes", "synchronous_commit"} <= {
            finding["name"] for finding in examined["findings"]
        }


class TestBench:
    def test_is_refused_for_an_unknown_measure(self, home, tmp_path):
        """A measure that does not exist is refused and nothing is written."""
        done = run(home, "bench", "nonsense", "--json", cwd=tmp_path)

        assert done.returncode == 3
        assert not (tmp_path / "build").exists()


class TestServe:
    def test_prints_its_address_and_ends_in_order(self, home):
        """SCUDO_PORT=0 takes a free port, prints one line, and SIGTERM ends it with code 0."""
        process = subprocess.Popen(
            [SCUDO, "serve"],
            env=environment(home),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            address = process.stdout.readline().strip()
            with urllib.request.urlopen(f"{address}/health/live", timeout=10) as answer:
                assert answer.status == 200
            process.send_signal(signal.SIGTERM)
            rest, _ = process.communicate(timeout=30)
        finally:
            process.kill()
            process.communicate()

        assert address.startswith("http://127.0.0.1:")
        assert rest == ""
        assert process.returncode == 0


#: What the demo shows of a customer with a phone, and of thieves.
WAY = {
    "signs up by e-mail": "a code is mailed",
    "enters the code from the mail": "cus_[0-9a-f]{16}, bound to its phone",
    "adds a passkey and logs in by it": "a session by passkey",
    "gets an account": "20,000.00 EUR on it",
    "pays 10.00 EUR to a payee, 3 times": "settled",
    "pays 1,000.00 EUR to a new payee": "stepped up: the money waits",
    "signs payment, amount and payee by passkey": "settled",
    "thief: stolen token, without its key": "key_mismatched; the token is dead",
    "thief: a proof that was used, sent again": "proof_replayed; its owner goes on",
    "thief: old refresh token, used again": "refresh_refused; the session has ended",
}


class TestDemo:
    @pytest.mark.timeout(300)
    def test_lives_a_day_without_a_terminal_and_leaves_nothing(self, tmp_path):
        """A day, a customer's way, three thefts refused, proof; then its bank is gone."""
        kept = environment(tmp_path)
        kept.pop("SCUDO_HOME")
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        for parent in (temporary, tmp_path, *tmp_path.parents[:3]):
            parent.chmod(parent.stat().st_mode | 0o011)

        done = subprocess.run(
            [SCUDO, "demo", "--payments", "600"],
            env={**kept, "TMPDIR": str(temporary)},
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )

        assert done.returncode == 0, done.stderr
        for said in ("The payment was allowed", "was declined", "identical", "books are right"):
            assert said in done.stdout
        shown = [line.strip() for line in done.stdout.splitlines()]
        for what, told in WAY.items():
            (line,) = [line for line in shown if line.startswith(what)]
            assert re.search(rf"  {told} +[\d,]+$", line), line
        assert "\x1b[" not in done.stdout
        assert "DEVELOPMENT VAULT: its root key lies in a file" in done.stderr
        assert not [line for line in done.stderr.splitlines() if line.startswith("{")]
        assert list(temporary.glob("scudo-demo-*")) == []

    @pytest.mark.timeout(400)
    def test_that_stays_is_told_again_and_its_advice_can_be_followed(self, tmp_path):
        """Run twice it tells the same day; another day is refused; what it says next works."""
        env = environment(tmp_path)

        def run(*words):
            return subprocess.run(
                [SCUDO, *words], env=env, capture_output=True, text=True, check=False, timeout=200
            )

        first, second = run("demo", "--payments", "600"), run("demo", "--payments", "600")
        other = run("demo", "--payments", "600", "--seed", "8")

        assert (first.returncode, second.returncode) == (0, 0), second.stderr
        told = [
            done.stdout.split("The bank stays")[0].split("Try next:")[1] for done in (first, second)
        ]
        assert told[0] == told[1]
        assert "replay FILE" not in told[0]
        assert "init" not in told[0]
        assert other.returncode == 3
        assert re.search(r"code +day_out_of_time\nnext +Nothing moved\.", other.stderr)
        payment = re.search(r"pay_[0-9a-f]{16}", second.stdout).group()
        advised = [line.split()[1:] for line in told[0].splitlines() if "scudo " in line]
        assert [words[0] for words in advised] == ["why", "serve", "verify", "doctor"]
        assert run("why", payment, "--replay").returncode == 0
        assert run("verify").returncode == 0
        assert run("doctor").returncode == 0
        log = (Path(env["SCUDO_HOME"]) / "demo.log").read_text()
        assert all(line.startswith("{") for line in log.splitlines())
