"""Inbound callbacks of a bank with a vault: proven there, and by nobody while it is away."""

import hmac
import json
import time
import uuid
from base64 import b64decode, b64encode

import httpx
import pytest
from tests.journeys.conftest import serving
from tests.journeys.test_vault import silenced, teller_at

from scudo.fabric import load_key
from scudo.fabric.settings import Settings
from scudo.governance import callbacks
from scudo.vault import derive_secret

PATH = "/v1/inbound/partner-ping"
KEYS = "/v1/callbacks/partner_ping/keys"


def send(bank, secret: bytes, *, sequence: int) -> httpx.Response:
    """Send a ping as the partner signs it."""
    ping = {"type": "ping", "timestamp": "2026-01-15T09:30:00Z", "data": {"sequence": sequence}}
    body, message, stamp = json.dumps(ping).encode(), f"msg_{uuid.uuid4()}", str(int(time.time()))
    digest = hmac.digest(secret, f"{message}.{stamp}.".encode() + body, "sha256")
    headers = {
        "webhook-id": message,
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + b64encode(digest).decode(),
        "content-type": "application/json",
    }
    return httpx.post(bank.url + PATH, content=body, headers=headers, timeout=20)


def new_key(teller) -> httpx.Response:
    return teller.post(KEYS, {"overlap_s": 3600})


def secret_of(answer: httpx.Response) -> bytes:
    assert answer.status_code == 201, answer.text
    return b64decode(answer.json()["secret"].removeprefix("whsec_"))


def key_files(home) -> list[str]:
    """Files of the bank's folder that are keys by their name or by what is in them."""
    found = []
    for path in home.rglob("*"):
        inside = {"vault", "postgres"} & set(path.relative_to(home).parts)
        if path.is_file() and not inside:
            is_key = path.suffix in {".key", ".keys", ".root", ".pem"}
            if is_key or path.stat().st_size == 32:
                found.append(path.name)
    return found


class TestCallbacks:
    def test_are_proven_by_the_vault(self, vaulted):
        """With a secret that was shown once a ping is taken; with another it is refused."""
        with teller_at(vaulted) as teller:
            secret = secret_of(new_key(teller))
            taken = send(vaulted, secret, sequence=1)
            forged = send(vaulted, bytes(32), sequence=2)

        assert taken.status_code == 200, taken.text
        assert (forged.status_code, forged.json()["code"]) == (401, "callback_forged")
        assert key_files(vaulted.settings.home) == []

    @pytest.mark.fault(52)
    def test_are_refused_while_the_vault_is_away(self, vaulted):
        """Unavailable, to be sent again; nothing is taken unproven, and no secret is lost."""
        with teller_at(vaulted) as teller:
            secret = secret_of(new_key(teller))
            before = json.loads(teller.get("/v1/callbacks").text)
            with silenced(vaulted):
                refused = send(vaulted, secret, sequence=1)
                forged = send(vaulted, bytes(32), sequence=2)
                no_key = new_key(teller)
            after = json.loads(teller.get("/v1/callbacks").text)
            again = send(vaulted, secret, sequence=1)

        for answer in (refused, forged, no_key):
            assert (answer.status_code, answer.json()["code"]) == (503, "vault_unavailable")
            assert answer.json()["retryable"] is True
        assert after == before
        assert again.status_code == 200, again.text
        counted = vaulted.bank.rooms.callbacks.refused
        assert counted["partner_ping", "vault_unavailable"] == 2
        assert len(vaulted.events("governance.callback.pinged.v1")) == 1

    def test_keep_their_secrets_when_the_key_moves_in(self, database, home):
        """Who signed with a secret of the bank's own key goes on; the key's file is gone."""
        master = load_key(home / "callback.key")
        assert key_files(home) == ["callback.key"]
        for round_ in range(2):
            with serving(database, Settings(home=home)) as bank, teller_at(bank) as teller:
                if not round_:
                    made = new_key(teller)
                    number = int(made.json()["id"].removeprefix("evt_"), 16)
                    secret = derive_secret(master, "partner_ping", number)
                    assert secret_of(made) == secret
                assert send(bank, secret, sequence=round_ + 1).status_code == 200
                assert key_files(home) == []
                assert isinstance(bank.bank.callback_secrets, callbacks.VaultSecrets)
