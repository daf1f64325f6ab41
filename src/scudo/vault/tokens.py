"""Tokens of the vault, for a process that works on many requests at once in one event loop."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from scudo.vault.client import AsyncVaultClient
from scudo.vault.errors import VaultRefusal
from scudo.vault.wire import TokeniseAll

_Named = tuple[str, str]
#: In one message: of the longest values that requests may have, its frame is full with these.
_AT_ONCE: Final = 400
#: Tokens that are kept, and for how long; see `VaultTokens`.
_RECENT_MAX: Final = 100_000
_RECENT_S: Final = 60.0


class VaultTokens:
    """Asks the vault for tokens: one message for all requests of a turn of the event loop.

    What was asked lately is remembered, for a minute at most. Whoever reads this process's
    memory sees the values of every request that comes from then on, and cannot be kept from
    asking the vault for their tokens; memory that was freed holds those of the last moments
    too, because Python overwrites none of it. What is remembered adds the last minute of the
    same, and no key: nothing by which an older token of the log leads back to its value.
    """

    def __init__(self, client: AsyncVaultClient) -> None:
        """Ask through a client, which stays its owner's to close."""
        self._client = client
        # What was asked in this half of the minute, and in the one before.
        self._recent: dict[_Named, int] = {}
        self._older: dict[_Named, int] = {}
        self._since = 0.0
        self._is_forgetting = False
        self._version = 0
        self._wanted: dict[_Named, None] = {}
        self._waiting: list[asyncio.Future[dict[_Named, int]]] = []
        #: Asyncio holds tasks by a weak hand only.
        self._asking: set[asyncio.Task[None]] = set()

    async def tokens(self, named: Sequence[_Named]) -> list[int]:
        """Tokens of values, each named with its kind, in their order.

        Raises:
            VaultUnavailable: the vault does not answer, and one of them is not remembered.
            VaultQuota: more is asked of the vault than it allows.
        """
        self._let_go()
        recent, older = self._recent, self._older
        found: dict[_Named, int] = {}
        missing = []
        for one in named:
            token = recent.get(one) or older.get(one)
            if token is None:
                missing.append(one)
            else:
                found[one] = token
        if missing:
            answered = await self._ask(missing)
            return [found.get(one) or answered[one] for one in named]
        return [found[one] for one in named]

    def _ask(self, missing: Sequence[_Named]) -> asyncio.Future[dict[_Named, int]]:
        loop = asyncio.get_running_loop()
        if not self._waiting:
            # After everything that is ready now: whatever asks in this turn goes along.
            loop.call_soon(self._send)
        self._wanted.update(dict.fromkeys(missing))
        waiter: asyncio.Future[dict[_Named, int]] = loop.create_future()
        self._waiting.append(waiter)
        return waiter

    def _send(self) -> None:
        wanted, self._wanted = tuple(self._wanted), {}
        waiting, self._waiting = self._waiting, []
        task = asyncio.create_task(self._carry(wanted, waiting))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _carry(
        self, wanted: Sequence[_Named], waiting: Sequence[asyncio.Future[dict[_Named, int]]]
    ) -> None:
        tokens: dict[_Named, int] = {}
        refusal: VaultRefusal | None = None
        try:
            for start in range(0, len(wanted), _AT_ONCE):
                by_kind: dict[str, list[str]] = defaultdict(list)
                for kind, value in wanted[start : start + _AT_ONCE]:
                    by_kind[kind].append(value)
                page = {kind: tuple(values) for kind, values in by_kind.items()}
                answer = await self._client.ask(TokeniseAll(page))
                named = [(kind, value) for kind, values in page.items() for value in values]
                tokens.update(zip(named, answer.tokens, strict=True))
                self._remember(answer.version, named, answer.tokens)
        except VaultRefusal as refused:
            refusal = refused
        for waiter in waiting:
            if waiter.done():
                continue
            if refusal is None:
                waiter.set_result(tokens)
            else:
                waiter.set_exception(type(refusal)(refusal.message, field=refusal.field))

    def _remember(self, version: int, named: Sequence[_Named], tokens: Sequence[int]) -> None:
        if version != self._version:
            # There is a new key: tokens of the old one are not made any more.
            self._version = version
            self._recent, self._older = {}, {}
        if len(self._recent) + len(named) > _RECENT_MAX // 2:
            self._older, self._recent = self._recent, {}
            self._since = asyncio.get_running_loop().time()
        self._recent.update(zip(named, tokens, strict=True))
        self._let_go_later()

    def _let_go(self) -> None:
        """Forget what is older than a minute."""
        now = asyncio.get_running_loop().time()
        if now - self._since >= _RECENT_S:
            self._older, self._recent, self._since = {}, {}, now
        elif now - self._since >= _RECENT_S / 2:
            self._older, self._recent, self._since = self._recent, {}, self._since + _RECENT_S / 2

    def _let_go_later(self) -> None:
        """Forget also when nobody asks any more."""
        if not self._is_forgetting:
            self._is_forgetting = True
            asyncio.get_running_loop().call_later(_RECENT_S / 2, self._let_go_idle)

    def _let_go_idle(self) -> None:
        self._is_forgetting = False
        self._let_go()
        if self._recent or self._older:
            self._let_go_later()
