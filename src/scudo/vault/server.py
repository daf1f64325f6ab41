"""The socket: who may ask, how much at once, and frames that are read with suspicion."""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import msgspec
import structlog

from scudo.kernel import Refusal
from scudo.vault.answers import Answer, Refused
from scudo.vault.custody import Custody
from scudo.vault.errors import VaultForbidden, VaultRequestMalformed
from scudo.vault.wire import FRAME_BYTES_MAX, LENGTH, Answered, framed, read_asked, read_request

_log = structlog.get_logger("scudo.vault")

CALLERS_MAX: Final = 256
IN_FLIGHT_MAX: Final = 64
_BACKLOG: Final = 128
#: unix(7): `struct ucred` is process, user and group.
_PEER: Final = struct.Struct("3i")
_TICK_S: Final = 1.0
_SWEEP_PAUSE_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Peers:
    """Operating-system users that may ask, by id.

    Attributes:
        callers: the bank's own processes.
        keepers: may also unseal, seal and rotate.
    """

    callers: frozenset[int]
    keepers: frozenset[int]


class _Door:
    """What all connections share."""

    def __init__(self, custody: Custody, peers: Peers) -> None:
        self.custody = custody
        self.peers = peers
        self.open: set[_Caller] = set()


class _Caller(asyncio.Protocol):
    """One connection."""

    def __init__(self, door: _Door) -> None:
        self._door = door
        self._transport: asyncio.Transport | None = None
        self._read = bytearray()
        self.tasks: set[asyncio.Task[None]] = set()
        self._is_keeper = False
        self._is_paused = False
        self._is_slow = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the kernel who it is, and let nobody else in."""
        # Transports of other event loops do not inherit from asyncio's.
        stream = self._transport = cast("asyncio.Transport", transport)
        credentials = stream.get_extra_info("socket").getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size
        )
        process, user, _ = _PEER.unpack(credentials)
        peers = self._door.peers
        if user not in peers.callers | peers.keepers or len(self._door.open) >= CALLERS_MAX:
            _log.warning("a connection was refused", user=user, process=process)
            self._say(0, _refused(VaultForbidden("this user may not ask the vault")))
            stream.close()
            return
        self._is_keeper = user in peers.keepers
        self._door.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - of the protocol
        """Forget it; what is under way is done, and answered to nobody."""
        self._door.open.discard(self)
        self._transport = None

    def pause_writing(self) -> None:
        """Read no more of one who does not read."""
        self._is_slow = True
        self._pause()

    def resume_writing(self) -> None:
        """Read on."""
        self._is_slow = False
        self._resume()

    def data_received(self, data: bytes) -> None:
        """Take the frames that are complete."""
        self._read += data
        self._take()

    def abandon(self) -> None:
        """Close the connection, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    def _take(self) -> None:
        while not self._is_paused and self in self._door.open and len(self._read) >= LENGTH.size:
            (size,) = LENGTH.unpack_from(self._read)
            if not 0 < size <= FRAME_BYTES_MAX:
                self._refuse_frame()
                return
            end = LENGTH.size + size
            if len(self._read) < end:
                return
            frame = bytes(self._read[LENGTH.size : end])
            del self._read[:end]
            try:
                asked = read_asked(frame)
            except msgspec.MsgspecError:
                self._refuse_frame()
                return
            task = asyncio.create_task(self._answer(asked.number, asked.request))
            self.tasks.add(task)
            task.add_done_callback(self._answered)
            if len(self.tasks) >= IN_FLIGHT_MAX:
                self._pause()

    def _refuse_frame(self) -> None:
        """Say no, and trust nothing that follows."""
        self._read.clear()
        self._door.open.discard(self)
        self._say(0, _refused(VaultRequestMalformed("this is no frame of the vault's client")))
        if self._transport is not None:
            self._transport.close()

    async def _answer(self, number: int, raw: msgspec.Raw) -> None:
        try:
            request = read_request(raw)
        except msgspec.MsgspecError:
            # What the decoder says would quote what was sent.
            self._say(number, _refused(VaultRequestMalformed("this is no request of the vault's")))
            return
        self._say(number, await self._door.custody.answer(request, is_keeper=self._is_keeper))

    def _answered(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if self._is_paused and len(self.tasks) < IN_FLIGHT_MAX // 2:
            self._resume()

    def _say(self, number: int, answer: Answer) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(framed(Answered(number, answer)))  # type: ignore[arg-type] # every answer is one of AnyAnswer

    def _pause(self) -> None:
        if not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        may_go_on = not self._is_slow and len(self.tasks) < IN_FLIGHT_MAX
        if self._is_paused and may_go_on and self._transport is not None:
            self._is_paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
            self._take()


def _refused(refusal: Refusal) -> Refused:
    return Refused(refusal.code, refusal.message, refusal.field)


@contextlib.asynccontextmanager
async def listening(custody: Custody, *, path: Path, peers: Peers) -> AsyncIterator[None]:
    """Open the vault and answer on a socket; at the end, what is under way is answered first.

    Args:
        custody: the vault; what was erased is replayed before the socket opens.
        path: of the socket, in a folder that only the bank's users can enter.
        peers: who may ask.

    Raises:
        VaultUnavailable: the database does not answer.
    """
    await custody.open()
    place = str(path)
    door = _Door(custody, peers)
    loop = asyncio.get_running_loop()
    _remove(place)
    server = await loop.create_unix_server(lambda: _Caller(door), place, backlog=_BACKLOG)
    # The folder keeps others out, and the kernel says who they are.
    os.chmod(place, 0o666)  # noqa: PTH101, S103 - see above
    keeping = [asyncio.create_task(_tick(custody)), asyncio.create_task(_sweep(custody))]
    try:
        yield
    finally:
        server.close()
        _remove(place)
        under_way = [task for caller in door.open for task in caller.tasks]
        if under_way:
            await asyncio.wait(under_way, timeout=_TICK_S)
        for caller in tuple(door.open):
            caller.abandon()
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)
        await custody.close()


def _remove(place: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(place)  # noqa: PTH108 - pathlib is not for event loops


async def _tick(custody: Custody) -> None:
    while True:
        await asyncio.sleep(_TICK_S)
        custody.tick()


async def _sweep(custody: Custody) -> None:
    """Move keys to the newest unit key, a few at a time, whenever there are some."""
    while True:
        has_more = False
        try:
            has_more = await custody.step()
        except Refusal as refusal:
            _log.warning("the sweep waits", code=refusal.code)
        await asyncio.sleep(_SWEEP_PAUSE_S if has_more else _TICK_S)
