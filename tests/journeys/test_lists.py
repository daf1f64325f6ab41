"""Lists over HTTP: two people put a merchant on one, and the next payment meets it."""

import time

import psycopg
from tests.bureau import Bureau
from tests.interfaces.bank.conftest import served  # noqa: F401 - a fixture
from tests.journeys.test_money_by_two import rest

from scudo.auditing import verify_bank
from scudo.bootstrap import CATALOGUE
from scudo.kernel import Prefix, ids, rfc3339


def card_payment(owner, account, merchant):
    body = {"account_id": account, "amount_minor": 500, "currency": "EUR", "merchant": merchant}
    return owner.post("/v1/card-authorisations", body).json()


class TestList:
    def test_blocks_from_the_next_payment_to_its_end(self, served):  # noqa: F811 - the fixture
        """Shown with who and until when; recorded in the decision; over when two people say so."""
        bureau = Bureau(served)
        owner = served.teller(served.token)
        with bureau.http, owner.http:
            anna, bela = bureau.founders()
            ines, carla = bureau.hire(anna, "ines"), bureau.hire(bela, "carla")
            bureau.grant(anna, bela, ines, "investigator")
            bureau.grant(anna, bela, carla, "compliance")
            rest(served, carla)
            account = owner.account(funds=100_000)
            before = card_payment(owner, account, "shop")
            inputs = owner.get(f"/v1/decisions/{before['decision_id']}").json()["inputs"]
            merchant = inputs["merchant"]
            until = rfc3339((time.time_ns() // 1_000) + 3_600_000_000)
            entry = {"listed": "deny", "member": "merchant", "value": merchant}

            proposed = ines.propose("set_list_entry", **entry, until=until)
            assert proposed.status_code == 201, proposed.text
            approved = carla.approve(proposed.json()["id"])
            denied = card_payment(owner, account, "shop")
            other = card_payment(owner, account, "another shop")
            decision = owner.get(f"/v1/decisions/{denied['decision_id']}").json()
            (shown,) = owner.get("/v1/lists").json()["items"]
            off = ines.propose("set_list_entry", **entry, until=None).json()["id"]
            assert carla.approve(off).status_code == 200
            after = card_payment(owner, account, "shop")
            replayed = owner.get(f"/v1/decisions/{denied['decision_id']}").json()

        assert before["status"] == after["status"] == other["status"] == "authorised"
        assert inputs["listed"] == ""
        assert approved.status_code == 200, approved.text
        assert denied["status"] == "blocked"
        assert decision["inputs"]["listed"] == "deny:merchant"
        assert "on_deny_list" in {reason["rule"] for reason in decision["reasons"]}
        assert (shown["value"], shown["until"], shown["is_over"]) == (merchant, until, False)
        assert shown["approval_id"] == proposed.json()["id"]
        # What was decided then is explained as it was then, whatever stands on the list now.
        assert replayed == decision
        assert ids.parse(Prefix.MERCHANT, merchant)
        with psycopg.connect(served.bank.dsn.read, autocommit=True) as connection:
            verdict = verify_bank(connection, catalogue=CATALOGUE, gentle=False)
        assert verdict.ok, verdict.first_bad
