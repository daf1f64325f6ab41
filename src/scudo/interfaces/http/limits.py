"""How much is accepted: rates per client, requests under way, bytes, seconds."""

from dataclasses import dataclass
from typing import Final

_SECOND_NS: Final = 1_000_000_000


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
    """

    reads_per_s: int = 20_000
    moves_per_s: int = 20_000
    burst_s: int = 1
    under_way_max: int = 8_192
    head_bytes_max: int = 32 * 1024
    request_s: int = 10
    keep_alive_s: int = 75
    drain_s: int = 10


class RateLimit:
    """A token bucket per client, kept as one number: when the bucket is full again.

    Source:
        Generic cell rate algorithm, ITU-T I.371 (virtual scheduling form).
    """

    __slots__ = ("_burst_ns", "_full_at", "_interval_ns")

    def __init__(self, *, per_s: int, burst_s: int) -> None:
        """Allow `per_s` requests a second, and `burst_s` seconds' worth at once."""
        self._interval_ns = _SECOND_NS // per_s
        self._burst_ns = self._interval_ns * (per_s * burst_s - 1)
        self._full_at: dict[int, int] = {}

    def take(self, client: int, *, now_ns: int) -> int:
        """Take one request of a client's allowance.

        Returns:
            0 if it was there, else in how many whole seconds it will be (at least 1).
        """
        full_at = max(self._full_at.get(client, 0), now_ns)
        excess = full_at - now_ns - self._burst_ns
        if excess > 0:
            return -(-excess // _SECOND_NS)
        self._full_at[client] = full_at + self._interval_ns
        return 0
