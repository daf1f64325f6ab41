"""Who may have a new root made: keepers, and once two people can decide, by their approval.

The vault takes nobody's word for it. What was approved stands in the bank's log, and the vault
reads it there: which root is replaced, and what opens the new one. So an approval is good for one
rotation: afterwards the root that it names is one no more.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from scudo.fabric import queries
from scudo.kernel import instant
from scudo.vault import answers, wire
from scudo.vault.database import Database
from scudo.vault.errors import RootUnapproved
from scudo.vault.hsm import HsmUri
from scudo.vault.model import Clock
from scudo.vault.ring import Ring

_SQL: Final = queries("scudo.vault", "roots.sql")
_log = structlog.get_logger("scudo.vault")
#: So long after it was given an approval is good (microseconds).
_GOOD_US: Final = 24 * 3_600 * 1_000_000
#: What opens a root: shares, their threshold, and the token that has it.
_Opened = tuple[int, int, str]
_DEVELOPMENT: Final[_Opened] = (0, 0, "")


class RootDesk:
    """Has roots made and used."""

    def __init__(self, database: Database, ring: Ring, clock: Clock) -> None:
        """Work on a ring, and ask a database what was approved."""
        self._database = database
        self._ring = ring
        self._clock = clock

    @property
    def handlers(self) -> dict[type, Callable[[Any], Awaitable[answers.Answer]]]:
        """What answers each kind of request."""
        return {
            wire.PrepareRoot: self._prepare,
            wire.PrepareDevelopmentRoot: self._prepare_development,
            wire.PrepareHsmRoot: self._prepare_in_token,
            wire.CommitRoot: self._commit,
        }

    async def _prepare(self, request: wire.PrepareRoot) -> answers.RootPrepared:
        await self._demand_approved(request.approval, (request.shares, request.threshold, ""))
        made = self._ring.prepare_root(
            shares=request.shares,
            threshold=request.threshold,
            now=self._clock.monotonic_us(),
            approval=request.approval,
        )
        return answers.RootPrepared(made.shares, request.threshold)

    async def _prepare_development(
        self, _request: wire.PrepareDevelopmentRoot
    ) -> answers.RootPrepared:
        await self._demand_approved(0, _DEVELOPMENT)
        self._ring.prepare_development_root(now=self._clock.monotonic_us())
        return answers.RootPrepared((), 0)

    async def _prepare_in_token(self, request: wire.PrepareHsmRoot) -> answers.RootPrepared:
        await self._demand_approved(request.approval, (0, 0, str(HsmUri.parse(request.uri))))
        place = await self._ring.prepare_hsm_root(
            request.uri,
            pin=request.pin,
            now=self._clock.monotonic_us(),
            approval=request.approval,
        )
        return answers.RootPrepared((), 0, place)

    async def _commit(self, _request: wire.CommitRoot) -> answers.Done:
        at = instant(self._clock.wall_us())
        await self._ring.commit_root(now=self._clock.monotonic_us(), at=at)
        _log.warning("a new root is in use", development=self._ring.is_development)
        return answers.Done()

    async def _demand_approved(self, approval: int, opened: _Opened) -> None:
        """Refuse to replace a root without two people's approval, once there are two.

        Raises:
            RootUnapproved: none is named, or it is not of this, was not given, or is too old.
        """
        root = self._ring.root_id.hex()
        if not root:
            return
        async with self._database.connection() as connection:
            cursor = await connection.execute(_SQL["root_permission"], {"approval": approval})
            row = await cursor.fetchone()
        assert row is not None, "a function has an answer"
        needs_two, replaced, shares, threshold, token, given_at = row
        approved = (shares, threshold, str(HsmUri.parse(token)) if token else "")
        fault = None
        if needs_two and not approval:
            fault = "two people decide on a new root"
        elif (needs_two or approval) and given_at is None:
            fault = "this approval of a new root was not given"
        elif approval and replaced != root:
            fault = "this approval was used, or is of another root"
        elif approval and approved != opened:
            fault = "this approval is of a root that is opened otherwise"
        elif approval and self._clock.wall_us() - given_at >= _GOOD_US:
            fault = "this approval was given more than 24 hours ago"
        if fault is not None:
            _log.warning("a new root was refused", fault=fault)
            raise RootUnapproved(fault, field="approval")
