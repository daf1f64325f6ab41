"""What customers log in by, how it changes, and what guards against guessing and theft of it."""

from base64 import b32decode

import pytest
from tests.customers import account, new_address
from tests.totp import totp_code

from scudo.governance import Passage, Ruling

PASSWORD = "correct horse 4711"


def code(answer):
    return answer.status_code, answer.json()["code"]


REFUSED = (401, "log_in_refused")


@pytest.fixture
def owner(bank):
    """A customer with passkey, password, authenticator and recovery codes."""
    device = bank.signed_up()
    assert device.send("PUT", "/v1/password", {"password": PASSWORD}).status_code == 204
    begun = device.post("/v1/totp").json()
    body = {"challenge_id": begun["challenge_id"], "code": totp_code(begun["seed"], step=-1)}
    confirmed = device.post("/v1/totp/activation", body)
    assert confirmed.status_code == 201
    device.seed = begun["seed"]
    device.recovery = confirmed.json()["recovery_codes"]
    return device


def log_in(device, **body):
    """Log in by password."""
    device.lose_tokens()
    return device.keep(device.post("/v1/log-ins/password", {"password": PASSWORD} | body))


async def everything_logged(bank):
    """The bytes of every command, event, answer and record."""
    async with await bank.bank.connect() as connection:
        cursor = await connection.execute(
            "SELECT command FROM fabric.log_entry UNION ALL SELECT events FROM fabric.log_entry"
            " UNION ALL SELECT answer FROM fabric.log_entry"
            " UNION ALL SELECT body FROM fabric.record"
        )
        return [value for (value,) in await cursor.fetchall()]


class TestPassword:
    def test_with_a_code_begins_a_session(self, owner):
        """Password and a code of the authenticator let in, at an assurance of their own."""
        entered = log_in(owner, email=owner.address, code=totp_code(owner.seed))

        assert (entered.status_code, entered.json()["assurance"]) == (201, "password")

    def test_with_a_code_that_was_used_is_refused(self, owner):
        """A code is good once, and none before it is good any more."""
        number = totp_code(owner.seed, step=1)
        assert log_in(owner, email=owner.address, code=number).status_code == 201

        for used in (number, totp_code(owner.seed)):
            assert code(log_in(owner, email=owner.address, code=used)) == REFUSED

    def test_with_a_recovery_code_begins_a_session_once(self, owner):
        """Each of ten recovery codes stands for the authenticator once."""
        body = {"email": owner.address, "recovery_code": owner.recovery[0]}
        assert len(set(owner.recovery)) == 10
        assert log_in(owner, **body).status_code == 201
        assert owner.get("/v1/me").json()["recovery_codes_left"] == 9

        assert code(log_in(owner, **body)) == REFUSED
        body["recovery_code"] = owner.recovery[1]
        assert log_in(owner, **body).status_code == 201

    @pytest.mark.parametrize(
        "changed",
        [
            {"password": PASSWORD + "x"},
            {"password": ""},
            {"code": None},
            {"code": "wrong"},
            {"recovery_code": "AAAAAA-AAAAAA-AAAAAA-AAAAAA", "code": None},
            {"email": "nobody@example.com"},
        ],
    )
    def test_with_anything_wrong_is_refused_alike(self, owner, changed):
        """Wrong password, code or name are one refusal."""
        number = totp_code(owner.seed)
        body = {"email": owner.address, "code": number} | changed
        if body["code"] == "wrong":
            body["code"] = f"{(int(number) + 1) % 10**6:06}"
        body = {k: v for k, v in body.items() if v is not None}
        refused = log_in(owner, **body)

        if changed.get("password") == "":
            assert code(refused) == (400, "body_invalid")
        else:
            assert code(refused) == REFUSED
            assert refused.json()["detail"] == "name and proofs do not go together"

    def test_without_an_authenticator_lets_nobody_in(self, bank):
        """A password alone is no way in."""
        device = bank.signed_up()
        device.send("PUT", "/v1/password", {"password": PASSWORD})

        assert code(log_in(device, email=device.address, code="123456")) == REFUSED

    def test_that_changes_ends_other_sessions(self, owner, bank):
        """A new password leaves this session alone in the account; the customer is mailed."""
        other = bank.device(passkeys=owner.passkeys)
        other.log_in()

        body = {"password": "another horse 4712", "current_password": PASSWORD}
        changed = owner.send("PUT", "/v1/password", body)

        assert changed.status_code == 204
        assert code(other.get("/v1/me")) == (401, "token_unknown")
        assert owner.get("/v1/me").status_code == 200
        told = [bank.mailbox.mail(owner.address, "credentials") for _ in range(4)]
        assert "the password was set" in told[-1]
        assert code(log_in(other, email=owner.address, code=totp_code(owner.seed))) == REFUSED

    @pytest.mark.parametrize(
        "bend",
        [str.upper, str.title, lambda p: f"{p} ", lambda p: f" {p}", lambda p: p[:-1]],
        ids=["capitals", "title", "space after", "space before", "cut"],
    )
    def test_is_compared_as_it_came(self, owner, bank, bend):
        """Nothing is folded, trimmed or cut off."""
        body = {"password": bend(PASSWORD), "code": totp_code(owner.seed)}

        refused = log_in(bank.device(), email=owner.address, **body)

        assert code(refused) == REFUSED

    @pytest.mark.parametrize("current", [{}, {"current_password": "another horse 4712"}])
    def test_is_not_changed_without_the_one_before(self, owner, bank, current):
        """A session alone changes no password; who tries is told to the log, and slowed down."""
        body = {"password": "a third horse 4713", **current}

        refused = [owner.send("PUT", "/v1/password", body) for _ in range(12)]

        assert code(refused[0]) == (401, "password_unproven")
        assert code(refused[-1]) == (429, "too_many_attempts")
        acts = bank.events("governance.act.recorded.v1")
        assert ("identity.set_password", "password_unproven") in {
            (act["act"], act["result"]) for act in acts
        }
        assert log_in(bank.device(), email=owner.address, code=totp_code(owner.seed)).is_success

    @pytest.mark.parametrize(
        "password",
        [
            "short",
            "x" * 129,
            "aaaaaaaaaaaaaaaa",
            "abcabcabcabcabc",
            "abcdefghijklmnop",
            "1qaz2wsx3edc",
            "Scudo-Bank-2026",
        ],
    )
    def test_that_a_rule_guesses_is_refused(self, customer, password):
        """Too short, too long, repeated, counted, common or about the bank: refused."""
        refused = customer.send("PUT", "/v1/password", {"password": password})

        assert code(refused) == (422, "password_too_weak")

    def test_that_is_the_address_is_refused(self, bank):
        """The own address is no password."""
        device = bank.signed_up()

        refused = device.send("PUT", "/v1/password", {"password": f"{device.address}1"})

        assert code(refused) == (422, "password_too_weak")

    def test_is_stored_as_argon2id_by_the_parameters_of_owasp(self, owner, bank):
        """19 MiB, two passes, one lane; by the vault."""
        customer = int(owner.customer.removeprefix("cus_"), 16)
        kept = bank.run(bank.office.ports.persons.read(customer, "password_hash"))

        assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert " " not in kept

    def test_is_nowhere_in_the_log(self, owner, bank):
        """No command, event or record holds what could be tried against a list of passwords."""
        kept = bank.run(everything_logged(bank))

        assert owner.customer
        assert any(b"password" in bytes(value) for value in kept)
        assert not any(b"argon2" in bytes(value) for value in kept)

    def test_stays_what_it_was_when_its_change_is_refused(self, owner, bank, terms):
        """The vault has the new hash by then, and drops it."""
        customer = int(owner.customer.removeprefix("cus_"), 16)
        office = bank.office
        before = bank.run(office.ports.persons.read(customer, "password_hash"))
        terms(fresh_us=-1)
        body = {"password": "another horse 4712", "current_password": PASSWORD}

        assert code(owner.send("PUT", "/v1/password", body)) == (403, "fresh_proof_needed")

        assert bank.run(office.ports.persons.read(customer, "password_hash")) == before
        assert log_in(owner, email=owner.address, code=totp_code(owner.seed)).status_code == 201


class TestPasskey:
    def test_is_added_once(self, bank):
        """What is registered is not registered again, and a challenge is not used again."""
        device = bank.signed_up()
        asked = device.post("/v1/passkeys/challenges").json()
        body = {
            "challenge_id": asked["challenge_id"],
            "credential": device.passkeys.create(asked["public_key"]),
        }
        assert device.post("/v1/passkeys", body).status_code == 201
        assert len(device.get("/v1/me").json()["passkeys"]) == 2

        assert code(device.post("/v1/passkeys", body)) == (409, "challenge_unknown")

    def test_is_added_for_the_sessions_own_challenge(self, bank, customer):
        """What another session was asked for is not this one's."""
        device = bank.signed_up()
        asked = customer.post("/v1/passkeys/challenges").json()
        body = {
            "challenge_id": asked["challenge_id"],
            "credential": device.passkeys.create(asked["public_key"]),
        }

        assert code(device.post("/v1/passkeys", body)) == (409, "challenge_unknown")

    def test_is_made_by_a_user_who_was_verified(self, bank):
        """An authenticator that saw nobody makes none."""
        device = bank.signed_up()
        device.passkeys.verifies = False

        assert code(device.add_passkey()) == (400, "passkey_invalid")

    def test_is_added_after_a_fresh_proof_only(self, bank, terms):
        """In a session whose proof is not new a step-up is needed, and is good once."""
        device = bank.signed_up()
        terms(fresh_us=-1)
        assert code(device.add_passkey()) == (403, "fresh_proof_needed")
        asked = device.post("/v1/step-ups", {"act": "credentials"}).json()
        unproven = device.add_passkey(step_up_id=asked["step_up_id"])
        assert code(unproven) == (403, "step_up_needed")
        proof = {"credential": device.passkeys.get(asked["public_key"])}
        assert device.post(f"/v1/step-ups/{asked['step_up_id']}/proof", proof).is_success

        assert device.add_passkey(step_up_id=asked["step_up_id"]).status_code == 201
        again = device.add_passkey(step_up_id=asked["step_up_id"])
        assert code(again) == (403, "step_up_needed")

    def test_is_not_added_by_the_enrolment_session_once_there_is_one(self, bank):
        """Whoever only proved the mailbox adds the first credential, and no second."""
        address, device = new_address(), bank.device()
        sent = device.post("/v1/sign-ups", {"email": address}).json()
        device.activate(address, sent["code_id"], bank.mailbox.code(address))
        assert device.add_passkey().status_code == 201

        assert code(device.add_passkey()) == (403, "fresh_proof_needed")

    def test_beyond_ten_is_refused(self, bank):
        """Ten are kept."""
        device = bank.signed_up()
        for _ in range(9):
            assert device.add_passkey().status_code == 201

        assert code(device.add_passkey()) == (409, "credential_limit")

    def test_that_is_removed_is_good_no_longer(self, bank):
        """A removed passkey lets nobody in; the last one stays."""
        device = bank.signed_up()
        first = device.get("/v1/me").json()["passkeys"][0]["id"]
        refused = device.send("DELETE", f"/v1/passkeys/{first}")
        assert code(refused) == (409, "credential_limit")
        assert code(device.send("DELETE", "/v1/passkeys/psk_7fffffffffffffff")) == (
            404,
            "credential_not_found",
        )
        stolen, owner = next(iter(device.passkeys.made)), device.customer
        device.add_passkey()

        assert device.send("DELETE", f"/v1/passkeys/{first}").status_code == 204
        device.passkeys.made = {stolen: device.passkeys.made[stolen]}
        assert code(device.log_in()) == (401, "assertion_invalid")
        removed = bank.events("identity.credential.removed.v1")[-1]
        assert (removed["customer"], removed["kind"]) == (owner, "passkey")


class TestTotp:
    def test_gives_recovery_codes_of_120_random_bits(self, owner):
        """Ten codes of fifteen random bytes each, none like another."""
        made = {b32decode(code.replace("-", "")) for code in owner.recovery}

        assert len(made) == 10
        assert {len(secret) for secret in made} == {15}

    def test_is_confirmed_by_its_own_code(self, bank):
        """A wrong code confirms nothing, and the seed is forgotten."""
        device = bank.signed_up()
        begun = device.post("/v1/totp").json()
        wrong = f"{(int(totp_code(begun['seed'])) + 1) % 10**6:06}"
        body = {"challenge_id": begun["challenge_id"], "code": wrong}

        assert code(device.post("/v1/totp/activation", body)) == (401, "code_refused")
        body["code"] = totp_code(begun["seed"])
        assert code(device.post("/v1/totp/activation", body)) == (409, "challenge_unknown")
        assert device.get("/v1/me").json()["has_totp"] is False


class TestGate:
    def test_that_steps_up_is_not_satisfied_by_a_password(self, owner, bank):
        """What can be phished does not discharge a step-up at log-in; a passkey does."""
        bank.gates.rulings[Passage.LOG_IN] = Ruling.STEP_UP

        refused = log_in(owner, email=owner.address, code=totp_code(owner.seed))

        assert code(refused) == (403, "log_in_declined")
        assert owner.log_in().status_code == 201


@pytest.mark.fault(54)
class TestStuffing:
    def test_is_slowed_down_and_the_owners_device_is_not(self, owner, bank):
        """A stranger who guesses is refused unlooked-at soon; the known device logs in."""
        stranger = bank.device(nonce=owner.nonce)
        guesses = [
            log_in(stranger, email=owner.address, password=f"guess number {n}", code="000000")
            for n in range(16)
        ]
        codes = [code(guess) for guess in guesses]

        assert codes[:10] == [REFUSED] * 10
        assert codes[10:] == [(429, "too_many_attempts")] * 6
        assert int(guesses[-1].headers["retry-after"]) >= 1
        entered = log_in(owner, email=owner.address, code=totp_code(owner.seed))
        assert entered.status_code == 201

    def test_over_many_names_is_slowed_down_by_network(self, bank):
        """Whoever tries one password on many names meets the network's allowance."""
        stranger = bank.device()
        codes = [code(log_in(stranger, email=new_address(), code="000000")) for _ in range(55)]

        assert codes[:50] == [REFUSED] * 50
        assert codes[-1] == (429, "too_many_attempts")

    def test_of_unknown_names_is_answered_with_the_same_work(self, owner, bank, quiet):
        """Known and unknown names give the same bytes, entries of the log, and hashes."""
        stranger, hashed = bank.device(nonce=owner.nonce), []
        verify = bank.office.passwords._verify

        def counting(*given):
            hashed.append(given)
            return verify(*given)

        answers, work = [], []
        bank.office.passwords._verify = counting
        try:
            for address in (owner.address, new_address()):
                with quiet() as counted:
                    body = {"email": address, "code": "000000", "password": "wrong horse 4713"}
                    answers.append(log_in(stranger, **body))
                work += counted
        finally:
            del bank.office.passwords._verify

        assert [code(a) for a in answers] == [REFUSED] * 2
        assert answers[0].content == answers[1].content
        assert work == [1, 1]
        assert len(hashed) == 2

    def test_of_codes_is_counted_beyond_restarts(self, bank):
        """Tries of a code are in the log, so no restart gives new ones."""
        device, address = bank.device(), new_address()
        sent = device.post("/v1/sign-ups", {"email": address}).json()
        number = bank.mailbox.code(address)
        wrong = "00000000" if number != "00000000" else "00000001"
        for _ in range(5):
            device.activate(address, sent["code_id"], wrong)
        found = bank.run(
            bank.office.find(bank.store.codes, int(sent["code_id"].removeprefix("cod_"), 16))
        )

        assert (found.tries, found.is_spent) == (5, False)


class TestRecovery:
    def begin(self, bank, owner):
        """A new device that has the mailbox."""
        sent = bank.device().post("/v1/recoveries", {"email": owner.address}).json()
        return bank.device(nonce=owner.nonce), sent["code_id"], bank.mailbox.code(owner.address)

    def recover(self, device, owner, code_id, number, **proof):
        body = {"email": owner.address, "code": number} | proof
        return device.keep(device.post(f"/v1/recoveries/{code_id}/proof", body))

    def test_takes_two_proofs_and_cools_off(self, owner, bank):
        """Mail and a recovery code let in; credentials and large new payments wait."""
        device, code_id, number = self.begin(bank, owner)

        entered = self.recover(device, owner, code_id, number, recovery_code=owner.recovery[0])

        assert (entered.status_code, entered.json()["assurance"]) == (201, "recovered")
        assert "72 hours" in bank.mailbox.mail(owner.address, "recovered")
        assert device.get("/v1/me").json()["cooling_off_until"] is not None
        assert code(device.add_passkey()) == (403, "cooling_off")
        changed = device.send("PUT", "/v1/password", {"password": "another horse 4712"})
        assert code(changed) == (403, "cooling_off")
        recovered = bank.events("identity.customer.recovered.v1")[-1]
        assert recovered["customer"] == owner.customer

    def test_takes_a_passkey_as_the_second_proof(self, owner, bank):
        """Whoever has the mailbox and a passkey is let in."""
        device, code_id, number = self.begin(bank, owner)
        asked = device.post("/v1/log-ins/challenges").json()
        credential = owner.passkeys.get(asked["public_key"])
        proof = {"challenge_id": asked["challenge_id"], "credential": credential}

        assert self.recover(device, owner, code_id, number, **proof).status_code == 201

    @pytest.mark.parametrize("proof", [{}, {"recovery_code": "AAAAAA-AAAAAA-AAAAAA-AAAAAA"}])
    def test_by_mail_alone_is_refused(self, owner, bank, proof):
        """The mailbox alone, or with a wrong code, gives no account back; the code is used."""
        device, code_id, number = self.begin(bank, owner)

        assert code(self.recover(device, owner, code_id, number, **proof)) == REFUSED
        right = {"recovery_code": owner.recovery[0]}
        assert code(self.recover(device, owner, code_id, number, **right)) == (401, "code_refused")

    def test_of_nobody_mails_why(self, bank):
        """For an unknown address the answer is the same, and the mail holds no code."""
        address = new_address()

        assert bank.device().post("/v1/recoveries", {"email": address}).status_code == 202
        assert bank.mailbox.mail(address, "There is no account")

    def test_that_the_gate_declines_gives_nothing_back(self, owner, bank):
        """The gate of recoveries is asked."""
        device, code_id, number = self.begin(bank, owner)
        bank.gates.rulings[Passage.RECOVERY] = Ruling.DECLINE
        proof = {"recovery_code": owner.recovery[0]}

        declined = self.recover(device, owner, code_id, number, **proof)

        assert code(declined) == (403, "log_in_declined")

    def test_is_stopped_from_a_session_of_before_and_from_no_other(self, owner, bank):
        """The owner's live session ends what the recovery began; the recovered one cannot."""
        device, code_id, number = self.begin(bank, owner)
        self.recover(device, owner, code_id, number, recovery_code=owner.recovery[0])
        assert code(device.send("DELETE", "/v1/recoveries")) == (404, "recovery_not_found")

        assert owner.send("DELETE", "/v1/recoveries").status_code == 204
        assert code(device.get("/v1/me")) == (401, "token_unknown")
        assert owner.get("/v1/me").json()["cooling_off_until"] is None
        assert code(owner.send("DELETE", "/v1/recoveries")) == (404, "recovery_not_found")
        assert owner.add_passkey().status_code == 201


class TestCoolingOff:
    def test_holds_back_large_payments_to_new_payees_only(self, owner, bank):
        """After a recovery a payee of before is paid, a new one little; the limit is a term."""
        clerk = bank.clerk()
        own = account(clerk, owner.customer, 1_000_000)
        other = bank.signed_up().customer
        usual, new = account(clerk, other), account(clerk, other)

        def pay(device, amount, to):
            body = {
                "debit_account_id": own,
                "credit_account_id": to,
                "amount_minor": amount,
                "currency": "EUR",
            }
            return device.order("/v1/payments", body)

        assert pay(owner, 1_000, usual).json()["status"] == "settled"
        sent = bank.device().post("/v1/recoveries", {"email": owner.address}).json()
        device = bank.device(nonce=owner.nonce)
        number = bank.mailbox.code(owner.address)
        body = {"email": owner.address, "code": number, "recovery_code": owner.recovery[0]}
        device.keep(device.post(f"/v1/recoveries/{sent['code_id']}/proof", body))

        limit = bank.store.terms.cooling_off_limit
        assert code(pay(device, limit + 1, new)) == (403, "cooling_off")
        assert pay(device, limit, new).status_code == 201
        assert code(pay(device, limit + 1, new)) == (403, "cooling_off")
        assert pay(device, limit + 1, usual).status_code == 201
        assert owner.send("DELETE", "/v1/recoveries").status_code == 204
        assert pay(owner, limit + 1, new).status_code == 201
