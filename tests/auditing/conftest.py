"""A small bank in which everything has happened once, ready to be tampered with."""

import asyncio
import json
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from scudo.auditing import CHAINED, Verdict, verify_bank
from scudo.bootstrap import open_bank
from scudo.bootstrap.bank import Bank
from scudo.bootstrap.rooms import CATALOGUE
from scudo.decisions import DECISION, Policy, load_policy
from scudo.decisions.policy import STANDARD
from scudo.fabric import RECORD, Command, Limits, queries, read_images
from scudo.fabric.log.model import BATCH, ENTRY, KEY, outline_mark
from scudo.fabric.postgres import Dsn, ensure_roles
from scudo.fabric.stored import (
    StoredRows,
    batch_row,
    chained_strand,
    entry_strand,
    key_strand,
)
from scudo.fabric.verification import FIRST, LAST
from scudo.governance import ApproveMandate, EvidenceAudit, Terms
from scudo.identity import CustomerKind, RegisterCustomer
from scudo.kernel import DAY_US, GENESIS, SECOND_US, chain, merkle_root
from scudo.ledger import (
    TRANSFER,
    Mandate,
    Movement,
    Nature,
    OpenAccount,
    PostJournal,
    Product,
    TransferKind,
)
from scudo.payments import (
    AnswerChallenge,
    AuthoriseCard,
    CancelPayment,
    Capture,
    Pay,
    PayWithText,
    RaiseAuthorisation,
    ReleasePayment,
    Reverse,
)

EUR = 978
NOON = 1_700_000_000 * SECOND_US
#: Amounts that the gates of this bank answer with an outcome of their own.
REVIEWED, HELD, CHALLENGED, DECLINED, BLOCKED = 1_100, 1_200, 1_300, 1_400, 1_500
_RULE = """-- rule: {name}
-- outcome: {name}
-- reason: {name}_reason
-- priority: {priority}
-- when null: ignore
-- typology: test
-- owner: test
-- gates: payment, card
-- says: {{amount_minor:money}} is an amount for this outcome.
SELECT amount_minor = {amount};
"""


@dataclass(frozen=True)
class LentServer:
    """A database that the run's own server has, as `open_bank` wants it."""

    dsn: Dsn

    def start(self) -> Dsn:
        return self.dsn


class Teller:
    """Sends commands one second apart, on the clock of a file."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.now = NOON
        self.sent = 0

    async def send(self, command: Command, *, later: int = SECOND_US) -> dict[str, Any]:
        self.now += later
        self.sent += 1
        answer = await self.bank.submit(command, client=1, key=f"key {self.sent}", at=self.now)
        return json.loads(answer.body)

    async def born(self, command: Command) -> int:
        """Send what gives birth to something; its number."""
        answer = await self.send(command)
        return int(answer["id"].split("_")[1], 16)


def card(account: int, amount: int, *, capture: bool = False, merchant: int = 0) -> AuthoriseCard:
    return AuthoriseCard(
        account, amount, EUR, 7, 8, merchant, 9, 10, 5411, 380, None, None, None, capture, 0, None
    )


def pay(debit: int, credit: int, amount: int) -> Pay:
    return Pay(debit, credit, amount, EUR, 9, 10, 380, None, None, None, None)


def pay_with_text(debit: int, credit: int, amount: int, text: int) -> PayWithText:
    return PayWithText(*msgspec.structs.astuple(pay(debit, credit, amount)), text, 128)


@pytest.fixture(scope="session")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """Gates that answer by the amount alone."""
    folder = tmp_path_factory.mktemp("policy")
    shutil.copytree(STANDARD, folder, dirs_exist_ok=True)
    shutil.rmtree(folder / "rules")
    (folder / "rules").mkdir()
    amounts = {
        "review": REVIEWED,
        "hold": HELD,
        "step_up": CHALLENGED,
        "decline": DECLINED,
        "block": BLOCKED,
    }
    rules = [
        _RULE.format(name=name, amount=amount, priority=priority)
        for priority, (name, amount) in enumerate(amounts.items(), 1)
    ]
    (folder / "rules" / "amounts.sql").write_text("\n".join(rules))
    return load_policy(folder)


async def live(teller: Teller) -> None:
    """One of everything that can happen to accounts, holds and payments."""
    person = await teller.born(RegisterCustomer("anna", CustomerKind.PERSON, 380))
    shop = await teller.born(RegisterCustomer("shop", CustomerKind.PERSON, 380))

    async def account(owner: int, overdraft: int = 0) -> int:
        return await teller.born(
            OpenAccount(owner, EUR, Product.CURRENT, Nature.CREDIT, overdraft, overdraft)
        )

    anna, till, spare = await account(person), await account(shop), await account(person, 500)
    for number in (anna, spare):
        await teller.send(
            PostJournal(
                Mandate.OPENING, (Movement(TransferKind.POST, 10**6, EUR, 0, number),), "open"
            )
        )
    await teller.send(
        PostJournal(
            Mandate.FEES,
            (
                Movement(TransferKind.POST, 150, EUR, anna, 0),
                Movement(
                    TransferKind.HOLD,
                    900,
                    EUR,
                    anna,
                    till,
                    tolerance_bps=500,
                    expires_at=NOON + 30 * DAY_US,
                ),
                Movement(TransferKind.CAPTURE, 400, EUR, hold=-2, final=False),
                Movement(
                    TransferKind.HOLD, 100, EUR, spare, till, expires_at=NOON + 3_600 * SECOND_US
                ),
            ),
            "several",
        )
    )
    await post_by_mandate(teller, anna, spare)
    for amount in (1_000, REVIEWED, HELD, CHALLENGED, DECLINED, BLOCKED):
        await teller.born(card(anna, amount))
        await teller.born(card(anna, amount, capture=True))
        await teller.born(pay(anna, till, amount))
    for amount in (1_001, HELD, CHALLENGED, DECLINED):
        await teller.born(pay_with_text(anna, till, amount, 10**15 + amount))
    await teller.send(pay_with_text(anna, till, 10**9, 77))
    await teller.send(pay(anna, till, 10**9))
    await teller.send(pay(anna, 10**6, 1))
    whole = await teller.born(card(anna, 5_000))
    await teller.send(Capture(whole, 5_500, final=True))
    parts = await teller.born(card(anna, 5_000, merchant=till))
    await teller.send(Capture(parts, 1_000, final=False))
    await teller.send(RaiseAuthorisation(parts, 700))
    await teller.send(RaiseAuthorisation(parts, DECLINED))
    await teller.send(Reverse(parts, 200))
    await teller.send(Capture(parts, 10**6, final=False))
    await teller.send(Capture(parts, 2_000, final=True))
    back = await teller.born(card(spare, 5_000))
    await teller.send(Reverse(back, 0))
    await teller.send(ReleasePayment(await teller.born(pay(anna, till, HELD)), "known"))
    worded = await teller.born(pay_with_text(anna, till, HELD, 78))
    await teller.send(ReleasePayment(worded, "known"))
    await teller.send(CancelPayment(await teller.born(pay(anna, till, HELD))))
    await teller.send(AnswerChallenge(await teller.born(card(anna, CHALLENGED)), has_passed=True))
    await teller.send(AnswerChallenge(await teller.born(card(anna, CHALLENGED)), has_passed=False))
    await teller.send(pay(anna, till, 1), later=2 * DAY_US)
    await teller.send(card(anna, 2_000))
    await teller.send(card(anna, CHALLENGED))
    await teller.send(pay(anna, till, HELD))


async def post_by_mandate(teller: Teller, anna: int, spare: int) -> None:
    """Journals under a mandate that is bounded, used up, changed, and bounded again."""
    terms = Terms("cash_fees", "finance", currency=EUR, amount_max=60, day_max=100)

    def fee(account: int, amount: int, by: int = 0) -> PostJournal:
        movement = Movement(TransferKind.POST, amount, EUR, account, 0)
        return PostJournal(by or fees, (movement,), "fee")

    async def adjust(account: int, amount: int) -> None:
        """What the other mandate would not have allowed just now."""
        await teller.send(fee(account, amount, Mandate.ADJUSTMENT))

    fees = await teller.born(ApproveMandate(0, terms))
    for account, amount in ((anna, 60), (spare, 40), (anna, 1)):
        await teller.send(fee(account, amount))
    await adjust(anna, 61)
    wider = Terms("cash_fees", "finance", (100,), (1,), (anna,), EUR, 70, 150)
    await teller.send(ApproveMandate(fees, wider))
    for account, amount in ((anna, 50), (spare, 1), (anna, 1)):
        await teller.send(fee(account, amount))
    await adjust(anna, 5)
    await adjust(spare, 5)
    ended = Terms("cash_fees", "finance", valid_to=NOON)
    await teller.send(ApproveMandate(fees, ended))
    await teller.send(fee(anna, 1))
    await adjust(anna, 6)
    await teller.send(ApproveMandate(fees, wider))


@dataclass(frozen=True)
class Books:
    """A bank's database at rest."""

    dsn: Dsn
    admin: psycopg.Connection
    reader: psycopg.Connection
    #: The bank's folder, in which its witness is.
    home: Path

    def verify(self, evidence: EvidenceAudit | None = None) -> Verdict:
        return verify_bank(self.reader, catalogue=CATALOGUE, gentle=False, evidence=evidence)

    def verify_with_witness(self) -> Verdict:
        return self.verify(EvidenceAudit(self.home / "witness"))


async def _live_in(dsn: Dsn, home: Path, policy: Policy) -> None:
    limits = Limits(batch=8, queue=1_000)
    async with open_bank(
        LentServer(dsn), home=home, description="test", limits=limits, policy=policy
    ) as bank:
        await live(Teller(bank))


@pytest.fixture(scope="module")
def books(
    server: Dsn, template: str, policy: Policy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Books]:
    """The books of a bank that has lived; a module's tests leave them as they were."""
    name = f"books_{uuid.uuid4().hex}"
    with psycopg.connect(server.admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    dsn = server.database(name)
    ensure_roles(dsn.admin)
    home = tmp_path_factory.mktemp("home")
    asyncio.run(_live_in(dsn, home, policy))
    with (
        psycopg.connect(dsn.admin, autocommit=True) as admin,
        psycopg.connect(dsn.read, autocommit=True) as reader,
    ):
        yield Books(dsn, admin, reader, home)
    with psycopg.connect(server.admin, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


SQL = queries("scudo.fabric", "verification.sql")
STORED = (BATCH.name, ENTRY.name, KEY.name, RECORD.name, DECISION.name, TRANSFER.name)
EVIDENCE = tuple(f"governance.{name}" for name in ("tree", "tree_node", "signed_head", "export"))


def chain_anew(connection: psycopg.Connection) -> None:
    """Compute every outline, root and hash from the rows as they are now."""
    everything = {"first": FIRST, "last": LAST}
    strands = [key_strand(read_images(connection, SQL["keys"], everything))]
    for chained in CHAINED:
        bounds = {"first": 0, "last": (1 << 62) - 1}
        strands.append(chained_strand(chained, read_images(connection, chained.query, bounds)))
    rows = StoredRows(entry_strand(read_images(connection, SQL["entries"], everything)), strands)
    query = {"after": FIRST, "through": LAST, "limit": 10_000}
    previous = GENESIS
    for image in read_images(connection, SQL["batches"], query):
        row = batch_row(image)
        found = rows.between(row.first, row.last)
        digests = [strand.digests[index] for _, strand, index in found]
        row.outline = b"".join(
            outline_mark(strand.table.tag, digest)
            for (_, strand, _), digest in zip(found, digests, strict=True)
        )
        row.leaves = len(digests) + 1
        row.root = merkle_root([row.leaf(), *digests])
        previous = chain(previous, row.root)
        connection.execute(
            "UPDATE fabric.log_batch SET outline = %s, leaves = %s, root = %s, hash = %s "
            "WHERE first_position = %s",
            (row.outline, row.leaves, row.root, previous, row.first),
        )
    connection.execute("UPDATE fabric.log_head SET hash = %s", (previous,))


@pytest.fixture
def forging(books) -> Iterator[psycopg.Connection]:
    """A superuser's connection; the books are put back afterwards."""
    kept = {}
    for table in (*STORED, *EVIDENCE, "fabric.log_head"):
        whole = f"COPY (SELECT * FROM {table}) TO STDOUT (FORMAT binary)"
        with books.admin.cursor().copy(whole) as copy:
            kept[table] = b"".join(copy)
    yield books.admin
    for table, stored in kept.items():
        books.admin.execute(f"TRUNCATE {table}")
        with books.admin.cursor().copy(f"COPY {table} FROM STDIN (FORMAT binary)") as copy:
            copy.write(stored)
