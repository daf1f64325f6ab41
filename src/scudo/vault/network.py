"""The hop to the vault over the network: mutual TLS 1.3, and callers of the list.

Each limit ends what is too much or too slow, and none is shared with the Unix socket: whatever
the network does, the bank and the keepers of this machine are answered.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from scudo.fabric import HopTls, cause_of
from scudo.kernel import micros
from scudo.vault.callers import Caller, CallerList
from scudo.vault.connection import Connection
from scudo.vault.custody import Custody
from scudo.vault.errors import (
    VaultAddressUnfit,
    VaultBusy,
    VaultCallerRevoked,
    VaultCallerUnknown,
    VaultRefusal,
)
from scudo.vault.reaching import PROTOCOL, keep_alive

if TYPE_CHECKING:
    import ssl

_log = structlog.get_logger("scudo.vault")

CALLERS_MAX: Final = 256
#: Connections of one caller.
EACH_MAX: Final = 64
#: Handshakes under way, of all addresses and of one.
GREETED_MAX: Final = 64
GREETED_OF_ONE_MAX: Final = 16
HANDSHAKE_S: Final = 3.0
#: For half a frame to become whole, and for an answer to be read.
SLOW_S: Final = 10.0
#: After so long both sides prove their certificates anew.
LIFE_S: Final = 3_600.0
_BACKLOG: Final = 128
_PAUSE_S: Final = 0.1
_TOLD_EVERY_S: Final = 1.0


class Remote(Connection):
    """A connection of the network, after its handshake.

    Attributes:
        since: of the loop's clock.
    """

    def __init__(self, hop: "Hop", custody: Custody) -> None:
        """Belong to a hop."""
        super().__init__(custody)
        self._hop = hop
        self._names: tuple[str, ...] = ()
        self._digest = ""
        self._ends_at = 0
        self.since = asyncio.get_running_loop().time()

    def admit(self, transport: asyncio.Transport) -> Caller | None:
        """Look the names of its certificate up in the list."""
        tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
        certificate = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"")
        self._names = _names_of(certificate)
        self._digest = certificate.fingerprint(hashes.SHA256()).hex()
        self._ends_at = micros(certificate.not_valid_after_utc)
        if tls.selected_alpn_protocol() != PROTOCOL:
            self._hop.turn_away("protocol_of_others")
            return None
        caller, refusal = self._found()
        if caller is not None and sum(one.is_of(caller) for one in self._hop.open) >= EACH_MAX:
            refusal = VaultBusy(f"a caller has {EACH_MAX} connections at most")
        if refusal is not None:
            self._hop.turn_away(refusal.code)
            self.refuse(refusal)
            return None
        self._hop.open.add(self)
        self.welcome()
        return caller

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        super().connection_lost(exc)
        self._hop.open.discard(self)

    def judge(self, *, now: float, wall_us: int) -> None:
        """End the connection if it would not be taken now, is too slow, or has lived its time.

        Args:
            now: of the loop's clock, seconds.
            wall_us: our clock, microseconds.
        """
        self.asker, refusal = self._found()
        cause = None if refusal is None else refusal.code
        if self._ends_at <= wall_us:
            cause = "certificate_expired"
        elif self.slow_since is not None and now - self.slow_since > SLOW_S:
            cause = "too_slow"
        if cause is not None:
            self._hop.turn_away(cause)
            self.abandon()
        elif now - self.since > LIFE_S and not self.tasks:
            # Whoever has just asked asks again: everything that callers may do is repeatable.
            self.close()

    def _found(self) -> tuple[Caller | None, VaultRefusal | None]:
        """Who it is by the list as it is now, or why it is nobody."""
        callers = self._hop.callers
        if self._digest in callers.revoked:
            return None, VaultCallerRevoked("this certificate is good no more")
        caller = callers.find(self._names)
        if caller is None:
            return None, VaultCallerUnknown("no name of this certificate is in the list of callers")
        return caller, None

    def is_of(self, caller: Caller) -> bool:
        """Whether it is a connection of a caller."""
        return isinstance(self.asker, Caller) and self.asker.name == caller.name


def _names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The URIs and DNS names by which a certificate says whose it is."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    uris = found.get_values_for_type(x509.UniformResourceIdentifier)
    return (*uris, *found.get_values_for_type(x509.DNSName))


class Hop:
    """Waits for callers of the network.

    Attributes:
        open: connections that are answered.
        callers: who may ask.
    """

    def __init__(
        self,
        address: tuple[str, int],
        *,
        tls: HopTls,
        callers: CallerList,
        clock: Callable[[], int],
    ) -> None:
        """Prepare; nobody is listened to yet.

        Args:
            address: host and port; port 0 takes a free one.
            tls: of the server's side.
            callers: who may ask.
            clock: microseconds.
        """
        self._address = address
        self._tls = tls
        self._clock = clock
        self._listener: socket.socket | None = None
        self._custody: Custody | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._greeting: set[asyncio.Task[None]] = set()
        self._greeted: Counter[str] = Counter()
        self._told_at: dict[str, float] = {}
        self.callers: Final = callers
        self.open: set[Remote] = set()

    @property
    def port(self) -> int:
        """Where it listens; 0 before it does."""
        return 0 if self._listener is None else int(self._listener.getsockname()[1])

    def listen(self, custody: Custody) -> None:
        """Take connections from now on, and answer them from a vault.

        Raises:
            VaultAddressUnfit: the address is taken, or not this machine's.
        """
        host, port = self._address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            message = f"nobody can listen at {host}:{port}: {error.strerror or error}"
            raise VaultAddressUnfit(message) from error
        listener.setblocking(False)  # noqa: FBT003 - a method of the standard library
        self._listener, self._custody = listener, custody
        self._waiting = asyncio.create_task(self._wait(listener))
        _log.info("the vault answers on the network", host=host, port=self.port)

    def close(self) -> None:
        """Take no more connections; those that stand go on."""
        for task in (self._waiting, *self._greeting):
            if task is not None:
                task.cancel()
        if self._listener is not None:
            self._listener.close()

    def tick(self) -> None:
        """Read files again that have changed, and end what has no right to go on; every second."""
        self._tls.renew()
        self.callers.renew()
        now, wall_us = asyncio.get_running_loop().time(), self._clock()
        for connection in tuple(self.open):
            connection.judge(now=now, wall_us=wall_us)

    def turn_away(self, cause: str) -> None:
        """Count a connection that is not taken, or ended; told once a second for each cause."""
        assert self._custody is not None, "somebody listens"
        counted = self._custody.turned_away
        counted[cause] += 1
        now = asyncio.get_running_loop().time()
        if now - self._told_at.get(cause, -_TOLD_EVERY_S) >= _TOLD_EVERY_S:
            self._told_at[cause] = now
            _log.warning("a connection was turned away", cause=cause, times=counted[cause])

    async def _wait(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listener)
            except OSError as error:
                # Of file descriptors there are none left, or who came has gone.
                self.turn_away(cause_of(error))
                await asyncio.sleep(_PAUSE_S)
                continue
            host = str(address[0])
            if (
                len(self._greeting) >= GREETED_MAX
                or self._greeted[host] >= GREETED_OF_ONE_MAX
                or len(self.open) >= CALLERS_MAX
            ):
                connection.close()
                self.turn_away(VaultBusy.code)
                continue
            self._greeted[host] += 1
            task = asyncio.create_task(self._greet(connection, host))
            self._greeting.add(task)
            task.add_done_callback(self._greeting.discard)

    async def _greet(self, connection: socket.socket, host: str) -> None:
        """Shake hands; whoever cannot is counted by the cause."""
        custody = self._custody
        assert custody is not None, "somebody listens"
        try:
            keep_alive(connection)
            connection.setblocking(False)  # noqa: FBT003 - a method of the standard library
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Remote(self, custody),
                connection,
                ssl=self._tls.context,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=_TOLD_EVERY_S,
            )
        except OSError as error:
            self.turn_away(cause_of(error))
        finally:
            self._greeted[host] -= 1
            if not self._greeted[host]:
                del self._greeted[host]
