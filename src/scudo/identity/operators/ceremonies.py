"""Challenges that need no memory, and log-ins that fail too often.

A challenge says itself when and for what it was made, and proves that it was made here: so a
flood of strangers who ask for one costs nothing and pushes nobody's out. What was answered is
remembered until it is too old, so that every challenge is good once.
"""

import hmac
import secrets
import struct
from typing import Final

from scudo.identity.operators.errors import LogInThrottled
from scudo.identity.operators.model import MINUTE_US
from scudo.identity.passkeys import AssertionInvalid
from scudo.kernel import SECOND_US

CHALLENGE_US: Final = 5 * MINUTE_US
_NONCE_BYTES, _TAG_BYTES = 16, 16
_HEAD: Final = struct.Struct(">16sQ")
#: So many log-ins may fail before the next must wait.
_FREE_FAILURES: Final = 3
_WAIT_MAX_US: Final = 64 * SECOND_US
_FORGOTTEN_US: Final = 15 * MINUTE_US
_KNOWN_MAX: Final = 100_000


class Challenges:
    """Makes challenges, and takes each back once. One key for the life of the process."""

    def __init__(self) -> None:
        """Begin with a key of its own: what an earlier process made is not good any more."""
        self._key = secrets.token_bytes(32)
        self._spent: dict[bytes, int] = {}

    def make(self, purpose: bytes, *, now: int) -> bytes:
        """Make a challenge for a purpose; good for five minutes."""
        head = _HEAD.pack(secrets.token_bytes(_NONCE_BYTES), now + CHALLENGE_US)
        return head + self._tag(head, purpose)

    def take(self, challenge: bytes, purpose: bytes, *, now: int) -> None:
        """Take a challenge back, so that it is never good again.

        Raises:
            AssertionInvalid: if it is not ours, of another purpose, too old, or was taken.
        """
        head, tag = challenge[: _HEAD.size], challenge[_HEAD.size :]
        is_ours = len(head) == _HEAD.size and hmac.compare_digest(tag, self._tag(head, purpose))
        ends_at = _HEAD.unpack(head)[1] if is_ours else 0
        if ends_at <= now or challenge in self._spent:
            message = "this challenge is not one that waits for an answer"
            raise AssertionInvalid(message, field="credential")
        for spent in [c for c, until in self._spent.items() if until <= now]:
            del self._spent[spent]
        self._spent[challenge] = ends_at

    def _tag(self, head: bytes, purpose: bytes) -> bytes:
        return hmac.digest(self._key, head + purpose, "sha256")[:_TAG_BYTES]


class Throttle:
    """Makes those wait whose log-ins fail: longer each time, and never for good.

    It counts by network, and by network and passkey together: whoever fails elsewhere with a
    passkey that is not theirs does not keep its owner out.
    """

    def __init__(self) -> None:
        """Nobody has failed yet."""
        self._failed: dict[tuple[object, ...], tuple[int, int]] = {}

    def demand(self, *who: tuple[object, ...], now: int) -> None:
        """Refuse those who have to wait.

        Raises:
            LogInThrottled: if one of the keys failed too often a moment ago.
        """
        for key in who:
            count, at = self._failed.get(key, (0, 0))
            if count >= _FREE_FAILURES:
                wait_us = min(_WAIT_MAX_US, SECOND_US << min(count - _FREE_FAILURES, 6))
                if now - at < wait_us:
                    message = "too many log-ins failed from here; wait a moment"
                    raise LogInThrottled(message)

    def failed(self, *who: tuple[object, ...], now: int) -> None:
        """Remember a failure."""
        if len(self._failed) >= _KNOWN_MAX:
            self._failed = {k: v for k, v in self._failed.items() if now - v[1] < _FORGOTTEN_US}
        for key in who:
            count, at = self._failed.get(key, (0, 0))
            self._failed[key] = (1 if now - at >= _FORGOTTEN_US else count + 1, now)

    def succeeded(self, *who: tuple[object, ...]) -> None:
        """Forget the failures of somebody who is in."""
        for key in who:
            self._failed.pop(key, None)
