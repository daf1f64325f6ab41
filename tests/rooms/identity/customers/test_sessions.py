"""Tokens are good with their device's key only, and sessions end when they are told to."""

import time

import pytest
from tests.customers import new_address, serving

from scudo.governance import Passage, Ruling, Shut
from scudo.simulation import DeviceKey


def code(answer):
    return answer.status_code, answer.json()["code"]


def misuses(bank, device):
    """Codes of the alarms of a device's customer; they are told a moment later."""
    for _ in range(100):
        found = [
            event["code"]
            for event in bank.events("identity.session.misused.v1")
            if event["customer"] == device.customer and event["severity"] == 3
        ]
        if found:
            break
        time.sleep(0.05)
    return found


@pytest.mark.fault(50)
class TestStolenToken:
    @pytest.mark.parametrize(
        ("theft", "expected"),
        [
            ("no proof", "proof_missing"),
            ("as bearer", "proof_missing"),
            ("another key", "key_mismatched"),
        ],
    )
    def test_is_refused_alarmed_and_dead(self, bank, theft, expected):
        """Without the device's key a token does nothing; the alarm rings, the owner renews."""
        owner = bank.signed_up()
        thief = bank.device(access=owner.access, nonce=owner.nonce)
        scheme = {"authorization": f"Bearer {owner.access}"} if theft == "as bearer" else {}
        proof = thief.proof("GET", "/v1/me") if theft == "another key" else None

        stolen = thief.send_with(proof, "GET", "/v1/me", **scheme)

        assert code(stolen) == (401, expected)
        assert misuses(bank, owner) == [expected]
        assert code(owner.get("/v1/me")) == (401, "token_unknown")
        assert owner.renew().status_code == 201
        assert owner.get("/v1/me").status_code == 200

    def test_with_a_proof_that_was_used_is_refused_and_alarmed(self, bank):
        """A request that is sent again as it was is refused; the owner goes on."""
        owner = bank.signed_up()
        proof = owner.proof("GET", "/v1/me")
        assert owner.send_with(proof, "GET", "/v1/me").status_code == 200

        again = owner.send_with(proof, "GET", "/v1/me")

        assert code(again) == (401, "proof_replayed")
        assert misuses(bank, owner) == ["proof_replayed"]
        assert owner.get("/v1/me").status_code == 200

    @pytest.mark.parametrize(
        ("method", "path"), [("POST", "/v1/me"), ("GET", "/v1/sessions"), ("GET", "/v1/me/")]
    )
    def test_with_the_proof_of_another_request_is_refused(self, bank, customer, method, path):
        """A proof of another method or URL says nothing for this one."""
        proof = customer.proof(method, path)

        refused = customer.send_with(proof, "GET", "/v1/me")

        assert code(refused) == (401, "proof_mismatched")
        assert 'DPoP error="invalid_dpop_proof"' in refused.headers["www-authenticate"]

    def test_with_two_proofs_is_refused(self, bank, customer):
        """Which of two proofs counts is a question that nobody asks."""
        proofs = [("dpop", customer.proof("GET", "/v1/me")) for _ in range(2)]
        headers = [("authorization", f"DPoP {customer.access}"), *proofs]

        assert code(customer.http.get("/v1/me", headers=headers)) == (400, "header_invalid")


@pytest.mark.fault(49)
class TestAccessToken:
    def test_is_refused_when_its_time_is_over(self, bank, terms):
        """After its life a token is as unknown as one that never was."""
        device = bank.signed_up()
        terms(token_us=0)
        device.renew()

        assert code(device.get("/v1/me")) == (401, "token_unknown")
        device.access = "at_never"
        assert code(device.get("/v1/me")) == (401, "token_unknown")

    def test_says_when_its_time_is_over(self, bank, customer):
        """Five minutes, said with every token."""
        renewed = customer.renew().json()

        assert (renewed["expires_in_s"], renewed["token_type"]) == (300, "DPoP")

    def test_before_a_credential_is_good_for_adding_one_only(self, bank):
        """Whoever has proven a mailbox alone can add a credential and nothing else."""
        device = bank.signed_up()
        address_only = bank.device()
        address = new_address()
        sent = address_only.post("/v1/sign-ups", {"email": address}).json()
        address_only.activate(address, sent["code_id"], bank.mailbox.code(address))

        assert code(address_only.get("/v1/payments")) == (403, "scope_missing")
        assert address_only.get("/v1/me").status_code == 200
        assert device.get("/v1/payments").status_code == 200


@pytest.mark.fault(49, 50)
class TestRefreshToken:
    def test_is_good_once_and_a_second_use_ends_the_session(self, bank):
        """Two holders of one token cannot be told apart: both are out, and the alarm rings."""
        device = bank.signed_up()
        old = device.refresh
        assert device.renew().status_code == 201
        newest = device.refresh
        body = {"refresh_token": old}
        access, device.access = device.access, None

        reused = device.post("/v1/tokens/refresh", body)

        assert code(reused) == (401, "refresh_refused")
        assert misuses(bank, device) == ["refresh_reused"]
        ended = bank.events("identity.session.ended.v1")
        assert (device.session, "refresh_reused") in [(e["session"], e["code"]) for e in ended]
        assert code(device.post("/v1/tokens/refresh", {"refresh_token": newest})) == (
            401,
            "refresh_refused",
        )
        device.access = access
        assert code(device.get("/v1/me")) == (401, "token_unknown")

    def test_with_another_key_is_refused_and_stays_good(self, bank):
        """A stolen refresh token does nothing without the device's key; the alarm rings."""
        owner = bank.signed_up()
        thief = bank.device(nonce=owner.nonce)

        stolen = thief.post("/v1/tokens/refresh", {"refresh_token": owner.refresh})

        assert code(stolen) == (401, "refresh_refused")
        assert misuses(bank, owner) == ["key_mismatched"]
        assert owner.renew().status_code == 201

    @pytest.mark.parametrize("token", ["rt_", "rt_never", "x" * 128])
    def test_that_never_was_is_refused(self, bank, customer, token):
        """What is no refresh token is refused in the same words."""
        access, customer.access = customer.access, None
        refused = customer.post("/v1/tokens/refresh", {"refresh_token": token})
        customer.access = access

        assert code(refused) == (401, "refresh_refused")

    def test_is_refused_when_it_is_old_or_its_session_is(self, bank, terms):
        """Not used for long, or of a session beyond its life: log in anew."""
        for limits in ({"refresh_us": -1}, {"session_us": -1}):
            device = bank.signed_up()
            if "refresh_us" in limits:
                terms(**limits)
                device.log_in()
            terms(**limits)

            assert code(device.renew()) == (401, "refresh_refused")
            bank.store.terms = type(bank.store.terms)()

    def test_survives_a_restart_and_access_tokens_do_not(self, database, tmp_path):
        """After a restart a device takes new tokens, and an older refresh token still alarms."""
        with serving(database.dsn, tmp_path) as bank:
            device = bank.signed_up()
            oldest = device.refresh
            device.renew()
        with serving(database.dsn, tmp_path) as bank:
            device.http = bank.stranger()
            device.nonce = None
            assert code(device.get("/v1/me")) == (401, "token_unknown")
            assert device.renew().status_code == 201
            assert device.get("/v1/me").status_code == 200
            device.access = None
            reused = device.post("/v1/tokens/refresh", {"refresh_token": oldest})
            assert code(reused) == (401, "refresh_refused")
            assert misuses(bank, device) == ["refresh_reused"]


class TestSessions:
    def test_are_listed_and_ended_one_by_one(self, bank):
        """A customer sees every session, ends one, and its token is good no longer at once."""
        first = bank.signed_up()
        second = bank.device(passkeys=first.passkeys)
        assert second.log_in().status_code == 201
        listed = {s["id"]: s["is_this"] for s in first.get("/v1/sessions").json()["items"]}
        assert listed[first.session] is True
        assert listed[second.session] is False

        ended = first.send("DELETE", f"/v1/sessions/{second.session}")

        assert ended.status_code == 204
        assert code(second.get("/v1/me")) == (401, "token_unknown")
        assert code(second.renew()) == (401, "refresh_refused")
        assert first.get("/v1/me").status_code == 200

    def test_are_ended_by_the_bank(self, bank):
        """The bank's own people end all sessions of a customer, and of nobody else."""
        first, other = bank.signed_up(), bank.signed_up()
        clerk, unknown = bank.clerk(), "cus_7fffffffffffffff"

        ended = clerk.delete(f"/v1/customers/{first.customer}/sessions")

        assert ended.status_code == 204
        assert code(first.get("/v1/me")) == (401, "token_unknown")
        assert code(first.renew()) == (401, "refresh_refused")
        assert other.get("/v1/me").status_code == 200
        assert code(clerk.delete(f"/v1/customers/{unknown}/sessions")) == (
            404,
            "customer_not_found",
        )
        told = [e["code"] for e in bank.events("identity.session.ended.v1")]
        assert "ended_by_bank" in told

    def test_are_ended_all_at_once(self, bank):
        """Ending all ends this one too."""
        first = bank.signed_up()
        second = bank.device(passkeys=first.passkeys)
        second.log_in()

        assert first.send("DELETE", "/v1/sessions").status_code == 204
        assert code(first.get("/v1/me")) == (401, "token_unknown")
        assert code(second.get("/v1/me")) == (401, "token_unknown")
        assert code(first.renew()) == (401, "refresh_refused")

    @pytest.mark.parametrize("session", ["ses_7fffffffffffffff", "foreign"])
    def test_of_others_are_as_if_they_were_none(self, bank, customer, session):
        """A foreign session and one that never was are answered alike, and live on."""
        other = bank.signed_up()
        name = other.session if session == "foreign" else session

        refused = customer.send("DELETE", f"/v1/sessions/{name}")

        assert code(refused) == (404, "session_not_found")
        assert other.get("/v1/me").status_code == 200

    def test_beyond_twenty_end_the_oldest(self, bank):
        """A twenty-first session ends the first."""
        first = bank.signed_up()
        device = bank.device(passkeys=first.passkeys)
        for _ in range(19):
            bank.office.throttle._counted.clear()
            assert device.log_in().status_code == 201
        live = device.get("/v1/sessions").json()["items"]

        assert len(live) == 20
        assert device.log_in().status_code == 201
        assert len(device.get("/v1/sessions").json()["items"]) == 20
        ended = bank.events("identity.session.ended.v1")
        assert "too_many_sessions" in {e["code"] for e in ended if e["customer"] == first.customer}


class TestGates:
    @pytest.mark.parametrize("passage", [Passage.LOG_IN, Passage.NEW_DEVICE])
    @pytest.mark.parametrize("ruling", [Ruling.HOLD, Ruling.DECLINE, Ruling.BLOCK])
    def test_keep_out_whom_they_decline(self, bank, passage, ruling):
        """A log-in that a gate declines begins nothing, and leaves a trace."""
        owner = bank.signed_up()
        device = bank.device(passkeys=owner.passkeys)
        bank.gates.rulings[passage] = ruling

        assert code(device.log_in()) == (403, "log_in_declined")
        failed = bank.events("identity.log_in.failed.v1")[-1]
        assert (failed["customer"], failed["code"]) == (owner.customer, "log_in_declined")

    def test_ask_about_a_device_the_first_time_only(self, bank):
        """A device that was let in once is not new again."""
        owner = bank.signed_up()
        device = bank.device(passkeys=owner.passkeys, key=DeviceKey("Ed25519"))
        passages = []
        for _ in range(2):
            bank.gates.asked.clear()
            assert device.log_in().status_code == 201
            passages.append([asked.passage for asked in bank.gates.asked])

        assert passages == [[Passage.LOG_IN, Passage.NEW_DEVICE], [Passage.LOG_IN]]
        assert "device" in bank.mailbox.mail(owner.address, "A new device")

    def test_that_step_up_are_satisfied_by_a_passkey(self, bank):
        """A passkey is what a step-up asks for."""
        owner = bank.signed_up()
        bank.gates.rulings[Passage.LOG_IN] = Ruling.STEP_UP

        assert owner.log_in().status_code == 201

    def test_that_are_shut_let_nobody_in(self, bank):
        """Without gates nobody logs in."""
        owner = bank.signed_up()
        bank.store.gates = Shut()

        assert code(owner.log_in()) == (503, "gate_shut")


class TestPasskeyLogIn:
    def test_uses_a_challenge_up(self, bank, customer):
        """A challenge is answered once, and must have been given."""
        device = bank.device(passkeys=customer.passkeys, nonce=customer.nonce)
        asked = device.post("/v1/log-ins/challenges").json()
        body = {
            "challenge_id": asked["challenge_id"],
            "credential": device.passkeys.get(asked["public_key"]),
        }
        assert device.post("/v1/log-ins/passkey", body).status_code == 201

        assert code(device.post("/v1/log-ins/passkey", body)) == (409, "challenge_unknown")

    def test_by_a_passkey_that_nobody_has_is_refused_and_recorded(self, bank, customer):
        """An unknown passkey, and a known one with a wrong signature, are refused alike."""
        stranger = bank.device(nonce=customer.nonce)
        asked = stranger.post("/v1/log-ins/challenges").json()
        made = {"user": {"id": "AAAA"}, "rp": {"id": "localhost"}, "challenge": "AAAA"}
        stranger.passkeys.create(made)
        unknown = {
            "challenge_id": asked["challenge_id"],
            "credential": stranger.passkeys.get(asked["public_key"]),
        }
        asked = stranger.post("/v1/log-ins/challenges").json()
        forged = customer.passkeys.get(asked["public_key"] | {"challenge": "AAAA"})
        answers = [
            stranger.post("/v1/log-ins/passkey", unknown),
            stranger.post(
                "/v1/log-ins/passkey",
                {"challenge_id": asked["challenge_id"], "credential": forged},
            ),
        ]

        assert [code(a) for a in answers] == [(401, "assertion_invalid")] * 2
        assert answers[0].json()["detail"] == answers[1].json()["detail"]
        acts = bank.events("governance.act.recorded.v1")[-2:]
        assert [(a["act"], a["result"], a["actor"]) for a in acts] == [
            ("identity.log_in", "assertion_invalid", 0)
        ] * 2

    def test_of_a_copied_passkey_is_refused(self, bank):
        """A counter that does not grow is a copy's: it is refused."""
        owner = bank.signed_up()
        owner.passkeys.sign_count -= 1

        assert code(owner.log_in()) == (401, "assertion_invalid")
