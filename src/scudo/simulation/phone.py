"""A customer's phone in software: device key, passkeys, tokens, and a small HTTP client.

It speaks as a real one would: every request carries a proof of its own (DPoP, RFC 9449), passkeys
answer challenges as an authenticator with a browser before it does (WebAuthn level 3).
"""

import hashlib
import json
import secrets
import struct
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from webauthn import base64url_to_bytes
from webauthn.helpers import bytes_to_base64url, encode_cbor

from scudo.fabric import settings

#: Flags of authenticator data (WebAuthn level 3, 6.1).
_PRESENT, _VERIFIED, _SYNCED, _BACKED_UP, _ATTESTED = 0x01, 0x04, 0x08, 0x10, 0x40
#: ISO 3166-1 numeric code of the country that it is activated from, unless it is told another.
_SWITZERLAND: Final = 756


@dataclass(slots=True)
class _Made:
    key: ec.EllipticCurvePrivateKey
    user: bytes


@dataclass(slots=True)
class Authenticator:
    """One authenticator of one person, and the browser before it.

    Attestation is `none`; the key is P-256. What a defective or hostile one does is set by its
    attributes before it is asked.

    Attributes:
        origin: of the page that it is used on.
        verifies: whether it says that it has seen the person's PIN or finger.
        counts: whether it counts its signatures; those that synchronise do not.
        is_synced: whether it says that its passkeys are kept elsewhere too.
        cross_origin: whether the page is inside one of another origin.
        made: its passkeys, by credential id.
    """

    origin: str = settings.ORIGIN_DEFAULT
    verifies: bool = True
    counts: bool = True
    is_synced: bool = False
    cross_origin: bool = False
    sign_count: int = 0
    made: dict[bytes, _Made] = field(default_factory=dict)

    def create(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """`navigator.credentials.create()`, its answer as JSON."""
        credential = secrets.token_bytes(16)
        key = ec.generate_private_key(ec.SECP256R1())
        self.made[credential] = _Made(key, base64url_to_bytes(options["user"]["id"]))
        numbers = key.public_key().public_numbers()
        # COSE: elliptic curve, ES256, P-256 (RFC 9053, 7.1.1).
        public = encode_cbor(
            {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        )
        attested = bytes(16) + struct.pack(">H", len(credential)) + credential + public
        data = self._data(options["rp"]["id"], _ATTESTED) + attested
        attestation = encode_cbor({"fmt": "none", "attStmt": {}, "authData": data})
        response = {
            "clientDataJSON": bytes_to_base64url(
                self._client_data("webauthn.create", options["challenge"])
            ),
            "attestationObject": bytes_to_base64url(attestation),
            "transports": ["internal"],
        }
        return _credential(credential, response)

    def get(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """`navigator.credentials.get()`, its answer as JSON; by the first that is allowed."""
        allowed = [base64url_to_bytes(c["id"]) for c in options.get("allowCredentials", ())]
        credential = next(c for c in self.made if not allowed or c in allowed)
        made = self.made[credential]
        if self.counts:
            self.sign_count += 1
        data = self._data(options["rpId"], 0)
        client_data = self._client_data("webauthn.get", options["challenge"])
        signed = data + hashlib.sha256(client_data).digest()
        response = {
            "clientDataJSON": bytes_to_base64url(client_data),
            "authenticatorData": bytes_to_base64url(data),
            "signature": bytes_to_base64url(made.key.sign(signed, ec.ECDSA(hashes.SHA256()))),
            "userHandle": bytes_to_base64url(made.user),
        }
        return _credential(credential, response)

    def _data(self, party: str, flags: int) -> bytes:
        flags |= _PRESENT | (_VERIFIED if self.verifies else 0)
        flags |= _SYNCED | _BACKED_UP if self.is_synced else 0
        count = self.sign_count if self.counts else 0
        return hashlib.sha256(party.encode()).digest() + struct.pack(">BI", flags, count)

    def _client_data(self, kind: str, challenge: str) -> bytes:
        told = {
            "type": kind,
            "challenge": challenge,
            "origin": self.origin,
            "crossOrigin": self.cross_origin,
        }
        return json.dumps(told).encode()


def _credential(number: bytes, response: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": bytes_to_base64url(number),
        "rawId": bytes_to_base64url(number),
        "type": "public-key",
        "authenticatorAttachment": "platform",
        "clientExtensionResults": {},
        "response": response,
    }


class DeviceKey:
    """The key of a device, which never leaves it.

    Attributes:
        jwk: its public half (RFC 7517).
        thumbprint: of that (RFC 7638), base64url.
    """

    def __init__(self, kind: Literal["P-256", "Ed25519"] = "P-256") -> None:
        """Make a new one."""
        self._key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
        if kind == "P-256":
            self._key = ec.generate_private_key(ec.SECP256R1())
            numbers = self._key.public_key().public_numbers()
            self.algorithm = "ES256"
            x, y = (bytes_to_base64url(n.to_bytes(32)) for n in (numbers.x, numbers.y))
            self.jwk = {"crv": "P-256", "kty": "EC", "x": x, "y": y}
        else:
            self._key = ed25519.Ed25519PrivateKey.generate()
            self.algorithm = "EdDSA"
            x = bytes_to_base64url(self._key.public_key().public_bytes_raw())
            self.jwk = {"crv": "Ed25519", "kty": "OKP", "x": x}
        canonical = json.dumps(self.jwk, separators=(",", ":"), sort_keys=True)
        self.thumbprint = bytes_to_base64url(hashlib.sha256(canonical.encode()).digest())

    def sign(self, signed: bytes) -> bytes:
        """Sign as a JWS does (RFC 7518, 3.4; RFC 8037, 3.1)."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(signed)
        r, s = decode_dss_signature(self._key.sign(signed, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)

    def proof(
        self,
        method: str,
        url: str,
        *,
        token: str | None = None,
        header: Mapping[str, object] | None = None,
        **claims: object,
    ) -> str:
        """Make a proof for one request (RFC 9449, 4.2).

        Args:
            method: of the request.
            url: of the request, without query.
            token: that is sent with it.
            header: replaces members of the proof's header.
            claims: replace the claims that it would have; None leaves one out.
        """
        told: dict[str, object] = {
            "jti": str(uuid.uuid4()),
            "htm": method,
            "htu": url,
            "iat": int(time.time()),
        }
        if token is not None:
            told["ath"] = bytes_to_base64url(hashlib.sha256(token.encode()).digest())
        told = {name: value for name, value in (told | claims).items() if value is not None}
        head = {"typ": "dpop+jwt", "alg": self.algorithm, "jwk": self.jwk} | dict(header or {})
        signed = ".".join(bytes_to_base64url(json.dumps(part).encode()) for part in (head, told))
        return f"{signed}.{bytes_to_base64url(self.sign(signed.encode()))}"


@dataclass
class Phone:
    """A customer's device: its key, its passkeys, its tokens, and a connection to the bank.

    Attributes:
        http: connected to the bank, wherever it listens.
        origin: the bank's public one, which proofs are signed for.
        access: token of minutes, bound to the key; None while nobody is logged in.
        refresh: token that gives the next pair, once.
        nonce: the bank's, which it wants in proofs for a while after it has started.
        address: of its owner's mailbox.
    """

    http: httpx.Client
    key: DeviceKey = field(default_factory=DeviceKey)
    passkeys: Authenticator = field(default_factory=Authenticator)
    origin: str = settings.ORIGIN_DEFAULT
    access: str | None = None
    refresh: str | None = None
    nonce: str | None = None
    session: str | None = None
    customer: str | None = None
    address: str | None = None

    def send(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """Send a request with a fresh proof, and once more if the bank wants its nonce in it."""
        answer = self.send_with(self.proof(method, path), method, path, body, **headers)
        if answer.status_code == httpx.codes.UNAUTHORIZED and "dpop-nonce" in answer.headers:
            self.nonce = answer.headers["dpop-nonce"]
            answer = self.send_with(self.proof(method, path), method, path, body, **headers)
        return answer

    def proof(self, method: str, path: str, **claims: Any) -> str:  # noqa: ANN401 - any JSON
        """Make a proof for a request; see `DeviceKey.proof`."""
        url = self.origin + path.partition("?")[0]
        return self.key.proof(method, url, token=self.access, **({"nonce": self.nonce} | claims))

    def send_with(
        self, proof: str | None, method: str, path: str, body: object = None, **headers: str
    ) -> httpx.Response:
        """Send a request with this very proof."""
        if proof is not None:
            headers["dpop"] = proof
        if self.access is not None:
            headers.setdefault("authorization", f"DPoP {self.access}")
        return self.http.request(method, path, headers=headers, json=body)

    def get(self, path: str) -> httpx.Response:
        """Read something."""
        return self.send("GET", path)

    def post(self, path: str, body: object = None) -> httpx.Response:
        """Send what does not move money."""
        return self.send("POST", path, body)

    def order(self, path: str, body: object = None) -> httpx.Response:
        """Send what moves money."""
        return self.send("POST", path, body, **{"idempotency-key": str(uuid.uuid4())})

    def keep(self, answer: httpx.Response) -> httpx.Response:
        """Keep the tokens that an answer gives."""
        if answer.status_code == httpx.codes.CREATED:
            told = answer.json()
            self.access, self.refresh = told["access_token"], told["refresh_token"]
            self.session, self.customer = told["session_id"], told["customer_id"]
        return answer

    def lose_tokens(self) -> None:
        """Forget who is logged in."""
        self.access = self.refresh = self.session = None

    # ---- what people do

    def activate(
        self, address: str, code_id: str, code: str, *, country: int = _SWITZERLAND
    ) -> httpx.Response:
        """Enter the code that was mailed; the customer is bound to this device's key."""
        self.lose_tokens()
        body = {"email": address, "code": code, "country": country}
        return self.keep(self.post(f"/v1/sign-ups/{code_id}/activation", body))

    def add_passkey(self, **more: object) -> httpx.Response:
        """Make a passkey and give it to the bank, with whatever else belongs to the request."""
        asked = self.post("/v1/passkeys/challenges").json()
        credential = self.passkeys.create(asked["public_key"])
        body = {"challenge_id": asked["challenge_id"], "credential": credential, **more}
        return self.post("/v1/passkeys", body)

    def log_in(self) -> httpx.Response:
        """Log in by passkey."""
        self.lose_tokens()
        asked = self.post("/v1/log-ins/challenges").json()
        credential = self.passkeys.get(asked["public_key"])
        body = {"challenge_id": asked["challenge_id"], "credential": credential}
        return self.keep(self.post("/v1/log-ins/passkey", body))

    def renew(self) -> httpx.Response:
        """Exchange the refresh token for the next pair."""
        refresh = self.refresh
        self.access = None
        return self.keep(self.post("/v1/tokens/refresh", {"refresh_token": refresh}))
