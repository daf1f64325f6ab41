"""The socket: who may ask on this machine, and how many at once; and the life of the vault."""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from scudo.kernel import Refusal
from scudo.vault.callers import Asker
from scudo.vault.connection import Connection
from scudo.vault.custody import Custody
from scudo.vault.errors import VaultForbidden
from scudo.vault.network import Hop

_log = structlog.get_logger("scudo.vault")

CALLERS_MAX: Final = 256
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
    """What connections of this machine share."""

    def __init__(self, custody: Custody, peers: Peers) -> None:
        self.custody = custody
        self.peers = peers
        self.open: set[_Local] = set()
        self.keeper = Asker(is_keeper=True)
        self.caller = Asker(is_keeper=False)


class _Local(Connection):
    """A connection of this machine."""

    def __init__(self, door: _Door) -> None:
        super().__init__(door.custody)
        self._door = door

    def admit(self, transport: asyncio.Transport) -> Asker | None:
        """Ask the kernel who it is."""
        credentials = transport.get_extra_info("socket").getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size
        )
        process, user, _ = _PEER.unpack(credentials)
        door = self._door
        if user not in door.peers.callers | door.peers.keepers or len(door.open) >= CALLERS_MAX:
            _log.warning("a connection was refused", user=user, process=process)
            self.refuse(VaultForbidden("this user may not ask the vault"))
            return None
        door.open.add(self)
        return door.keeper if user in door.peers.keepers else door.caller

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        super().connection_lost(exc)
        self._door.open.discard(self)


@contextlib.asynccontextmanager
async def listening(
    custody: Custody, *, path: Path, peers: Peers, hop: Hop | None = None
) -> AsyncIterator[None]:
    """Open the vault and answer on a socket; at the end, what is under way is answered first.

    Args:
        custody: the vault; what was erased is replayed before the socket opens.
        path: of the socket, in a folder that only the bank's users can enter.
        peers: who may ask.
        hop: answers callers of the network too.

    Raises:
        VaultDatabaseUnreachable: the database does not answer.
        VaultAddressUnfit: nobody can listen at the hop's address.
    """
    await custody.open()
    place = str(path)
    door = _Door(custody, peers)
    loop = asyncio.get_running_loop()
    _remove(place)
    if hop is not None:
        hop.listen(custody)
    server = await loop.create_unix_server(lambda: _Local(door), place, backlog=_BACKLOG)
    # The folder keeps others out, and the kernel says who they are.
    os.chmod(place, 0o666)  # noqa: PTH101, S103 - see above
    keeping = [asyncio.create_task(_tick(custody, hop)), asyncio.create_task(_sweep(custody))]
    try:
        yield
    finally:
        server.close()
        _remove(place)
        if hop is not None:
            hop.close()
        callers = [*door.open, *(() if hop is None else hop.open)]
        under_way = [task for caller in callers for task in caller.tasks]
        if under_way:
            await asyncio.wait(under_way, timeout=_TICK_S)
        for caller in callers:
            caller.abandon()
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)
        await custody.close()


def _remove(place: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(place)  # noqa: PTH108 - pathlib is not for event loops


async def _tick(custody: Custody, hop: Hop | None) -> None:
    while True:
        await asyncio.sleep(_TICK_S)
        custody.tick()
        if hop is not None:
            hop.tick()


async def _sweep(custody: Custody) -> None:
    """Move keys to the newest unit key, a few at a time, whenever there are some."""
    while True:
        has_more = False
        try:
            has_more = await custody.step()
        except Refusal as refusal:
            _log.warning("the sweep waits", code=refusal.code)
        await asyncio.sleep(_SWEEP_PAUSE_S if has_more else _TICK_S)
