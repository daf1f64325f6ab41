"""A whole bank with its vault in a process of its own, served over a real socket."""

import asyncio
import contextlib
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Database, lend_database
from tests.interfaces.bank.conftest import RunningDatabase, Served, Teller

from scudo import vault
from scudo.bootstrap import Bank, Trust, open_bank, trust_in_vault
from scudo.fabric.settings import Settings
from scudo.identity import SCOPES
from scudo.identity.customers import Office
from scudo.interfaces.customers import customers_office
from scudo.interfaces.guarding import Guard, guarded
from scudo.interfaces.http import HttpServer, Limits
from scudo.interfaces.serving import _record, application
from scudo.interfaces.watching import VaultWatch, watched

ADA = {
    "given_name": "Ada",
    "family_name": "Lovelace",
    "birth_date": "1990-12-10",
    "email": "ada@example.org",
}


@dataclass
class Vaulted(Served):
    """A running bank whose vault runs beside it."""

    guard: Guard
    watch: VaultWatch
    settings: Settings
    database: Database

    @contextlib.contextmanager
    def asked(self) -> Iterator[vault.VaultClient]:
        """The vault, asked as its keepers do."""
        with vault.VaultClient(self.guard.address, patience_s=10) as client:
            yield client

    def events(self, name: str) -> list[dict[str, Any]]:
        """Data of every event of a name, in order."""
        with contextlib.closing(self.teller(self.token).http) as http:
            items, after = [], 0
            while page := http.get("/v1/events", params={"after": after, "limit": 500}).json()[
                "items"
            ]:
                items += page
                after = page[-1]["position"]
        return [item["data"] for item in items if item["type"] == name]


def until(is_so: Callable[[], Any], *, seconds: float = 30) -> Any:
    """Wait for something to become true, and give what it came to."""
    deadline = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)
    return found


@contextlib.asynccontextmanager
async def _office(
    bank: Bank, settings: Settings, trust: Trust, *, is_open: bool
) -> AsyncIterator[Office | None]:
    """Where customers are served, if they are."""
    if not is_open:
        yield None
        return
    office = customers_office(bank, settings, record=partial(_record, bank), vault=trust.vault)
    yield office
    await asyncio.to_thread(office.close)


@contextlib.contextmanager
def serving(
    database: Database, settings: Settings, *, has_customers: bool = False
) -> Iterator[Vaulted]:
    """Serve a bank with its vault as `scudo serve` does, in a loop of its own thread.

    Args:
        database: of its own.
        settings: where it lives.
        has_customers: whether customers' own phones are served too; mails are files then.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    running = RunningDatabase(database.dsn)
    over, ready = asyncio.Event(), loop.create_future()

    async def serve(guard: Guard) -> None:
        async with (
            trust_in_vault(guard.address) as trust,
            open_bank(running, home=settings.home, description="tests", trust=trust) as bank,
            watched(bank, guard.address) as watch,
            _office(bank, settings, trust, is_open=has_customers) as office,
        ):
            limits = Limits(drain_s=2)
            served = application(bank, limits=limits, vault=trust.vault, watch=watch, office=office)
            http = HttpServer(served, limits=limits)
            port = await http.start(host="127.0.0.1", port=0)
            url = f"http://127.0.0.1:{port}"
            ready.set_result(Vaulted(bank, url, "", loop, guard, watch, settings, database))
            await over.wait()
            await http.stop()

    async def first(task: Any) -> Vaulted:
        await asyncio.wait({ready, task}, return_when=asyncio.FIRST_COMPLETED)
        return ready.result() if ready.done() else task.result()

    async def begin(guard: Guard) -> tuple[Any, Vaulted]:
        task = asyncio.ensure_future(serve(guard))
        return task, await first(task)

    async def end(task: Any) -> None:
        over.set()
        await task

    try:
        with guarded(settings, server=running) as guard:
            task, bank = asyncio.run_coroutine_threadsafe(begin(guard), loop).result(timeout=30)
            try:
                bank.token = bank.token_for(*(SCOPES - {"clock:drive"}))
                yield bank
            finally:
                asyncio.run_coroutine_threadsafe(end(task), loop).result(timeout=30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for a bank; its socket's path stays short, its parents let the vault's user in."""
    with tempfile.TemporaryDirectory(prefix="scudo-journey-") as folder:
        made = Path(folder) / "home"
        made.mkdir()
        yield made


@pytest.fixture
def vaulted(database: Database, home: Path) -> Iterator[Vaulted]:
    """A bank of its own for one test."""
    with serving(database, Settings(home=home)) as bank:
        yield bank


@pytest.fixture(scope="module")
def shared(server: Any, template: str) -> Iterator[Vaulted]:
    """One bank for the tests of a module, which use customers of their own."""
    lending = lend_database(server, template=template)
    with tempfile.TemporaryDirectory(prefix="scudo-journey-") as folder:
        settings = Settings(home=Path(folder) / "home")
        settings.home.mkdir()
        with serving(next(lending), settings) as bank:
            yield bank
    next(lending, None)


@pytest.fixture
def ada(shared: Vaulted) -> Iterator[Teller]:
    """Somebody of the module's bank who may do everything but drive the clock."""
    teller = shared.teller(shared.token)
    with contextlib.closing(teller.http):
        yield teller
