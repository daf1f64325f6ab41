"""Claims about passkeys: what is asked for is what is accepted, and nothing else."""

import copy
import secrets
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from webauthn import base64url_to_bytes
from webauthn.helpers import bytes_to_base64url

from scudo.identity.passkeys import (
    CHALLENGE_BYTES,
    Assertion,
    AssertionInvalid,
    NewPasskey,
    Passkey,
    PasskeyAnswer,
    PasskeyInvalid,
    RelyingParty,
    authentication_options,
    read_assertion,
    registration_options,
    verify_answer,
    verify_new,
)
from scudo.simulation import Authenticator

PARTY = RelyingParty("localhost", "Scudo", ("http://localhost:8420",))
OTHER = RelyingParty("bank.example", "Other", ("http://localhost:8420",))


def challenge() -> bytes:
    return secrets.token_bytes(CHALLENGE_BYTES)


def created(device: Authenticator, asked: bytes, party: RelyingParty = PARTY) -> NewPasskey:
    options = registration_options(party, challenge=asked, user=b"u1", name="anna", known=())
    return msgspec.convert(device.create(options), NewPasskey)


def enrolled(device: Authenticator) -> Passkey:
    asked = challenge()
    return verify_new(PARTY, created(device, asked), challenge=asked)


def answered(device: Authenticator, asked: bytes, party: RelyingParty = PARTY) -> Assertion:
    options = authentication_options(party, challenge=asked)
    return read_assertion(msgspec.convert(device.get(options), PasskeyAnswer))


class TestNewPasskey:
    def test_answers_the_challenge_it_was_made_for(self) -> None:
        """A passkey that was asked for is accepted with its key, counter and transports."""
        device = Authenticator(is_synced=True)
        passkey = enrolled(device)

        assert passkey.id in device.made
        assert passkey.transports == ("internal",)
        assert (passkey.is_synced, passkey.is_backed_up) == (True, True)

    def test_is_asked_for_with_the_user_verified(self) -> None:
        """Options require verification, and name what the user has so that none comes twice."""
        known = enrolled(Authenticator())
        options = registration_options(
            PARTY, challenge=b"c" * 32, user=b"u", name="n", known=[known]
        )

        assert options["authenticatorSelection"]["userVerification"] == "required"
        assert [c["id"] for c in options["excludeCredentials"]] == [bytes_to_base64url(known.id)]
        assert base64url_to_bytes(options["challenge"]) == b"c" * 32

    def test_is_asked_for_with_strong_algorithms_only(self) -> None:
        """ES256 and EdDSA (COSE -7 and -8): no RSA, whose keys and padding are weaker."""
        options = registration_options(PARTY, challenge=b"c" * 32, user=b"u", name="n", known=())

        assert [asked["alg"] for asked in options["pubKeyCredParams"]] == [-7, -8]

    @pytest.mark.parametrize(
        "device",
        [
            pytest.param(Authenticator(verifies=False), id="user not verified"),
            pytest.param(Authenticator(origin="https://evil.example"), id="another origin"),
            pytest.param(Authenticator(cross_origin=True), id="inside another page"),
        ],
    )
    def test_is_refused_of_a_device_that_does_otherwise(self, device: Authenticator) -> None:
        """Without verification, from another origin or in a frame, it is refused."""
        asked = challenge()
        with pytest.raises(PasskeyInvalid):
            verify_new(PARTY, created(device, asked), challenge=asked)

    def test_is_refused_for_another_challenge(self) -> None:
        """What answers another challenge is a replay, and is refused."""
        with pytest.raises(PasskeyInvalid):
            verify_new(PARTY, created(Authenticator(), challenge()), challenge=challenge())

    def test_is_refused_of_another_party(self) -> None:
        """What was made for another domain is refused."""
        asked = challenge()
        with pytest.raises(PasskeyInvalid):
            verify_new(PARTY, created(Authenticator(), asked, OTHER), challenge=asked)

    @given(st.binary(max_size=200), st.binary(max_size=200))
    def test_is_refused_of_any_bytes(self, client_data: bytes, attestation: bytes) -> None:
        """Whatever bytes come, the answer is the refusal and never a fault."""
        given = {
            "id": "AAAA",
            "rawId": "AAAA",
            "type": "public-key",
            "response": {
                "clientDataJSON": bytes_to_base64url(client_data),
                "attestationObject": bytes_to_base64url(attestation),
            },
        }
        with pytest.raises(PasskeyInvalid):
            verify_new(PARTY, msgspec.convert(given, NewPasskey), challenge=bytes(32))


class TestAnswer:
    def test_holds_for_its_challenge_and_moves_the_counter(self) -> None:
        """An answer is accepted once: the passkey that is stored then has its counter."""
        device = Authenticator()
        passkey, asked = enrolled(device), challenge()
        assertion = answered(device, asked)

        after = verify_answer(PARTY, assertion, challenge=asked, passkey=passkey)

        assert after.sign_count == 1
        with pytest.raises(AssertionInvalid):
            verify_answer(PARTY, assertion, challenge=asked, passkey=after)

    def test_can_be_verified_again_from_what_is_kept(self) -> None:
        """With the passkey as it was enrolled, an auditor comes to the same result."""
        device = Authenticator(sign_count=7)
        passkey, asked = enrolled(device), challenge()
        kept = msgspec.json.encode((passkey, answered(device, asked)))

        again, assertion = msgspec.json.decode(kept, type=tuple[Passkey, Assertion])
        as_enrolled = msgspec.structs.replace(again, sign_count=0)
        assert verify_answer(PARTY, assertion, challenge=asked, passkey=as_enrolled)

    def test_holds_of_a_device_that_does_not_count(self) -> None:
        """A synced passkey's counter stays at 0."""
        device = Authenticator(counts=False, is_synced=True)
        passkey = enrolled(device)
        for asked in (challenge(), challenge()):
            passkey = verify_answer(
                PARTY, answered(device, asked), challenge=asked, passkey=passkey
            )
        assert passkey.sign_count == 0

    @pytest.mark.parametrize(
        "spoil",
        [
            pytest.param({"verifies": False}, id="user not verified"),
            pytest.param({"origin": "https://evil.example"}, id="another origin"),
            pytest.param({"cross_origin": True}, id="inside another page"),
            pytest.param({"sign_count": -1}, id="a copied key, whose counter is behind"),
        ],
    )
    def test_is_refused_of_a_device_that_does_otherwise(self, spoil: dict[str, Any]) -> None:
        """An answer without verification, from elsewhere, or of a copy is refused."""
        device = Authenticator(sign_count=3)
        passkey, asked = enrolled(device), challenge()
        for name, value in spoil.items():
            setattr(device, name, value)
        with pytest.raises(AssertionInvalid):
            verify_answer(PARTY, answered(device, asked), challenge=asked, passkey=passkey)

    @pytest.mark.parametrize(
        "spoil",
        [
            pytest.param(lambda a: {"signature": a.signature[:-1] + b"\0"}, id="signature"),
            pytest.param(lambda a: {"signature": b""}, id="no signature"),
            pytest.param(
                lambda a: {"authenticator_data": a.authenticator_data[:-1] + b"\xff"}, id="counter"
            ),
            pytest.param(
                lambda a: {"client_data": a.client_data.replace(b"false", b" false")}, id="client"
            ),
            pytest.param(lambda a: {"credential": b"other"}, id="credential"),
        ],
    )
    def test_is_refused_when_any_part_is_changed(
        self, spoil: Callable[[Assertion], dict[str, bytes]]
    ) -> None:
        """Every part is bound by the signature or by name."""
        device = Authenticator()
        passkey, asked = enrolled(device), challenge()
        assertion = answered(device, asked)
        changed = msgspec.structs.replace(assertion, **spoil(assertion))
        with pytest.raises(AssertionInvalid):
            verify_answer(PARTY, changed, challenge=asked, passkey=passkey)

    def test_is_refused_of_another_key_party_or_challenge(self) -> None:
        """One person's answer is not another's, nor for another domain, nor for another act."""
        device, stranger = Authenticator(), Authenticator()
        passkey, asked = enrolled(device), challenge()
        other = msgspec.structs.replace(enrolled(stranger), id=passkey.id)
        assertion = answered(device, asked)
        for party, nonce, key in (
            (PARTY, asked, other),
            (OTHER, asked, passkey),
            (PARTY, challenge(), passkey),
        ):
            with pytest.raises(AssertionInvalid):
                verify_answer(party, assertion, challenge=nonce, passkey=key)

    @given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=80))
    def test_is_refused_of_any_bytes(self, data: bytes, client: bytes, signature: bytes) -> None:
        """Whatever bytes come, the answer is the refusal and never a fault."""
        passkey = Passkey(b"id", b"key")
        with pytest.raises(AssertionInvalid):
            verify_answer(
                PARTY,
                Assertion(b"id", data, client, signature),
                challenge=bytes(32),
                passkey=passkey,
            )

    @pytest.mark.parametrize(
        ("member", "value"), [("rawId", "A"), ("id", "BBBB"), ("type", "password")]
    )
    def test_is_refused_when_it_is_not_of_a_passkey(self, member: str, value: str) -> None:
        """Broken base64url, two ids and another kind of credential are refused."""
        device = Authenticator()
        enrolled(device)
        body = copy.deepcopy(device.get(authentication_options(PARTY, challenge=challenge())))
        body[member] = value
        with pytest.raises(AssertionInvalid):
            read_assertion(msgspec.convert(body, PasskeyAnswer))
