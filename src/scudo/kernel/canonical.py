"""Digests and Merkle trees: what the hash chain is made of.

A leaf digests the canonical bytes of one stored row: the row's image in
PostgreSQL's binary COPY format, whose encoding of each type is documented and
stable, after a tag that names the table and the version of its layout. The
image is what is sent to the database, so nothing is encoded twice, and a
verifier reads it back with COPY and hashes it as it comes.

Source:
    Tree shape and domain separation: RFC 6962 section 2.1 (leaves 0x00, nodes 0x01),
    SHA-256. Batch hash: SHA-256(0x02 || previous hash || Merkle root).
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

DIGEST_BYTES: Final = 32
#: The hash that the first batch is chained to.
GENESIS: Final = bytes(DIGEST_BYTES)


def leaf(tag: bytes, image: bytes | bytearray | memoryview) -> bytes:
    """Digest one row; `tag` names table and layout version, such as b"T1"."""
    return sha256(b"\x00" + tag + image).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Root of the RFC 6962 tree over leaf digests, in their order.

    Builds level by level: an odd last node moves up unchanged, which gives the
    same tree as the RFC's recursive split at the largest power of two.
    """
    if not leaves:
        return sha256(b"").digest()
    level = list(leaves)
    while len(level) > 1:
        paired = [
            sha256(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)
        ]
        if len(level) & 1:
            paired.append(level[-1])
        level = paired
    return level[0]


def chain(previous: bytes, root: bytes) -> bytes:
    """Hash of a batch: binds its rows (`root`) to everything before (`previous`)."""
    return sha256(b"\x02" + previous + root).digest()
