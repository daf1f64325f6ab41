"""`scudo replay`: a file through the whole path, interrupted and run again."""

import json
import signal
import time

import httpx
import msgspec
import pytest

from scudo.simulation import Report

KEYS = [
    *("events", "accepted", "reviewed", "held", "stepped_up", "declined", "blocked", "refused"),
    *("rate", "decide_p50_us", "decide_p99_us", "alerts", "precision", "recall_by_scenario"),
    "verified",
]
COUNTS = KEYS[1:8]
#: What must be the same after any interruption; times of our own clock are not compared.
STATES = {
    "log": "SELECT position, ordered_at, client, event_count, status, command, events, answer"
    " FROM fabric.log_entry ORDER BY position",
    "accounts": "SELECT id, owner, credits_posted, debits_posted, credits_held, debits_held,"
    " version FROM ledger.account ORDER BY id",
    "decisions": "SELECT id, subject, ordered_at, outcome FROM decisions.decision ORDER BY id",
}


def state_of(database):
    return {name: database.connection.execute(query).fetchall() for name, query in STATES.items()}


def counts(report):
    return {name: report[name] for name in KEYS if name != "rate" and "_us" not in name}


class TestReport:
    def test_has_exactly_the_promised_keys(self):
        """The keys of the JSON object are those that were promised, in their order."""
        assert list(msgspec.to_builtins(Report(events=0))) == KEYS

    def test_counts_every_transaction_once(self, scudo, only_object, file):
        """Counts are disjoint and sum to the events; a zero amount is refused and recorded."""
        done = scudo("replay", file, "--json")

        report = only_object(done)
        assert done.returncode == 0, done.stderr
        assert list(report) == KEYS
        assert report["events"] == 300 == sum(report[name] for name in COUNTS)
        assert report["refused"] == 1
        assert report["stepped_up"] > 0
        assert report["alerts"] == sum(report[name] for name in COUNTS[1:6])
        assert report["recall_by_scenario"] == {"1": 1.0}
        assert 0 < report["precision"] <= 1
        assert report["verified"] is True

    def test_leaves_words_to_standard_error(self, scudo, file):
        """Without --json people are told in words, and progress never goes to their output."""
        done = scudo("replay", file)

        assert "300 transactions" in done.stdout
        assert "verified" in done.stdout
        assert "Replaying" not in done.stdout


class TestSecondRun:
    def test_moves_nothing_and_reports_the_same(self, scudo, only_object, file, database):
        """The same file again changes no row and gives the same counts."""
        first = only_object(scudo("replay", file, "--json"))
        before = state_of(database)

        second = only_object(scudo("replay", file, "--json"))

        assert counts(second) == counts(first)
        assert second["decide_p50_us"] == first["decide_p50_us"]
        assert second["rate"] == 0
        assert state_of(database) == before

    def test_goes_on_after_a_limit(self, command_on, only_object, file, database, empty_database):
        """A limited run and a full one end where one full run ends, to the last row."""
        limited = only_object(command_on(database)("replay", file, "--limit", 120, "--json"))

        whole = only_object(command_on(database)("replay", file, "--json"))

        command_on(empty_database)("replay", file)
        assert limited["events"] == 120
        assert whole["events"] == 300
        assert state_of(database) == state_of(empty_database)

    @pytest.mark.timeout(300)
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
    def test_goes_on_after_a_signal(
        self,
        number,
        command_on,
        start,
        only_object,
        transactions,
        write_parquet,
        database,
        empty_database,
    ):
        """Cut off in the middle and run again, log, balances and decisions end up the same."""
        path = write_parquet("long.parquet", transactions(9_000))
        process = start("replay", path, "--json")
        while process.poll() is None and rows(database) < 1_200:
            time.sleep(0.02)
        process.send_signal(number)
        said, _ = process.communicate(timeout=60)
        cut = rows(database)

        report = only_object(command_on(database)("replay", path, "--json"))

        assert process.returncode == (130 if number is signal.SIGINT else -number)
        assert 0 < cut < 9_000
        assert not said or json.loads(said)["events"] == cut
        assert bool(said) == (number is signal.SIGINT)
        uninterrupted = only_object(command_on(empty_database)("replay", path, "--json"))
        assert counts(report) == counts(uninterrupted)
        assert report["verified"] is True
        assert state_of(database) == state_of(empty_database)

    def test_continues_with_the_next_file(
        self, scudo, only_object, transactions, write_parquet, database
    ):
        """A later file goes on with the customers of the first."""
        rows_of = transactions(400)
        first = write_parquet("first.parquet", rows_of[:200])
        second = write_parquet("second.parquet", rows_of[200:])
        scudo("replay", first)
        customers = "SELECT count(*) FROM identity.customer"
        before = database.connection.execute(customers).fetchone()

        report = only_object(scudo("replay", second, "--json"))

        assert report["events"] == 200
        assert report["verified"] is True
        assert database.connection.execute(customers).fetchone() == before


def rows(database):
    query = "SELECT count(*) FROM payments.payment"
    refused = "SELECT count(*) FROM fabric.log_entry WHERE status >= 400"
    return sum(database.connection.execute(q).fetchone()[0] for q in (query, refused))


class TestRefusal:
    def test_names_a_file_that_is_not_one(self, scudo, tmp_path, database):
        """A foreign file is refused with code and next step, before anything moves."""
        path = tmp_path / "notes.txt"
        path.write_text("no transactions")

        done = scudo("replay", path)

        assert done.returncode == 3
        assert "file_unreadable" in done.stderr
        assert "next" in done.stderr
        assert "Traceback" not in done.stderr
        assert state_of(database)["log"] == []

    def test_protects_a_log_that_is_past_the_file(
        self, scudo, only_object, transactions, write_parquet, database
    ):
        """A file of an earlier time is refused by a log that has moved on."""
        late = transactions(50)
        early = [{**row, "tx_datetime": row["tx_datetime"].replace("2020", "2019")} for row in late]
        scudo("replay", write_parquet("late.parquet", late))
        before = state_of(database)

        done = scudo("replay", write_parquet("early.parquet", early), "--json")

        assert done.returncode == 3
        assert only_object(done)["refused"] == "file_out_of_time"
        assert state_of(database) == before

    def test_protects_a_log_of_live_traffic(self, scudo, only_object, file, database):
        """Where live traffic has run, a file cannot drive the clock."""
        database.connection.execute("UPDATE fabric.log_head SET clock = 'live'")

        done = scudo("replay", file, "--json")

        assert done.returncode == 3
        assert only_object(done)["refused"] == "clock_is_live"


class TestRecordedTransactions:
    def test_are_replayed(self, scudo, only_object, handbook):
        """The first recorded transactions pass the whole path and the books are right."""
        report = only_object(scudo("replay", handbook, "--limit", 1_000, "--json"))

        assert report["events"] == 1_000 == sum(report[name] for name in COUNTS)
        assert report["verified"] is True


class TestOverHttp:
    @pytest.mark.timeout(300)
    def test_comes_to_the_same_as_in_process(
        self, start, command_on, only_object, file, database, empty_database
    ):
        """Through a server, in two runs, the counts are those of one run in process."""
        server = start("serve")
        address = server.stdout.readline().strip()
        assert address.startswith("http://"), server.stderr.read()
        over_http = command_on(database)
        first = only_object(over_http("replay", file, "--limit", 60, "--url", address, "--json"))

        whole = only_object(over_http("replay", file, "--url", address, "--json"))

        in_process = only_object(command_on(empty_database)("replay", file, "--json"))
        unlike = {"decide_p50_us", "decide_p99_us", "rate", "verified"}
        assert first["events"] == 60
        assert {k: v for k, v in whole.items() if k not in unlike} == {
            k: v for k, v in in_process.items() if k not in unlike
        }
        assert only_object(over_http("verify", "--json"))["ok"] is True

    def test_stops_where_somebody_else_has_asked(self, start, scudo, only_object, file):
        """A stranger's sign-up makes the log live: the run says so, and counts nothing undone."""
        server = start("serve")
        address = server.stdout.readline().strip()
        assert only_object(scudo("replay", file, "--limit", 5, "--url", address, "--json"))
        asked = httpx.post(f"{address}/v1/sign-ups", json={"email": "a@example.com"}, timeout=20)
        assert asked.status_code == 202

        done = scudo("replay", file, "--url", address, "--json")

        assert done.returncode == 3
        assert only_object(done)["refused"] == "replay_stopped"
        assert "clock_is_live" in done.stdout + done.stderr

    def test_is_refused_where_nobody_listens(self, scudo, only_object, file):
        """An address at which no server answers is refused as unavailable."""
        done = scudo("replay", file, "--url", "http://127.0.0.1:9", "--token", "x", "--json")

        assert done.returncode == 3
        assert only_object(done)["refused"] in {"replay_stopped", "bank_unavailable"}
