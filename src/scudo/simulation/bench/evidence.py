"""Measures of evidence: proving payments out of a long log, and recounting one."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

import psycopg

from scudo.auditing import CHAINED, verify_bank
from scudo.bootstrap import CATALOGUE, open_bank
from scudo.fabric import Command, Limits, postgres
from scudo.governance import prove_entry
from scudo.identity import CustomerKind, RegisterCustomer
from scudo.kernel import Prefix, ids
from scudo.simulation.bench.stage import (
    SEED,
    Figures,
    Report,
    Terms,
    card_payment,
    carry,
    home,
    in_loop,
    populate,
    verify,
)

_ENTRIES: Final = 1_000_000
_CUSTOMERS: Final = 10_000
#: One entry in so many is a card payment; the others register customers, which is cheaper.
_PAYMENT_EVERY: Final = 10
_PROOFS: Final = 2_000
#: What a proof has beside what it proves: rows, signed head and key are told apart.
_PROVEN: Final = ("rows", "head", "key")


def prove(terms: Terms, report: Report) -> Figures:
    """Inclusion proofs of random payments out of a log of a million entries."""
    entries = _ENTRIES if not terms.seconds < 5 else _ENTRIES // 20
    with home() as folder:
        payments = in_loop(_fill(folder, entries, report))
        figures = _prove(folder, payments, report)
        verify(folder, report)
    return {"prove": figures}


def auditor(terms: Terms, report: Report) -> Figures:
    """Recount a bank of card payments: each an entry, a key, a decision, a transfer, events."""
    payments = 200_000 if not terms.seconds < 5 else 20_000
    with home() as folder:
        in_loop(_fill(folder, payments, report, payment_every=1))
        dsn = postgres.EmbeddedServer(folder).start()
        with psycopg.connect(dsn.read, autocommit=True) as connection:
            began, worked = time.perf_counter(), time.process_time()
            verdict = verify_bank(connection, catalogue=CATALOGUE, gentle=False)
            taken, worked = time.perf_counter() - began, time.process_time() - worked
    assert verdict.ok, f"the books do not add up: {verdict.first_bad}"
    report(f"   {verdict.rows:,} rows hashed and {verdict.transfers:,} transfers recounted")
    report("   on one core, in one process; the database reads on another")
    return {
        "auditor": {
            "rate": round(verdict.rows / taken),
            "rate_of_cpu_time": round(verdict.rows / worked),
            "rows": verdict.rows,
        }
    }


async def _fill(
    folder: Path, entries: int, report: Report, *, payment_every: int = _PAYMENT_EVERY
) -> list[int]:
    """Let a bank live until its log has so many entries; returns the payments among them."""
    payments = []
    async with open_bank(
        postgres.EmbeddedServer(folder),
        home=folder,
        description="scudo bench",
        limits=Limits(queue=100_000),
    ) as bank:
        accounts = await populate(bank, customers=_CUSTOMERS, report=report)
        random = Random(SEED)

        def commands() -> Iterator[Command]:
            for number in range(entries - bank.conveyor.tally.entries):
                if number % payment_every:
                    yield RegisterCustomer(f"more-{number}", CustomerKind.PERSON, 380)
                else:
                    customer = random.randrange(_CUSTOMERS)
                    account = accounts[customer]
                    yield card_payment(random, account=account, customer=customer, capture=True)

        async for answer in carry(bank, commands(), key="more", ahead=2_000):
            told = json.loads(answer.body)["id"]
            if told.startswith(Prefix.PAYMENT):
                payments.append(ids.parse(Prefix.PAYMENT, told))
        tally = bank.conveyor.tally
        report(f"   {tally.entries:,} entries in {tally.batches:,} batches")
        report(f"   {len(payments):,} of them card payments, {_CUSTOMERS:,} accounts opened, the")
        report("   rest customers registered; batches as they came, at most 256 requests each")
    return payments


def _prove(folder: Path, payments: list[int], report: Report) -> dict[str, float | int]:
    random = Random(SEED)
    taken: list[int] = []
    sizes: list[int] = []
    files: list[int] = []
    dsn = postgres.EmbeddedServer(folder).start()
    with psycopg.connect(dsn.read, autocommit=True) as connection:
        for payment in random.choices(payments, k=_PROOFS):
            began = time.perf_counter_ns()
            proof = prove_entry(connection, payment, tables=CHAINED)
            taken.append(time.perf_counter_ns() - began)
            parts = {k: v for k, v in json.loads(proof).items() if k not in _PROVEN}
            sizes.append(len(json.dumps(parts, indent=1)))
            files.append(len(proof))
    taken.sort()
    report(f"   {_PROOFS:,} proofs of random payments, each read, checked and written as a file,")
    report("   over one connection; bytes are without rows, signed head and key")
    return {
        "p50_ms": round(taken[len(taken) // 2] / 1e6, 2),
        "p99_ms": round(taken[len(taken) * 99 // 100] / 1e6, 2),
        "bytes": max(sizes),
        "file_bytes": max(files),
    }
