"""Log-ins and the like before the gates of a whole bank: kept, told, proven, undone, rebuilt."""

import asyncio
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from tests.conftest import Database
from tests.history.banks import opened

from scudo.auditing import verify_bank
from scudo.bootstrap import CATALOGUE, Bank
from scudo.bootstrap.rooms import Rooms
from scudo.decisions import dump_state, events, load_access_policy, load_policy
from scudo.fabric import Answer, Command, Entry, Event, Reference, Register, read_log
from scudo.governance import Asked, Gates, Passage, Ruling
from scudo.interfaces.cli.explaining import WhyPassed, panel_of, tell
from scudo.interfaces.cli.terminal import Terminal
from scudo.kernel import Prefix, Refusal, ids
from scudo.simulation import redecide

STUFFING = [Asked(Passage.LOG_IN, customer, device=9, network=8) for customer in range(1, 6)]


class Knock(Command, frozen=True, tag=9_001):
    """Pass some gates in one entry, and perhaps think better of it."""

    asked: tuple[Asked, ...]
    met: tuple[Ruling, ...] = ()
    is_refused: bool = False


class TurnedAway(Refusal):
    """Raised when a visitor is asked to."""

    code = "turned_away"


class Doorman:
    """A keeper as rooms of identity have it: its acts pass the gates that bootstrap gives it."""

    registers: Sequence[Register[Any]] = ()

    def __init__(self, gates: Gates) -> None:
        self._gates = gates

    @property
    def handlers(self) -> Mapping[type[Command], Callable[[Any, Entry], Answer]]:
        return {Knock: self._knock}

    def refers_to(self, command: Command) -> Iterable[Reference]:
        return ()

    def _knock(self, command: Knock, entry: Entry) -> Answer:
        met = frozenset(command.met)
        passed = [self._gates.pass_through(entry, asked, discharged=met) for asked in command.asked]
        if command.is_refused:
            message = "as it was asked"
            raise TurnedAway(message)
        return Answer(200, msgspec.json.encode(passed))


@pytest.fixture(autouse=True)
def doorman(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every bank of these tests hire a doorman."""
    hired = Rooms._hire
    monkeypatch.setattr(Rooms, "_hire", lambda rooms: (*hired(rooms), Doorman(rooms.passages)))


async def knock(bank: Bank, *asked: Asked, **more: Any) -> list[tuple[int, int]]:
    """Pass gates in one entry: ids of the decisions, and rulings."""
    answer = await bank.submit(Knock(asked, **more))
    assert answer.status == 200, answer.body
    passed: list[tuple[int, int]] = msgspec.json.decode(answer.body, type=list[tuple[int, int]])
    return passed


def memory(bank: Bank) -> tuple[bytes, ...]:
    """Both features' states, in comparable form."""
    files = [io.BytesIO(), io.BytesIO()]
    for file, (_, state) in zip(files, bank.states, strict=True):
        dump_state(state, file, position=bank.conveyor.head.position)
    return tuple(file.getvalue() for file in files)


def access(bank: Bank) -> bytes:
    """What is counted of persons, wherever the log stands."""
    file = io.BytesIO()
    dump_state(bank.rooms.passages.state, file, position=0)
    return file.getvalue()


async def told(bank: Bank, *kinds: type[Event]) -> list[Event]:
    """Events of some kinds, in order."""
    async with bank.reads() as connection:
        found, _ = await read_log(connection, CATALOGUE, after=0, limit=500)
    return [recorded.event for recorded in found if isinstance(recorded.event, kinds)]


async def taken(bank: Bank, consumer: str) -> None:
    """Wait until a consumer has taken everything."""
    while bank.consumers.positions.get(consumer) != bank.conveyor.head.position:
        await asyncio.sleep(0.02)


class TestPassages:
    """The gate port, filled by bootstrap."""

    def test_a_ruling_is_the_outcome_of_the_gate(self, database: Database, tmp_path: Path) -> None:
        """The fifth customer of one device is declined; a known one is stepped up, then let in."""

        async def scenario() -> None:
            async with opened(database.dsn, tmp_path) as (bank, _):
                rulings = [(await knock(bank, asked))[0][1] for asked in STUFFING]
                assert rulings == [Ruling.ALLOW] * 4 + [Ruling.DECLINE]
                new = Asked(Passage.LOG_IN, 1, device=70, network=8)
                assert (await knock(bank, new))[0][1] == Ruling.STEP_UP
                assert (await knock(bank, new, met=(Ruling.STEP_UP,)))[0][1] == Ruling.ALLOW
                assert (await knock(bank, new))[0][1] == Ruling.ALLOW

        asyncio.run(scenario())

    def test_the_log_tells_who_and_a_person_is_called_only_where_needed(
        self, database: Database, tmp_path: Path
    ) -> None:
        """A decline of strangers opens no alert, a hold does; operators are told as such."""

        async def scenario() -> tuple[list[Event], list[Event], list[Any]]:
            async with opened(database.dsn, tmp_path) as (bank, _):
                for asked in STUFFING:
                    await knock(bank, asked)
                await knock(bank, Asked(Passage.OPERATOR_ACT, 77, device=5))
                await knock(bank, Asked(Passage.ONBOARDING, 0, device=6))
                await knock(bank, Asked(Passage.RECOVERY, 1, device=9, network=8))
                await knock(bank, Asked(Passage.NEW_DEVICE, 2, device=66, network=8))
                await knock(bank, Asked(Passage.RECOVERY, 3, device=66, network=67))
                await taken(bank, "decisions.alerts")
                async with bank.reads() as connection:
                    rows = await connection.execute(
                        "SELECT subject, outcome FROM decisions.alert ORDER BY id"
                    )
                    alerts = await rows.fetchall()
                return (
                    await told(bank, events.PassageDecided),
                    await told(bank, events.PassageFlagged),
                    alerts,
                )

        decided, flagged, alerts = asyncio.run(scenario())

        who = [(event.customer, event.operator, event.gate) for event in decided[5:8]]
        assert who == [(None, 77, 17), (None, None, 11), (1, None, 15)]
        assert decided[4].outcome == Ruling.DECLINE
        assert [event.decision for event in flagged] == [decided[-1].decision]
        assert alerts == [(0, Ruling.HOLD)]

    def test_two_gates_in_one_entry_are_two_decisions(
        self, database: Database, tmp_path: Path
    ) -> None:
        """Each has its own time, the second sees the first, and the auditor agrees."""

        async def scenario() -> None:
            async with opened(database.dsn, tmp_path) as (bank, _):
                recovery = Asked(Passage.RECOVERY, 1, device=2, network=3)
                limit = Asked(Passage.LIMIT_CHANGE, 1, device=2, network=3)
                rulings = [ruling for _, ruling in await knock(bank, recovery, limit)]
                assert rulings == [Ruling.ALLOW, Ruling.DECLINE]

        asyncio.run(scenario())
        with psycopg.connect(database.dsn.read, autocommit=True) as connection:
            assert verify_bank(connection, catalogue=CATALOGUE).ok

    def test_a_refused_entry_leaves_no_trace(self, database: Database, tmp_path: Path) -> None:
        """What was decided in it is not counted, nor kept."""

        async def scenario() -> None:
            async with opened(database.dsn, tmp_path) as (bank, _):
                await knock(bank, STUFFING[0])
                before = access(bank)
                answer = await bank.submit(Knock(tuple(STUFFING[1:]), is_refused=True), key="once")
                assert b"turned_away" in answer.body
                assert access(bank) == before
                assert len(await told(bank, events.PassageDecided)) == 1
                await knock(bank, STUFFING[1])
                assert access(bank) != before

        asyncio.run(scenario())

    def test_an_aborted_batch_is_decided_again(self, database: Database, tmp_path: Path) -> None:
        """A batch that the database refuses is undone, and what comes after counts right."""

        async def scenario() -> list[int]:
            async with opened(database.dsn, tmp_path) as (bank, saboteur):
                saboteur.ways = ["disk"]
                answer = await bank.submit(Knock((STUFFING[0],)))
                assert answer.status >= 500
                return [(await knock(bank, asked))[0][1] for asked in STUFFING]

        assert asyncio.run(scenario()) == [Ruling.ALLOW] * 4 + [Ruling.DECLINE]

    @pytest.mark.parametrize("has_snapshot", [False, True])
    def test_a_start_rebuilds_what_was_counted(
        self, database: Database, tmp_path: Path, *, has_snapshot: bool
    ) -> None:
        """From the log alone, and from a snapshot and the log after it."""

        async def scenario() -> None:
            async with opened(database.dsn, tmp_path) as (bank, _):
                await knock(bank, *STUFFING[:2])
                if has_snapshot:
                    bank.keep_snapshot()
                    while any(kept.position == 0 or kept.is_writing() for kept, _ in bank.states):
                        await asyncio.sleep(0.01)
                await knock(bank, *STUFFING[2:])
                before = memory(bank)
            assert (tmp_path / "access").exists() is has_snapshot
            async with opened(database.dsn, tmp_path) as (bank, _):
                assert memory(bank) == before

        asyncio.run(scenario())

    def test_a_degraded_decision_is_judged_again_once(
        self, database: Database, tmp_path: Path
    ) -> None:
        """What was forgotten makes the gate take its posture; later it is judged again."""

        async def scenario() -> None:
            async with opened(database.dsn, tmp_path) as (bank, _):
                state = bank.rooms.passages.state
                measure = state.measure

                def fails(*_: object) -> tuple[int | None, ...]:
                    raise MemoryError

                state.measure = fails
                ((decision, ruling),) = await knock(bank, STUFFING[0])
                state.measure = measure
                assert ruling == Ruling.STEP_UP
                await taken(bank, "decisions.rescoring")
                (event,) = await told(bank, events.PassageRescored)
                assert event == events.PassageRescored(decision, Ruling.STEP_UP, Ruling.ALLOW)
                (decided,) = await told(bank, events.PassageDecided)
                assert decided.degraded

        asyncio.run(scenario())


class TestEvidence:
    """A decision on a log-in is proven as one on a payment is."""

    def test_every_decision_comes_out_the_same_again(
        self, database: Database, tmp_path: Path
    ) -> None:
        """All are recomputed from the log alone, and `scudo why` tells one in words."""

        async def scenario() -> None:
            async with opened(database.dsn, tmp_path) as (bank, _):
                passed = [await knock(bank, asked) for asked in STUFFING]
                async with bank.reads() as connection:
                    again = await redecide(
                        connection, (load_policy(), load_access_policy()), through=1 << 62
                    )
                assert (again.decisions, again.is_identical) == (5, True)
                decision = ids.show(Prefix.DECISION, passed[-1][0][0])
                terminal = Terminal(is_json=True)
                why = await tell(database.dsn.read, decision, terminal, wants_replay=True)
                assert isinstance(why, WhyPassed)
                assert why.headline == "The log-in was declined."
                assert why.rules == ("device_across_customers",)
                assert why.mattered == {"device_persons_1h": 5}
                assert why.who == ids.show(Prefix.CUSTOMER, 5)
                assert why.replay is not None
                assert why.replay.identical
                assert panel_of(why).title is not None

        asyncio.run(scenario())

    @pytest.mark.parametrize(
        ("change", "column"),
        [
            ("UPDATE decisions.decision SET gate = 15 WHERE id = %s", "gate"),
            ("UPDATE decisions.decision SET outcome = 4 WHERE id = %s", "outcome"),
            ("UPDATE decisions.decision SET subject = 5 WHERE id = %s", "subject"),
            ("DELETE FROM decisions.decision WHERE id = %s", None),
        ],
    )
    def test_the_auditor_names_a_row_that_was_changed(
        self, database: Database, tmp_path: Path, change: str, column: str | None
    ) -> None:
        """Whole books are right; one changed row of a passage is named."""

        async def scenario() -> int:
            async with opened(database.dsn, tmp_path) as (bank, _):
                passed = [await knock(bank, asked) for asked in STUFFING]
            return passed[2][0][0]

        decision = asyncio.run(scenario())
        with psycopg.connect(database.dsn.read, autocommit=True) as connection:
            assert verify_bank(connection, catalogue=CATALOGUE).ok
        database.connection.execute(change, (decision,))
        with psycopg.connect(database.dsn.read, autocommit=True) as connection:
            verdict = verify_bank(connection, catalogue=CATALOGUE)

        assert verdict.first_bad is not None
        assert verdict.first_bad.table == "decisions.decision"
        assert verdict.first_bad.key == ids.show(Prefix.DECISION, decision)
        assert verdict.first_bad.column == column
