"""Counting requests: plain integers while serving, Prometheus families when asked.

Durations fall into buckets whose bounds are powers of two in microseconds, so a
bucket is found by the length of a number in bits.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

_BITS_MIN: Final = 6  # 64 microseconds
_BITS_MAX: Final = 25  # 33 s
_BUCKETS: Final = _BITS_MAX + 1
_UNMATCHED: Final = "unmatched"


class RequestMetrics(Collector):
    """Requests by operation: count by status, and duration."""

    __slots__ = ("_buckets", "_counts", "_filtered", "_names", "_sums_ns")

    def __init__(self, names: Sequence[str], filtered: Mapping[str, int]) -> None:
        """Count for these operations; index -1 stands for requests that met none.

        Args:
            names: of the operations.
            filtered: how many requests each rule of the edge refused.
        """
        self._filtered = filtered
        self._names = (*names, _UNMATCHED)
        self._counts: list[dict[int, int]] = [{} for _ in self._names]
        self._buckets = [array("q", bytes(8 * _BUCKETS)) for _ in self._names]
        self._sums_ns = array("q", bytes(8 * len(self._names)))

    def observe(self, index: int, status: int, elapsed_ns: int) -> None:
        """Count one answered request."""
        counts = self._counts[index]
        counts[status] = counts.get(status, 0) + 1
        bits = (elapsed_ns // 1000).bit_length()
        self._buckets[index][min(bits, _BITS_MAX)] += 1
        self._sums_ns[index] += elapsed_ns

    def collect(self) -> Iterable[Metric]:
        """Give the families in Prometheus' terms (called by the registry)."""
        requests = CounterMetricFamily(
            "scudo_http_requests", "Answered requests.", labels=("operation", "status")
        )
        seconds = HistogramMetricFamily(
            "scudo_http_request_seconds", "From the head read to the answer.", labels=("operation",)
        )
        for index, name in enumerate(self._names):
            for status, count in sorted(self._counts[index].items()):
                requests.add_metric((name, str(status)), count)
            if self._counts[index]:
                cumulated = self._cumulated(self._buckets[index])
                seconds.add_metric((name,), cumulated, self._sums_ns[index] / 1e9)
        yield requests
        yield seconds
        filtered = CounterMetricFamily(
            "scudo_http_filtered", "Requests refused unread, by the rule.", labels=("rule",)
        )
        for rule, count in sorted(self._filtered.items()):
            filtered.add_metric((rule,), count)
        yield filtered

    @staticmethod
    def _cumulated(buckets: Sequence[int]) -> list[tuple[str, float]]:
        below = sum(buckets[:_BITS_MIN])
        pairs: list[tuple[str, float]] = []
        for bits in range(_BITS_MIN, _BITS_MAX):
            below += buckets[bits]
            pairs.append((str((1 << bits) / 1e6), below))
        pairs.append(("+Inf", below + buckets[_BITS_MAX]))
        return pairs
