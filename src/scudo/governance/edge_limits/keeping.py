"""What the edge accepts, as two people have set it: one record, over the shipped file."""

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.fabric import Answer, Command, Entry, Reference, Register, find_record
from scudo.governance import approvals
from scudo.governance.edge_limits.declaring import (
    Allowance,
    EdgeRules,
    Filters,
    Tier,
    shipped_rules,
)
from scudo.governance.edge_limits.errors import NetworkShutOut
from scudo.governance.edge_limits.events import EdgeLimitsSet

_KIND: Final = 511
#: The one record of its kind.
_ONLY: Final = 1
#: Narrower shapes would keep out the requests by which they are changed again.
_LEAST: Final = {
    "headers_max": 24,
    "header_bytes_max": 2_048,
    "path_bytes_max": 256,
    "query_bytes_max": 512,
}
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")


class EdgeSetting(msgspec.Struct, frozen=True):
    """What was approved last.

    Attributes:
        rules: the whole of it.
        set_at: microseconds.
        approval: by which it was approved.
    """

    rules: EdgeRules
    set_at: int
    approval: int


class EdgeChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parts that replace what holds, each as a whole; what is not named stays as it is."""

    tiers: Mapping[str, Tier] = msgspec.field(default_factory=dict)
    networks: Mapping[str, Allowance] = msgspec.field(default_factory=dict)
    filters: Filters | None = None


class EdgeLimits:
    """Keeps what holds at the edge.

    Attributes:
        shipped: what holds until two people set something else.
    """

    def __init__(self, shipped: EdgeRules | None = None) -> None:
        """Begin with the shipped file."""
        self.shipped = shipped_rules() if shipped is None else shipped
        self._operations: frozenset[str] = frozenset()
        self._settings = Register(_KIND, EdgeSetting, resident=True, changed=self._changed)
        self._holding = self.shipped

    def _changed(self, _number: int, _before: EdgeSetting | None, now: EdgeSetting | None) -> None:
        self._holding = self.shipped if now is None else over(self.shipped, now.rules)

    def holding(self) -> EdgeRules:
        """What holds: the same object until something is set.

        Read at every request. It sees what the writer decides, which may be a moment before
        the commit, and comes back when that fails.
        """
        return self._holding

    def know(self, operations: Iterable[str]) -> None:
        """Learn the names of the operations that a tier may limit further."""
        self._operations = frozenset(operations)

    async def stored(self, connection: AsyncConnection[TupleRow]) -> EdgeSetting | None:
        """What was approved and committed; None: the shipped file holds."""
        return await find_record(connection, self._settings, _ONLY)

    @property
    def kinds(self) -> tuple[approvals.ApprovalKind[Any], ...]:
        """The kinds of change that need a second person."""
        return (
            approvals.ApprovalKind(
                name="set_edge_limits",
                change=EdgeChange,
                describe=self._describe,
                demand=self._demand,
                execute=self._set,
                spare=self._spare,
                refusals=(NetworkShutOut,),
                # Under attack an hour is long.
                emergency_us=approvals.HOUR_US,
            ),
        )

    # ---- the keeper's port

    @property
    def registers(self) -> Sequence[Register[Any]]:
        """Registers that it keeps."""
        return (self._settings,)

    @property
    def handlers(self) -> Mapping[type[Command], Callable[[Any, Entry], Answer]]:
        """None: limits are set by an approval only."""
        return {}

    def refers_to(self, command: Command) -> Iterable[Reference]:  # noqa: ARG002 - the port asks for it
        """Nothing: all of it is in memory."""
        return ()

    # ---- the kind of approval

    def _after(self, change: EdgeChange) -> EdgeRules:
        before = self._holding
        return EdgeRules(
            {**before.tiers, **change.tiers},
            before.filters if change.filters is None else change.filters,
            {**before.networks, **change.networks},
        )

    def _describe(self, change: EdgeChange) -> approvals.Description:
        before, after = _leaves(self._holding), _leaves(self._after(change))
        diff: dict[str, tuple[Any, Any]] = {
            name: (before.get(name), after.get(name))
            for name in sorted(before | after)
            if before.get(name) != after.get(name)
        }
        effect = f"the edge has {len(diff)} other limits, within a second and for every request"
        return approvals.Description(diff, effect)

    def _demand(self, change: EdgeChange, now: int) -> None:
        """Refuse what cannot hold.

        Raises:
            ChangeInvalid: a tier, an allowance or an operation does not exist, an entry of the
                deny-list is no network, nothing fits through a filter, or nothing is changed.
            NetworkShutOut: every network would be denied.
        """
        del now
        for field, named, known in (
            ("tiers", change.tiers, self.shipped.tiers),
            ("networks", change.networks, self.shipped.networks),
        ):
            if not set(named) <= set(known):
                message = f"there are {', '.join(sorted(known))}, and no others"
                raise approvals.errors.ChangeInvalid(message, field=f"change.{field}")
        for name, tier in change.tiers.items():
            if not set(tier.operations) <= self._operations:
                message = "there is no such operation"
                raise approvals.errors.ChangeInvalid(
                    message, field=f"change.tiers.{name}.operations"
                )
        if change.filters is not None:
            _demand_passable(change.filters)
        if self._after(change) == self._holding:
            message = "all of this holds"
            raise approvals.errors.ChangeInvalid(message, field="change")

    def _spare(self, change: EdgeChange, address: str) -> None:
        """Refuse to shut out who asks.

        Raises:
            NetworkShutOut: their address would be denied.
        """
        if change.filters is None:
            return
        try:
            peer = ipaddress.ip_address(address)
        except ValueError:
            # Nothing that came by a socket of the machine is ever denied.
            return
        plain = getattr(peer, "ipv4_mapped", None) or peer
        if any(plain in network for network in _networks(change.filters)):
            message = "your own network would be denied"
            raise NetworkShutOut(message, field="change.filters.denied_networks")

    def _set(self, change: EdgeChange, entry: Entry, decided: approvals.Decided) -> None:
        rules = self._after(change)
        parts = (
            *(f"tiers.{name}" for name in sorted(change.tiers)),
            *(f"networks.{name}" for name in sorted(change.networks)),
            *(() if change.filters is None else ("filters",)),
        )
        denied = len(rules.filters.denied_networks)
        entry.emit(EdgeLimitsSet(entry.next_position, parts, denied, decided.approval))
        self._settings.put(entry, _ONLY, EdgeSetting(rules, decided.now, decided.approval))


def over(shipped: EdgeRules, rules: EdgeRules) -> EdgeRules:
    """What was set, and of what is newer than that the shipped values."""
    return EdgeRules(
        {**shipped.tiers, **rules.tiers}, rules.filters, {**shipped.networks, **rules.networks}
    )


def _leaves(rules: EdgeRules) -> dict[str, Any]:
    """Every single value, by the way to it."""
    found: dict[str, Any] = {}
    waiting: list[tuple[str, Any]] = [("", msgspec.to_builtins(rules))]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            prefix = f"{name}." if name else ""
            waiting += [(prefix + key, inner) for key, inner in value.items()]
        else:
            found[name] = list(value) if isinstance(value, tuple) else value
    return found


def _networks(filters: Filters) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Read a deny-list.

    Raises:
        ChangeInvalid: an entry is no network, or one of IPv4 written as IPv6.
    """
    try:
        read = [ipaddress.ip_network(text) for text in filters.denied_networks]
    except ValueError as error:
        message = "this is not a list of networks"
        raise approvals.errors.ChangeInvalid(
            message, field="change.filters.denied_networks"
        ) from error
    if any(isinstance(one, ipaddress.IPv6Network) and _MAPPED.supernet_of(one) for one in read):
        message = "a network of IPv4 is written as one"
        raise approvals.errors.ChangeInvalid(message, field="change.filters.denied_networks")
    return read


def _demand_passable(filters: Filters) -> None:
    networks = _networks(filters)
    for version in (ipaddress.IPv4Network, ipaddress.IPv6Network):
        whole = ipaddress.collapse_addresses(n for n in networks if isinstance(n, version))  # type: ignore[type-var]
        if any(network.prefixlen == 0 for network in whole):
            message = "every network would be denied"
            raise NetworkShutOut(message, field="change.filters.denied_networks")
    for name, least in _LEAST.items():
        if getattr(filters, name) < least:
            message = f"below {least} nothing useful would come in"
            raise approvals.errors.ChangeInvalid(message, field=f"change.filters.{name}")
