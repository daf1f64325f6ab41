"""Looks how the vault is, every second, and tells the log when it uses other keys."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import structlog

from scudo.bootstrap import Bank
from scudo.kernel import Refusal
from scudo.vault import (
    Address,
    AsyncVaultClient,
    NoteKeys,
    Status,
    StatusShown,
    VaultRefusal,
    keys_in_use,
)

_log = structlog.get_logger("scudo.vault")

EVERY_S: Final = 1.0
_OK: Final = 200
_OPEN: Final = "open"
#: Of a vault that does not answer.
SILENT: Final = "silent"


class VaultWatch:
    """How the vault is, as it was seen a moment ago.

    Attributes:
        state: `new`, `sealed`, `open`, or `silent`.
        status: what it said last; None if it never answered.
    """

    def __init__(self, bank: Bank, client: AsyncVaultClient) -> None:
        """Watch over a client of its own, which does not wait for a vault that is away."""
        self._bank = bank
        self._client = client
        self.state = SILENT
        self.status: StatusShown | None = None

    @property
    def is_open(self) -> bool:
        """Whether it gives personal data and keys."""
        return self.state == _OPEN

    async def run(self) -> None:
        """Look again and again."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Look once."""
        try:
            status = self.status = await self._client.ask(Status())
        except VaultRefusal as refusal:
            self._see(SILENT, refusal.code)
            return
        self._see(status.state, "")
        keys = keys_in_use(status)
        with contextlib.suppress(Refusal):
            if not self._bank.rooms.vault_keys.is_known(keys):
                # Before anybody's request the log has no time yet: a file may still drive it.
                answer = await self._bank.note(NoteKeys(keys, status.root_approval))
                if answer.status != _OK:
                    _log.warning("the log was not told of the vault's keys", status=answer.status)

    def _see(self, state: str, code: str) -> None:
        if state != self.state:
            _log.warning("the vault is", state=state, before=self.state, code=code)
            self.state = state


@contextlib.asynccontextmanager
async def watched(bank: Bank, address: Address) -> AsyncIterator[VaultWatch]:
    """Watch the vault of an open bank; it was looked at once when this begins."""
    async with AsyncVaultClient(address, patience_s=0) as client:
        watch = VaultWatch(bank, client)
        await watch.look()
        watching = asyncio.create_task(watch.run())
        try:
            yield watch
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
