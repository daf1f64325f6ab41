"""What may be said of the edge, and what the shipped file says."""

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec

_SHIPPED: Final = Path(__file__).with_name("limits.toml")
_NETWORKS_MAX: Final = 1_024
_NETWORK_CHARS_MAX: Final = 49

_Rate = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
_Burst = Annotated[int, msgspec.Meta(ge=1, le=60)]
_Bytes = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
_Network = Annotated[str, msgspec.Meta(min_length=2, max_length=_NETWORK_CHARS_MAX)]


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much a partner of a tier may ask.

    Attributes:
        operations: narrower rates by the operation's name.
    """

    reads_per_s: _Rate
    moves_per_s: _Rate
    burst_s: _Burst
    operations: Mapping[str, _Rate] = msgspec.field(default_factory=dict)


class Allowance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often one network may ask for one operation that needs no token."""

    per_s: _Rate
    burst_s: _Burst


class Filters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is refused before anything of a request is believed.

    Attributes:
        denied_networks: as `ipaddress` reads them.
        headers_max: lines of headers.
        header_bytes_max: of one header's value.
    """

    denied_networks: Annotated[tuple[_Network, ...], msgspec.Meta(max_length=_NETWORKS_MAX)] = ()
    headers_max: _Bytes = 64
    header_bytes_max: _Bytes = 8_192
    path_bytes_max: _Bytes = 1_024
    query_bytes_max: _Bytes = 4_096


class EdgeRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that holds at the edge.

    Attributes:
        tiers: by the tier's name.
        networks: by what operations of strangers name as their allowance.
    """

    tiers: Mapping[str, Tier]
    filters: Filters
    networks: Mapping[str, Allowance] = msgspec.field(default_factory=dict)


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
