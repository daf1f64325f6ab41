"""Operational keys: tokens, signatures, callbacks; these go on while the vault is sealed.

Whoever asks gets digests, signatures, a yes or a no; never a key. The one exception is the shared
secret of a callback, whose other owner has to be told it once.

A key that signs no more is destroyed: its public half tells what it signed. A token key stays,
because older tokens of the log are still made from their values.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

from scudo.vault.answers import Signature, SigningKey
from scudo.vault.errors import KeyUnknown, VaultFolderUnfit, VaultRefusal
from scudo.vault.folder import Folder
from scudo.vault.safe import Safe, is_sealed

OPERATIONAL_FILE: Final = "operational.keys"
ED25519: Final = "ed25519"
ML_DSA_65: Final = "ml-dsa-65"
#: What `rotate` renews: a signing algorithm, the key of tokens, or what seals the file.
TOKEN: Final = "token"  # noqa: S105 - a name
SEAL: Final = "seal"
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

    def callback_secret(self, callback: str, key: int) -> bytes:
        """The shared secret of a callback's key, 32 bytes."""

    def matches(
        self, callback: str, keys: Sequence[int], data: bytes, macs: Sequence[bytes]
    ) -> bool:
        """Whether one of the signatures was made with the shared secret of one of the keys."""


def derive_secret(master: bytes, callback: str, key: int) -> bytes:
    """The shared secret of a callback's key: only who holds the master can make it again."""
    return hmac.digest(master, f"scudo.callback\x00{callback}\x00{key}".encode(), "sha256")


def has_mac(shared: Sequence[bytes], data: bytes, macs: Sequence[bytes]) -> bool:
    """Whether one of the signatures was made with one of the shared secrets, HMAC-SHA256.

    Every pair is tried whatever came before: the time tells nothing of which key it was.
    """
    made = [hmac.digest(secret, data, "sha256") for secret in shared]
    return any([hmac.compare_digest(one, mac) for one in made for mac in macs])  # noqa: C419 - all


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


class _Public(msgspec.Struct, frozen=True):
    """A key that signs no more."""

    algorithm: str
    public: bytes


class _Stored(msgspec.Struct):
    """The file: token keys by version from 1, signing seeds and what came before them.

    Attributes:
        is_settled: whether the keys of a bank from before are in it; what is not, never will be.
        callback: what shared secrets of callbacks are derived from; empty: not yet settled.
        retired: oldest first.
    """

    tokens: list[bytes]
    signers: list[SigningSeed]
    is_settled: bool = False
    callback: bytes = b""
    retired: list[_Public] = []

    def __repr__(self) -> str:
        return "<operational keys>"

    def retire(self) -> None:
        """Keep the seed of the newest key of each algorithm only."""
        newest = {seed.algorithm: seed for seed in self.signers}
        old = [seed for seed in self.signers if newest[seed.algorithm] is not seed]
        self.retired = [*self.retired, *map(_public, old)]
        self.signers = list(newest.values())


class FormerKeys(msgspec.Struct, frozen=True):
    """Keys that a bank held itself before its vault did; empty: it held none.

    Attributes:
        token: that it made tokens with.
        signing: that it signed with, oldest first.
        callback: that it derived the shared secrets of callbacks from.
    """

    token: bytes = b""
    signing: tuple[SigningSeed, ...] = ()
    callback: bytes = b""

    def __repr__(self) -> str:
        return "<former keys>"


class FileKeyStore:
    """Operational keys in one file that only the vault's user may read."""

    def __init__(
        self, folder: Folder, *, former: FormerKeys | None = None, safe: Safe | None = None
    ) -> None:
        """Read the keys, or make them; the keys of a bank from before are taken over, once.

        When this returns, every key that was given is on the disk here: whoever gave it may
        remove its own copy. A key that is given later and is not known is refused; else
        whoever can write the bank's folder could have the vault sign with a key of theirs.

        Args:
            folder: of the vault.
            former: what the bank held so far.
            safe: what the file is sealed by; none: it lies open for the vault's user.

        Raises:
            VaultFolderUnfit: the file cannot be read, others may read it, it is sealed and no
                safe was given, or a key was given that is none of this vault's.
            VaultRefusal: as the safe refuses.
        """
        self._folder = folder
        self._safe = safe
        folder.demand_private(OPERATIONAL_FILE)
        content = folder.find(OPERATIONAL_FILE)
        former = former or FormerKeys()
        if content is None:
            self._keys = _Stored([former.token or secrets.token_bytes(_SEED_BYTES)], [])
        else:
            self._keys = self._read(content)
        before = msgspec.msgpack.encode(self._keys)
        self._take_over(former)
        self._keys.retire()
        is_open = safe is not None and content is not None and not is_sealed(content)
        if content is None or is_open or msgspec.msgpack.encode(self._keys) != before:
            self._keep()
        self._load()

    def _read(self, content: bytes) -> _Stored:
        if is_sealed(content):
            if self._safe is None:
                message = f"{OPERATIONAL_FILE} is sealed by a token, and none is configured"
                raise VaultFolderUnfit(message)
            content = self._safe.open(content)
        try:
            return msgspec.msgpack.decode(content, type=_Stored)
        except (msgspec.DecodeError, msgspec.ValidationError):
            message = f"{OPERATIONAL_FILE} cannot be read"
            raise VaultFolderUnfit(message) from None

    def _take_over(self, former: FormerKeys) -> None:
        """Take the keys of a bank from before, the first time; later only see that they are here.

        Raises:
            VaultFolderUnfit: one of them is not.
        """
        keys = self._keys
        known = {*map(_public, keys.signers), *keys.retired}
        unknown = [seed for seed in former.signing if _public(seed) not in known]
        callback = keys.callback or former.callback
        is_foreign = (
            (former.token and former.token not in keys.tokens)
            or (former.callback and former.callback != callback)
            or (keys.is_settled and unknown)
        )
        if is_foreign:
            message = "a key in the bank's folder is none of the vault's"
            raise VaultFolderUnfit(message)
        keys.callback = callback or secrets.token_bytes(_SEED_BYTES)
        if keys.is_settled:
            return
        # What the bank signed with so far goes on to sign: its heads name it.
        keys.signers += unknown
        there = {seed.algorithm for seed in keys.signers}
        keys.signers += [_new_signer(name) for name in (ED25519, ML_DSA_65) if name not in there]
        keys.is_settled = True

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
            VaultRefusal: as the safe refuses; nothing was changed.
        """
        before = self._keys
        renewed = msgspec.structs.replace(
            before, tokens=[*before.tokens], signers=[*before.signers]
        )
        if which == TOKEN:
            renewed.tokens.append(secrets.token_bytes(_SEED_BYTES))
        elif which in {ED25519, ML_DSA_65}:
            renewed.signers.append(_new_signer(which))
            renewed.retire()
        elif which == SEAL and self._safe is not None:
            self._safe.renew()
        else:
            message = "there is no operational key of this name"
            raise KeyUnknown(message, field="which")
        self._keys = renewed
        try:
            self._keep()
        except (OSError, VaultRefusal):
            self._keys = before
            raise
        self._load()

    def callback_secret(self, callback: str, key: int) -> bytes:
        """The shared secret of a callback's key, 32 bytes."""
        return derive_secret(self._keys.callback, callback, key)

    def matches(
        self, callback: str, keys: Sequence[int], data: bytes, macs: Sequence[bytes]
    ) -> bool:
        """Whether one of the signatures was made with the shared secret of one of the keys."""
        return has_mac([self.callback_secret(callback, key) for key in keys], data, macs)

    def _keep(self) -> None:
        content = msgspec.msgpack.encode(self._keys)
        if self._safe is not None:
            content = self._safe.seal(content)
        self._folder.write(OPERATIONAL_FILE, content)

    def _load(self) -> None:
        self._macs = [_begun(key) for key in self._keys.tokens]
        self._active: dict[str, tuple[str, _Private]] = {}
        public = [(one, False) for one in self._keys.retired]
        for signer in self._keys.signers:
            told = _public(signer)
            self._active[signer.algorithm] = (_id_of(told), signer.private())
            public.append((told, True))
        self._public = tuple(
            SigningKey(one.algorithm, _id_of(one), one.public, is_active=is_active)
            for one, is_active in public
        )


def _public(seed: SigningSeed) -> _Public:
    return _Public(seed.algorithm, seed.private().public_key().public_bytes_raw())


def _id_of(key: _Public) -> str:
    return hashlib.sha256(key.algorithm.encode() + b"\x00" + key.public).hexdigest()[:32]


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
