"""Measures inside one process: ledger, decisions, memory, replay."""

import resource
import sys
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from random import Random
from typing import Final

from scudo.bootstrap import Bank, open_bank
from scudo.decisions import Channel, Engine, FeatureState, Gate, GateEvent, load_policy
from scudo.fabric import Limits, postgres
from scudo.ledger import Mandate, Movement, PostBulk, PostJournal, TransferKind
from scudo.simulation.bench.stage import (
    EUR,
    SEED,
    Figures,
    Report,
    Terms,
    card_payment,
    carry,
    done,
    home,
    in_loop,
    populate,
    settings_of,
    verify,
)

_ACCOUNTS: Final = 10_000
_BATCH: Final = 1_000
_SECOND_US: Final = 1_000_000
#: A customer of the replayed file pays about once a day.
_REPLAYED_EVERY_US: Final = 10 * _SECOND_US
#: Of the mixed load: movements that hold or capture, and those that must be refused.
_HOLDS: Final = 0.30
_REFUSED: Final = 0.05
_TOO_MUCH: Final = 10**15


def post_batch(terms: Terms, report: Report) -> Figures:
    """The ledger alone: batches of 1,000 transfers, and of 8,000 (eight journals a commit)."""
    rates: dict[str, float | int] = {}
    for field, journals in (("rate", 1), ("rate_8000", 8)):
        with home() as folder:
            rates[field] = in_loop(_post(folder, terms, report, journals=journals))
            verify(folder, report)
    return {"post_batch": rates}


def post_hot_account(terms: Terms, report: Report) -> Figures:
    """The same with one account on one side of every transfer."""
    with home() as folder:
        rate = in_loop(_post(folder, terms, report, journals=1, is_hot=True))
        verify(folder, report)
    return {"post_hot_account": {"rate": rate}}


async def _post(
    folder: Path,
    terms: Terms,
    report: Report,
    *,
    journals: int,
    is_hot: bool = False,
) -> int:
    async with _bank(folder, batch=_BATCH) as bank:
        numbers = await populate(bank, customers=_ACCOUNTS, report=report)
        bank.conveyor.limits.batch = journals
        random = Random(SEED)
        count = max(10, terms.seconds * 20)

        def journal() -> PostJournal:
            movements = []
            for _ in range(_BATCH):
                debit, credit = random.sample(numbers, 2)
                if is_hot:
                    debit, credit = numbers[0], credit if credit != numbers[0] else numbers[1]
                movements.append(
                    Movement(TransferKind.POST, random.randrange(1, 99), EUR, debit, credit)
                )
            return PostJournal(Mandate.SETTLEMENT, tuple(movements), "bench")

        prepared = [journal() for _ in range(count)]
        began = time.perf_counter()
        await done(carry(bank, iter(prepared), key="post", ahead=journals * 2))
        rate = round(count * _BATCH / (time.perf_counter() - began))
        report(f"   {count * _BATCH:,} transfers, {journals * _BATCH:,} a commit; {_steps(bank)}")
    report(f"   {settings_of(folder)}")
    return rate


def post_batch_mixed(terms: Terms, report: Report) -> Figures:
    """Batches of 1,000 groups: 30 % hold or capture, 5 % are refused, the rest post."""
    with home() as folder:
        rate = in_loop(_post_mixed(folder, terms, report))
        verify(folder, report)
    return {"post_batch_mixed": {"rate": rate}}


async def _post_mixed(folder: Path, terms: Terms, report: Report) -> int:
    async with _bank(folder, batch=_BATCH) as bank:
        numbers = await populate(bank, customers=_ACCOUNTS, report=report)
        bank.conveyor.limits.batch = 1
        random = Random(SEED)
        expires_at = (bank.conveyor.head.ordered_at // _SECOND_US + 86_400) * _SECOND_US

        def group() -> tuple[Movement, ...]:
            debit, credit = random.sample(numbers, 2)
            amount, chance = random.randrange(1, 99), random.random()
            if chance < _REFUSED:
                return (Movement(TransferKind.POST, _TOO_MUCH, EUR, debit, credit),)
            if chance < _REFUSED + _HOLDS / 2:
                # One group of two movements: a hold, and its capture.
                return (
                    Movement(TransferKind.HOLD, amount, EUR, debit, credit, expires_at=expires_at),
                    Movement(TransferKind.CAPTURE, amount, EUR, hold=-1),
                )
            return (Movement(TransferKind.POST, amount, EUR, debit, credit),)

        count = max(10, terms.seconds * 10)
        bulks = [
            PostBulk(Mandate.SETTLEMENT, tuple(group() for _ in range(_BATCH)), "bench")
            for _ in range(count)
        ]
        movements = sum(len(group) for bulk in bulks for group in bulk.groups)
        began = time.perf_counter()
        await done(carry(bank, iter(bulks), key="mixed", ahead=2))
        rate = round(movements / (time.perf_counter() - began))
        report(f"   {movements:,} movements in {count} batches; {_steps(bank)}")
    return rate


def decide(_terms: Terms, report: Report) -> Figures:
    """One decision and its fold into the state, in process, after 200,000 events."""
    policy = load_policy()
    engine = Engine(policy, FeatureState(policy.features))
    random = Random(SEED)
    taken: list[int] = []

    async def measure() -> None:
        for number in range(250_000):
            event = _event(random)
            at = _ORIGIN_US + number * 50_000
            began = time.perf_counter_ns()
            verdict = engine.decide(event, ordered_at=at)
            engine.record(event, verdict, ordered_at=at)
            if number >= 200_000:
                taken.append(time.perf_counter_ns() - began)

    in_loop(measure())
    taken.sort()
    report(f"   {len(policy.features.names)} features, {len(policy.rules)} rules")
    return {
        "decide": {
            "p50_us": round(taken[len(taken) // 2] / 1_000, 1),
            "p99_us": round(taken[len(taken) * 99 // 100] / 1_000, 1),
        }
    }


_ORIGIN_US: Final = 1_767_225_600 * _SECOND_US


def _event(random: Random, customers: int = 20_000, merchants: int = 5_000) -> GateEvent:
    customer = random.randrange(customers) + 1
    return GateEvent(
        gate=Gate.CARD,
        amount_minor=random.randrange(500, 9_000),
        currency=EUR,
        customer=customer,
        account=customer + 1_000_000_000,
        card=customer + 2_000_000_000,
        device=customer + 3_000_000_000,
        ip=random.randrange(customers) + 4_000_000_000,
        merchant=random.randrange(merchants) + 5_000_000_000,
        mcc=5411,
        country=380,
        channel=Channel.CARD_PRESENT,
        available_minor=10_000_000,
    )


def feature_memory(terms: Terms, report: Report) -> Figures:
    """Resident memory that ten million events over a million keys take."""
    events = 10_000_000 if not terms.seconds < 5 else 1_000_000
    policy = load_policy()
    state = FeatureState(policy.features)
    random = Random(SEED)
    # Customer, account, card and device have a key each for every customer.
    customers, merchants = events // 50, events // 1_000
    before = _resident()
    for number in range(events):
        state.apply(
            _event(random, customers, merchants),
            ordered_at=_ORIGIN_US + number * 250_000,
            outcome=0,  # type: ignore[arg-type] # Outcome.ALLOW as it is stored
        )
        if number % 1_000_000 == 0:
            report(f"   {number:,} events")
    taken = _resident() - before
    report(f"   {events:,} events, {sum(len(table) for table in state.tables):,} keys")
    return {"feature_memory": {"bytes": taken, "events": events}}


def _resident() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status = Path("/proc/self/statm")
    if sys.platform == "linux" and status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize()
    return peak


def replay(terms: Terms, report: Report) -> Figures:
    """Card payments through all of the path, in process and durable: the work of `replay`."""
    with home() as folder:
        rate = in_loop(_replay(folder, terms, report))
        verify(folder, report)
    return {"replay": {"rate": rate}}


async def _replay(folder: Path, terms: Terms, report: Report) -> int:
    async with _bank(folder, batch=_BATCH) as bank:
        numbers = await populate(bank, customers=_ACCOUNTS, report=report, at=lambda _: _ORIGIN_US)
        random = Random(SEED)
        count = terms.seconds * 5_000
        payments = [
            card_payment(random, account=numbers[customer], customer=customer, capture=True)
            for customer in (random.randrange(_ACCOUNTS) for _ in range(count))
        ]
        began = time.perf_counter()
        answers = carry(
            bank,
            iter(payments),
            key="replay",
            ahead=3 * _BATCH,
            at=lambda number: _ORIGIN_US + (number + 1) * _REPLAYED_EVERY_US,
        )
        posted = sum([b'"status":"captured"' in answer.body async for answer in answers])
        rate = round(count / (time.perf_counter() - began))
        report(f"   {count:,} payments, {100 * posted / count:.1f} % posted; {_steps(bank)}")
    return rate


def _bank(folder: Path, *, batch: int) -> AbstractAsyncContextManager[Bank]:
    return open_bank(
        postgres.EmbeddedServer(folder),
        home=folder,
        description="scudo bench",
        limits=Limits(batch=batch, queue=100_000),
    )


def _steps(bank: Bank) -> str:
    tally = bank.conveyor.tally
    total = max(1, tally.evaluate_ns + tally.commit_ns)
    return (
        f"evaluating {100 * tally.evaluate_ns // total} %, "
        f"committing {100 * tally.commit_ns // total} % of the writer's time"
    )
