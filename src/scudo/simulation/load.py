"""Load over HTTP: raw keep-alive connections that cost little, in a process of their own.

A general HTTP client costs more per request than the server under test. Here a request
is bytes that were made before, and of an answer only status and length are read.

Two ways to ask:
    closed loop: each connection asks again as soon as it is answered; measures capacity.
    open loop: requests are due at fixed times, whether or not earlier ones are answered,
        and latency counts from when a request was due. A server that stalls is charged
        for everybody who waited (no coordinated omission).
"""

import asyncio
import functools
import gc
import math
import multiprocessing
import ssl
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import perf_counter_ns
from typing import Final, cast

import uvloop

_SECOND_NS: Final = 1_000_000_000
_TICK_S: Final = 0.001
_RECONNECT_S: Final = 0.1
#: How long answers are waited for when the time is over.
_PATIENCE_S: Final = 10
_SAMPLES_MAX: Final = 5
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length: "
_FIRST_REFUSAL: Final = 400

#: Makes the requests to send, in order; called in the load's own process, so it and what
#: it holds must travel there (a module's function, or a `functools.partial` of one).
Requests = Callable[[], Iterator[bytes]]


class LoadFailed(Exception):
    """Raised when a load gave no result; the process that ran it has said why."""


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Files by which connections are made over mutual TLS: the CA, and the client's own."""

    trusted: str
    certificate: str
    key: str

    def context(self) -> ssl.SSLContext:
        """TLS of every connection."""
        context = ssl.create_default_context(cafile=self.trusted)
        context.load_cert_chain(self.certificate, self.key)
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to ask.

    Attributes:
        host, port: of the server.
        connections: at the same time.
        seconds: how long is measured.
        rate: requests a second in the open loop; None is the closed loop.
        warm_up_s: before the measurement, in the same way.
        marks: answers that contain these bytes are counted by them.
        tls: by which files connections are secured; None: they are plain.
    """

    host: str
    port: int
    connections: int
    seconds: int
    rate: int | None = None
    warm_up_s: int = 0
    marks: tuple[bytes, ...] = ()
    tls: ClientTls | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came back within the time measured.

    Attributes:
        statuses: answers by HTTP status.
        marked: answers by mark.
        lost: connections that ended in the middle of an answer.
        unanswered: requests that were due and had no answer at the very end.
        rate: answers a second.
        cpu_us: what the load itself cost per answer, all of its process included.
        refusals: a few bodies of refusals, to see what went wrong.
    """

    statuses: Mapping[int, int]
    marked: Mapping[bytes, int]
    lost: int
    unanswered: int
    rate: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    cpu_us: float
    refusals: tuple[bytes, ...]


def request_bytes(
    method: str, path: str, *, headers: Mapping[str, str], body: bytes | None = None
) -> bytes:
    """Write one HTTP/1.1 request; a body is JSON."""
    lines = [f"{method} {path} HTTP/1.1", "host: scudo"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join(lines).encode("ascii") + _HEAD_END + (body or b"")


def measure(plan: Plan, requests: Requests) -> Measured:
    """Run a load in this process, and give what was measured.

    The requests end when they are used up, or when the time is over.
    """
    gc.disable()
    try:
        return uvloop.run(_Load(plan, requests()).run())
    finally:
        gc.enable()


def measure_apart(plan: Plan, requests: Requests) -> Measured:
    """Run a load in a process of its own (blocks; its interpreter is not the server's).

    Raises:
        LoadFailed: if that process ended without a result.
    """
    apart = multiprocessing.get_context("spawn")
    here, there = apart.Pipe(duplex=False)
    process = apart.Process(target=_measure_into, args=(there, plan, requests), daemon=True)
    process.start()
    there.close()
    try:
        measured: Measured = here.recv()
    except EOFError as error:
        message = "the load's process ended without a result"
        raise LoadFailed(message) from error
    finally:
        process.join()
        here.close()
    return measured


def _measure_into(there: Connection, plan: Plan, requests: Requests) -> None:
    there.send(measure(plan, requests))


class _Connection(asyncio.Protocol):
    """One connection with at most one request under way."""

    __slots__ = ("_load", "_received", "due_ns", "transport")

    def __init__(self, load: "_Load") -> None:
        self._load = load
        self._received = b""
        self.transport: asyncio.Transport | None = None
        self.due_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's by class, only by what they do.
        self.transport = cast("asyncio.Transport", transport)
        self._load.is_free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.transport = None
        self._load.is_lost(self)

    def send(self, request: bytes, *, due_ns: int) -> None:
        """Ask; latency counts from `due_ns`."""
        assert self.transport is not None
        self.due_ns = due_ns
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        head = received.find(_HEAD_END)
        if head < 0:
            self._received = received
            return
        at = received.find(_LENGTH, 0, head)
        end = head + len(_HEAD_END)
        if at >= 0:
            line = received.find(b"\r\n", at)
            end += int(received[at + len(_LENGTH) : line])
        if len(received) < end:
            self._received = received
            return
        self._received = b""
        self._load.is_answered(self, int(received[9:12]), received)


class _Load:
    """One run: who is free, what is due, what came back."""

    def __init__(self, plan: Plan, requests: Iterator[bytes]) -> None:
        self._plan = plan
        self._requests = requests
        self._tls = None if plan.tls is None else plan.tls.context()
        self._open: set[_Connection] = set()
        self._free: deque[_Connection] = deque()
        #: Due times of requests for which no connection was free.
        self._waiting: deque[int] = deque()
        self._under_way = 0
        self._due = 0
        self._begin_ns = 0
        self._measure_ns = 0
        self._end_ns = 0
        self._is_over = False
        self._statuses: Counter[int] = Counter()
        self._marked: Counter[bytes] = Counter()
        self._latencies = array("q")
        self._lost = 0
        self._refusals: list[bytes] = []
        self._reconnecting: set[asyncio.Task[None]] = set()

    async def run(self) -> Measured:
        plan = self._plan
        cpu_ns = time.process_time_ns()
        for _ in range(plan.connections):
            await self._connect()
        self._begin_ns = perf_counter_ns()
        self._measure_ns = self._begin_ns + plan.warm_up_s * _SECOND_NS
        self._end_ns = self._measure_ns + plan.seconds * _SECOND_NS
        if plan.rate is None:
            for connection in tuple(self._free):
                self._ask_again(connection)
        while not self._is_over and perf_counter_ns() < self._end_ns:
            if plan.rate is not None:
                self._send_due(perf_counter_ns(), plan.rate)
            await asyncio.sleep(_TICK_S)
        if plan.rate is not None and not self._is_over:
            self._send_due(self._end_ns, plan.rate)
        self._is_over = True
        ended_ns = min(perf_counter_ns(), self._end_ns)
        cpu_ns = time.process_time_ns() - cpu_ns
        patience_ns = perf_counter_ns() + _PATIENCE_S * _SECOND_NS
        while (self._under_way or self._waiting) and perf_counter_ns() < patience_ns:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(_TICK_S)
        measured = self._result(ended_ns, cpu_ns)
        await self._close()
        return measured

    # ---- what connections tell

    def is_free(self, connection: _Connection) -> None:
        """A connection is new: put it to use."""
        self._open.add(connection)
        self._free.append(connection)
        if self._begin_ns:
            self._next(connection)

    def is_answered(self, connection: _Connection, status: int, answer: bytes) -> None:
        """An answer came: count it, and ask on."""
        now_ns = perf_counter_ns()
        self._under_way -= 1
        # By the answer's time: who waited since the warm-up is a part of the measure too.
        if now_ns >= self._measure_ns:
            self._latencies.append(now_ns - connection.due_ns)
            self._statuses[status] += 1
            for mark in self._plan.marks:
                if mark in answer:
                    self._marked[mark] += 1
            if status >= _FIRST_REFUSAL and len(self._refusals) < _SAMPLES_MAX:
                self._refusals.append(answer.partition(_HEAD_END)[2])
        self._free.append(connection)
        self._next(connection)

    def is_lost(self, connection: _Connection) -> None:
        """A connection ended: count it if it owed an answer, and make another."""
        self._open.discard(connection)
        if connection in self._free:
            self._free.remove(connection)
        else:
            self._under_way -= 1
            self._lost += 1
        if not self._is_over:
            task = asyncio.get_running_loop().create_task(self._reconnect())
            self._reconnecting.add(task)
            task.add_done_callback(self._reconnecting.discard)

    # ---- asking

    def _next(self, connection: _Connection) -> None:
        if self._waiting:
            self._send(self._waiting.popleft())
        elif self._plan.rate is None and not self._is_over:
            self._ask_again(connection)

    def _ask_again(self, connection: _Connection) -> None:
        now_ns = perf_counter_ns()
        if now_ns < self._end_ns and connection.transport is not None:
            self._send(now_ns)

    def _send_due(self, now_ns: int, rate: int) -> None:
        due = (now_ns - self._begin_ns) * rate // _SECOND_NS
        for index in range(self._due, due):
            due_ns = self._begin_ns + index * _SECOND_NS // rate
            if self._free:
                self._send(due_ns)
            else:
                self._waiting.append(due_ns)
        self._due = due

    def _send(self, due_ns: int) -> None:
        request = next(self._requests, None)
        if request is None:
            self._is_over = True
            self._waiting.clear()
            return
        self._under_way += 1
        self._free.popleft().send(request, due_ns=due_ns)

    async def _connect(self) -> None:
        await asyncio.get_running_loop().create_connection(
            functools.partial(_Connection, self),
            self._plan.host,
            self._plan.port,
            ssl=self._tls,
        )

    async def _reconnect(self) -> None:
        while not self._is_over:
            await asyncio.sleep(_RECONNECT_S)
            try:
                await self._connect()
            except OSError:
                continue
            return

    async def _close(self) -> None:
        for task in self._reconnecting:
            task.cancel()
        for connection in tuple(self._open):
            if connection.transport is not None:
                connection.transport.abort()
        while self._open:  # noqa: ASYNC110 - once, at the end
            await asyncio.sleep(_TICK_S)

    # ---- counting

    def _result(self, ended_ns: int, cpu_ns: int) -> Measured:
        ordered = sorted(self._latencies)
        answered = max(1, len(ordered))

        def percentile_ms(part: float) -> float:
            if not ordered:
                return math.nan
            return round(ordered[min(len(ordered) - 1, int(len(ordered) * part))] / 1e6, 3)

        seconds = max(1, ended_ns - self._measure_ns) / _SECOND_NS
        return Measured(
            statuses=dict(self._statuses),
            marked=dict(self._marked),
            lost=self._lost,
            unanswered=self._under_way + len(self._waiting),
            rate=round(len(ordered) / seconds, 1),
            p50_ms=percentile_ms(0.5),
            p99_ms=percentile_ms(0.99),
            p999_ms=percentile_ms(0.999),
            max_ms=percentile_ms(1.0),
            cpu_us=round(cpu_ns / 1000 / answered, 1),
            refusals=tuple(self._refusals),
        )
