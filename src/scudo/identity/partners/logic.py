"""What a partner may reach: pure questions about its limits."""

import ipaddress
from collections.abc import Sequence
from typing import Final, Protocol

from scudo.identity.partners.errors import NetworkUnfit, PartnerScopeUnknown
from scudo.identity.partners.model import PARTNER_SCOPES, Limits, Partner, Tier

_RANKS: Final = {Tier.TRIAL: 1, Tier.STANDARD: 2, Tier.HIGH: 3}


class Wanted(Protocol):
    """Limits as they stand on the wire."""

    @property
    def scopes(self) -> tuple[str, ...]:
        """In any order."""

    @property
    def tier(self) -> str:
        """One of the tiers' names."""

    @property
    def networks(self) -> tuple[str, ...]:
        """As somebody wrote them."""

    @property
    def must_sign(self) -> bool:
        """Whether requests that move money are signed."""


def canonical_limits(wanted: Wanted) -> Limits:
    """Read what a partner shall be allowed, in canonical form.

    Raises:
        PartnerScopeUnknown: for a scope that no partner may have.
        NetworkUnfit: for an entry that is not a network.
    """
    scopes = sorted(set(wanted.scopes))
    unknown = [scope for scope in scopes if scope not in PARTNER_SCOPES]
    if unknown:
        message = f"there is no scope {unknown[0][:64]} for partners"
        raise PartnerScopeUnknown(message, field="scopes")
    try:
        networks = sorted({str(ipaddress.ip_network(text)) for text in wanted.networks})
    except ValueError as error:
        message = "this is not a list of networks"
        raise NetworkUnfit(message, field="networks") from error
    return Limits(Tier(wanted.tier), tuple(scopes), tuple(networks), wanted.must_sign)


def widens(before: Partner, after: Limits) -> bool:
    """Whether limits let a partner do anything that it may not now.

    More scopes, a higher tier, an address from which it may not ask, or orders unsigned.
    """
    return (
        not set(after.scopes) <= set(before.scopes)
        or _RANKS[after.tier] > _RANKS[before.tier]
        or (before.signs and not after.signs)
        or not _covers(before.networks, after.networks)
    )


def _covers(before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether every address of the later networks is in the earlier ones; none are all."""
    if not before:
        return True
    if not after:
        return False
    wide = [ipaddress.ip_network(text) for text in before]
    for version in (ipaddress.IPv4Network, ipaddress.IPv6Network):
        held = list(ipaddress.collapse_addresses(n for n in wide if isinstance(n, version)))  # type: ignore[type-var]
        for text in after:
            narrow = ipaddress.ip_network(text)
            if isinstance(narrow, version) and not any(
                narrow.subnet_of(network)  # type: ignore[arg-type]
                for network in held
            ):
                return False
    return True
