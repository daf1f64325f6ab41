"""Passkeys: what a browser is asked for, and whether what it answers holds.

A thin layer over `webauthn`. Whoever uses it makes the challenge, keeps it, and gives it back
for verification; here is no state and no randomness. The user must always be verified (by PIN
or biometrics): a passkey is the only factor of those who have one.

Source:
    Web Authentication Level 3, sections 5.1 (messages in JSON), 7.1 and 7.2 (what a relying
    party verifies, in the library), 6.1 (flags and the signature counter).
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

import msgspec
import webauthn
from webauthn.helpers import bytes_to_base64url, parse_client_data_json
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AuthenticationCredential,
    AuthenticatorAssertionResponse,
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from scudo.kernel import Refusal

CHALLENGE_BYTES: Final = 32
#: Of these a browser takes the first that its authenticator can: ES256, EdDSA. RSA is left out:
#: its keys are shorter than 128 bits of strength, and its padding is the old one.
ALGORITHMS: Final = (
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
)
#: How long a browser should wait for the user: a hint to it, milliseconds.
_TIMEOUT_MS: Final = 300_000
_TRANSPORTS: Final = frozenset(transport.value for transport in AuthenticatorTransport)
_decode_options: Final = msgspec.json.Decoder(dict[str, Any]).decode

#: Bytes in base64url without padding, as browsers write them; what they hold is checked later.
Base64Url = Annotated[str, msgspec.Meta(max_length=16_384, pattern="^[A-Za-z0-9_-]*$")]
_Word = Annotated[str, msgspec.Meta(max_length=64)]


class PasskeyInvalid(Refusal):
    """Raised when a new passkey is not what was asked for, or is not proven."""

    code = "passkey_invalid"
    next_step = "Ask for a new challenge, and make the passkey with the user verified."


class AssertionInvalid(Refusal):
    """Raised when a passkey's answer to a challenge does not hold."""

    code = "assertion_invalid"
    kind = "unauthenticated"
    next_step = "Ask for a new challenge, and answer it with a passkey that is enrolled."


class RelyingParty(msgspec.Struct, frozen=True):
    """Whom passkeys are made for.

    Attributes:
        id: a domain; passkeys of one answer to no other.
        name: what the browser shows.
        origins: of the pages that may ask, such as `https://bank.example`.
    """

    id: str
    name: str
    origins: tuple[str, ...]


#: The bank on one's own machine.
LOCAL_PARTY: Final = RelyingParty("localhost", "Scudo", ("http://localhost:8420",))


class Passkey(msgspec.Struct, frozen=True):
    """A credential as it is stored; no secret.

    Attributes:
        id: of the credential, chosen by the authenticator.
        public_key: COSE_Key.
        sign_count: of the newest answer; 0 where the authenticator does not count.
        transports: how browsers reach it.
        is_synced: whether it may be copied to other devices (backup eligible).
        is_backed_up: whether it was, when it last answered.
    """

    id: bytes
    public_key: bytes
    sign_count: int = 0
    transports: tuple[str, ...] = ()
    is_synced: bool = False
    is_backed_up: bool = False


class Assertion(msgspec.Struct, frozen=True):
    """An answer to a challenge, as the authenticator gave it: verifiable for ever.

    Attributes:
        credential: id of the passkey.
        authenticator_data, client_data, signature: what was signed, and how.
        user: handle of the user, where the authenticator tells it.
    """

    credential: bytes
    authenticator_data: bytes
    client_data: bytes
    signature: bytes
    user: bytes | None = None


# Members that browsers add (`authenticatorAttachment`, `clientExtensionResults`, and what the
# standard gains) are not read, and do not disturb.
class NewPasskeyResponse(msgspec.Struct, frozen=True):
    """Of a new passkey: `response` of `PublicKeyCredential.toJSON()` after `create()`."""

    client_data: Base64Url = msgspec.field(name="clientDataJSON")
    attestation_object: Base64Url = msgspec.field(name="attestationObject")
    transports: Annotated[tuple[_Word, ...], msgspec.Meta(max_length=16)] = ()


class NewPasskey(msgspec.Struct, frozen=True):
    """A new passkey: `PublicKeyCredential.toJSON()` after `create()`."""

    id: Base64Url
    raw_id: Base64Url = msgspec.field(name="rawId")
    type: _Word
    response: NewPasskeyResponse


class PasskeyAnswerResponse(msgspec.Struct, frozen=True):
    """Of an answer: `response` of `PublicKeyCredential.toJSON()` after `get()`."""

    client_data: Base64Url = msgspec.field(name="clientDataJSON")
    authenticator_data: Base64Url = msgspec.field(name="authenticatorData")
    signature: Base64Url
    user_handle: Base64Url | None = msgspec.field(name="userHandle", default=None)


class PasskeyAnswer(msgspec.Struct, frozen=True):
    """An answer of a passkey: `PublicKeyCredential.toJSON()` after `get()`."""

    id: Base64Url
    raw_id: Base64Url = msgspec.field(name="rawId")
    type: _Word
    response: PasskeyAnswerResponse


def registration_options(
    party: RelyingParty, *, challenge: bytes, user: bytes, name: str, known: Iterable[Passkey]
) -> Mapping[str, Any]:
    """Say what `navigator.credentials.create()` is called with, as JSON.

    Args:
        party: whom the passkey is for.
        challenge: fresh and random, `CHALLENGE_BYTES` long; used once.
        user: handle of the user, up to 64 bytes; no personal data, it is stored on the device.
        name: what the browser shows of the user.
        known: passkeys that the user has; the same authenticator is not enrolled twice.
    """
    options = webauthn.generate_registration_options(
        rp_id=party.id,
        rp_name=party.name,
        user_name=name,
        user_id=user,
        challenge=challenge,
        timeout=_TIMEOUT_MS,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=_descriptors(known),
        supported_pub_key_algs=list(ALGORITHMS),
    )
    return _decode_options(webauthn.options_to_json(options).encode())


def verify_new(party: RelyingParty, given: NewPasskey, *, challenge: bytes) -> Passkey:
    """Verify a new passkey; whether another has its id is the caller's question.

    Raises:
        PasskeyInvalid: if it does not answer this challenge, for this party, with the user
            verified, or cannot be read.
    """
    credential: dict[str, Any] = msgspec.to_builtins(given)
    try:
        verified = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            require_user_verification=True,
            supported_pub_key_algs=list(ALGORITHMS),
        )
        client_data = webauthn.base64url_to_bytes(given.response.client_data)
        is_framed = parse_client_data_json(client_data).cross_origin
    except Exception as error:  # the library fails in many ways over what strangers send
        message = "this is not a new passkey that answers the challenge"
        raise PasskeyInvalid(message, field="credential") from error
    if is_framed:
        message = "the passkey was made inside a page of another origin"
        raise PasskeyInvalid(message, field="credential")
    return Passkey(
        id=verified.credential_id,
        public_key=verified.credential_public_key,
        sign_count=verified.sign_count,
        transports=tuple(t for t in given.response.transports if t in _TRANSPORTS),
        is_synced=verified.credential_device_type == CredentialDeviceType.MULTI_DEVICE,
        is_backed_up=verified.credential_backed_up,
    )


def authentication_options(
    party: RelyingParty, *, challenge: bytes, allowed: Iterable[Passkey] = ()
) -> Mapping[str, Any]:
    """Say what `navigator.credentials.get()` is called with, as JSON.

    Args:
        party: whom the passkeys were made for.
        challenge: fresh and random, or the hash of what is signed; `CHALLENGE_BYTES` long.
        allowed: which may answer; none: the browser shows those that it has. Whoever is not
            known yet is told none, so that nobody learns who has passkeys.
    """
    options = webauthn.generate_authentication_options(
        rp_id=party.id,
        challenge=challenge,
        timeout=_TIMEOUT_MS,
        allow_credentials=_descriptors(allowed),
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return _decode_options(webauthn.options_to_json(options).encode())


def read_assertion(given: PasskeyAnswer) -> Assertion:
    """Read an answer's bytes; nothing of it is verified.

    Raises:
        AssertionInvalid: if it is not base64url, or is of another kind.
    """
    response = given.response
    try:
        assertion = Assertion(
            webauthn.base64url_to_bytes(given.raw_id),
            webauthn.base64url_to_bytes(response.authenticator_data),
            webauthn.base64url_to_bytes(response.client_data),
            webauthn.base64url_to_bytes(response.signature),
            None
            if response.user_handle is None
            else webauthn.base64url_to_bytes(response.user_handle),
        )
    except ValueError as error:
        message = "the answer is not written in base64url"
        raise AssertionInvalid(message, field="credential") from error
    if given.type != "public-key" or bytes_to_base64url(assertion.credential) != given.id:
        message = "the answer is not of a passkey"
        raise AssertionInvalid(message, field="credential")
    return assertion


def answered_challenge(client_data: bytes) -> bytes:
    """Read which challenge something claims to answer; whether it does is to be verified.

    Raises:
        AssertionInvalid: if that cannot be read.
    """
    try:
        return parse_client_data_json(client_data).challenge
    except Exception as error:  # the library fails in many ways over what strangers send
        message = "the answer names no challenge"
        raise AssertionInvalid(message, field="credential") from error


def verify_answer(
    party: RelyingParty, assertion: Assertion, *, challenge: bytes, passkey: Passkey
) -> Passkey:
    """Verify that a passkey answered a challenge; a pure function.

    An auditor verifies an answer again by the passkey as it was enrolled, `sign_count` 0.

    Returns:
        the passkey as it is stored from now on: counter and backup state are the answer's.

    Raises:
        AssertionInvalid: if it is another's, answers another challenge, party or origin, the
            user was not verified, the signature is wrong, or the counter did not grow: then
            somebody has a copy of the key.
    """
    if assertion.credential != passkey.id:
        message = "another passkey answered"
        raise AssertionInvalid(message, field="credential")
    try:
        verified = webauthn.verify_authentication_response(
            credential=AuthenticationCredential(
                id=bytes_to_base64url(assertion.credential),
                raw_id=assertion.credential,
                response=AuthenticatorAssertionResponse(
                    client_data_json=assertion.client_data,
                    authenticator_data=assertion.authenticator_data,
                    signature=assertion.signature,
                ),
            ),
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            credential_public_key=passkey.public_key,
            credential_current_sign_count=passkey.sign_count,
            require_user_verification=True,
        )
        is_framed = parse_client_data_json(assertion.client_data).cross_origin
    except Exception as error:  # the library fails in many ways over what strangers send
        message = "the passkey's answer does not hold"
        raise AssertionInvalid(message, field="credential") from error
    if is_framed:
        message = "the passkey answered inside a page of another origin"
        raise AssertionInvalid(message, field="credential")
    return msgspec.structs.replace(
        passkey,
        sign_count=verified.new_sign_count,
        is_backed_up=verified.credential_backed_up,
    )


def _descriptors(passkeys: Iterable[Passkey]) -> list[PublicKeyCredentialDescriptor]:
    return [
        PublicKeyCredentialDescriptor(
            id=passkey.id,
            transports=[AuthenticatorTransport(name) for name in passkey.transports],
        )
        for passkey in passkeys
    ]
