"""Ownership of controls: each has its people, and its state is told once, whatever restarts."""

import asyncio
from pathlib import Path
from typing import Any, cast

import httpx
import psycopg
import pytest
from tests.conftest import Database
from tests.history.banks import opened

from scudo.auditing import Recount, verify_bank
from scudo.bootstrap import CATALOGUE, Bank
from scudo.fabric import BadRow, read_log
from scudo.fabric.settings import Settings
from scudo.governance import events
from scudo.governance.controls import Controls, NoteControl, load_controls
from scudo.governance.controls.ownership import OWNERSHIP, Control
from scudo.interfaces.http import HttpServer, Limits
from scudo.interfaces.recounting import AuditorProcess
from scudo.interfaces.serving import application, checks_beside
from scudo.interfaces.watching import VaultWatch
from scudo.kernel import SECOND_US, InvariantBroken
from scudo.vault import AsyncVaultClient

SHIPPED = {control.name: control for control in load_controls()}
KINDS = (events.ControlDegraded, events.ControlEscalated, events.ControlRestored)


def quick(name: str, *escalates_after_s: int) -> Control:
    """A shipped control's record with levels that a test can wait for."""
    shipped = SHIPPED[name]
    return Control(
        number=shipped.number,
        name=name,
        says=shipped.says,
        technical_owner=shipped.technical_owner,
        security_partner=shipped.security_partner,
        pages=shipped.pages,
        emergency_approver=shipped.emergency_approver,
        escalates_after_s=escalates_after_s,
    )


async def told(bank: Bank) -> list[Any]:
    """What the log says of controls."""
    async with bank.reads() as connection:
        found, _ = await read_log(connection, CATALOGUE, after=0, limit=500, wants=frozenset(KINDS))
    return [recorded.event for recorded in found]


async def until(bank: Bank, count: int) -> list[Any]:
    """Wait for so many events of controls."""
    while len(found := await told(bank)) < count:
        await asyncio.sleep(0.05)
    return found


class TestOwnership:
    """The file."""

    def test_every_watched_control_has_a_check_and_every_check_a_control(
        self, database: Database, tmp_path: Path
    ) -> None:
        """A control that nobody looks at would be degraded unnoticed."""

        async def scenario() -> set[str]:
            async with opened(database.dsn, tmp_path) as (bank, _):
                while not bank.rooms.controls.checks:
                    await asyncio.sleep(0.01)
                return set(bank.rooms.controls.checks)

        watched = {name for name, control in SHIPPED.items() if control.is_watched}
        # The last two are processes beside the bank that serves.
        assert asyncio.run(scenario()) | {"vault", "auditor"} == watched

    @pytest.mark.parametrize("state", ["new", "sealed", "open", "silent"])
    def test_processes_beside_the_bank_are_watched_too(self, state: str, tmp_path: Path) -> None:
        """A vault that is not open, and an auditor that found a row, are told as degraded."""

        async def alarm(bad: BadRow) -> None:
            del bad

        watch = VaultWatch(cast("Bank", None), AsyncVaultClient(tmp_path / "nowhere"))
        auditor = AuditorProcess(Settings(home=tmp_path), dsn="", alarm=alarm)
        checks = checks_beside(watch, auditor)
        watch.state = state

        assert set(checks) == {"vault", "auditor"}
        assert checks["vault"]() is (state == "open")
        assert checks["auditor"]() is True
        bad = BadRow("ledger.transfer", "trf_1", "amount", "1", "2")
        auditor.recount = Recount(first_bad=bad)
        assert checks["auditor"]() is False

    @pytest.mark.parametrize(
        ("seconds", "level"), [(0, 0), (59, 0), (60, 1), (599, 1), (600, 2), (3_600, 3), (10**6, 3)]
    )
    def test_levels_follow_on_each_other(self, seconds: int, level: int) -> None:
        """Each is reached when its time is over."""
        assert quick("evidence", 60, 600, 3_600).level(seconds * SECOND_US) == level

    @pytest.mark.parametrize(
        ("found", "put"),
        [
            ("escalates_after_s = [60, 900]", "escalates_after_s = [900, 60]"),
            ("escalates_after_s = [60, 900]", "escalates_after_s = [60, 60]"),
            ("escalates_after_s = [60, 900]", "escalates_after_s = []"),
            ("number = 2", "number = 1"),
            ('name = "evidence"', 'name = "log"'),
            ('pages = "core on-call"', ""),
            ('pages = "core on-call"', 'pages = ""'),
            ("number = 1", "number = 1\nowner = 'me'"),
            ("[[controls]]", "[[controls"),
        ],
    )
    def test_a_file_that_is_not_as_documented_is_refused(
        self, tmp_path: Path, found: str, put: str
    ) -> None:
        """No control without its people, none twice, no level out of order."""
        text = OWNERSHIP.read_text()
        assert found in text
        file = tmp_path / "ownership.toml"
        file.write_text(text.replace(found, put, 1))

        with pytest.raises(InvariantBroken, match=r"ownership\.toml"):
            load_controls(file)

    def test_a_witness_that_is_left_behind_is_noticed(
        self, database: Database, tmp_path: Path
    ) -> None:
        """Two heads may be on their way; with a third the second place is none."""

        async def scenario() -> list[bool]:
            async with opened(database.dsn, tmp_path) as (bank, _):
                while not bank.rooms.controls.checks:
                    await asyncio.sleep(0.01)
                found = []
                for behind in (0, 2, 3):
                    bank.notary.exported = bank.notary.signed - behind
                    found.append(bank.rooms.controls.checks["witness"]())
                return found

        assert asyncio.run(scenario()) == [True, True, False]


class TestClock:
    """What is degraded is noticed, told, escalated and restored, once each."""

    def test_tells_each_change_once_and_goes_on_after_a_restart(
        self, database: Database, tmp_path: Path
    ) -> None:
        """Degraded, first level; restarted; second level; restored: four events in all."""

        def prepare(bank: Bank) -> None:
            controls = bank.rooms.controls
            controls.declared = {2: quick("evidence", 1, 3)}

        async def scenario() -> list[Any]:
            async with opened(database.dsn, tmp_path, prepare=prepare) as (bank, _):
                bank.notary.alarm = "a test says so"
                await until(bank, 2)
                await asyncio.sleep(1)
                assert len(await told(bank)) == 2
                assert bank.rooms.controls.degraded() == {"evidence": 1}
            async with opened(database.dsn, tmp_path, prepare=prepare) as (bank, _):
                bank.notary.alarm = "a test says so still"
                await until(bank, 3)
                bank.notary.alarm = None
                found = await until(bank, 4)
                await asyncio.sleep(1)
                assert len(await told(bank)) == 4
                assert bank.rooms.controls.degraded() == {}
                return found

        degraded, first, second, restored = asyncio.run(scenario())

        owner = SHIPPED["evidence"]
        assert (degraded.control, degraded.owner, degraded.pages) == (
            "evidence",
            owner.technical_owner,
            owner.pages,
        )
        assert (first.level, second.level) == (1, 2)
        assert (first.partner, first.approver) == (owner.security_partner, owner.emergency_approver)
        assert first.since == second.since == restored.since
        with psycopg.connect(database.dsn.read, autocommit=True) as connection:
            assert verify_bank(connection, catalogue=CATALOGUE).ok

    def test_shows_in_metrics_and_in_health(self, database: Database, tmp_path: Path) -> None:
        """The bank stays ready; what is degraded is named with its owner."""

        async def scenario() -> tuple[httpx.Response, httpx.Response]:
            async with opened(database.dsn, tmp_path) as (bank, _):
                bank.rooms.gatekeeper.degraded_at = 1 << 62
                await until(bank, 1)
                limits = Limits(drain_s=1)
                http = HttpServer(application(bank, limits=limits), limits=limits)
                port = await http.start(host="127.0.0.1", port=0)
                async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                    answers = await client.get("/health/ready"), await client.get("/metrics")
                await http.stop()
                return answers

        ready, metrics = asyncio.run(scenario())

        assert ready.status_code == 200
        assert {"name": "controls", "is_ok": False, "is_vital": False} in ready.json()["checks"]
        lines = metrics.text.splitlines()
        assert 'scudo_control_degraded{control="payment_gates",owner="payment fraud"} 1.0' in lines
        assert 'scudo_control_degraded{control="log",owner="core ledger"} 0.0' in lines

    def test_nothing_is_noted_that_is_no_news(self, database: Database, tmp_path: Path) -> None:
        """A second clock, or a late one, is refused and leaves no event."""

        async def scenario() -> None:
            async with opened(database.dsn, tmp_path) as (bank, _):
                answer = await bank.submit(NoteControl(2, is_ok=True))
                assert b"control_unchanged" in answer.body
                assert await told(bank) == []

        asyncio.run(scenario())

    def test_a_check_that_fails_is_a_control_that_does_not_work(self) -> None:
        """A fault of the check is not taken for health."""
        controls = Controls()

        def fails() -> bool:
            raise RuntimeError

        controls.checks = {"evidence": fails, "log": lambda: True, "limits": lambda: False}

        assert controls.news(0) == [NoteControl(SHIPPED["evidence"].number, is_ok=False)]
