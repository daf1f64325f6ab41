"""Values of evidence: how far the tree has grown, who signs, and how heads are written."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from scudo.proofcheck import Head, Key

ED25519: Final = "ed25519"
ML_DSA_65: Final = "ml-dsa-65"
MOMENT: Final = "moment"
HOUR: Final = "hour"
DAY: Final = "day"


@dataclass(frozen=True, slots=True)
class Tree:
    """How far the log's tree has grown.

    Attributes:
        log: which log; 16 random bytes.
        size: batches that it has taken.
        begins: position of the first event of the last of them; 1 if there is none.
        position: of the last event of it; 0 if there is none.
        hash: of the last batch.
    """

    log: bytes
    size: int
    begins: int
    position: int
    hash: bytes


class Signer(Protocol):
    """Holds the private keys; may be another process, or another machine."""

    def public_keys(self) -> Sequence[tuple[str, bytes]]:
        """Algorithm and public key of all that have ever signed, those in use now last.

        Raises:
            OSError: it cannot be reached.
        """

    def sign(self, algorithm: str, message: bytes) -> bytes:
        """Sign with the key of an algorithm that is in use.

        Raises:
            OSError: it cannot be reached.
        """


def text(octets: bytes) -> str:
    """Bytes as files of proofs hold them."""
    return base64.b64encode(octets).decode()


def show_head(head: Head) -> dict[str, object]:
    """A head as files hold it."""
    return {
        "log": head.log.hex(),
        "number": head.number,
        "size": head.size,
        "root": text(head.root),
        "position": head.position,
        "signed_at": head.signed_at,
        "cadence": head.cadence,
        "algorithm": head.algorithm,
        "key": head.key.hex(),
        "signature": text(head.signature),
    }


def show_key(key: Key) -> dict[str, object]:
    """A public key as files hold it."""
    return {
        "algorithm": key.algorithm,
        "public_key": text(key.public_key),
        "valid_from": key.valid_from,
    }
