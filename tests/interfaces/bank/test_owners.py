"""A client that is bound to one customer sees and touches that customer's objects only."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from scudo.identity import SCOPES
from scudo.kernel import Prefix, ids

ALL = SCOPES - {"clock:drive"}


@pytest.fixture
def world(teller, teller_for):
    """Ann's own client, and objects of Ann and of Bob."""
    ann, bob = teller.customer(), teller.customer()
    own, foreign = teller.account(ann, funds=100), teller.account(bob, funds=100)

    def authorise(account):
        body = {"account_id": account, "amount_minor": 10, "currency": "EUR"}
        return teller.post("/v1/card-authorisations", body).json()

    return {
        "client": teller_for(*ALL, customer=ids.parse(Prefix.CUSTOMER, ann)),
        "customers": (ann, bob),
        "accounts": (own, foreign),
        "payments": (authorise(own), authorise(foreign)),
    }


class TestReading:
    @pytest.mark.fault(44)
    @pytest.mark.parametrize(
        "path",
        [
            "/v1/customers/{customer}",
            "/v1/accounts/{account}",
            "/v1/accounts/{account}/balance",
            "/v1/accounts/{account}/transactions",
            "/v1/payments/{payment}",
            "/v1/decisions/{decision}/reason",
        ],
    )
    def test_shows_own_objects_and_hides_others_as_if_they_were_none(self, world, path):
        """An own object is shown; a foreign one and one that never was look the same."""
        client = world["client"]
        own, foreign = (
            path.format(
                customer=world["customers"][whose],
                account=world["accounts"][whose],
                payment=world["payments"][whose]["id"],
                decision=world["payments"][whose]["decision_id"],
            )
            for whose in (0, 1)
        )
        none = path.format(
            customer="cus_7fffffffffffffff",
            account="acc_7fffffffffffffff",
            payment="pay_7fffffffffffffff",
            decision="dec_7fffffffffffffff",
        )

        assert client.get(own).status_code == 200
        assert client.get(foreign).status_code == 404
        assert client.get(foreign).content == client.get(none).content

    def test_lists_own_objects_only(self, world):
        """Lists hold nothing of others, whichever way they are asked for."""
        client = world["client"]
        ann, bob = world["customers"]
        own, foreign = world["accounts"]

        assert [c["id"] for c in client.get("/v1/customers").json()["items"]] == [ann]
        listed = client.get("/v1/accounts", customer_id=ann).json()["items"]
        assert [a["id"] for a in listed] == [own]
        assert client.get("/v1/accounts", customer_id=bob).json()["items"] == []
        assert client.get("/v1/payments", account_id=foreign).json()["items"] == []
        payments = client.get("/v1/payments").json()["items"]
        assert [p["id"] for p in payments] == [world["payments"][0]["id"]]

    @pytest.mark.fault(48)
    def test_leaks_nothing_between_callers_that_share_connections(self, world, teller_for):
        """Many at once, over few connections to the database: each is shown its own, always."""
        customers = [ids.parse(Prefix.CUSTOMER, customer) for customer in world["customers"]]
        callers = [teller_for(*ALL, customer=customer) for customer in customers]

        def look(number: int) -> tuple[set[str], int]:
            whose = number % 2
            caller, other = callers[whose], world["payments"][1 - whose]["id"]
            shown = caller.get("/v1/customers").json()["items"]
            shown += caller.get("/v1/accounts", customer_id=world["customers"][whose]).json()[
                "items"
            ]
            return {thing["id"] for thing in shown}, caller.get(f"/v1/payments/{other}").status_code

        with ThreadPoolExecutor(16) as pool:
            seen = list(pool.map(look, range(200)))

        for number, (shown, status) in enumerate(seen):
            whose = number % 2
            assert shown == {world["customers"][whose], world["accounts"][whose]}
            assert status == 404

    @pytest.mark.parametrize(
        "path", ["/v1/events", "/v1/alerts", "/v1/decisions/{decision}", "/v1/journals/{journal}"]
    )
    def test_of_what_is_the_banks_is_refused(self, world, path):
        """The log, alerts, journals and full explanations are for the bank's own clients."""
        decision = world["payments"][0]["decision_id"]
        path = path.format(decision=decision, journal="jnl_0000000000000003")

        refused = world["client"].get(path)

        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")


class TestMoving:
    @pytest.mark.fault(44)
    def test_of_others_money_is_refused_as_if_it_were_none(self, world, teller):
        """Neither paying from a foreign account nor acting on a foreign payment is possible."""
        client = world["client"]
        own, foreign = world["accounts"]
        payment = world["payments"][1]["id"]
        on_card = f"/v1/card-authorisations/{payment}"
        body = {"amount_minor": 1, "currency": "EUR"}
        before = teller.balance(foreign)

        refused = [
            client.post("/v1/card-authorisations", {**body, "account_id": foreign}),
            client.post(
                "/v1/payments", {**body, "debit_account_id": foreign, "credit_account_id": own}
            ),
            client.post(f"{on_card}/captures", {"amount_minor": 1}),
            client.post(f"{on_card}/reversals", {}),
            client.post(f"{on_card}/increments", {"amount_minor": 1}),
            client.post(f"/v1/payments/{payment}/cancellation"),
            client.post(f"/v1/payments/{payment}/release", {"reason_code": "x"}),
            client.post(f"/v1/payments/{payment}/challenge", {"has_passed": True}),
        ]

        assert {r.status_code for r in refused} == {404}
        assert teller.balance(foreign) == before

    def test_of_own_money_works(self, world):
        """The own account pays, and the own authorisation is captured."""
        client = world["client"]
        own, foreign = world["accounts"]
        payment = world["payments"][0]["id"]
        body = {"amount_minor": 1, "currency": "EUR"}

        paid = client.post(
            "/v1/payments", {**body, "debit_account_id": own, "credit_account_id": foreign}
        )
        captured = client.post(f"/v1/card-authorisations/{payment}/captures", {"amount_minor": 10})

        assert (paid.status_code, captured.status_code) == (201, 200)

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/v1/customers", {"reference": "r", "kind": "person"}),
            ("/v1/accounts", {"customer_id": "cus_0000000000000001", "currency": "EUR"}),
            ("/v1/journals", {"mandate": "funding", "movements": []}),
            ("/v1/clients", {"name": "n", "scopes": ["accounts:read"]}),
        ],
    )
    def test_of_what_is_the_banks_is_refused(self, world, path, body):
        """Customers, accounts, journals and clients are made by the bank's own clients."""
        refused = world["client"].post(path, body)

        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")


class TestScopes:
    def test_are_needed_for_everything_but_the_system(self, teller_for, served):
        """A token without scopes opens nothing; the refusal names what is missing."""
        client = teller_for()
        document = client.get("/openapi.json").json()
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                where = path.replace("{", "").replace("}", "")
                answer = client.http.request(method, where)
                if "security" in operation:
                    scope = operation["security"][0]["bearer"][0]
                    assert answer.status_code == 403, where
                    assert scope in answer.json()["detail"]
                elif path.startswith("/v1/inbound/"):
                    # Others' systems have no token: they sign.
                    assert answer.status_code in {401, 415}, where
                else:
                    # Open to strangers: a form that is wrong may be refused, nobody is.
                    assert answer.status_code not in {401, 403}, where
