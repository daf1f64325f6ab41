"""A bank in this process on a test's own database, and somebody who breaks its batches."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
from tests.history.record import Try
from tests.history.workload import EUR, Workload

from scudo import governance, identity, ledger, payments
from scudo.bootstrap import Bank, open_bank
from scudo.decisions import Policy
from scudo.fabric import Command, Guarded, Limits
from scudo.fabric.postgres import Dsn

CLIENT: Final = 7
_COMMANDS: Final = (
    identity.RegisterCustomer
    | ledger.OpenAccount
    | ledger.CloseAccount
    | ledger.PostJournal
    | ledger.PostBulk
    | payments.AuthoriseCard
    | payments.Pay
    | payments.PayWithText
    | payments.Capture
    | payments.Reverse
    | payments.RaiseAuthorisation
    | payments.ReleasePayment
    | payments.CancelPayment
    | payments.AnswerChallenge
    | governance.ApproveMandate
)
#: How a batch can be broken, after its rows are locked and before the log's head is.
FAILURES: Final = {
    "data": "UPDATE fabric.writer SET epoch = epoch / 0",
    "disk": "UPDATE fabric.writer SET epoch = 0 WHERE fabric.demand(0, 1, '53100') IS NULL",
    "lost": "UPDATE fabric.writer SET epoch = 0 WHERE pg_terminate_backend(pg_backend_pid())",
    "stale": "UPDATE fabric.writer SET epoch = 0 WHERE false",
}


@dataclass(frozen=True)
class Borrowed:
    """A database that somebody else runs."""

    dsn: Dsn

    def start(self) -> Dsn:
        return self.dsn

    def stop(self, mode: str = "fast") -> bool:
        return False


@dataclass
class Saboteur:
    """A room's store that breaks the next batches in the ways it is told."""

    ways: list[str] = field(default_factory=list)

    def locks(self) -> Iterable[Guarded]:
        if self.ways:
            yield Guarded(FAILURES[self.ways.pop()], {}, 1)

    def copies(self) -> Iterable[tuple[Any, Sequence[bytes]]]:
        return ()

    def committed(self) -> None:
        """Nothing to do."""

    begin = hand_over = aborted = forget = committed


@contextlib.asynccontextmanager
async def opened(
    dsn: Dsn,
    home: Path,
    *,
    prepare: Callable[[Bank], None] = lambda _: None,
    batch: int = 64,
    policy: Policy | None = None,
) -> AsyncIterator[tuple[Bank, Saboteur]]:
    """Open a bank with a saboteur in it; `prepare` may change it before it works."""
    limits = Limits(batch=batch)
    async with open_bank(
        Borrowed(dsn), home=home, description="a test", limits=limits, policy=policy
    ) as bank:
        saboteur = Saboteur()
        bank.rooms._stores = (*bank.rooms._stores, saboteur)
        prepare(bank)
        yield bank, saboteur


class Driver:
    """Sends a seeded workload to a bank, in batches, and writes down what it is told."""

    def __init__(self, seed: int, *, clock: int | None = None) -> None:
        """Start; `clock` drives the log's time as a file does, microseconds."""
        self.random = Random(seed)
        #: Apart, so that what else is sent does not depend on who writes to whom.
        self.words = Random(seed)
        self.clock = clock
        now = clock or time.time_ns() // 1_000
        self.workload = Workload(self.random, name=f"s{seed}", now=now)
        self.tries: list[Try] = []
        self.sent: list[tuple[list[Any], str]] = []

    async def setup(self, bank: Bank, *, accounts: int = 6) -> None:
        """Register customers, open accounts and put money on them."""
        for number in range(accounts):
            await self.send(bank, [[101, f"{self.workload.name}-customer-{number}", 1, 380]])
        customers = self.workload.customers
        await self.send(bank, [[201, customers[n], EUR, 100, 2, 0, 0] for n in range(accounts)])
        rich = [[1, 10**6, EUR, 0, number, 0, True, 0, 0, 0] for number in self.workload.accounts]
        await self.send(bank, [[203, 1, rich, "opening"]])
        await self.send(bank, self.workload.new_mandates())

    async def work(self, bank: Bank, *, count: int) -> None:
        """Send some commands at once, a third of them with an earlier key."""
        await self.send(bank, [self.worded(self.workload.next()) for _ in range(count)])

    def worded(self, command: list[Any]) -> list[Any]:
        """Send a text along with every third payment between accounts."""
        if command[0] != 402 or self.words.random() < 0.7:
            return command
        return [411, *command[1:], self.words.getrandbits(62) + 1, self.words.choice((0, 2, 128))]

    async def send(self, bank: Bank, commands: list[list[Any]]) -> list[Try]:
        """Send commands together; some of them as replays, some of those altered."""
        pairs = []
        for command in commands:
            if self.sent and self.random.random() < 0.3 and len(self.sent) > 10:
                old, key = self.random.choice(self.sent[-60:])
                is_altered = self.random.random() < 0.3
                pairs.append((self.workload.altered(old) if is_altered else old, key))
            pairs.append((command, f"{self.workload.name}-{len(self.sent)}"))
            self.sent.append(pairs[-1])
            if self.random.random() < 0.05:
                pairs.append(pairs[-1])
        return await self.exchange(bank, pairs)

    def tick(self) -> int | None:
        """A moment later, by the file's clock."""
        if self.clock is not None:
            self.clock += self.random.choice((0, 1, 1_000))
            self.workload.now = self.clock
        return self.clock

    def reseed(self, seed: int) -> None:
        """Go on with other luck."""
        self.random.seed(seed)

    async def exchange(self, bank: Bank, pairs: list[tuple[list[Any], str]]) -> list[Try]:
        """Queue commands under their keys, wait for all answers, and learn from them."""
        waiting = []
        for command, key in pairs:
            typed: Command = msgspec.convert(command, _COMMANDS)
            began = time.monotonic_ns()
            future = bank.queue(typed, client=CLIENT, key=key, at=self.tick())
            waiting.append((command, key, began, future))
        done = []
        for command, key, began, future in waiting:
            answer = await future
            ended = time.monotonic_ns()
            done.append(Try(CLIENT, command, key, began, ended, answer.status, answer.body))
            self.workload.learn(command, answer.status, msgspec.json.decode(answer.body))
        self.tries += done
        return done
