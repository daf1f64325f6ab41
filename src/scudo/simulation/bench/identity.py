"""Measures of customers' tokens: checked in process, and over HTTP beside plain bearer tokens."""

import json
import time
import uuid
from hashlib import sha256
from random import Random
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from webauthn.helpers import bytes_to_base64url

from scudo.bootstrap import now_us
from scudo.fabric import web
from scudo.identity import Registry, customers
from scudo.simulation.bench.stage import SEED, Figures, Report, Terms

_HOST: Final = "http://localhost:8420"
_PATH: Final = "/v1/payments"
_CHECKS_PER_SECOND: Final = 2_000


class SoftwareDevice:
    """A device's key, and proofs by it."""

    def __init__(self) -> None:
        """Make a key on P-256."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        numbers = self._key.public_key().public_numbers()
        jwk = {
            "kty": "EC",
            "crv": "P-256",
            "x": bytes_to_base64url(numbers.x.to_bytes(32, "big")),
            "y": bytes_to_base64url(numbers.y.to_bytes(32, "big")),
        }
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}
        self.header = bytes_to_base64url(json.dumps(header).encode())

    def proof(self, method: str, path: str, *, token: str, at: int) -> bytes:
        """Prove one request made at a second, with a token."""
        claims = {
            "jti": str(uuid.uuid4()),
            "htm": method,
            "htu": _HOST + path,
            "iat": at,
            "ath": bytes_to_base64url(sha256(token.encode()).digest()),
        }
        signed = f"{self.header}.{bytes_to_base64url(json.dumps(claims).encode())}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return f"{signed}.{bytes_to_base64url(signature)}".encode()


class _Clock:
    """A wall clock that stands while proofs are signed."""

    def __init__(self) -> None:
        self.now = now_us()

    def __call__(self) -> int:
        return self.now


def token_check(terms: Terms, report: Report) -> Figures:
    """Check an access token with its DPoP proof, in process, each proof a distinct one."""
    clock = _Clock()
    keeper = customers.CustomerKeeper(Registry())
    proofs = customers.Proofs(origins=(_HOST,), now=clock)
    tokens = customers.AccessTokens(proofs, keeper.store, now=clock, misused=lambda *_: None)
    # Beyond the time in which a proof could be older than this process.
    clock.now += 10_000_000
    devices = [SoftwareDevice() for _ in range(100)]
    given = []
    for number, device in enumerate(devices, 1):
        key = customers.DeviceKey(device.header.encode())
        session = customers.Session(
            number,
            number,
            key.thumbprint,
            number,
            customers.Assurance.PASSKEY,
            clock.now,
            clock.now,
            number,
        )
        given.append((tokens.give(number, session, key), device))
    count = terms.seconds * _CHECKS_PER_SECOND
    random = Random(SEED)
    requests = []
    for _ in range(count):
        token, device = random.choice(given)
        proof = device.proof("POST", _PATH, token=token, at=clock.now // 1_000_000)
        requests.append((token, web.Arrival("POST", _PATH, b"", {b"dpop": proof})))
    taken = []
    for token, arrival in requests:
        began = time.perf_counter_ns()
        principal = tokens.authenticate("dpop", token, arrival)
        taken.append(time.perf_counter_ns() - began)
        assert principal is not None, "a token with its proof is good"
    taken.sort()
    report(f"   {count:,} requests of {len(devices)} devices (ES256), each with its own proof")
    return {
        "token_check": {
            "p50_us": round(taken[count // 2] / 1_000),
            "p99_us": round(taken[count * 99 // 100] / 1_000),
            "p999_us": round(taken[count * 999 // 1_000] / 1_000),
        }
    }
