"""Texts of payments, handed to the vault by a process that works on many requests at once."""

import asyncio
from collections.abc import Sequence

from scudo.vault.answers import TextKept
from scudo.vault.client import AsyncVaultClient
from scudo.vault.errors import VaultRefusal
from scudo.vault.wire import TEXTS_MAX, KeepTexts, NewText

_Named = tuple[str, str]
_Kept = tuple[TextKept, tuple[int, ...]]


class VaultTexts:
    """Hands texts over: one message for all requests of a turn of the event loop.

    The tokens that the same requests need go along, so that none of them waits for two answers.
    Requests without a text have a message of their own (`VaultTokens`): they do not wait for the
    vault's disk.
    """

    def __init__(self, client: AsyncVaultClient) -> None:
        """Ask through a client, which stays its owner's to close."""
        self._client = client
        self._waiting: list[tuple[NewText, tuple[_Named, ...], asyncio.Future[_Kept]]] = []
        #: Asyncio holds tasks by a weak hand only.
        self._asking: set[asyncio.Task[None]] = set()

    async def keep(self, text: NewText, named: Sequence[_Named]) -> tuple[TextKept, list[int]]:
        """Have a text kept, and tokens made of values, each named with its kind.

        Returns:
            What is known of the text, and the tokens in the order of the values.

        Raises:
            VaultUnavailable: the vault does not answer.
            VaultQuota: more is asked of the vault than it allows.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            # After everything that is ready now: whatever asks in this turn goes along.
            loop.call_soon(self._send)
        waiter: asyncio.Future[_Kept] = loop.create_future()
        self._waiting.append((text, tuple(named), waiter))
        kept, tokens = await waiter
        return kept, list(tokens)

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), TEXTS_MAX):
            task = asyncio.create_task(self._carry(waiting[start : start + TEXTS_MAX]))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _carry(
        self, waiting: Sequence[tuple[NewText, tuple[_Named, ...], asyncio.Future[_Kept]]]
    ) -> None:
        request = KeepTexts(
            tuple(text for text, _, _ in waiting),
            tuple(one for _, named, _ in waiting for one in named),
        )
        try:
            answer = await self._client.ask(request)
        except VaultRefusal as refused:
            for _, _, waiter in waiting:
                if not waiter.done():
                    waiter.set_exception(type(refused)(refused.message, field=refused.field))
            return
        tokens = iter(answer.tokens)
        for (_, named, waiter), kept in zip(waiting, answer.texts, strict=True):
            made = tuple(next(tokens) for _ in named)
            if not waiter.done():
                waiter.set_result((kept, made))
