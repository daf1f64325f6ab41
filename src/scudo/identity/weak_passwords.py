"""Passwords that guessers try first: those that many people had, and those about this bank.

`common_passwords.bin` is a sorted row of the first five bytes of SHA-256 of each password that
is common, in lower case and UTF-8: it says whether a password is one of them, and shows none.
Another password is taken for a common one by chance once in twenty-five million times.

Source:
    The million most used of ten million passwords that were stolen and published (M. Burnett,
    2015), as far as they have the length that ours have; `tools/write_common_passwords.py`. The
    list is kept by SecLists under the MIT licence; NOTICE has its terms and the file's digest.
    What to compare with: NIST SP 800-63B-4, section 3.1.1.2.
"""

import hashlib
import re
from bisect import bisect_left
from functools import cache
from importlib.resources import files
from typing import Final

#: Bytes that are kept of a hash.
KEPT_BYTES: Final = 5
#: What anybody thinks of first who makes a password for this bank. docs/security.md lists them.
CONTEXT_WORDS: Final = (
    "account",
    "admin",
    "bank",
    "banking",
    "customer",
    "login",
    "money",
    "operator",
    "passkey",
    "password",
    "passwort",
    "payment",
    "scudo",
    "welcome",
)
#: A password of which fewer letters are left without these words says little more than they.
_OWN_LETTERS_MIN: Final = 6
_CONTEXT: Final = re.compile("|".join(sorted(CONTEXT_WORDS, key=len, reverse=True)))
#: How letters of a word are written by those who must use digits.
_DISGUISED: Final = str.maketrans("013457@$!", "oleastasi")


def digest_of(password: str) -> bytes:
    """What is kept of a common password: the same for every way to write it in capitals."""
    return hashlib.sha256(password.casefold().encode()).digest()[:KEPT_BYTES]


def is_common(password: str) -> bool:
    """Whether many people had this password."""
    digests = _digests()
    wanted = digest_of(password)
    found = bisect_left(range(len(digests) // KEPT_BYTES), wanted, key=lambda n: _nth(digests, n))
    return _nth(digests, found) == wanted


def is_about_the_bank(password: str) -> bool:
    """Whether a password says little more than words of this bank, digits and signs."""
    plain = password.casefold()
    left = [_CONTEXT.sub("", text) for text in (plain, plain.translate(_DISGUISED))]
    return any(
        len(rest) < len(plain) and sum(map(str.isalpha, rest)) < _OWN_LETTERS_MIN for rest in left
    )


def _nth(digests: bytes, number: int) -> bytes:
    return digests[number * KEPT_BYTES : (number + 1) * KEPT_BYTES]


@cache
def _digests() -> bytes:
    return files("scudo.identity").joinpath("common_passwords.bin").read_bytes()
