"""An authenticator in software: makes passkeys, and answers challenges as a browser would.

Attestation is `none`; the key is P-256. What a defective or hostile one does is set by its
attributes before it is asked.
"""

import hashlib
import json
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from webauthn import base64url_to_bytes
from webauthn.helpers import bytes_to_base64url, encode_cbor

_PRESENT, _VERIFIED, _SYNCED, _BACKED_UP, _ATTESTED = 0x01, 0x04, 0x08, 0x10, 0x40


@dataclass
class _Made:
    key: ec.EllipticCurvePrivateKey
    user: bytes


@dataclass
class Authenticator:
    """One device of one person, and the browser before it."""

    origin: str = "http://localhost:8420"
    #: Whether it says that it has seen the person's PIN or finger.
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
        public = encode_cbor(
            {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        )
        attested = bytes(16) + struct.pack(">H", len(credential)) + credential + public
        data = self._data(options["rp"]["id"], _ATTESTED) + attested
        client_data = self._client_data("webauthn.create", options["challenge"])
        attestation = encode_cbor({"fmt": "none", "attStmt": {}, "authData": data})
        return {
            "id": bytes_to_base64url(credential),
            "rawId": bytes_to_base64url(credential),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": bytes_to_base64url(client_data),
                "attestationObject": bytes_to_base64url(attestation),
                "transports": ["internal"],
            },
        }

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
        return {
            "id": bytes_to_base64url(credential),
            "rawId": bytes_to_base64url(credential),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": bytes_to_base64url(client_data),
                "authenticatorData": bytes_to_base64url(data),
                "signature": bytes_to_base64url(made.key.sign(signed, ec.ECDSA(hashes.SHA256()))),
                "userHandle": bytes_to_base64url(made.user),
            },
        }

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
