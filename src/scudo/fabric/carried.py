"""What the conveyor carries, what it carries it to, and how requests are told apart."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Protocol

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.fabric.log.batch import Entry
from scudo.fabric.log.errors import IdempotencyKeyReused
from scudo.fabric.log.model import Answer, Command
from scudo.fabric.lookup import Lookup
from scudo.fabric.web.errors import status_of
from scudo.fabric.web.problem import encode_problem
from scudo.fabric.writer import Store
from scudo.kernel import Refusal

_DIGEST_BYTES: Final = 16
_decode: Final = msgspec.msgpack.Decoder().decode


class Application(Protocol):
    """What the conveyor carries requests to: the rooms, put together by bootstrap."""

    @property
    def stores(self) -> Sequence[Store]:
        """The rooms' unchained writes, in lock order."""

    @property
    def known_until(self) -> int:
        """Log time, microseconds, up to which all that expires is known in memory."""

    def prepare(self, lookup: Lookup, commands: Sequence[Command], *, until: int) -> Iterator[None]:
        """Ask for what these commands refer to and memory does not hold.

        And for what expires until they are decided, about at `until`: all of it, or as much
        as memory takes at once; `known_until` says which.

        Yields whenever what was asked must be answered before it can go on. What it finds in
        memory stays there until the commands are decided; by then it may have been called once
        more, for the commands after them.
        """

    def apply(self, command: Command, entry: Entry) -> Answer:
        """Work on one command: change state in memory, add events and rows, answer.

        Raises:
            Refusal: all that the entry did is then taken back.
        """

    def refuse(self, command: Command, refusal: Refusal, entry: Entry) -> None:
        """Record a refusal by an event, if it concerns money; otherwise do nothing."""

    def has_due(self, now: int) -> bool:
        """Whether `due` would give a command."""

    def due(self, now: int) -> Command | None:
        """The next command that time itself gives (an expiry) at or before `now`.

        Of what is known in memory.
        """

    def begin(self) -> None:
        """A batch begins, perhaps on top of one that is being committed.

        Changes of state from here on can be taken back.
        """

    def hand_over(self) -> None:
        """The batch goes to the database as it stands; another may begin on top of it."""

    def committed(self) -> None:
        """The oldest open batch is in the database: its changes stand."""

    def aborted(self) -> None:
        """The newest open batch has been undone: nothing of it may remain."""

    async def reload(self, connection: AsyncConnection[TupleRow]) -> None:
        """Drop every cache of stored state, and load again what must be in memory."""


@dataclass(slots=True, eq=False)
class Item:
    """One command on its way.

    Attributes:
        command: in canonical form.
        client: id of the sender; 0 for the bank itself.
        owner: whose objects the command may touch; None: everybody's.
        key: digest of client and Idempotency-Key; None for commands that need none.
        request: digest of the canonical command.
        at: log time that a replayed file asks for; None for live traffic.
        is_timers: whether nobody asked for it: then it is dated as the log is, whoever drives
            its clock, and does not make the clock anybody's.
        answer: resolved after the commit.
    """

    command: Command
    client: int
    owner: int | None
    key: bytes | None
    request: bytes
    at: int | None
    answer: asyncio.Future[Answer]
    is_timers: bool = False


@dataclass(slots=True)
class Tally:
    """What the conveyor has done since it started, for metrics and benchmarks."""

    batches: int = 0
    entries: int = 0
    replayed: int = 0
    refused: int = 0
    poisoned: int = 0
    bisected: int = 0
    recovered: int = 0
    evaluate_ns: int = 0
    commit_ns: int = 0
    largest: int = 0


@dataclass(slots=True)
class Limits:
    """How much the conveyor takes.

    Attributes:
        batch: items committed together at the most.
        queue: items waiting at the most; more are refused with `overloaded`.
        looks_ahead: whether the next batch is decided while one is committed.
    """

    batch: int = 256
    queue: int = 4_096
    looks_ahead: bool = True


def refused(refusal: Refusal) -> Answer:
    """The answer that a refusal gives, now and for every repetition."""
    return Answer(status_of(type(refusal)), encode_problem(refusal))


def idempotency_digest(client: int, key: str) -> bytes:
    """What an Idempotency-Key is stored as: 16 bytes over the client and its key."""
    return blake2b(f"{client}\x00{key}".encode(), digest_size=_DIGEST_BYTES).digest()


def request_digest(command: Command) -> bytes:
    """What a repeated request is compared by: 16 bytes over the canonical command."""
    return blake2b(msgspec.msgpack.encode(command), digest_size=_DIGEST_BYTES).digest()


def fields(command: Command) -> list[object]:
    """A command as it is stored: its tag and its members, in order."""
    decoded: list[object] = _decode(msgspec.msgpack.encode(command))
    return decoded


def repeat(item: Item, request: bytes, earlier: list[object], answer: Answer) -> Answer:
    """Answer a key that was answered before: the same answer, or what differs."""
    if request == item.request:
        return answer
    again = fields(item.command)
    names = ("kind", *item.command.__struct_fields__)
    differing = next(
        (name for name, old, new in zip(names, earlier, again, strict=False) if old != new),
        "kind",
    )
    message = f"this Idempotency-Key was used for a request with another {differing}"
    return refused(IdempotencyKeyReused(message, field=differing))
