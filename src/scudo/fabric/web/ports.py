"""What routes need from the rest of the process; bootstrap gives it."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Final, Protocol

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.fabric.log.errors import (
    BankUnavailable,
    ClockIsLive,
    IdempotencyKeyReused,
    LogPastTime,
    OutcomeUnknown,
    Overloaded,
    RequestPoisoned,
    WriterFenced,
)
from scudo.fabric.log.model import Answer, Command
from scudo.fabric.web.operation import Call, Reply
from scudo.kernel import Refusal


class Submit(Protocol):
    """Hands a command to the one writer, and waits for its commit."""

    def __call__(self, command: Command, call: Call) -> Awaitable[Answer]:
        """Give the answer, refusals included; key, client and time are the call's."""


#: Opens a connection for reading what is committed, in autocommit mode.
Reads = Callable[[], AbstractAsyncContextManager[AsyncConnection[TupleRow]]]

#: Says what time it is, aware and in UTC.
Clock = Callable[[], datetime]

#: What any command may be refused with, beside its own reasons.
SUBMIT_REFUSALS: Final[tuple[type[Refusal], ...]] = (
    BankUnavailable,
    ClockIsLive,
    IdempotencyKeyReused,
    LogPastTime,
    OutcomeUnknown,
    Overloaded,
    RequestPoisoned,
    WriterFenced,
)

#: What any query may be refused with, beside its own reasons.
READ_REFUSALS: Final[tuple[type[Refusal], ...]] = (BankUnavailable,)


async def submitted(submit: Submit, command: Command, call: Call) -> Reply:
    """Submit a command, and reply with what it was answered, byte for byte."""
    answer = await submit(command, call)
    return Reply(answer.status, answer.body)
