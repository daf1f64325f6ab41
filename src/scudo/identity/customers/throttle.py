"""Throttling of guesses: a delay that grows with each failure, per account, device and network.

A stranger who fails in somebody's name slows strangers down in that name, and never the person:
a device that the account knows has an allowance of its own, which only its key can use up.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from scudo.identity.customers.errors import TooManyAttempts
from scudo.identity.customers.logic import number_of
from scudo.kernel import SECOND_US

_HOUR_US: Final = 3_600 * SECOND_US


class Allowance(msgspec.Struct, frozen=True):
    """How often something may fail, and how the delay grows.

    Attributes:
        free: attempts without delay.
        first_us: delay after the first attempt beyond these; it doubles with each further one.
        most_us: longest delay.
        forgotten_us: an attempt so long ago counts no more.
    """

    free: int
    first_us: int = SECOND_US
    most_us: int = 300 * SECOND_US
    forgotten_us: int = _HOUR_US


ACCOUNT: Final = Allowance(free=10)
DEVICE: Final = Allowance(free=10)
#: Many people share a network.
NETWORK: Final = Allowance(free=50)
#: Mails to one address, wanted or not.
MAIL: Final = Allowance(free=3, first_us=60 * SECOND_US, most_us=_HOUR_US)

Key = tuple[Allowance, str, int]


def known_device(customer: int, device: int) -> int:
    """The number under which attempts of a customer's own device count.

    Args:
        customer: who.
        device: its keyed token, which the audit trail has too.
    """
    return number_of(f"attempts\x00{customer}\x00{device}".encode())


class Throttle:
    """Counts attempts, in memory; failures are recalled from the audit trail after a restart."""

    def __init__(self, *, now: Callable[[], int], most: int = 200_000) -> None:
        """Count by our wall clock, for so many keys at the most."""
        self._now = now
        self._most = most
        #: Attempts, when the next may come, and when the newest came; the stalest first.
        self._counted: dict[tuple[str, int], tuple[int, int, int]] = {}

    def take(self, keys: Sequence[Key]) -> None:
        """Count an attempt before it is looked at; `forgive` takes it back if it was good.

        Raises:
            TooManyAttempts: if any of the keys must wait; then nothing is counted.
        """
        now = self._now()
        waits = [self._counted[k, n][1] - now for _, k, n in keys if (k, n) in self._counted]
        wait = max(waits, default=0)
        if wait > 0:
            seconds = -(-wait // SECOND_US)
            message = "too many attempts came before this one"
            raise TooManyAttempts(message, headers=((b"retry-after", b"%d" % seconds),))
        self.recall(keys, at=now)

    def recall(self, keys: Sequence[Key], *, at: int) -> None:
        """Count an attempt of a time that nobody makes wait."""
        for allowance, kind, number in keys:
            count, _, newest = self._counted.pop((kind, number), (0, 0, at))
            count = 1 if at - newest > allowance.forgotten_us else count + 1
            beyond = count - allowance.free
            delay = 0
            if beyond >= 0:
                delay = min(allowance.most_us, allowance.first_us << min(beyond, 32))
            self._counted[kind, number] = (count, at + delay, at)
        while len(self._counted) > self._most:
            del self._counted[next(iter(self._counted))]

    def forgive(self, keys: Sequence[Key]) -> None:
        """Forget the attempts of these keys: somebody has proven who it is."""
        for _, kind, number in keys:
            self._counted.pop((kind, number), None)
