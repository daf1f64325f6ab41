"""Measures over HTTP: a server process, and a load in a process of its own."""

import contextlib
import functools
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
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
    done,
    home,
    in_loop,
    populate,
    settings_of,
    verify,
)
from scudo.simulation.load import Measured, Plan, measure_apart, request_bytes

_CUSTOMERS: Final = 100_000
_LARGE_PAYMENTS: Final = 5_000_000
#: Each customer pays about once a day.
_HISTORY_EVERY_US: Final = 86_400 * 1_000_000 // _CUSTOMERS
CONNECTIONS: Final = 64
WARM_UP_S: Final = 2
#: 100 million decided payments a day.
_BANK_RATE: Final = 1_157
_BALANCE_RATE: Final = 1_000
_READY_WITHIN_S: Final = 60
_APPROVED: Final = (b'"status":"captured"', b'"status":"authorised"')
HOST: Final = "127.0.0.1"
AUTHORISE: Final = "/v1/card-authorisations"


@dataclass(frozen=True, slots=True)
class Stage:
    """A bank with customers, and what a load needs to speak for them.

    Attributes:
        folder: of the bank.
        token: of a client that may do everything.
        accounts: one of each customer, with money.
        payments: how many were stored at first.
    """

    folder: Path
    token: str
    accounts: list[int]
    payments: int


@contextlib.contextmanager
def filled(terms: Terms, report: Report, *, customers: int = _CUSTOMERS) -> Iterator[Stage]:
    """Fill one bank for all measures that ask it over HTTP; it is gone afterwards."""
    with home() as folder:
        yield in_loop(_fill(folder, terms, report, customers))


def cold_start(_terms: Terms, report: Report) -> Figures:
    """From nothing to the first answer: initdb, migrations, log, HTTP."""
    with home() as folder:
        began = time.perf_counter()
        with served(folder):
            taken = time.perf_counter() - began
        report("   initdb, start, migrations and the first answer of /health/ready")
    return {"cold_start": {"seconds": round(taken, 2)}}


def authorise_http(stage: Stage, terms: Terms, report: Report) -> Figures:
    """Card authorisations as fast as 64 connections ask, with a CHECKPOINT and a verify."""
    before = _sizes(stage.folder)
    found = _ask(
        stage, terms, report, functools.partial(authorisations, run="full"), is_disturbed=True
    )
    after = _sizes(stage.folder)
    payments = max(1, sum(found.statuses.values()))
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


def authorise_http_bank(stage: Stage, terms: Terms, report: Report) -> Figures:
    """The same at a steady 100 million a day, latency from when a request was due."""
    requests = functools.partial(authorisations, run="bank")
    found = _ask(stage, terms, report, requests, rate=_BANK_RATE, is_disturbed=True)
    return {"authorise_http_bank": _latencies(found)}


def balance_http(stage: Stage, terms: Terms, report: Report) -> Figures:
    """Balance inquiries at a steady 1,000 a second."""
    found = _ask(stage, terms, report, balances, rate=_BALANCE_RATE)
    return {"balance_http": _latencies(found)}


def _ask(
    stage: Stage,
    terms: Terms,
    report: Report,
    requests: Callable[..., Iterator[bytes]],
    *,
    rate: int | None = None,
    is_disturbed: bool = False,
) -> Measured:
    """Start the server, ask it, and prove its books; `rate` None asks as fast as it answers."""
    disturbed = _disturbed(stage.folder, terms, report) if is_disturbed else nullcontext()
    with served(stage.folder) as port, disturbed:
        plan = Plan(
            host=HOST,
            port=port,
            connections=CONNECTIONS,
            seconds=terms.seconds,
            rate=rate,
            warm_up_s=WARM_UP_S,
            marks=_APPROVED,
        )
        found = measure_apart(
            plan, functools.partial(requests, token=stage.token, accounts=stage.accounts)
        )
    tell(found, report)
    report(f"   {settings_of(stage.folder)}")
    verify(stage.folder, report)
    return found


# ---- the loads; made in the load's own process


def authorisations(*, token: str, accounts: list[int], run: str) -> Iterator[bytes]:
    """Card authorisations of usual customers, half of them captured at once.

    Args:
        token: of the client.
        accounts: one of each customer.
        run: what the idempotency keys begin with; another run, other payments.
    """
    random = Random(f"{SEED} {run}")
    headers = {"authorization": f"Bearer {token}"}
    for number in itertools.count():
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
        headers["idempotency-key"] = f"{run}-{number}"
        yield request_bytes(
            "POST",
            AUTHORISE,
            headers=headers,
            body=json.dumps(body, separators=(",", ":")).encode(),
        )


def balances(*, token: str, accounts: list[int]) -> Iterator[bytes]:
    """Balance inquiries about random accounts."""
    random = Random(SEED)
    headers = {"authorization": f"Bearer {token}"}
    while True:
        account = ids.show(Prefix.ACCOUNT, random.choice(accounts))
        yield request_bytes("GET", f"/v1/accounts/{account}/balance", headers=headers)


# ---- the stage


async def _fill(folder: Path, terms: Terms, report: Report, customers: int) -> Stage:
    async with open_bank(
        postgres.EmbeddedServer(folder),
        home=folder,
        description="scudo bench",
        limits=Limits(batch=1_000, queue=100_000),
    ) as bank:
        history = _LARGE_PAYMENTS if terms.large else customers // 5
        # Of the past, and ends now: paying fifty times within minutes, all would be stepped up.
        began = now_us() - (history + 1) * _HISTORY_EVERY_US
        accounts = await populate(bank, customers=customers, report=report, at=lambda _: began)
        random = Random(SEED)
        report(f"   {history:,} payments of history")
        payments = (
            card_payment(random, account=accounts[customer], customer=customer, capture=True)
            for customer in (random.randrange(customers) for _ in range(history))
        )
        await done(
            carry(
                bank,
                payments,
                key="history",
                ahead=3_000,
                at=lambda number: began + (number + 1) * _HISTORY_EVERY_US,
            )
        )
        async with await bank.connect() as connection:
            _, token = await issue_token(
                connection,
                name="bench",
                scopes=SCOPES,
                customer=None,
                now=instant(now_us()),
            )
    return Stage(folder, token, accounts, history)


@contextlib.contextmanager
def served(folder: Path, **extra: str) -> Iterator[int]:
    """`scudo serve` on a free port, in a process of its own, with further settings."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("SCUDO_")
    }
    environment |= {"SCUDO_HOME": str(folder), "SCUDO_PORT": "0", **extra}
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
        if line.startswith(("http://", "https://")):
            return int(line.strip().rpartition(":")[2])
    message = "the server ended before it was ready"
    raise RuntimeError(message)


@contextlib.contextmanager
def _disturbed(folder: Path, terms: Terms, report: Report) -> Iterator[None]:
    """One CHECKPOINT and one verify, at a third and at two thirds of the time."""
    stopped = threading.Event()
    verifies: list[subprocess.Popen[bytes]] = []

    def disturb() -> None:
        if stopped.wait(terms.seconds / 3):
            return
        with psycopg.connect(
            postgres.EmbeddedServer(folder).start().admin, autocommit=True
        ) as admin:
            admin.execute("CHECKPOINT")
        if stopped.wait(terms.seconds / 3):
            return
        began = time.perf_counter()
        verifies.append(_verify_beside(folder))
        assert verifies[0].wait() == 0, "the books do not add up, or nobody could tell"
        report(f"   one CHECKPOINT, one verify ({time.perf_counter() - began:.1f} s) meanwhile")

    nemesis = threading.Thread(target=disturb)
    nemesis.start()
    try:
        yield
    except BaseException:
        for verify in verifies:
            verify.terminate()
        raise
    finally:
        stopped.set()
        nemesis.join()


def _verify_beside(folder: Path) -> "subprocess.Popen[bytes]":
    """`scudo verify` as a service manager starts it: in a session of its own."""
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("scudo")), "verify", "--json"],
        env=os.environ | {"SCUDO_HOME": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


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


def tell(found: Measured, report: Report) -> None:
    """Report what a load found."""
    answered = max(1, sum(found.statuses.values()))
    approved = sum(found.marked.values())
    report(
        f"   {answered:,} answers {dict(found.statuses)}, {100 * approved / answered:.1f} % "
        f"approved; p50 {found.p50_ms} p99 {found.p99_ms} p99.9 {found.p999_ms} "
        f"max {found.max_ms} ms; the load itself {found.cpu_us} microseconds a request"
    )
    for refusal in found.refusals:
        report(f"   refused: {refusal.decode(errors='replace')}")
