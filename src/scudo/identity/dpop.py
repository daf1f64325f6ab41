"""DPoP: a request proves that its sender holds a private key: of a device, or of a partner.

Checked by hand on `cryptography`, because it stands before every request of every customer.

Source:
    RFC 9449, section 4.2 (what a proof is), 4.3 (what is checked), 7 (with an access token), 8
    (nonces), 11.1 (replays). JWK thumbprints: RFC 7638. ES256: RFC 7518 section 3.4; EdDSA:
    RFC 8037 section 3.1. Which of two URLs are the same: RFC 3986 section 6.2.2 and 6.2.3.
"""

import binascii
import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from scudo.fabric import web
from scudo.identity.errors import (
    KeyMismatched,
    ProofExpired,
    ProofMalformed,
    ProofMismatched,
    ProofMissing,
    ProofNonceNeeded,
    ProofReplayed,
)
from scudo.kernel import SECOND_US

#: How old a proof may be.
WINDOW_S: Final = 60
#: How far a device's clock may be ahead of ours.
AHEAD_S: Final = 5
#: Longer proofs are not read.
_PROOF_MAX: Final = 2_048
_JTI_MAX: Final = 128
_COORDINATE_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
_TYPE: Final = "dpop+jwt"
_ES256: Final = ec.ECDSA(hashes.SHA256())
_URLSAFE: Final = bytes.maketrans(b"-_", b"+/")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class _Jwk(msgspec.Struct, frozen=True):
    kty: str
    crv: str
    x: str
    y: str | None = None
    d: str | None = None


class _Header(msgspec.Struct, frozen=True):
    typ: str
    alg: str
    jwk: _Jwk
    crit: list[str] | None = None


class _Claims(msgspec.Struct, frozen=True):
    jti: str
    htm: str
    htu: str
    iat: int | float
    ath: str | None = None
    nonce: str | None = None


_read_header: Final = msgspec.json.Decoder(_Header).decode
_read_claims: Final = msgspec.json.Decoder(_Claims).decode


class DeviceKey:
    """The public key of a device, ready to verify.

    Attributes:
        header: the proof's header as it was sent; a device sends the same again and again.
        thumbprint: SHA-256 of the key, base64url.
        jwk: in canonical form.
    """

    __slots__ = ("_edwards", "_elliptic", "header", "jwk", "thumbprint")

    def __init__(self, header: bytes) -> None:
        """Read the header of a proof.

        Raises:
            ProofMalformed: unless it is a DPoP header with a public key on P-256 or Ed25519
                and the algorithm of that key.
        """
        self.header = header
        try:
            read = _read_header(_decode(header))
            jwk = read.jwk
            if read.typ != _TYPE or read.crit is not None or jwk.d is not None:
                raise ProofMalformed("the proof is of another type, or shows a private key")
            x = _decode_exactly(jwk.x)
            self._elliptic: ec.EllipticCurvePublicKey | None = None
            self._edwards: ed25519.Ed25519PublicKey | None = None
            match read.alg, jwk.kty, jwk.crv, jwk.y:
                case "ES256", "EC", "P-256", str(y):
                    point = b"\x04" + x + _decode_exactly(y)
                    self._elliptic = ec.EllipticCurvePublicKey.from_encoded_point(
                        ec.SECP256R1(), point
                    )
                    self.jwk = f'{{"crv":"P-256","kty":"EC","x":"{jwk.x}","y":"{y}"}}'
                case "EdDSA", "OKP", "Ed25519", None:
                    self._edwards = ed25519.Ed25519PublicKey.from_public_bytes(x)
                    self.jwk = f'{{"crv":"Ed25519","kty":"OKP","x":"{jwk.x}"}}'
                case _:
                    raise ProofMalformed("the proof is not signed by ES256 or EdDSA")
        except (ValueError, msgspec.DecodeError) as error:
            raise ProofMalformed("the header of the proof cannot be read") from error
        self.thumbprint = _encode(hashlib.sha256(self.jwk.encode()).digest())

    def verify(self, signature: bytes, signed: bytes) -> None:
        """Verify a signature as JWS has it: 64 bytes.

        Raises:
            ProofMalformed: if it is not this key's.
        """
        if len(signature) != _SIGNATURE_BYTES:
            raise ProofMalformed("the signature of the proof is wrong")
        try:
            if self._elliptic is not None:
                der = encode_dss_signature(
                    int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
                )
                self._elliptic.verify(der, signed, _ES256)
            else:
                assert self._edwards is not None, "a key is of one kind"
                self._edwards.verify(signature, signed)
        except InvalidSignature as error:
            raise ProofMalformed("the signature of the proof is wrong") from error


class Replays:
    """Which proofs were used lately: two sets, of which the older is dropped in time."""

    def __init__(self, *, most: int = 1_000_000) -> None:
        """Remember so many proofs at the most, in the time that one may be used."""
        self._most = most // 2
        self._since = 0
        self._now: set[bytes] = set()
        self._before: set[bytes] = set()

    def use(self, proof: bytes, *, second: int) -> None:
        """Use a proof up.

        Args:
            proof: digest that tells it from all others.
            second: what time it is.

        Raises:
            ProofReplayed: if it was used before, or nobody could know.
        """
        if second - self._since > WINDOW_S + AHEAD_S:
            is_next = second - self._since <= 2 * (WINDOW_S + AHEAD_S)
            self._before = self._now if is_next else set()
            self._now, self._since = set(), second
        if proof in self._now or proof in self._before:
            raise ProofReplayed("this proof was used before")
        if len(self._now) >= self._most:
            raise ProofReplayed("too many proofs came to know whether this one was used")
        self._now.add(proof)


class Proofs:
    """Checks the proofs of requests."""

    def __init__(
        self, *, origins: tuple[str, ...], now: Callable[[], int], replays: Replays | None = None
    ) -> None:
        """Check proofs for the URLs of these origins from now on.

        Args:
            origins: as clients see us: scheme, host, and port unless it is the scheme's own.
            now: our wall clock, microseconds.
            replays: remembers used proofs.
        """
        self._origins = tuple(_origin(urlsplit(origin)) for origin in origins)
        self._plain = frozenset(origins)
        self._now = now
        self._replays = replays or Replays()
        #: What was used before we started is not known: proofs that may be older name this.
        self.nonce = secrets.token_urlsafe(16)
        self._known_from = now() // SECOND_US + AHEAD_S

    def check(
        self, arrival: web.Arrival, *, token: str | None = None, key: DeviceKey | None = None
    ) -> DeviceKey:
        """Check the proof of a request, and use it up.

        Args:
            arrival: the request.
            token: the access token that came with it; None: it needs none.
            key: that the token is bound to.

        Returns:
            the key that signed it.

        Raises:
            ProofMissing: if there is none.
            ProofMalformed: if it cannot be read, or its signature is wrong.
            KeyMismatched: if another key than the token's signed it.
            ProofMismatched, ProofExpired, ProofNonceNeeded, ProofReplayed.
        """
        proof = arrival.headers.get(b"dpop")
        if proof is None:
            raise ProofMissing("this request needs a DPoP proof")
        header, dot, rest = proof.partition(b".")
        body, second_dot, signature = rest.partition(b".")
        if not dot or not second_dot or len(proof) > _PROOF_MAX or b"." in signature:
            raise ProofMalformed("the proof is not a compact JWS")
        signer = key if key is not None and key.header == header else DeviceKey(header)
        if key is not None and not hmac.compare_digest(signer.thumbprint, key.thumbprint):
            raise KeyMismatched("the token is bound to another key")
        try:
            claims = _read_claims(_decode(body))
            signer.verify(_decode(signature), proof[: len(header) + 1 + len(body)])
        except (ValueError, msgspec.DecodeError) as error:
            raise ProofMalformed("the proof cannot be read") from error
        self._demand_request(claims, arrival, token)
        self._demand_fresh(claims, signer)
        return signer

    def _demand_request(self, claims: _Claims, arrival: web.Arrival, token: str | None) -> None:
        """Look whether the proof is for this request.

        Raises:
            ProofMismatched: if it is for another.
        """
        if claims.htm != arrival.method:
            raise ProofMismatched("the proof is for another method")
        if not self._is_here(claims.htu, arrival.path):
            raise ProofMismatched("the proof is for another URL")
        if token is not None:
            bound = _encode(hashlib.sha256(token.encode()).digest())
            if claims.ath is None or not hmac.compare_digest(claims.ath.encode(), bound.encode()):
                raise ProofMismatched("the proof is for another token")

    def _is_here(self, url: str, path: str) -> bool:
        if url.endswith(path) and url[: len(url) - len(path)] in self._plain and "%" not in url:
            return True
        try:
            parts = urlsplit(url)
            return _origin(parts) in self._origins and (unquote(parts.path) or "/") == path
        except ValueError:
            return False

    def _demand_fresh(self, claims: _Claims, signer: DeviceKey) -> None:
        """Look whether the proof is new.

        Raises:
            ProofMalformed: if nothing tells it from others.
            ProofExpired: if it is older than the window, or of the future.
            ProofNonceNeeded: if it may be older than this server.
            ProofReplayed: if it was used before.
        """
        now = self._now() // SECOND_US
        if not 0 < len(claims.jti) <= _JTI_MAX:
            raise ProofMalformed("the proof's jti is not 1 to 128 characters")
        # Written so that a number that is none does not pass.
        if not now - WINDOW_S <= claims.iat <= now + AHEAD_S:
            raise ProofExpired("the proof was made too long ago, or is yet to be made")
        if claims.nonce is not None:
            if not hmac.compare_digest(claims.nonce.encode(), self.nonce.encode()):
                raise ProofNonceNeeded("the nonce is not ours", nonce=self.nonce)
        elif claims.iat <= self._known_from:
            # It may have been used before we started, which nobody remembers.
            raise ProofNonceNeeded("this server has just started", nonce=self.nonce)
        used = hashlib.blake2b(
            f"{signer.thumbprint}\x00{claims.jti}".encode(), digest_size=16
        ).digest()
        self._replays.use(used, second=now)


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    """Scheme, host and port of a URL, as it is compared.

    Raises:
        ValueError: if it names a user, or a port that is none.
    """
    scheme = parts.scheme.lower()
    port = parts.port or _DEFAULT_PORTS.get(scheme, 0)
    if parts.username is not None or parts.password is not None:
        raise ValueError
    return scheme, (parts.hostname or "").lower(), port


def _decode(text: bytes) -> bytes:
    """Read base64url without padding; nothing else is let pass.

    Raises:
        ValueError: for anything else.
    """
    if b"+" in text or b"/" in text or b"=" in text:
        raise ValueError
    return binascii.a2b_base64(text.translate(_URLSAFE) + b"=" * (-len(text) % 4), strict_mode=True)


def _decode_exactly(text: str) -> bytes:
    """Read a coordinate, written in the one way in which its thumbprint counts.

    Raises:
        ValueError: if it is another length, or could be written in another way.
    """
    coordinate = _decode(text.encode("ascii"))
    if len(coordinate) != _COORDINATE_BYTES or _encode(coordinate) != text:
        raise ValueError
    return coordinate


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
