"""Keys and ciphertexts: root → unit key → person key → field key, and AES-256-GCM.

A ciphertext says which key and which algorithm made it, and is bound to its place (table,
column, person, row) and version as associated data: moved, swapped or edited it does not
open. Field keys are derived, never stored, so that a new unit key re-wraps person keys and
rewrites no field.

    header      format 1, algorithm 1, key id 16, version 4, nonce 12 bytes
    ciphertext  as long as the text, and a tag of 16 bytes

Python cannot promise that a key leaves memory: bytes are copied and never overwritten. What
is done is that keys are dropped early, are in no repr, and that the process writes no core.

Source:
    AES-GCM with random 96-bit nonces: NIST SP 800-38D, section 8.2.2; a field key encrypts a
    handful of versions of one value, far below its limit of 2³² messages. Derivation:
    HKDF-Expand, RFC 5869 section 2.3 (section 3.3: a uniformly random key needs no Extract).
"""

import hmac
import secrets
import struct
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from scudo.vault.errors import CiphertextBroken

KEY_BYTES: Final = 32
ID_BYTES: Final = 16
#: Registered for ever: what a ciphertext says it was made with.
AES_256_GCM: Final = 1
_FORMAT: Final = 1
_HEADER: Final = struct.Struct(f">BB{ID_BYTES}sI12s")
_TAG_BYTES: Final = 16
_DOMAIN: Final = b"scudo.vault.ciphertext.v1"
_FIELD_DOMAIN: Final = b"scudo.vault.field-key.v1"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a ciphertext belongs; it opens nowhere else.

    Attributes:
        table: without the schema.
        column: of the table; for a field of a person also the field's name.
        person: whose it is; 0 for what is nobody's.
        row: identity of the row, 16 bytes.
    """

    table: str
    column: str
    person: int
    row: bytes

    def image(self) -> bytes:
        """Canonical bytes: every part after its length."""
        return _joined(
            self.table.encode(), self.column.encode(), struct.pack(">q", self.person), self.row
        )


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """A key and its id; neither shows itself."""

    id: bytes
    secret: bytes


def new_key() -> Key:
    """Make a random key with a random id."""
    return Key(secrets.token_bytes(ID_BYTES), secrets.token_bytes(KEY_BYTES))


class Cipher(Protocol):
    """AES-256-GCM under one key, wherever that key is."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes:
        """Ciphertext and tag of 16 bytes."""

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes:
        """The text.

        Raises:
            InvalidTag: it was changed, or is bound to something else.
        """


def seal(key: Key, place: Place, text: bytes, *, version: int = 1) -> bytes:
    """Encrypt a text for one place."""
    return seal_by(AESGCM(key.secret), key.id, place, text, version=version)


def open_sealed(key: Key, place: Place, sealed: bytes) -> bytes:
    """Decrypt what was sealed by this key for this place.

    Raises:
        CiphertextBroken: it was changed, or belongs elsewhere.
    """
    return open_by(AESGCM(key.secret), key.id, place, sealed)


def seal_by(cipher: Cipher, key: bytes, place: Place, text: bytes, *, version: int = 1) -> bytes:
    """Encrypt a text for one place with the key of an id."""
    header = _HEADER.pack(_FORMAT, AES_256_GCM, key, version, secrets.token_bytes(12))
    return header + cipher.encrypt(header[-12:], text, _bound(header, place))


def open_by(cipher: Cipher, key: bytes, place: Place, sealed: bytes) -> bytes:
    """Decrypt what was sealed with the key of an id for this place.

    Raises:
        CiphertextBroken: it was changed, or belongs elsewhere.
    """
    header = sealed[: _HEADER.size]
    fits = len(sealed) >= _HEADER.size + _TAG_BYTES and header[:2] == bytes((_FORMAT, AES_256_GCM))
    if not fits or key_of(sealed) != key:
        message = f"a ciphertext of {place.table} names another key or algorithm"
        raise CiphertextBroken(message)
    try:
        return cipher.decrypt(header[-12:], sealed[_HEADER.size :], _bound(header, place))
    except InvalidTag as error:
        message = f"a ciphertext of {place.table} was changed or moved"
        raise CiphertextBroken(message) from error


def key_of(sealed: bytes) -> bytes:
    """Id of the key that a ciphertext says it was made with."""
    return sealed[2 : 2 + ID_BYTES]


def version_of(sealed: bytes) -> int:
    """Which version of its value a ciphertext says it is; from 1."""
    return int(_HEADER.unpack_from(sealed)[3])


def field_key(person_key: Key, place: Place) -> Key:
    """Derive the key of one field of one person; it has the person key's id."""
    info = _joined(_FIELD_DOMAIN, place.table.encode(), place.column.encode())
    derived = HKDFExpand(algorithm=SHA256(), length=KEY_BYTES, info=info).derive(person_key.secret)
    return Key(person_key.id, derived)


def search_digest(key: Key, kind: str, value: str) -> bytes:
    """Keyed hash of a value for look-up, 32 bytes."""
    return hmac.digest(key.secret, _joined(kind.encode(), value.encode()), "sha256")


def _bound(header: bytes, place: Place) -> bytes:
    return _joined(_DOMAIN, header, place.image())


def _joined(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


class KeyCache:
    """Unwrapped person keys: so many at most, so old at most, and gone when a person is erased.

    Times are microseconds of a monotonic clock.
    """

    def __init__(self, *, size: int, age_us: int) -> None:
        """Keep at most `size` keys, none of them longer than `age_us`."""
        self._size = size
        self._age_us = age_us
        # The least recently used first; ages are looked at one by one.
        self._kept: OrderedDict[int, tuple[Key, int]] = OrderedDict()
        #: Grows with every erasure: what was read before it may not be kept after it.
        self.generation = 0

    def __len__(self) -> int:
        """How many keys are in memory."""
        return len(self._kept)

    def find(self, person: int, key_id: bytes, *, now: int) -> Key | None:
        """The person's key, if it is kept, is the one of this id and is not too old."""
        found = self._kept.get(person)
        if found is None:
            return None
        key, born = found
        if now - born >= self._age_us or key.id != key_id:
            del self._kept[person]
            return None
        self._kept.move_to_end(person)
        return key

    def keep(self, person: int, key: Key, *, now: int, generation: int) -> None:
        """Keep a key, unless somebody was erased since it was read."""
        if generation != self.generation:
            return
        self._kept[person] = (key, now)
        self._kept.move_to_end(person)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def forget(self, person: int) -> None:
        """Drop the key of somebody who is erased."""
        self.generation += 1
        self._kept.pop(person, None)

    def expire(self, *, now: int) -> None:
        """Drop what is too old, used or not."""
        old = [person for person, (_, born) in self._kept.items() if now - born >= self._age_us]
        for person in old:
            del self._kept[person]

    def clear(self) -> None:
        """Drop every key."""
        self.generation += 1
        self._kept.clear()
