"""The measure of customers' tokens, checked in process."""

import gc
import time
from random import Random
from typing import Final

from scudo.bootstrap import now_us
from scudo.fabric import settings, web
from scudo.identity import DeviceKey, Proofs, Registry, customers
from scudo.simulation import phone
from scudo.simulation.bench.stage import SEED, Figures, Report, Terms

_PATH: Final = "/v1/payments"
_CHECKS_PER_SECOND: Final = 2_000


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
    proofs = Proofs(origins=(settings.ORIGIN_DEFAULT,), now=clock)
    tokens = customers.AccessTokens(
        proofs, keeper.store, now=clock, misused=lambda *_: None, read_much=lambda *_: None
    )
    # Beyond the time in which a proof could be older than this process.
    clock.now += 10_000_000
    devices = [phone.DeviceKey() for _ in range(100)]
    given = []
    for number, device in enumerate(devices, 1):
        header, _, _ = device.proof("POST", settings.ORIGIN_DEFAULT).partition(".")
        key = DeviceKey(header.encode())
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
        at = clock.now // 1_000_000
        proof = device.proof("POST", settings.ORIGIN_DEFAULT + _PATH, token=token, iat=at)
        arrival = web.Arrival("POST", _PATH, b"", {b"dpop": proof.encode()})
        requests.append((token, arrival))
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
