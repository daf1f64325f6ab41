"""Who signs up proves an address by a mailed code; strangers learn nothing of who is known."""

import re

import pytest
from tests.customers import new_address

from scudo.governance import Passage, Ruling, Shut


def begun(bank, address=None):
    """A device that asked for a code, its address, the code's id and the code."""
    address, device = address or new_address(), bank.device()
    sent = device.post("/v1/sign-ups", {"email": address})
    assert sent.status_code == 202
    return device, address, sent.json()["code_id"], bank.mailbox.code(address)


def code(answer):
    return answer.status_code, answer.json()["code"]


REFUSED = (401, "code_refused")


class TestCode:
    def test_opens_an_account_once(self, bank):
        """The mailed code opens the account that a session begins in, and never again."""
        device, address, code_id, number = begun(bank)

        opened = device.activate(address, code_id, number)

        assert opened.status_code == 201
        assert device.get("/v1/me").json()["customer_id"] == opened.json()["customer_id"]
        assert code(device.activate(address, code_id, number)) == REFUSED

    def test_opens_the_same_account_again_until_there_is_a_credential(self, bank):
        """Whose answer was lost signs up again: the session before ends, the customer is one."""
        lost, address, code_id, number = begun(bank)
        first = lost.activate(address, code_id, number).json()
        device, _, again_id, again = begun(bank, address)

        opened = device.activate(address, again_id, again)

        assert opened.status_code == 201
        assert opened.json()["customer_id"] == first["customer_id"]
        assert code(lost.get("/v1/me")) == (401, "token_unknown")
        assert code(lost.renew()) == (401, "refresh_refused")
        ended = [
            e for e in bank.events("identity.session.ended.v1") if e["code"] == "signed_up_again"
        ]
        assert first["session_id"] in [event["session"] for event in ended]

    def test_opens_nothing_once_there_is_a_credential(self, bank):
        """A code from before the first passkey is worth nothing after it, and no other comes."""
        device, address, code_id, number = begun(bank)
        device.activate(address, code_id, number)
        other, _, late_id, late = begun(bank, address)
        assert device.add_passkey().status_code == 201

        assert code(other.activate(address, late_id, late)) == REFUSED
        assert device.get("/v1/me").status_code == 200
        other.post("/v1/sign-ups", {"email": address})
        assert bank.mailbox.mail(address, "You have an account")

    def test_is_written_in_any_case_of_the_address(self, bank):
        """An address is the same in capitals and with blanks around it."""
        device, address, code_id, number = begun(bank)

        assert device.activate(f" {address.upper()} ", code_id, number).status_code == 201

    def test_is_refused_after_five_tries(self, bank):
        """After five wrong codes the right one opens nothing."""
        device, address, code_id, number = begun(bank)
        wrong = "00000000" if number != "00000000" else "00000001"
        for _ in range(5):
            assert code(device.activate(address, code_id, wrong)) == REFUSED

        assert code(device.activate(address, code_id, number)) == REFUSED
        failed = bank.events("identity.code.failed.v1")
        assert len(failed) >= 6
        assert all(f["network"].startswith("ip_") for f in failed)

    def test_is_good_after_four_tries(self, bank):
        """Whoever mistypes four times is let in."""
        device, address, code_id, number = begun(bank)
        wrong = "00000000" if number != "00000000" else "00000001"
        for _ in range(4):
            device.activate(address, code_id, wrong)

        assert device.activate(address, code_id, number).status_code == 201

    def test_is_refused_when_it_is_old(self, bank, terms):
        """A code that was made too long ago opens nothing."""
        terms(code_us=-1)
        device, address, code_id, number = begun(bank)

        assert code(device.activate(address, code_id, number)) == REFUSED

    def test_is_good_for_its_address_and_id_only(self, bank):
        """Neither another address nor another code's id goes with it."""
        device, address, code_id, number = begun(bank)
        _, other, other_id, _ = begun(bank)

        assert code(device.activate(other, code_id, number)) == REFUSED
        assert code(device.activate(address, other_id, number)) == REFUSED
        assert code(device.activate(address, "cod_0000000000000001", number)) == REFUSED

    def test_of_a_recovery_opens_no_account(self, bank):
        """A code is good for what it was asked for."""
        device = bank.signed_up()
        address = device.address
        sent = device.post("/v1/recoveries", {"email": address}).json()

        refused = device.activate(address, sent["code_id"], bank.mailbox.code(address))

        assert code(refused) == REFUSED

    def test_is_nowhere_in_the_log(self, bank):
        """Neither code nor address is stored, only keyed hashes of them."""
        device, address, code_id, number = begun(bank)
        assert device.activate(address, code_id, number).status_code == 201

        async def everything():
            found = []
            async with await bank.bank.connect() as connection:
                for table, column in (
                    ("log_entry", "command || events || answer"),
                    ("record", "body"),
                ):
                    rows = await connection.execute(f"SELECT {column} FROM fabric.{table}")
                    found += [bytes(row[0]).decode("latin-1") for row in await rows.fetchall()]
            return "\n".join(found)

        stored = bank.run(everything())
        assert device.key.thumbprint in stored
        for secret in (number, address, device.access, device.refresh):
            assert secret not in stored

    def test_needs_the_key_of_a_device(self, bank):
        """Without a proof of a key nothing is opened, and the code stays good."""
        device, address, code_id, number = begun(bank)
        body = {"email": address, "code": number}
        path = f"/v1/sign-ups/{code_id}/activation"

        assert code(device.send_with(None, "POST", path, body)) == (401, "proof_missing")
        assert device.activate(address, code_id, number).status_code == 201


@pytest.mark.fault(54)
class TestAddress:
    def test_that_is_known_is_answered_like_one_that_is_not(self, bank, quiet):
        """Answer and work are the same; the mail tells who reads it."""
        known, unknown = new_address(), new_address()
        bank.signed_up(known)
        bank.office.throttle._counted.clear()
        answers, work = [], []
        for address in (known, unknown):
            with quiet() as counted:
                answers.append(bank.device().post("/v1/sign-ups", {"email": address}))
            work += counted

        shapes = [
            (a.status_code, re.sub("cod_[0-9a-f]{16}", "", a.text), a.headers.get("content-length"))
            for a in answers
        ]
        assert shapes[0] == shapes[1]
        assert work == [1, 1]
        assert not re.search(r"\d{8}", bank.mailbox.mail(known, "You have an account"))
        assert bank.mailbox.code(unknown)

    def test_gets_three_mails_and_then_waits(self, bank):
        """A fourth mail within a minute is refused, whoever asks and whether known or not."""
        known, unknown = new_address(), new_address()
        bank.signed_up(known)
        bank.office.throttle._counted.clear()
        for address in (known, unknown):
            answers = [bank.device().post("/v1/sign-ups", {"email": address}) for _ in range(4)]

            assert [a.status_code for a in answers] == [202, 202, 202, 429]
            assert answers[-1].json()["code"] == "too_many_attempts"
            assert 0 < int(answers[-1].headers["retry-after"]) <= 60

    @pytest.mark.parametrize(
        "text",
        ["ada", "@example.com", "ada@", "ada@localhost", "a da@example.com", "ada@ex_ample.com",
         "ada@example.com\nbcc: eve@example.com", "ada@exämple.com", "a@b@example.com"],
    )  # fmt: skip
    def test_that_cannot_be_mailed_is_refused(self, bank, text):
        """What is no address is refused, and what would add a header to the mail."""
        refused = bank.device().post("/v1/sign-ups", {"email": text})

        assert code(refused) == (422, "address_malformed")

    def test_is_asked_for_again_while_two_sign_up(self, bank):
        """Of two who opened sign-ups for one address, the first to activate has it."""
        first, address, first_id, first_code = begun(bank)
        second, _, second_id, second_code = begun(bank, address)

        assert second.activate(address, second_id, second_code).status_code == 201
        assert code(first.activate(address, first_id, first_code)) == REFUSED


class TestGate:
    def test_declines_who_signs_up(self, bank):
        """What the gate of onboarding declines opens no account, and uses the code up."""
        bank.gates.rulings[Passage.ONBOARDING] = Ruling.DECLINE
        device, address, code_id, number = begun(bank)
        declined = device.activate(address, code_id, number)
        bank.gates.rulings.clear()

        assert code(declined) == (403, "log_in_declined")
        assert code(device.activate(address, code_id, number)) == REFUSED
        assert begun(bank, address)[0] is not None

    def test_that_is_shut_lets_nobody_in(self, bank):
        """Without a gate nothing is opened; later the same code is good."""
        device, address, code_id, number = begun(bank)
        bank.store.gates = Shut()
        shut = device.activate(address, code_id, number)
        bank.store.gates = bank.gates

        assert code(shut) == (503, "gate_shut")
        assert device.activate(address, code_id, number).status_code == 201


class TestMail:
    def test_is_tried_again_when_the_server_refuses(self, bank):
        """A mail that the server does not take now comes when it does."""
        address = new_address()
        bank.mailbox.is_down = True
        sent = bank.device().post("/v1/sign-ups", {"email": address})
        assert sent.status_code == 202
        bank.mailbox.is_down = False

        assert re.fullmatch(r"\d{8}", bank.mailbox.code(address))
