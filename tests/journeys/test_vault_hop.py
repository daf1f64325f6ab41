"""A bank whose vault is on another machine: reached by mutual TLS, gone, back, and renewed."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.interfaces.bank.conftest import Teller
from tests.journeys.conftest import ADA, Vaulted, serving, until
from tests.rooms.vault.conftest import home_on
from tests.rooms.vault.hopping import BANK, Hopping, hopping_on

from scudo import vault
from scudo.fabric.settings import SettingInvalid, Settings
from scudo.interfaces import vaulting
from scudo.interfaces.guarding import guarded
from scudo.vault.model import PURPOSES

CARE = {"purpose": "customer_care", "reason": "case:4711"}
EVERYTHING = sorted({*PURPOSES, "tokenise", "sign", "callback", "write", "erase"})


def settings_of(hop: Hopping, home: Path) -> Settings:
    """What the bank's machine is told."""
    files = hop.certificates.files("bank")
    return Settings(
        home=home,
        vault_at=("127.0.0.1", hop.port),
        vault_cert=files["cert"],
        vault_key=files["key"],
        vault_ca=hop.certificates.cas,
    )


@pytest.fixture
def hop(database) -> Iterator[Hopping]:
    """An open vault on a machine of its own."""
    with home_on(database) as home, hopping_on(home) as made:
        made.list_callers({"name": BANK, "may": EVERYTHING})
        made.start()
        with contextlib.closing(home.client()) as client:
            client.ask(vault.PrepareDevelopmentRoot())
            client.ask(vault.CommitRoot())
        yield made


@pytest.fixture
def bank(hop, database, tmp_path) -> Iterator[Vaulted]:
    """A bank whose home has no vault."""
    home = tmp_path / "bank"
    home.mkdir()
    with serving(database, settings_of(hop, home)) as made:
        yield made
    assert not (home / "vault").exists()


@pytest.fixture
def teller(bank) -> Iterator[Teller]:
    made = bank.teller(bank.token)
    with contextlib.closing(made.http):
        yield made


def read(teller: Teller, customer: str) -> dict:
    body = {"fields": ["email"], **CARE}
    return teller.post(f"/v1/customers/{customer}/person/read", body).json()


def pay(teller: Teller, account: str, card: str) -> int:
    body = {
        "account_id": account,
        "amount_minor": 100,
        "currency": "EUR",
        "card": card,
        "merchant": "bar-7",
    }
    return teller.post("/v1/card-authorisations", body).status_code


class TestABank:
    @pytest.mark.timeout(120)
    def test_works_with_a_vault_elsewhere(self, bank, teller, hop):
        """Persons, tokens and signed heads come from the vault; it goes, and is back."""
        customer, account = teller.customer(), teller.account(funds=100_00)
        assert teller.http.put(f"/v1/customers/{customer}/person", json=ADA).status_code == 200
        assert read(teller, customer)["fields"] == {"email": ADA["email"]}
        assert pay(teller, account, "card-1") == 201
        until(lambda: bank.bank.notary.signed)
        assert bank.watch.state == "open"
        assert bank.guard.pid is None

        hop.home.running.kill()
        until(lambda: bank.watch.state == "silent")
        assert read(teller, customer)["code"] == "vault_unavailable"
        assert pay(teller, account, "card-1") == 201
        assert pay(teller, account, "card-unknown") == 503

        hop.start()
        until(lambda: bank.watch.state == "open")
        assert read(teller, customer)["fields"] == {"email": ADA["email"]}
        assert pay(teller, account, "card-unknown") == 201

    @pytest.mark.timeout(120)
    def test_is_renewed_while_it_pays(self, bank, teller, hop):
        """Both sides get new certificates while payments run: none fails."""
        account = teller.account(funds=100_00)
        hop.certificates.certify("vault", "127.0.0.1")
        hop.certificates.certify("bank", BANK, seconds=600, owner=(0, 0))
        before = hop.turned_away()

        # New ones each: every payment asks the vault for a token.
        assert {pay(teller, account, f"card-{n}") for n in range(20)} == {201}
        hop.list_callers({"name": "nobody.hop.example", "may": ["sign"]})
        until(lambda: hop.turned_away().get("vault_caller_unknown", 0) > 0)
        assert pay(teller, account, "card-of-nobody") == 503
        hop.list_callers({"name": BANK, "may": EVERYTHING})
        until(lambda: bank.watch.state == "open")

        assert pay(teller, account, "card-of-nobody") == 201
        assert "vault_caller_unknown" not in before
        metrics = teller.http.get("/metrics").text
        assert 'scudo_vault_connections_refused_total{cause="vault_caller_unknown"}' in metrics


class TestAStart:
    def test_without_the_vault_is_refused(self, hop, database, tmp_path):
        """A bank whose vault does not answer does not open, and makes no keys of its own."""
        hop.home.running.stop()
        hop.home.running = None

        with (
            pytest.raises(vault.VaultUnavailable),
            guarded(settings_of(hop, tmp_path), server=None),
        ):
            pass

        assert list(tmp_path.iterdir()) == []

    def test_with_keys_of_its_own_is_refused(self, hop, tmp_path):
        """A home that holds keys of before there was a vault gives them to a vault here first."""
        (tmp_path / "token.key").write_bytes(bytes(32))

        with pytest.raises(SettingInvalid, match="keys"):
            vaulting.remote_of(settings_of(hop, tmp_path))
