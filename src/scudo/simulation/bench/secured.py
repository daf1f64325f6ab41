"""What mutual TLS and certificate-bound tokens cost, beside plain bearer tokens."""

import functools
import secrets
import ssl
from statistics import median
from typing import Final

import httpx

from scudo.identity import partners
from scudo.simulation.bench.certificates import Authority
from scudo.simulation.bench.outside import (
    CONNECTIONS,
    HOST,
    WARM_UP_S,
    Stage,
    authorisations,
    served,
    tell,
)
from scudo.simulation.bench.stage import Figures, Report, Terms, settings_of, verify
from scudo.simulation.load import ClientTls, Plan, measure_apart

#: Pairs of a plain and a secured turn; which comes first changes from pair to pair.
_PAIRS: Final = 4


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
    for pair in range(_PAIRS):
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
                    seconds=max(1, terms.seconds // _PAIRS),
                    warm_up_s=WARM_UP_S,
                    tls=_client(authority) if is_secure else None,
                )
                run = f"mtls-{pair}-{is_secure}"
                requests = functools.partial(
                    authorisations, token=token, accounts=stage.accounts, run=run
                )
                found = measure_apart(plan, requests)
            assert set(found.statuses) == {201}, "a benchmark's request was refused"
            report(f"   {'TLS 1.3 and a bound token' if is_secure else 'plain bearer'}")
            tell(found, report)
            rates[is_secure].append(found.rate)
    report(f"   {settings_of(stage.folder)}")
    verify(stage.folder, report)
    ratios = [secured / plain for plain, secured in zip(rates[False], rates[True], strict=True)]
    return {
        "authorise_mtls": {
            "ratio": round(median(ratios), 3),
            "rate": round(median(rates[True])),
            "plain_rate": round(median(rates[False])),
        }
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
        headers = {"authorization": f"Bearer {admin}"}
        terms = {
            "name": f"bench-{secrets.token_hex(8)}",
            "environment": "sandbox",
            "scopes": ["payments:write"],
            "tier": "high",
            "must_sign": False,
        }
        partner = http.post("/v1/partners", json=terms, headers=headers).raise_for_status().json()
        own = f"/v1/partners/{partner['id']}/certificates"
        http.post(own, json={"thumbprint": thumbprint}, headers=headers).raise_for_status()
        form = {"grant_type": "client_credentials", "client_id": partner["id"]}
        given = http.post("/v1/oauth/token", data=form).raise_for_status().json()
    token: str = given["access_token"]
    return token
