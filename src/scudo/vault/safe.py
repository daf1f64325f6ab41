"""What seals the file of the operational keys: a key in a PKCS#11 token, opened at every start.

The vault has to go on by itself after a restart, so the token's PIN lies in a file. Who steals
the disk, or a backup of it, has the file of the keys and not the token.
"""

import dataclasses
import os
import stat
from typing import Final

from scudo.vault.errors import HsmUriUnfit, VaultFolderUnfit
from scudo.vault.hsm import Hsm, HsmUri
from scudo.vault.keys import Place, key_of, new_key, open_by, seal_by

_MAGIC: Final = b"scudo sealed file 1\n"
_PIN_BYTES_MAX: Final = 256
_PLACE: Final = Place("operational", "keys", 0, bytes(16))
_LABEL: Final = "scudo operational"


def is_sealed(content: bytes) -> bool:
    """Whether a file is sealed by a token."""
    return content.startswith(_MAGIC)


def read_pin(path: str) -> str:
    """The first line of a file that only its owner can read.

    Raises:
        VaultFolderUnfit: it cannot be read, or others can.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            line = file.read(_PIN_BYTES_MAX).partition(b"\n")[0].strip()
            pin = line.decode()
    except (OSError, UnicodeDecodeError):
        message = "the file of the PIN cannot be read"
        raise VaultFolderUnfit(message) from None
    if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077 or not pin:
        message = "the file of the PIN is empty, no file, or may be read by others"
        raise VaultFolderUnfit(message)
    return pin


class Safe:
    """Seals one file by a key in a token."""

    def __init__(self, hsm: Hsm, uri: str) -> None:
        """Name the token; it is asked when something is sealed or opened.

        Args:
            hsm: tokens of the configured module.
            uri: of the token, with a `pin-source`.

        Raises:
            HsmUriUnfit: it is no such URI.
        """
        self._hsm = hsm
        parsed = HsmUri.parse(uri)
        if not parsed.pin_source:
            message = "the token of the operational keys needs a pin-source: nobody is asked"
            raise HsmUriUnfit(message)
        self._uri = dataclasses.replace(parsed, object=parsed.object or _LABEL)
        #: Id of the key that seals; none before there is one.
        self._key: bytes | None = None

    def open(self, content: bytes) -> bytes:
        """Open what was sealed.

        Raises:
            CiphertextBroken: it was changed.
            VaultRefusal: as the token refuses.
        """
        sealed = content.removeprefix(_MAGIC)
        key = key_of(sealed)
        with self._hsm.visiting(self._uri, pin=read_pin(self._uri.pin_source)) as place:
            text = open_by(self._hsm.key(place, key), key, _PLACE, sealed)
        self._key = key
        return text

    def seal(self, text: bytes) -> bytes:
        """Seal, by the key that sealed before; else by a new one.

        Raises:
            VaultRefusal: as the token refuses.
        """
        with self._hsm.visiting(self._uri, pin=read_pin(self._uri.pin_source)) as place:
            key = self._key
            if key is None:
                key = new_key().id
                self._hsm.make_another(place, key)
            sealed = seal_by(self._hsm.key(place, key), key, _PLACE, text)
        self._key = key
        return _MAGIC + sealed

    def renew(self) -> None:
        """Seal by a new key from now on; the one before stays in the token for older backups."""
        self._key = None
