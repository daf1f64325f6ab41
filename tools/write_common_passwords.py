"""Writes src/scudo/identity/common_passwords.bin from a list of passwords.

    .venv/bin/python tools/write_common_passwords.py LIST

LIST has one password a line. Those that no customer could choose, by their length, are left out.
"""

import sys
from pathlib import Path

from scudo.identity.weak_passwords import digest_of

DATA = (
    Path(__file__).resolve().parent.parent / "src" / "scudo" / "identity" / "common_passwords.bin"
)
#: What a customer's password has, in characters.
LENGTHS = range(12, 129)


def digests(passwords: list[str]) -> bytes:
    """Write what is kept of passwords, sorted, each once."""
    kept = {digest_of(password) for password in passwords if len(password) in LENGTHS}
    return b"".join(sorted(kept))


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    DATA.write_bytes(digests(lines))
