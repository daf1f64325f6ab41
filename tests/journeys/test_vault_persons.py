"""Personal data over HTTP: kept by the vault, shown for a purpose, and always recorded."""

import contextlib
import uuid

import pytest
from tests.journeys.conftest import ADA

ONE_CARD = "/v1/cards/crf_0000000000000001"
CARE = {"purpose": "customer_care", "reason": "case:4711"}


def put(teller, customer, **fields):
    return teller.http.put(f"/v1/customers/{customer}/person", json=fields)


def read(teller, customer, *fields, **why):
    body = {"fields": fields, **CARE, **why}
    return teller.http.post(f"/v1/customers/{customer}/person/read", json=body)


def search(teller, field, value):
    return teller.http.post("/v1/persons/search", json={"field": field, "value": value, **CARE})


def erase(teller, customer, reason="request:1"):
    return teller.http.delete(f"/v1/customers/{customer}/person", params={"reason": reason})


def acts_on(bank, subject):
    """What the audit trail has of a subject: act, result and reason of each."""
    acts = bank.events("governance.act.recorded.v1")
    return [(a["act"], a["result"], a["reason"]) for a in acts if a["object"] == subject]


@pytest.fixture
def teller_for(shared):
    with contextlib.ExitStack() as stack:

        def make(*scopes, customer=None):
            number = None if customer is None else int(customer[4:], 16)
            teller = shared.teller(shared.token_for(*scopes, customer=number))
            stack.enter_context(contextlib.closing(teller.http))
            return teller

        yield make


class TestPerson:
    def test_is_kept_and_shown_for_a_purpose(self, shared, ada):
        """What was put is read back; the log has the fact, the age band, and no value."""
        customer = ada.customer()

        kept = put(ada, customer, **ADA)
        shown = read(ada, customer, "email", "given_name", "phone")

        # She was born in 1990: which band it is depends on the day this runs.
        assert kept.json()["age_band"] in {"35-49", "50-64", "65+"}
        assert kept.json()["fields"] == list(ADA)
        assert shown.json()["fields"] == {"email": ADA["email"], "given_name": "Ada"}
        (fact,) = [e for e in shared.events("identity.person.kept.v1") if e["customer"] == customer]
        assert fact["fields"] == list(ADA)
        assert fact["age_band"] == kept.json()["age_band"]

    def test_leaves_a_trace_of_every_read(self, shared, ada):
        """Each field that was asked for is in the log: by whom, of whom, why, with what result."""
        customer = ada.customer()
        put(ada, customer, **ADA)

        read(ada, customer, "email", "phone")
        refused = read(ada, ada.customer(), "email")

        assert acts_on(shared, customer) == [
            ("vault.read_email", "done", "customer_care:case:4711"),
            ("vault.read_phone", "absent", "customer_care:case:4711"),
        ]
        assert refused.json()["code"] == "vault_person_not_found"
        acts = shared.events("governance.act.recorded.v1")
        assert acts[-1]["result"] == "vault_person_not_found"
        assert acts[-1]["network"].startswith("ip_")
        assert {act["actor_kind"] for act in acts} == {1}

    def test_is_found_by_what_is_searched(self, shared, ada):
        """Whoever has the value is found however it is written; nobody is an answer as well."""
        customer, email = ada.customer(), f"{uuid.uuid4()}@example.org"
        put(ada, customer, email=email)

        found = search(ada, "email", f" {email.upper()} ")
        absent = search(ada, "email", "nobody@example.org")

        assert found.json() == {"customer_ids": [customer]}
        assert (absent.status_code, absent.json()) == (200, {"customer_ids": []})
        assert dict(found.headers).keys() == dict(absent.headers).keys()
        results = [a["result"] for a in shared.events("governance.act.recorded.v1")]
        assert results[-2:] == ["done", "absent"]

    def test_is_erased_and_stays_so(self, shared, ada):
        """The answer says what was destroyed; twice is no harm; nothing is kept of them again."""
        customer = ada.customer()
        put(ada, customer, **ADA)
        ada.post(
            "/v1/cards",
            {"number": "4012888888881881", "expiry": "2030-01", "customer_id": customer},
        )

        first, second = erase(ada, customer), erase(ada, customer)

        assert first.json()["destroyed"] == {
            "keys": 1,
            "fields": 4,
            "look_ups": 1,
            "links": 1,
            "cards": 1,
            "texts": 0,
        }
        assert set(second.json()["destroyed"].values()) == {0}
        assert second.json()["erased_at"] == first.json()["erased_at"]
        assert read(ada, customer, "email").json()["code"] == "vault_person_not_found"
        assert put(ada, customer, **ADA).json()["code"] == "vault_person_erased"
        facts = [e for e in shared.events("identity.person.erased.v1") if e["customer"] == customer]
        assert [fact["reason"] for fact in facts] == ["request:1", "request:1"]

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({}, "vault_field_undeclared"),
            ({"shoe_size": "42"}, "body_invalid"),
            ({"totp_seed": "secret"}, "body_invalid"),
            ({"birth_date": "10.12.1990"}, "vault_value_unfit"),
            ({"birth_date": "19901210"}, "vault_value_unfit"),
            ({"email": "   "}, "vault_value_unfit"),
            ({"given_name": "x" * 2_001}, "body_invalid"),
        ],
    )
    def test_is_not_kept_in_another_form(self, ada, fields, code):
        """What is not declared, or is no value of its field, is refused and not repeated."""
        answer = put(ada, ada.customer(), **fields)

        assert answer.json()["code"] == code
        assert "secret" not in answer.text

    @pytest.mark.parametrize("purpose", ["network", "authentication", "curiosity"])
    def test_is_not_shown_for_another_purpose(self, ada, purpose):
        """What only parts of the bank do is no purpose of anybody who asks over HTTP."""
        customer = ada.customer()
        put(ada, customer, **ADA)

        assert read(ada, customer, "email", purpose=purpose).json()["code"] == "body_invalid"
        assert read(ada, customer, "totp_seed").json()["code"] == "body_invalid"
        assert read(ada, customer, "email", reason="Because I can").status_code == 400

    @pytest.mark.parametrize("reason", ["4111111111111111", "it60x0542811101000000123456"])
    def test_is_not_shown_for_a_reason_that_is_somebodys_data(self, ada, reason):
        """A reason stands in the log for ever, so it is no card number and no account."""
        customer = ada.customer()
        put(ada, customer, **ADA)

        said = [read(ada, customer, "email", reason=reason), erase(ada, customer, reason=reason)]

        assert [answer.json()["code"] for answer in said] == ["reference_unfit"] * 2
        assert read(ada, customer, "email").json()["fields"] == {"email": ADA["email"]}


class TestScopes:
    @pytest.mark.parametrize(
        ("scope", "ask"),
        [
            pytest.param("persons:write", lambda t, c: put(t, c, **ADA), id="put"),
            pytest.param("persons:read", lambda t, c: read(t, c, "email"), id="read"),
            pytest.param("persons:read", lambda t, _: search(t, "email", "a@b.c"), id="search"),
            pytest.param("persons:erase", erase, id="erase"),
            pytest.param("cards:write", lambda t, _: t.post("/v1/cards", {}), id="put card"),
            pytest.param("cards:read", lambda t, _: t.get(ONE_CARD, **CARE), id="show card"),
        ],
    )
    def test_are_needed(self, ada, teller_for, scope, ask):
        """Each act has a scope of its own; every other one together does not give it."""
        every = {"persons:read", "persons:write", "persons:erase", "cards:write", "cards:read"}
        customer = ada.customer()

        answer = ask(teller_for(*(every - {scope}), "customers:read"), customer)

        assert answer.json()["code"] == "scope_missing"

    def test_of_a_bound_client_reach_its_customer_only(self, ada, teller_for):
        """A foreign customer and a foreign card are answered as ones that are not there."""
        mine, other = ada.customer(), ada.customer()
        put(ada, other, **ADA)
        put(ada, mine, **ADA)
        numbers = ("5555555555554444", "5105105105105100")
        cards = [
            ada.post(
                "/v1/cards", {"number": number, "expiry": "2030-01", "customer_id": customer}
            ).json()["id"]
            for number, customer in zip(numbers, (mine, other), strict=True)
        ]
        scopes = ("persons:read", "persons:write", "persons:erase", "cards:read", "cards:write")
        bound = teller_for(*scopes, customer=mine)
        absent = "cus_00000000000fffff"

        for ask in (lambda c: put(bound, c, **ADA), lambda c: read(bound, c, "email")):
            assert ask(mine).status_code == 200
            assert ask(other).json() == ask(absent).json()
            assert ask(other).json()["code"] == "customer_not_found"
        assert erase(bound, other).json()["code"] == "customer_not_found"
        assert search(bound, "email", ADA["email"]).json()["code"] == "scope_missing"
        assert bound.get(f"/v1/cards/{cards[0]}", **CARE).json()["last_four"] == "4444"
        foreign = bound.get(f"/v1/cards/{cards[1]}", **CARE)
        nowhere = bound.get("/v1/cards/crf_00000000000fffff", **CARE)
        assert foreign.json() == nowhere.json()
        assert foreign.json()["code"] == "card_not_found"
        own = bound.post("/v1/cards", {"number": "4222222222222", "expiry": "2030-01"}).json()
        assert bound.get(f"/v1/cards/{own['id']}", **CARE).json()["first_six"] == "422222"


class TestCard:
    def test_is_kept_once_and_shown_by_halves(self, shared, ada):
        """The same number gives the same reference and token; only its ends are shown."""
        number = "4111111111111111"
        first = ada.post("/v1/cards", {"number": number, "expiry": "2030-01"})
        again = ada.post("/v1/cards", {"number": number, "expiry": "2031-01"})

        assert (first.status_code, first.json()) == (201, again.json())
        card = first.json()["id"]
        shown = ada.get(f"/v1/cards/{card}", **CARE)
        assert shown.json() == {"id": card, "first_six": "411111", "last_four": "1111"}
        assert acts_on(shared, card)[-1][:2] == ("vault.show_card_card_number", "done")
        facts = [e for e in shared.events("identity.card.kept.v1") if e["card"] == card]
        assert [fact["customer"] for fact in facts] == [None, None]

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ({"number": "4111111111111112", "expiry": "2030-01"}, "card_number_invalid"),
            ({"number": "4111111111111111", "expiry": "2030-13"}, "card_number_invalid"),
            ({"number": "4111111111111111", "expiry": "2030-01", "cvv": "123"}, "body_invalid"),
            (
                {
                    "number": "378282246310005",
                    "expiry": "2030-01",
                    "customer_id": "cus_00000000000fffff",
                },
                "customer_not_found",
            ),
        ],
    )
    def test_is_not_kept_in_another_form(self, ada, body, code):
        """A number that is none, a month that is none, a CVV, and a customer who is none."""
        answer = ada.post("/v1/cards", body)

        assert answer.json()["code"] == code
        assert body["number"] not in answer.text

    def test_of_one_is_not_anothers(self, ada):
        """A number that is kept as one customer's is not kept as another's."""
        one, other = ada.customer(), ada.customer()
        for customer in (one, other):
            put(ada, customer, **ADA)
        body = {"number": "6011111111111117", "expiry": "2030-01"}

        assert ada.post("/v1/cards", {**body, "customer_id": one}).status_code == 201
        assert ada.post("/v1/cards", {**body, "customer_id": other}).json()["code"] == "card_taken"

    def test_is_shown_for_a_purpose_of_cards_only(self, ada):
        """Who may see personal data for a message may not see a card for it."""
        card = ada.post("/v1/cards", {"number": "30569309025904", "expiry": "2030-01"}).json()

        said = [
            ada.get(f"/v1/cards/{card['id']}", purpose=purpose, reason="case:1").json()["code"]
            for purpose in ("notification", "curiosity", "No such")
        ]
        assert said == ["vault_forbidden", "vault_field_undeclared", "query_invalid"]
