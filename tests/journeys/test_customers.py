"""A customer's way through the bank, over real sockets and a real SMTP conversation."""

import pytest
from tests.customers import account, new_address, serving


@pytest.fixture
def bank(database, tmp_path):
    """Serve a bank of this test's own."""
    with serving(database.dsn, tmp_path) as bank:
        yield bank


class TestJourney:
    def test_from_sign_up_to_a_large_payment_that_is_stepped_up(self, bank):
        """A new customer signs up by mail, adds a passkey, pays, is stepped up, and passes it."""
        address, device = new_address(), bank.device()
        sent = device.post("/v1/sign-ups", {"email": address})
        assert sent.status_code == 202
        opened = device.activate(address, sent.json()["code_id"], bank.mailbox.code(address))
        assert (opened.status_code, opened.json()["assurance"]) == (201, "mail")
        assert device.add_passkey().status_code == 201
        entered = device.log_in()
        assert (entered.status_code, entered.json()["assurance"]) == (201, "passkey")

        clerk = bank.clerk()
        own = account(clerk, device.customer, 2_000_000)
        other = bank.signed_up().customer
        usual, payee = account(clerk, other), account(clerk, other, 1)

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
        large = pay(100_000, payee)
        assert large["status"] == "challenged", large
        details = {
            "payment_id": large["id"],
            "amount_minor": 100_000,
            "currency": "EUR",
            "payee_account_id": payee,
        }
        asked = device.post("/v1/step-ups", {"act": "payment", "payment": details})
        assert asked.status_code == 201
        step_up = asked.json()
        confirming = f"/v1/payments/{large['id']}/confirmation"
        early = device.order(confirming, {"step_up_id": step_up["step_up_id"]})
        assert (early.status_code, early.json()["code"]) == (403, "step_up_needed")

        proof = {"credential": device.passkeys.get(step_up["public_key"])}
        proven = device.post(f"/v1/step-ups/{step_up['step_up_id']}/proof", proof)
        assert proven.status_code == 204
        passed = device.order(confirming, {"step_up_id": step_up["step_up_id"]})
        assert (passed.status_code, passed.json()["status"]) == (200, "settled")
        assert clerk.get(f"/v1/accounts/{payee}/balance").json()["posted_minor"] == 100_001
