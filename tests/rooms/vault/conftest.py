"""What the tests of the vault may ask for: a vault in a process of its own, and its client."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.conftest import Database, lend_database
from tests.rooms.vault.hopping import ALL, BANK, Hopping, hopping_on, listed

from scudo import vault
from scudo.fabric import postgres
from scudo.fabric.settings import Settings
from scudo.interfaces import vaulting

WHY = vault.Why("screening", "operator:7", "case:12", 99)
NETWORK = vault.Why("network", "acquirer", "authorisation", 99)
ADA = {"given_name": "Ada", "family_name": "Lovelace", "email": "ada@example.org"}


@dataclass
class Home:
    """A folder and a database that a vault is started on, and again after its death."""

    folder: Path
    database: Database
    erasures: Path | None = None
    peers: tuple[str, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)
    hop: dict[str, Any] = field(default_factory=dict)
    running: vaulting.VaultProcess | None = None
    clients: list[vault.VaultClient] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return Settings(
            home=self.folder,
            erasures=self.erasures,
            vault_peers=self.peers,
            **self.hop,
            **self.more,
        )

    @property
    def account(self) -> postgres.Account:
        return vaulting.account_of(postgres.ExternalServer("postgresql://"), self.settings)

    def start(self, *, dsn: str | None = None, **more) -> vaulting.VaultProcess:
        self.running = vaulting.start(
            self.settings, dsn=dsn or self.database.dsn.vault, account=self.account, **more
        )
        return self.running

    def client(self, **more) -> vault.VaultClient:
        made = vault.VaultClient(self.running.socket, **more)
        self.clients.append(made)
        return made

    def opened(self, **more) -> vault.VaultClient:
        """A client of a new vault in development mode."""
        self.start(**more)
        client = self.client()
        client.ask(vault.PrepareDevelopmentRoot())
        client.ask(vault.CommitRoot())
        return client

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        self.clients.clear()
        if self.running is not None:
            self.running.stop()
            self.running = None

    def as_admin(self) -> psycopg.Connection:
        return psycopg.connect(self.database.dsn.admin, autocommit=True)


@contextlib.contextmanager
def home_on(database: Database) -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="scudo-vault-test-") as folder:
        home = Home(Path(folder) / "home", database)
        home.folder.mkdir()
        yield home
        home.stop()


@pytest.fixture
def home(database):
    """A home of its own for one test; nothing runs in it yet."""
    with home_on(database) as made:
        yield made


@pytest.fixture(scope="module")
def shared(server, template):
    """An open vault for the tests of one module, which use persons of their own."""
    lending = lend_database(server, template=template)
    with home_on(next(lending)) as made:
        made.opened()
        yield made
    next(lending, None)


@pytest.fixture
def ask(shared):
    """Ask the module's vault."""
    client = shared.client()
    yield client.ask
    client.close()


def code_of(ask, request) -> str:
    """Code of the refusal that a request meets; empty if it is answered."""
    try:
        ask(request)
    except vault.VaultRefusal as refusal:
        return refusal.code
    return ""


def refused(ask, request) -> vault.VaultRefusal:
    """The refusal that a request must meet."""
    with pytest.raises(vault.VaultRefusal) as caught:
        ask(request)
    return caught.value


@pytest.fixture(scope="module")
def module_home(server, template):
    """An open vault of this module, which listens."""
    lending = lend_database(server, template=template)
    with home_on(next(lending)) as home, hopping_on(home) as hop:
        hop.start()
        client = home.client()
        client.ask(vault.PrepareDevelopmentRoot())
        client.ask(vault.CommitRoot())
        yield hop
    next(lending, None)


@pytest.fixture
def hop(module_home) -> Hopping:
    """The module's vault, with the bank alone in its list, certified anew."""
    listed(module_home, {"name": BANK, "may": ALL})
    module_home.certificates.certify("bank", BANK, owner=(0, 0))
    return module_home


@pytest.fixture
def own(home):
    """A vault of one test, which listens when it is started."""
    with hopping_on(home) as made:
        yield made
