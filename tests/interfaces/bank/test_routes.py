"""The bank over HTTP: the main journeys, and what is refused on the way."""

import asyncio
import itertools
import uuid

import httpx
import pytest

from scudo.client import AsyncClient, Client, ClientRefusal, types
from scudo.payments.routes.cards import is_card_number


def _pay(teller, debit, credit, amount, **more):
    body = {
        "debit_account_id": debit,
        "credit_account_id": credit,
        "amount_minor": amount,
        "currency": "EUR",
        **more,
    }
    return teller.post("/v1/payments", body)


def _authorise(teller, account, amount, *, key=None, **more):
    body = {"account_id": account, "amount_minor": amount, "currency": "EUR", **more}
    return teller.post("/v1/card-authorisations", body, key=key)


class TestCustomers:
    def test_are_registered_and_found(self, teller):
        """A customer is found by id and by the reference that was given."""
        customer = teller.customer()

        shown = teller.get(f"/v1/customers/{customer}").json()
        listed = teller.get("/v1/customers", reference=shown["reference"]).json()

        assert (shown["kind"], shown["country"]) == ("person", 756)
        assert listed == {"items": [shown], "next_cursor": None}

    def test_are_listed_page_by_page_without_gaps(self, teller):
        """Pages follow each other, each customer once, although others come meanwhile."""
        made = [teller.customer() for _ in range(5)]
        seen, cursor = [], None
        while True:
            page = teller.get("/v1/customers", limit=2, **({"cursor": cursor} if cursor else {}))
            seen += [item["id"] for item in page.json()["items"]]
            cursor = page.json()["next_cursor"]
            if cursor is None:
                break
            if len(seen) == 2:
                made.append(teller.customer())

        assert seen == sorted(set(seen))
        assert set(made) <= set(seen)

    def test_do_not_share_a_reference(self, teller):
        """A second customer of one reference is refused by name."""
        shown = teller.get(f"/v1/customers/{teller.customer()}").json()
        body = {"reference": shown["reference"], "kind": "business"}

        refused = teller.post("/v1/customers", body)

        assert (refused.status_code, refused.json()["code"]) == (409, "customer_reference_taken")
        assert refused.json()["field"] == "reference"


#: What no code is, and what looks like somebody's data.
PROSE = [
    "for Anna Rossi",
    "anna.rossi@example.org",
    "+39061234567",
    "caf\u00e9",
    "a\u200bb",
    "4111111111111111",
    "4111-1111-1111-1111",
    "card:4111_1111_1111_1111",
    "order/378282246310005",
    "IT60X0542811101000000123456",
    "ch93-0076-2011-6238-5295-7",
    "ch93.0076.2011.6238.5295.7",
]
CODES = ["crm-4711", "06aea78a-7510-4c51-8057-f7e43ae6edc7", "2026/11:0001_A.b", "4111111111111112"]


class TestReferences:
    @pytest.mark.parametrize("text", PROSE)
    @pytest.mark.parametrize("place", ["customer", "journal", "bulk", "release"])
    def test_are_codes_and_nobodys_data(self, teller, place, text):
        """What would stand in the log for ever is refused by one code, wherever it is sent."""
        account = teller.account()
        post = {"kind": "post", "amount_minor": 5, "currency": "EUR", "credit_account_id": account}
        journal = {"mandate": "funding", "movements": [post], "reference": text}
        item = {"idempotency_key": f"{uuid.uuid4()}", "journal": journal}

        answer = {
            "customer": lambda: teller.post("/v1/customers", {"reference": text, "kind": "person"}),
            "journal": lambda: teller.post("/v1/journals", journal),
            "bulk": lambda: teller.post("/v1/journals/bulk", {"items": [item]}),
            "release": lambda: teller.post(
                "/v1/payments/pay_0000000000000001/release", {"reason_code": text}
            ),
        }[place]()

        problem = answer.json()["results"][0]["body"] if place == "bulk" else answer.json()
        assert (problem["status"], problem["code"]) == (422, "reference_unfit")
        assert problem["field"] == ("reason_code" if place == "release" else "reference")
        assert text not in problem["detail"]
        assert teller.balance(account) == (0, 0, 0)

    @pytest.mark.parametrize("text", CODES)
    def test_may_be_any_code(self, teller, text):
        """Letters, digits and a few signs, also many digits that are no card number."""
        account = teller.account()
        post = {"kind": "post", "amount_minor": 5, "currency": "EUR", "credit_account_id": account}
        journal = {"mandate": "funding", "movements": [post], "reference": text}

        assert teller.post("/v1/journals", journal).status_code == 201
        made = teller.post("/v1/customers", {"reference": f"{text}/{account}", "kind": "person"})
        assert made.status_code == 201


class TestAccounts:
    def test_show_their_balance_and_how_it_came(self, teller):
        """Funding and payment are in the balance, and in the transactions behind it."""
        payer, payee = teller.account(funds=100_00), teller.account()
        assert _pay(teller, payer, payee, 30_00).status_code == 201

        entries = teller.get(f"/v1/accounts/{payer}/transactions").json()["items"]

        assert teller.balance(payer) == (70_00, 0, 70_00)
        assert [(e["version"], e["amount_minor"], e["balance_minor"]) for e in entries] == [
            (2, -30_00, 70_00),
            (1, 100_00, 100_00),
        ]
        assert entries[0]["authority"].startswith("dec_")
        assert entries[1]["authority"] == "funding"

    def test_list_transactions_page_by_page(self, teller):
        """Following the cursor shows each movement once, newest first."""
        account = teller.account()
        for amount in range(1, 6):
            teller.fund(account, amount)
        path, seen, cursor = f"/v1/accounts/{account}/transactions", [], None
        for _ in range(3):
            query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
            page = teller.get(path, **query).json()
            seen += [item["amount_minor"] for item in page["items"]]
            cursor = page["next_cursor"]

        assert seen == [5, 4, 3, 2, 1]
        assert cursor is None

    def test_close_when_they_are_empty_and_not_before(self, teller):
        """An account with money stays open; an empty one closes and takes no more."""
        full, empty = teller.account(funds=1), teller.account()

        refused = teller.post(f"/v1/accounts/{full}/closure")
        closed = teller.post(f"/v1/accounts/{empty}/closure")
        late = teller.fund(empty, 1)

        assert (refused.status_code, refused.json()["code"]) == (409, "account_not_empty")
        assert closed.json() == {"id": empty, "status": "closed"}
        assert (late.status_code, late.json()["code"]) == (422, "account_closed")
        assert late.json()["field"].startswith("movements[0]")

    @pytest.mark.parametrize("currency", ["QQQ", "eur", "DEM", "€€€"])
    def test_need_a_currency_in_use(self, teller, currency):
        """Anything but a currency of ISO 4217 is refused."""
        body = {"customer_id": teller.customer(), "currency": currency}

        refused = teller.post("/v1/accounts", body)

        assert (refused.status_code, refused.json()["code"]) == (400, "currency_unknown")

    def test_need_a_customer(self, teller):
        """Nobody can own no account."""
        body = {"customer_id": "cus_7fffffffffffffff", "currency": "EUR"}

        refused = teller.post("/v1/accounts", body)

        assert (refused.status_code, refused.json()["code"]) == (404, "customer_not_found")


class TestCards:
    def test_hold_capture_and_reverse(self, teller):
        """An authorisation sets money aside, captures take it, a reversal frees the rest."""
        account = teller.account(funds=100_00)
        payment = _authorise(teller, account, 50_00, card="c", merchant="m").json()
        of_one = f"/v1/card-authorisations/{payment['id']}"
        assert teller.balance(account) == (100_00, 50_00, 50_00)

        raised = teller.post(f"{of_one}/increments", {"amount_minor": 10_00})
        captured = teller.post(f"{of_one}/captures", {"amount_minor": 20_00, "is_final": False})
        reversed_ = teller.post(f"{of_one}/reversals", {})

        assert (raised.status_code, raised.json()["amount_minor"]) == (200, 60_00)
        assert captured.json()["captured_minor"] == 20_00
        assert reversed_.json()["status"] == "captured"
        assert teller.balance(account) == (80_00, 0, 80_00)
        shown = teller.get(f"/v1/payments/{payment['id']}").json()
        assert (shown["kind"], shown["status"]) == ("card", "captured")

    def test_numbers_are_refused_and_appear_nowhere(self, teller):
        """A card number is no reference: it is refused, and no answer repeats it."""
        account = teller.account(funds=1_00)

        refused = _authorise(teller, account, 1, card="4111 1111 1111 1111")

        assert (refused.status_code, refused.json()["code"]) == (422, "card_number_refused")
        assert "4111" not in refused.text

    @pytest.mark.parametrize(
        ("reference", "is_number"),
        [("4111111111111111", True), ("5500-0055-5555-5559", True), ("4111111111111112", False),
         ("411111111111", False), ("card-4111111111111111", False), ("", False)],
    )  # fmt: skip
    def test_numbers_are_told_by_length_and_check_digit(self, reference, is_number):
        """13 to 19 digits with a right check digit are a card number, nothing else is."""
        assert is_card_number(reference) is is_number


class TestPayments:
    @pytest.mark.parametrize("amount", [0, -1, -(1 << 63)])
    def test_need_a_positive_amount(self, teller, amount):
        """Zero and below are refused, nothing moves, and the refusal is in the log."""
        payer, payee = teller.account(funds=5), teller.account()
        before = _last_position(teller)

        refused = _pay(teller, payer, payee, amount)

        assert (refused.status_code, refused.json()["code"]) == (422, "amount_out_of_range")
        assert teller.balance(payer) == (5, 0, 5)
        events = teller.get("/v1/events", after=before).json()["items"]
        assert [e["type"] for e in events] == ["payments.payment.refused.v1"]

    def test_need_funds(self, teller):
        """More than is available is refused; the payment is kept as refused."""
        payer, payee = teller.account(funds=5), teller.account()

        refused = _pay(teller, payer, payee, 6)

        assert (refused.status_code, refused.json()["code"]) == (422, "insufficient_funds")
        listed = teller.get("/v1/payments", account_id=payer).json()["items"]
        assert [(p["status"], p["captured_minor"]) for p in listed] == [("refused", 0)]

    def test_happen_once_per_key(self, teller):
        """The same key and body give the same bytes; another body is refused by its field."""
        payer = teller.account(funds=100)
        key = f"{uuid.uuid4()}"

        first = _authorise(teller, payer, 10, key=key, capture=True)
        again = _authorise(teller, payer, 10, key=key, capture=True)
        other = _authorise(teller, payer, 11, key=key, capture=True)

        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        assert teller.balance(payer) == (90, 0, 90)
        asked = teller.get("/v1/answers", idempotency_key=key).json()
        assert asked == {"status": 201, "body": first.json()}

    def test_refusals_are_remembered_byte_for_byte(self, teller):
        """A refusal of the business stands for its key although the funds came later."""
        payer = teller.account()
        key = f"{uuid.uuid4()}"
        first = _authorise(teller, payer, 10, key=key)
        teller.fund(payer, 100)

        again = _authorise(teller, payer, 10, key=key)

        assert first.status_code == 422
        assert (again.status_code, again.content) == (first.status_code, first.content)

    def test_keys_of_others_are_not_asked(self, teller, teller_for):
        """A key belongs to the client that used it."""
        key = f"{uuid.uuid4()}"
        _authorise(teller, teller.account(funds=9), 1, key=key)

        asked = teller_for("payments:read").get("/v1/answers", idempotency_key=key)

        assert (asked.status_code, asked.json()["code"]) == (404, "answer_not_found")


class TestJournals:
    def test_are_all_or_nothing(self, teller):
        """When one movement cannot be posted, none is, and the field names it."""
        account = teller.account()
        good = {"kind": "post", "amount_minor": 5, "currency": "EUR", "credit_account_id": account}
        bad = {**good, "currency": "CHF"}

        refused = teller.post("/v1/journals", {"mandate": "funding", "movements": [good, bad]})

        assert refused.status_code == 422
        assert refused.json()["field"] == "movements[1].currency"
        assert teller.balance(account) == (0, 0, 0)

    def test_hold_and_capture_in_one(self, teller):
        """A movement may refer to a hold that an earlier one of the journal placed."""
        account = teller.account(funds=100)
        hold = {"kind": "hold", "amount_minor": 60, "currency": "EUR", "debit_account_id": account,
                "expires_at": "2099-01-01T00:00:00Z"}  # fmt: skip
        capture = {"kind": "capture", "amount_minor": 40, "hold_of": 0, "is_final": True}

        posted = teller.post("/v1/journals", {"mandate": "fees", "movements": [hold, capture]})

        assert posted.status_code == 201, posted.text
        assert teller.balance(account) == (60, 0, 60)
        shown = teller.get(f"/v1/journals/{posted.json()['id']}").json()
        assert [t["kind"] for t in shown["transfers"]] == ["hold", "capture", "release"]

    def test_in_bulk_stand_each_for_itself(self, teller):
        """Each item has its own result under its own key, and happens once."""
        account = teller.account()

        def item(amount, currency="EUR"):
            movement = {"kind": "post", "amount_minor": amount, "currency": currency,
                        "credit_account_id": account}  # fmt: skip
            journal = {"mandate": "funding", "movements": [movement]}
            return {"idempotency_key": f"{uuid.uuid4()}", "journal": journal}

        items = [item(1), item(2, "CHF"), item(4), item(8, "QQQ")]
        first = teller.post("/v1/journals/bulk", {"items": items}).json()["results"]
        again = teller.post("/v1/journals/bulk", {"items": items}).json()["results"]

        assert [r["status"] for r in first] == [201, 422, 201, 400]
        assert [r["idempotency_key"] for r in first] == [i["idempotency_key"] for i in items]
        assert again == first
        assert teller.balance(account)[0] == 5

    @pytest.mark.parametrize("number", ["jnl_0000000000000001", "jnl_7fffffffffffffff"])
    def test_that_are_none_are_not_found(self, teller, number):
        """The position of another entry, or of none, is no journal."""
        teller.customer()

        assert teller.get(f"/v1/journals/{number}").status_code == 404


class TestEvents:
    def test_are_gapless_and_in_order(self, teller):
        """Read in pages of any size, positions have no gap and time only grows."""
        teller.account(funds=1)
        for limit in (1, 3, 500):
            seen, after = [], 0
            while items := teller.get("/v1/events", after=after, limit=limit).json()["items"]:
                seen += items
                after = items[-1]["position"]
                if len(seen) > 40:
                    break

            assert [e["position"] for e in seen] == list(range(1, len(seen) + 1))
            assert all(a["time"] < b["time"] for a, b in itertools.pairwise(seen))

    def test_end_where_the_log_ends(self, teller):
        """After the latest event there is none, and the place to go on is the same."""
        last = _last_position(teller)

        page = teller.get("/v1/events", after=last).json()

        assert page == {"items": [], "next_after": last}
        assert teller.get("/v1/events", after=(1 << 63) - 2).json()["items"] == []


def _last_position(teller):
    text = teller.get("/metrics").text
    line = next(line for line in text.splitlines() if line.startswith("scudo_log_position "))
    return int(float(line.split()[1]))


class TestDecisions:
    def test_are_explained_to_the_bank_and_coarsely_to_others(self, teller):
        """The full explanation names inputs as tokens; the public reason is one code."""
        account = teller.account(funds=100)
        paid = _authorise(teller, account, 10, device="my phone", ip="192.0.2.1").json()
        decision = paid["decision_id"]

        full = teller.get(f"/v1/decisions/{decision}").json()
        coarse = teller.get(f"/v1/decisions/{decision}/reason").json()

        assert full["payment_id"] == paid["id"]
        assert full["inputs"]["device"].startswith("dev_")
        assert full["sentences"]
        assert len(full["features"]) >= 24
        assert set(coarse) == {"id", "payment_id", "reason"}
        assert "192.0.2.1" not in str(full)
        assert "my phone" not in str(full)

    def test_that_are_none_are_not_found(self, teller):
        """An id that no decision has is refused."""
        refused = teller.get("/v1/decisions/dec_7fffffffffffffff")

        assert (refused.status_code, refused.json()["code"]) == (404, "decision_not_found")


class TestClients:
    def test_get_a_token_that_works_until_it_is_revoked(self, teller, served):
        """A new client may do what its scopes say, and nothing once it is revoked."""
        name = f"till-{uuid.uuid4()}"
        body = {"name": name, "scopes": ["accounts:read"]}
        account = teller.account()
        token = teller.post("/v1/clients", body).json()["token"]

        till = served.teller(token)
        with till.http:
            assert till.balance(account) == (0, 0, 0)
            assert till.get("/v1/payments").status_code == 403
            assert teller.http.delete(f"/v1/clients/{name}").status_code == 204
            assert till.get(f"/v1/accounts/{account}").json()["code"] == "token_unknown"
        assert teller.http.delete(f"/v1/clients/{name}").status_code == 404

    def test_get_no_scope_that_the_giver_lacks(self, teller):
        """Nobody hands out more than they have."""
        body = {"name": "driver", "scopes": ["clock:drive"]}

        refused = teller.post("/v1/clients", body)

        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")


class TestTypedClient:
    def test_makes_the_whole_journey(self, served):
        """The generated client registers, opens, funds, pays and reads its own events."""
        with Client(served.url, token=served.token) as bank:
            new = types.NewCustomer(reference=f"{uuid.uuid4()}", kind="person")
            customer = bank.register_customer(new).id
            one, two = (
                bank.open_account(types.NewAccount(customer_id=customer, currency="EUR")).id
                for _ in range(2)
            )
            movement = types.NewMovement(
                kind="post", amount_minor=50, currency="EUR", credit_account_id=one
            )
            bank.post_journal(types.NewJournal(mandate="funding", movements=(movement,)))
            paid = bank.pay(
                types.NewPayment(
                    debit_account_id=one, credit_account_id=two, amount_minor=20, currency="EUR"
                )
            )

            assert bank.get_payment(paid.id).status == "settled"
            assert bank.get_balance(two).available_minor == 20
            assert [a.id for a in bank.iterate_accounts(customer_id=customer, limit=1)] == [
                one,
                two,
            ]
            assert any(e.subject == paid.id for e in bank.iterate_events(limit=500))
            assert "scudo_http_requests_total" in bank.get_metrics()
            assert bank.get_openapi()["openapi"] == "3.1.0"

    def test_raises_refusals_with_all_they_say(self, served):
        """A refusal comes as an exception with code, status, field and next step."""
        with (
            Client(served.url, token=served.token) as bank,
            pytest.raises(ClientRefusal) as refused,
        ):
            bank.get_account("acc_nonsense")

        assert (refused.value.code, refused.value.status) == ("id_malformed", 400)
        assert (refused.value.field, refused.value.retryable) == ("account_id", False)

    def test_awaits_as_well(self, served):
        """The awaiting client reads what the blocking one would."""

        async def read():
            async with AsyncClient(served.url, token=served.token) as bank:
                events = [event async for event in bank.iterate_events(limit=500)]
                return events, await bank.get_readiness()

        events, ready = asyncio.run(read())

        assert [event.position for event in events] == list(range(1, len(events) + 1))
        assert ready.status == "ready"


class TestTheHotPath:
    def test_survives_many_at_once(self, served, teller):
        """Concurrent orders on one account are each decided once; the sum is exact."""
        account = teller.account(funds=1_000)
        body = {"account_id": account, "amount_minor": 7, "currency": "EUR", "capture": True}
        headers = {"authorization": f"Bearer {served.token}"}

        async def order():
            async with httpx.AsyncClient(base_url=served.url, headers=headers) as http:
                posts = [
                    http.post(
                        "/v1/card-authorisations",
                        json=body,
                        headers={"idempotency-key": f"{uuid.uuid4()}"},
                    )
                    for _ in range(40)
                ]
                return await asyncio.gather(*posts)

        answers = [a.json() for a in asyncio.run(order())]

        taken = sum(7 for a in answers if a.get("status") == "captured")
        assert teller.balance(account)[0] == 1_000 - taken
        assert taken > 0
