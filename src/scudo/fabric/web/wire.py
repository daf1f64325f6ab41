"""Types of the wire: whole numbers, ids as text, and cursors."""

import re
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Final

import msgspec

from scudo.fabric.web.errors import CursorMalformed, ReferenceUnfit
from scudo.kernel import Prefix, find_in_text

#: A whole number that fits the signed 64 bits of the database; every `int` of a request is one.
Int64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]

#: How many items a page may have; lists declare it for their `limit` parameter.
PageLimit = Annotated[int, msgspec.Meta(ge=1, le=500)]

#: A cursor as lists take and give it.
CursorText = Annotated[str, msgspec.Meta(max_length=64)]

_CURSOR_NUMBERS_MAX: Final = 4
_KEY_CHARS_MAX: Final = 255
#: What a machine calls a thing: no blanks, so no prose, and no sign that a mail address needs.
_REFERENCE: Final = re.compile(r"[A-Za-z0-9_:/.-]*")


def id_text(prefix: Prefix) -> msgspec.Meta:
    """Describe a text that is an id; stands inside `Annotated[str, ...]`.

    The pattern is documented, not checked while decoding: `kernel.ids.parse`
    checks it once, and names the field.
    """
    return msgspec.Meta(extra_json_schema={"pattern": f"^{prefix}_[0-7][0-9a-f]{{15}}$"})


def is_idempotency_key(text: str) -> bool:
    """Say whether a text is 1 to 255 visible ASCII characters."""
    # Printable ASCII without the space is exactly the visible characters.
    return 0 < len(text) <= _KEY_CHARS_MAX and (
        text.isascii() and text.isprintable() and " " not in text
    )


def reference_text(*, shortest: int, longest: int) -> msgspec.Meta:
    """Describe a text that clients call a thing by; stands inside `Annotated[str, ...]`.

    Its length is checked while decoding, its signs and what it looks like by `demand_reference`.
    """
    pattern = f"^[A-Za-z0-9_:/.-]{{{shortest},{longest}}}$"
    return msgspec.Meta(
        min_length=shortest, max_length=longest, extra_json_schema={"pattern": pattern}
    )


def demand_reference(text: str, *, field: str) -> str:
    """The text, if it may stand in the log for ever.

    Raises:
        ReferenceUnfit: it is no code, or looks like a card number, an IBAN, or a mail address.
    """
    if not _REFERENCE.fullmatch(text):
        message = "a reference has letters, digits and -_:/. only"
        raise ReferenceUnfit(message, field=field)
    # People write an IBAN small, and machines part it by other signs.
    plain = text.upper()
    if any(find_in_text(plain)) or any(find_in_text(re.sub("[_:/.]", " ", plain))):
        message = "this looks like somebody's data, which no reference may hold"
        raise ReferenceUnfit(message, field=field)
    return text


def encode_cursor(tag: str, *numbers: int) -> str:
    """Write where a page ended; `tag` (one letter) names the list it belongs to.

    Numbers are positions or ids of the last item shown, never offsets: rows that
    are written meanwhile neither shift nor repeat an item.
    """
    assert len(numbers) <= _CURSOR_NUMBERS_MAX, "a cursor stays short"
    packed = tag.encode("ascii") + struct.pack(f">{len(numbers)}q", *numbers)
    return urlsafe_b64encode(packed).rstrip(b"=").decode("ascii")


def decode_cursor(tag: str, text: str, *, count: int) -> tuple[int, ...]:
    """Read `count` numbers from a cursor of the list `tag`.

    Raises:
        CursorMalformed: for anything that `encode_cursor` did not write for this list.
    """
    try:
        packed = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        numbers = struct.unpack(f">{count}q", packed[1:])
    except (ValueError, struct.error) as error:
        message = "this is not a cursor of this list"
        raise CursorMalformed(message, field="cursor") from error
    if encode_cursor(tag, *numbers) != text:
        message = "this is not a cursor of this list"
        raise CursorMalformed(message, field="cursor")
    return numbers
