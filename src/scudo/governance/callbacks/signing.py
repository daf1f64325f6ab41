"""Who sent a callback: signatures by Standard Webhooks, over the bytes as they came.

Source:
    Standard Webhooks 1.0.0: what is signed is `id.timestamp.body`; `v1` is HMAC-SHA256 and
    `v1a` Ed25519; one header carries several signatures, so that keys change without a gap.
"""

import hmac
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from scudo.governance.callbacks.errors import CallbackForged, CallbackStale, CallbackUnsigned

ID_HEADER: Final = b"webhook-id"
TIME_HEADER: Final = b"webhook-timestamp"
SIGNATURE_HEADER: Final = b"webhook-signature"
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how secrets are written, none itself
PUBLIC_PREFIX: Final = "whpk_"

_ID_BYTES_MAX: Final = 128
#: Seconds since 1970 have ten digits until the year 2286.
_TIME_DIGITS_MAX: Final = 12
#: Nobody needs more at once to change a key; each costs a verification.
_SIGNATURES_MAX: Final = 8
#: Visible ASCII lies between these.
_SPACE, _DELETE = 0x20, 0x7F


class Algorithm(StrEnum):
    """How a callback is signed; the values are the versions of the standard."""

    HMAC = "v1"
    ED25519 = "v1a"


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """What proves a signature.

    Attributes:
        material: the shared secret, or the 32 bytes of the sender's public key.
    """

    algorithm: Algorithm
    material: bytes


def verify(
    headers: Mapping[bytes, bytes],
    body: bytes,
    keys: Iterable[VerifyingKey],
    *,
    now_s: int,
    window_s: int,
) -> str:
    """Prove that a callback was sent by who holds one of the keys, just now.

    Args:
        headers: by name in lower case.
        body: as it came, byte for byte.
        keys: that are good now.
        now_s: seconds since 1970.
        window_s: how far the sender's clock and the way may be off, to both sides.

    Returns:
        the message's id, the same for every attempt to deliver it.

    Raises:
        CallbackUnsigned: a header is missing, or cannot be read.
        CallbackStale: it was signed too long ago, or in the future.
        CallbackForged: no signature is right.
    """
    message = _message_id(headers.get(ID_HEADER, b""))
    stamp = headers.get(TIME_HEADER, b"")
    # On bytes these are the ASCII digits and no others, and no sign.
    if not stamp.isdigit() or len(stamp) > _TIME_DIGITS_MAX:
        text = "webhook-timestamp is not a whole number of seconds"
        raise CallbackUnsigned(text, field="webhook-timestamp")
    given = headers.get(SIGNATURE_HEADER, b"").split()
    if not given:
        text = "webhook-signature has no signature"
        raise CallbackUnsigned(text, field="webhook-signature")
    if abs(now_s - int(stamp)) > window_s:
        text = f"the callback was not signed within {window_s} seconds of now"
        raise CallbackStale(text, field="webhook-timestamp")
    signed = b".".join((message.encode("ascii"), stamp, body))
    signatures = [_signature(text) for text in given[:_SIGNATURES_MAX]]
    # Every pair is tried whatever came before: the time tells nothing of which key it was.
    matches = [_matches(key, signature, signed) for key in keys for signature in signatures]
    if not any(matches):
        text = "no signature was made with a key of this callback"
        raise CallbackForged(text, field="webhook-signature")
    return message


def _message_id(text: bytes) -> str:
    if not 0 < len(text) <= _ID_BYTES_MAX or not all(_SPACE < byte < _DELETE for byte in text):
        message = f"webhook-id is not 1 to {_ID_BYTES_MAX} visible ASCII characters"
        raise CallbackUnsigned(message, field="webhook-id")
    return text.decode("ascii")


def _signature(text: bytes) -> tuple[bytes, bytes]:
    """Version and bytes of one signature; one that cannot be read matches nothing."""
    version, _, encoded = text.partition(b",")
    try:
        return version, b64decode(encoded, validate=True)
    except ValueError:
        return version, b""


def _matches(key: VerifyingKey, signature: tuple[bytes, bytes], signed: bytes) -> bool:
    version, value = signature
    if version != key.algorithm.encode("ascii"):
        return False
    if key.algorithm is Algorithm.HMAC:
        return hmac.compare_digest(hmac.digest(key.material, signed, "sha256"), value)
    try:
        Ed25519PublicKey.from_public_bytes(key.material).verify(value, signed)
    except InvalidSignature:
        return False
    return True
