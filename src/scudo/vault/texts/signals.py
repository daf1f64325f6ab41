"""What rules may know of a payment's text: bits, computed where the text is, at once.

Source:
    Card numbers ISO/IEC 7812-1 with Luhn's formula, IBAN ISO 13616-1, telephone numbers ITU-T
    E.164, addresses RFC 5322 section 3.4.1: the forms that `kernel.find_in_text` looks for. Links:
    RFC 3986 section 3, or a host name followed by a path. Hidden characters: general category
    Cf of the Unicode Standard, section 4.5. Words of scams: `scam_words.toml`.
"""

import re
import tomllib
import unicodedata
from enum import IntFlag
from pathlib import Path
from typing import Final

from scudo.kernel import find_in_text


class TextSignal(IntFlag):
    """What a text has; the bits stand in the log for ever."""

    EMPTY = 1
    LINK = 2
    CARD_NUMBER = 4
    IBAN = 8
    PHONE = 16
    EMAIL = 32
    SHOUTS = 64
    SCAM_WORDS = 128
    HIDDEN_CHARACTERS = 256


_FOUND: Final = {
    "card": TextSignal.CARD_NUMBER,
    "iban": TextSignal.IBAN,
    "phone": TextSignal.PHONE,
    "email": TextSignal.EMAIL,
}
_LINK: Final = re.compile(
    r"(?<![\w@])(?:[a-z][a-z0-9+.-]*://\S|www\.[\w-]+\.|(?:[\w-]+\.)+[a-z]{2,12}/\S)", re.IGNORECASE
)
#: As people write a number at home: it begins with 0.
_NATIONAL_PHONE: Final = re.compile(r"(?<![\w+])0[1-9](?:[ ()/-]?\d){7,11}(?!\w)")
#: Somebody shouts who writes so many letters, and so many tenths of them large.
_SHOUTED_LETTERS: Final = 12
_SHOUTED_TENTHS: Final = 8


def _words_of(text: str) -> str:
    """The words of a text, each between blanks, without case and accents."""
    parts = unicodedata.normalize("NFKD", text).casefold()
    signs = (sign if sign.isalnum() else " " for sign in parts if not unicodedata.combining(sign))
    return f" {' '.join(''.join(signs).split())} "


def _load(file: Path) -> tuple[str, ...]:
    listed = tomllib.loads(file.read_text("utf-8"))["typologies"]
    return tuple(_words_of(words) for typology in listed for words in typology["words"])


_SCAM_WORDS: Final = _load(Path(__file__).parent / "scam_words.toml")


def signals_of(text: str) -> TextSignal:
    """Say what a text has."""
    plain = unicodedata.normalize("NFKC", text)
    hidden = any(unicodedata.category(sign) == "Cf" for sign in text)
    if hidden:
        # What is hidden between letters must not hide them from us.
        plain = "".join(sign for sign in plain if unicodedata.category(sign) != "Cf")
    found = TextSignal(0) if plain.strip() else TextSignal.EMPTY
    if hidden:
        found |= TextSignal.HIDDEN_CHARACTERS
    for kind in (*find_in_text(plain), *find_in_text(plain.upper())):
        found |= _FOUND[kind]
    if _NATIONAL_PHONE.search(plain):
        found |= TextSignal.PHONE
    if _LINK.search(plain):
        found |= TextSignal.LINK
    cased = [sign for sign in plain if sign.isupper() or sign.islower()]
    large = sum(map(str.isupper, cased))
    if len(cased) >= _SHOUTED_LETTERS and 10 * large >= _SHOUTED_TENTHS * len(cased):
        found |= TextSignal.SHOUTS
    words = _words_of(plain)
    if any(scam in words for scam in _SCAM_WORDS):
        found |= TextSignal.SCAM_WORDS
    return found
