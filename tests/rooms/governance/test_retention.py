"""The job and legal holds: what is due goes, in batches, and what is held does not."""

import asyncio
import os

import msgspec
import psycopg
import pytest
from psycopg import AsyncConnection
from tests.operating import DAY, NOON

from scudo.bootstrap import now_us
from scudo.fabric import Answer, Batch, Head, Records, web
from scudo.governance import retention
from scudo.governance.retention import (
    AT_ONCE,
    Asked,
    Count,
    FileKeeping,
    Job,
    RuleState,
    TableKeeping,
    TellRetention,
)
from scudo.governance.retention.errors import RetentionSuspended
from scudo.governance.retention.events import RetentionRun
from scudo.governance.retention.keeping import OVERDUE_US, Ran
from scudo.kernel import DAY_US, GENESIS, Prefix, Refusal, ids, instant
from scudo.vault import VaultUnavailable

YEAR = 366 * DAY_US
CUSTOMER = int(web.PrincipalKind.CUSTOMER)
OPERATOR = int(web.PrincipalKind.OPERATOR)


class Shelf:
    """Where something is kept, as much as a test says."""

    def __init__(self, batches=(), fault=None):
        self.batches, self.fault, self.cuts = list(batches), fault, []

    async def forget(self, asked):
        self.cuts.append(asked.cuts)
        for batch in self.batches:
            yield batch
        if self.fault is not None:
            raise self.fault

    async def count(self, asked):
        return Count(7, NOON, 0, 2)


def asked(before, *held):
    return Asked({"all": before}, lambda: frozenset(held), lambda _country: "all")


def gone(keeping, question):
    """How many were forgotten, batch by batch."""

    async def run():
        return [batch async for batch in keeping.forget(question)]

    return asyncio.run(run())


class TestJob:
    def job(self, shelves=None, *, status=200, is_sound=True):
        kept = retention.Retention(is_customer=lambda _number: True)
        told = []

        async def submit(command):
            told.append(command)
            return Answer(status, b"{}")

        names = [rule.name for rule in kept.rules.rules if rule.is_enforced]
        keepings = {name: Shelf() for name in names} | (shelves or {})
        job = Job(kept, keepings, submit=submit, now=lambda: NOON, is_sound=lambda: is_sound)
        return job, told

    def test_goes_through_every_rule_and_tells_the_log_once(self):
        """What each batch was is summed up; a rule asks by its own periods."""
        shelf = Shelf([3, 0, 4])
        job, told = self.job({"requests": shelf})

        ran = {one.rule: one for one in asyncio.run(job.run())}

        (command,) = told
        assert command == TellRetention(tuple(ran.values()))
        assert (ran[4].done, ran[4].kept, ran[4].held, ran[4].result) == (7, 7, 2, "done")
        assert shelf.cuts == [{"all": NOON - 90 * DAY_US}]
        assert sorted(ran) == [1, 2, 3, 4, 5, 6, 7]

    @pytest.mark.parametrize(
        ("fault", "result"),
        [
            (VaultUnavailable("away"), "vault_unavailable"),
            (psycopg.OperationalError("gone"), "retention_failed"),
            (PermissionError("not ours"), "retention_failed"),
        ],
    )
    def test_tells_what_stopped_a_rule_and_goes_on_with_the_next(self, fault, result):
        """What was done before stays told; nothing is counted that nobody has counted."""
        job, _ = self.job({"persons": Shelf([5], fault)})

        ran = {one.rule: one for one in asyncio.run(job.run())}

        assert (ran[1].done, ran[1].kept, ran[1].result) == (5, 0, result)
        assert {ran[number].result for number in range(2, 8)} == {"done"}

    def test_does_nothing_while_the_log_may_be_an_older_one(self):
        """A hold that was placed since a backup is missing in it."""
        shelf = Shelf([1])
        job, told = self.job({"persons": shelf}, is_sound=False)

        with pytest.raises(RetentionSuspended):
            asyncio.run(job.run())

        assert (shelf.cuts, told) == ([], [])

    def test_of_which_the_log_cannot_be_told_fails(self):
        """It runs again, and finds done what was done."""
        job, _ = self.job(status=503)

        with pytest.raises(Exception, match="could not be told"):
            asyncio.run(job.run())


class TestStates:
    def tell(self, kept, *results, at=NOON):
        """Tell the log of a run, as the writer does; the events."""
        batch = Batch(Head(1, 0, at - 1, 0, GENESIS, "unset"), recorded_at=at)
        entry = batch.entry(client=0, owner=None, now=at, at=None)
        kept.handlers[TellRetention](TellRetention(results), entry)
        return list(entry.events)

    @pytest.fixture
    def kept(self):
        kept = retention.Retention(is_customer=lambda _number: True)
        self.records = Records(kept.registers)
        self.records.begin()
        return kept

    def test_are_those_of_the_last_run_that_went_through(self, kept):
        """A run that was stopped says so, and leaves the figures that were counted."""
        events = self.tell(kept, Ran(4, 3, 10, 0, 1, NOON - DAY, "done"))
        self.tell(kept, Ran(4, 0, 0, 0, 0, 0, "retention_failed"), at=NOON + DAY)

        assert kept.states()[4] == RuleState(
            NOON, 3, 10, 0, 1, NOON - DAY, NOON, "retention_failed"
        )
        assert events == [RetentionRun(events[0].run, "requests", 3, 10, 0, 1, "done")]

    def test_make_a_rule_overdue_that_left_something_or_was_not_looked_at(self, kept):
        """Two days without a run, or something due after one; what is held is not overdue."""
        kept.since = NOON
        every = [Ran(n, 0, 5, 0, 3, NOON, "done") for n in range(1, 8)]
        assert kept.overdue(NOON + OVERDUE_US) == []
        assert "persons" in kept.overdue(NOON + OVERDUE_US + 1)

        self.tell(kept, *every)
        well = kept.overdue(NOON + OVERDUE_US)
        late = kept.overdue(NOON + OVERDUE_US + 1)
        self.tell(kept, Ran(1, 0, 5, 1, 0, NOON, "done"))
        left = kept.overdue(NOON + 1)

        assert (well, left) == ([], ["persons"])
        assert len(late) == 7


class TestHold:
    @pytest.fixture
    def kept(self):
        return retention.Retention(is_customer=lambda number: number < 100)

    def propose(self, kept, **change):
        (kind,) = (kind for kind in kept.kinds if kind.name == "place_legal_hold")
        wanted = {"customer_id": "cus_0000000000000007", "authority": "court", "matter": "case:1"}
        read = kind.change(**wanted | change)
        kind.demand(read, NOON)
        return kind, read

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"customer_id": "acc_0000000000000007"}, "id_malformed"),
            ({"customer_id": "cus_0000000000000777"}, "change_invalid"),
            ({"until": "tomorrow"}, "change_invalid"),
            ({"until": "2001-01-01T00:00:00Z"}, "change_invalid"),
        ],
    )
    def test_is_refused_that_would_hold_nothing(self, kept, change, code):
        """No such customer, no instant, or one that is over."""
        with pytest.raises(Refusal) as caught:
            self.propose(kept, **change)

        assert caught.value.code == code

    def test_ends_by_itself_at_its_time(self):
        """Up to that moment it holds; one without a time holds until it is lifted."""
        hold = retention.LegalHold(7, "court", "case:1", NOON, NOON + DAY, 1)
        open_end = retention.LegalHold(7, "court", "case:1", NOON, 0, 1)
        lifted = retention.LegalHold(7, "court", "case:1", NOON, 0, 1, lifted_at=NOON + 1)

        assert hold.is_in_force(NOON + DAY - 1)
        assert not hold.is_in_force(NOON + DAY)
        assert open_end.is_in_force(NOON + 99 * YEAR)
        assert not lifted.is_in_force(NOON + 2)

    def test_takes_codes_and_no_sentences(self, kept):
        """What stands in the log for ever names nobody."""
        (kind,) = (kind for kind in kept.kinds if kind.name == "place_legal_hold")
        change = {"customer_id": "cus_0000000000000007", "authority": "court"}

        for matter in ("The Lovelace case", "ada@example.org", "", "x" * 65):
            with pytest.raises(msgspec.ValidationError):
                msgspec.convert({**change, "matter": matter}, kind.change)

        assert msgspec.convert({**change, "matter": "case:4711/26"}, kind.change)


class TestTables:
    """By functions of the database, as its application's role."""

    @pytest.fixture
    def keeping(self, database):
        async def connect():
            return await AsyncConnection.connect(database.dsn.app, autocommit=True)

        return lambda table: TableKeeping(connect, table)

    def request(self, database, *, at, actor=1, kind=OPERATOR, asked=""):
        database.connection.execute(
            "INSERT INTO governance.request (trace, at, operation, actor, actor_kind, status,"
            " code, asked, answered, elapsed_us) VALUES ('t', %s, 'o', %s, %s, 200, '', %s, '', 1)",
            (instant(at), actor, kind, asked),
        )

    def act(self, database, *, number, at, whose=None, actor=1, kind=OPERATOR):
        database.connection.execute("SELECT fabric.grow(100000)")
        database.connection.execute(
            "INSERT INTO governance.act (id, at, actor, actor_kind, act, object, whose, result,"
            " reason, trace) VALUES (%s, %s, %s, %s, 'a', '', %s, 'done', '', '')",
            (number, instant(at), actor, kind, whose),
        )

    def test_forget_requests_that_are_due_in_batches(self, database, keeping):
        """The last batch is the one that is not full; what is younger stays."""
        for _ in range(AT_ONCE + 3):
            self.request(database, at=NOON)
        self.request(database, at=NOON + DAY)
        requests = keeping("requests")

        batches = gone(requests, asked(NOON + 1))

        assert batches == [AT_ONCE, 3]
        assert asyncio.run(requests.count(asked(NOON + 1))) == Count(1, NOON + DAY, 0, 0)

    def test_leave_what_is_held_and_count_it(self, database, keeping):
        """A customer's own requests, and those that name them, whoever asked."""
        named = ids.show(Prefix.CUSTOMER, 7)
        self.request(database, at=NOON, actor=7, kind=CUSTOMER)
        self.request(database, at=NOON, asked=f'{{"path":{{"customer_id":"{named}"}}}}')
        self.request(database, at=NOON, actor=7, kind=OPERATOR)
        requests = keeping("requests")

        batches = gone(requests, asked(NOON + 1, 7))

        assert batches == [1]
        assert asyncio.run(requests.count(asked(NOON + 1, 7))) == Count(2, NOON, 0, 2)

    def test_leave_acts_of_a_customer_who_is_held(self, database, keeping):
        """Done to their data, or by themselves; those of others are forgotten."""
        self.act(database, number=1, at=NOON, whose=7)
        self.act(database, number=2, at=NOON, actor=7, kind=CUSTOMER)
        self.act(database, number=3, at=NOON, whose=8)
        self.act(database, number=4, at=NOON)
        acts = keeping("acts")

        batches = gone(acts, asked(NOON + 1, 7))

        assert batches == [2]
        assert asyncio.run(acts.count(asked(NOON + 1, 7))) == Count(2, NOON, 0, 2)

    def test_forget_conduct_of_operators(self, database, keeping):
        """No customer's hold concerns it."""
        for day in range(3):
            database.connection.execute(
                "INSERT INTO governance.conduct VALUES (1, 2, 'r', %s, 1)",
                (instant(NOON + day * DAY),),
            )
        conduct = keeping("conduct")

        batches = gone(conduct, asked(NOON + DAY, 1))

        assert batches == [1]
        assert asyncio.run(conduct.count(asked(NOON + DAY))) == Count(2, NOON + DAY, 0, 0)

    @pytest.mark.parametrize("table", ["requests", "acts"])
    def test_keep_what_is_young_whoever_asks(self, database, keeping, table):
        """A clock that is set forward, or a rule that is a slip, does not empty the trail."""
        now = now_us()
        self.request(database, at=now - 29 * DAY)
        self.act(database, number=1, at=now - 364 * DAY)

        assert gone(keeping(table), asked(now + 100 * YEAR)) == [0]
        assert asyncio.run(keeping(table).count(asked(now + 100 * YEAR))).due == 0

    @pytest.mark.parametrize("table", ["request", "act", "conduct"])
    def test_are_not_deleted_from_but_by_these_functions(self, database, table):
        """The application's role has no right to, and no other function does it."""
        with (
            psycopg.connect(database.dsn.app, autocommit=True) as app,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            app.execute(f"DELETE FROM governance.{table}")


class TestFiles:
    def mail(self, folder, name, at):
        folder.mkdir(exist_ok=True)
        (folder / name).write_text("a mail", encoding="utf-8")
        os.utime(folder / name, ns=(at * 1_000, at * 1_000))

    def test_go_when_they_are_due(self, tmp_path):
        """By when they were written; what is not a mail is left alone, and no folder is fine."""
        folder = tmp_path / "mail"
        files = FileKeeping(folder, "*.eml")
        assert gone(files, asked(NOON)) == [0]
        self.mail(folder, "old.eml", NOON - 1)
        self.mail(folder, "new.eml", NOON)
        self.mail(folder, "old.txt", NOON - 1)

        batches = gone(files, asked(NOON))

        assert batches == [1]
        assert sorted(path.name for path in folder.iterdir()) == ["new.eml", "old.txt"]
        assert asyncio.run(files.count(asked(NOON))) == Count(1, NOON, 0, 0)

    def test_stay_while_anybody_is_held(self, tmp_path):
        """Whose a mail is nobody can tell from outside."""
        folder = tmp_path / "mail"
        self.mail(folder, "old.eml", NOON - 1)
        files = FileKeeping(folder, "*.eml")

        assert gone(files, asked(NOON, 7)) == [0]
        assert asyncio.run(files.count(asked(NOON, 7))) == Count(1, NOON - 1, 0, 1)
