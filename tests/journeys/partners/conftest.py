"""A whole bank served over TLS, with a test CA of its own; one for all journeys that ask."""

import asyncio
import contextlib
import ssl
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import trustme
from tests.history.banks import Borrowed
from tests.journeys.partners.partnership import SCOPES as PARTNER_SCOPES
from tests.journeys.partners.partnership import Partnership, thumbprint_of
from tests.rooms.identity.signing import Signer

from scudo.bootstrap import Bank, now_us, open_bank
from scudo.fabric import ServerTls, TlsFiles
from scudo.identity import SCOPES, issue_token, partners
from scudo.interfaces.admitting import Site
from scudo.interfaces.http import HttpServer, Limits
from scudo.interfaces.serving import application
from scudo.kernel import instant


@dataclass
class Clock:
    """Our clock, which a test may put forward."""

    ahead_us: int = 0

    def __call__(self) -> int:
        return now_us() + self.ahead_us


@dataclass
class SecureBank:
    """The running bank, its CA, and a client of its own that may do everything."""

    bank: Bank
    url: str
    port: int
    issuer: str
    authority: trustme.CA
    folder: Path
    tls: ServerTls
    clock: Clock
    admin: httpx.Client
    loop: asyncio.AbstractEventLoop
    clients: list[httpx.Client] = field(default_factory=list)

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=30)

    def context(self, certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
        """TLS of a client that trusts the bank's CA, and may have a certificate."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if certificate is not None:
            certificate.configure_cert(context)
        return context

    def client(self, certificate: trustme.LeafCert | None = None) -> httpx.Client:
        """Connect anew, as somebody with or without a certificate."""
        made = httpx.Client(base_url=self.url, verify=self.context(certificate), timeout=20)
        self.clients.append(made)
        return made

    def certificate(self, name: str) -> trustme.LeafCert:
        """A certificate for a client."""
        return self.authority.issue_cert(f"{name}.example", common_name=name)

    def events(self, name: str) -> list[dict[str, Any]]:
        """All events of a name, oldest first."""
        found: list[dict[str, Any]] = []
        after = "0"
        while True:
            page = self.admin.get("/v1/events", params={"after": after, "limit": 500}).json()
            if not page["items"]:
                return [event for event in found if event["type"] == name]
            found += page["items"]
            after = page["next_after"]


async def _serve(made: "asyncio.Queue[SecureBank]", over: asyncio.Event, **how: Any) -> None:
    clock, folder, authority = Clock(), how["folder"], how["authority"]
    tls = ServerTls(
        TlsFiles(folder / "server.pem", folder / "server.key", folder / "ca"), clock=clock
    )
    async with open_bank(Borrowed(how["dsn"]), home=folder / "home", description="t") as bank:
        limits = Limits(drain_s=1)
        site = Site(environment=how["environment"], issuer=how["issuer"], tls=tls, clock=clock)
        served = application(bank, limits=limits, site=site)
        http = HttpServer(served, limits=limits, tls=tls)
        port = await http.start(host="127.0.0.1", port=0)
        url = f"https://127.0.0.1:{port}"
        async with await bank.connect() as connection:
            _, token = await issue_token(
                connection,
                name="admin",
                scopes=SCOPES - {"clock:drive"},
                customer=None,
                now=instant(now_us()),
            )
            await bank.clients.refresh(connection)
        context = ssl.create_default_context()
        authority.configure_trust(context)
        headers = {"authorization": f"Bearer {token}"}
        admin = httpx.Client(base_url=url, headers=headers, verify=context, timeout=20)
        made.put_nowait(
            SecureBank(
                *(bank, url, port, how["issuer"], authority, folder, tls, clock, admin),
                asyncio.get_running_loop(),
            )
        )
        await over.wait()
        await http.stop()


def keep_certificate(folder: Path, leaf: trustme.LeafCert) -> None:
    """Write a server's certificate and key where it looks for them."""
    leaf.private_key_pem.write_to_path(folder / "server.key")
    chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
    (folder / "server.pem").write_bytes(chain)


@contextlib.contextmanager
def secure_bank(
    dsn: Any, folder: Path, environment: partners.Environment = partners.Environment.SANDBOX
) -> Iterator[SecureBank]:
    """Serve a bank over TLS in a loop of its own thread."""
    authority = trustme.CA()
    (folder / "ca").mkdir()
    authority.cert_pem.write_to_path(folder / "ca" / "own.pem")
    keep_certificate(folder, authority.issue_cert("127.0.0.1"))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    made: asyncio.Queue[SecureBank] = asyncio.Queue()
    over = asyncio.Event()
    serving = asyncio.run_coroutine_threadsafe(
        _serve(
            made,
            over,
            dsn=dsn,
            folder=folder,
            authority=authority,
            environment=environment,
            issuer=f"https://bank-{uuid.uuid4()}.example",
        ),
        loop,
    )

    async def first() -> SecureBank:
        ready = asyncio.ensure_future(made.get())
        await asyncio.wait(
            {ready, asyncio.wrap_future(serving)}, return_when=asyncio.FIRST_COMPLETED
        )
        if not ready.done():
            serving.result()
        return ready.result()

    bank = asyncio.run_coroutine_threadsafe(first(), loop).result(timeout=30)
    try:
        yield bank
    finally:
        for client in (bank.admin, *bank.clients):
            client.close()
        loop.call_soon_threadsafe(over.set)
        serving.result(timeout=30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="session")
def secure(server: Any, template: str, tmp_path_factory: Any) -> Iterator[SecureBank]:
    """A sandbox bank over TLS, for all journeys."""
    from tests.conftest import lend_database  # noqa: PLC0415 - only where it is used

    lending = lend_database(server, template=template)
    database = next(lending)
    with secure_bank(database.dsn, tmp_path_factory.mktemp("secure")) as bank:
        yield bank
    with contextlib.suppress(StopIteration, psycopg.Error):
        next(lending)


@pytest.fixture
def partner_of(secure):
    """Register partners."""

    def make(*, kind: str = "Ed25519", **terms: Any) -> Partnership:
        name = f"partner-{uuid.uuid4()}"
        body = {
            "name": name,
            "environment": "sandbox",
            "scopes": PARTNER_SCOPES,
            "tier": "high",
            "must_sign": False,
            **terms,
        }
        answer = secure.admin.post("/v1/partners", json=body)
        assert answer.status_code == 201, answer.text
        leaf, signer = secure.certificate(name), Signer(kind=kind)
        partner = Partnership(secure, answer.json()["id"], signer, leaf)
        partner.change("keys", {"key": signer.jwk})
        partner.change("certificates", {"thumbprint": thumbprint_of(leaf)})
        return partner

    return make


@pytest.fixture(scope="session")
def accounts(secure):
    """Two accounts of one customer, the first with money."""
    admin = secure.admin
    customer = admin.post(
        "/v1/customers", json={"reference": "payer", "kind": "person", "country": 756}
    ).json()["id"]
    made = [
        admin.post("/v1/accounts", json={"customer_id": customer, "currency": "EUR"}).json()["id"]
        for _ in range(2)
    ]
    movement = {"kind": "post", "amount_minor": 1_000_000, "currency": "EUR"}
    funded = admin.post(
        "/v1/journals",
        json={"mandate": "funding", "movements": [{**movement, "credit_account_id": made[0]}]},
        headers={"idempotency-key": "funding"},
    )
    assert funded.status_code == 201, funded.text
    return customer, *made
