"""Operators' conduct in a whole bank, on the clock of a file: what is odd is told, once."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Database
from tests.history.banks import opened

from scudo.bootstrap import CATALOGUE, Bank
from scudo.fabric import read_log, replay_from
from scudo.fabric.web import PrincipalKind
from scudo.governance import Act, RecordActs, events
from scudo.kernel import DAY_US, SECOND_US, parse_rfc3339

HOUR = 3_600 * SECOND_US
#: A Friday, at noon.
NOON = parse_rfc3339("2026-01-16T12:00:00Z")
ANNA, BERT = 0x7001, 0x7002
CASE = "support:cas_0000000000000001"


class Watched:
    """A bank whose operators act when a test says so."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self._tick = itertools.count()

    async def act(self, count: int, *, at: int = NOON, who: int = ANNA, **changed: Any) -> None:
        """Let an operator do something some times within a moment."""
        members = {"act": "vault.read_email", "whose": 77, "reason": CASE} | changed
        act = Act(who, int(PrincipalKind.OPERATOR), **members)
        for start in range(0, count, 100):
            acts = (act,) * min(100, count - start)
            key = f"acts {next(self._tick)}"
            answer = await self.bank.submit(RecordActs(acts), key=key, at=at)
            assert answer.status == 200, answer.body
        await self.seen()

    async def seen(self) -> None:
        """Wait until all of it was watched, and what that led to."""
        while self.bank.consumers.positions.get("governance.anomalies") != (
            self.bank.conveyor.head.position
        ):
            await asyncio.sleep(0.01)

    async def told(self) -> list[tuple[int, str, str, int, int]]:
        """Anomalies: who, rule, severity, how often, what is usual."""
        async with self.bank.reads() as connection:
            found, _ = await read_log(connection, CATALOGUE, after=0, limit=5_000)
        return [
            (e.actor, e.rule, e.severity, e.count, e.usual)
            for e in (recorded.event for recorded in found)
            if isinstance(e, events.AnomalyFound)
        ]


Scenario = Callable[[Watched], Awaitable[None]]


@pytest.fixture
def play(database: Database, tmp_path: Path) -> Callable[[Scenario], None]:
    """Play a scenario in a bank of its own."""

    def play_(scenario: Scenario) -> None:
        async def whole() -> None:
            async with opened(database.dsn, tmp_path) as (bank, _):
                await scenario(Watched(bank))

        asyncio.run(whole())

    return play_


class TestConduct:
    """What passes a threshold is an event with a severity, once a period."""

    @pytest.mark.parametrize(
        ("past", "unremarkable", "usual"), [((), 29, 0), ((20, 10, 30), 59, 20), ((1, 1), 29, 1)]
    )
    def test_reads_far_above_the_own_baseline(self, play, past, unremarkable, usual):
        """Three times the mean of the days before, and never fewer than thirty; told once."""

        async def scenario(watched: Watched) -> None:
            for days, count in enumerate(past):
                await watched.act(count, at=NOON - (len(past) - days) * DAY_US)
            await watched.act(unremarkable)
            assert await watched.told() == []
            await watched.act(50)
            count = unremarkable + 1
            assert await watched.told() == [
                (ANNA, "reads_above_own_baseline", "high", count, usual)
            ]

        play(scenario)

    def test_reads_without_a_case(self, play):
        """The fifth of a day whose reason names no case; the next day is counted anew."""

        async def scenario(watched: Watched) -> None:
            await watched.act(4, reason="support:asked")
            await watched.act(4, reason="support:asked", at=NOON + DAY_US)
            assert await watched.told() == []
            await watched.act(9, reason="support:asked", at=NOON + DAY_US)
            assert await watched.told() == [(ANNA, "reads_without_case", "medium", 5, 4)]

        play(scenario)

    def test_repeated_refusals(self, play):
        """The tenth within an hour, whatever was tried; nine in each of two hours are not told."""

        async def scenario(watched: Watched) -> None:
            await watched.act(9, act="approvals.approve", whose=None, result="own_proposal")
            later = NOON + HOUR
            await watched.act(9, act="flags.set", whose=None, result="scope_missing", at=later)
            assert await watched.told() == []
            await watched.act(1, act="roles.grant", whose=None, result="scope_missing", at=later)
            assert await watched.told() == [(ANNA, "repeated_refusals", "high", 10, 9)]

        play(scenario)

    def test_overrides_are_counted_by_operator(self, play):
        """The twenty-fifth of one operator's day."""

        async def scenario(watched: Watched) -> None:
            for who in (ANNA, BERT):
                await watched.act(24, act="decisions.override_hold", who=who)
            assert await watched.told() == []
            await watched.act(1, act="decisions.override_hold")
            assert await watched.told() == [(ANNA, "many_overrides", "high", 25, 0)]

        play(scenario)

    @pytest.mark.parametrize("at", [NOON + 11 * HOUR, NOON + 2 * DAY_US])
    def test_acts_while_the_office_is_closed(self, play, at):
        """Ten at night, or on a Sunday; as many at noon on a Friday are not told."""

        async def scenario(watched: Watched) -> None:
            await watched.act(20, act="flags.list", whose=None)
            assert await watched.told() == []
            await watched.act(10, act="flags.list", whose=None, at=at)
            assert await watched.told() == [(ANNA, "acts_at_odd_hours", "medium", 10, 0)]

        play(scenario)

    def test_customers_and_strangers_are_not_watched(self, play):
        """Their refusals are other rooms' matter."""

        async def scenario(watched: Watched) -> None:
            for kind in (PrincipalKind.CUSTOMER, PrincipalKind.NOBODY):
                acts = (Act(5, int(kind), "identity.log_in", result="wrong"),) * 50
                await watched.bank.submit(RecordActs(acts), at=NOON)
            await watched.seen()
            assert await watched.told() == []

        play(scenario)

    def test_a_watcher_that_begins_again_tells_nothing_twice(self, play, database):
        """Its counts and its place are lost; it counts the log again, and finds it was told."""

        async def scenario(watched: Watched) -> None:
            await watched.act(6, reason="support:asked")
            before = await watched.told()
            assert len(before) == 1
            database.connection.execute("DELETE FROM governance.conduct")
            async with await watched.bank.connect() as connection:
                await replay_from(connection, "governance.anomalies", position=0)
            watched.bank.consumers.positions.clear()
            await watched.seen()
            counted = database.connection.execute(
                "SELECT count, is_told FROM governance.conduct WHERE rule = 'reads_without_case'"
            ).fetchall()
            assert counted == [(6, True)]
            assert await watched.told() == before

        play(scenario)
