"""How much is accepted: rates per client, requests under way, bytes, seconds."""

import ipaddress
from dataclasses import dataclass, field
from typing import Final

from scudo.fabric import web
from scudo.governance import edge_limits

_SECOND_NS: Final = 1_000_000_000
#: Clients whose rates are remembered; beyond, those that have their whole allowance are let go.
_CLIENTS_MAX: Final = 100_000


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
        rules: tiers, networks and filters, until others are set.
    """

    reads_per_s: int = 20_000
    moves_per_s: int = 20_000
    burst_s: int = 1
    under_way_max: int = 8_192
    head_bytes_max: int = 32 * 1024
    request_s: int = 10
    keep_alive_s: int = 75
    drain_s: int = 10
    rules: edge_limits.EdgeRules = field(default_factory=edge_limits.shipped_rules)


class RateLimit:
    """A token bucket per client, kept as one number: when the bucket is full again.

    Source:
        Generic cell rate algorithm, ITU-T I.371 (virtual scheduling form).
    """

    __slots__ = ("_burst_ns", "_full_at", "_interval_ns", "_swept_ns")

    def __init__(self, *, per_s: int, burst_s: int) -> None:
        """Allow `per_s` requests a second, and `burst_s` seconds' worth at once."""
        self._interval_ns, self._burst_ns = _intervals(per_s, burst_s)
        self._full_at: dict[object, int] = {}
        self._swept_ns = 0

    def change(self, *, per_s: int, burst_s: int, now_ns: int) -> None:
        """Allow another rate from now on.

        What a client has taken stays taken, so that no change gives anybody a whole allowance
        anew; it is never more than a whole allowance, so that nobody pays for an older rate.
        """
        interval_ns, burst_ns = _intervals(per_s, burst_s)
        if (interval_ns, burst_ns) == (self._interval_ns, self._burst_ns):
            return
        whole_ns = burst_ns + interval_ns
        self._full_at = {
            who: now_ns + min((at - now_ns) * interval_ns // self._interval_ns, whole_ns)
            for who, at in self._full_at.items()
            if at > now_ns
        }
        self._interval_ns, self._burst_ns = interval_ns, burst_ns

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
        self._rules = limits.rules
        self._tiers = {name: _TierRates(tier) for name, tier in limits.rules.tiers.items()}
        self._strangers: dict[str, tuple[str | None, RateLimit]] = {}

    def adopt(self, rules: edge_limits.EdgeRules, *, now_ns: int) -> None:
        """Go by other rules from now on; what was taken stays taken."""
        self._rules = rules
        for name, tier in rules.tiers.items():
            known = self._tiers.get(name)
            if known is None:
                self._tiers[name] = _TierRates(tier)
            else:
                known.change(tier, now_ns=now_ns)
        for called, limit in self._strangers.values():
            if called is not None:
                allowed = rules.networks[called]
                limit.change(per_s=allowed.per_s, burst_s=allowed.burst_s, now_ns=now_ns)

    def take(self, client: web.Principal, operation: web.Operation, *, now_ns: int) -> int:
        """Take one request of a client's allowance; whole seconds to wait, 0 if it was there."""
        is_read = operation.method == "GET"
        if not client.tier:
            limit = self._reads if is_read else self._moves
            return limit.take(client.sender, now_ns=now_ns)
        tier = self._tiers[client.tier]
        own = tier.narrower.get(operation.name)
        wait_s = 0 if own is None else own.take(client.id, now_ns=now_ns)
        return wait_s or (tier.reads if is_read else tier.moves).take(client.id, now_ns=now_ns)

    def take_stranger(self, network: str, operation: web.Operation, *, now_ns: int) -> int:
        """Take one request of a network's allowance, where strangers may ask."""
        if operation.network_per_s is None and operation.network_limit is None:
            return 0
        known = self._strangers.get(operation.name)
        if known is None:
            known = self._strangers[operation.name] = self._limit_of(operation)
        return known[1].take(network_of(network), now_ns=now_ns)

    def _limit_of(self, operation: web.Operation) -> tuple[str | None, RateLimit]:
        if operation.network_per_s is not None:
            return None, RateLimit(per_s=operation.network_per_s, burst_s=2)
        assert operation.network_limit is not None, "seen by who asks"
        allowed = self._rules.networks[operation.network_limit]
        limit = RateLimit(per_s=allowed.per_s, burst_s=allowed.burst_s)
        return operation.network_limit, limit


class _TierRates:
    """The allowances of one tier."""

    def __init__(self, tier: edge_limits.Tier) -> None:
        self.reads = RateLimit(per_s=tier.reads_per_s, burst_s=tier.burst_s)
        self.moves = RateLimit(per_s=tier.moves_per_s, burst_s=tier.burst_s)
        self.narrower: dict[str, RateLimit] = {}
        self.change(tier, now_ns=0)

    def change(self, tier: edge_limits.Tier, *, now_ns: int) -> None:
        burst_s = tier.burst_s
        self.reads.change(per_s=tier.reads_per_s, burst_s=burst_s, now_ns=now_ns)
        self.moves.change(per_s=tier.moves_per_s, burst_s=burst_s, now_ns=now_ns)
        for name, per_s in tier.operations.items():
            if name in self.narrower:
                self.narrower[name].change(per_s=per_s, burst_s=burst_s, now_ns=now_ns)
            else:
                self.narrower[name] = RateLimit(per_s=per_s, burst_s=burst_s)
        for name in self.narrower.keys() - tier.operations.keys():
            del self.narrower[name]


def _intervals(per_s: int, burst_s: int) -> tuple[int, int]:
    """Nanoseconds between two requests, and how far ahead of them one may be."""
    interval_ns = _SECOND_NS // per_s
    return interval_ns, interval_ns * (per_s * burst_s - 1)


def network_of(address: str) -> str:
    """The network that an address is counted as: of IPv6 the half that one customer line has."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address, 64), strict=False))
    except ValueError:
        return address
