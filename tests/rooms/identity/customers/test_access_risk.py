"""What fails, and what customers do in their sessions, is seen by the gates of access."""

import pytest
from tests.customers import new_address
from tests.totp import totp_code

from scudo.governance import Passage

PASSWORD = "correct horse 4711"
FAILED = Passage.FAILED_PROOF


def code(answer):
    return answer.status_code, answer.json()["code"]


def equip(device, *, step=-1):
    """Give a customer a password and an authenticator."""
    assert device.send("PUT", "/v1/password", {"password": PASSWORD}).status_code == 204
    begun = device.post("/v1/totp").json()
    body = {"challenge_id": begun["challenge_id"], "code": totp_code(begun["seed"], step=step)}
    device.recovery = device.post("/v1/totp/activation", body).json()["recovery_codes"]
    device.seed = begun["seed"]
    return device


@pytest.fixture
def owner(bank):
    """A customer with passkey, password and authenticator."""
    return equip(bank.signed_up())


@pytest.fixture
def real_gates(bank):
    """Let the bank's own access policy decide."""
    bank.store.gates = bank.bank.rooms.passages
    return bank


def log_in(device, **body):
    """Log in by password."""
    device.lose_tokens()
    return device.keep(device.post("/v1/log-ins/password", {"password": PASSWORD} | body))


def wrong(number):
    return f"{(int(number) + 1) % 10**6:06}"


def number_of(customer):
    return int(customer.removeprefix("cus_"), 16)


class TestFailures:
    @pytest.mark.fault(50)
    @pytest.mark.parametrize(
        ("body", "is_known"),
        [
            ({"password": "another horse 1"}, True),
            ({"code": "wrong"}, True),
            ({"recovery_code": "AAAAAA-AAAAAA-AAAAAA-AAAAAA", "code": None}, True),
            ({"email": "unknown"}, False),
        ],
    )
    def test_of_log_ins_by_password_reach_the_gates(self, owner, bank, quiet, body, is_known):
        """Wrong password, code and name are one entry, with whose, which device and where."""
        number = totp_code(owner.seed)
        sent = {"email": owner.address, "code": number, "country": 756} | body
        if sent["code"] == "wrong":
            sent["code"] = wrong(number)
        if sent["email"] == "unknown":
            sent["email"] = new_address()
        bank.gates.asked.clear()

        with quiet() as entries:
            refused = log_in(owner, **{k: v for k, v in sent.items() if v is not None})

        assert code(refused) == (401, "log_in_refused")
        assert entries == [1]
        [asked] = bank.gates.asked
        whose = number_of(owner.customer) if is_known else 0
        assert (asked.passage, asked.customer, asked.country) == (FAILED, whose, 756)
        told = [e for e in bank.events("governance.act.recorded.v1") if e["device"]][-1]
        assert (told["act"], told["result"]) == ("identity.log_in", "log_in_refused")
        assert told["device"] == f"dev_{asked.device:016x}"

    def test_of_log_ins_by_passkey_reach_the_gates(self, bank):
        """An answer that does not hold counts for the customer whose passkey it names."""
        owner = bank.signed_up()
        stranger = bank.signed_up()
        stranger.passkeys.made = {
            credential: stranger.passkeys.made[next(iter(stranger.passkeys.made))]
            for credential in owner.passkeys.made
        }
        bank.gates.asked.clear()

        assert code(stranger.log_in()) == (401, "assertion_invalid")

        [asked] = bank.gates.asked
        assert (asked.passage, asked.customer) == (FAILED, number_of(owner.customer))

    def test_of_unknown_passkeys_reach_the_gates(self, bank):
        """A passkey that nobody has counts for device and network."""
        owner = bank.signed_up()
        owner.passkeys.made = {b"nobody's" * 2: next(iter(owner.passkeys.made.values()))}
        bank.gates.asked.clear()

        assert code(owner.log_in()) == (401, "assertion_invalid")

        [asked] = bank.gates.asked
        assert (asked.passage, asked.customer) == (FAILED, 0)

    def test_of_used_codes_of_step_ups_and_of_changes_reach_the_gates(self, owner, bank):
        """What is found out in the writer, and what is tried inside a session, counts too."""
        number = totp_code(owner.seed, step=1)
        assert log_in(owner, email=owner.address, code=number).status_code == 201
        bank.gates.asked.clear()
        step_up = owner.post("/v1/step-ups", {"act": "credentials"}).json()["step_up_id"]
        proof = {"password": PASSWORD, "code": number}

        refused = [
            owner.post(f"/v1/step-ups/{step_up}/proof", proof),
            owner.send("PUT", "/v1/password", {"password": "x" * 9, "current_password": "no"}),
        ]

        assert [code(one)[1] for one in refused] == ["step_up_refused", "password_unproven"]
        assert [asked.passage for asked in bank.gates.asked] == [FAILED, FAILED]

    def test_of_recoveries_reach_the_gates(self, owner, bank):
        """A recovery whose second proof does not hold is a failure of the account."""
        thief = bank.device(address=owner.address)
        sent = thief.post("/v1/recoveries", {"email": owner.address}).json()
        body = {
            "email": owner.address,
            "code": bank.mailbox.code(owner.address),
            "recovery_code": "AAAAAA-AAAAAA-AAAAAA-AAAAAA",
        }
        bank.gates.asked.clear()

        refused = thief.post(f"/v1/recoveries/{sent['code_id']}/proof", body)

        assert code(refused) == (401, "log_in_refused")
        assert [asked.passage for asked in bank.gates.asked] == [FAILED]

    def test_many_and_then_a_success_are_stepped_up(self, real_gates):
        """Who guesses a password on one device and finds it is asked for more than that."""
        bank = real_gates
        owner = equip(bank.signed_up())
        assert log_in(owner, email=owner.address, code=totp_code(owner.seed)).status_code == 201
        for guess in range(8):
            assert code(log_in(owner, email=owner.address, password=f"guess {guess}"))[0] == 401

        found = log_in(owner, email=owner.address, code=totp_code(owner.seed, step=1))

        assert code(found) == (403, "log_in_declined")
        assert owner.log_in().status_code == 201
