"""Orders that a partner must sign: done once, and by nobody else."""

import uuid
from typing import Any

import httpx
import pytest
from tests.journeys.partners.partnership import bearer, order
from tests.rooms.identity.signing import Signer, post_signed


class TestASignedOrder:
    @pytest.fixture
    def signing(self, secure, partner_of):
        """A partner that must sign, and its open connection with a token."""
        partner, http = partner_of(must_sign=True), secure.client()
        http.headers.update(bearer(partner.ask(http)))
        return partner, http

    def test_moves_money_once(self, signing, accounts):
        """It is done; signed anew under the same key, it gives the same answer."""
        partner, http = signing
        body, key = order(accounts), str(uuid.uuid4())

        paid, again = (
            post_signed(http, partner.signer, "/v1/payments", body, now_s=partner.now_s, key=key)
            for _ in range(2)
        )

        assert paid.status_code == 201, paid.text
        assert (again.status_code, again.content) == (201, paid.content)

    def test_is_needed_where_it_was_agreed(self, signing, accounts):
        """Without a signature no money moves, and reading needs none."""
        _, http = signing

        plain = http.post(
            "/v1/payments", json=order(accounts), headers={"idempotency-key": str(uuid.uuid4())}
        )

        assert (plain.status_code, plain.json()["code"]) == (401, "signature_missing")
        assert http.get(f"/v1/accounts/{accounts[1]}/balance").status_code == 200

    def test_is_of_no_use_twice_or_later(self, signing, accounts):
        """A nonce counts once; an old signature and one of the future count never."""
        partner, http = signing
        body = order(accounts)

        def post(**how: Any) -> httpx.Response:
            return post_signed(http, partner.signer, "/v1/payments", body, **how)

        first = post(now_s=partner.now_s, nonce="n" * 16)
        refused = [
            post(now_s=partner.now_s, nonce="n" * 16),
            post(now_s=partner.now_s - 90),
            post(now_s=partner.now_s + 30),
        ]

        assert first.status_code == 201
        assert [answer.json()["code"] for answer in refused] == [
            "signature_replayed",
            "signature_stale",
            "signature_stale",
        ]

    def test_is_by_a_key_of_the_same_partner_that_is_good(self, signing, partner_of, accounts):
        """Somebody else's key, and one that was retired, sign nothing here."""
        partner, http = signing
        other = partner_of(must_sign=True)
        old = Signer("key-2")
        partner.change("keys", {"key": old.jwk})
        partner.change("keys/key-2/retire", {})

        answers = [
            post_signed(http, signer, "/v1/payments", order(accounts), now_s=partner.now_s)
            for signer in (other.signer, old, Signer("key-9"))
        ]

        assert {(a.status_code, a.json()["code"]) for a in answers} == {(401, "signature_invalid")}
