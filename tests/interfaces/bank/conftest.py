"""A whole bank served over a real socket, in a loop of its own thread; one for all tests here."""

import asyncio
import contextlib
import shutil
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from scudo.bootstrap import Bank, now_us, open_bank, trust_in_vault
from scudo.fabric.postgres import Dsn, ensure_roles
from scudo.fabric.settings import Settings
from scudo.identity import SCOPES, issue_token
from scudo.interfaces.guarding import Guard
from scudo.interfaces.http import HttpServer, Limits
from scudo.interfaces.serving import application
from scudo.kernel import instant


class RunningDatabase:
    """What `open_bank` takes for a server: a database that runs already."""

    def __init__(self, dsn: Dsn) -> None:
        self._dsn = dsn

    def start(self) -> Dsn:
        return self._dsn

    def stop(self) -> bool:
        return False


@dataclass
class Teller:
    """Somebody with a token, who speaks JSON to the bank."""

    http: httpx.Client

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.http.get(path, params=query)

    def post(self, path: str, body: Any = None, *, key: str | None = None) -> httpx.Response:
        headers = {"idempotency-key": key or f"{uuid.uuid4()}"}
        return self.http.post(path, json=body, headers=headers)

    def customer(self) -> str:
        reference = f"customer-{uuid.uuid4()}"
        body = {"reference": reference, "kind": "person", "country": 756}
        return self.post("/v1/customers", body).json()["id"]

    def account(self, customer: str | None = None, *, funds: int = 0) -> str:
        body = {"customer_id": customer or self.customer(), "currency": "EUR"}
        account = self.post("/v1/accounts", body).json()["id"]
        if funds:
            assert self.fund(account, funds).status_code == 201
        return account

    def fund(self, account: str, amount: int) -> httpx.Response:
        movement = {
            "kind": "post",
            "amount_minor": amount,
            "currency": "EUR",
            "credit_account_id": account,
        }
        return self.post("/v1/journals", {"mandate": "funding", "movements": [movement]})

    def balance(self, account: str) -> tuple[int, int, int]:
        body = self.get(f"/v1/accounts/{account}/balance").json()
        return body["posted_minor"], body["held_minor"], body["available_minor"]


@dataclass
class Served:
    """The running bank."""

    bank: Bank
    url: str
    token: str
    loop: asyncio.AbstractEventLoop

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=30)

    def token_for(self, *scopes: str, customer: int | None = None, name: str = "") -> str:
        """Issue a token for a client of its own, or in place of the one that has the name."""

        async def issue() -> str:
            async with await self.bank.connect() as connection:
                _, token = await issue_token(
                    connection,
                    name=name or f"client-{uuid.uuid4()}",
                    scopes=scopes,
                    customer=customer,
                    now=instant(now_us()),
                )
                await self.bank.clients.refresh(connection)
                return token

        return self.run(issue())

    def teller(self, token: str) -> Teller:
        headers = {"authorization": f"Bearer {token}"}
        return Teller(httpx.Client(base_url=self.url, headers=headers, timeout=20))


@pytest.fixture(scope="session")
def served(server: Dsn, template: str, tmp_path_factory: Any) -> Iterator[Served]:
    """Serve a bank on a free port, with a token that may do everything but drive the clock."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server.admin, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    dsn = server.database(name)
    ensure_roles(dsn.admin)
    home = tmp_path_factory.mktemp("home")
    database = RunningDatabase(dsn)
    guard = Guard(Settings(home=home), server=database)
    guard.start()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    ready: asyncio.Queue[Served] = asyncio.Queue()
    over = asyncio.Event()

    async def serve() -> None:
        async with (
            trust_in_vault(guard.address) as trust,
            open_bank(database, home=home, description="tests", trust=trust) as bank,
        ):
            limits = Limits(drain_s=2)
            http = HttpServer(application(bank, limits=limits, vault=trust.vault), limits=limits)
            port = await http.start(host="127.0.0.1", port=0)
            ready.put_nowait(Served(bank, f"http://127.0.0.1:{port}", "", loop))
            await over.wait()
            await http.stop()

    serving = asyncio.run_coroutine_threadsafe(serve(), loop)

    async def first() -> Served:
        done, _ = await asyncio.wait(
            {asyncio.ensure_future(ready.get()), asyncio.wrap_future(serving)},
            return_when=asyncio.FIRST_COMPLETED,
        )
        return done.pop().result()

    bank = asyncio.run_coroutine_threadsafe(first(), loop).result(timeout=30)
    bank.token = bank.token_for(*(SCOPES - {"clock:drive"}))
    yield bank
    loop.call_soon_threadsafe(over.set)
    serving.result(timeout=30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    guard.stop()
    with psycopg.connect(server.admin, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    shutil.rmtree(home)


@pytest.fixture
def teller(served: Served) -> Iterator[Teller]:
    """Somebody of the bank's own, who may do everything but drive the clock."""
    teller = served.teller(served.token)
    with contextlib.closing(teller.http):
        yield teller


@pytest.fixture
def teller_for(served: Served) -> Iterator[Any]:
    """Make tellers with other tokens."""
    with contextlib.ExitStack() as stack:

        def make(*scopes: str, customer: int | None = None) -> Teller:
            teller = served.teller(served.token_for(*scopes, customer=customer))
            stack.enter_context(contextlib.closing(teller.http))
            return teller

        yield make
