"""Measures over HTTP: a server process, and a load in a process of its own."""

import contextlib
import functools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import psycopg

from scudo.bootstrap import ROOMS, now_us, open_bank
from scudo.fabric import Limits, postgres
from scudo.identity import SCOPES, issue_token
from scudo.kernel import Prefix, ids, instant
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
    settings_of,
    verify,
)
from scudo.simulation.load import Measured, Plan, measure_apart, request_bytes

_CUSTOMERS: Final = 100_000
_LARGE_PAYMENTS: Final = 5_000_000
_CONNECTIONS: Final = 64
#: 100 million decided payments a day.
_BANK_RATE: Final = 1_157
_BALANCE_RATE: Final = 1_000
_READY_WITHIN_S: Final = 60
_APPROVED: Final = (b'"status":"captured"', b'"status":"authorised"')
_HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class _Stage:
    """A bank with customers, and what a load needs to speak for them."""

    folder: Path
    token: str
    accounts: list[int]
    payments: int


def cold_start(_terms: Terms, report: Report) -> Figures:
    """From nothing to the first answer: initdb, migrations, log, HTTP."""
    with home() as folder:
        began = time.perf_counter()
        with _server(folder):
            taken = time.perf_counter() - began
        report("   initdb, start, migrations and the first answer of /health/ready")
    return {"cold_start": {"seconds": round(taken, 2)}}


def authorise_http(terms: Terms, report: Report) -> Figures:
    """Card authorisations as fast as 64 connections ask, with a CHECKPOINT and a verify."""
    with home() as folder:
        stage = _prepare(folder, terms, report)
        before = _sizes(folder)
        with _server(folder) as port, _disturbed(folder, terms, report):
            plan = Plan(
                host=_HOST,
                port=port,
                connections=_CONNECTIONS,
                seconds=terms.seconds,
                warm_up_s=2,
                marks=_APPROVED,
            )
            found = measure_apart(
                plan, functools.partial(authorisations, stage.token, stage.accounts, SEED)
            )
        _tell(found, report)
        after = _sizes(folder)
        payments = max(1, sum(found.statuses.values()))
        report(f"   {settings_of(folder)}; {stage.payments + payments:,} payments stored")
        verify(folder, report)
    return {
        "authorise_http": {
            "rate": round(found.rate),
            "p50_ms": found.p50_ms,
            "p99_ms": found.p99_ms,
            "p999_ms": found.p999_ms,
            "max_ms": found.max_ms,
        },
        "bytes_per_payment": {"bytes": (after.table_bytes - before.table_bytes) // payments},
        "wal_per_payment": {"bytes": (after.wal_bytes - before.wal_bytes) // payments},
    }


def authorise_http_bank(terms: Terms, report: Report) -> Figures:
    """The same at a steady 100 million a day, latency from when a request was due."""
    with home() as folder:
        stage = _prepare(folder, terms, report)
        with _server(folder) as port, _disturbed(folder, terms, report):
            plan = Plan(
                host=_HOST,
                port=port,
                connections=_CONNECTIONS,
                seconds=terms.seconds,
                rate=_BANK_RATE,
                warm_up_s=2,
                marks=_APPROVED,
            )
            found = measure_apart(
                plan, functools.partial(authorisations, stage.token, stage.accounts, SEED)
            )
        _tell(found, report)
        verify(folder, report)
    return {"authorise_http_bank": _latencies(found)}


def balance_http(terms: Terms, report: Report) -> Figures:
    """Balance inquiries at a steady 1,000 a second."""
    with home() as folder:
        stage = _prepare(folder, terms, report)
        with _server(folder) as port:
            plan = Plan(
                host=_HOST,
                port=port,
                connections=_CONNECTIONS,
                seconds=terms.seconds,
                rate=_BALANCE_RATE,
                warm_up_s=2,
            )
            found = measure_apart(
                plan, functools.partial(balances, stage.token, stage.accounts, SEED)
            )
        _tell(found, report)
        verify(folder, report)
    return {"balance_http": _latencies(found)}


# ---- the loads; made in the load's own process


def authorisations(token: str, accounts: list[int], seed: int) -> Iterator[bytes]:
    """Card authorisations of usual customers, half of them captured at once."""
    random = Random(seed + 1)
    headers = {"authorization": f"Bearer {token}"}
    run = random.getrandbits(64)
    number = 0
    while True:
        customer = random.randrange(len(accounts))
        body = {
            "account_id": ids.show(Prefix.ACCOUNT, accounts[customer]),
            "amount_minor": random.randrange(500, 2_500),
            "currency": "EUR",
            "card": f"card-{customer}",
            "merchant": f"merchant-{random.randrange(5_000)}",
            "device": f"device-{customer}",
            "ip": f"10.{customer >> 16}.{customer >> 8 & 255}.{customer & 255}",
            "mcc": 5411,
            "country": 380,
            "channel": "card_present",
            "capture": bool(number & 1),
        }
        headers["idempotency-key"] = f"{run:x}-{number}"
        number += 1
        yield request_bytes(
            "POST",
            "/v1/card-authorisations",
            headers=headers,
            body=json.dumps(body, separators=(",", ":")).encode(),
        )


def balances(token: str, accounts: list[int], seed: int) -> Iterator[bytes]:
    """Balance inquiries about random accounts."""
    random = Random(seed)
    headers = {"authorization": f"Bearer {token}"}
    while True:
        account = ids.show(Prefix.ACCOUNT, random.choice(accounts))
        yield request_bytes("GET", f"/v1/accounts/{account}/balance", headers=headers)


# ---- the stage


def _prepare(folder: Path, terms: Terms, report: Report) -> _Stage:
    return in_loop(_fill(folder, terms, report))


async def _fill(folder: Path, terms: Terms, report: Report) -> _Stage:
    async with open_bank(
        postgres.EmbeddedServer(folder),
        home=folder,
        description="scudo bench",
        limits=Limits(batch=1_000, queue=100_000),
    ) as bank:
        accounts = await populate(bank, customers=_CUSTOMERS, report=report)
        random = Random(SEED)
        history = _LARGE_PAYMENTS if terms.large else _CUSTOMERS // 5
        report(f"   {history:,} payments of history")
        await carry(
            bank,
            (
                card_payment(random, account=accounts[customer], customer=customer, capture=True)
                for customer in (random.randrange(_CUSTOMERS) for _ in range(history))
            ),
            key="history",
            ahead=3_000,
        )
        async with await bank.connect() as connection:
            _, token = await issue_token(
                connection,
                name="bench",
                scopes=SCOPES,
                customer=None,
                now=instant(now_us()),
            )
    return _Stage(folder, token, accounts, history)


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[int]:
    """`scudo serve` on a free port, in a process of its own."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SCUDO_")
    }
    environment |= {"SCUDO_HOME": str(folder), "SCUDO_PORT": "0"}
    command = Path(sys.executable).with_name("scudo")
    with subprocess.Popen(
        [str(command), "serve"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield _port(process)
        finally:
            process.terminate()
            process.wait(timeout=_READY_WITHIN_S)


def _port(process: "subprocess.Popen[str]") -> int:
    assert process.stdout is not None, "its output is a pipe"
    for line in process.stdout:
        address = line[line.find("http://") :].split()[0] if "http://" in line else ""
        if address:
            return int(address.rstrip("/").rpartition(":")[2])
    message = "the server ended before it was ready"
    raise RuntimeError(message)


@contextlib.contextmanager
def _disturbed(folder: Path, terms: Terms, report: Report) -> Iterator[None]:
    """One CHECKPOINT and one verify, at a third and at two thirds of the time."""
    stopped = threading.Event()

    def disturb() -> None:
        if stopped.wait(terms.seconds / 3):
            return
        with psycopg.connect(
            postgres.EmbeddedServer(folder).start().admin, autocommit=True
        ) as admin:
            admin.execute("CHECKPOINT")
        if stopped.wait(terms.seconds / 3):
            return
        command = Path(sys.executable).with_name("scudo")
        began = time.perf_counter()
        subprocess.run(
            [str(command), "verify", "--json"],
            env=os.environ | {"SCUDO_HOME": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        report(f"   one CHECKPOINT, one verify ({time.perf_counter() - began:.1f} s) meanwhile")

    nemesis = threading.Thread(target=disturb)
    nemesis.start()
    try:
        yield
    finally:
        stopped.set()
        nemesis.join()


@dataclass(frozen=True, slots=True)
class _Sizes:
    table_bytes: int
    wal_bytes: int


def _sizes(folder: Path) -> _Sizes:
    with psycopg.connect(postgres.EmbeddedServer(folder).start().admin, autocommit=True) as admin:
        row = admin.execute(_SIZES, {"rooms": list(ROOMS)}).fetchone()
    assert row is not None, "an aggregate has a row"
    return _Sizes(*row)


#: Tables and indexes of all rooms, and the write-ahead log so far.
_SIZES: Final = Path(__file__).with_name("sizes.sql").read_text()


def _latencies(found: Measured) -> dict[str, float | int]:
    return {
        "rate": round(found.rate),
        "p50_ms": found.p50_ms,
        "p99_ms": found.p99_ms,
        "max_ms": found.max_ms,
    }


def _tell(found: Measured, report: Report) -> None:
    answered = max(1, sum(found.statuses.values()))
    approved = sum(found.marked.values())
    report(
        f"   {answered:,} answers {dict(found.statuses)}, {100 * approved / answered:.1f} % "
        f"approved; p50 {found.p50_ms} p99 {found.p99_ms} p99.9 {found.p999_ms} "
        f"max {found.max_ms} ms; the load itself {found.cpu_us} microseconds a request"
    )
    for refusal in found.refusals:
        report(f"   refused: {refusal.decode(errors='replace')}")
