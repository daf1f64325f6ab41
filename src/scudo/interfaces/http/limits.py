"""How much is accepted: rates per client, requests under way, bytes, seconds."""

import functools
import ipaddress
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import msgspec

from scudo.fabric import web

_SECOND_NS: Final = 1_000_000_000
#: Clients whose rates are remembered; beyond, those that have their whole allowance are let go.
_CLIENTS_MAX: Final = 100_000
_SHIPPED: Final = Path(__file__).with_name("limits.toml")

_Rate = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
_Bytes = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much a partner of a tier may ask.

    Attributes:
        operations: narrower rates by the operation's name.
    """

    reads_per_s: _Rate
    moves_per_s: _Rate
    burst_s: Annotated[int, msgspec.Meta(ge=1, le=60)]
    operations: Mapping[str, _Rate] = msgspec.field(default_factory=dict)


class Filters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is refused before anything of a request is believed.

    Attributes:
        denied_networks: as `ipaddress` reads them.
        headers_max: lines of headers.
        header_bytes_max: of one header's value.
    """

    denied_networks: tuple[str, ...] = ()
    headers_max: _Bytes = 64
    header_bytes_max: _Bytes = 8_192
    path_bytes_max: _Bytes = 1_024
    query_bytes_max: _Bytes = 4_096


class EdgeRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file of limits says."""

    tiers: Mapping[str, Tier]
    filters: Filters


def read_rules(text: str) -> EdgeRules:
    """Read rules of the edge from TOML.

    Raises:
        ValueError: if it is no TOML, or says something that is not known (`msgspec` names it).
    """
    return msgspec.convert(tomllib.loads(text), EdgeRules)


@functools.cache
def shipped_rules() -> EdgeRules:
    """Read the rules that come with the package."""
    return read_rules(_SHIPPED.read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the HTTP layer accepts.

    Attributes:
        reads_per_s: steady rate of GET requests per client.
        moves_per_s: steady rate of all others per client.
        burst_s: how many seconds' worth may come at once.
        under_way_max: requests that may wait for their answers; more are refused.
        head_bytes_max: request line and headers together.
        request_s: within it a request must have arrived whole.
        keep_alive_s: how long an idle connection is kept.
        drain_s: how long requests under way are waited for at the end.
        rules: tiers and filters.
    """

    reads_per_s: int = 20_000
    moves_per_s: int = 20_000
    burst_s: int = 1
    under_way_max: int = 8_192
    head_bytes_max: int = 32 * 1024
    request_s: int = 10
    keep_alive_s: int = 75
    drain_s: int = 10
    rules: EdgeRules = field(default_factory=shipped_rules)


class RateLimit:
    """A token bucket per client, kept as one number: when the bucket is full again.

    Source:
        Generic cell rate algorithm, ITU-T I.371 (virtual scheduling form).
    """

    __slots__ = ("_burst_ns", "_full_at", "_interval_ns", "_swept_ns")

    def __init__(self, *, per_s: int, burst_s: int) -> None:
        """Allow `per_s` requests a second, and `burst_s` seconds' worth at once."""
        self._interval_ns = _SECOND_NS // per_s
        self._burst_ns = self._interval_ns * (per_s * burst_s - 1)
        self._full_at: dict[object, int] = {}
        self._swept_ns = 0

    def take(self, client: object, *, now_ns: int) -> int:
        """Take one request of a client's allowance.

        Returns:
            0 if it was there, else in how many whole seconds it will be (at least 1).
        """
        full_at = max(self._full_at.get(client, 0), now_ns)
        excess = full_at - now_ns - self._burst_ns
        if excess > 0:
            return -(-excess // _SECOND_NS)
        self._full_at[client] = full_at + self._interval_ns
        if len(self._full_at) > _CLIENTS_MAX and now_ns - self._swept_ns > _SECOND_NS:
            self._swept_ns = now_ns
            self._full_at = {who: at for who, at in self._full_at.items() if at > now_ns}
        return 0


class Rates:
    """Which allowance a request takes from: its client's, its tier's, or its network's."""

    def __init__(self, limits: "Limits") -> None:
        """Begin with every allowance whole."""
        self._reads = RateLimit(per_s=limits.reads_per_s, burst_s=limits.burst_s)
        self._moves = RateLimit(per_s=limits.moves_per_s, burst_s=limits.burst_s)
        self._tiers = {
            name: (
                RateLimit(per_s=tier.reads_per_s, burst_s=tier.burst_s),
                RateLimit(per_s=tier.moves_per_s, burst_s=tier.burst_s),
                {
                    operation: RateLimit(per_s=per_s, burst_s=tier.burst_s)
                    for operation, per_s in tier.operations.items()
                },
            )
            for name, tier in limits.rules.tiers.items()
        }
        self._strangers: dict[str, RateLimit] = {}

    def take(self, client: web.Principal, operation: web.Operation, *, now_ns: int) -> int:
        """Take one request of a client's allowance; whole seconds to wait, 0 if it was there."""
        is_read = operation.method == "GET"
        if not client.tier:
            limit = self._reads if is_read else self._moves
            return limit.take(client.sender, now_ns=now_ns)
        reads, moves, narrower = self._tiers[client.tier]
        own = narrower.get(operation.name)
        wait_s = 0 if own is None else own.take(client.id, now_ns=now_ns)
        return wait_s or (reads if is_read else moves).take(client.id, now_ns=now_ns)

    def take_stranger(self, network: str, operation: web.Operation, *, now_ns: int) -> int:
        """Take one request of a network's allowance, where strangers may ask."""
        if operation.network_per_s is None:
            return 0
        limit = self._strangers.get(operation.name)
        if limit is None:
            limit = RateLimit(per_s=operation.network_per_s, burst_s=2)
            self._strangers[operation.name] = limit
        return limit.take(network_of(network), now_ns=now_ns)


def network_of(address: str) -> str:
    """The network that an address is counted as: of IPv6 the half that one customer line has."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address, 64), strict=False))
    except ValueError:
        return address
