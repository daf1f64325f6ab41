"""Assertions by which a partner shows who it is: signed statements, each good for one token.

Only what a reader cannot take in two ways is read: three parts of base64url, headers that are
known, members that come once, whole numbers for times. What the key signs with is said by the
record of the key, never by the assertion: a header that says otherwise is refused.

Source:
    RFC 7523 (JWT profile for client authentication), RFC 8725 (best current practices), FAPI
    2.0 Security Profile, section 5.3.2.1 (one audience, the issuer's name).
"""

import json
import re
from typing import Any, Final, NoReturn

import msgspec

from scudo.identity.partners.errors import AssertionInvalid, ClientUnauthenticated
from scudo.identity.partners.keys import NOBODYS, decode_bytes, is_signed
from scudo.identity.partners.model import ASSERTION_US, SKEW_US, Algorithm, SigningKey
from scudo.kernel import SECOND_US

#: RFC 7523, section 2.2: what `client_assertion_type` must be.
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_CHARS_MAX: Final = 4_096
_PARTS: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)
#: What a header may call an algorithm (RFC 7518, 8037 and 9864), and which it is.
_ALGORITHMS: Final = {
    "Ed25519": Algorithm.ED25519,
    "EdDSA": Algorithm.ED25519,
    "ES256": Algorithm.ECDSA_P256,
}
_TYPES: Final = frozenset({"JWT", "client-authentication+jwt"})
_JTI: Final = re.compile(r"[!-~]{8,128}")
_TIME_MAX: Final = 1 << 40


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    alg: str
    kid: str
    typ: str = "JWT"


class Assertion(msgspec.Struct, frozen=True):
    """An assertion that was read, and is not believed yet.

    Attributes:
        claims: what it says; names come once.
        signed: the bytes that the signature is over.
    """

    kid: str
    algorithm: Algorithm
    claims: dict[str, Any]
    signed: bytes
    signature: bytes

    @property
    def client(self) -> str:
        """Who it says that it is from; empty if it does not say so in one way."""
        issuer = self.claims.get("iss")
        return issuer if isinstance(issuer, str) and issuer == self.claims.get("sub") else ""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        message = "a member is repeated"
        raise ValueError(message)
    return found


def _json(part: str) -> dict[str, Any]:
    found = json.loads(decode_bytes(part), object_pairs_hook=_once)
    if not isinstance(found, dict):
        message = "this is not an object"
        raise ValueError(message)  # noqa: TRY004 - what a sender wrote, no bug of types
    return found


def read_assertion(text: str) -> Assertion:
    """Read an assertion.

    Raises:
        ClientUnauthenticated: if it cannot be read, or in more ways than one.
    """
    parts = _PARTS.fullmatch(text) if len(text) <= ASSERTION_CHARS_MAX else None
    message = "this is not an assertion as private_key_jwt has them"
    if parts is None:
        raise ClientUnauthenticated(message, field="client_assertion")
    try:
        header = msgspec.convert(_json(parts[1]), _Header)
        claims = _json(parts[2])
        signature = decode_bytes(parts[3])
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise ClientUnauthenticated(message, field="client_assertion") from error
    algorithm = _ALGORITHMS.get(header.alg)
    if algorithm is None or header.typ not in _TYPES:
        raise ClientUnauthenticated(message, field="client_assertion")
    signed = f"{parts[1]}.{parts[2]}".encode("ascii")
    return Assertion(header.kid, algorithm, claims, signed, signature)


def demand_signed(assertion: Assertion, key: SigningKey | None, *, now: int) -> None:
    """See that a key which is good now signed an assertion; as much work without one.

    Raises:
        ClientUnauthenticated: if there is no key, it is not good now, or did not sign it.
    """
    is_good = (
        key is not None
        and key.algorithm is assertion.algorithm
        and key.valid_from <= now < key.valid_until
    )
    checked = key if key is not None and is_good else NOBODYS[assertion.algorithm]
    if not is_signed(checked, assertion.signature, assertion.signed) or not is_good:
        message = "no key of this client that is good now signed this"
        raise ClientUnauthenticated(message, field="client_assertion")


def demand_true(assertion: Assertion, *, audience: frozenset[str], now: int) -> str:
    """Look at what a signed assertion says; returns its `jti`, which nobody may use again.

    Args:
        assertion: signed by a key of the client that it names.
        audience: how the installation is called.
        now: microseconds.

    Raises:
        AssertionInvalid: naming the claim.
    """
    claims = assertion.claims
    aimed_at = claims.get("aud")
    if not isinstance(aimed_at, str) or aimed_at not in audience:
        _refuse("aud", "it is not for this bank")
    expires_at = _time(claims, "exp")
    if expires_at is None:
        _refuse("exp", "it does not say when it ends")
    elif not now - SKEW_US < expires_at <= now + ASSERTION_US + SKEW_US:
        _refuse("exp", "it has ended, or ends later than in 60 seconds")
    issued_at = _time(claims, "iat")
    if issued_at is not None and not now - ASSERTION_US - SKEW_US <= issued_at <= now + SKEW_US:
        _refuse("iat", "it was signed too long ago, or in the future")
    not_before = _time(claims, "nbf")
    if not_before is not None and not_before > now + SKEW_US:
        _refuse("nbf", "it is not good yet")
    jti = claims.get("jti")
    if not isinstance(jti, str) or _JTI.fullmatch(jti) is None:
        _refuse("jti", "it is not 8 to 128 visible ASCII characters")
    return jti


def _time(claims: dict[str, Any], name: str) -> int | None:
    """A claim that is a time, in microseconds; None if it is absent."""
    value = claims.get(name)
    if name not in claims:
        return None
    if type(value) is not int or not 0 <= value < _TIME_MAX:
        _refuse(name, "it is not a whole number of seconds")
    return value * SECOND_US


def _refuse(claim: str, what: str) -> NoReturn:
    message = f"the assertion cannot be used by its {claim}: {what}"
    raise AssertionInvalid(message, field=claim)
