"""Passwords and codes of authenticators: slow hashes in threads of their own, and TOTP.

Source:
    Argon2id with 19 MiB, two passes, one lane: OWASP Password Storage Cheat Sheet, first of
    its equal choices; about 25 ms of one core. TOTP: RFC 6238 with SHA-1, 30 s, six digits,
    which is what authenticators know.
"""

import asyncio
import hmac
import secrets
from base64 import b32decode, b32encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar
from urllib.parse import quote

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from scudo.identity.customers.errors import PasswordsBusy
from scudo.identity.customers.logic import seconds_of, totp_steps

T = TypeVar("T")
_THREADS: Final = 2
#: More are refused at once, so that nobody waits for seconds behind a flood.
_WAITING_MAX: Final = 64
_SEED_BYTES: Final = 20
_DIGITS: Final = 6


class Passwords:
    """Hashes and verifies passwords, a few at a time, beside the event loop."""

    def __init__(self) -> None:
        """Start no thread yet."""
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1_024, parallelism=1)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="password")
        self._waiting = 0
        #: Verified against when nobody is known by a name, so that it takes as long.
        self._nobodys = self._hasher.hash(secrets.token_urlsafe(16))

    async def hash(self, password: str) -> str:
        """Hash a password with a new salt; gives a PHC string.

        Raises:
            PasswordsBusy: if too many wait.
        """
        return await self._beside(lambda: self._hasher.hash(password))

    async def verify(self, stored: str, password: str) -> bool:
        """Whether a password is the stored one; an empty `stored` takes as long, and is not.

        Raises:
            PasswordsBusy: if too many wait.
        """
        return await self._beside(lambda: self._verify(stored, password))

    def _verify(self, stored: str, password: str) -> bool:
        try:
            self._hasher.verify(stored or self._nobodys, password)
        except (VerificationError, InvalidHashError):
            return False
        return bool(stored)

    async def _beside(self, work: Callable[[], T]) -> T:
        if self._waiting >= _WAITING_MAX:
            message = "too many passwords are being checked"
            raise PasswordsBusy(message)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def new_seed() -> str:
    """A seed for an authenticator, base32."""
    return b32encode(secrets.token_bytes(_SEED_BYTES)).decode("ascii")


def seed_uri(seed: str, *, issuer: str) -> str:
    """What an authenticator reads off a QR code; names no person."""
    return f"otpauth://totp/{quote(issuer)}?secret={seed}&issuer={quote(issuer)}"


def matching_step(seed: str, code: str, *, now: int) -> int:
    """The 30-second step whose code this is; 0: of none that may come in now.

    Args:
        seed: base32.
        code: six digits.
        now: microseconds.
    """
    made = TOTP(b32decode(seed), _DIGITS, SHA1(), 30)  # noqa: S303 - what authenticators know
    found = 0
    for step in totp_steps(now):
        if hmac.compare_digest(made.generate(seconds_of(step)), code.encode()):
            found = step
    return found
