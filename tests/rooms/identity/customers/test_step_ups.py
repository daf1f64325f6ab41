"""A step-up is good for one act, its amount and its payee, once, for whoever passed it."""

import pytest
from tests.customers import account
from tests.totp import totp_code

from scudo.identity.customers.passwords import matching_step


def code(answer):
    return answer.status_code, answer.json()["code"]


@pytest.fixture
def payer(bank):
    """A customer with a payment that was stepped up, and what must be proven for it."""
    device, clerk = bank.signed_up(), bank.clerk()
    own = account(clerk, device.customer, 1_000_000)
    other = bank.signed_up().customer
    usual, payee = account(clerk, other), account(clerk, other)

    def pay(amount, to):
        body = {
            "debit_account_id": own,
            "credit_account_id": to,
            "amount_minor": amount,
            "currency": "EUR",
        }
        return device.order("/v1/payments", body).json()

    for _ in range(3):
        assert pay(1_000, usual)["status"] == "settled"
    device.pay = pay
    device.usual, device.payee = usual, payee
    challenged = pay(100_000, payee)
    assert challenged["status"] == "challenged"
    device.details = {
        "payment_id": challenged["id"],
        "amount_minor": 100_000,
        "currency": "EUR",
        "payee_account_id": payee,
    }
    return device


def ask(device, details=None, **changed):
    details = (details or device.details) | changed
    answer = device.post("/v1/step-ups", {"act": "payment", "payment": details})
    assert answer.status_code == 201, answer.text
    return answer.json()


def prove(device, asked):
    proof = {"credential": device.passkeys.get(asked["public_key"])}
    return device.post(f"/v1/step-ups/{asked['step_up_id']}/proof", proof)


def confirm(device, asked, payment=None):
    payment = payment or device.details["payment_id"]
    body = {"step_up_id": asked["step_up_id"]}
    return device.order(f"/v1/payments/{payment}/confirmation", body)


NEEDED = (403, "step_up_needed")


class TestPayment:
    def test_goes_on_by_the_step_up_that_was_passed_for_it(self, payer, bank):
        """The proof for this payment, amount and payee lets it go on, and is used up."""
        asked = ask(payer)
        assert prove(payer, asked).status_code == 204

        assert confirm(payer, asked).json()["status"] == "settled"
        assert code(confirm(payer, asked)) == (409, "payment_state_conflict")
        spent = bank.events("identity.step_up.spent.v1")[-1]
        assert (spent["customer"], spent["act"]) == (payer.customer, 1)

    @pytest.mark.parametrize(
        "changed",
        [
            {"amount_minor": 99_999},
            {"amount_minor": 100_001},
            {"currency": "USD"},
            {"payee_account_id": "usual"},
            {"payment_id": "pay_7fffffffffffffff"},
        ],
    )
    def test_does_not_go_on_by_the_step_up_for_another(self, payer, changed):
        """Another amount, currency, payee or payment was signed: it is not this one."""
        changed = {k: payer.usual if v == "usual" else v for k, v in changed.items()}
        asked = ask(payer, **changed)
        assert prove(payer, asked).status_code == 204

        assert code(confirm(payer, asked)) == NEEDED
        right = ask(payer)
        prove(payer, right)
        assert confirm(payer, right).status_code == 200

    def test_does_not_go_on_by_a_step_up_that_was_not_passed(self, payer):
        """A step-up that was only begun says nothing."""
        assert code(confirm(payer, ask(payer))) == NEEDED

    def test_does_not_go_on_by_a_step_up_of_somebody_else(self, payer, bank):
        """Another customer's proof, even for these very details, is not the payer's."""
        other = bank.signed_up()
        asked = ask(other, payer.details)
        assert prove(other, asked).status_code == 204

        assert code(confirm(payer, asked)) == NEEDED
        foreign = confirm(other, asked, payer.details["payment_id"])
        assert code(foreign) == (404, "payment_not_found")

    def test_does_not_go_on_by_a_step_up_that_is_old(self, payer, terms):
        """A proof that was given too long ago is not good."""
        asked = ask(payer)
        terms(step_up_us=-1)
        late = ask(payer)
        prove(payer, asked)

        assert code(prove(payer, late)) == (404, "step_up_not_found")
        assert code(confirm(payer, late)) == NEEDED
        assert confirm(payer, asked).status_code == 200

    def test_does_not_go_on_by_a_step_up_of_a_session_that_ended(self, payer, bank):
        """With its session a proof ends."""
        asked = ask(payer)
        prove(payer, asked)
        session = payer.session
        payer.log_in()
        assert payer.send("DELETE", f"/v1/sessions/{session}").status_code == 204

        assert code(confirm(payer, asked)) == NEEDED

    def test_is_not_vouched_for_by_its_payer(self, payer):
        """What the bank's clients may say for a customer, the customer may not."""
        path = f"/v1/payments/{payer.details['payment_id']}"

        assert code(payer.order(f"{path}/challenge", {"has_passed": True})) == (
            403,
            "scope_missing",
        )

    def test_of_a_session_with_an_old_proof_waits_for_a_new_one(self, payer, terms):
        """The session is judged again before each payment."""
        terms(proof_us=-1)

        assert payer.pay(1_000, payer.usual)["code"] == "fresh_proof_needed"

    def test_of_a_session_beyond_its_life_ends_it(self, payer, terms):
        """What the judgement ends is over at once."""
        terms(session_us=-1)

        assert payer.pay(1_000, payer.usual)["code"] == "session_over"


class TestProof:
    def test_counts_tries(self, payer, bank):
        """After five proofs that do not hold, a right one does not either."""
        asked = ask(payer)
        wrong = asked["public_key"] | {"challenge": "AAAA"}
        path = f"/v1/step-ups/{asked['step_up_id']}/proof"
        for _ in range(5):
            body = {"credential": payer.passkeys.get(wrong)}
            assert code(payer.post(path, body)) == (401, "step_up_refused")

        assert code(prove(payer, asked)) == (404, "step_up_not_found")
        failed = bank.events("identity.step_up.failed.v1")
        assert [e["customer"] for e in failed].count(payer.customer) == 5

    def test_is_given_once(self, payer):
        """A step-up that was passed takes no further proof."""
        asked = ask(payer)
        prove(payer, asked)

        assert code(prove(payer, asked)) == (404, "step_up_not_found")

    def test_of_another_session_is_refused(self, payer, bank):
        """A step-up belongs to the session that began it."""
        asked = ask(payer)
        second = bank.device(passkeys=payer.passkeys)
        second.log_in()

        assert code(prove(second, asked)) == (404, "step_up_not_found")

    def test_of_another_customers_passkey_is_refused(self, payer, bank):
        """Somebody else's passkey proves somebody else."""
        other = bank.signed_up()
        asked = ask(payer)
        options = asked["public_key"] | {"allowCredentials": []}
        body = {"credential": other.passkeys.get(options)}

        refused = payer.post(f"/v1/step-ups/{asked['step_up_id']}/proof", body)

        assert code(refused) == (401, "step_up_refused")

    def test_is_password_and_code_too(self, payer):
        """Whoever has a password and an authenticator proves by these."""
        assert payer.send("PUT", "/v1/password", {"password": "correct horse 4711"}).is_success
        seed = payer.post("/v1/totp").json()
        body = {"challenge_id": seed["challenge_id"], "code": totp_code(seed["seed"], step=-1)}
        assert payer.post("/v1/totp/activation", body).status_code == 201
        asked = ask(payer)
        path = f"/v1/step-ups/{asked['step_up_id']}/proof"
        number = totp_code(seed["seed"], step=1)

        wrong = payer.post(path, {"password": "correct horse 4712", "code": number})
        right = payer.post(path, {"password": "correct horse 4711", "code": number})

        assert code(wrong) == (401, "step_up_refused")
        assert right.status_code == 204
        assert confirm(payer, asked).status_code == 200
        asked = ask(payer)
        again = {"password": "correct horse 4711", "code": number}
        refused = payer.post(f"/v1/step-ups/{asked['step_up_id']}/proof", again)
        assert code(refused) == (401, "step_up_refused")

    @pytest.mark.parametrize(
        "body",
        [{"act": "payment"}, {"act": "credentials", "payment": "details"}],
    )
    def test_is_not_asked_for_without_the_details(self, payer, body):
        """A payment needs its details, another act has none."""
        if "payment" in body:
            body = body | {"payment": payer.details}

        assert code(payer.post("/v1/step-ups", body)) == (400, "act_incomplete")

    def test_is_not_found_under_another_number(self, customer):
        """A step-up that never was is not found."""
        answer = customer.post("/v1/step-ups/stp_7fffffffffffffff/proof", {})

        assert code(answer) == (404, "step_up_not_found")


def test_the_standards_codes_are_known_at_their_time():
    """RFC 6238, appendix B, to six digits: each code matches its own step, and one beside it."""
    seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    for seconds, number in ((59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")):
        at = seconds * 1_000_000
        assert matching_step(seed, number, now=at) == seconds // 30
        assert matching_step(seed, number, now=at + 30_000_000) == seconds // 30
        assert matching_step(seed, number, now=at + 90_000_000) == 0
