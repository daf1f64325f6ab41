"""Measures of customers' tokens: checked in process, and over HTTP beside plain bearer tokens."""

import functools
import gc
import itertools
import json
import re
import time
import uuid
from base64 import b32decode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, Final

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from webauthn.helpers import bytes_to_base64url

from scudo.bootstrap import now_us, open_bank
from scudo.fabric import postgres, web
from scudo.identity import SCOPES, DeviceKey, Proofs, Registry, customers, issue_token
from scudo.kernel import instant
from scudo.simulation.bench import outside
from scudo.simulation.bench.stage import (
    FUNDS,
    SEED,
    Figures,
    Report,
    Terms,
    home,
    in_loop,
    settings_of,
    verify,
)
from scudo.simulation.load import Plan, measure_apart, request_bytes

_HOST: Final = "http://localhost:8420"
_PATH: Final = "/v1/payments"
_CHECKS_PER_SECOND: Final = 2_000
_AUTHORISE: Final = "/v1/card-authorisations"
_LOOPBACK: Final = "127.0.0.1"
_PEOPLE: Final = 8
_CONNECTIONS: Final = 64
_WARM_UP_S: Final = 2
#: More than are asked for; the load ends early if they are used up.
_PROOFS_PER_SECOND: Final = 2_000
_PASSWORD: Final = "battery staple 4711"  # noqa: S105 - of nobody


class SoftwareDevice:
    """A device's key, and proofs by it; it can be sent to another process."""

    def __init__(self, secret: bytes | None = None) -> None:
        """Use a private key in DER, or make one on P-256."""
        key = (
            ec.generate_private_key(ec.SECP256R1())
            if secret is None
            else serialization.load_der_private_key(secret, None)
        )
        assert isinstance(key, ec.EllipticCurvePrivateKey), "devices of the bench are of one kind"
        self._key = key
        numbers = self._key.public_key().public_numbers()
        jwk = {
            "kty": "EC",
            "crv": "P-256",
            "x": bytes_to_base64url(numbers.x.to_bytes(32, "big")),
            "y": bytes_to_base64url(numbers.y.to_bytes(32, "big")),
        }
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}
        self.header = bytes_to_base64url(json.dumps(header).encode())

    @property
    def secret(self) -> bytes:
        """The private key in DER."""
        return self._key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def proof(
        self, method: str, path: str, *, token: str | None, at: int, nonce: str | None = None
    ) -> bytes:
        """Prove one request made at a second, with a token if it needs one."""
        claims: dict[str, str | int] = {
            "jti": str(uuid.uuid4()),
            "htm": method,
            "htu": _HOST + path,
            "iat": at,
        }
        if token is not None:
            claims["ath"] = bytes_to_base64url(sha256(token.encode()).digest())
        if nonce is not None:
            claims["nonce"] = nonce
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
    proofs = Proofs(origins=(_HOST,), now=clock)
    tokens = customers.AccessTokens(
        proofs, keeper.store, now=clock, misused=lambda *_: None, read_much=lambda *_: None
    )
    # Beyond the time in which a proof could be older than this process.
    clock.now += 10_000_000
    devices = [SoftwareDevice() for _ in range(100)]
    given = []
    for number, device in enumerate(devices, 1):
        key = DeviceKey(device.header.encode())
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
    gc.collect()
    gc.disable()
    for token, arrival in requests:
        began = time.perf_counter_ns()
        principal = tokens.authenticate("dpop", token, arrival)
        taken.append(time.perf_counter_ns() - began)
        assert principal is not None, "a token with its proof is good"
    gc.enable()
    taken.sort()
    report(f"   {count:,} requests of {len(devices)} devices (ES256), each with its own proof")
    return {
        "token_check": {
            "p50_us": round(taken[count // 2] / 1_000),
            "p99_us": round(taken[count * 99 // 100] / 1_000),
            "p999_us": round(taken[count * 999 // 1_000] / 1_000),
        }
    }


def authorise_dpop(terms: Terms, report: Report) -> Figures:
    """Card authorisations by customers' own tokens, each with its own proof, beside bearer."""
    with home() as folder:
        token = in_loop(_clerk(folder))
        with outside.served(folder) as port:
            address = f"http://{_LOOPBACK}:{port}"
            people = [_Person(address, folder, token) for _ in range(_PEOPLE)]
            plan = Plan(
                host=_LOOPBACK,
                port=port,
                connections=_CONNECTIONS,
                seconds=terms.seconds,
                warm_up_s=_WARM_UP_S,
            )
            accounts = [person.account for person in people]
            before = measure_apart(plan, functools.partial(_bearer, token, accounts, "before"))
            count = (terms.seconds + _WARM_UP_S) * _PROOFS_PER_SECOND
            proven = measure_apart(
                plan, functools.partial(_proven, [p.travelling() for p in people], count)
            )
            # What else the machine does changes meanwhile: both sides of it are compared with.
            after = measure_apart(plan, functools.partial(_bearer, token, accounts, "after"))
        report(f"   {settings_of(folder)}")
        verify(folder, report)
    for name, found in (("bearer", before), ("DPoP", proven), ("bearer", after)):
        statuses = dict(found.statuses)
        report(f"   {name}: {found.rate:,.0f} a second, {statuses}, p99 {found.p99_ms} ms")
        assert set(found.statuses) == {201}, found.refusals
    return {
        "authorise_dpop": {
            "ratio": round(2 * proven.rate / (before.rate + after.rate), 2),
            "rate": round(proven.rate),
            "p99_ms": proven.p99_ms,
        }
    }


async def _clerk(folder: Path) -> str:
    """Make a bank, and a client that may do everything."""
    server = postgres.EmbeddedServer(folder)
    async with (
        open_bank(server, home=folder, description="scudo bench") as bank,
        await bank.connect() as connection,
    ):
        _, token = await issue_token(
            connection, name="bench", scopes=SCOPES, customer=None, now=instant(now_us())
        )
    return token


class _Person:
    """A customer who has signed up over HTTP, with password, authenticator and money."""

    def __init__(self, address: str, folder: Path, clerk: str) -> None:
        self._http = httpx.Client(base_url=address, timeout=30)
        self._device = SoftwareDevice()
        self._nonce: str | None = None
        self._token: str | None = None
        email = f"{uuid.uuid4().hex}@example.com"
        code_id = self._ask("POST", "/v1/sign-ups", {"email": email})["code_id"]
        body = {"email": email, "code": _mailed(folder / "mail", email)}
        opened = self._ask("POST", f"/v1/sign-ups/{code_id}/activation", body)
        self._token = opened["access_token"]
        self._ask("PUT", "/v1/password", {"password": _PASSWORD})
        begun = self._ask("POST", "/v1/totp")
        step = {"challenge_id": begun["challenge_id"], "code": _totp(begun["seed"], -1)}
        self._ask("POST", "/v1/totp/activation", step)
        self._token = None
        proofs = {"email": email, "password": _PASSWORD, "code": _totp(begun["seed"], 1)}
        entered = self._ask("POST", "/v1/log-ins/password", proofs)
        self._token = entered["access_token"]
        self.account = self._funded(clerk, entered["customer_id"])

    def travelling(self) -> tuple[bytes, str, str | None, str]:
        """What another process needs to ask as this person."""
        assert self._token is not None, "the person has logged in"
        return self._device.secret, self._token, self._nonce, self.account

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401 - any JSON
        answer = self._send(method, path, body)
        if "dpop-nonce" in answer.headers:
            self._nonce = answer.headers["dpop-nonce"]
            answer = self._send(method, path, body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def _send(self, method: str, path: str, body: Mapping[str, object] | None) -> httpx.Response:
        at = now_us() // 1_000_000
        proof = self._device.proof(method, path, token=self._token, at=at, nonce=self._nonce)
        headers = {"dpop": proof.decode()}
        if self._token is not None:
            headers["authorization"] = f"DPoP {self._token}"
        return self._http.request(method, path, headers=headers, json=body)

    def _funded(self, clerk: str, customer: str) -> str:
        headers = {"authorization": f"Bearer {clerk}", "idempotency-key": customer}
        body: dict[str, object] = {"customer_id": customer, "currency": "EUR"}
        account: str = self._http.post("/v1/accounts", json=body, headers=headers).json()["id"]
        movement = {"kind": "post", "amount_minor": FUNDS, "currency": "EUR"}
        body = {"mandate": "funding", "movements": [movement | {"credit_account_id": account}]}
        headers["idempotency-key"] = account
        self._http.post("/v1/journals", json=body, headers=headers).raise_for_status()
        return account


def _mailed(folder: Path, email: str) -> str:
    """The code that was mailed to an address, into the folder of a bank without mail server.

    Raises:
        AssertionError: none came.
    """
    for _ in range(100):
        for path in folder.glob("*.eml"):
            text = path.read_text()
            found = re.search(r"\b[0-9]{8}\b", text) if f"To: {email}" in text else None
            if found is not None:
                return found.group()
        time.sleep(0.1)
    raise AssertionError(email)


def _totp(seed: str, step: int) -> str:
    """The code of so many 30-second steps from now."""
    made = TOTP(b32decode(seed), 6, SHA1(), 30)  # noqa: S303 - what authenticators know
    return made.generate(now_us() // 1_000_000 + 30 * step).decode()


def _bodies(accounts: Sequence[str]) -> Iterator[tuple[int, bytes]]:
    random = Random(SEED)
    for number in itertools.count():
        who = random.randrange(len(accounts))
        body = {
            "account_id": accounts[who],
            "amount_minor": random.randrange(500, 2_500),
            "currency": "EUR",
            "card": f"card-{who}",
            "merchant": f"merchant-{random.randrange(5_000)}",
            "device": f"device-{who}",
            "ip": f"10.0.0.{who}",
            "mcc": 5411,
            "country": 380,
            "channel": "card_present",
            "capture": bool(number & 1),
        }
        yield who, json.dumps(body).encode()


def _bearer(token: str, accounts: list[str], run: str) -> Iterator[bytes]:
    headers = {"authorization": f"Bearer {token}"}
    for number, (_, body) in enumerate(_bodies(accounts)):
        headers["idempotency-key"] = f"{run}-{number}"
        yield request_bytes("POST", _AUTHORISE, headers=headers, body=body)


def _proven(people: list[tuple[bytes, str, str | None, str]], count: int) -> Iterator[bytes]:
    """Sign all proofs before the first is sent: the load is not to be measured."""
    devices = [SoftwareDevice(secret) for secret, _, _, _ in people]
    at = now_us() // 1_000_000
    made = []
    bodies = _bodies([account for _, _, _, account in people])
    for number, (who, body) in enumerate(itertools.islice(bodies, count)):
        _, token, nonce, _ = people[who]
        proof = devices[who].proof("POST", _AUTHORISE, token=token, at=at, nonce=nonce)
        headers = {
            "authorization": f"DPoP {token}",
            "dpop": proof.decode(),
            "idempotency-key": f"dpop-{number}",
        }
        made.append(request_bytes("POST", _AUTHORISE, headers=headers, body=body))
    return iter(made)
