"""The stage of a measure: a bank of its own, with customers, money, and a history."""

import asyncio  # noqa: TC003 - needed by annotations at run time
import gc
import shutil
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar

import msgspec
import psycopg
import uvloop

from scudo.auditing import verify_bank
from scudo.bootstrap import CATALOGUE, Bank
from scudo.decisions import Channel
from scudo.fabric import Answer, Command, postgres
from scudo.identity import CustomerKind, RegisterCustomer
from scudo.kernel import Prefix, ids
from scudo.ledger import Mandate, Movement, Nature, OpenAccount, PostJournal, Product, TransferKind
from scudo.payments import AuthoriseCard

Figures = dict[str, dict[str, float | int]]
Report = Callable[[str], None]
T = TypeVar("T")

EUR: Final = 978
#: Every benchmark draws the same customers, amounts and places.
SEED: Final = 20_260_101
#: What each account starts with, minor units.
FUNDS: Final = 100_000_000
CLIENT: Final = 1
_JOURNAL: Final = 1_000


@dataclass(frozen=True, slots=True)
class Terms:
    """How measures are run."""

    seconds: int
    large: bool


class _Made(msgspec.Struct):
    id: str


@contextmanager
def home() -> Iterator[Path]:
    """A folder for a bank that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="scudo-bench-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        postgres.EmbeddedServer(folder).stop()
        shutil.rmtree(folder, ignore_errors=True)


def in_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a measure as the server runs: on uvloop, with the cyclic collector off."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        return uvloop.run(work)
    finally:
        gc.enable()
        gc.unfreeze()


async def carry(
    bank: Bank,
    commands: Iterator[Command],
    *,
    key: str,
    ahead: int,
    at: Callable[[int], int] | None = None,
) -> AsyncIterator[Answer]:
    """Send commands, with so many under way at once, and give their answers in order.

    All must be accepted: a measure of refusals would flatter.

    Args:
        bank: the bank.
        commands: to send, in order.
        key: what their idempotency keys begin with.
        ahead: how many may be under way.
        at: log time in microseconds of the n-th command, where a file drives the clock.
    """
    under_way: deque[asyncio.Future[Answer]] = deque()
    for number, command in enumerate(commands):
        ordered_at = None if at is None else at(number)
        under_way.append(bank.queue(command, client=CLIENT, key=f"{key}:{number}", at=ordered_at))
        if len(under_way) == ahead:
            yield _accepted(await under_way.popleft())
            while under_way and under_way[0].done():
                yield _accepted(under_way.popleft().result())
    while under_way:
        yield _accepted(await under_way.popleft())


def _accepted(answer: Answer) -> Answer:
    assert answer.status < 400, f"a benchmark's request was refused: {answer}"
    return answer


async def done(answers: AsyncIterator[Answer]) -> None:
    """Carry to the end, and keep no answer."""
    async for _ in answers:
        pass


async def populate(
    bank: Bank, *, customers: int, report: Report, at: Callable[[int], int] | None = None
) -> list[int]:
    """Open customers with one funded account each; returns the accounts."""
    report(f"   {customers:,} customers with an account each, funded")
    owners = await _made(
        Prefix.CUSTOMER,
        carry(
            bank,
            (RegisterCustomer(f"bench-{n}", CustomerKind.PERSON, 380) for n in range(customers)),
            key="customer",
            ahead=4_000,
            at=at,
        ),
    )
    accounts = await _made(
        Prefix.ACCOUNT,
        carry(
            bank,
            (OpenAccount(owner, EUR, Product.CURRENT, Nature.CREDIT, 0, 0) for owner in owners),
            key="account",
            ahead=4_000,
            at=at,
        ),
    )
    funding = carry(
        bank,
        (
            PostJournal(
                Mandate.OPENING,
                tuple(
                    Movement(TransferKind.POST, FUNDS, EUR, credit=account)
                    for account in accounts[start : start + _JOURNAL]
                ),
                "opening",
            )
            for start in range(0, customers, _JOURNAL)
        ),
        key="funding",
        ahead=10,
        at=at,
    )
    await done(funding)
    return accounts


def card_payment(random: Random, *, account: int, customer: int, capture: bool) -> AuthoriseCard:
    """A usual card payment of a customer: own card and device, one of 5,000 merchants."""
    return AuthoriseCard(
        account=account,
        amount=random.randrange(500, 2_500),
        currency=EUR,
        card=customer + 1,
        merchant=random.randrange(5_000) + 1,
        merchant_account=0,
        device=customer + 10_000_001,
        ip=customer + 20_000_001,
        mcc=5411,
        country=380,
        latitude_e4=None,
        longitude_e4=None,
        channel=Channel.CARD_PRESENT,
        capture=capture,
        expires_in_s=0,
        occurred_at=None,
    )


async def _made(prefix: Prefix, answers: AsyncIterator[Answer]) -> list[int]:
    return [
        ids.parse(prefix, msgspec.json.decode(answer.body, type=_Made).id)
        async for answer in answers
    ]


def settings_of(folder: Path) -> str:
    """What the database of a bank says of durability, for the record."""
    server = postgres.EmbeddedServer(folder)
    with psycopg.connect(server.start().owner, autocommit=True) as connection:
        found = [
            f"{name} {connection.execute('SELECT current_setting(%s)', (name,)).fetchone()[0]}"  # type: ignore[index]
            for name in ("fsync", "synchronous_commit", "full_page_writes")
        ]
    return ", ".join(found)


def verify(folder: Path, report: Report) -> None:
    """Prove the books of a bank after a measure."""
    with psycopg.connect(
        postgres.EmbeddedServer(folder).start().read, autocommit=True
    ) as connection:
        verdict = verify_bank(connection, catalogue=CATALOGUE, gentle=False)
    report(f"   books verified: {verdict.transfers:,} transfers, {verdict.accounts:,} accounts")
    assert verdict.ok, f"the books do not add up: {verdict.first_bad}"
