"""A partner's record: keys that rotate, rights that change, and what they do to its tokens."""

import json
import uuid

import pytest
from tests.journeys.partners.conftest import secure_bank
from tests.journeys.partners.partnership import (
    SCOPES,
    Partnership,
    bearer,
    forget,
    order,
    read,
    thumbprint_of,
)
from tests.rooms.identity.signing import Signer

from scudo.identity.partners import Environment, Limits, RegisterPartner, Tier


class TestAPartnersRecord:
    @pytest.mark.fault(49)
    def test_rotates_keys_with_overlap(self, secure, partner_of, accounts):
        """The new key is good beside the old one; the old one's end ends its tokens."""
        partner, http = partner_of(), secure.client()
        old, new = partner.signer, Signer("key-2", "P-256")
        before = partner.ask(http)
        partner.change("keys", {"key": new.jwk})

        both = [partner.ask(http, s.assertion(**partner.claims())) for s in (old, new)]
        partner.change("keys/key-1/retire", {"after_s": 600})
        still = partner.ask(http)
        partner.change("keys/key-1/retire", {})
        revoked = partner.ask(http)

        assert [answer.status_code for answer in (*both, still)] == [200] * 3
        assert revoked.json()["code"] == "client_unauthenticated"
        assert read(http, before, accounts).json()["code"] == "token_unknown"
        assert read(http, both[1], accounts).status_code == 200
        ended = secure.events("identity.partner.key_retired.v1")[-1]["data"]
        assert ended["kid"] == "key-1"

    @pytest.mark.fault(51)
    def test_ends_a_key_as_it_was_agreed(self, secure, partner_of):
        """A key is of no use after its last day, and one of tomorrow is not today."""
        partner, tomorrow = partner_of(), Signer("key-2")
        partner.change("keys", {"key": tomorrow.jwk, "starts_in_s": 600, "valid_days": 1})
        http = secure.client()

        early = partner.ask(http, tomorrow.assertion(**partner.claims()))
        secure.clock.ahead_us = (86_400 + 601) * 1_000_000
        try:
            late = partner.ask(http, tomorrow.assertion(**partner.claims()))
        finally:
            secure.clock.ahead_us = 0

        assert [early.json()["code"], late.json()["code"]] == ["client_unauthenticated"] * 2

    @pytest.mark.fault(49)
    def test_is_suspended_at_once(self, secure, partner_of, accounts):
        """Neither new tokens nor old ones are good until the partner is let in again."""
        partner, http = partner_of(), secure.client()
        token = partner.ask(http)

        partner.change("suspend")
        refused = [partner.ask(http), read(http, token, accounts)]
        partner.change("resume")

        assert {answer.json()["code"] for answer in refused} == {"partner_suspended"}
        assert {answer.status_code for answer in refused} == {403}
        assert read(http, token, accounts).status_code == 200
        told = secure.events("identity.partner.suspension_changed.v1")[-2:]
        assert [event["data"]["is_suspended"] for event in told] == [True, False]

    def test_says_from_where_it_may_ask(self, secure, partner_of, accounts):
        """From another address neither tokens are given nor used."""
        partner, http = partner_of(), secure.client()
        token = partner.ask(http)
        assert read(http, token, accounts).status_code == 200

        partner.limits(networks=["192.0.2.0/24"])
        refused = [partner.ask(http), read(http, token, accounts)]
        partner.limits(networks=["127.0.0.0/8", "::1/128"])

        assert {answer.json()["code"] for answer in refused} == {"address_not_allowed"}
        assert read(http, token, accounts).status_code == 200

    def test_takes_scopes_from_tokens_that_live(self, secure, partner_of, accounts):
        """What a partner may no longer, its tokens may no longer."""
        partner, http = partner_of(), secure.client()
        token = partner.ask(http)

        partner.limits(scopes=["payments:read"])

        assert read(http, token, accounts).json()["code"] == "scope_missing"

    def test_limits_its_rate_by_tier_and_operation(self, secure, partner_of, accounts):
        """A trial partner's payments are fewer than what its tier lets it read."""
        partner, http = partner_of(tier="trial"), secure.client()
        headers = bearer(partner.ask(http))

        answers = [
            http.post(
                "/v1/payments",
                json=order(accounts),
                headers={**headers, "idempotency-key": str(uuid.uuid4())},
            )
            for _ in range(6)
        ]

        statuses = [answer.status_code for answer in answers]
        assert statuses[:4] == [201] * 4
        assert 429 in statuses
        limited = answers[statuses.index(429)]
        assert (limited.json()["code"], limited.headers["retry-after"]) == ("rate_limited", "1")

    @pytest.mark.parametrize(
        ("path", "body", "status", "code"),
        [
            (
                "keys",
                {"key": {"kid": "k", "kty": "OKP", "crv": "P-256", "x": "AA"}},
                422,
                "key_unfit",
            ),
            (
                "keys",
                {"key": {"kid": "k", "kty": "OKP", "crv": "Ed25519", "x": "AA"}},
                422,
                "key_unfit",
            ),
            (
                "keys",
                {"key": {"kid": "k", "kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43}},
                422,
                "key_unfit",
            ),
            (
                "keys",
                {"key": {"kid": "k", "kty": "OKP", "crv": "Ed25519", "x": "A" * 43, "d": "A"}},
                400,
                "body_invalid",
            ),
            ("keys/other/retire", {}, 404, "key_not_found"),
            ("certificates", {}, 422, "certificate_unfit"),
            ("certificates", {"thumbprint": "AA"}, 422, "certificate_unfit"),
            ("certificates", {"thumbprint": "!" * 43}, 422, "certificate_unfit"),
            ("certificates", {"subject": "CN=a"}, 422, "certificate_unfit"),
            ("certificates", {"subject": "a=,=", "issuer": "CN=b"}, 422, "certificate_unfit"),
        ],
    )
    def test_takes_only_credentials_that_can_be_checked(
        self, secure, partner_of, path, body, status, code
    ):
        """Points off the curve, private halves and nameless certificates are refused."""
        partner = partner_of()

        answer = secure.admin.post(f"/v1/partners/{partner.id}/{path}", json=body)

        assert (answer.status_code, answer.json()["code"]) == (status, code)

    def test_keeps_names_apart(self, secure, partner_of):
        """A name, a kid and a certificate are taken once; credentials are few."""
        partner = partner_of()
        shown = secure.admin.get(f"/v1/partners/{partner.id}").json()
        again = {"name": shown["name"], "environment": "sandbox", "scopes": SCOPES}
        same = {"thumbprint": shown["certificates"][0]["thumbprint"]}
        admin, own = secure.admin, f"/v1/partners/{partner.id}"
        for number in range(2, 9):
            partner.change("keys", {"key": Signer(f"key-{number}").jwk})

        refused = [
            admin.post("/v1/partners", json=again),
            admin.post(f"{own}/keys", json={"key": Signer("key-1").jwk}),
            admin.post(f"{own}/keys", json={"key": Signer("key-9").jwk}),
            admin.post(f"{own}/certificates", json=same),
            admin.delete(f"{own}/certificates/rec_00000000000000ff"),
            admin.get("/v1/partners/ptn_00000000000fffff"),
        ]

        assert [answer.json()["code"] for answer in refused] == [
            "partner_name_taken",
            "key_name_taken",
            "credentials_too_many",
            "certificate_unfit",
            "certificate_not_found",
            "partner_not_found",
        ]
        partner.change("keys/key-2/retire", {})
        partner.change("keys", {"key": Signer("key-9").jwk})

    @pytest.mark.parametrize(
        ("changed", "code"),
        [
            ({"scopes": ["partners:write"]}, "partner_scope_unknown"),
            ({"scopes": ["clock:drive"]}, "partner_scope_unknown"),
            ({"environment": "production"}, "environment_other"),
            ({"networks": ["192.0.2.1/24"]}, "network_unfit"),
            ({"networks": ["bank"]}, "network_unfit"),
            ({"customer_id": "cus_00000000000fffff"}, "customer_not_found"),
        ],
    )
    def test_gives_nothing_that_no_partner_may_have(self, secure, changed, code):
        """Scopes of the bank's own, another environment, what is no network, nobody's customer."""
        body = {"name": str(uuid.uuid4()), "environment": "sandbox", "scopes": SCOPES}

        answer = secure.admin.post("/v1/partners", json=body | changed)

        assert answer.json()["code"] == code

    def test_is_bound_to_one_customer_if_it_says_so(self, secure, partner_of, accounts):
        """A partner of one customer sees nothing of others, and is shown in the list."""
        admin = secure.admin
        other = admin.post(
            "/v1/customers", json={"reference": str(uuid.uuid4()), "kind": "person"}
        ).json()["id"]
        own, foreign = partner_of(customer_id=accounts[0]), partner_of(customer_id=other)
        http = secure.client()

        seen = read(http, own.ask(http), accounts)
        unseen = read(http, foreign.ask(http), accounts)

        assert (seen.status_code, unseen.status_code) == (200, 404)
        pages = admin.get("/v1/partners", params={"limit": 500}).json()["items"]
        listed = {partner["id"]: partner["customer_id"] for partner in pages}
        assert (listed[own.id], listed[foreign.id]) == (accounts[0], other)

    def test_survives_a_restart_and_verifies(self, secure, partner_of):
        """What memory holds of partners is what a fresh start reads from the log's records."""
        partner = partner_of()
        register = secure.bank.rooms.partners.register
        before = dict(register.items())

        secure.run(forget(secure))

        assert dict(register.items()) == before
        assert secure.bank.rooms.partners.by_name
        assert int(partner.id[4:], 16) in before


class TestEnvironments:
    @pytest.mark.fault(49)
    def test_keep_each_others_credentials_out(self, database, tmp_path):
        """In production a sandbox token, a sandbox partner and an unbound token are refused."""
        with secure_bank(database.dsn, tmp_path, Environment.PRODUCTION) as live:
            registered = live.admin.post(
                "/v1/partners",
                json={
                    "name": "live",
                    "environment": "production",
                    "scopes": SCOPES,
                    "must_sign": False,
                },
            )
            copied = live.run(
                live.bank.submit(
                    RegisterPartner(
                        "copied",
                        Environment.SANDBOX,
                        Limits(Tier.HIGH, tuple(sorted(SCOPES)), (), signs=False),
                        None,
                    )
                )
            )
            answers = {}
            for name, number in (
                ("live", registered.json()["id"]),
                ("copied", json.loads(copied.body)["id"]),
            ):
                partner = Partnership(live, number, Signer(), live.certificate(name))
                partner.change("keys", {"key": partner.signer.jwk})
                partner.change("certificates", {"thumbprint": thumbprint_of(partner.leaf)})
                answers[name, "key"] = partner.ask(live.client())
                answers[name, "both"] = partner.ask(live.client(partner.leaf))
                answers[name, "certificate"] = partner.ask_by_certificate(live.client(partner.leaf))
            other = live.client().get(
                "/v1/partners", headers={"authorization": f"Bearer scudo.sandbox.{'A' * 43}"}
            )

        codes = {who: answer.json().get("code") for who, answer in answers.items()}
        assert codes == {
            ("live", "key"): "sender_constraint_missing",
            ("live", "both"): None,
            ("live", "certificate"): None,
            ("copied", "key"): "environment_mismatch",
            ("copied", "both"): "environment_mismatch",
            ("copied", "certificate"): "environment_mismatch",
        }
        assert (other.status_code, other.json()["code"]) == (401, "environment_mismatch")
