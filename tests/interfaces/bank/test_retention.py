"""Ending relationships, exports of persons, and what is told of retention, over HTTP."""

import uuid

import pytest
from tests.journeys.conftest import until

ADA = {
    "given_name": "Ada",
    "family_name": "Lovelace",
    "birth_date": "1990-12-10",
    "email": "ada.of.the.export@example.org",
}
CARD = "4000000000009995"
REASON = {"reason": "request:4711"}


def end(teller, customer):
    return teller.post(f"/v1/customers/{customer}/ending", {"reason_code": "by_customer"})


def close(teller, account):
    assert teller.post(f"/v1/accounts/{account}/closure").status_code == 200


def acts_of(teller, customer):
    """The acts on a customer's data that are told, once the index has them."""
    found = until(lambda: teller.get("/v1/acts", whose=customer, limit=500).json()["items"])
    return [(act["act"], act["result"], act["reason"]) for act in found]


class TestEnding:
    def test_waits_until_every_account_is_closed(self, teller):
        """Of two accounts the second is enough to be a customer; ended is ended, once."""
        customer = teller.customer()
        first, second = teller.account(customer), teller.account(customer)
        close(teller, first)

        early = end(teller, customer)
        close(teller, second)
        done = end(teller, customer)
        again = end(teller, customer)

        assert (early.status_code, early.json()["code"]) == (409, "accounts_open")
        assert (done.status_code, done.json()["customer_id"]) == (200, customer)
        assert (again.status_code, again.json()["code"]) == (409, "relationship_over")

    def test_leaves_nobody_who_can_open_an_account(self, teller):
        """Who is a customer no more is given none, in whatever order it is asked."""
        customer = teller.customer()
        end(teller, customer)

        opened = teller.post("/v1/accounts", {"customer_id": customer, "currency": "EUR"})

        assert (opened.status_code, opened.json()["code"]) == (409, "relationship_over")

    def test_is_no_more_than_once_under_one_key(self, teller):
        """The same request again is answered as it was."""
        customer, key = teller.customer(), f"{uuid.uuid4()}"
        path, body = f"/v1/customers/{customer}/ending", {"reason_code": "by_bank"}

        first, again = (teller.post(path, body, key=key) for _ in range(2))

        assert (first.status_code, first.content) == (200, again.content)

    @pytest.mark.parametrize("reason", ["", "Left us", "no-dash", "ada@example.org", "x" * 49])
    def test_takes_codes_for_reasons_and_no_sentences(self, teller, reason):
        """What stands in the log for ever names nobody."""
        customer = teller.customer()
        body = {"reason_code": reason}

        answer = teller.post(f"/v1/customers/{customer}/ending", body)

        assert answer.status_code == 400

    def test_knows_no_customer_that_is_not_there(self, teller, teller_for):
        """Nor one of somebody else; both are answered alike."""
        customer, own = teller.customer(), teller.customer()
        bound = teller_for("customers:write", customer=int(own.removeprefix("cus_"), 16))

        missing = end(teller, f"cus_{1 << 60:016x}")
        foreign = end(bound, customer)

        assert (missing.status_code, missing.json()["code"]) == (404, "customer_not_found")
        assert (foreign.status_code, foreign.json()["code"]) == (404, "customer_not_found")


class TestExport:
    def test_holds_all_that_is_kept_about_a_person(self, teller):
        """Fields, cards by halves, accounts, movements, payments in words, and who asked."""
        customer = teller.customer()
        teller.http.put(f"/v1/customers/{customer}/person", json=ADA)
        card = {"number": CARD, "expiry": "2035-01", "customer_id": customer}
        assert teller.post("/v1/cards", card).status_code == 201
        account, payee = teller.account(customer, funds=10_000), teller.account()
        order = {"debit_account_id": account, "credit_account_id": payee}
        order |= {"amount_minor": 700, "currency": "EUR", "message": "For the engine"}
        paid = teller.post("/v1/payments", order)
        assert paid.status_code == 201

        answer = teller.get(f"/v1/customers/{customer}/export", **REASON)

        document = answer.json()
        assert answer.status_code == 200
        assert document["fields"] == ADA
        assert [(c["first_six"], c["last_four"]) for c in document["cards"]] == [
            (CARD[:6], CARD[-4:])
        ]
        (kept,) = document["accounts"]
        assert (kept["account"]["id"], len(kept["transactions"])) == (account, 2)
        (payment,) = document["payments"]
        assert payment["payment"]["id"] == paid.json()["id"]
        assert payment["text"] == "For the engine"
        assert payment["decision"] in {"approved", "pending", "confirmation_required"}
        assert payment["decision_in_words"].startswith("The bank")
        assert document["customer"]["id"] == customer
        assert document["relationship_ended_at"] is None
        assert "consents" in document["nothing_is_kept_of"]
        assert CARD not in answer.text

    def test_is_told_in_the_log_field_by_field(self, teller):
        """The act itself, and each value that the vault gave, with the reason."""
        customer = teller.customer()
        teller.http.put(f"/v1/customers/{customer}/person", json=ADA)

        teller.get(f"/v1/customers/{customer}/export", **REASON)

        # What found no turn beside other exports is told too, and was asked for again.
        cards = ("vault.list_cards_card_number", "done", "privacy_request:request:4711")
        until(lambda: cards in acts_of(teller, customer))
        acts = acts_of(teller, customer)
        assert acts.count(cards) == 1
        assert ("persons.export", "done", "privacy_request:request:4711") in acts
        assert ("vault.read_email", "done", "privacy_request:request:4711") in acts
        assert ("vault.read_phone", "absent", "privacy_request:request:4711") in acts

    def test_says_nothing_of_investigations(self, teller):
        """Who reads for customer care is told, who investigates is not, and nobody by name."""
        customer = teller.customer()
        teller.http.put(f"/v1/customers/{customer}/person", json=ADA)
        path = f"/v1/customers/{customer}/person/read"
        for purpose in ("customer_care", "investigation", "screening"):
            body = {"fields": ["email"], "purpose": purpose, "reason": "case:1"}
            assert teller.http.post(path, json=body).status_code == 200
        until(lambda: len(acts_of(teller, customer)) >= 3)

        document = teller.get(f"/v1/customers/{customer}/export", **REASON)

        acts = document.json()["acts"]
        assert {act["purpose"] for act in acts} <= {"customer_care", "privacy_request"}
        assert [a["act"] for a in acts if a["purpose"] == "customer_care"] == ["vault.read_email"]
        assert not {"actor", "reason", "trace"} & set(acts[0])

    def test_of_a_person_who_was_never_kept_is_what_the_books_have(self, teller):
        """Nothing in the vault is no error; the ended relationship is shown."""
        customer = teller.customer()
        ended = end(teller, customer).json()

        document = teller.get(f"/v1/customers/{customer}/export", **REASON).json()

        assert (document["fields"], document["cards"], document["accounts"]) == ({}, [], [])
        assert document["relationship_ended_at"] == ended["ended_at"]

    def test_is_for_who_may_export_and_for_the_own_customer_only(self, teller, teller_for):
        """Neither who may read persons, nor who is bound to somebody else."""
        customer, own = teller.customer(), teller.customer()
        reader = teller_for("persons:read", "customers:read")
        bound = teller_for("persons:export", customer=int(own.removeprefix("cus_"), 16))
        path = f"/v1/customers/{customer}/export"

        assert reader.get(path, **REASON).json()["code"] == "scope_missing"
        assert bound.get(path, **REASON).json()["code"] == "customer_not_found"
        assert bound.get(f"/v1/customers/{own}/export", **REASON).status_code == 200
        missing = teller.get(f"/v1/customers/cus_{1 << 60:016x}/export", **REASON)
        assert missing.json()["code"] == "customer_not_found"


class TestReport:
    def test_names_every_rule_with_its_law(self, teller):
        """What is kept for ever says why it may be; what is not says for how long."""
        report = teller.get("/v1/retention").json()

        rules = {rule["name"]: rule for rule in report["rules"]}
        assert rules["persons"]["days"]["eu"] == 1827
        assert rules["requests"]["days"] == {"all": 90}
        for rule in rules.values():
            assert (rule["days"] is None) == (rule["action"] == "keep")
            assert rule["why"]

    def test_is_for_who_may_read_it(self, teller_for):
        """A hold tells of an investigation: customers and clients of one see none."""
        assert teller_for("audit:read").get("/v1/retention").json()["code"] == "scope_missing"
