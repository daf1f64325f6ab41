"""Keyed tokens: how a device, an address or a card appears in events and feature keys.

The same value always gives the same token, and without the installation's key a token
tells nothing of the value.
"""

import hmac
import os
import secrets
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Final, Protocol

_KEY_BYTES: Final = 32
_MASK: Final = (1 << 63) - 1
#: Tokens that are kept, because the same cards and devices come again and again.
_RECENT_MAX: Final = 200_000


def token_message(kind: str, value: str) -> bytes:
    """What is hashed under the key; `kind` keeps equal values of different kinds apart."""
    return f"{kind}\x00{value}".encode()


def token_from(digest: bytes) -> int:
    """The token that a digest gives: 63 bits, never zero."""
    return int.from_bytes(digest[:8], "big") & _MASK or 1


class Tokens(Protocol):
    """Makes tokens; the key may be held by another process."""

    def tokens(self, named: Sequence[tuple[str, str]]) -> Awaitable[Sequence[int]]:
        """Tokens of values, each named with its kind, in their order.

        Raises:
            Refusal: whoever holds the key does not answer, or makes no more for now.
        """


class Tokeniser:
    """Turns values into tokens of 63 bits with HMAC-SHA256 under one key.

    For a process that holds the key itself: tests, tools, and a bank without a vault.

    With a billion different values of one kind, one pair shares a token with a chance of
    about one in twenty; such a pair would share its velocity counters, nothing else.
    """

    def __init__(self, key: bytes) -> None:
        """Use a key of 32 random bytes."""
        assert len(key) == _KEY_BYTES, "a token key has 32 bytes"
        self._key = key
        self._recent: dict[tuple[str, str], int] = {}

    async def tokens(self, named: Sequence[tuple[str, str]]) -> list[int]:
        """Tokens of values, each named with its kind, in their order."""
        return [self.token(kind, value) for kind, value in named]

    def token(self, kind: str, value: str) -> int:
        """Token of a value; `kind` keeps equal values of different kinds apart."""
        known = self._recent.get((kind, value))
        if known is not None:
            return known
        token = token_from(hmac.digest(self._key, token_message(kind, value), "sha256"))
        if len(self._recent) >= _RECENT_MAX:
            self._recent.clear()
        self._recent[kind, value] = token
        return token


def load_key(path: Path) -> bytes:
    """Read the key of an installation; makes it, readable by its owner only, if absent."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_bytes(_KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    return path.read_bytes()
