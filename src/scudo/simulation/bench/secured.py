"""What tokens cost that are bound to a certificate or a key, beside plain bearer tokens."""

import functools
import itertools
import json
import secrets
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import httpx
from webauthn.helpers import bytes_to_base64url

from scudo.fabric import settings
from scudo.identity import partners
from scudo.simulation.bench.certificates import Authority
from scudo.simulation.bench.outside import (
    AUTHORISE,
    CONNECTIONS,
    HOST,
    WARM_UP_S,
    Stage,
    authorisations,
    served,
    tell,
)
from scudo.simulation.bench.stage import Figures, Report, Terms, settings_of, verify
from scudo.simulation.load import ClientTls, Measured, Plan, measure_apart
from scudo.simulation.phone import DeviceKey

#: Pairs of a plain and a secured turn; which comes first changes from pair to pair.
_PAIRS: Final = 4
_TOKENS: Final = "/v1/oauth/token"
#: What a sandbox is called in assertions, unless it is told otherwise.
_BANK: Final = "urn:scudo:sandbox"
#: Programs of the partner, each with a key and a token of its own.
_PROGRAMS: Final = 8
#: More proofs than are asked for; a turn ends early if they are used up.
_PROOFS_PER_SECOND: Final = 3_000


def authorise_mtls(stage: Stage, terms: Terms, report: Report) -> Figures:
    """Card authorisations as fast as 64 connections ask, in turns plain and over mutual TLS 1.3.

    The ratio is the median of the pairs' ratios of rates: by a partner's certificate-bound token
    over TLS, to a client's bearer token over plain HTTP. Connections are kept; the load encrypts
    too, on the same machine.
    """
    authority = Authority(stage.folder / "bench-tls")
    authority.issue("server", address=HOST)
    thumbprint = partners.keys.thumbprint(authority.issue("partner"))
    rates: dict[bool, list[float]] = {False: [], True: []}
    pairs = min(_PAIRS, terms.seconds)
    for pair in range(pairs):
        for is_secure in (pair % 2 == 1, pair % 2 == 0):
            extra = _settings(authority) if is_secure else {}
            with served(stage.folder, **extra) as port:
                token = stage.token
                if is_secure:
                    token = _token(authority, port, stage.token, thumbprint)
                plan = Plan(
                    host=HOST,
                    port=port,
                    connections=CONNECTIONS,
                    seconds=terms.seconds // pairs,
                    warm_up_s=min(WARM_UP_S, terms.seconds),
                    tls=_client(authority) if is_secure else None,
                )
                run = f"mtls-{pair}-{is_secure}"
                requests = functools.partial(
                    authorisations, token=token, accounts=stage.accounts, run=run
                )
                found = measure_apart(plan, requests)
            report(f"   {'TLS 1.3 and a bound token' if is_secure else 'plain bearer'}")
            rates[is_secure].append(_rate(found, report))
    report(f"   {settings_of(stage.folder)}")
    verify(stage.folder, report)
    return {"authorise_mtls": _compared(rates)}


def authorise_dpop(stage: Stage, terms: Terms, report: Report) -> Figures:
    """The same by a partner's key-bound tokens, one distinct proof a request, to plain bearer.

    Both over plain HTTP to one server, in turns. Proofs are signed before a turn begins: the load
    is not to be measured. The partner has eight keys, of P-256.
    """
    rates: dict[bool, list[float]] = {False: [], True: []}
    pairs = min(_PAIRS, terms.seconds)
    with served(stage.folder) as port:
        plan = Plan(
            host=HOST,
            port=port,
            connections=CONNECTIONS,
            # A proof is good for a minute from when it was signed.
            seconds=min(15, terms.seconds // pairs),
            warm_up_s=min(WARM_UP_S, terms.seconds),
        )
        count = (plan.seconds + plan.warm_up_s) * _PROOFS_PER_SECOND
        for pair in range(pairs):
            for is_proven in (pair % 2 == 1, pair % 2 == 0):
                run = f"dpop-{pair}-{is_proven}"
                made = functools.partial(
                    authorisations, token=stage.token, accounts=stage.accounts, run=run
                )
                if is_proven:
                    programs = _programs(f"http://{HOST}:{port}", stage.token)
                    plain = itertools.islice(made(), count)
                    made = functools.partial(iter, _proven(plain, stage.token, programs))
                found = measure_apart(plan, made)
                report(f"   {'DPoP' if is_proven else 'plain bearer'}")
                rates[is_proven].append(_rate(found, report))
    report(f"   {settings_of(stage.folder)}")
    verify(stage.folder, report)
    return {"authorise_dpop": _compared(rates)}


def _rate(found: Measured, report: Report) -> float:
    """The rate of one turn, in which everything was accepted."""
    tell(found, report)
    assert set(found.statuses) == {201}, "a benchmark's request was refused"
    return found.rate


def _compared(rates: dict[bool, list[float]]) -> dict[str, float]:
    """The median of the pairs' ratios, and of both sides' rates."""
    ratios = [secured / plain for plain, secured in zip(rates[False], rates[True], strict=True)]
    return {
        "ratio": round(median(ratios), 3),
        "rate": round(median(rates[True])),
        "plain_rate": round(median(rates[False])),
    }


def _settings(authority: Authority) -> dict[str, str]:
    folder = authority.folder
    return {
        "SCUDO_TLS_CERT": str(folder / "server.pem"),
        "SCUDO_TLS_KEY": str(folder / "server.key"),
        "SCUDO_CLIENT_CA": str(folder / "ca"),
    }


def _client(authority: Authority) -> ClientTls:
    return ClientTls(
        str(authority.trusted),
        str(authority.folder / "partner.pem"),
        str(authority.folder / "partner.key"),
    )


def _token(authority: Authority, port: int, admin: str, thumbprint: str) -> str:
    """Register a partner of this turn, and get its token by its certificate."""
    context = ssl.create_default_context(cafile=authority.trusted)
    context.load_cert_chain(authority.folder / "partner.pem", authority.folder / "partner.key")
    with httpx.Client(base_url=f"https://{HOST}:{port}", verify=context, timeout=30) as http:
        partner = _registered(http, admin, "certificates", {"thumbprint": thumbprint})
        form = {"grant_type": "client_credentials", "client_id": partner}
        given = http.post(_TOKENS, data=form).raise_for_status().json()
    token: str = given["access_token"]
    return token


def _registered(http: httpx.Client, admin: str, credentials: str, body: object) -> str:
    """Register a partner with one credential; gives its id."""
    headers = {"authorization": f"Bearer {admin}"}
    terms = {
        "name": f"bench-{secrets.token_hex(8)}",
        "environment": "sandbox",
        "scopes": ["payments:write"],
        "tier": "high",
        "must_sign": False,
    }
    partner = http.post("/v1/partners", json=terms, headers=headers).raise_for_status().json()
    own = f"/v1/partners/{partner['id']}/{credentials}"
    http.post(own, json=body, headers=headers).raise_for_status()
    number: str = partner["id"]
    return number


@dataclass(frozen=True, slots=True)
class _Program:
    """A partner's program: its key for proofs, its token, and the bank's nonce."""

    key: DeviceKey
    token: str
    nonce: str | None


def _programs(address: str, admin: str) -> list[_Program]:
    """Register a partner of this turn, and get a token for each of its programs."""
    with httpx.Client(base_url=address, timeout=30) as http:
        signer = DeviceKey()
        partner = _registered(http, admin, "keys", {"key": {"kid": "bench", **signer.jwk}})
        return [_admitted(http, partner, signer) for _ in range(_PROGRAMS)]


def _admitted(http: httpx.Client, partner: str, signer: DeviceKey) -> _Program:
    """Get a token that is bound to a new key, naming the nonce if one is wanted."""
    key, nonce = DeviceKey(), None
    while True:
        assertion = _assertion(partner, signer)
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": partners.assertions.ASSERTION_TYPE,
            "client_assertion": assertion,
        }
        proof = key.proof("POST", settings.ORIGIN_DEFAULT + _TOKENS, nonce=nonce)
        answer = http.post(_TOKENS, data=form, headers={"dpop": proof})
        if answer.is_success or nonce is not None:
            return _Program(key, answer.raise_for_status().json()["access_token"], nonce)
        assert "dpop-nonce" in answer.headers, answer.text
        nonce = answer.headers["dpop-nonce"]


def _assertion(partner: str, signer: DeviceKey) -> str:
    """What shows who asks for a token (RFC 7523)."""
    now = int(time.time())
    claims = {"iss": partner, "sub": partner, "aud": _BANK, "iat": now, "exp": now + 50}
    head = {"alg": signer.algorithm, "kid": "bench"}
    parts = (head, {**claims, "jti": secrets.token_hex(16)})
    signed = ".".join(bytes_to_base64url(json.dumps(part).encode()) for part in parts)
    return f"{signed}.{bytes_to_base64url(signer.sign(signed.encode()))}"


def _proven(plain: Iterator[bytes], token: str, programs: Sequence[_Program]) -> list[bytes]:
    """The same requests by a partner's programs in turn, each with its own proof."""
    url = f"{settings.ORIGIN_DEFAULT}{AUTHORISE}"
    borne = f"Bearer {token}".encode()
    made = []
    for request, program in zip(plain, itertools.cycle(programs), strict=False):
        proof = program.key.proof("POST", url, token=program.token, nonce=program.nonce)
        made.append(request.replace(borne, f"DPoP {program.token}\r\ndpop: {proof}".encode(), 1))
    return made
