"""Who proves the senders of callbacks: their public keys, and who knows the shared secrets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from scudo import vault
from scudo.governance.callbacks.errors import CallbackForged
from scudo.governance.callbacks.keeping import CallbackKey
from scudo.governance.callbacks.signing import Algorithm, Signed

#: Of one question to the vault.
_KEYS_AT_ONCE: Final = 32


class Secrets(Protocol):
    """Knows shared secrets by callback and number of the key."""

    async def matches(
        self, callback: str, keys: Sequence[int], data: bytes, macs: Sequence[bytes]
    ) -> bool:
        """Whether one of the signatures was made with the secret of one of the keys.

        Raises:
            VaultUnavailable: who knows does not answer.
        """

    async def secret(self, callback: str, key: int) -> bytes:
        """The secret of a key, 32 bytes, for its other owner.

        Raises:
            VaultUnavailable: who knows does not answer.
        """

    async def demand_there(self) -> None:
        """See that who knows answers.

        Raises:
            VaultUnavailable: they do not.
        """


async def demand_sender(
    signed: Signed, callback: str, keys: Sequence[CallbackKey], secrets: Secrets
) -> None:
    """See that a callback was signed with one of the keys that are good.

    Raises:
        CallbackForged: no signature is right.
        VaultUnavailable: who knows the shared secrets does not answer; then it is not taken.
        VaultQuota: too many came at once.
    """
    pairs = [key.public for key in keys if key.algorithm is Algorithm.ED25519]
    shared = [key.number for key in keys if key.algorithm is Algorithm.HMAC]
    is_proven = any(signed.is_signed_by(public) for public in pairs)
    if not is_proven and shared and signed.macs:
        is_proven = await secrets.matches(callback, shared, signed.data, signed.macs)
    if not is_proven:
        text = "no signature was made with a key of this callback"
        raise CallbackForged(text, field="webhook-signature")


@dataclass(frozen=True, slots=True)
class VaultSecrets:
    """Asks the vault, which says yes or no."""

    client: vault.AsyncVaultClient

    async def matches(
        self, callback: str, keys: Sequence[int], data: bytes, macs: Sequence[bytes]
    ) -> bool:
        """Whether one of the signatures was made with the secret of one of the keys."""
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            page = tuple(keys[start : start + _KEYS_AT_ONCE])
            asked = vault.MatchCallback(callback, page, data, tuple(macs))
            if (await self.client.ask(asked)).matches:
                return True
        return False

    async def secret(self, callback: str, key: int) -> bytes:
        """The secret of a key, which the vault gives out a few times a second."""
        return (await self.client.ask(vault.ShareCallbackSecret(callback, key))).secret

    async def demand_there(self) -> None:
        """Ask how the vault is."""
        await self.client.ask(vault.Status())


@dataclass(frozen=True, slots=True, repr=False)
class HeldSecrets:
    """Derives them from a key in memory, for tests and tools on a bank that has no vault."""

    master: bytes

    async def matches(
        self, callback: str, keys: Sequence[int], data: bytes, macs: Sequence[bytes]
    ) -> bool:
        """Whether one of the signatures was made with the secret of one of the keys."""
        shared = [vault.derive_secret(self.master, callback, key) for key in keys]
        return vault.has_mac(shared, data, macs)

    async def secret(self, callback: str, key: int) -> bytes:
        """The secret of a key."""
        return vault.derive_secret(self.master, callback, key)

    async def demand_there(self) -> None:
        """We are."""
