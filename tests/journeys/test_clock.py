"""Whose clock the log goes by: a file's until somebody asks, and what a file may ask for then."""

import time
import uuid
from typing import Any

import httpx
import pytest
from tests.customers import CustomersBank, new_address, serving

from scudo.bootstrap import now_us
from scudo.fabric.web import STRANGERS
from scudo.governance import Act, RecordActs
from scudo.identity import issue_token
from scudo.identity.operators import EnrolFirst
from scudo.kernel import instant, parse_rfc3339

FILE = "2020-02-01T08:00:00Z"
LATER = "2020-02-01T09:00:00Z"


@pytest.fixture
def bank(database, tmp_path):
    """Serve a bank of this test's own, of which nothing was asked yet."""
    with serving(database.dsn, tmp_path) as bank:
        yield bank


def driver(bank: CustomersBank) -> httpx.Client:
    """A client that may drive the log's clock."""

    async def issue() -> str:
        async with await bank.bank.connect() as connection:
            _, token = await issue_token(
                connection,
                name="a file",
                scopes=("clock:drive", "customers:write", "payments:read"),
                customer=None,
                now=instant(now_us()),
            )
            await bank.bank.clients.refresh(connection)
            return token

    http = bank.stranger()
    http.headers["authorization"] = f"Bearer {bank.run(issue())}"
    return http


def register(http: httpx.Client, at: str, *, key: str | None = None) -> httpx.Response:
    """Register a customer at a time of a file."""
    key = key or str(uuid.uuid4())
    headers = {"scudo-ordered-at": at, "idempotency-key": key}
    return http.post("/v1/customers", json={"reference": key, "kind": "person"}, headers=headers)


def entries(database: Any) -> list[tuple[int, int]]:
    """Sender and microseconds of every entry, the oldest first."""
    return database.connection.execute(
        "SELECT client, (extract(epoch FROM ordered_at) * 1000000)::bigint"
        " FROM fabric.log_entry ORDER BY position"
    ).fetchall()


class TestAfterAFile:
    def test_a_stranger_makes_the_log_live(self, bank, database):
        """Who signs up is dated by our clock, and afterwards no file drives the log."""
        file = driver(bank)
        assert register(file, FILE).status_code == 201
        before = time.time_ns() // 1_000

        asked = bank.stranger().post("/v1/sign-ups", json={"email": new_address()})

        assert asked.status_code == 202
        sender, at = entries(database)[-1]
        assert at >= before
        assert sender not in {0, *(client for client, _ in entries(database)[:-1])}
        late = register(file, LATER)
        assert (late.status_code, late.json()["code"]) == (409, "clock_is_live")

    def test_a_stranger_is_shown_as_nobody(self, bank):
        """Events of strangers name no client, like those of the bank itself."""
        bank.stranger().post("/v1/sign-ups", json={"email": new_address()})

        page = bank.clerk().get("/v1/events", params={"limit": 100}).json()["items"]

        assert page
        assert [event.get("client") for event in page] == [None] * len(page)

    def test_what_is_done_by_hand_is_dated_by_our_clock(self, bank, database):
        """Operators whom the command line invites are not invited in the past of a file."""
        assert register(driver(bank), FILE).status_code == 201
        before = time.time_ns() // 1_000

        told = bank.run(bank.bank.submit(EnrolFirst(("anna", "bela"), (bytes(32), b"b" * 32))))

        assert told.status == 201
        assert entries(database)[-1][1] >= before
        assert bank.bank.conveyor.head.clock == "live"

    def test_what_the_bank_itself_notes_follows_the_file(self, bank, database):
        """What nobody asked for is dated as the log is, and the file goes on."""
        file = driver(bank)
        register(file, FILE)

        told = bank.run(bank.bank.note(RecordActs((Act(0, 0, "audit.found_row"),))))

        assert told.status == 200
        assert entries(database)[-1][1] < parse_rfc3339(LATER)
        assert register(file, LATER).status_code == 201
        assert entries(database)[-1][1] == parse_rfc3339(LATER)


class TestBeforeAnybody:
    def test_what_the_bank_notes_gives_the_log_no_time(self, bank, database):
        """Before the first request the log has no time: a file that comes is taken as it is."""
        bank.run(bank.bank.note(RecordActs((Act(0, 0, "audit.found_row"),))))

        assert register(driver(bank), FILE).status_code == 201

        assert entries(database)[-1][1] == parse_rfc3339(FILE)

    def test_a_file_comes_too_late_for_what_was_asked_by_people(self, bank):
        """An act of somebody makes the log live, though no client sent it."""
        bank.run(bank.bank.submit(RecordActs((Act(7, 3, "vault.read_email"),))))

        refused = register(driver(bank), FILE)

        assert (refused.status_code, refused.json()["code"]) == (409, "clock_is_live")


class TestTimesOfAFile:
    def test_that_the_log_has_passed_are_refused(self, bank, database):
        """More than a minute before the log's head is no time that a file can still have."""
        file = driver(bank)
        assert register(file, LATER).status_code == 201
        before = entries(database)

        refused = register(file, FILE)

        assert (refused.status_code, refused.json()["code"]) == (409, "log_past_time")
        assert refused.json()["field"] == "scudo-ordered-at"
        assert entries(database) == before

    def test_of_one_instant_follow_each_other_by_microseconds(self, bank, database):
        """Many rows of one second are in the order in which they came."""
        file = driver(bank)

        assert [register(file, FILE).status_code for _ in range(3)] == [201] * 3

        times = [at for _, at in entries(database)]
        assert times == [parse_rfc3339(FILE) + n for n in range(3)]

    def test_of_a_key_that_was_answered_do_not_matter(self, bank):
        """A file that is sent again from its beginning is answered as it was."""
        file = driver(bank)
        first = register(file, FILE, key="row-1")
        register(file, LATER)

        again = register(file, FILE, key="row-1")

        assert (again.status_code, again.content) == (first.status_code, first.content)


class TestKeysOfStrangers:
    def test_that_were_answered_under_the_banks_own_number_are_found(self, bank, database):
        """What a callback was told before strangers had a number of their own is told again."""
        command = RecordActs((Act(0, 0, "somebody.asked"),))
        first = bank.run(bank.bank.submit(command, key="callback:a:1"))
        before = entries(database)

        again = bank.run(bank.bank.submit(command, client=STRANGERS, key="callback:a:1"))

        assert again == first
        assert entries(database) == before
