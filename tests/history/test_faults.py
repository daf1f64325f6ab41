"""What breaks around a bank: processes that stop or die, a database that goes, a full disk."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from tests.history import record
from tests.history.banks import Driver, opened
from tests.history.campaign import Campaign, Service, Size
from tests.history.check import check
from tests.history.workload import Workload
from tests.model.replay import fence_problems, read_stored

from scudo.bootstrap import migrate_all
from scudo.fabric.postgres import EmbeddedServer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Lend a folder that every user may pass through: PostgreSQL is not ours if we are root."""
    made = Path(tempfile.mkdtemp(prefix="scudo-faults-"))
    yield made
    shutil.rmtree(made)


class TestStoppedWriter:
    def test_is_replaced_while_it_holds_the_head_and_refused_when_it_wakes(
        self, database, tmp_path
    ):
        """A process stopped with the head locked does not keep the next one from working."""
        dsn, file = database.dsn, tmp_path / "stopped.jsonl"
        logins = (dsn.app, dsn.owner, dsn.read, dsn.admin, dsn.vault)
        arguments = [*logins, str(tmp_path / "first"), str(file)]
        stopped = subprocess.Popen(
            [sys.executable, "-m", "tests.history.stopped", *arguments],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _, status = os.waitpid(stopped.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status), "it stops itself, with the head locked"
            second = Driver(2)
            fence = asyncio.run(self.take_over(database, tmp_path / "second", second))
            stopped.send_signal(signal.SIGCONT)
            stopped.wait(timeout=30)
        finally:
            stopped.kill()
        told = record.read(file)[-3:]
        # Whether its COMMIT went out before it was fenced, the old writer may not know.
        assert {one.code for one in told} <= {"writer_fenced", "outcome_unknown"}
        stored = read_stored(dsn.read)
        assert check(stored, [*record.read(file), *second.tries]) == []
        assert fence_problems(stored, epoch=fence[0], position=fence[1]) == []

    async def take_over(self, database, home: Path, driver: Driver) -> tuple[int, int]:
        async with asyncio.timeout(15), opened(database.dsn, home) as (bank, _):
            fence = (bank.writer.epoch, bank.conveyor.head.position)
            await driver.setup(bank)
            await driver.work(bank, count=5)
            return fence


class TestDatabaseGone:
    def test_is_told_and_survived(self, folder):
        """While the database is gone requests are refused by name; then it goes on by itself."""
        embedded = EmbeddedServer(folder / "bank", durable=False)
        dsn, driver = embedded.start(), Driver(3)
        migrate_all(dsn)

        async def main() -> None:
            async with opened(dsn, folder / "home") as (bank, _):
                await driver.setup(bank)
                embedded.kill()
                async with asyncio.timeout(20):
                    while not driver.tries[-1].code:
                        await driver.work(bank, count=4)
                    await driver.work(bank, count=4)
                assert {one.code for one in driver.tries[-4:]} == {"bank_unavailable"}
                assert all(one.answer()["retryable"] for one in driver.tries[-4:])
                await asyncio.to_thread(embedded.start)
                async with asyncio.timeout(20):
                    while driver.tries[-1].code in record.NO_EFFECT:
                        await asyncio.sleep(0.1)
                        await driver.work(bank, count=4)

        try:
            asyncio.run(main())
            assert check(read_stored(dsn.read), driver.tries) == []
        finally:
            embedded.stop("immediate")


@contextlib.contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[Path]:
    """Mount a small file system; only root may."""
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("NOT TESTED: a full disk; only root can mount a small file system")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "scudo", folder],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip(f"NOT TESTED: a full disk; no mount is allowed here: {mounted.stderr!r}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


class TestDiskFull:
    def test_refuses_and_recovers(self, folder):
        """A full disk refuses by name and loses nothing; when there is room again, it goes on."""
        with small_disk(folder, megabytes=320) as disk:
            embedded = EmbeddedServer(disk / "bank", durable=True)
            dsn, driver = embedded.start(), Driver(3)
            migrate_all(dsn)
            ballast = disk / "ballast"

            async def main() -> None:
                async with opened(dsn, disk / "home") as (bank, _):
                    bank.server = embedded
                    await driver.setup(bank)
                    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                        while file.write(bytes(1 << 16)):
                            pass
                    async with asyncio.timeout(40):
                        while driver.tries[-1].code not in record.NO_EFFECT | record.IN_DOUBT:
                            await driver.work(bank, count=30)
                        ballast.unlink()
                        await asyncio.to_thread(embedded.start)
                        while driver.tries[-1].code in record.NO_EFFECT | record.IN_DOUBT:
                            await asyncio.sleep(0.1)
                            await driver.work(bank, count=4)

            try:
                asyncio.run(main())
                assert check(read_stored(dsn.read), driver.tries) == []
            finally:
                embedded.stop("immediate")


class TestKilled:
    def test_at_any_moment_of_its_start(self, folder):
        """However often it is killed while it starts, migrates or opens, it starts in the end."""
        random = Random(5)
        service = Service(folder / "bank")
        try:
            service.start()
            for number in range(6):
                time.sleep(random.random() * (0.5 + number / 2))
                service.kill()
            service.wait()
            service.kill()
            service.wait()
            stored = read_stored(service.dsn.read)
            assert check(stored, []) == []
        finally:
            service.stop()

    @pytest.mark.timeout(240)
    def test_again_and_again_under_load(self, folder):
        """A history with kills of server and database: every answer agrees with the model."""
        said: list[str] = []
        size = Size(operations=500, kills=2, clients=4, lanes=2, accounts=12, phones=2)
        problems = Campaign(folder, seed=int(time.time()), size=size, say=said.append).run()
        assert problems == [], said


def test_the_same_seed_makes_the_same_work():
    """A seed repeats what the clients ask for, as long as they are told the same."""
    one, other = (Workload(Random(9), name="same") for _ in range(2))
    assert [one.next() for _ in range(200)] == [other.next() for _ in range(200)]
