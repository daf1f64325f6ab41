"""What fails, and what customers do in their sessions, is seen by the gates of access."""

import time

import msgspec
import pytest
from tests.customers import account, new_address
from tests.rooms.identity.customers.by_password import PASSWORD, code, equip, log_in, wrong
from tests.totp import totp_code

from scudo.governance import Passage, Ruling, Shut
from scudo.identity.customers import recall_failures
from scudo.identity.customers.model import SessionAct
from scudo.identity.customers.tokens import READS_TOLD
from scudo.identity.places import Networks

FAILED = Passage.FAILED_PROOF


@pytest.fixture
def owner(bank):
    """A customer with passkey, password and authenticator."""
    return equip(bank.signed_up())


@pytest.fixture
def real_gates(bank):
    """Let the bank's own access policy decide."""
    bank.store.gates = bank.bank.rooms.passages
    return bank


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


@pytest.fixture
def payer(bank):
    """A customer with money, and whom to pay."""
    device, clerk = bank.signed_up(), bank.clerk()
    own = account(clerk, device.customer, 1_000_000)
    payee = account(clerk, bank.signed_up().customer)

    def pay(amount=1_000):
        body = {
            "debit_account_id": own,
            "credit_account_id": payee,
            "amount_minor": amount,
            "currency": "EUR",
        }
        return device.order("/v1/payments", body)

    device.pay = pay
    return device


def step_up(device):
    """Pass a step-up in the session of a device."""
    asked = device.post("/v1/step-ups", {"act": "credentials"}).json()
    proof = {"credential": device.passkeys.get(asked["public_key"])}
    assert device.post(f"/v1/step-ups/{asked['step_up_id']}/proof", proof).status_code == 204
    return asked["step_up_id"]


ACTS = {
    SessionAct.PAY: lambda device: device.pay(),
    SessionAct.ADD_PASSKEY: lambda device: device.add_passkey(),
    SessionAct.REMOVE_PASSKEY: lambda device: device.send("DELETE", f"/v1/passkeys/{device.spare}"),
    SessionAct.SET_PASSWORD: lambda device: device.send(
        "PUT", "/v1/password", {"password": PASSWORD}
    ),
    SessionAct.ADD_AUTHENTICATOR: lambda device: device.post(
        "/v1/totp/activation", {"challenge_id": device.begun["challenge_id"], "code": device.code}
    ),
}


def ready(device):
    """Have what every act needs."""
    device.spare = device.add_passkey().json()["passkey_id"]
    device.begun = device.post("/v1/totp").json()
    device.code = totp_code(device.begun["seed"])
    return device


@pytest.mark.fault(50)
class TestSessions:
    @pytest.mark.parametrize("act", ACTS)
    def test_are_judged_before_each_sensitive_act(self, payer, bank, act):
        """Paying and changing credentials pass the gate, with session, device and place."""
        ready(payer)
        bank.gates.asked.clear()

        assert ACTS[act](payer).status_code in {201, 204}

        asked = [one for one in bank.gates.asked if one.passage is Passage.SESSION_ACT]
        assert [(one.act, one.customer) for one in asked] == [(act, number_of(payer.customer))]
        assert asked[0].session == int(payer.session.removeprefix("ses_"), 16)
        assert asked[0].device
        assert asked[0].network

    @pytest.mark.parametrize(
        ("ruling", "expected"),
        [
            (Ruling.REVIEW, None),
            (Ruling.STEP_UP, (403, "act_unusual")),
            (Ruling.HOLD, (403, "act_declined")),
            (Ruling.DECLINE, (403, "act_declined")),
            (Ruling.BLOCK, (401, "session_over")),
        ],
    )
    @pytest.mark.parametrize("act", ACTS)
    def test_go_on_step_up_or_end_as_the_gate_says(self, payer, bank, act, ruling, expected):
        """Each answer of the gate has its refusal and its event; a block ends the session."""
        ready(payer)
        bank.gates.rulings[Passage.SESSION_ACT] = ruling

        answer = ACTS[act](payer)

        if expected is None:
            assert answer.status_code in {201, 204}
            return
        assert code(answer) == expected
        doubted = bank.events("identity.session.doubted.v1")[-1]
        assert (doubted["session"], doubted["act"]) == (payer.session, act)
        assert doubted["code"] == expected[1]
        told = bank.events("identity.session.ended.v1")
        ended = [e["code"] for e in told if e["session"] == payer.session]
        is_over = ruling is Ruling.BLOCK
        assert (payer.get("/v1/me").status_code == 401) is is_over
        assert ended == (["judged_unsafe"] if is_over else [])

    def test_go_on_after_a_step_up_in_them_and_not_after_a_log_in(self, payer, bank, terms):
        """What is unusual needs a proof in this session; ten minutes later it needs another."""
        bank.gates.rulings[Passage.SESSION_ACT] = Ruling.STEP_UP
        payer.log_in()
        assert code(payer.pay()) == (403, "act_unusual")

        step_up(payer)

        assert payer.pay().status_code == 201
        terms(fresh_us=-1)
        assert code(payer.pay()) == (403, "act_unusual")

    def test_that_cannot_be_judged_do_nothing(self, payer, bank):
        """Without a gate nothing sensitive is done."""
        bank.store.gates = Shut()

        assert code(payer.pay()) == (503, "gate_shut")

    def test_that_read_too_much_are_judged_and_end(self, payer, bank):
        """A hundred reads are told to the gate, which may end the session."""
        payer.renew()
        bank.gates.asked.clear()
        bank.gates.rulings[Passage.SESSION_ACT] = Ruling.BLOCK
        for _ in range(READS_TOLD):
            assert payer.get("/v1/me").status_code == 200
        for _ in range(100):
            if bank.gates.asked:
                break
            time.sleep(0.05)

        [asked] = bank.gates.asked
        assert (asked.act, asked.passage) == (SessionAct.READ, Passage.SESSION_ACT)
        for _ in range(100):
            if payer.get("/v1/me").status_code == 401:
                break
            time.sleep(0.05)
        assert code(payer.get("/v1/me")) == (401, "token_unknown")

    def test_are_stepped_up_by_the_banks_own_rules(self, real_gates):
        """After three log-ins a password that was never set before is set at once: who is it?"""
        device = real_gates.signed_up()
        for _ in range(3):
            assert device.log_in().status_code == 201

        refused = device.send("PUT", "/v1/password", {"password": PASSWORD})
        number = step_up(device)
        body = {"password": PASSWORD, "step_up_id": number}

        assert code(refused) == (403, "act_unusual")
        assert device.send("PUT", "/v1/password", body).status_code == 204


@pytest.fixture
def country(bank, monkeypatch):
    """Say in which country this machine is, by a list."""

    def say(letters):
        known = Networks([f"127.0.0.0/8,{letters}"]).country
        ports = msgspec.structs.replace(bank.office.ports, country=known)
        monkeypatch.setattr(bank.office, "ports", ports)

    return say


@pytest.mark.fault(50)
class TestPlace:
    def test_is_what_the_list_says_and_not_what_is_claimed(self, owner, bank, country):
        """With a list, gates are told the network's country, at log-ins, acts and failures."""
        country("IT")
        bank.gates.asked.clear()

        wrongly = log_in(owner, email=owner.address, code="000000", country=756)
        body = {"email": owner.address, "code": totp_code(owner.seed), "country": 756}
        entered = log_in(owner, **body)
        owner.add_passkey()

        assert (wrongly.status_code, entered.status_code) == (401, 201)
        assert [(one.passage, one.country) for one in bank.gates.asked] == [
            (FAILED, 380),
            (Passage.LOG_IN, 380),
            (Passage.SESSION_ACT, 380),
        ]

    def test_is_unknown_at_acts_without_a_list(self, payer, bank):
        """What nobody knows is told to nobody."""
        bank.gates.asked.clear()

        assert payer.pay().status_code == 201

        assert [one.country for one in bank.gates.asked] == [None]

    def test_in_another_country_is_proven_once(self, payer, country):
        """A session in another country pays after a step-up there, and then goes on."""
        country("CH")
        payer.log_in()
        assert payer.pay().status_code == 201

        country("IT")
        refused = payer.pay()
        step_up(payer)

        assert code(refused) == (403, "fresh_proof_needed")
        assert [payer.pay().status_code for _ in range(2)] == [201, 201]

    def test_that_cannot_have_changed_steps_up(self, real_gates, country):
        """Minutes after an act in one country, no credential changes from another."""
        country("CH")
        device = real_gates.signed_up()
        country("JP")

        refused = device.send("PUT", "/v1/password", {"password": PASSWORD})
        body = {"password": PASSWORD, "step_up_id": step_up(device)}

        assert code(refused) == (403, "act_unusual")
        assert device.send("PUT", "/v1/password", body).status_code == 204


@pytest.mark.fault(54)
class TestThrottle:
    def test_remembers_failures_beyond_a_restart(self, owner, bank):
        """An attacker who waits for a restart has no fresh allowance; the owner's device has."""
        thief = bank.device(nonce=owner.nonce)
        for guess in range(10):
            log_in(thief, email=owner.address, password=f"guess {guess}", code="000000")
        acts = "/v1/acts"
        clerk, whose = bank.clerk(), owner.customer
        for _ in range(100):
            found = clerk.get(acts, params={"whose": whose, "limit": 50}).json()["items"]
            if len([act for act in found if act["act"] == "identity.log_in"]) == 10:
                break
            time.sleep(0.05)
        bank.office.throttle._counted.clear()

        assert bank.run(recall_failures(bank.office)) >= 10

        refused = log_in(thief, email=owner.address, code=totp_code(owner.seed))
        assert code(refused) == (429, "too_many_attempts")
        assert log_in(owner, email=owner.address, code=totp_code(owner.seed)).status_code == 201
