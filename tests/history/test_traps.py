"""Traps that a bank with one writer and its state in memory must not fall into.

Each test drives a bank into one of them, and then compares everything with the model.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.conftest import Database
from tests.history.banks import Driver, Saboteur, opened
from tests.history.check import check
from tests.history.workload import EUR
from tests.model.replay import read_stored

from scudo.bootstrap import Bank, open_bank
from scudo.fabric.postgres import ExternalServer

FAR = 4_000_000_000_000_000


class Trial:
    """A bank with some accounts, its saboteur, and a driver."""

    def __init__(self, bank: Bank, saboteur: Saboteur, driver: Driver) -> None:
        self.bank, self.saboteur, self.driver = bank, saboteur, driver
        self.count = 0

    async def ask(self, *commands: list[Any], key: str = "") -> list[tuple[int, dict[str, Any]]]:
        """Send commands together under new keys; their statuses and bodies."""
        self.count += 1
        pairs = [(c, key or f"own{self.count}-{n}") for n, c in enumerate(commands)]
        return [(t.status, t.answer()) for t in await self.driver.exchange(self.bank, pairs)]

    def account(self, index: int = 0) -> int:
        return self.driver.workload.accounts[index]


@contextlib.asynccontextmanager
async def trial(database: Database, folder: Path, *, batch: int = 64) -> AsyncIterator[Trial]:
    """Open a bank, lend it, close it, and compare what is stored with the model."""
    driver = Driver(1)
    async with opened(database.dsn, folder, batch=batch) as (bank, saboteur):
        await driver.setup(bank)
        yield Trial(bank, saboteur, driver)
    assert check(read_stored(database.dsn.read), driver.tries) == []


def card(account: int, amount: int, *, expires: int = 0, capture: bool = False) -> list[Any]:
    tokens = (time.monotonic_ns(), 1, 0, None, None, 5411, 380, None, None, 4)
    return [401, account, amount, EUR, *tokens, capture, expires, None]


def hold(debit: int, credit: int, amount: int, until: int) -> list[Any]:
    return [2, amount, EUR, debit, credit, 0, True, until, 0, 0]


def number(body: dict[str, Any], name: str = "id") -> int:
    return int(body[name][4:], 16)


class TestHoldsOfPayments:
    @pytest.mark.parametrize("kind", [3, 4, 5])
    def test_are_not_touched_by_journals(self, database, tmp_path, kind):
        """A journal cannot raise, capture or release what a payment holds."""

        async def main() -> None:
            async with trial(database, tmp_path) as t:
                [(_, body)] = await t.ask(card(t.account(), 500, expires=1))
                step = [kind, 100, EUR, 0, 0, number(body, "hold_id"), True, 0, 0, 0]
                [(status, refusal)] = await t.ask([203, 6, [step], "theft"])
                assert (status, refusal["code"]) == (409, "hold_of_payment")
                await asyncio.sleep(1.7)
                [(status, _)] = await t.ask(card(t.account(), 1))
                assert status == 201, "the bank goes on after the payment has expired"

        asyncio.run(main())


class TestWriter:
    def test_answers_everybody_when_it_is_fenced(self, database, tmp_path):
        """Waiters of a writer that has lost its epoch are told, and none waits for ever."""

        async def main() -> None:
            async with trial(database, tmp_path) as t:
                database.connection.execute("UPDATE fabric.log_head SET epoch = epoch + 1")
                async with asyncio.timeout(5):
                    answers = await t.ask(card(t.account(), 5), card(t.account(1), 5))
                assert {body["code"] for _, body in answers} == {"writer_fenced"}

        asyncio.run(main())

    def test_answers_both_halves_of_a_batch_when_it_is_fenced(self, database, tmp_path):
        """A batch that was halved and then meets another writer leaves nobody waiting."""

        async def main() -> None:
            async with trial(database, tmp_path) as t:
                database.connection.execute("UPDATE fabric.log_head SET epoch = epoch + 1")
                t.saboteur.ways.append("data")
                async with asyncio.timeout(5):
                    answers = await t.ask(*[card(t.account(n), 5) for n in range(4)])
                assert {body["code"] for _, body in answers} == {"writer_fenced"}

        asyncio.run(main())

    def test_outlives_many_losses_in_a_row(self, database, tmp_path):
        """A backend that is killed again and again costs time, not the writer."""

        async def main() -> None:
            async with trial(database, tmp_path) as t:
                t.saboteur.ways += ["lost"] * 7
                async with asyncio.timeout(20):
                    await t.ask(card(t.account(), 5), card(t.account(1), 5))
                    t.saboteur.ways.clear()
                    [(status, _)] = await t.ask(card(t.account(), 6))
                assert status == 201

        asyncio.run(main())

    @pytest.mark.parametrize(
        "poison",
        [
            [201, 1, EUR, 100, 2, 1 << 63, 0],
            [101, "country out of range", 1, 99_999],
            [101, "a zero \x00 in a name", 1, 380],
            [401, 3, 5, EUR, *[None] * 2, 0, *[None] * 6, 4, False, 1 << 40, None],
        ],
    )
    def test_refuses_a_poisoned_item_alone(self, database, tmp_path, poison):
        """What cannot be written is refused by itself; its neighbours go through."""

        async def main() -> None:
            async with trial(database, tmp_path) as t:
                poison[1] = t.driver.workload.customers[0] if poison[0] == 201 else poison[1]
                poison[1] = t.account() if poison[0] == 401 else poison[1]
                async with asyncio.timeout(10):
                    answers = await t.ask(card(t.account(), 5), poison, card(t.account(1), 6))
                assert [status for status, _ in answers] == [201, 500, 201]
                assert answers[1][1]["code"] == "request_poisoned"

        asyncio.run(main())

    def test_leaves_no_batch_open_after_replays_alone(self, database, tmp_path):
        """A batch of nothing but replayed keys leaves nothing behind in memory."""

        async def main() -> None:
            async with trial(database, tmp_path) as t:
                command = card(t.account(), 5)
                for _ in range(3):
                    await t.ask(command, key="again")
                assert not t.bank.rooms.gatekeeper.state._batches

        asyncio.run(main())

    def test_loads_again_what_a_lost_connection_cut_short(self, database, tmp_path):
        """After a reload that was interrupted holds still expire."""

        async def main() -> None:
            async with trial(database, tmp_path) as t:
                rooms = t.bank.rooms
                reload = rooms._ledger_store.load_house

                async def cut(connection: Any) -> None:
                    rooms._ledger_store.load_house = reload
                    await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

                [(_, body)] = await t.ask(card(t.account(), 5, expires=1))
                rooms._ledger_store.load_house = cut
                t.saboteur.ways.append("stale")
                async with asyncio.timeout(20):
                    await t.ask(card(t.account(1), 5))
                    await asyncio.sleep(1.5)
                    [(status, refusal)] = await t.ask([403, number(body), 5, True])
                assert (status, refusal["code"]) == (409, "payment_state_conflict")

        asyncio.run(main())

    def test_are_raised_after_a_look_up_that_broke_off(self, database, tmp_path):
        """A payment that was half looked up when the connection went can be raised all the same."""

        async def main() -> None:
            async with trial(database, tmp_path) as t:
                [(_, body)] = await t.ask(card(t.account(), 500))
                store = t.bank.rooms._payment_store
                keep = store._keep

                def cut(lookup: Any, rows: Any) -> None:
                    keep(lookup, rows)
                    store._keep = keep
                    with psycopg.connect(database.dsn.admin) as admin:
                        pid = lookup._connection.info.backend_pid
                        admin.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))

                t.bank.conveyor._is_stale = True
                await t.ask([101, "has the caches dropped", 1, 380])
                store._keep = cut
                async with asyncio.timeout(20):
                    await t.ask([405, number(body), 5])
                    [(status, _)] = await t.ask([405, number(body), 7])
                assert store._keep == keep, "it was cut"
                assert status == 200

        asyncio.run(main())


class TestTakenBack:
    def test_holds_leave_no_date_behind(self, database, tmp_path):
        """A hold whose number was given before, to one taken back, lives for its own time."""

        async def main() -> None:
            async with trial(database, tmp_path) as t:
                soon = time.time_ns() // 1_000 + 300_000
                a, b = t.account(), t.account(1)
                undone = [hold(a, b, 10, soon), [1, 10**12, EUR, a, b, 0, True, 0, 0, 0]]
                [(_, body)] = await t.ask([205, 6, [undone, [hold(a, b, 10, FAR)]], "groups"])
                assert (body["posted"], body["refused"]) == (1, 1)
                await asyncio.sleep(0.9)
                assert (await t.ask(card(a, 1)))[0][0] == 201

        asyncio.run(main())

    def test_first_use_of_the_banks_own_account_leaves_no_trace(self, database, tmp_path):
        """A challenged card payment whose batch was undone goes on with an account that exists."""

        async def main() -> None:
            async with trial(database, tmp_path) as t:
                [(_, body)] = await t.ask(card(t.account(), 30_000))
                assert body["status"] == "challenged"
                t.saboteur.ways.append("disk")
                await t.ask([408, number(body), True])
                await t.ask([101, "moves the positions", 1, 380])
                [(status, body)] = await t.ask([408, number(body), True])
                assert (status, body["status"]) == (200, "authorised")
                assert (await t.ask([403, number(body), 100, True]))[0][0] == 200

        asyncio.run(main())

    @pytest.mark.parametrize("way", ["disk", "lost", "data"])
    def test_expiries_come_again(self, database, tmp_path, way):
        """What expired in a batch that was undone expires in a later one."""

        async def main() -> None:
            async with trial(database, tmp_path) as t:
                soon = time.time_ns() // 1_000 + 300_000
                journal = [203, 6, [hold(t.account(), t.account(1), 10, soon)], "soon"]
                await t.ask(journal, card(t.account(), 10, expires=1))
                t.saboteur.ways += [way] * 2
                await asyncio.sleep(1.7)
                t.saboteur.ways.clear()
                await asyncio.sleep(1.7)
                stored = read_stored(database.dsn.read)
                assert [row["status"] for row in stored.holds] == [4, 4]
                assert [row["status"] for row in stored.payments] == [10]

        asyncio.run(main())


class TestAmounts:
    @pytest.mark.parametrize("act", [(404, -5), (403, -5, True), (405, -5)])
    def test_are_never_negative(self, database, tmp_path, act: tuple[int, ...]):
        """An act with a negative amount is refused by name and does nothing."""

        async def main() -> None:
            async with trial(database, tmp_path) as t:
                [(_, body)] = await t.ask(card(t.account(), 500))
                [(status, refusal)] = await t.ask([act[0], number(body), *act[1:]])
                assert (status, refusal["code"]) == (422, "amount_out_of_range")

        asyncio.run(main())


class TestTime:
    def test_that_cannot_be_kept_does_not_spin(self, database, tmp_path):
        """While the database takes nothing, something due is not tried without a pause."""

        async def main() -> None:
            async with trial(database, tmp_path) as t:
                await t.ask(card(t.account(), 500, expires=1))
                await asyncio.sleep(0.5)
                t.saboteur.ways += ["disk"] * 10_000
                await asyncio.sleep(2)
                tried = 10_000 - len(t.saboteur.ways)
                t.saboteur.ways.clear()
                assert 0 < tried < 30

        asyncio.run(main())


def test_two_writers_cannot_be_opened_on_one_log(database, tmp_path):
    """A second bank on a log whose writer is alive is refused, and the first goes on."""

    async def main() -> None:
        async with trial(database, tmp_path) as t:
            with pytest.raises(Exception, match="held by a running writer"):
                async with opened(database.dsn, tmp_path / "other"):
                    pass
            assert (await t.ask(card(t.account(), 5)))[0][0] == 201

    asyncio.run(main())


def test_a_url_of_a_superuser_cannot_steal_a_living_log(database, tmp_path):
    """Take-over looks at the recorded backend, whatever role it was opened with."""
    url = psycopg.conninfo.make_conninfo(database.dsn.admin)

    async def main() -> None:
        server = ExternalServer(url)
        async with open_bank(server, home=tmp_path, description="first") as first:
            with pytest.raises(Exception, match="held by a running writer"):
                async with open_bank(server, home=tmp_path / "b", description="second"):
                    pass
            assert first.conveyor.unavailable is None

    asyncio.run(main())
