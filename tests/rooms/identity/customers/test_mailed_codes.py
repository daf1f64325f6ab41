"""Who is stepped up at a log-in by password and has no passkey goes in with a mailed code."""

import pytest
from tests.customers import new_address
from tests.rooms.identity.customers.by_password import code, equip, log_in, wrong
from tests.totp import totp_code

from scudo.governance import Passage, Ruling


@pytest.fixture
def owner(bank):
    """A customer with passkey, password and authenticator."""
    return equip(bank.signed_up())


@pytest.fixture
def keyless(bank):
    """A customer with password and authenticator, and without a passkey."""
    address, device = new_address(), bank.device()
    device.address = address
    sent = device.post("/v1/sign-ups", {"email": address}).json()
    assert device.activate(address, sent["code_id"], bank.mailbox.code(address)).status_code == 201
    return equip(device)


@pytest.fixture
def stepping_up(bank):
    """A gate that asks for more at each log-in."""
    bank.gates.rulings[Passage.LOG_IN] = Ruling.STEP_UP
    return bank


def mailed_to(bank, device):
    """Members of a log-in with the code that was mailed for it."""
    sent = device.post("/v1/log-ins/codes", {"email": device.address})
    assert sent.status_code == 202
    return {"code_id": sent.json()["code_id"], "mailed_code": bank.mailbox.code(device.address)}


NO_CODE = (401, "code_refused")
NEEDED = (403, "log_in_code_needed")


@pytest.mark.fault(54)
class TestMailedCode:
    def test_lets_in_who_is_stepped_up_and_has_no_passkey(self, keyless, stepping_up):
        """Password and authenticator are told that a mailed code is needed, and go in with it."""
        body = {"email": keyless.address}
        refused = log_in(keyless, **body, code=totp_code(keyless.seed))

        body |= mailed_to(stepping_up, keyless)
        entered = log_in(keyless, **body, recovery_code=keyless.recovery[0])

        assert code(refused) == NEEDED
        assert (entered.status_code, entered.json()["assurance"]) == (201, "password")

    def test_is_good_once(self, keyless, stepping_up):
        """What let in once does not again."""
        body = {"email": keyless.address} | mailed_to(stepping_up, keyless)
        assert log_in(keyless, **body, recovery_code=keyless.recovery[0]).status_code == 201

        assert code(log_in(keyless, **body, recovery_code=keyless.recovery[1])) == NO_CODE

    def test_is_tried_five_times(self, keyless, stepping_up):
        """Wrong codes are counted and use nothing else up; the sixth try is in vain."""
        body = {"email": keyless.address, "recovery_code": keyless.recovery[0]}
        good = mailed_to(stepping_up, keyless)
        bad = good | {"mailed_code": f"{(int(good['mailed_code']) + 1) % 10**8:08}"}

        tried = [code(log_in(keyless, **body, **bad)) for _ in range(5)]
        late = log_in(keyless, **body, **good)
        again = log_in(keyless, **body, **mailed_to(stepping_up, keyless))

        assert [*tried, code(late)] == [NO_CODE] * 6
        assert again.status_code == 201

    def test_ends_after_ten_minutes(self, keyless, stepping_up, terms):
        """A code that is too old lets nobody in."""
        terms(code_us=-1)
        body = {"email": keyless.address} | mailed_to(stepping_up, keyless)

        assert code(log_in(keyless, **body, recovery_code=keyless.recovery[0])) == NO_CODE

    @pytest.mark.parametrize("purpose", ["sign-ups", "recoveries"])
    def test_for_something_else_is_not_good(self, keyless, stepping_up, purpose):
        """A code is for what it was asked for."""
        sent = keyless.post(f"/v1/{purpose}", {"email": keyless.address}).json()
        number = "00000000" if purpose == "sign-ups" else stepping_up.mailbox.code(keyless.address)
        body = {"code_id": sent["code_id"], "mailed_code": number, "email": keyless.address}

        assert code(log_in(keyless, **body, recovery_code=keyless.recovery[0])) == NO_CODE

    def test_of_another_customer_is_not_good(self, keyless, owner, stepping_up):
        """A code that was mailed to one opens nothing for another."""
        body = {"email": keyless.address} | mailed_to(stepping_up, owner)

        assert code(log_in(keyless, **body, recovery_code=keyless.recovery[0])) == NO_CODE

    def test_is_no_way_around_password_and_authenticator(self, keyless, stepping_up):
        """It comes beside both proofs, never in the place of one."""
        body = {"email": keyless.address} | mailed_to(stepping_up, keyless)

        for wrongly in (
            {"password": "another horse 1", "recovery_code": keyless.recovery[0]},
            {"code": wrong(totp_code(keyless.seed))},
            {},
        ):
            assert code(log_in(keyless, **body, **wrongly)) == (401, "log_in_refused")

    def test_is_no_way_around_a_passkey(self, owner, stepping_up):
        """Who has a passkey is asked for it, mailed code or not."""
        body = {"email": owner.address, "code": totp_code(owner.seed)}

        refused = log_in(owner, **body, **mailed_to(stepping_up, owner))

        assert code(refused) == (403, "log_in_declined")

    def test_is_no_way_around_a_gate_that_declines(self, keyless, bank):
        """It meets a step-up and nothing else."""
        bank.gates.rulings[Passage.LOG_IN] = Ruling.HOLD
        body = {"email": keyless.address} | mailed_to(bank, keyless)

        refused = log_in(keyless, **body, recovery_code=keyless.recovery[0])

        assert code(refused) == (403, "log_in_declined")

    def test_for_a_name_that_nobody_has_is_answered_alike(self, keyless, bank, quiet):
        """Known or not, a code is on its way; a mail says what it is."""
        unknown, answers = new_address(), []
        for address in (keyless.address, unknown):
            with quiet() as entries:
                sent = keyless.post("/v1/log-ins/codes", {"email": address})
            answers.append((sent.status_code, sorted(sent.json()), *entries))

        assert answers[0] == answers[1]
        assert "no account" in bank.mailbox.mail(unknown, "There is no account")
