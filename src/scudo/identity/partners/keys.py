"""Public keys of partners: read strictly, and asked whether a signature is theirs.

Source:
    RFC 7517 and 7518 (JWK), RFC 8037 (OKP), RFC 9421, sections 3.3.4 and 3.3.5: an ECDSA
    signature is the two numbers, 32 bytes each, one after the other, as in JWS.
"""

import functools
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from scudo.identity.partners.errors import CertificateUnfit, KeyUnfit
from scudo.identity.partners.model import Algorithm, Certificate, SigningKey

_SCALAR_BYTES: Final = 32
_UNCOMPRESSED: Final = b"\x04"
_HASH: Final = ec.ECDSA(hashes.SHA256())
#: Keys that are parsed once and kept: a partner has a few, and uses them all day.
_PARSED_MAX: Final = 4_096

PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey


def encode_bytes(value: bytes) -> str:
    """Write bytes as base64url without padding."""
    return urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def decode_bytes(text: str) -> bytes:
    """Read base64url without padding, in the one form that `encode_bytes` writes.

    Raises:
        ValueError: for anything else: stray characters, bits beyond the end, padding.
    """
    value = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    if encode_bytes(value) != text:
        message = "this is not base64url"
        raise ValueError(message)
    return value


def read_public(*, kty: str, crv: str, x: str, y: str | None) -> tuple[Algorithm, str]:
    """Read the members of a JWK: what it signs with, and the key as it is recorded.

    Raises:
        KeyUnfit: for another kind of key, or numbers that are no key of this kind.
    """
    try:
        if (kty, crv, y) == ("OKP", "Ed25519", None):
            raw = decode_bytes(x)
            ed25519.Ed25519PublicKey.from_public_bytes(raw)
            return Algorithm.ED25519, encode_bytes(raw)
        if (kty, crv) == ("EC", "P-256") and y is not None:
            scalars = decode_bytes(x), decode_bytes(y)
            if {len(scalar) for scalar in scalars} == {_SCALAR_BYTES}:
                raw = _UNCOMPRESSED + scalars[0] + scalars[1]
                ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)
                return Algorithm.ECDSA_P256, encode_bytes(raw)
    except ValueError as error:
        message = "these numbers are no public key"
        raise KeyUnfit(message, field="key") from error
    message = "only public keys of Ed25519 and P-256 are taken"
    raise KeyUnfit(message, field="key")


@functools.lru_cache(maxsize=_PARSED_MAX)
def _parsed(algorithm: Algorithm, public: str) -> PublicKey:
    raw = decode_bytes(public)
    if algorithm is Algorithm.ED25519:
        return ed25519.Ed25519PublicKey.from_public_bytes(raw)
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)


def is_signed(key: SigningKey, signature: bytes, message: bytes) -> bool:
    """Whether a key's owner signed a message; the key's kind alone says by what algorithm."""
    public = _parsed(Algorithm(key.algorithm), key.public)
    try:
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(signature, message)
        else:
            if len(signature) != 2 * _SCALAR_BYTES:
                return False
            r = int.from_bytes(signature[:_SCALAR_BYTES], "big")
            s = int.from_bytes(signature[_SCALAR_BYTES:], "big")
            public.verify(encode_dss_signature(r, s), message, _HASH)
    except InvalidSignature:
        return False
    return True


def _nobodys(algorithm: Algorithm) -> SigningKey:
    """A key whose private half is thrown away at once: nothing is signed by it."""
    public: bytes
    if algorithm is Algorithm.ED25519:
        public = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    else:
        point = ec.generate_private_key(ec.SECP256R1()).public_key()
        public = point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return SigningKey("", algorithm, encode_bytes(public), 0, 0)


#: Checked in place of keys that there are not, so that unknown names cost as much as known ones.
NOBODYS: Final = {algorithm: _nobodys(algorithm) for algorithm in Algorithm}


# ---- certificates


def thumbprint(der: bytes) -> str:
    """Name a certificate by its SHA-256 (RFC 8705, section 3.1)."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    return encode_bytes(digest.finalize())


def demand_thumbprint(text: str) -> None:
    """See that a text can be a thumbprint.

    Raises:
        CertificateUnfit: if it cannot.
    """
    try:
        size = len(decode_bytes(text))
    except ValueError as error:
        message = "this is not the SHA-256 of a certificate, in base64url"
        raise CertificateUnfit(message, field="thumbprint") from error
    if size != hashes.SHA256.digest_size:
        message = "this is not the SHA-256 of a certificate, in base64url"
        raise CertificateUnfit(message, field="thumbprint")


def demand_name(text: str, *, field: str) -> str:
    """Read a distinguished name, and write it as it will be compared.

    Raises:
        CertificateUnfit: if it is not one as RFC 4514 writes them, or is empty.
    """
    try:
        name = x509.Name.from_rfc4514_string(text)
    except ValueError as error:
        message = "this is not a distinguished name as RFC 4514 writes them"
        raise CertificateUnfit(message, field=field) from error
    if not list(name):
        message = "this name is empty"
        raise CertificateUnfit(message, field=field)
    return name.rfc4514_string()


@functools.lru_cache(maxsize=_PARSED_MAX)
def _names(der: bytes) -> tuple[str, str]:
    try:
        certificate = x509.load_der_x509_certificate(der)
        return certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
    except ValueError:
        # Good enough for TLS, and with names that cannot be written: nobody's.
        return "", ""


def find_certificate(known: tuple[Certificate, ...], der: bytes) -> Certificate | None:
    """Find which of a partner's certificates somebody has connected with.

    Args:
        known: the partner's.
        der: proven in a TLS handshake, and issued by a CA that the installation trusts.
    """
    digest = thumbprint(der)
    names = _names(der) if any(not one.thumbprint for one in known) else ("", "")
    for one in known:
        if one.thumbprint:
            if one.thumbprint == digest:
                return one
        elif (one.subject, one.issuer) == names:
            return one
    return None
