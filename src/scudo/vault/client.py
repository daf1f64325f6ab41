"""Clients of the vault: one that blocks, one for asyncio.

Both connect when they are first used and again when the connection was lost. A vault that
does not answer is `vault_unavailable`: there is no other way to the data, and none in clear.
"""

import asyncio
import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self, TypeVar, cast

import msgspec

from scudo.vault.answers import Answer, Refused
from scudo.vault.errors import REFUSALS, VaultRefusal, VaultUnavailable
from scudo.vault.wire import (
    FRAME_BYTES_MAX,
    LENGTH,
    Answered,
    Request,
    frame_request,
    read_answered,
)

A = TypeVar("A")

TIMEOUT_S: Final = 5.0
#: How long a request that does no harm twice is sent again while nobody answers.
PATIENCE_S: Final = 2.0
_PAUSE_S: Final = 0.02
_CHUNK: Final = 65_536
_SILENT: Final = "the vault does not answer"
_IN_FLIGHT_MAX: Final = 64


def refusal_from(refused: Refused) -> VaultRefusal:
    """The refusal that the vault answered with."""
    refusal = REFUSALS.get(refused.code, VaultUnavailable)(refused.message, field=refused.field)
    refusal.facts = refused.facts
    return refusal


def _result(_request: Request[A], answer: Answer) -> A:
    """The answer, which is of the class that the request names.

    Raises:
        VaultRefusal: the vault refused.
    """
    if isinstance(answer, Refused):
        refusal = refusal_from(answer)
        raise refusal
    return cast(A, answer)  # noqa: TC006 - a variable, not a name


class _Lost(Exception):
    """The connection ended; the request may have been carried out."""


class VaultClient:
    """Asks the vault and waits; threads that share it wait for each other."""

    def __init__(
        self, path: Path, *, timeout_s: float = TIMEOUT_S, patience_s: float = PATIENCE_S
    ) -> None:
        """Name the vault's socket; it is not connected before it is used.

        Args:
            path: of the socket.
            timeout_s: how long one answer may take.
            patience_s: how long to try while the vault is away, as when it restarts.
        """
        self._path = str(path)
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._socket: socket.socket | None = None
        self._read = bytearray()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._read.clear()

    def ask(self, request: Request[A]) -> A:
        """Ask, and give the answer.

        Raises:
            VaultRefusal: the vault refused.
            VaultUnavailable: it does not answer; whether it did what was asked is not known
                if the request was sent.
        """
        deadline = time.monotonic() + self._patience_s
        while True:
            was_sent = False
            try:
                with self._lock, self._closed_if_lost():
                    connection = self._connected()
                    was_sent = True
                    answer = self._exchange(connection, request)
                return _result(request, answer)
            except TimeoutError as error:
                raise VaultUnavailable(_SILENT) from error
            except (OSError, _Lost) as error:
                may_repeat = request.is_repeatable or not was_sent
                if not may_repeat or time.monotonic() >= deadline:
                    raise VaultUnavailable(_SILENT) from error
                time.sleep(_PAUSE_S)

    @contextlib.contextmanager
    def _closed_if_lost(self) -> Iterator[None]:
        """Leave a connection that failed to nobody else who waits for it.

        Raises:
            OSError: as it was met.
            _Lost: as it was met.
        """
        try:
            yield
        except (OSError, _Lost):
            self.close()
            raise

    def _connected(self) -> socket.socket:
        if self._socket is None:
            fresh = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            fresh.settimeout(self._timeout_s)
            try:
                fresh.connect(self._path)
            except BaseException:
                fresh.close()
                raise
            self._socket = fresh
        return self._socket

    def _exchange(self, connection: socket.socket, request: Request[A]) -> Answer:
        number = next(self._numbers)
        # Whom the vault does not know it tells so, and closes: that can still be read.
        with contextlib.suppress(BrokenPipeError):
            connection.sendall(frame_request(number, request))
        while True:
            answered = self._receive(connection)
            # Number 0 is about the connection: who we are, or what we sent.
            if answered.number in {number, 0}:
                return answered.answer

    def _receive(self, connection: socket.socket) -> Answered:
        read = self._read
        while (end := _end_of(read)) is None or len(read) < end:
            chunk = connection.recv(_CHUNK)
            if not chunk:
                raise _Lost
            read += chunk
        frame = bytes(read[LENGTH.size : end])
        del read[:end]
        return _read(frame)


class AsyncVaultClient:
    """Asks the vault from one event loop; many requests may be under way at once."""

    def __init__(
        self, path: Path, *, timeout_s: float = TIMEOUT_S, patience_s: float = PATIENCE_S
    ) -> None:
        """Name the vault's socket; it is not connected before it is used.

        Args:
            path: of the socket.
            timeout_s: how long one answer may take.
            patience_s: how long to try while the vault is away, as when it restarts.
        """
        self._path = str(path)
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._line: _Line | None = None
        self._connecting = asyncio.Lock()
        self._room = asyncio.Semaphore(_IN_FLIGHT_MAX)

    async def __aenter__(self) -> Self:
        """Use it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._line is not None:
            self._line.close()
        self._line = None

    async def ask(self, request: Request[A]) -> A:
        """Ask, and give the answer.

        Raises:
            VaultRefusal: the vault refused.
            VaultUnavailable: it does not answer; whether it did what was asked is not known
                if the request was sent.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_s
        while True:
            was_sent = False
            try:
                async with self._room:
                    line = await self._connected()
                    was_sent = True
                    waiter = line.send(request)
                    timer = loop.call_later(self._timeout_s, line.give_up, waiter)
                    try:
                        answer = await waiter
                    finally:
                        timer.cancel()
                return _result(request, answer)
            except TimeoutError as error:
                raise VaultUnavailable(_SILENT) from error
            except (OSError, _Lost) as error:
                may_repeat = request.is_repeatable or not was_sent
                if not may_repeat or loop.time() >= deadline:
                    raise VaultUnavailable(_SILENT) from error
                await asyncio.sleep(_PAUSE_S)

    async def _connected(self) -> "_Line":
        line = self._line
        if line is not None and not line.is_lost:
            return line
        async with self._connecting:
            if self._line is None or self._line.is_lost:
                loop = asyncio.get_running_loop()
                async with asyncio.timeout(self._timeout_s):
                    _, self._line = await loop.create_unix_connection(_Line, self._path)
            return self._line


class _Line(asyncio.Protocol):
    """One connection and who waits on it."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._numbers = itertools.count(1)
        self._read = bytearray()
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        # Transports of other event loops do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - of the protocol
        """Tell everybody who waits."""
        self._end(_Lost())

    def send(self, request: Request[A]) -> asyncio.Future[Answer]:
        """Send a request; its answer will be the future's result."""
        waiter: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if self.is_lost or self._transport is None:
            waiter.set_exception(_Lost())
            return waiter
        number = next(self._numbers)
        self._waiting[number] = waiter
        self._transport.write(frame_request(number, request))
        return waiter

    def give_up(self, waiter: asyncio.Future[Answer]) -> None:
        """An answer takes too long: nothing more is expected of this connection."""
        if not waiter.done():
            waiter.set_exception(TimeoutError())
            self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.abort()
        self._end(_Lost())

    def data_received(self, data: bytes) -> None:
        """Hand out the answers that are complete."""
        read = self._read
        read += data
        try:
            while (end := _end_of(read)) is not None and len(read) >= end:
                answered = _read(bytes(read[LENGTH.size : end]))
                del read[:end]
                self._hand_out(answered)
        except _Lost as lost:
            self._end(lost)
            self.close()

    def _hand_out(self, answered: Answered) -> None:
        if answered.number == 0 and isinstance(answered.answer, Refused):
            # About the connection: who we are, or what we sent.
            self._end(refusal_from(answered.answer))
            return
        waiter = self._waiting.pop(answered.number, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(answered.answer)

    def _end(self, error: Exception) -> None:
        self.is_lost = True
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting.values():
            if not waiter.done():
                waiter.set_exception(error)


def _end_of(read: bytearray) -> int | None:
    """Where the first frame ends; none before its length is there.

    Raises:
        _Lost: this is no frame of the vault's.
    """
    if len(read) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack_from(read)
    if size > FRAME_BYTES_MAX:
        raise _Lost
    return LENGTH.size + int(size)


def _read(frame: bytes) -> Answered:
    try:
        return read_answered(frame)
    except msgspec.MsgspecError:
        raise _Lost from None
