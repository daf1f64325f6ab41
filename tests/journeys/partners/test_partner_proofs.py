"""Tokens of partners that are bound to a key: each request is proven by it (RFC 9449)."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from tests.journeys.partners.conftest import secure_bank
from tests.journeys.partners.partnership import SCOPES, Partnership
from tests.rooms.identity.signing import Signer, token_form

from scudo.fabric.settings import ORIGIN_DEFAULT
from scudo.identity.partners import Environment
from scudo.simulation import DeviceKey

_TOKENS = "/v1/oauth/token"
_ORIGIN = ORIGIN_DEFAULT


@dataclass
class Program:
    """A partner's program with a key for proofs; it knows the nonce that it was told."""

    partner: Partnership
    http: httpx.Client
    key: DeviceKey = field(default_factory=DeviceKey)
    nonce: str | None = None
    token: str | None = None

    def ask(self, assertion: str | None = None, **claims: Any) -> httpx.Response:
        """Ask for a token by an assertion and a proof; the proof's claims may be changed."""
        if assertion is None:
            assertion = self.partner.signer.assertion(**self.partner.claims())
        proof = self.key.proof("POST", _ORIGIN + _TOKENS, **({"nonce": self.nonce} | claims))
        return self.http.post(_TOKENS, data=token_form(assertion), headers={"dpop": proof})

    def admitted(self) -> "Program":
        """Learn the nonce as programs do, and get a token."""
        asked = self.ask()
        if asked.status_code == 400 and asked.json()["error"] == "use_dpop_nonce":
            self.nonce = asked.headers["dpop-nonce"]
            asked = self.ask()
        assert asked.status_code == 200, asked.text
        self.token = asked.json()["access_token"]
        return self

    def proof(self, path: str, *, key: DeviceKey | None = None, **claims: Any) -> str:
        claims = {"nonce": self.nonce} | claims
        return (key or self.key).proof("GET", _ORIGIN + path, token=self.token, **claims)

    def read(self, path: str, proof: str | None, scheme: str = "DPoP") -> httpx.Response:
        headers = {"authorization": f"{scheme} {self.token}"}
        return self.http.get(path, headers=headers if proof is None else headers | {"dpop": proof})


@pytest.fixture
def program(secure, partner_of):
    return Program(partner_of(), secure.client())


@pytest.fixture
def path(accounts):
    return f"/v1/accounts/{accounts[1]}/balance"


class TestATokenBoundToAKey:
    @pytest.mark.parametrize("kind", ["P-256", "Ed25519"])
    def test_lets_in_with_the_proofs_of_its_key(self, secure, partner_of, path, kind):
        """Asked for with a proof, a token says DPoP, is told as bound, and works with proofs."""
        program = Program(partner_of(), secure.client(), DeviceKey(kind)).admitted()
        asked = program.ask()

        answers = [program.read(path, program.proof(path)) for _ in range(3)]

        assert asked.json()["token_type"] == "DPoP"
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        issued = secure.events("identity.partner.token_issued.v1")[-1]["data"]
        assert (issued["method"], issued["binding"]) == ("private_key_jwt", "proof")

    @pytest.mark.fault(49)
    @pytest.mark.parametrize(
        ("claims", "code"),
        [
            ({"htm": "POST"}, "proof_mismatched"),
            ({"htu": f"{_ORIGIN}/v1/accounts"}, "proof_mismatched"),
            ({"htu": "https://another.example/v1/me"}, "proof_mismatched"),
            ({"ath": "AAAA"}, "proof_mismatched"),
            ({"ath": None}, "proof_mismatched"),
            ({"jti": ""}, "proof_malformed"),
            ({"iat": int(time.time()) - 3_600}, "proof_expired"),
            ({"iat": int(time.time()) + 3_600}, "proof_expired"),
            ({"nonce": "another"}, "proof_nonce_needed"),
            ({"header": {"alg": "none"}}, "proof_malformed"),
            ({"header": {"alg": "HS256"}}, "proof_malformed"),
            ({"header": {"typ": "JWT"}}, "proof_malformed"),
            ({"key": DeviceKey()}, "key_mismatched"),
        ],
    )
    def test_is_refused_with_another_proof(self, program, path, claims, code):
        """A proof of another request, time, key or kind is refused with a challenge, and noted."""
        program.admitted()

        refused = program.read(path, program.proof(path, **claims))

        assert (refused.status_code, refused.json()["code"]) == (401, code)
        assert refused.headers["www-authenticate"].startswith("DPoP error=")
        assert code in program.partner.refusals("identity.use_token")

    @pytest.mark.fault(49)
    def test_is_refused_with_a_proof_that_was_used(self, program, path):
        """A proof works once, also between the partner's programs."""
        proof = program.admitted().proof(path)

        answers = [program.read(path, proof) for _ in range(2)]

        assert [answer.status_code for answer in answers] == [200, 401]
        assert answers[1].json()["code"] == "proof_replayed"

    @pytest.mark.fault(49)
    def test_is_of_no_use_without_proofs(self, program, path):
        """As a bearer's, or without any proof, the token is refused: a thief has it only."""
        program.admitted()

        answers = [
            program.read(path, None),
            program.read(path, None, "Bearer"),
            program.read(path, program.proof(path), "Bearer"),
        ]

        codes = [(answer.status_code, answer.json()["code"]) for answer in answers]
        assert codes == [(401, "proof_missing"), (401, "token_not_bound"), (401, "token_not_bound")]

    def test_stays_a_bearers_token_without_a_proof(self, program, path):
        """A token that was asked for without a proof is not let in with one."""
        program.token = program.partner.ask(program.http).json()["access_token"]

        refused = program.read(path, program.proof(path))

        assert (refused.status_code, refused.json()["code"]) == (401, "token_not_bound")


class TestAskingForIt:
    def test_wants_the_servers_nonce_after_a_start(self, program):
        """A proof that may be older than the server is sent back with the nonce for the next.

        The assertion that came with it is not used up.
        """
        assertion = program.partner.signer.assertion(**program.partner.claims())
        first = program.ask(assertion, nonce="of a server before this one")
        program.nonce = first.headers["dpop-nonce"]

        second = program.ask(assertion)

        assert (first.status_code, first.json()["error"]) == (400, "use_dpop_nonce")
        assert (second.status_code, second.json()["token_type"]) == (200, "DPoP")

    @pytest.mark.fault(49)
    @pytest.mark.parametrize(
        ("claims", "reason"),
        [
            ({"htm": "GET"}, "proof_mismatched"),
            ({"htu": f"{_ORIGIN}/v1/me"}, "proof_mismatched"),
            ({"iat": 1}, "proof_expired"),
            ({"jti": None}, "proof_malformed"),
            ({"header": {"alg": "ES384"}}, "proof_malformed"),
        ],
    )
    def test_is_refused_with_a_proof_that_is_not_good(self, secure, program, claims, reason):
        """What is wrong with the proof is told as OAuth has it, and kept in the audit trail."""
        program.admitted()

        refused = program.ask(**claims)

        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_dpop_proof")
        assert refused.json()["code"] == "token_key_unproven"
        acts = secure.events("governance.act.recorded.v1")
        told = [a["data"] for a in acts if a["data"]["result"] == "token_key_unproven"]
        assert told[-1]["reason"] == reason

    @pytest.mark.fault(49)
    def test_is_refused_with_a_proof_that_was_used(self, program):
        """One proof gives one token, whatever assertion it comes with."""
        program.admitted()

        answers = [program.ask(jti="the same") for _ in range(2)]

        assert [answer.status_code for answer in answers] == [200, 400]
        assert answers[1].json()["error"] == "invalid_dpop_proof"

    def test_comes_before_no_proof_of_who_asks(self, program):
        """Who has not shown to be a partner learns nothing about proofs."""
        refused = program.ask("a.b.c", htm="GET")

        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


@pytest.mark.fault(49)
def test_production_is_satisfied_by_a_key(database, tmp_path):
    """In production a partner without a certificate has tokens, bound to the key it proves."""
    with secure_bank(database.dsn, tmp_path, Environment.PRODUCTION) as live:
        body = {"name": "live", "environment": "production", "scopes": SCOPES, "must_sign": False}
        number = live.admin.post("/v1/partners", json=body).json()["id"]
        partner = Partnership(live, number, Signer(), live.certificate("live"))
        partner.change("keys", {"key": partner.signer.jwk})
        program = Program(partner, live.client())

        unbound = partner.ask(live.client())
        path = "/v1/accounts/acc_0000000000000001/balance"
        seen = program.admitted().read(path, program.proof(path))
        stolen = program.read(path, None, "Bearer")

    assert unbound.json()["code"] == "sender_constraint_missing"
    assert program.token is not None
    assert program.token.startswith("scudo.production.")
    # It is let in, and there is no such account.
    assert (seen.status_code, json.loads(seen.content)["code"]) == (404, "account_not_found")
    assert stolen.json()["code"] == "token_not_bound"
