"""What memory holds comes back after a stop, a crash, and a lost or damaged snapshot."""

import asyncio
import io
import shutil
from pathlib import Path

import msgspec
import psycopg
import pytest
from tests.conftest import Database
from tests.history.banks import opened

from scudo.bootstrap import CATALOGUE, Bank
from scudo.decisions import dump_state, load_policy
from scudo.decisions.events import DecisionRescored
from scudo.decisions.policy import STANDARD
from scudo.fabric import deadlines, read_log, replay_from
from scudo.identity import CustomerKind, RegisterCustomer
from scudo.kernel import SECOND_US, Prefix, ids
from scudo.ledger import (
    Mandate,
    Movement,
    Nature,
    OpenAccount,
    PostBulk,
    PostJournal,
    Product,
    TransferKind,
)
from scudo.payments import AuthoriseCard, Capture, Pay

EUR = 978
#: Says no when it does not know how often the card was used.
STRICT_RULE = """
-- rule: strict
-- outcome: decline
-- reason: unusual_velocity
-- priority: 90
-- when null: fail_closed
-- typology: velocity
-- owner: card fraud
-- gates: card
-- says: This card was used {card_count_10m} times in ten minutes.
SELECT card_count_10m > 1000;
"""


async def tell(bank: Bank, command: object, *, key: str) -> dict[str, object]:
    """Send a command that must be taken; returns the answer's body."""
    answer = await bank.submit(command, client=1, key=key)  # type: ignore[arg-type]
    assert answer.status < 400, answer.body
    body: dict[str, object] = msgspec.json.decode(answer.body)
    return body


async def open_accounts(bank: Bank, count: int, *, funds: int = 1_000_000) -> list[int]:
    """Open funded accounts of one customer each."""
    accounts = []
    for number in range(count):
        customer = await tell(
            bank, RegisterCustomer(f"c{number}", CustomerKind.PERSON, 380), key=f"c{number}"
        )
        owner = ids.parse(Prefix.CUSTOMER, str(customer["id"]))
        account = await tell(
            bank,
            OpenAccount(owner, EUR, Product.CURRENT, Nature.CREDIT, 0, 0),
            key=f"a{number}",
        )
        accounts.append(ids.parse(Prefix.ACCOUNT, str(account["id"])))
        funding = Movement(TransferKind.POST, funds, EUR, credit=accounts[-1])
        await tell(bank, PostJournal(Mandate.OPENING, (funding,), "opening"), key=f"f{number}")
    return accounts


def card(account: int, *, amount: int = 1_000, capture: bool = False) -> AuthoriseCard:
    """A card payment without anything unusual."""
    return AuthoriseCard(
        account=account,
        amount=amount,
        currency=EUR,
        card=account + 1_000,
        merchant=77,
        merchant_account=0,
        device=account + 2_000,
        ip=None,
        mcc=5411,
        country=380,
        latitude_e4=None,
        longitude_e4=None,
        channel=None,
        capture=capture,
        expires_in_s=0,
        occurred_at=None,
    )


def pay(debit: int, credit: int, *, amount: int) -> Pay:
    """A payment between accounts from an unknown place."""
    return Pay(debit, credit, amount, EUR, None, None, None, None, None, None, None)


def memory(bank: Bank) -> bytes:
    """Features' state, in comparable form."""
    file = io.BytesIO()
    dump_state(bank.rooms.gatekeeper.state, file, position=bank.conveyor.head.position)
    return file.getvalue()


async def work(bank: Bank) -> None:
    """Leave open authorisations, held payments and a history."""
    accounts = await open_accounts(bank, 3)
    for number in range(40):
        await tell(
            bank,
            card(accounts[number % 3], amount=500 + number, capture=number % 2 == 0),
            key=f"card{number}",
        )
    await tell(bank, pay(accounts[0], accounts[1], amount=90_000), key="pay")


class TestStart:
    """A start rebuilds exactly what a running bank would have in memory."""

    def test_rebuilds_from_the_log_alone(self, database: Database, tmp_path: Path) -> None:
        """Features are the same after a start without a snapshot."""

        async def scenario() -> None:
            async with opened(database.dsn, tmp_path) as (bank, _):
                await work(bank)
                before = memory(bank)
            assert not (tmp_path / "features").exists()
            async with opened(database.dsn, tmp_path) as (bank, _):
                assert memory(bank) == before

        asyncio.run(scenario())

    def test_rebuilds_from_a_snapshot_and_the_log_after_it(
        self, database: Database, tmp_path: Path
    ) -> None:
        """A snapshot that a child wrote, and what came after it, give the same state."""

        async def scenario() -> None:
            async with opened(database.dsn, tmp_path) as (bank, _):
                await work(bank)
                bank.keep_snapshot()
                while bank.snapshots.position == 0 or bank.snapshots.is_writing():
                    await asyncio.sleep(0.01)
                accounts = sorted(a for a, row in bank.rooms.book.accounts.items() if row.owner)
                for number in range(5):
                    await tell(bank, card(accounts[0], amount=700), key=f"later{number}")
                before, taken_at = memory(bank), bank.snapshots.position
            async with opened(database.dsn, tmp_path) as (bank, _):
                assert bank.snapshots.position == taken_at
                assert memory(bank) == before

        asyncio.run(scenario())

    def test_ignores_a_damaged_snapshot(self, database: Database, tmp_path: Path) -> None:
        """A snapshot with a flipped byte is refused, removed, and the log is read instead."""

        async def scenario() -> None:
            async with opened(database.dsn, tmp_path) as (bank, _):
                await work(bank)
                before, head = memory(bank), bank.conveyor.head
                bank.snapshots.write(
                    bank.rooms.gatekeeper.state, position=head.position, batch_hash=head.hash
                )
            (snapshot,) = (tmp_path / "features").iterdir()
            content = bytearray(snapshot.read_bytes())
            content[len(content) // 2] ^= 1
            snapshot.write_bytes(content)
            async with opened(database.dsn, tmp_path) as (bank, _):
                assert memory(bank) == before
            assert not snapshot.exists()

        asyncio.run(scenario())

    def test_ignores_a_snapshot_of_another_log(self, database: Database, tmp_path: Path) -> None:
        """A snapshot whose name carries another hash than the log has there is not taken."""

        async def scenario() -> None:
            async with opened(database.dsn, tmp_path) as (bank, _):
                await work(bank)
                before, head = memory(bank), bank.conveyor.head
                bank.snapshots.write(
                    bank.rooms.gatekeeper.state, position=head.position, batch_hash=bytes(32)
                )
            async with opened(database.dsn, tmp_path) as (bank, _):
                assert bank.snapshots.position == 0
                assert memory(bank) == before

        asyncio.run(scenario())


class TestWaiting:
    """What waits for long is in the database, and in memory only when it is needed."""

    def test_is_not_loaded_at_the_start_and_can_be_acted_on(
        self, database: Database, tmp_path: Path
    ) -> None:
        """An authorisation that ends in a week is captured after a start that did not load it."""

        async def scenario() -> None:
            async with opened(database.dsn, tmp_path) as (bank, _):
                (account,) = await open_accounts(bank, 1)
                authorised = [await tell(bank, card(account), key=f"card{n}") for n in range(3)]
            async with opened(database.dsn, tmp_path) as (bank, _):
                assert not bank.rooms.payments.payments
                assert not bank.rooms.book.holds
                payment = ids.parse(Prefix.PAYMENT, str(authorised[1]["id"]))
                captured = await tell(bank, Capture(payment, 1_000, final=True), key="capture")
                assert captured["status"] == "captured"

        asyncio.run(scenario())

    def test_leaves_memory_but_for_the_newest(
        self, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However many authorisations are open, memory holds a bounded number of them."""
        monkeypatch.setattr(deadlines, "_RESTING_MAX", 5)

        async def scenario() -> None:
            async with opened(database.dsn, tmp_path) as (bank, _):
                accounts = await open_accounts(bank, 20)
                for number in range(40):
                    answer = await tell(bank, card(accounts[number % 20]), key=f"card{number}")
                    assert answer["status"] == "authorised"
                # The newest, those under way, and those prepared since.
                assert len(bank.rooms.payments.payments) <= 5 + 3
                assert len(bank.rooms.book.holds) <= 5 + 3

        asyncio.run(scenario())

    @pytest.mark.parametrize("count", [3, 300])
    def test_expires_before_anything_else_after_a_stop(
        self, database: Database, tmp_path: Path, count: int
    ) -> None:
        """More holds of one moment than are loaded at once end before the next payment is taken."""

        async def scenario() -> tuple[list[str], dict[str, object]]:
            async with opened(database.dsn, tmp_path) as (bank, _):
                a, b = await open_accounts(bank, 2, funds=count)
                soon = bank.conveyor.head.ordered_at + 1_500_000
                hold = Movement(TransferKind.HOLD, 1, EUR, a, b, expires_at=soon)
                await tell(
                    bank, PostBulk(Mandate.SETTLEMENT, ((hold,),) * count, "all of it"), key="holds"
                )
                before = bank.conveyor.head.position
            await asyncio.sleep(1.6)
            async with opened(database.dsn, tmp_path) as (bank, _):
                paid = await tell(bank, card(a, amount=count), key="all of it again")
                async with bank.reads() as connection:
                    recorded, _ = await read_log(connection, CATALOGUE, after=before, limit=999)
            return [type(each.event).__name__ for each in recorded], paid

        events, paid = asyncio.run(scenario())
        assert events[:count] == ["HoldExpired"] * count
        assert events.count("HoldExpired") == count
        assert paid["status"] == "authorised"

    def test_does_not_cut_a_files_batches_short(self, database: Database, tmp_path: Path) -> None:
        """Hours go by within a batch of a replayed file; what ends ends between payments."""
        hour = 3_600 * SECOND_US
        begins_at = 1_700_000_000 * SECOND_US

        async def scenario() -> tuple[int, list[str]]:
            async with opened(database.dsn, tmp_path) as (bank, _):
                customer = RegisterCustomer("c", CustomerKind.PERSON, 380)
                account = OpenAccount(1, EUR, Product.CURRENT, Nature.CREDIT, None, None)
                answers = [
                    await bank.submit(command, client=1, at=begins_at)
                    for command in (customer, account)
                ]
                before, batches = bank.conveyor.head.position, bank.conveyor.tally.batches
                payment = msgspec.structs.replace(card(2), expires_in_s=60)
                sent = [
                    bank.queue(payment, client=1, key=f"{n}", at=begins_at + (n + 1) * hour)
                    for n in range(300)
                ]
                answers += [await answer for answer in sent]
                assert {answer.status for answer in answers} == {201}
                batches = bank.conveyor.tally.batches - batches
                async with bank.reads() as connection:
                    recorded, _ = await read_log(connection, CATALOGUE, after=before, limit=9_999)
            names = [type(each.event).__name__ for each in recorded]
            return batches, [name for name in names if name in {"HoldPlaced", "PaymentExpired"}]

        batches, events = asyncio.run(scenario())
        assert events == ["HoldPlaced", *["PaymentExpired", "HoldPlaced"] * 299]
        assert batches < 20


class TestConsumersOfTheBank:
    """What the bank itself does with its events."""

    def test_opens_an_alert_for_every_decision_that_is_not_allow(
        self, database: Database, tmp_path: Path
    ) -> None:
        """Alerts are exactly the decisions with another outcome than allow."""

        async def scenario() -> None:
            async with opened(database.dsn, tmp_path) as (bank, _):
                await work(bank)
                accounts = sorted(a for a, row in bank.rooms.book.accounts.items() if row.owner)
                for number in range(6):
                    await tell(
                        bank, card(accounts[0], amount=90_000 + number), key=f"large{number}"
                    )
                while bank.consumers.positions.get("decisions.alerts") != (
                    bank.conveyor.head.position
                ):
                    await asyncio.sleep(0.02)

        asyncio.run(scenario())

        with psycopg.connect(database.dsn.read) as connection:
            decided = connection.execute(
                "SELECT id FROM decisions.decision WHERE outcome <> 0 ORDER BY id"
            ).fetchall()
            alerted = connection.execute(
                "SELECT decision FROM decisions.alert ORDER BY id"
            ).fetchall()
        assert len(decided) >= 6
        assert alerted == decided

    def test_judges_a_degraded_decision_again_once(
        self, database: Database, tmp_path: Path
    ) -> None:
        """A decision made on unknown features is judged again, once, however often it is taken."""
        policy = tmp_path / "policy"
        shutil.copytree(STANDARD, policy)
        (policy / "rules" / "strict.sql").write_text(STRICT_RULE)

        async def scenario() -> list[DecisionRescored]:
            async with opened(database.dsn, tmp_path, policy=load_policy(policy)) as (bank, _):
                (account,) = await open_accounts(bank, 1)
                await tell(bank, card(account), key="before")
                state = bank.rooms.gatekeeper.state
                bank.conveyor.at_rest(lambda: state.evict(before=state.ordered_at + 1))
                await tell(bank, card(account), key="degraded")
                await rescored(bank)
                async with await bank.connect() as connection:
                    await replay_from(connection, "decisions.rescoring", position=0)
                await rescored(bank)
                async with bank.reads() as connection:
                    recorded, _ = await read_log(connection, CATALOGUE, after=0, limit=500)
                return [r.event for r in recorded if isinstance(r.event, DecisionRescored)]

        async def rescored(bank: Bank) -> None:
            bank.consumers.positions.clear()
            while bank.consumers.positions.get("decisions.rescoring") != (
                bank.conveyor.head.position
            ):
                await asyncio.sleep(0.02)

        (event,) = asyncio.run(scenario())

        with psycopg.connect(database.dsn.read) as connection:
            degraded = connection.execute(
                "SELECT id FROM decisions.decision WHERE degraded <> 0"
            ).fetchall()
        assert degraded == [(event.decision,)]
