"""How a partner gets tokens, over real TLS, and how whoever is none does not."""

import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from tests.journeys.partners.partnership import SCOPES, forget, read
from tests.rooms.identity.signing import Signer, base64url


def _part(header: dict[str, Any]) -> str:
    return base64url(json.dumps(header).encode())


def _signed(signer: Signer, parts: list[str]) -> str:
    return base64url(signer.sign(f"{parts[0]}.{parts[1]}".encode()))


def _resigned(signer: Signer, parts: list[str], **header: Any) -> str:
    """The same claims under another header, signed well."""
    named = {"alg": "Ed25519", "kid": "key-1", **header}
    head = {name: value for name, value in named.items() if value is not None}
    changed = [_part(head), parts[1]]
    return ".".join([*changed, _signed(signer, changed)])


def _hmac_by_public_key(signer: Signer, parts: list[str]) -> str:
    """The algorithm swapped: what everybody knows of the key, used as a shared secret."""
    changed = [_part({"alg": "HS256", "kid": "key-1"}), parts[1]]
    secret = json.dumps(signer.jwk).encode()
    mac = hmac.digest(secret, ".".join(changed).encode(), "sha256")
    return ".".join([*changed, base64url(mac)])


#: What is no assertion of a partner's: made of its key and the parts of a good one.
FORGERIES: dict[str, Callable[[Signer, list[str]], str]] = {
    "no algorithm": lambda _, parts: f"{_part({'alg': 'none', 'kid': 'key-1'})}.{parts[1]}.",
    "no signature": lambda _, parts: f"{_part({'alg': 'none', 'kid': 'key-1'})}.{parts[1]}.AA",
    "the public key as a secret": _hmac_by_public_key,
    "another algorithm": lambda signer, parts: _resigned(signer, parts, alg="ES256"),
    "no kid": lambda signer, parts: _resigned(signer, parts, kid=None),
    "a key of its own": lambda signer, parts: _resigned(signer, parts, jwk=signer.jwk),
    "a place for the key": lambda signer, parts: _resigned(signer, parts, jku="https://e.example"),
    "a critical header": lambda signer, parts: _resigned(signer, parts, crit=["exp"]),
    "another type": lambda signer, parts: _resigned(signer, parts, typ="at+jwt"),
    "padding": lambda _, parts: ".".join(parts) + "=",
    "four parts": lambda _, parts: ".".join(parts) + ".x",
    "two parts": lambda _, parts: ".".join(parts[:2]),
    "too long": lambda _, parts: f"{parts[0]}.{parts[1]}." + "A" * 4_000,
    "deep": lambda _, parts: f"{parts[0]}.{base64url(b'[' * 2_000)}.{parts[2]}",
    "not ASCII": lambda _, parts: "\u00e4.b.c",
}


class TestATokenByAKey:
    @pytest.mark.parametrize("kind", ["Ed25519", "P-256"])
    def test_is_given_for_a_good_assertion(self, secure, partner_of, accounts, kind):
        """An assertion of either kind of key gives five minutes of access, and an event."""
        partner, http = partner_of(kind=kind), secure.client()

        token = partner.ask(http)

        body = token.json()
        assert (token.status_code, body["token_type"]) == (200, "Bearer")
        assert body["scope"] == " ".join(sorted(SCOPES))
        assert 290 <= body["expires_in"] <= 300
        assert token.headers["cache-control"] == "no-store"
        assert read(http, token, accounts).status_code == 200
        issued = secure.events("identity.partner.token_issued.v1")[-1]["data"]
        assert (issued["method"], issued["binding"]) == ("private_key_jwt", "none")
        assert issued["network"] is not None

    def test_takes_the_deprecated_name_of_its_algorithm(self, secure, partner_of):
        """EdDSA, as RFC 8037 called it, is Ed25519 for a key of that kind."""
        partner = partner_of()
        parts = partner.signer.assertion(**partner.claims()).split(".")
        parts[0] = _part({"alg": "EdDSA", "kid": "key-1"})
        parts[2] = _signed(partner.signer, parts)

        assert partner.ask(secure.client(), ".".join(parts)).status_code == 200

    def test_may_have_less_than_the_partner_and_never_more(self, secure, partner_of, accounts):
        """A token of one scope does that only; a scope that the partner lacks is refused."""
        partner, http = partner_of(), secure.client()

        narrow = partner.ask(http, scope="payments:read")
        beyond = partner.ask(http, scope="payments:read customers:write")

        assert narrow.json()["scope"] == "payments:read"
        refused = read(http, narrow, accounts)
        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
        assert (beyond.status_code, beyond.json()["error"]) == (400, "invalid_scope")
        assert "scope_beyond" in partner.refusals("identity.issue_token")

    @pytest.mark.fault(49)
    def test_ends_after_five_minutes(self, secure, partner_of, accounts):
        """What lived is nobody's afterwards."""
        partner, http = partner_of(), secure.client()
        token = partner.ask(http)
        try:
            secure.clock.ahead_us = 301_000_000
            late = read(http, token, accounts)
        finally:
            secure.clock.ahead_us = 0

        assert (late.status_code, late.json()["code"]) == (401, "token_unknown")

    @pytest.mark.parametrize(
        ("changed", "field"),
        [
            ({"exp": -10}, "exp"),
            ({"exp": 200}, "exp"),
            ({"exp": None}, "exp"),
            ({"exp": "soon"}, "exp"),
            ({"exp": 50.5}, "exp"),
            ({"exp": True}, "exp"),
            ({"iat": 100}, "iat"),
            ({"iat": -100}, "iat"),
            ({"nbf": 100}, "nbf"),
            ({"aud": "https://another.example"}, "aud"),
            ({"aud": None}, "aud"),
            ({"aud": ["https://another.example"]}, "aud"),
            ({"jti": None}, "jti"),
            ({"jti": "short"}, "jti"),
            ({"jti": "with a space"}, "jti"),
            ({"jti": "x" * 129}, "jti"),
            ({"jti": "\ud800" * 8}, "jti"),
            ({"jti": 123456789}, "jti"),
        ],
    )
    @pytest.mark.fault(49)
    def test_is_refused_by_the_claim_that_is_wrong(self, secure, partner_of, changed, field):
        """Expired, future, of another audience, without a name of its own: the holder is told."""
        partner = partner_of()
        moved = {
            name: partner.now_s + value
            if name in {"exp", "iat", "nbf"} and type(value) in {int, float}
            else value
            for name, value in changed.items()
        }

        answer = partner.ask(secure.client(), partner.signer.assertion(**partner.claims(**moved)))

        body = answer.json()
        assert (answer.status_code, body["code"]) == (401, "client_assertion_invalid")
        assert (body["error"], body["field"]) == ("invalid_client", field)
        assert partner.refusals("identity.issue_token") == ["client_assertion_invalid"]

    @pytest.mark.fault(49, 50)
    def test_is_given_once_for_an_assertion(self, secure, partner_of):
        """A replayed assertion is refused, also once the bank has forgotten who asked."""
        partner, http = partner_of(), secure.client()
        assertion = partner.signer.assertion(**partner.claims())

        first, again = partner.ask(http, assertion), partner.ask(http, assertion)
        secure.run(forget(secure))
        later = partner.ask(http, assertion)

        assert first.status_code == 200
        for answer in (again, later):
            assert (answer.status_code, answer.json()["code"]) == (401, "assertion_replayed")
        assert partner.refusals("identity.issue_token") == ["assertion_replayed"] * 2

    @pytest.mark.fault(54)
    def test_tells_nothing_of_who_there_is(self, secure, partner_of):
        """An unknown partner, an unknown key and a wrong signature are answered alike."""
        partner, stranger = partner_of(), Signer()
        nobody = "ptn_00000000000fffff"
        http = secure.client()

        answers = [
            partner.ask(http, stranger.assertion(**partner.claims())),
            partner.ask(http, Signer("key-2").assertion(**partner.claims())),
            partner.ask(http, stranger.assertion(**partner.claims(iss=nobody, sub=nobody))),
            partner.ask(http, stranger.assertion(**partner.claims(iss="me", sub="me"))),
            partner.ask(http, partner.signer.assertion(**partner.claims(sub=nobody))),
        ]

        assert len({(a.status_code, a.content) for a in answers}) == 1
        assert answers[0].json()["code"] == "client_unauthenticated"
        assert partner.refusals("identity.issue_token") == ["client_unauthenticated"] * 2

    @pytest.mark.parametrize("forgery", sorted(FORGERIES))
    @pytest.mark.fault(49)
    def test_is_not_given_for_what_is_no_such_assertion(self, secure, partner_of, forgery):
        """No algorithm, the public key as a secret, keys of one's own, rubbish."""
        partner = partner_of()
        parts = partner.signer.assertion(**partner.claims()).split(".")

        answer = partner.ask(secure.client(), FORGERIES[forgery](partner.signer, parts))

        # The one that is longer than is read is refused before.
        assert answer.status_code in {400, 401}
        assert answer.json()["code"] in {"client_unauthenticated", "body_invalid"}
        assert "access_token" not in answer.json()

    def test_is_not_given_for_claims_that_come_twice(self, secure, partner_of):
        """Which of two values counts is a matter in which readers differ, so neither does."""
        partner = partner_of()
        parts = partner.signer.assertion(**partner.claims()).split(".")
        twice = json.dumps(partner.claims())[:-1] + f', "aud": "{secure.issuer}"}}'
        parts[1] = base64url(twice.encode())
        parts[2] = _signed(partner.signer, parts)

        answer = partner.ask(secure.client(), ".".join(parts))

        assert answer.json()["code"] == "client_unauthenticated"

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ("grant_type=client_credentials&grant_type=client_credentials", 400, "body_invalid"),
            ("grant_type=client_credentials&admin=1", 400, "body_invalid"),
            ("grant_type=authorization_code", 400, "grant_unsupported"),
            ("grant_type=client_credentials", 401, "client_unauthenticated"),
            ("grant_type=client_credentials&client_id=%00", 400, "body_invalid"),
            ("grant_type=client_credentials&client_assertion=a.b.c", 401, "client_unauthenticated"),
            ("grant_type", 400, "body_malformed"),
            ("grant_type=%ff", 400, "body_malformed"),
            ("", 400, "body_invalid"),
            ('{"grant_type": "client_credentials"}', 400, "body_malformed"),
        ],
    )
    def test_is_asked_for_by_one_well_formed_form(self, secure, body, status, code):
        """Repeated, unknown and undecodable members are refused, and never a fault of ours."""
        answer = secure.client().post(
            "/v1/oauth/token",
            content=body,
            headers={"content-type": "application/x-www-form-urlencoded"},
        )

        assert (answer.status_code, answer.json()["code"]) == (status, code)

    def test_is_not_asked_for_in_json(self, secure):
        """A body that is announced as JSON is not read as a form."""
        answer = secure.client().post("/v1/oauth/token", json={"grant_type": "x"})

        assert (answer.status_code, answer.json()["code"]) == (415, "media_type_unsupported")


class TestATokenByACertificate:
    def test_is_given_to_whoever_connects_with_it(self, secure, partner_of, accounts):
        """The connection's certificate shows who asks, and the token is bound to it."""
        partner = partner_of()
        http = secure.client(partner.leaf)

        token = partner.ask_by_certificate(http)

        assert token.status_code == 200, token.text
        assert read(http, token, accounts).status_code == 200
        issued = secure.events("identity.partner.token_issued.v1")[-1]["data"]
        assert (issued["method"], issued["binding"]) == ("tls_client_auth", "certificate")

    @pytest.mark.fault(50)
    def test_is_of_no_use_to_a_thief(self, secure, partner_of, accounts):
        """Without the certificate, or with another of the same CA, it is refused, and told."""
        partner, thief = partner_of(), secure.certificate("thief")
        token = partner.ask_by_certificate(secure.client(partner.leaf))

        for http in (secure.client(), secure.client(thief)):
            stolen = read(http, token, accounts)
            assert (stolen.status_code, stolen.json()["code"]) == (401, "token_not_bound")

        assert "token_not_bound" in partner.refusals("identity.use_token")
        metrics = secure.admin.get("/metrics").text
        assert 'scudo_partner_refusals_total{code="token_not_bound"}' in metrics

    def test_is_not_given_by_another_certificate(self, secure, partner_of):
        """A certificate of the trusted CA that is not the partner's is nobody's."""
        partner = partner_of()

        for http in (secure.client(), secure.client(secure.certificate("thief"))):
            answer = partner.ask_by_certificate(http)
            assert (answer.status_code, answer.json()["code"]) == (401, "client_unauthenticated")

    def test_may_be_by_subject_and_issuer(self, secure, partner_of):
        """All certificates of a CA for one subject are the partner's, so it renews them alone."""
        partner = partner_of()
        subject = {"common_name": "acme", "organization_unit_name": "payouts"}
        leaf, renewed = (secure.authority.issue_cert("x.example", **subject) for _ in range(2))
        parsed = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
        partner.change(
            "certificates",
            {
                "subject": parsed.subject.rfc4514_string(),
                "issuer": parsed.issuer.rfc4514_string(),
            },
        )

        assert partner.ask_by_certificate(secure.client(leaf)).status_code == 200
        assert partner.ask_by_certificate(secure.client(renewed)).status_code == 200

    @pytest.mark.fault(49)
    def test_ends_with_the_certificate(self, secure, partner_of, accounts):
        """A certificate that is taken away ends its tokens at once, also those of a key."""
        partner = partner_of()
        http = secure.client(partner.leaf)
        tokens = [partner.ask_by_certificate(http), partner.ask(http)]
        assert [read(http, token, accounts).status_code for token in tokens] == [200, 200]

        shown = secure.admin.get(f"/v1/partners/{partner.id}").json()
        name = shown["certificates"][0]["id"]
        gone = secure.admin.delete(f"/v1/partners/{partner.id}/certificates/{name}")

        assert gone.status_code == 200
        assert [read(http, token, accounts).status_code for token in tokens] == [401, 401]
