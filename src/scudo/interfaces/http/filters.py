"""What is refused before anything of a request is believed: networks, and shapes of attacks.

Source:
    RFC 9110, section 17.5, and RFC 9112, section 11 (attacks by length and by structure).
"""

import functools
import ipaddress
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from scudo.fabric import web
from scudo.governance import edge_limits

_ADDRESSES_MAX: Final = 65_536


class NetworkDenied(web.WebRefusal):
    """Raised when a request comes from a network that may not ask."""

    code = "network_denied"
    kind = "forbidden"
    next_step = "Ask the bank."


class TargetTooLong(web.WebRefusal):
    """Raised when path or query are longer than any that leads somewhere."""

    code = "target_too_long"
    http_status = 414
    next_step = "Send a shorter path and query. Nothing was changed."


#: What any request may be refused with here.
REFUSALS: Final = (NetworkDenied, TargetTooLong)


class RequestFilter:
    """Refuses by rules, and counts by which.

    Attributes:
        refused: how many requests each rule refused.
    """

    def __init__(self, filters: edge_limits.Filters) -> None:
        """Filter by these rules.

        Raises:
            ValueError: if an entry of the deny-list is not a network.
        """
        self.refused: Counter[str] = Counter()
        self.adopt(filters)

    def adopt(self, filters: edge_limits.Filters) -> None:
        """Filter by other rules from now on; what was counted stays.

        Raises:
            ValueError: if an entry of the deny-list is not a network.
        """
        self._filters = filters
        networks = tuple(ipaddress.ip_network(text) for text in filters.denied_networks)

        @functools.lru_cache(maxsize=_ADDRESSES_MAX)
        def is_denied(text: str) -> bool:
            address = ipaddress.ip_address(text)
            plain = getattr(address, "ipv4_mapped", None) or address
            return any(plain in network for network in networks)

        self._is_denied = is_denied if networks else None

    def demand_harmless(self, scope: Mapping[str, Any]) -> None:
        """Look at a request's shape and origin.

        Raises:
            NetworkDenied: if its network may not ask.
            TargetTooLong: if path or query are too long.
            HeadTooLarge: if it has too many headers, or too long a one.
        """
        filters, peer = self._filters, scope.get("client")
        if self._is_denied is not None and peer is not None and self._is_denied(peer[0]):
            self._refuse("network", NetworkDenied("this network may not ask"))
        if (
            len(scope["path"]) > filters.path_bytes_max
            or len(scope["query_string"]) > filters.query_bytes_max
        ):
            self._refuse("target", TargetTooLong("path or query are too long"))
        headers = scope["headers"]
        if len(headers) > filters.headers_max:
            message = f"there are more than {filters.headers_max} headers"
            self._refuse("headers", web.errors.HeadTooLarge(message))
        for _, value in headers:
            if len(value) > filters.header_bytes_max:
                message = f"a header is longer than {filters.header_bytes_max}"
                self._refuse("header", web.errors.HeadTooLarge(message))

    def _refuse(self, rule: str, refusal: web.WebRefusal) -> None:
        self.refused[rule] += 1
        raise refusal
