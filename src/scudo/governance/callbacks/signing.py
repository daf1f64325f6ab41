"""Who sent a callback: signatures by Standard Webhooks, over the bytes as they came.

Source:
    Standard Webhooks 1.0.0: what is signed is `id.timestamp.body`; `v1` is HMAC-SHA256 and
    `v1a` Ed25519; one header carries several signatures, so that keys change without a gap.
"""

from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from scudo.governance.callbacks.errors import CallbackStale, CallbackUnsigned

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
_SIGNATURE_BYTES_MAX: Final = 64
#: Visible ASCII lies between these.
_SPACE, _DELETE = 0x20, 0x7F


class Algorithm(StrEnum):
    """How a callback is signed; the values are the versions of the standard."""

    HMAC = "v1"
    ED25519 = "v1a"


@dataclass(frozen=True, slots=True)
class Signed:
    """A callback as it was signed; by whom, is to be proven.

    Attributes:
        message: its id, the same for every attempt to deliver it.
        data: the bytes that were signed.
        signatures: version and bytes of each; one that cannot be read is empty.
    """

    message: str
    data: bytes
    signatures: tuple[tuple[bytes, bytes], ...]

    @property
    def macs(self) -> tuple[bytes, ...]:
        """Signatures by a shared secret."""
        return tuple(self._of(Algorithm.HMAC))

    def is_signed_by(self, public: bytes) -> bool:
        """Whether one of the signatures was made with the key pair of an Ed25519 key."""
        key = Ed25519PublicKey.from_public_bytes(public)
        return any(_verifies(key, value, self.data) for value in self._of(Algorithm.ED25519))

    def _of(self, algorithm: Algorithm) -> Iterable[bytes]:
        wanted = algorithm.encode("ascii")
        # No signature is longer; what is, need not be carried further.
        return (
            value
            for version, value in self.signatures
            if version == wanted and len(value) <= _SIGNATURE_BYTES_MAX
        )


def read_signed(
    headers: Mapping[bytes, bytes], body: bytes, *, now_s: int, window_s: int
) -> Signed:
    """Read who claims to have signed what, just now.

    Args:
        headers: by name in lower case.
        body: as it came, byte for byte.
        now_s: seconds since 1970.
        window_s: how far the sender's clock and the way may be off, to both sides.

    Raises:
        CallbackUnsigned: a header is missing, or cannot be read.
        CallbackStale: it was signed too long ago, or in the future.
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
    data = b".".join((message.encode("ascii"), stamp, body))
    return Signed(message, data, tuple(_signature(text) for text in given[:_SIGNATURES_MAX]))


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


def _verifies(key: Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True
