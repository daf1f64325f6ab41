"""The auditor that never ends: new rows as they come, old rows in rounds, and an alarm."""

import asyncio
import threading
import time

import psycopg
import pytest
import structlog
from tests.auditing.conftest import LentServer, Teller, chain_anew, pay

from scudo.auditing import Auditor, Recount
from scudo.bootstrap import now_us, open_bank
from scudo.bootstrap.rooms import CATALOGUE
from scudo.fabric.settings import Settings
from scudo.interfaces import recounting
from scudo.interfaces.recounting import AuditorProcess
from scudo.kernel import SECOND_US
from scudo.ledger import TRANSFER

PATIENCE_S = 50


def auditor_of(connection, home, *, round_us, told=None):
    return Auditor(
        connection,
        catalogue=CATALOGUE,
        notes=home / "auditor.json",
        round_us=round_us,
        clock=now_us,
        witness=home / "witness",
        tell=told or (lambda _: None),
    )


class Follower:
    """An auditor in a thread."""

    def __init__(self, dsn, home, *, round_us=3_600 * SECOND_US):
        self.told = []
        self.connection = psycopg.connect(dsn.read, autocommit=True)
        self.auditor = auditor_of(self.connection, home, round_us=round_us, told=self.told.append)
        #: What an earlier auditor of the same bank noted.
        self.rounds_before = self.auditor.recount.rounds
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.auditor.run, args=(self.stopping,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()
        self.connection.close()

    def wait(self, until):
        deadline = time.monotonic() + PATIENCE_S
        while not until(self.auditor.recount):
            assert time.monotonic() < deadline, self.auditor.recount
            time.sleep(0.05)
        return self.auditor.recount


class TestAuditor:
    def test_recounts_what_comes_while_it_follows(self, database, policy, tmp_path):
        """What was committed after the first round is recounted without another one."""

        async def run():
            async with open_bank(
                LentServer(database.dsn), home=tmp_path, description="test", policy=policy
            ) as bank:
                await Teller(bank).send(pay(1, 2, 3))
                with Follower(database.dsn, tmp_path) as follower:
                    await asyncio.to_thread(follower.wait, lambda r: r.rounds == 1)
                    teller = Teller(bank)
                    teller.sent = 10
                    teller.now += SECOND_US * 60
                    for _ in range(3):
                        await teller.send(pay(1, 2, 3))
                    head = bank.conveyor.head.position
                    return await asyncio.to_thread(follower.wait, lambda r: r.position == head)

        recount = asyncio.run(run())

        assert (recount.rounds, recount.first_bad) == (1, None)
        assert recount.position == recount.head > 0
        assert recount.rows > 0

    def test_names_a_new_row_that_was_planted(self, books, forging):
        """A row that somebody adds behind the writer's back is named, chain and head or not."""
        with Follower(books.dsn, books.home) as follower:
            follower.wait(lambda r: r.rounds > follower.rounds_before)
            forging.execute(
                "UPDATE fabric.log_head SET position = position + 1, ordered_at = ordered_at + 1,"
                " batch = batch + 1"
            )
            bad = follower.wait(lambda r: r.first_bad is not None).first_bad

        assert bad.table == "fabric.log_batch"

    def test_names_an_old_row_within_a_round(self, books, forging):
        """Rows that were recounted once are recounted again."""
        with Follower(books.dsn, books.home, round_us=SECOND_US) as follower:
            follower.wait(lambda r: r.rounds > follower.rounds_before)
            forging.execute(
                f"UPDATE {TRANSFER.name} SET recorded_at = recorded_at + interval '1 s' WHERE id ="
                f" (SELECT min(id) FROM {TRANSFER.name})"
            )
            bad = follower.wait(lambda r: r.first_bad is not None).first_bad

        assert bad.table == TRANSFER.name

    def test_names_a_chain_that_was_computed_anew(self, books, forging):
        """The next round compares what was signed with what is there."""
        with Follower(books.dsn, books.home, round_us=SECOND_US) as follower:
            follower.wait(lambda r: r.rounds > follower.rounds_before)
            with forging.transaction():
                forging.execute(
                    f"UPDATE {TRANSFER.name} SET recorded_at = recorded_at + interval '1 s'"
                    f" WHERE id = (SELECT min(id) FROM {TRANSFER.name})"
                )
                chain_anew(forging)
            bad = follower.wait(lambda r: r.first_bad is not None).first_bad

        assert bad.table in {"fabric.log_batch", "fabric.log_head"}

    def test_remembers_its_rounds_over_a_restart(self, books):
        """The next auditor knows when all was recounted last."""
        with Follower(books.dsn, books.home) as follower:
            first = follower.wait(lambda r: r.rounds > follower.rounds_before)

        again = auditor_of(books.reader, books.home, round_us=SECOND_US)

        assert again.recount == Recount(rounds=first.rounds, finished_at=first.finished_at)
        assert first.finished_at > 0

    @pytest.mark.parametrize("notes", [b"", b"{", b'{"rounds":"many"}'])
    def test_begins_anew_when_its_notes_cannot_be_read(self, books, tmp_path, notes):
        """Half a file, or one of somebody else, is as good as none."""
        (tmp_path / "auditor.json").write_bytes(notes)

        assert auditor_of(books.reader, tmp_path, round_us=1).recount == Recount()


class TestAuditorProcess:
    def test_tells_the_bank_which_row_is_wrong(self, books, forging):
        """A process of its own finds the row; the bank is told once, and is not well."""
        told = []

        async def run():
            async def alarm(bad):
                told.append(bad)

            process = AuditorProcess(
                Settings(home=books.home), dsn=books.dsn.read, alarm=alarm, begins_after_s=0
            )
            was_well = process.is_well
            await asyncio.wait_for(process.run(), PATIENCE_S)
            return was_well, process.is_well

        forging.execute("UPDATE ledger.account SET version = version + 1 WHERE owner = 0")
        try:
            well = asyncio.run(run())
        finally:
            forging.execute("UPDATE ledger.account SET version = version - 1 WHERE owner = 0")

        assert well == (True, False)
        assert [bad.table for bad in told] == ["ledger.account"]

    def test_says_that_it_failed_and_is_started_again(self, books, monkeypatch):
        """An auditor that dies at once is no silence: each time leaves a line."""
        monkeypatch.setattr(recounting, "_AFTER_FAULT_S", 0.1)

        async def run():
            process = AuditorProcess(
                Settings(home=books.home),
                dsn=f"{books.dsn.read} dbname=nowhere",
                alarm=None,
                begins_after_s=0,
            )
            running = asyncio.create_task(process.run())
            while len(lines) < 2:
                await asyncio.sleep(0.05)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        with structlog.testing.capture_logs() as lines:
            asyncio.run(asyncio.wait_for(run(), PATIENCE_S))

        assert [(line["event"], line["exit_code"]) for line in lines[:2]] == [
            ("auditor_failed", 1)
        ] * 2

    def test_ends_with_the_bank_that_started_it(self, books):
        """Cancelled, it closes the line, and the process is gone."""

        async def run():
            process = AuditorProcess(
                Settings(home=books.home), dsn=books.dsn.read, alarm=None, begins_after_s=0
            )
            running = asyncio.create_task(process.run())
            while not process.recount.rounds:
                await asyncio.sleep(0.05)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            return process.recount

        recount = asyncio.run(run())

        assert recount.position == recount.head
        left = books.admin.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'scudo_read' "
            "AND datname = current_database() AND pid <> %s",
            (books.reader.info.backend_pid,),
        ).fetchone()
        assert left == (0,)
