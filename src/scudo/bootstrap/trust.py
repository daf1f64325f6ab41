"""Who makes tokens, signs and proves callbacks in the bank's name: its vault, or files."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scudo.fabric import Tokeniser, Tokens, load_key
from scudo.governance import KeyFiles, Signer, VaultSigner, callbacks
from scudo.vault import (
    OPERATIONAL_FILE,
    Address,
    AsyncVaultClient,
    VaultClient,
    VaultTokens,
    VaultUnavailable,
)

TOKEN_KEY: Final = "token.key"  # noqa: S105 - a file name
CALLBACK_KEY: Final = "callback.key"
SIGNING_KEYS: Final = "keys"
VAULT: Final = "vault"


@dataclass(frozen=True, slots=True)
class Trust:
    """Makers of tokens and signatures, and the vault behind them.

    Attributes:
        callbacks: knows the shared secrets of inbound callbacks.
        vault: asks for everything else; None: this bank has no vault.
    """

    tokens: Tokens
    signer: Signer
    callbacks: callbacks.Secrets
    vault: AsyncVaultClient | None = None


def trust_in_files(home: Path) -> Trust:
    """Hold the keys ourselves, for tests and tools on a bank that never had a vault.

    Raises:
        VaultUnavailable: the keys are the vault's by now. Others in their place would break
            every token and the chain of signing keys.
    """
    if _is_vaulted(home):
        message = "this bank's keys are in its vault, which was not asked"
        raise VaultUnavailable(message)
    return Trust(
        Tokeniser(load_key(home / TOKEN_KEY)),
        KeyFiles(home / SIGNING_KEYS),
        callbacks.HeldSecrets(load_key(home / CALLBACK_KEY)),
    )


@contextlib.asynccontextmanager
async def trust_in_vault(address: Address) -> AsyncIterator[Trust]:
    """Ask the vault that answers at an address; this process holds no key.

    Args:
        address: it need not answer yet, and may stop to: what needs it is refused meanwhile.
    """
    async with AsyncVaultClient(address) as client:
        with VaultClient(address) as for_signing:
            yield Trust(
                VaultTokens(client),
                VaultSigner(for_signing),
                callbacks.VaultSecrets(client),
                client,
            )


def _is_vaulted(home: Path) -> bool:
    try:
        return (home / VAULT / OPERATIONAL_FILE).exists()
    except PermissionError:
        # The folder is another user's: the vault's.
        return True
