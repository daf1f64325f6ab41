"""Money that one person does not let go alone: overrides of holds, and refunds, over HTTP."""

import contextlib
import uuid

import msgspec
import psycopg
import pytest
from tests.bureau import Bureau
from tests.interfaces.bank.conftest import served  # noqa: F401 - a fixture

from scudo.auditing import verify_bank
from scudo.bootstrap import CATALOGUE
from scudo.kernel import Prefix, ids

pytestmark = pytest.mark.usefixtures("served")


@pytest.fixture(scope="module")
def bureau(served):  # noqa: F811 - the fixture
    found = Bureau(served)
    with contextlib.closing(found.http):
        yield found


@pytest.fixture(scope="module")
def owner(served):  # noqa: F811 - the fixture
    """The installation's own client, that may do everything but drive the clock."""
    found = served.teller(served.token)
    with contextlib.closing(found.http):
        yield found


@pytest.fixture(scope="module")
def people(bureau):
    """The two officers, and somebody who sees to compliance."""
    anna, bela = bureau.founders()
    dora = bureau.hire(anna, "dora")
    bureau.grant(anna, bela, dora, "compliance")
    return anna, bela, dora


def diff(clerk, approval):
    shown = clerk.get(f"/v1/approvals/{approval}").json()
    return msgspec.json.decode(shown["document"])["diff"]


@pytest.fixture(scope="module")
def investigator(bureau, people):
    anna, bela, *_ = people
    clerk = bureau.hire(bela, "ines")
    bureau.grant(anna, bela, clerk, "investigator")
    return clerk


@pytest.fixture(scope="module")
def compliant(bureau, people, served):  # noqa: F811 - the fixture
    """Somebody of compliance whose 72 hours are over."""
    clerk = people[2]
    rest(served, clerk)
    return clerk


def rest(served, clerk):  # noqa: F811 - the fixture
    """Let an operator's access be as old as it has to be."""
    register = served.bank.rooms.authority.staff.register
    number = ids.parse(Prefix.OPERATOR, clerk.id)

    async def age():
        operator = register.get(number)
        keys = tuple(msgspec.structs.replace(key, enrolled_at=1) for key in operator.keys)
        aged = msgspec.structs.replace(operator, keys=keys, enrolled_at=1)
        register.restore(number, (register.version(number), aged))

    served.run(age())


def held(owner, amount, funds):
    """A payment to a new beneficiary, that is held."""
    accounts = owner.account(funds=funds), owner.account()
    body = {
        "debit_account_id": accounts[0],
        "credit_account_id": accounts[1],
        "amount_minor": amount,
        "currency": "EUR",
    }
    paid = owner.post("/v1/payments", body)
    assert paid.json()["status"] == "held", paid.text
    return paid.json()["id"]


def release(clerk, payment):
    headers = {"authorization": f"Bearer {clerk.token}", "idempotency-key": f"{uuid.uuid4()}"}
    body = {"reason_code": "customer_called"}
    return clerk.http.post(f"/v1/payments/{payment}/release", json=body, headers=headers)


class TestOverride:
    @pytest.mark.parametrize(
        ("amount", "funds", "status"),
        [(1_000_000, 9_000_000, 200), (1_000_001, 9_000_000, 403), (290_000, 300_000, 403)],
    )
    def test_is_one_persons_up_to_an_amount_and_some_reasons(
        self, owner, investigator, amount, funds, status
    ):
        """More than the file says, or against a reason that it names, is two people's."""
        payment = held(owner, amount, funds)

        answer = release(investigator, payment)

        assert answer.status_code == status, answer.text
        if status == 403:
            assert answer.json()["code"] == "second_person_needed"
            assert owner.get(f"/v1/payments/{payment}").json()["status"] == "held"

    def test_is_remembered_by_its_reasons_when_memory_is_not(self, owner, investigator, served):  # noqa: F811 - the fixture
        """Loaded anew, a held payment is held for what its decision says."""
        payment = held(owner, 290_000, 300_000)
        number = ids.parse(Prefix.PAYMENT, payment)

        async def forget():
            del served.bank.rooms.payments.payments[number]

        served.run(forget())

        assert release(investigator, payment).json()["code"] == "second_person_needed"

    def test_is_carried_out_by_two(self, owner, investigator, compliant):
        """The proposal says what holds it; approved, the gate decides again and it is settled."""
        payment = held(owner, 1_500_000, 9_000_000)
        change = {"payment_id": payment, "reason_code": "customer_called"}
        proposed = investigator.propose("override_hold", **change)
        assert proposed.status_code == 201, proposed.text
        approval = proposed.json()["id"]

        own = investigator.approve(approval)
        approved = compliant.approve(approval)
        after = owner.get(f"/v1/payments/{payment}").json()
        again = investigator.propose("override_hold", **change)

        assert diff(investigator, approval)["held_for"] == [["new_beneficiary"], []]
        assert own.json()["code"] in {"permission_missing", "approved_by_proposer"}
        assert approved.status_code == 200, approved.text
        assert after["status"] == "settled"
        assert (again.status_code, again.json()["code"]) == (409, "payment_state_conflict")

    def test_is_not_of_what_has_moved_on(self, owner, investigator, compliant):
        """Cancelled meanwhile, the payment is not what was proposed; unknown, there is none."""
        payment = held(owner, 1_500_000, 9_000_000)
        change = {"payment_id": payment, "reason_code": "customer_called"}
        approval = investigator.propose("override_hold", **change).json()["id"]
        assert owner.post(f"/v1/payments/{payment}/cancellation").status_code == 200

        refused = compliant.approve(approval)
        unknown = investigator.propose(
            "override_hold", **(change | {"payment_id": "pay_00000000000fffff"})
        )

        assert refused.json()["code"] == "payment_state_conflict"
        assert (unknown.status_code, unknown.json()["code"]) == (404, "payment_not_found")


@pytest.fixture(scope="module")
def cashier(bureau, people):
    anna, bela, *_ = people
    clerk = bureau.hire(bela, "cash")
    bureau.grant(anna, bela, clerk, "payments_operator")
    return clerk


def paid(owner, amount, funds=100_000):
    """A payment that has arrived; payer, payee and the payment."""
    payer, payee = owner.account(funds=funds), owner.account(funds=1)
    body = {
        "debit_account_id": payer,
        "credit_account_id": payee,
        "amount_minor": amount,
        "currency": "EUR",
    }
    answer = owner.post("/v1/payments", body)
    assert answer.json()["status"] == "settled", answer.text
    return payer, payee, answer.json()["id"]


def refund(clerk, payment, amount, key=None):
    headers = {
        "authorization": f"Bearer {clerk.token}",
        "idempotency-key": key or f"{uuid.uuid4()}",
    }
    body = {"amount_minor": amount, "reason_code": "goods_returned"}
    return clerk.http.post(f"/v1/payments/{payment}/refunds", json=body, headers=headers)


class TestRefund:
    def test_goes_back_in_parts_and_never_more_than_came(self, owner, cashier):
        """Each is a payment of its own under its own decision; the last cent once."""
        payer, payee, payment = paid(owner, 19_000)
        before = owner.balance(payer)[0], owner.balance(payee)[0]

        first = refund(cashier, payment, 10_000)
        too_much = refund(cashier, payment, 9_001)
        second = refund(cashier, payment, 9_000)
        again = refund(cashier, payment, 1)

        assert (first.status_code, first.json()["status"]) == (201, "settled"), first.text
        assert (too_much.status_code, too_much.json()["code"]) == (422, "refund_too_high")
        assert second.status_code == 201
        assert again.json()["code"] == "refund_too_high"
        after = owner.balance(payer)[0], owner.balance(payee)[0]
        assert after == (before[0] + 19_000, before[1] - 19_000)
        listed = owner.get(f"/v1/payments/{payment}/refunds").json()
        orders = [first.json()["id"], second.json()["id"]]
        assert ([r["id"] for r in listed["items"]], listed["refund_of"]) == (orders, None)
        own = owner.get(f"/v1/payments/{orders[0]}/refunds").json()
        assert (own["items"], own["refund_of"]) == ([], payment)
        assert first.json()["decision_id"] != second.json()["decision_id"]

    def test_is_once_for_each_key(self, owner, cashier):
        """The same request again is answered as it was, byte for byte, and moves nothing."""
        payer, _, payment = paid(owner, 5_000)
        first = refund(cashier, payment, 1_000, key="once")
        before = owner.balance(payer)

        again = refund(cashier, payment, 1_000, key="once")

        assert again.content == first.content
        assert owner.balance(payer) == before

    def test_is_counted_when_memory_does_not_hold_it(self, owner, cashier, served):  # noqa: F811 - the fixture
        """Loaded anew, what went back is known, and no more goes back."""
        _, _, payment = paid(owner, 5_000)
        made = refund(cashier, payment, 4_000).json()["id"]
        numbers = [ids.parse(Prefix.PAYMENT, text) for text in (payment, made)]

        async def forget():
            rooms = served.bank.rooms
            for number in numbers:
                del rooms.payments.payments[number]
                rooms.refunding.register.restore(number, None)

        served.run(forget())

        assert refund(cashier, payment, 1_001).json()["code"] == "refund_too_high"
        assert refund(cashier, made, 1).json()["code"] == "payment_state_conflict"
        assert refund(cashier, payment, 1_000).status_code == 201

    def test_is_refused_when_the_payee_has_not_got_it(self, owner, cashier):
        """The payee's balance bounds it: the decision is kept, and nothing counts as refunded."""
        _, payee, payment = paid(owner, 5_000)
        other = owner.account()
        body = {
            "debit_account_id": payee,
            "credit_account_id": other,
            "amount_minor": 4_000,
            "currency": "EUR",
        }
        assert owner.post("/v1/payments", body).json()["status"] == "settled"

        refused = refund(cashier, payment, 5_000)

        assert (refused.status_code, refused.json()["code"]) == (422, "insufficient_funds")
        assert owner.get(f"/v1/payments/{payment}/refunds").json()["items"] == []
        assert refund(cashier, payment, 1_000).status_code == 201

    def test_is_of_what_has_arrived_within_the_bank(self, owner, cashier):
        """What is held, unknown, or gone to another bank is not refunded here."""
        waiting = held(owner, 200_000, 9_000_000)
        card = {
            "account_id": owner.account(funds=10_000),
            "amount_minor": 500,
            "currency": "EUR",
            "capture": True,
        }
        outside = owner.post("/v1/card-authorisations", card).json()
        assert outside["status"] == "captured", outside

        codes = [
            refund(cashier, payment, 100).json()["code"]
            for payment in (waiting, outside["id"], "pay_00000000000fffff")
        ]

        assert codes == ["payment_state_conflict", "refund_outside", "payment_not_found"]

    def test_is_two_peoples_above_an_amount(self, owner, cashier, compliant):
        """All that goes back of one payment counts; the proposal says how much that is."""
        payer, _, payment = paid(owner, 90_000, funds=500_000)
        assert refund(cashier, payment, 50_000).status_code == 201
        alone = refund(cashier, payment, 1)
        change = {"payment_id": payment, "amount_minor": 40_000, "reason_code": "goods_returned"}
        before = owner.balance(payer)[0]
        proposed = cashier.propose("refund_payment", **change)
        assert proposed.status_code == 201, proposed.text
        approval = proposed.json()["id"]

        own = cashier.approve(approval)
        approved = compliant.approve(approval)
        more = cashier.propose("refund_payment", **change)

        assert (alone.status_code, alone.json()["code"]) == (403, "second_person_needed")
        assert own.status_code == 403
        assert diff(cashier, approval) == {"refunded_minor": [50_000, 90_000]}
        assert approved.status_code == 200, approved.text
        assert owner.balance(payer)[0] == before + 40_000
        assert (more.status_code, more.json()["code"]) == (422, "refund_too_high")
        assert len(owner.get(f"/v1/payments/{payment}/refunds").json()["items"]) == 2

    def test_waits_as_any_payment_and_is_loaded_with_its_order(
        self,
        owner,
        cashier,
        compliant,
        investigator,
        served,  # noqa: F811 - the fixture
    ):
        """Held by the gate, it counts; released after memory forgot it, it is settled."""
        payer, payee = owner.account(funds=900_000), owner.account(funds=900_000)
        body = {
            "debit_account_id": payer,
            "credit_account_id": payee,
            "amount_minor": 150_000,
            "currency": "EUR",
        }
        payment = owner.post("/v1/payments", body).json()["id"]
        assert release(investigator, payment).json()["status"] == "settled"
        change = {"payment_id": payment, "amount_minor": 150_000, "reason_code": "goods_returned"}
        approval = cashier.propose("refund_payment", **change).json()["id"]
        assert compliant.approve(approval).status_code == 200
        (order,) = owner.get(f"/v1/payments/{payment}/refunds").json()["items"]
        assert order["status"] == "held"
        assert refund(cashier, payment, 1).status_code == 403
        number = ids.parse(Prefix.PAYMENT, order["id"])

        async def forget():
            del served.bank.rooms.payments.payments[number]

        served.run(forget())
        released = release(investigator, order["id"])

        assert released.json()["status"] == "settled", released.text
        assert owner.balance(payer)[0] == 900_000

    def test_leaves_a_log_that_the_auditor_believes(self, served):  # noqa: F811 - the fixture
        """Everything of this module, recounted from the rows."""
        with psycopg.connect(served.bank.dsn.read, autocommit=True) as connection:
            verdict = verify_bank(connection, catalogue=CATALOGUE, gentle=False)

        assert verdict.ok, verdict.first_bad
