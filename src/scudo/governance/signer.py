"""Signers: the vault's, and one whose keys are files, for a bank without a vault."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

from scudo.fabric import load_key
from scudo.governance.model import ED25519, ML_DSA_65
from scudo.vault import ListSigningKeys, Sign, VaultClient, VaultRefusal

_ALGORITHMS: Final = (ED25519, ML_DSA_65)


class VaultSigner:
    """Signs with the keys of the vault, which nobody else has."""

    def __init__(self, client: VaultClient) -> None:
        """Ask through a client, which stays its owner's to close."""
        self._client = client
        #: The key of each algorithm that was last said to be in use.
        self._active: dict[str, str] = {}

    def public_keys(self) -> Sequence[tuple[str, bytes]]:
        """Algorithm and public key of all that the vault ever signed with, those in use last.

        Raises:
            ConnectionError: the vault does not answer.
        """
        try:
            keys = self._client.ask(ListSigningKeys()).keys
        except VaultRefusal as refusal:
            raise ConnectionError(refusal.code) from refusal
        self._active = {key.algorithm: key.key_id for key in keys if key.is_active}
        return [(key.algorithm, key.public) for key in keys]

    def sign(self, algorithm: str, message: bytes) -> bytes:
        """Sign with the key that was last said to be in use.

        Raises:
            ConnectionError: the vault does not answer, or that key was replaced since: the
                statement names it, so another one may not sign. Asked for its keys again, it
                goes on.
        """
        key_id = self._active.get(algorithm, "")
        try:
            return self._client.ask(Sign(algorithm, message, key_id)).signature
        except VaultRefusal as refusal:
            raise ConnectionError(refusal.code) from refusal


class KeyFiles:
    """Signs with keys that lie in a folder, readable by their owner only.

    Each file is the seed of a key (32 random bytes), `<algorithm>-<number>.key`; the highest
    number of an algorithm is in use, the others tell which keys were. Whoever can read the
    bank's folder can sign as the bank: what these keys sign holds against the administrator of
    the database, not against that of the machine.
    """

    def __init__(self, folder: Path) -> None:
        """Use a folder; it and a first key of each algorithm are made when they are absent."""
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._keys: dict[str, list[Ed25519PrivateKey | MLDSA65PrivateKey]] = {}
        for algorithm in _ALGORITHMS:
            paths = sorted(folder.glob(f"{algorithm}-*.key")) or [self._path(algorithm, 1)]
            self._keys[algorithm] = [_private(algorithm, load_key(path)) for path in paths]

    def public_keys(self) -> Sequence[tuple[str, bytes]]:
        """Algorithm and public key of all in the folder, those in use last."""
        keys = self._keys.items()
        return [(name, key.public_key().public_bytes_raw()) for name, all_ in keys for key in all_]

    def sign(self, algorithm: str, message: bytes) -> bytes:
        """Sign with the key of an algorithm that is in use."""
        return self._keys[algorithm][-1].sign(message)

    def rotate(self, algorithm: str) -> None:
        """Make a new key, which signs from now on; what the old ones signed stays verifiable."""
        keys = self._keys[algorithm]
        keys.append(_private(algorithm, load_key(self._path(algorithm, len(keys) + 1))))

    def _path(self, algorithm: str, number: int) -> Path:
        return self._folder / f"{algorithm}-{number:04}.key"


def _private(algorithm: str, seed: bytes) -> Ed25519PrivateKey | MLDSA65PrivateKey:
    if algorithm == ED25519:
        return Ed25519PrivateKey.from_private_bytes(seed)
    return MLDSA65PrivateKey.from_seed_bytes(seed)
