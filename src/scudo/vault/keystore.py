"""Operational keys: tokens and signatures, which go on while the vault is sealed.

Whoever asks gets digests and signatures, never a key: a hardware module fits the same port.
"""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

from scudo.vault.answers import Signature, SigningKey
from scudo.vault.errors import KeyUnknown, VaultFolderUnfit
from scudo.vault.folder import Folder

OPERATIONAL_FILE: Final = "operational.keys"
ED25519: Final = "ed25519"
ML_DSA_65: Final = "ml-dsa-65"
#: What `rotate` renews: a signing algorithm, or the key of tokens.
TOKEN: Final = "token"  # noqa: S105 - a name
_SEED_BYTES: Final = 32
#: Of SHA-256.
_BLOCK_BYTES: Final = 64

_Private: TypeAlias = Ed25519PrivateKey | MLDSA65PrivateKey


class KeyStore(Protocol):
    """Where the operational keys are."""

    @property
    def token_version(self) -> int:
        """Version of the key that new tokens are made with."""

    def mac(self, message: bytes, *, version: int) -> bytes:
        """HMAC-SHA256 under the token key of a version; 0 means the newest.

        Raises:
            KeyUnknown: there is no such version.
        """

    def signing_keys(self) -> Sequence[SigningKey]:
        """Every public key, retired ones too; one of each algorithm signs."""

    def sign(self, algorithm: str, data: bytes, *, key_id: str = "") -> Signature:
        """Sign with the newest key of an algorithm, if it is the one that is named, if one is.

        Raises:
            KeyUnknown: there is no such algorithm, or the key that is named does not sign.
        """

    def rotate(self, which: str) -> None:
        """Make a new token key, or a new key of an algorithm; older ones stay known.

        Raises:
            KeyUnknown: there is no such thing to renew.
        """


class SigningSeed(msgspec.Struct, frozen=True):
    """A private signing key: its algorithm and the 32 bytes that it is made from."""

    algorithm: str
    seed: bytes

    def __repr__(self) -> str:
        return f"<{self.algorithm} key>"

    def private(self) -> _Private:
        """Make the key."""
        if self.algorithm == ED25519:
            return Ed25519PrivateKey.from_private_bytes(self.seed)
        return MLDSA65PrivateKey.from_seed_bytes(self.seed)


class _Stored(msgspec.Struct):
    """The file: token keys by version from 1, and signing seeds, oldest first.

    Attributes:
        is_settled: whether the keys of a bank from before are in it; what is not, never will be.
    """

    tokens: list[bytes]
    signers: list[SigningSeed]
    is_settled: bool = False

    def __repr__(self) -> str:
        return "<operational keys>"


class FileKeyStore:
    """Operational keys in one file that only the vault's user may read."""

    def __init__(
        self,
        folder: Folder,
        *,
        token_key: bytes | None = None,
        signing_seeds: Sequence[SigningSeed] = (),
    ) -> None:
        """Read the keys, or make them; the keys of a bank from before are taken over, once.

        When this returns, every key that was given is on the disk here: whoever gave it may
        remove its own copy. A key that is given later and is not known is refused; else
        whoever can write the bank's folder could have the vault sign with a key of theirs.

        Args:
            folder: of the vault.
            token_key: that the bank made tokens with so far.
            signing_seeds: that the bank signed with so far, oldest first.

        Raises:
            VaultFolderUnfit: the file cannot be read, others may read it, or a key was given
                that is none of this vault's.
        """
        self._folder = folder
        folder.demand_private(OPERATIONAL_FILE)
        content = folder.find(OPERATIONAL_FILE)
        if content is None:
            self._keys = _Stored([token_key or secrets.token_bytes(_SEED_BYTES)], [])
        else:
            try:
                self._keys = msgspec.msgpack.decode(content, type=_Stored)
            except (msgspec.DecodeError, msgspec.ValidationError):
                message = f"{OPERATIONAL_FILE} cannot be read"
                raise VaultFolderUnfit(message) from None
        self._take_over(token_key, signing_seeds)
        self._load()

    def _take_over(self, token_key: bytes | None, seeds: Sequence[SigningSeed]) -> None:
        """Take the keys of a bank from before, the first time; later only see that they are here.

        Raises:
            VaultFolderUnfit: one of them is not.
        """
        keys = self._keys
        unknown = [seed for seed in seeds if seed not in keys.signers]
        if token_key not in {None, *keys.tokens} or (keys.is_settled and unknown):
            message = "a key in the bank's folder is none of the vault's"
            raise VaultFolderUnfit(message)
        if keys.is_settled:
            return
        # What the bank signed with so far goes on to sign: its heads name it.
        keys.signers += unknown
        known = {seed.algorithm for seed in keys.signers}
        keys.signers += [_new_signer(name) for name in (ED25519, ML_DSA_65) if name not in known]
        keys.is_settled = True
        self._keep()

    @property
    def token_version(self) -> int:
        """Version of the key that new tokens are made with."""
        return len(self._keys.tokens)

    def mac(self, message: bytes, *, version: int) -> bytes:
        """HMAC-SHA256 under the token key of a version; 0 means the newest.

        Raises:
            KeyUnknown: there is no such version.
        """
        if not 0 <= version <= len(self._keys.tokens):
            no_version = f"there is no token key of version {version}"
            raise KeyUnknown(no_version, field="version")
        inner, outer = self._macs[version - 1]
        inner, outer = inner.copy(), outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()

    def signing_keys(self) -> Sequence[SigningKey]:
        """Every public key, oldest first; the last of each algorithm signs."""
        return self._public

    def sign(self, algorithm: str, data: bytes, *, key_id: str = "") -> Signature:
        """Sign with the newest key of an algorithm, if it is the one that is named, if one is.

        Raises:
            KeyUnknown: there is no such algorithm, or the key that is named does not sign.
        """
        active, private = self._active.get(algorithm, ("", None))
        if private is None:
            message = "there is no key of this algorithm"
            raise KeyUnknown(message, field="algorithm")
        if key_id not in {"", active}:
            message = "this key does not sign any more, or never did"
            raise KeyUnknown(message, field="key_id")
        return Signature(algorithm, active, private.sign(data))

    def rotate(self, which: str) -> None:
        """Make a new token key, or a new key of an algorithm; older ones stay known.

        Raises:
            KeyUnknown: there is no such thing to renew.
            OSError: it cannot be kept; nothing was changed.
        """
        tokens, signers = [*self._keys.tokens], [*self._keys.signers]
        if which == TOKEN:
            tokens.append(secrets.token_bytes(_SEED_BYTES))
        elif which in {ED25519, ML_DSA_65}:
            signers.append(_new_signer(which))
        else:
            message = "there is no operational key of this name"
            raise KeyUnknown(message, field="which")
        before, self._keys = self._keys, _Stored(tokens, signers, is_settled=True)
        try:
            self._keep()
        except OSError:
            self._keys = before
            raise
        self._load()

    def _keep(self) -> None:
        self._folder.write(OPERATIONAL_FILE, msgspec.msgpack.encode(self._keys))

    def _load(self) -> None:
        self._macs = [_begun(key) for key in self._keys.tokens]
        self._active: dict[str, tuple[str, _Private]] = {}
        public = []
        for signer in self._keys.signers:
            private = signer.private()
            raw = private.public_key().public_bytes_raw()
            key_id = hashlib.sha256(signer.algorithm.encode() + b"\x00" + raw).hexdigest()[:32]
            self._active[signer.algorithm] = (key_id, private)
            public.append((signer.algorithm, key_id, raw))
        self._public = tuple(
            SigningKey(algorithm, key_id, raw, is_active=self._active[algorithm][0] == key_id)
            for algorithm, key_id, raw in public
        )


def _begun(key: bytes) -> tuple["hashlib._Hash", "hashlib._Hash"]:
    """The two hashes of HMAC-SHA256, past the key: RFC 2104, section 4, saves half the work.

    Every payment has four tokens, and this way one takes a fraction of the time of a call.
    """
    assert len(key) <= _BLOCK_BYTES, "a longer key would be hashed first"
    padded = key.ljust(_BLOCK_BYTES, b"\x00")
    inner, outer = (bytes(octet ^ pad for octet in padded) for pad in (0x36, 0x5C))
    return hashlib.sha256(inner), hashlib.sha256(outer)


def _new_signer(algorithm: str) -> SigningSeed:
    return SigningSeed(algorithm, secrets.token_bytes(_SEED_BYTES))
