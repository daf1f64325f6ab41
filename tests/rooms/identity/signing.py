"""What a partner's program does: keys, assertions, tokens, signed requests."""

import hashlib
import json
import uuid
from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey

from scudo.identity.partners.assertions import ASSERTION_TYPE

Private = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey


def base64url(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


@dataclass
class Signer:
    """A private key of a partner, and what it does with it."""

    kid: str = "key-1"
    kind: str = "Ed25519"
    private: Private = field(init=False)

    def __post_init__(self) -> None:
        self.private = (
            ed25519.Ed25519PrivateKey.generate()
            if self.kind == "Ed25519"
            else ec.generate_private_key(ec.SECP256R1())
        )

    @property
    def jwk(self) -> dict[str, str]:
        """The public half."""
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            public = self.private.public_key().public_bytes_raw()
            return {"kid": self.kid, "kty": "OKP", "crv": "Ed25519", "x": base64url(public)}
        numbers = self.private.public_key().public_numbers()
        x, y = (base64url(n.to_bytes(32, "big")) for n in (numbers.x, numbers.y))
        return {"kid": self.kid, "kty": "EC", "crv": "P-256", "x": x, "y": y}

    @property
    def algorithm(self) -> str:
        return "Ed25519" if self.kind == "Ed25519" else "ES256"

    def assertion(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Sign a JWT by an implementation that is not ours."""
        key_type = OKPKey if self.kind == "Ed25519" else ECKey
        key = key_type.import_key(self.private)
        head = {"alg": self.algorithm, "kid": self.kid, **(header or {})}
        registry = jws.JWSRegistry(algorithms=[self.algorithm], strict_check_header=False)
        return jws.serialize_compact(head, json.dumps(claims), key, registry=registry)

    def sign(self, message: bytes) -> bytes:
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(message)
        r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def claims_for(partner: str, audience: str, *, now_s: int, **changed: Any) -> dict[str, Any]:
    """What a good assertion says, with changes; None takes a claim away."""
    claims = {
        "iss": partner,
        "sub": partner,
        "aud": audience,
        "iat": now_s,
        "exp": now_s + 50,
        "jti": str(uuid.uuid4()),
        **changed,
    }
    return {name: value for name, value in claims.items() if value is not None}


def token_form(assertion: str, **more: str) -> dict[str, str]:
    """The form by which an assertion asks for a token."""
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
        **more,
    }


def signed_headers(
    signer: Signer,
    *,
    method: str,
    path: str,
    body: bytes,
    key: str,
    created: int,
    nonce: str | None = None,
) -> dict[str, str]:
    """Sign a request as RFC 9421 says; written apart from the product's own reader."""
    digest = f"sha-256=:{b64encode(hashlib.sha256(body).digest()).decode()}:"
    nonce = nonce or uuid.uuid4().hex
    said = (
        '("@method" "@path" "content-digest" "idempotency-key")'
        f';created={created};keyid="{signer.kid}";nonce="{nonce}"'
    )
    base = (
        f'"@method": {method}\n"@path": {path}\n"content-digest": {digest}\n'
        f'"idempotency-key": {key}\n"@signature-params": {said}'
    )
    value = b64encode(signer.sign(base.encode())).decode()
    return {
        "content-digest": digest,
        "idempotency-key": key,
        "signature-input": f"sig={said}",
        "signature": f"sig=:{value}:",
    }


def post_signed(
    http: httpx.Client, signer: Signer, path: str, body: Any, *, now_s: int, **how: Any
) -> httpx.Response:
    """Send a signed order."""
    content = json.dumps(body).encode()
    key = how.pop("key", None) or str(uuid.uuid4())
    signed = signed_headers(
        signer, method="POST", path=path, body=content, key=key, created=now_s, **how
    )
    return http.post(path, content=content, headers={"content-type": "application/json", **signed})
