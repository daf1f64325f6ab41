"""A vault that callers of the network reach, and the files of both sides of that hop."""

import contextlib
import itertools
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.certificates import Certificates

from scudo import vault
from scudo.bootstrap import now_us
from scudo.fabric import HopTls, TlsFiles
from scudo.vault.answers import Answer
from scudo.vault.wire import LENGTH, Request, frame_request, read_answered

if TYPE_CHECKING:
    from tests.rooms.vault.conftest import Home

ASK = vault.Tokenise("ip", ("::1",))
PERSONS = itertools.count(7_000_001)
BANK = "bank.hop.example"
ALL = sorted(
    {"tokenise", "sign", "write", "erase", "screening", "network", "customer_care", "notification"}
)


@dataclass
class Hopping:
    """A home whose vault answers the network, with a caller `bank` in its list."""

    home: "Home"
    certificates: Certificates
    port: int = 0

    @property
    def log(self) -> str:
        """What the vault has logged since it was started first."""
        return (self.folder / "log").read_text()

    @property
    def folder(self) -> Path:
        return self.certificates.folder

    def list_callers(
        self, *callers: dict[str, Any], revoked: Sequence[str] = (), text: str | None = None
    ) -> None:
        """Write the list anew."""
        lines = [f"revoked = {list(revoked)}"]
        for caller in callers:
            lines += ["[[caller]]", f'name = "{caller["name"]}"', f"may = {caller['may']}"]
            lines += ["[caller.per_second]"]
            lines += [f"{what} = {limit}" for what, limit in caller.get("per_second", {}).items()]
        fresh = self.folder / "callers.fresh"
        fresh.write_text("\n".join(lines) if text is None else text)
        fresh.chmod(0o644)
        fresh.rename(self.folder / "callers.toml")

    def listen(self, host: str = "127.0.0.1") -> None:
        """Have the vault's next start listen, at the port it had before."""
        self.home.hop = {
            "vault_listen": (host, self.port),
            "vault_cert": self.folder / "vault.pem",
            "vault_key": self.folder / "vault.key",
            "vault_ca": self.certificates.cas,
            "vault_callers": self.folder / "callers.toml",
        }

    def start(self) -> None:
        self.listen()
        with _errors_to(self.folder / "log"):
            self.port = self.home.start().port

    def tls(self, name: str = "bank", *, cas: Path | None = None) -> HopTls:
        files = self.certificates.files(name)
        return HopTls(
            TlsFiles(files["cert"], files["key"], cas or self.certificates.cas),
            side="client",
            protocol=vault.PROTOCOL,
            clock=now_us,
        )

    def remote(self, name: str = "bank", *, host: str = "127.0.0.1") -> vault.RemoteVault:
        return vault.RemoteVault(host, self.port, self.tls(name))

    def client(self, name: str = "bank", **more: Any) -> vault.VaultClient:
        """Somebody who asks over the network."""
        made = vault.VaultClient(self.remote(name), **more)
        self.home.clients.append(made)
        return made

    def turned_away(self) -> dict[str, int]:
        """How many connections were not taken, as keepers see it."""
        with contextlib.closing(self.home.client()) as client:
            return client.ask(vault.Status()).turned_away

    @contextlib.contextmanager
    def line(self, context: ssl.SSLContext | None = None) -> Iterator[ssl.SSLSocket]:
        """A raw connection, as far as its handshake goes."""
        context = context or self.tls().context
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=15)
        with plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            yield secure


@contextlib.contextmanager
def _errors_to(path: Path) -> Iterator[None]:
    """Have processes that are started meanwhile write their standard error to a file."""
    before = os.dup(2)
    with path.open("ab") as log:
        os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def said(line: ssl.SSLSocket) -> Answer:
    """The next answer of a raw connection."""
    head = line.recv(LENGTH.size)
    if not head:
        raise ConnectionError("nothing was said")
    (size,) = LENGTH.unpack(head)
    body = b""
    while len(body) < size:
        body += line.recv(size - len(body))
    return read_answered(body).answer


def ask_raw(line: ssl.SSLSocket, request: Request[Any]) -> Answer:
    """Ask over a raw connection."""
    line.sendall(frame_request(1, request))
    return said(line)


@contextlib.contextmanager
def hopping_on(home: "Home") -> Iterator[Hopping]:
    """Certificates and a list for a home's vault, which is not started yet."""
    account = home.account
    certificates = Certificates(home.folder.parent / "hop", (account.user_id, account.group_id))
    # The vault's user reads its files by their names.
    home.folder.parent.chmod(0o711)
    made = Hopping(home, certificates)
    certificates.certify("vault", "127.0.0.1", "localhost")
    certificates.certify("bank", BANK, owner=(0, 0))
    made.list_callers({"name": BANK, "may": ALL})
    yield made


def until(is_so: Callable[[], Any], *, seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
    return found


def listed(hop: Hopping, *callers: dict[str, Any], **more: Any) -> None:
    """Write a list, and wait until the vault goes by it: a canary in it is let in."""
    name = f"canary-{next(PERSONS)}.example"
    hop.list_callers(*callers, {"name": name, "may": ["tokenise"]}, **more)
    hop.certificates.certify("canary", name, owner=(0, 0))

    def is_in() -> bool:
        with contextlib.closing(vault.VaultClient(hop.remote("canary"), patience_s=0)) as client:
            try:
                return bool(client.ask(ASK))
            except vault.VaultUnavailable:
                return False

    until(is_in)
