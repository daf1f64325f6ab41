"""A bank and its vault: what goes on when it dies, is sealed, or uses other keys."""

import asyncio
import contextlib
import fcntl
import os
import signal
import threading
import uuid
from pathlib import Path

import psycopg
import pytest
from tests.journeys.conftest import ADA, Vaulted, serving, until

from scudo import vault
from scudo.auditing import verify_bank
from scudo.bootstrap import CATALOGUE, open_bank
from scudo.decisions import read_decisions
from scudo.fabric import Tokeniser, load_key
from scudo.fabric.settings import Settings
from scudo.governance import EvidenceAudit, KeyFiles
from scudo.kernel import Prefix, ids

CARE = {"purpose": "customer_care", "reason": "case:4711"}


def authorise(teller, account, *, card="my-card", key=None, **more):
    body = {"account_id": account, "amount_minor": 100, "currency": "EUR", "card": card, **more}
    return teller.post("/v1/card-authorisations", body, key=key)


@contextlib.contextmanager
def teller_at(bank):
    teller = bank.teller(bank.token)
    with contextlib.closing(teller.http):
        yield teller


@contextlib.contextmanager
def silenced(bank: Vaulted):
    """A vault that is dead and cannot come back before the end."""
    process = bank.guard.pid
    with (bank.settings.home / "vault" / "running.lock").open("r+") as lock:
        os.kill(process, signal.SIGKILL)
        until(lambda: not _is_locked(lock))
        yield
    until(lambda: bank.guard.pid not in {None, process})
    until(lambda: bank.watch.state == "open")


def _is_paid(answer):
    """Whether a payment was taken; else it must have been told to come again."""
    if answer.status_code != 201:
        assert answer.json()["code"] == "vault_unavailable"
    return answer.status_code == 201


def judged(bank):
    """What the gates were asked about, in order."""

    async def read():
        async with await bank.bank.connect() as connection:
            found = read_decisions(connection, after=0, through=1 << 62)
            return [record.event async for _, record in found]

    return bank.run(read())


def _is_locked(file) -> bool:
    """Whether somebody holds the lock; else we do from now on."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


class TestTokens:
    def test_of_payments_are_the_vaults(self, vaulted):
        """What stands in events is what the vault makes of the value; here is no key."""
        with teller_at(vaulted) as teller:
            account = teller.account(funds=1_000)
            assert authorise(teller, account, device="phone", ip="10.0.0.1").status_code == 201

        (decided,) = judged(vaulted)
        named = {"card": ("my-card",), "device": ("phone",), "ip": ("10.0.0.1",)}
        with vaulted.asked() as client:
            made = client.ask(vault.TokeniseAll(named)).tokens
        assert (decided.card, decided.device, decided.ip) == made
        assert not list(vaulted.settings.home.glob("**/token.key"))
        assert not (vaulted.settings.home / "keys").exists()


class TestMovingIn:
    def test_of_a_banks_own_keys_happens_once(self, database, home):
        """Tokens and signing keys of before go on in the vault; the files are gone."""
        key, files = load_key(home / "token.key"), KeyFiles(home / "keys")
        files.rotate("ed25519")
        token, public = Tokeniser(key).token("card", "my-card"), files.public_keys()

        for _ in range(2):
            with serving(database, Settings(home=home)) as bank, bank.asked() as client:
                assert client.ask(vault.Tokenise("card", ("my-card",))).tokens == (token,)
                told = client.ask(vault.ListSigningKeys()).keys
                assert {(k.algorithm, k.public) for k in told} == set(public)
                active = {(k.algorithm, k.public) for k in told if k.is_active}
                assert active == set(public[1:])
                until(lambda bank=bank: bank.bank.notary.exported)
            assert list(home.rglob("token.key")) + list(home.glob("keys/*")) == []

        evidence = EvidenceAudit(home / "witness")
        with psycopg.connect(database.dsn.read, autocommit=True) as connection:
            verdict = verify_bank(connection, catalogue=CATALOGUE, gentle=False, evidence=evidence)
        assert verdict.ok, verdict.first_bad

    def test_leaves_no_other_keys_to_be_made(self, database, home):
        """Opened without its vault, a bank whose keys are there makes no new ones: it refuses."""
        with serving(database, Settings(home=home)) as bank:
            running = bank.bank.server

        async def open_alone() -> None:
            async with open_bank(running, home=home, description="alone"):
                pass

        with pytest.raises(vault.VaultUnavailable, match="in its vault"):
            asyncio.run(open_alone())
        assert not (home / "token.key").exists()


class TestDeath:
    def test_is_healed_while_payments_wait(self, vaulted):
        """Killed under payments: all are answered with a yes, at the latest when sent again."""
        with teller_at(vaulted) as teller:
            account = teller.account(funds=1_000_000)
            first = vaulted.guard.pid
            os.kill(first, signal.SIGKILL)

            for number in range(20):
                card, key = f"card-{number}", str(uuid.uuid4())
                # On a busy machine its start takes longer than a payment is kept waiting.
                until(lambda c=card, k=key: _is_paid(authorise(teller, account, card=c, key=k)))

        assert len(judged(vaulted)) == 20
        assert until(lambda: vaulted.guard.pid) != first
        assert vaulted.guard.starts == 2

    def test_refuses_what_needs_it_and_nothing_else(self, vaulted):
        """While it is away known cards pay on; others are told to come again, and then may."""
        with teller_at(vaulted) as teller:
            account = teller.account(funds=1_000)
            customer = teller.customer()
            assert authorise(teller, account).status_code == 201
            key = str(uuid.uuid4())
            with silenced(vaulted):
                known = authorise(teller, account)
                new = authorise(teller, account, card="other-card", key=key)
                person = teller.http.put(f"/v1/customers/{customer}/person", json=ADA)
                until(lambda: vaulted.watch.state == "silent")
                ready = teller.get("/health/ready")

            again = authorise(teller, account, card="other-card", key=key)

        assert known.status_code == 201
        for refused in (new, person):
            assert refused.status_code == 503
            assert refused.json()["code"] == "vault_unavailable"
            assert refused.json()["retryable"] is True
            assert "retry-after" in refused.headers
        assert ready.status_code == 200
        assert [c["name"] for c in ready.json()["checks"] if not c["is_ok"]] == ["vault"]
        assert again.status_code == 201
        assert len(vaulted.events("payments.payment.initiated.v1")) == 3


class TestSealed:
    def test_pays_and_signs_on_and_shows_nobody(self, vaulted):
        """Tokens and signatures go on with the operational keys; personal data is shut away."""
        with teller_at(vaulted) as teller, vaulted.asked() as client:
            account, customer = teller.account(funds=1_000), teller.customer()
            teller.http.put(f"/v1/customers/{customer}/person", json=ADA)
            client.ask(vault.Seal())
            until(lambda: vaulted.watch.state == "sealed")
            signed = vaulted.bank.notary.signed
            vaulted.bank.notary._every_us = 0

            paid = authorise(teller, account, card="a-card-of-later")
            read = teller.http.post(
                f"/v1/customers/{customer}/person/read", json={"fields": ["email"], **CARE}
            )
            ready = teller.get("/health/ready").json()

        assert paid.status_code == 201
        assert (read.status_code, read.json()["code"]) == (503, "vault_sealed")
        assert {"name": "vault", "is_ok": False, "is_vital": False} in ready["checks"]
        until(lambda: vaulted.bank.notary.signed > signed)
        assert vaulted.bank.notary.alarm is None
        results = [a["result"] for a in vaulted.events("governance.act.recorded.v1")]
        assert results[-1] == "vault_sealed"


class TestRotation:
    def test_of_root_unit_and_signing_keys_fails_no_request(self, vaulted):
        """Under payments, reads, writes and a notary that signs all the time: no request fails."""
        failed, done, over = [], [0], threading.Event()
        vaulted.bank.notary._every_us = 0
        with teller_at(vaulted) as teller:
            customers = [teller.customer() for _ in range(40)]
            account = teller.account(funds=100_000_000)
            for customer in customers:
                teller.http.put(f"/v1/customers/{customer}/person", json=ADA)

        def load(number):
            with teller_at(vaulted) as teller:
                for count in range(1_000_000):
                    if over.is_set():
                        return
                    path = f"/v1/customers/{customers[count % 40]}/person"
                    body = {"fields": ["email"], "purpose": "screening", "reason": "list:1"}
                    answers = [
                        authorise(teller, account, card=f"card-{number}-{count}"),
                        teller.http.post(f"{path}/read", json=body),
                        teller.http.put(path, json={"email": ADA["email"]}),
                    ]
                    failed.extend(a.text for a in answers if a.status_code not in {200, 201})
                    done[0] += len(answers)

        threads = [threading.Thread(target=load, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        with vaulted.asked() as client:
            for _ in range(3):
                before, signed = done[0], vaulted.bank.notary.signed
                client.ask(vault.RotateUnit())
                client.ask(vault.RotateSearch())
                client.ask(vault.RotateOperational("ed25519"))
                client.ask(vault.PrepareRoot(3, 2))
                client.ask(vault.CommitRoot())
                client.ask(vault.RotateOperational("ml-dsa-65"))
                until(lambda n=before: done[0] > n + 30)
                until(lambda n=signed: vaulted.bank.notary.signed > n + 1)
                until(lambda: client.ask(vault.Status()).keys_left == 0)
        over.set()
        for thread in threads:
            thread.join()

        assert failed == []
        assert vaulted.bank.notary.alarm is None
        changed = [e["which"] for e in until(lambda: _rotated(vaulted))]
        # Changes within a second of each other may be told as one.
        assert {"root", "unit", "search", "ed25519", "ml-dsa-65"} <= set(changed)
        _verify(vaulted)

    def test_of_the_token_key_is_an_event_and_older_tokens_still_join(self, vaulted):
        """From the event on tokens are others; a value's older one can be made, and leads back."""
        with teller_at(vaulted) as teller, vaulted.asked() as client:
            account, customer = teller.account(funds=1_000), teller.customer()
            teller.http.put(f"/v1/customers/{customer}/person", json=ADA)
            why = vault.Why("screening", "test", "test")
            (old,) = client.ask(vault.Tokenise("email", (ADA["email"],))).tokens
            key = str(uuid.uuid4())
            assert authorise(teller, account, key=key).status_code == 201

            client.ask(vault.RotateOperational("token"))
            until(lambda: ("1", "2") in _told(vaulted, "token"))
            # Another value is asked for, and the answer says that there is a new key.
            assert authorise(teller, account, card="another").status_code == 201
            assert authorise(teller, account).status_code == 201
            again = authorise(teller, account, key=key)

            (new,) = client.ask(vault.Tokenise("email", (ADA["email"],))).tokens
            (same,) = client.ask(vault.Tokenise("email", (ADA["email"],), 1)).tokens
            number = ids.parse(Prefix.CUSTOMER, customer)
            found = client.ask(vault.FindToken("email", old, why)).persons

        assert (same, new == old, found) == (old, False, (number,))
        cards = [event.card for event in judged(vaulted)]
        assert len(set(cards)) == len(cards) == 3
        # Known and documented: the body is hashed with its tokens. Nothing moves twice.
        assert again.json()["code"] == "idempotency_key_reused"


def _told(bank, which):
    """What the log was told of a key: from what to what."""
    changes = bank.events("vault.key.changed.v1")
    return [(e["before"], e["after"]) for e in changes if e["which"] == which]


def _rotated(bank):
    """All changes of keys, once the log was told of the last."""
    with bank.asked() as client:
        status = client.ask(vault.Status())
    told = bank.events("vault.key.changed.v1")
    last = {e["which"]: e["after"] for e in told}
    now = {"root": status.root, "unit": str(status.unit), "search": str(status.search)}
    now |= status.signing
    return told if now.items() <= last.items() else None


def _verify(bank):
    """The books are right, and every head is signed by a key that was in use."""
    evidence = EvidenceAudit(Path(bank.settings.home) / "witness")
    with psycopg.connect(bank.database.dsn.read, autocommit=True) as connection:
        verdict = verify_bank(connection, catalogue=CATALOGUE, gentle=False, evidence=evidence)
    assert verdict.ok, verdict.first_bad
    assert evidence.heads
