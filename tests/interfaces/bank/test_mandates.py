"""Mandates over HTTP: what the bank may move of its own accord, and what it may not."""

import pytest

from scudo.bootstrap import now_us
from scudo.kernel import DAY_US, rfc3339


def at(days: int) -> str:
    return rfc3339(now_us() + days * DAY_US)


def approve(teller, **terms):
    answer = teller.post("/v1/mandates", {"name": "card_fees", "owner": "finance"} | terms)
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()["id"]


def take(teller, mandate, account, amount, **more):
    """Post a fee from an account to the bank."""
    movement = {"kind": "post", "amount_minor": amount, "currency": "EUR"}
    movement |= {"debit_account_id": account} | more
    return teller.post("/v1/journals", {"mandate": mandate, "movements": [movement]})


@pytest.fixture
def account(teller):
    return teller.account(funds=1_000_00)


class TestApprove:
    def test_makes_a_mandate_that_is_listed_and_used(self, teller, account):
        """What was approved is shown, by whom too, and a transfer names it as its authority."""
        mandate = approve(teller, currency="EUR", amount_max_minor=50, debit_products=["current"])

        listed = {m["id"]: m for m in teller.get("/v1/mandates").json()["mandates"]}
        posted = take(teller, mandate, account, 50)

        shown = listed[mandate]
        assert (shown["version"], shown["amount_max_minor"]) == (1, 50)
        assert shown["debit_products"] == ["current"]
        assert shown["approved_by"].startswith("cli_")
        journal = teller.get(f"/v1/journals/{posted.json()['id']}").json()
        assert [transfer["authority"] for transfer in journal["transfers"]] == [mandate]

    def test_lists_what_the_bank_was_founded_with(self, teller, account):
        """The standing mandates are there before anybody uses them, and become records by use."""
        take(teller, "fees", account, 1)

        listed = {m["mandate"]: m for m in teller.get("/v1/mandates").json()["mandates"]}

        assert {"opening", "funding", "fees", "interest", "settlement", "adjustment"} <= set(listed)
        assert listed["fees"]["version"] >= 1
        assert listed["fees"]["approved_by"] is None

    def test_changes_a_mandate_from_then_on(self, teller, account):
        """The next version holds at once; what was posted before stays posted."""
        mandate = approve(teller)
        first = take(teller, mandate, account, 80)
        approve(teller, mandate=mandate, currency="EUR", amount_max_minor=10)

        assert first.status_code == 201
        assert take(teller, mandate, account, 80).json()["code"] == "mandate_exceeded"
        assert take(teller, mandate, account, 10).status_code == 201

    @pytest.mark.parametrize(
        ("terms", "code", "field"),
        [
            ({"amount_max_minor": 5}, "mandate_malformed", "currency"),
            ({"day_max_minor": 5}, "mandate_malformed", "currency"),
            ({"valid_from": at(2), "valid_to": at(1)}, "mandate_malformed", "valid_to"),
            ({"mandate": "mnd_0000000000000999"}, "mandate_unknown", "mandate"),
            ({"mandate": "bonus"}, "mandate_unknown", "mandate"),
            ({"valid_from": "soon"}, "instant_malformed", "valid_from"),
            ({"currency": "QQQ"}, "currency_unknown", None),
            ({"account_ids": ["acc_1"]}, "id_malformed", "account_ids"),
        ],
    )
    def test_refuses_terms_that_make_no_sense(self, teller, terms, code, field):
        """Each with its code and field; nothing is approved."""
        before = teller.get("/v1/mandates").json()

        answer = teller.post("/v1/mandates", {"name": "fees", "owner": "finance"} | terms)

        assert answer.json()["code"] == code
        if field is not None:
            assert answer.json()["field"] == field
        assert teller.get("/v1/mandates").json() == before

    def test_is_for_those_who_may(self, teller_for):
        """Who posts journals does not say what journals may do."""
        answer = teller_for("journals:write").post("/v1/mandates", {"name": "a", "owner": "b"})

        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


class TestPost:
    @pytest.mark.parametrize(
        ("terms", "code"),
        [
            ({"valid_from": at(1)}, "mandate_lapsed"),
            ({"valid_to": at(-1)}, "mandate_lapsed"),
            ({"currency": "USD"}, "mandate_exceeded"),
            ({"currency": "EUR", "amount_max_minor": 99}, "mandate_exceeded"),
            ({"currency": "EUR", "day_max_minor": 99}, "mandate_exceeded"),
            ({"debit_products": ["merchant"]}, "mandate_exceeded"),
            ({"credit_products": ["fee_income"]}, "mandate_exceeded"),
            ({"account_ids": ["acc_0000000000000001"]}, "mandate_exceeded"),
        ],
    )
    def test_refuses_what_the_mandate_does_not_cover(self, teller, account, terms, code):
        """Wrong time, currency, amount, product or account: nothing moves."""
        mandate = approve(teller, **terms)

        answer = take(teller, mandate, account, 100)

        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert teller.balance(account) == (1_000_00, 0, 1_000_00)

    @pytest.mark.parametrize("mandate", ["mnd_0000000000000999", "bonus", "FEES", ""])
    def test_refuses_a_mandate_that_there_is_not(self, teller, account, mandate):
        """By name or by id."""
        answer = take(teller, mandate, account, 100)

        assert (answer.status_code, answer.json()["code"]) == (422, "mandate_unknown")

    def test_counts_what_a_day_has_used(self, teller, account):
        """Postings, holds and raises count, captures of what is held and releases do not."""
        mandate = approve(teller, currency="EUR", day_max_minor=100)

        def move(**movement):
            body = {"mandate": mandate, "movements": [{"currency": "EUR"} | movement]}
            return teller.post("/v1/journals", body)

        held = move(
            kind="hold", amount_minor=40, debit_account_id=account, expires_at=at(9)
        ).json()["transfers"][0]
        assert move(kind="raise", amount_minor=20, hold_id=held).status_code == 201
        assert move(kind="capture", amount_minor=30, hold_id=held, is_final=False).is_success
        assert move(kind="release", hold_id=held).status_code == 201
        assert take(teller, mandate, account, 40).status_code == 201
        beyond = take(teller, mandate, account, 1)

        assert beyond.json()["code"] == "mandate_exceeded"
        assert beyond.json()["field"] == "movements[0].amount_minor"

    def test_uses_nothing_of_the_day_by_what_is_refused(self, teller, account):
        """A journal that fails in its second movement leaves the whole day's bound."""
        mandate = approve(teller, currency="EUR", day_max_minor=100)
        good = {
            "kind": "post",
            "amount_minor": 60,
            "currency": "EUR",
            "debit_account_id": account,
        }
        both = teller.post("/v1/journals", {"mandate": mandate, "movements": [good, good]})

        assert both.json()["code"] == "mandate_exceeded"
        assert take(teller, mandate, account, 100).status_code == 201
