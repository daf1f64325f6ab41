"""Replays a file of card transactions through the bank's own path, in the file's time.

The file is cut into stages at fixed rows. Before the transactions of a stage, customers
and merchants that first appear in it are registered, get accounts, and the payers are
funded; so what is in the log does not depend on where a run was interrupted. Every
command has a key made of the file and the row: running twice moves nothing twice, and a
second run finds by the keys where the first one stopped.
"""

import asyncio
import gc
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import msgspec

from scudo.decisions import Channel
from scudo.fabric import AHEAD_US, Answer, ClockIsLive, Command, LogPastTime
from scudo.identity import CustomerKind, RegisterCustomer
from scudo.kernel import Prefix, currency, ids
from scudo.ledger import Mandate, Movement, Nature, OpenAccount, PostJournal, Product, TransferKind
from scudo.payments import AuthoriseCard
from scudo.simulation.desk import Desk
from scudo.simulation.errors import FileOutOfTime, ReplayStopped
from scudo.simulation.report import Report, Tally
from scudo.simulation.transactions import Transaction, TransactionFile

#: Commands handed in together.
PAGE: Final = 1_000
#: Stages begin at these rows, and from the last of them on at every multiple of it.
_STAGES: Final = (0, 1_000, 10_000, 50_000, 100_000)
#: A journal that funds moves so many times at the most.
_MOVEMENTS: Final = 500
#: Customers get what they will spend in a stage, rounded up to this (100 euros), and as much again.
_ROUND: Final = 10_000
_CREATED: Final = 201
_FAULTS: Final = 500
_CONFLICT: Final = 409
_OUT_OF_TIME: Final = frozenset({ClockIsLive.code, LogPastTime.code})
_EURO: Final = currency("EUR").numeric


class _Born(msgspec.Struct):
    id: str


_born: Final = msgspec.json.Decoder(_Born).decode


class _Problem(msgspec.Struct):
    code: str = "unknown"
    detail: str = ""


_problem: Final = msgspec.json.Decoder(_Problem).decode


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay has come: rows answered, of how many, and how many by earlier runs."""

    done: int
    of: int
    earlier: int


Watch = Callable[[Progress], None]
_Step = tuple[Command, str, int]


class Replay:
    """One run over one file.

    Attributes:
        rows: how many rows are wanted.

    Call `stop` to have it finish what is under way and leave; `is_complete` tells
    afterwards whether the whole file has been answered.
    """

    def __init__(self, file: TransactionFile, desk: Desk, *, limit: int | None = None) -> None:
        """Prepare to replay the first `limit` rows of a file; None is all of it."""
        self._file = file
        self._desk = desk
        self.rows = file.count if limit is None else min(limit, file.count)
        self._accounts: dict[str, dict[int, int]] = {"customer": {}, "terminal": {}}
        self._cards: dict[int, int] = {}
        self._merchants: dict[int, int] = {}
        self._tally = Tally(self.rows)
        self._stopping = False
        self._done = 0

    def stop(self) -> None:
        """Finish the pages under way, then let `run` return."""
        self._stopping = True

    @property
    def is_complete(self) -> bool:
        """Whether every row has its answer."""
        return self._done == self.rows

    async def run(self, watch: Watch) -> Report:
        """Send what has not been answered, and report on every row answered so far.

        Raises:
            ClockIsLive: live traffic has run in this bank.
            FileOutOfTime: the log is past the time at which the file goes on.
            ReplayStopped: the bank could not take an event.
        """
        earlier = self._done = await self._earlier()
        await asyncio.to_thread(self._check_clock, earlier)
        with _collector_off():
            began = perf_counter()
            await self._send(watch, earlier)
            elapsed = perf_counter() - began
        await self._recall(min(earlier, self.rows))
        first, last = self._tally.span(self._done)
        report = await self._tally.report(
            self._desk.decided(first=first, last=last), rows=self._done
        )
        sent = self._done - earlier
        report.rate = round(sent / elapsed, 1) if sent else 0.0
        return report

    def _key(self, transaction: int) -> str:
        return f"{self._file.fingerprint}:{transaction}"

    # ---- where an earlier run stopped

    async def _earlier(self) -> int:
        """How many rows, from the first on, have been answered.

        Rows are answered in order, so the end is found by narrowing. What was under way
        when a run was cut short is looked at row by row: a page may have had a fault.
        """
        start, stop, width = 0, self.rows, self._desk.look_up
        while stop - start > width:
            step = -(-(stop - start) // width)
            probes = list(range(start, stop, step))
            known = await self._are_answered(self._file.identify(probes))
            count = known.index(False) if False in known else len(known)
            start, stop = (
                probes[count - 1] if count else start,
                probes[count] if count < len(probes) else stop,
            )
        start = max(0, start - PAGE * (self._desk.pages_under_way + 1))
        known = await self._are_answered(self._file.identify_range(start, stop))
        return start + (known.index(False) if False in known else len(known))

    async def _are_answered(self, transactions: list[int]) -> list[bool]:
        return await self._desk.are_answered([self._key(number) for number in transactions])

    def _check_clock(self, earlier: int) -> None:
        head = self._desk.head()
        if head is None:
            return
        if head.clock == "live":
            message = "live traffic has run in this bank; a file cannot drive its clock"
            raise ClockIsLive(message)
        if earlier < self.rows and head.ordered_at > self._file.instant(earlier) + AHEAD_US:
            message = "the log of this bank is past the time of the file's next transaction"
            raise FileOutOfTime(message)

    async def _recall(self, rows: int) -> None:
        """Read the answers and labels of the rows that earlier runs sent."""
        row = 0
        for page in self._file.rows(0, rows, page=PAGE):
            answers = await self._desk.answers([self._key(found.id) for found in page])
            for found, answer in zip(page, answers, strict=True):
                self._note(row, found, answer)
                row += 1

    # ---- sending

    async def _send(self, watch: Watch, earlier: int) -> None:
        if earlier == self.rows:
            watch(Progress(self.rows, self.rows, earlier))
            return
        for start, stop in _stages(self._file.count):
            if start >= self.rows or self._stopping:
                return
            await self._prepare(start, stop, is_funded=stop <= earlier)
            first = max(start, earlier)
            if first < stop:
                await self._send_rows(first, min(stop, self.rows), watch=watch, earlier=earlier)

    async def _send_rows(self, start: int, stop: int, *, watch: Watch, earlier: int) -> None:
        under_way: deque[tuple[list[Transaction], list[asyncio.Future[Answer]]]] = deque()
        send, command, prefix = self._desk.send, self._command, f"{self._file.fingerprint}:"
        for page in self._file.rows(start, stop, page=PAGE):
            under_way.append(
                (page, [send(command(t), key=f"{prefix}{t.id}", at=t.at) for t in page])
            )
            if len(under_way) > self._desk.pages_under_way:
                await self._take(*under_way.popleft())
                watch(Progress(self._done, self.rows, earlier))
            if self._stopping:
                break
        while under_way:
            await self._take(*under_way.popleft())
            watch(Progress(self._done, self.rows, earlier))

    async def _take(self, page: list[Transaction], futures: list[asyncio.Future[Answer]]) -> None:
        # Answers come in the order of the queue: when the last is there, all are.
        await futures[-1]
        row = self._done
        for found, future in zip(page, futures, strict=True):
            answer = await future
            if answer.status >= _FAULTS or _is_out_of_time(answer):
                raise ReplayStopped(_words(answer, f"transaction {found.id}"))
            self._note(row, found, answer)
            row += 1
        self._done = row

    def _note(self, row: int, found: Transaction, answer: Answer) -> None:
        self._tally.label(row, found.scenario)
        self._tally.answer(row, answer)

    def _command(self, found: Transaction) -> AuthoriseCard:
        return AuthoriseCard(
            self._accounts["customer"][found.customer],
            found.amount,
            _EURO,
            self._cards[found.customer],
            self._merchants[found.terminal],
            self._accounts["terminal"][found.terminal],
            None,
            None,
            None,
            None,
            None,
            None,
            Channel.CARD_PRESENT,
            True,  # noqa: FBT003 - one of a node's members
            0,
            None,
        )

    # ---- customers, merchants and money

    async def _prepare(self, start: int, stop: int, *, is_funded: bool) -> None:
        at = self._file.instant(start)
        spent = self._file.customers(start, stop)
        payers = await self._open("customer", [number for number, _ in spent], at)
        await self._open("terminal", self._file.terminals(start, stop), at)
        shops = self._accounts["terminal"].keys() - self._merchants.keys()
        self._cards |= await self._tokens("card", "handbook:card", payers)
        self._merchants |= await self._tokens("merchant", "handbook:terminal", shops)
        if not is_funded:
            await self._all(self._funding(start, spent, at))

    async def _tokens(self, kind: str, prefix: str, numbers: Collection[int]) -> dict[int, int]:
        """Token of each numbered card or terminal."""
        tokens = await self._desk.tokens([(kind, f"{prefix}:{number}") for number in numbers])
        return dict(zip(numbers, tokens, strict=True))

    async def _open(self, kind: str, numbers: list[int], at: int) -> list[int]:
        accounts = self._accounts[kind]
        new = [number for number in numbers if number not in accounts]
        is_person = kind == "customer"
        party = CustomerKind.PERSON if is_person else CustomerKind.BUSINESS
        product = Product.CURRENT if is_person else Product.MERCHANT
        owners = await self._births(
            Prefix.CUSTOMER,
            (
                (RegisterCustomer(name, party, None), name, at)
                for name in (f"handbook:{kind}:{number}" for number in new)
            ),
        )
        opened = await self._births(
            Prefix.ACCOUNT,
            (
                (
                    OpenAccount(owner, _EURO, product, Nature.CREDIT, 0, 0),
                    f"handbook:{kind}:{number}:account",
                    at,
                )
                for number, owner in zip(new, owners, strict=True)
            ),
        )
        accounts.update(zip(new, opened, strict=True))
        return new

    def _funding(self, start: int, spent: list[tuple[int, int]], at: int) -> Iterator[_Step]:
        moves = [
            Movement(
                TransferKind.POST,
                (amount // _ROUND + 2) * _ROUND,
                _EURO,
                debit=0,
                credit=self._accounts["customer"][number],
            )
            for number, amount in spent
        ]
        for part in range(0, len(moves), _MOVEMENTS):
            name = f"{self._file.fingerprint}:funding:{start}:{part}"
            yield (
                PostJournal(Mandate.FUNDING, tuple(moves[part : part + _MOVEMENTS]), name),
                name,
                at,
            )

    async def _births(self, prefix: Prefix, steps: Iterable[_Step]) -> list[int]:
        return [ids.parse(prefix, _born(answer.body).id) for answer in await self._all(steps)]

    async def _all(self, steps: Iterable[_Step]) -> list[Answer]:
        """Hand steps in, page by page, and return their answers, in order.

        Raises:
            ReplayStopped: one of them was refused.
        """
        answers: list[Answer] = []
        under_way: deque[asyncio.Future[Answer]] = deque()
        for command, key, at in steps:
            under_way.append(self._desk.send(command, key=key, at=at))
            if len(under_way) > PAGE * (self._desk.pages_under_way + 1):
                answers.extend([await under_way.popleft() for _ in range(PAGE)])
        answers.extend([await future for future in under_way])
        for answer in answers:
            if answer.status != _CREATED:
                raise ReplayStopped(_words(answer, "opening an account"))
        return answers


def _stages(rows: int) -> Iterator[tuple[int, int]]:
    """First row and end of every stage of a file; the same however many rows are wanted."""
    starts = [start for start in _STAGES if start < rows]
    starts += range(2 * _STAGES[-1], rows, _STAGES[-1])
    yield from zip(starts, [*starts[1:], rows], strict=True)


def _is_out_of_time(answer: Answer) -> bool:
    """Whether the log's clock is not the file's any more: somebody else has asked meanwhile."""
    return answer.status == _CONFLICT and _problem(answer.body).code in _OUT_OF_TIME


def _words(answer: Answer, what: str) -> str:
    problem = _problem(answer.body)
    return f"{what} met {problem.code}: {problem.detail}"


@contextmanager
def _collector_off() -> Iterator[None]:
    """Switch Python's cyclic collector off, and collect once at the end.

    The features' state is millions of objects that live on; looking through them again
    and again would stop the loop for long, and the hot path makes no cycles to find.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
        gc.collect()
