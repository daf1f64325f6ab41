"""An authenticator that gives codes."""

import time
from base64 import b32decode

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP


def totp_code(seed: str, *, step: int = 0) -> str:
    """The code of now, or of so many 30-second steps later."""
    made = TOTP(b32decode(seed), 6, SHA1(), 30)
    return made.generate(int(time.time()) + 30 * step).decode()
