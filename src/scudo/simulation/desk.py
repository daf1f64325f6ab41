"""Where simulated and recorded traffic is handed in: the writer's own queue, in order."""

from asyncio import Future
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Protocol
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.decisions import Outcome, read_decisions
from scudo.fabric import (
    Answer,
    Command,
    Head,
    Tokens,
    idempotency_digest,
    queries,
)

_LOG: Final = queries("scudo.fabric")


class Desk(Protocol):
    """One client's place at a bank: hands in commands in order, and looks up what was answered."""

    @property
    def look_up(self) -> int:
        """Keys that are asked for at once."""

    @property
    def pages_under_way(self) -> int:
        """Pages of commands that are handed in beyond the one that is waited for."""

    def head(self) -> Head | None:
        """Where the log stands; None if the bank does not tell."""

    async def tokens(self, named: Sequence[tuple[str, str]]) -> Sequence[int]:
        """Tokens of values, each named with its kind, in their order."""

    def send(self, command: Command, *, key: str, at: int) -> Future[Answer]:
        """Hand in a command for an instant of the log (microseconds)."""

    async def are_answered(self, keys: Sequence[str]) -> list[bool]:
        """Tell for each key whether it has an answer."""

    async def answers(self, keys: Sequence[str]) -> list[Answer]:
        """What was answered under these keys, all of which have an answer."""

    def decided(self, *, first: int, last: int) -> AsyncIterator[tuple[int, Outcome, int | None]]:
        """Read decisions in order: id, outcome, microseconds that it took if they are known."""


class Queue(Protocol):
    """Hands a command to the one writer; commands that are queued in order are decided in order."""

    def __call__(
        self, command: Command, *, client: int, key: str | None, at: int | None
    ) -> Future[Answer]:
        """Queue a command; its answer comes after the commit."""


class OwnDesk:
    """One client's place at a bank of this process."""

    look_up: Final = 4_096
    #: Enough that the conveyor finds a full batch whenever it has committed one.
    pages_under_way: Final = 3

    def __init__(
        self,
        queue: Queue,
        *,
        client: int,
        head: Callable[[], Head | None],
        tokens: Tokens,
        connection: AsyncConnection[TupleRow],
    ) -> None:
        """Take a place.

        Args:
            queue: the bank's.
            client: whose keys are used; the same for every run of the same file.
            head: tells where the log stands.
            tokens: the bank's.
            connection: for reads beside the writer.
        """
        self._queue = queue
        self._client = client
        self._connection = connection
        self.head = head
        self._tokens = tokens

    async def tokens(self, named: Sequence[tuple[str, str]]) -> Sequence[int]:
        """Tokens of values, each named with its kind, in their order."""
        return await self._tokens.tokens(named)

    def send(self, command: Command, *, key: str, at: int) -> Future[Answer]:
        """Queue a command at an instant of the log (microseconds)."""
        return self._queue(command, client=self._client, key=key, at=at)

    async def are_answered(self, keys: Sequence[str]) -> list[bool]:
        """Tell for each key whether it has an answer."""
        digests = [idempotency_digest(self._client, key) for key in keys]
        positions = await self._positions(digests)
        return [digest in positions for digest in digests]

    async def answers(self, keys: Sequence[str]) -> list[Answer]:
        """What was answered under these keys, all of which have an answer."""
        digests = [idempotency_digest(self._client, key) for key in keys]
        positions = await self._positions(digests)
        cursor = await self._connection.execute(
            _LOG["find_answers"], {"positions": list(positions.values())}, binary=True
        )
        answers = {
            position: Answer(status, body) for position, status, _, body in await cursor.fetchall()
        }
        return [answers[positions[digest]] for digest in digests]

    async def _positions(self, digests: Sequence[bytes]) -> dict[bytes, int]:
        cursor = await self._connection.execute(
            _LOG["find_keys"], {"keys": [UUID(bytes=digest) for digest in digests]}, binary=True
        )
        return {key.bytes: position for key, _, position in await cursor.fetchall()}

    async def decided(
        self, *, first: int, last: int
    ) -> AsyncIterator[tuple[int, Outcome, int | None]]:
        """Read decisions in order: id, outcome, microseconds that it took."""
        async for number, record in read_decisions(self._connection, after=first - 1, through=last):
            yield number, record.outcome, sum(record.elapsed_us)
