"""Requests of the back office and their answers, masked, kept for a while.

What changes the books is in the log, command and answer, before anybody is told; this adds who
asked what else, and ties it by the trace that the answer carried. It is written aside, so that
nobody waits for it: a crash may lose the last moment of it, which evidence does not rest on.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import msgspec
import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.fabric import Tokens, queries, web
from scudo.governance.trail.masking import masked
from scudo.kernel import Refusal, instant

_SQL: Final = queries("scudo.governance", "trail.sql")
_log = structlog.get_logger("scudo.requests")
#: Rooms whose operations are the hot path; their orders are in the log as they came.
_HOT: Final = frozenset({"ledger", "payments"})
_WAITING_MAX: Final = 20_000
_PAGE: Final = 1_000
_PAUSE_S: Final = 0.25
_TEXT_MAX: Final = 4_000
_FIRST_REFUSAL: Final = 400

Connect = Callable[[], Awaitable[AsyncConnection[TupleRow]]]


class RequestTrail:
    """Keeps requests, written by a task of its own.

    Attributes:
        lost: requests that could not be kept, because too many waited.
    """

    def __init__(self, *, now: Callable[[], int], tokens: Tokens) -> None:
        """Begin with nothing.

        Args:
            now: our wall clock, microseconds since 1970.
            tokens: turns addresses into tokens; no address is ever written.
        """
        self._now = now
        self._tokens = tokens
        self._waiting: deque[dict[str, Any]] = deque()
        self.lost = 0

    def wants(self, operation: web.Operation) -> bool:
        """Whether requests for an operation are kept."""
        return operation.scope is not None and operation.tag not in _HOT

    def take(
        self,
        operation: web.Operation,
        call: web.Call,
        *,
        status: int,
        answer: bytes,
        elapsed_ns: int,
    ) -> None:
        """Keep a request that was answered, once there is time."""
        if len(self._waiting) >= _WAITING_MAX:
            self.lost += 1
            return
        asked = {
            "path": dict(call.path),
            "query": msgspec.to_builtins(call.query),
            "body": None if operation.is_raw else msgspec.to_builtins(call.body),
        }
        code, answered = "", None
        # What was read can be read again; what was done, and every refusal, is kept.
        if status >= _FIRST_REFUSAL or operation.method != "GET":
            with contextlib.suppress(msgspec.DecodeError):
                answered = msgspec.json.decode(answer)
        if status >= _FIRST_REFUSAL and isinstance(answered, dict):
            code, answered = str(answered.get("code", "")), None
        self._waiting.append(
            {
                "trace": call.trace_id,
                "at": instant(self._now()),
                "operation": operation.name,
                "actor": call.client.id,
                "actor_kind": call.client.kind,
                "network": call.arrival.network,
                "status": status,
                "code": code,
                "asked": _text({name: value for name, value in asked.items() if value}),
                "answered": _text(answered),
                "elapsed_us": elapsed_ns // 1_000,
            }
        )

    async def run(self, connect: Connect) -> None:
        """Write until cancelled; what is old is forgotten by the job of retention."""
        while True:
            try:
                async with await connect() as connection:
                    # Nobody waits for it, so the disk need not hurry.
                    await connection.execute("SET synchronous_commit = off")
                    await self._write_on(connection)
            except (psycopg.Error, OSError) as error:
                _log.warning("request_trail_interrupted", error=type(error).__name__)
                await asyncio.sleep(1)

    async def _write_on(self, connection: AsyncConnection[TupleRow]) -> None:
        while True:
            await self.flush(connection)
            await asyncio.sleep(_PAUSE_S)

    async def flush(self, connection: AsyncConnection[TupleRow]) -> None:
        """Write what waits; what cannot be written waits on."""
        while self._waiting:
            waiting = [self._waiting[n] for n in range(min(_PAGE, len(self._waiting)))]
            token_of = await self._network_tokens({row["network"] for row in waiting} - {""})
            page = [row | {"network": token_of.get(row["network"])} for row in waiting]
            async with connection.transaction():
                await connection.cursor().executemany(_SQL["add_request"], page)
            for _ in page:
                self._waiting.popleft()

    async def _network_tokens(self, networks: set[str]) -> dict[str, int]:
        """Tokens of addresses; none while whoever makes them does not."""
        with contextlib.suppress(Refusal):
            named = [("ip", network) for network in sorted(networks)]
            made = await self._tokens.tokens(named) if named else ()
            return dict(zip(sorted(networks), made, strict=True))
        return {}

    @contextlib.asynccontextmanager
    async def running(self, connect: Connect) -> AsyncIterator[None]:
        """Write as long as the block runs, and what is left at its end."""
        task = asyncio.create_task(self.run(connect))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            with contextlib.suppress(psycopg.Error, OSError):
                async with await connect() as connection:
                    await self.flush(connection)


def _text(value: object) -> str:
    if value is None or value == {}:
        return ""
    return msgspec.json.encode(masked(value)).decode()[:_TEXT_MAX]
