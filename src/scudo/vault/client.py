"""Clients of the vault: one that blocks, one for asyncio.

Both connect when they are first used and again when the connection was lost. A vault that
does not answer is `vault_unavailable`: there is no other way to the data, and none in clear.
Over the network the vault speaks first: it says that it answers us, before anything is asked.
"""

import asyncio
import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from typing import Final, Self, TypeVar, cast

import msgspec

from scudo.fabric import cause_of
from scudo.vault.answers import Answer, Done, Refused
from scudo.vault.errors import REFUSALS, VaultRefusal, VaultUnavailable
from scudo.vault.reaching import (
    CONNECT_S,
    ENDED,
    NOT_WELCOMED,
    Address,
    Lost,
    RemoteVault,
    Tale,
    pause_of,
)
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


class VaultClient:
    """Asks the vault and waits; threads that share it wait for each other."""

    def __init__(
        self, address: Address, *, timeout_s: float = TIMEOUT_S, patience_s: float = PATIENCE_S
    ) -> None:
        """Name where the vault answers; it is not connected before it is used.

        Args:
            address: path of its socket, or where it is beyond this machine.
            timeout_s: how long one answer may take.
            patience_s: how long to try while the vault is away, as when it restarts.
        """
        self._address = address
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._tale = Tale()
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
            except (OSError, Lost) as error:
                may_repeat = request.is_repeatable or not was_sent
                if not may_repeat or time.monotonic() >= deadline:
                    raise VaultUnavailable(_SILENT) from error
                time.sleep(pause_of(self._address))

    @contextlib.contextmanager
    def _closed_if_lost(self) -> Iterator[None]:
        """Leave a connection that failed to nobody else who waits for it.

        Raises:
            OSError: as it was met.
            Lost: as it was met.
        """
        try:
            yield
        except (OSError, Lost):
            self.close()
            raise

    def _connected(self) -> socket.socket:
        if self._socket is None:
            try:
                self._socket = self._connect()
            except (OSError, Lost) as error:
                self._tale.lost(error)
                raise
            self._tale.reached()
        return self._socket

    def _connect(self) -> socket.socket:
        """A connection over which the vault answers.

        Raises:
            OSError: it is not reached.
            Lost: it does not answer us.
        """
        address = self._address
        if isinstance(address, RemoteVault):
            fresh: socket.socket = address.connect()
        else:
            fresh = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if isinstance(address, RemoteVault):
                _demand_welcome(self._first(fresh))
            fresh.settimeout(self._timeout_s)
            if not isinstance(address, RemoteVault):
                fresh.connect(str(address))
        except BaseException:
            fresh.close()
            raise
        return fresh

    def _first(self, connection: socket.socket) -> Answered:
        """What the vault says of itself.

        Raises:
            OSError: it says nothing.
            Lost: the connection ended.
        """
        try:
            return self._receive(connection)
        except (ConnectionError, Lost) as error:
            raise Lost(NOT_WELCOMED) from error

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
                raise Lost
            read += chunk
        frame = bytes(read[LENGTH.size : end])
        del read[:end]
        return _read(frame)


class AsyncVaultClient:
    """Asks the vault from one event loop; many requests may be under way at once."""

    def __init__(
        self, address: Address, *, timeout_s: float = TIMEOUT_S, patience_s: float = PATIENCE_S
    ) -> None:
        """Name where the vault answers; it is not connected before it is used.

        Args:
            address: path of its socket, or where it is beyond this machine.
            timeout_s: how long one answer may take.
            patience_s: how long to try while the vault is away, as when it restarts.
        """
        self._address = address
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._tale = Tale()
        self._line: _Line | None = None
        self._connecting: asyncio.Task[_Line] | None = None
        self._room = asyncio.Semaphore(_IN_FLIGHT_MAX)

    async def __aenter__(self) -> Self:
        """Use it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connecting is not None:
            self._connecting.cancel()
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
            except (OSError, Lost) as error:
                may_repeat = request.is_repeatable or not was_sent
                if not may_repeat or loop.time() >= deadline:
                    raise VaultUnavailable(_SILENT) from error
                await asyncio.sleep(pause_of(self._address))

    async def _connected(self) -> "_Line":
        line = self._line
        if line is not None and not line.is_lost:
            return line
        # One try for all who wait: they learn together what came of it.
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._tried)
        return await asyncio.shield(self._connecting)

    def _tried(self, task: "asyncio.Task[_Line]") -> None:
        self._connecting = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._line = task.result()
            self._tale.reached()
        else:
            self._tale.lost(error)

    async def _connect(self) -> "_Line":
        """A connection over which the vault answers.

        Raises:
            OSError: it is not reached.
            Lost: it does not answer us.
        """
        address = self._address
        if isinstance(address, RemoteVault):
            line = _Line(is_welcomed=False)
            async with asyncio.timeout(CONNECT_S):
                try:
                    await address.open(line)
                    await line.welcomed
                except BaseException:
                    line.close()
                    raise
            return line
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._timeout_s):
            _, line = await loop.create_unix_connection(_Line, str(address))
        return line


class _Line(asyncio.Protocol):
    """One connection and who waits on it.

    Attributes:
        welcomed: done when the vault has said that it answers us.
        is_lost: whether it has ended.
    """

    def __init__(self, *, is_welcomed: bool = True) -> None:
        """Expect to be welcomed, where the vault does so."""
        self.welcomed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if is_welcomed:
            self.welcomed.set_result(None)
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._numbers = itertools.count(1)
        self._read = bytearray()
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        # Transports of other event loops do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who waits."""
        cause = cause_of(exc)
        is_unwelcome = cause == ENDED and not self.welcomed.done()
        self._end(Lost(NOT_WELCOMED if is_unwelcome else cause))

    def send(self, request: Request[A]) -> asyncio.Future[Answer]:
        """Send a request; its answer will be the future's result."""
        waiter: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if self.is_lost or self._transport is None:
            waiter.set_exception(Lost())
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
        self._end(Lost())

    def data_received(self, data: bytes) -> None:
        """Hand out the answers that are complete."""
        read = self._read
        read += data
        try:
            while (end := _end_of(read)) is not None and len(read) >= end:
                answered = _read(bytes(read[LENGTH.size : end]))
                del read[:end]
                self._hand_out(answered)
        except Lost as lost:
            self._end(lost)
            self.close()

    def _hand_out(self, answered: Answered) -> None:
        if not self.welcomed.done():
            try:
                _demand_welcome(answered)
            except Lost as lost:
                self._end(lost)
            else:
                self.welcomed.set_result(None)
            return
        if answered.number == 0 and isinstance(answered.answer, Refused):
            # About the connection: who we are, or what we sent.
            self._end(refusal_from(answered.answer))
            return
        waiter = self._waiting.pop(answered.number, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(answered.answer)

    def _end(self, error: Exception) -> None:
        self.is_lost = True
        if not self.welcomed.done():
            self.welcomed.set_exception(error)
            # Nobody may wait for it any more.
            self.welcomed.exception()
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting.values():
            if not waiter.done():
                waiter.set_exception(error)


def _demand_welcome(answered: Answered) -> None:
    """See that the vault answers us.

    Raises:
        Lost: it says that it does not, and why.
    """
    if isinstance(answered.answer, Refused):
        raise Lost(answered.answer.code)
    if not isinstance(answered.answer, Done):
        raise Lost("protocol_of_others")


def _end_of(read: bytearray) -> int | None:
    """Where the first frame ends; none before its length is there.

    Raises:
        Lost: this is no frame of the vault's.
    """
    if len(read) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack_from(read)
    if size > FRAME_BYTES_MAX:
        raise Lost
    return LENGTH.size + int(size)


def _read(frame: bytes) -> Answered:
    try:
        return read_answered(frame)
    except msgspec.MsgspecError:
        raise Lost from None
