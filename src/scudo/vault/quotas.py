"""How much may be read for each purpose, tokenised and signed: buckets that fill with time."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from scudo.vault.errors import VaultQuota

_SECOND_US: Final = 1_000_000


class Quotas:
    """Counts what is read for each purpose. Times are microseconds of a monotonic clock."""

    def __init__(self, per_second: Mapping[str, int]) -> None:
        """Allow so many values a second for each purpose, and as many at once."""
        self._per_second = dict(per_second)
        # How much of each bucket is used, in millionths of a value, and when that was so.
        self._used: dict[str, tuple[int, int]] = {}
        #: Requests that were refused, by purpose.
        self.refused: Counter[str] = Counter()

    def take(self, purpose: str, values: int, *, now: int) -> None:
        """Count values as read.

        Raises:
            VaultQuota: too many were read lately; none is counted.
        """
        allowed = self._per_second[purpose]
        used, since = self._used.get(purpose, (0, now))
        used = max(0, used - (now - since) * allowed) + values * _SECOND_US
        if used > allowed * _SECOND_US:
            self.refused[purpose] += 1
            message = f"more than {allowed} a second were asked for: {purpose}"
            raise VaultQuota(message, field="purpose")
        self._used[purpose] = (used, now)
