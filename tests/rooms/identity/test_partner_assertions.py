"""Assertions: when a key is good, and that no change of a byte gets through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rooms.identity.signing import Signer, base64url, claims_for

from scudo.identity.partners.assertions import demand_signed, demand_true, read_assertion
from scudo.identity.partners.errors import AssertionInvalid, ClientUnauthenticated
from scudo.identity.partners.keys import find_certificate, read_public
from scudo.identity.partners.model import Certificate, SigningKey

NOW_S = 1_800_000_000
NOW = NOW_S * 1_000_000
DAY = 86_400 * 1_000_000
AUDIENCE = frozenset({"urn:bank"})
SIGNERS = {"Ed25519": Signer(), "P-256": Signer(kind="P-256")}
GOOD = {
    kind: signer.assertion(**claims_for("ptn_0000000000000001", "urn:bank", now_s=NOW_S))
    for kind, signer in SIGNERS.items()
}


def recorded(signer: Signer, *, start: int = NOW - DAY, end: int = NOW + DAY) -> SigningKey:
    jwk = signer.jwk
    algorithm, public = read_public(kty=jwk["kty"], crv=jwk["crv"], x=jwk["x"], y=jwk.get("y"))
    return SigningKey(signer.kid, algorithm, public, start, end)


def believe(text: str, key: SigningKey | None) -> str:
    """Everything that is asked of an assertion; its jti."""
    assertion = read_assertion(text)
    demand_signed(assertion, key, now=NOW)
    return demand_true(assertion, audience=AUDIENCE, now=NOW)


class TestAnAssertion:
    @pytest.mark.parametrize("kind", sorted(SIGNERS))
    def test_is_believed_when_signed_and_true(self, kind):
        """What another implementation signed is read and believed."""
        assert believe(GOOD[kind], recorded(SIGNERS[kind]))

    @pytest.mark.parametrize(
        ("start", "end", "is_good"),
        [
            (NOW, NOW + 1, True),
            (NOW - DAY, NOW + DAY, True),
            (NOW + 1, NOW + DAY, False),
            (NOW - DAY, NOW, False),
        ],
    )
    def test_needs_a_key_that_is_good_now(self, start, end, is_good):
        """From its first moment on, and not at its last."""
        key = recorded(SIGNERS["Ed25519"], start=start, end=end)
        if is_good:
            assert believe(GOOD["Ed25519"], key)
        else:
            with pytest.raises(ClientUnauthenticated):
                believe(GOOD["Ed25519"], key)

    def test_is_nobodys_without_a_key(self):
        """An unknown key refuses like a wrong signature."""
        with pytest.raises(ClientUnauthenticated) as unknown:
            believe(GOOD["Ed25519"], None)
        with pytest.raises(ClientUnauthenticated) as other:
            believe(GOOD["Ed25519"], recorded(Signer()))

        assert str(unknown.value) == str(other.value)

    @pytest.mark.parametrize("kind", sorted(SIGNERS))
    @given(data=st.data())
    def test_is_refused_when_any_character_is_changed(self, kind, data):
        """Replacing, dropping or adding one character anywhere is a refusal, never a fault."""
        text = GOOD[kind]
        at = data.draw(st.integers(0, len(text) - 1))
        new = data.draw(st.characters(codec="ascii") | st.just(""))
        width = data.draw(st.integers(0, 1))
        changed = text[:at] + new + text[at + width :]
        if changed == text:
            return

        with pytest.raises((ClientUnauthenticated, AssertionInvalid)):
            believe(changed, recorded(SIGNERS[kind]))

    @given(
        header=st.binary(max_size=60),
        claims=st.binary(max_size=60),
        signature=st.binary(max_size=70),
    )
    def test_is_read_or_refused_whatever_it_is(self, header, claims, signature):
        """Three parts of anything are a refusal, never a fault."""
        text = ".".join(base64url(part) for part in (header, claims, signature))

        with pytest.raises(ClientUnauthenticated):
            believe(text, recorded(SIGNERS["Ed25519"]))


class TestCertificates:
    def test_that_cannot_be_read_are_nobodys(self):
        """Bytes that are no certificate match no names, and no thumbprint but their own."""
        by_name = Certificate("rec_1", subject="CN=a", issuer="CN=b")

        assert find_certificate((by_name,), b"no certificate") is None
