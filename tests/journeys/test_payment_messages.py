"""Messages of payments: the vault keeps them, the log knows claims, erasing ends them."""

import contextlib
import os
import signal
import uuid

import psycopg
import pytest
from tests.journeys.conftest import until
from tests.journeys.test_vault import silenced, teller_at

from scudo import vault
from scudo.auditing import verify_bank
from scudo.bootstrap import CATALOGUE

WORDS = "Zwetschgenkuchen f\u00fcr Tante Olga"
SCAM = "move it to the safe account"
WHY = {"purpose": "investigation", "reason": "case:4711"}


def pay(teller, debit, credit, *, amount=100, key=None, **more):
    body = {"debit_account_id": debit, "credit_account_id": credit, "currency": "EUR"}
    return teller.post("/v1/payments", {**body, "amount_minor": amount, **more}, key=key)


def own(teller, payment):
    return teller.get(f"/v1/payments/{payment}/message")


def read(teller, payment, **why):
    return teller.post(f"/v1/payments/{payment}/message/read", {**WHY, **why})


@pytest.fixture
def couple(ada):
    """Two accounts of two people, the first with money."""
    return ada.account(funds=1_000_000), ada.account()


@pytest.fixture
def payer_of(shared, ada):
    """Make a client that is bound to the customer of an account."""
    with contextlib.ExitStack() as stack:

        def make(account):
            customer = ada.get(f"/v1/accounts/{account}").json()["customer_id"]
            token = shared.token_for(
                "payments:read", "payments:write", customer=int(customer[4:], 16)
            )
            teller = shared.teller(token)
            stack.enter_context(contextlib.closing(teller.http))
            return teller

        yield make


def stored(bank, text):
    """Tables in which a text stands anywhere, in any column."""
    found, whole = [], "COPY (SELECT * FROM {}.{}) TO STDOUT (FORMAT binary)"
    with psycopg.connect(bank.database.dsn.admin, autocommit=True) as admin:
        tables = admin.execute(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, table in tables:
            with admin.cursor().copy(whole.format(schema, table)) as copy:
                if text.encode() in b"".join(copy):
                    found.append(f"{schema}.{table}")
    return found


class TestMessage:
    def test_is_shown_to_its_payer_and_stands_nowhere_else(self, shared, ada, couple, payer_of):
        """The payer reads what they wrote; no table of the database holds it in clear."""
        paid = pay(ada, *couple, message=WORDS)
        payment = paid.json()["id"]

        shown = own(payer_of(couple[0]), payment)

        assert (paid.status_code, paid.headers["scudo-message"]) == (201, "kept")
        assert shown.json() == {"payment_id": payment, "message": WORDS}
        assert ada.get(f"/v1/payments/{payment}").json()["has_message"] is True
        assert stored(shared, "Zwetschgenkuchen") == []
        reference = ada.get(f"/v1/customers/{ada.customer()}").json()["reference"]
        assert "identity.customer" in stored(shared, reference)
        (event,) = [
            e for e in shared.events("payments.text.received.v1") if e["payment"] == payment
        ]
        assert event["text"] > 0
        assert event["signals"] == 0

    def test_is_read_for_a_purpose_and_leaves_a_trace(self, shared, ada, couple, payer_of):
        """Each read is in the log before it is shown: by whom, of which payment, whose, why."""
        payment = pay(ada, *couple, message=WORDS).json()["id"]
        customer = ada.get(f"/v1/accounts/{couple[0]}").json()["customer_id"]

        for_the_bank = read(ada, payment)
        for_the_payer = own(payer_of(couple[0]), payment)

        assert for_the_bank.json() == for_the_payer.json()
        acts = [a for a in shared.events("governance.act.recorded.v1") if a["object"] == payment]
        assert [(a["act"], a["whose"], a["result"], a["reason"]) for a in acts] == [
            ("vault.read_payment_text", customer, "done", "investigation:case:4711"),
            ("vault.read_payment_text", customer, "done", "payment_text:payment_text"),
        ]

    def test_is_nobody_elses(self, shared, ada, couple, payer_of):
        """Payees and strangers see no payment; nobody reads for the bank without its scope."""
        payment = pay(ada, *couple, message=WORDS).json()["id"]
        payee, absent = payer_of(couple[1]), "pay_00000000000fffff"

        foreign, nowhere = own(payee, payment), own(payee, absent)
        unscoped = read(payer_of(couple[0]), payment)

        assert foreign.json()["code"] == nowhere.json()["code"] == "payment_not_found"
        assert unscoped.json()["code"] == "scope_missing"
        assert own(ada, payment).json()["code"] == "vault_text_not_found"
        assert read(ada, payment, purpose="curiosity").json()["code"] == "body_invalid"
        assert read(ada, payment, reason="Because I can").json()["code"] == "body_invalid"

    def test_that_was_not_sent_is_not_there(self, ada, couple, payer_of):
        """A payment without one says so, is answered without its header, and tells no event."""
        paid = pay(ada, *couple)
        payment = paid.json()["id"]

        assert "scudo-message" not in paid.headers
        assert ada.get(f"/v1/payments/{payment}").json()["has_message"] is False
        assert own(payer_of(couple[0]), payment).json()["code"] == "vault_text_not_found"
        assert read(ada, payment).json()["code"] == "vault_text_not_found"

    @pytest.mark.parametrize("message", ["", "x" * 141, "a\x00b", 7])
    def test_is_refused_in_another_form(self, ada, couple, message):
        """Empty, too long, with a NUL, and no text at all."""
        assert pay(ada, *couple, message=message).json()["code"] == "body_invalid"

    def test_from_an_account_of_nobody_is_kept_of_nobody(self, ada, couple):
        """Without a payer there is no key to keep it under, and no payment."""
        answer = pay(ada, "acc_00000000000fffff", couple[1], message=WORDS)

        assert answer.json()["code"] == "account_not_found"
        assert answer.json()["field"] == "debit_account_id"

    def test_tells_repetitions_of_a_request_apart(self, ada, couple, payer_of):
        """The same message has the same answer, byte for byte; another one, or none, is refused."""
        key = str(uuid.uuid4())
        first = pay(ada, *couple, key=key, message=WORDS)

        again = pay(ada, *couple, key=key, message=WORDS)
        other = pay(ada, *couple, key=key, message=WORDS + "!")
        without = pay(ada, *couple, key=key)

        assert (again.status_code, again.content) == (201, first.content)
        assert [a.json()["code"] for a in (other, without)] == ["idempotency_key_reused"] * 2
        assert other.json()["field"] == "text"
        assert own(payer_of(couple[0]), first.json()["id"]).json()["message"] == WORDS

    def test_is_forgotten_with_its_payer(self, ada, couple, payer_of):
        """Erasing the payer leaves the payment, and says that the message is gone."""
        payment = pay(ada, *couple, message=WORDS).json()["id"]
        customer = ada.get(f"/v1/accounts/{couple[0]}").json()["customer_id"]

        erased = ada.http.delete(f"/v1/customers/{customer}/person", params={"reason": "request:1"})
        later = pay(ada, *couple, message=WORDS)

        assert erased.json()["destroyed"]["texts"] == 1
        assert own(payer_of(couple[0]), payment).json()["code"] == "vault_text_not_found"
        assert ada.get(f"/v1/payments/{payment}").json()["has_message"] is True
        assert (later.status_code, later.headers["scudo-message"]) == (201, "not-kept")

    def test_that_looks_like_a_scam_holds_what_goes_to_somebody_new(self, ada, couple):
        """Its signals are inputs of the decision, which names them and has no words."""
        amount = {"amount": 20_000}
        usual = pay(ada, *couple, **amount, message=WORDS)
        held = pay(ada, couple[0], ada.account(), **amount, message=SCAM)

        decision = ada.get(f"/v1/decisions/{held.json()['decision_id']}").json()
        assert usual.json()["status"] == "settled"
        assert held.json()["status"] == "held"
        assert "message_of_a_scam" in [reason["rule"] for reason in decision["reasons"]]
        assert decision["inputs"]["text_signals"] == "scam_words"
        assert "safe account" not in str(decision)


class TestVault:
    def test_that_is_sealed_lets_money_move_without_the_message(self, vaulted):
        """The header tells; nobody reads; sent again when it is open, the message is kept."""
        key = str(uuid.uuid4())
        with teller_at(vaulted) as teller:
            couple = teller.account(funds=1_000_000), teller.account()
            with vaulted.asked() as client:
                client.ask(vault.Seal())
            sealed = pay(teller, *couple, amount=20_000, key=key, message=SCAM)
            refused = read(teller, sealed.json()["id"])
            before = vaulted.guard.pid
            os.kill(before, signal.SIGKILL)
            until(lambda: vaulted.guard.pid not in {None, before})
            until(lambda: vaulted.watch.state == "open")
            absent = read(teller, sealed.json()["id"])
            again = pay(teller, *couple, amount=20_000, key=key, message=SCAM)
            shown = read(teller, sealed.json()["id"])

        assert (sealed.status_code, sealed.headers["scudo-message"]) == (201, "not-kept")
        assert sealed.json()["status"] == "held"
        assert (refused.status_code, refused.json()["code"]) == (503, "vault_sealed")
        assert (absent.status_code, absent.json()["code"]) == (404, "vault_text_not_found")
        assert (again.content, again.headers["scudo-message"]) == (sealed.content, "kept")
        assert shown.json()["message"] == SCAM
        with psycopg.connect(vaulted.database.dsn.read, autocommit=True) as connection:
            verdict = verify_bank(connection, catalogue=CATALOGUE, gentle=False, evidence=None)
        assert verdict.ok, verdict.first_bad

    def test_that_is_away_refuses_what_brings_a_message_and_nothing_else(self, vaulted):
        """Without its claim two requests could not be told apart; without a message money moves."""
        key = str(uuid.uuid4())
        with teller_at(vaulted) as teller:
            couple = teller.account(funds=1_000_000), teller.account()
            with silenced(vaulted):
                refused = pay(teller, *couple, key=key, message=WORDS)
                plain = pay(teller, *couple)
            again = pay(teller, *couple, key=key, message=WORDS)

        assert (refused.status_code, refused.json()["code"]) == (503, "vault_unavailable")
        assert plain.status_code == 201
        assert (again.status_code, again.headers["scudo-message"]) == (201, "kept")


class TestPlaces:
    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ((454_642, 91_951), (454_600, 92_000)),
            ((-454_650, -91_950), (-454_600, -91_900)),
            ((900_000, -1_800_000), (900_000, -1_800_000)),
            ((0, 49), (0, 0)),
        ],
    )
    @pytest.mark.parametrize("way", ["card", "transfer"])
    def test_are_known_to_a_kilometre(self, shared, ada, couple, way, sent, kept):
        """What is finer than a hundredth of a degree is gone before the command is made."""
        place = dict(zip(("latitude_e4", "longitude_e4"), sent, strict=True))
        if way == "card":
            body = {"account_id": couple[0], "amount_minor": 100, "currency": "EUR", **place}
            answer = ada.post("/v1/card-authorisations", body)
        else:
            answer = pay(ada, *couple, **place)

        decision = ada.get(f"/v1/decisions/{answer.json()['decision_id']}").json()
        found = decision["inputs"]["latitude_e4"], decision["inputs"]["longitude_e4"]
        assert found == kept
