"""A bank that serves customers with phones, and the mailbox that it writes to.

Phones sign their proofs for the bank's public origin, whatever port it listens on.
"""

import asyncio
import contextlib
import email
import queue
import re
import threading
import uuid
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
from aiosmtpd.smtp import SMTP

from scudo.bootstrap import now_us, open_bank
from scudo.fabric.settings import ORIGIN_DEFAULT, Settings
from scudo.governance import Ruling
from scudo.identity import SCOPES, issue_token
from scudo.interfaces.customers import customers_office
from scudo.interfaces.http import HttpServer, Limits
from scudo.interfaces.serving import _record, application
from scudo.kernel import instant
from scudo.simulation import Phone


class Mailbox:
    """Everything that was mailed, by a real SMTP conversation."""

    def __init__(self) -> None:
        self._mails: queue.Queue[tuple[str, str, str]] = queue.Queue()
        self.is_down = False
        self.seen: list[tuple[str, str, str]] = []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        if self.is_down:
            return "451 try again"
        message = email.message_from_bytes(envelope.content)
        text = message.get_payload(decode=True).decode()
        mail = (envelope.rcpt_tos[0], message["Subject"], text)
        self._mails.put(mail)
        return "250 taken"

    @contextlib.asynccontextmanager
    async def open(self):
        """Listen on a free port of the running loop."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(self, loop=loop), "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield self
        server.close()

    def mail(self, to: str, subject: str) -> str:
        """Text of the next mail to somebody whose subject holds a text."""
        while True:
            for mail in self.seen:
                if mail[0] == to and subject in mail[1]:
                    self.seen.remove(mail)
                    return mail[2]
            self.seen.append(self._mails.get(timeout=10))

    def code(self, to: str) -> str:
        return re.search(r"\b\d{8}\b", self.mail(to, "is your code")).group()


class TestGates:
    """Gates that let everybody pass, unless a passage is told otherwise."""

    __test__ = False

    def __init__(self) -> None:
        self.rulings: dict[int, Ruling] = {}
        self.asked: list[Any] = []

    def pass_through(self, entry, asked, *, discharged=frozenset()):
        self.asked.append(asked)
        ruling = self.rulings.get(asked.passage, Ruling.ALLOW)
        return entry.position, Ruling.ALLOW if ruling in discharged else ruling


class RunningDatabase:
    """What `open_bank` takes for a server: a database that runs already."""

    def __init__(self, dsn):
        self._dsn = dsn

    def start(self):
        return self._dsn

    def stop(self):
        return False


@dataclass
class CustomersBank:
    """A bank that serves customers over real sockets."""

    bank: Any
    store: Any
    office: Any
    url: str
    loop: asyncio.AbstractEventLoop
    mailbox: Mailbox
    gates: TestGates
    stack: contextlib.ExitStack

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=30)

    def device(self, **made: Any) -> Phone:
        http = self.stack.enter_context(httpx.Client(base_url=self.url, timeout=20))
        return Phone(http, **made)

    def stranger(self) -> httpx.Client:
        return self.stack.enter_context(httpx.Client(base_url=self.url, timeout=20))

    def signed_up(self, address: str | None = None, **made: Any) -> Phone:
        """A device of a new customer who has a passkey and has logged in by it."""
        address = address or new_address()
        device = self.device(address=address, **made)
        sent = device.post("/v1/sign-ups", {"email": address})
        code_id = sent.json()["code_id"]
        assert device.activate(address, code_id, self.mailbox.code(address)).status_code == 201
        assert device.add_passkey().status_code == 201
        assert device.log_in().status_code == 201
        return device

    def clerk(self) -> httpx.Client:
        """The bank's own client, who may do everything but drive the clock."""

        async def issue() -> str:
            async with await self.bank.connect() as connection:
                _, token = await issue_token(
                    connection,
                    name=f"clerk-{uuid.uuid4()}",
                    scopes=SCOPES - {"clock:drive"},
                    customer=None,
                    now=instant(now_us()),
                )
                await self.bank.clients.refresh(connection)
                return token

        http = self.stranger()
        http.headers["authorization"] = f"Bearer {self.run(issue())}"
        return http

    def events(self, name: str) -> list[dict[str, Any]]:
        """The data of all events of a name, the oldest first."""
        clerk, found, after = self.clerk(), [], None
        while True:
            page = clerk.get(
                "/v1/events", params={"limit": 500} | ({"after": after} if after else {})
            )
            found += [e["data"] for e in page.json()["items"] if e["type"] == name]
            after = page.json().get("next_after")
            if not page.json()["items"]:
                return found


@contextlib.contextmanager
def serving(
    dsn: Any,
    home: Any,
    *,
    terms: Any = None,
    origins: tuple[str, ...] = (ORIGIN_DEFAULT,),
    port: int = 0,
):
    """Serve a bank with a mailbox and gates of its own, in a loop of its own thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    ready: queue.Queue[Any] = queue.Queue()
    over = asyncio.Event()
    gates = TestGates()

    async def serve(mailbox: Mailbox, stack: contextlib.ExitStack) -> None:
        async with (
            mailbox.open(),
            open_bank(RunningDatabase(dsn), home=home, description="tests") as bank,
        ):
            settings = Settings(home=home, mail_server=mailbox.address, origins=origins)
            store = bank.rooms.customers.store
            store.gates = gates
            store.terms = terms or store.terms
            limits = Limits(drain_s=2)
            office = customers_office(bank, settings, record=partial(_record, bank))
            served = application(bank, limits=limits, office=office)
            http = HttpServer(served, limits=limits)
            taken = await http.start(host="127.0.0.1", port=port)
            url = f"http://127.0.0.1:{taken}"
            ready.put(CustomersBank(bank, store, office, url, loop, mailbox, gates, stack))
            await over.wait()
            await http.stop()
            await asyncio.to_thread(office.close)

    mailbox = Mailbox()
    with contextlib.ExitStack() as stack:
        done = asyncio.run_coroutine_threadsafe(serve(mailbox, stack), loop)
        done.add_done_callback(lambda _: ready.put(None))
        bank = ready.get(timeout=30)
        try:
            yield bank if bank is not None else done.result()
        finally:
            loop.call_soon_threadsafe(over.set)
            done.result(timeout=30)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


def account(clerk, customer, funds=0):
    """Open an account of a customer, with money on it."""
    body = {"customer_id": customer, "currency": "EUR"}
    headers = {"idempotency-key": str(uuid.uuid4())}
    opened = clerk.post("/v1/accounts", json=body, headers=headers).json()["id"]
    if funds:
        movement = {
            "kind": "post",
            "amount_minor": funds,
            "currency": "EUR",
            "credit_account_id": opened,
        }
        body = {"mandate": "funding", "movements": [movement]}
        assert (
            clerk.post(
                "/v1/journals", json=body, headers=headers | {"idempotency-key": opened}
            ).status_code
            == 201
        )
    return opened


def new_address() -> str:
    return f"{uuid.uuid4().hex}@example.com"
