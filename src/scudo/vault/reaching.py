"""Where a vault answers: a socket of this machine, or an address beyond it by mutual TLS."""

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import structlog

from scudo.fabric import HopTls, cause_of

_log = structlog.get_logger("scudo.vault")

#: What is spoken, as the handshake names it: whoever serves something else is not taken for us.
PROTOCOL: Final = "scudo-vault/1"
#: For a connection to be made, from the first packet to the vault's welcome.
CONNECT_S: Final = 2.0
_PAUSE_S: Final = 0.02
_REMOTE_PAUSE_S: Final = 0.2

ENDED: Final = cause_of(None)
#: The connection ended before the vault said that it answers us. In TLS 1.3 this is how a
#: client learns that its certificate is not believed; the vault's log says why.
NOT_WELCOMED: Final = "not_welcomed"

P = TypeVar("P", bound=asyncio.Protocol)


class Lost(Exception):
    """The connection ended; what was asked may have been carried out.

    Attributes:
        cause: why, as a code.
    """

    def __init__(self, cause: str = ENDED) -> None:
        """Know why."""
        super().__init__(cause)
        self.cause: Final = cause


@dataclass(frozen=True, slots=True)
class RemoteVault:
    """A vault beyond this machine.

    Attributes:
        host: that its certificate must name.
        tls: of the client's side; read again when its files change.
    """

    host: str
    port: int
    tls: HopTls

    def connect(self) -> ssl.SSLSocket:
        """Connect and prove who we are; the vault has not said yet whether it answers us.

        Raises:
            OSError: it is not reached, or is not who it should be.
            Lost: it is another service, or our own certificate has ended.
        """
        self._demand_certificate()
        plain = socket.create_connection((self.host, self.port), timeout=CONNECT_S)
        with contextlib.ExitStack() as undone:
            undone.callback(plain.close)
            keep_alive(plain)
            secure = self.tls.context.wrap_socket(plain, server_hostname=self.host)
            undone.pop_all()
        if secure.selected_alpn_protocol() != PROTOCOL:
            secure.close()
            raise Lost("protocol_of_others")
        return secure

    async def open(self, line: P) -> P:
        """The same for an event loop.

        Raises:
            OSError: it is not reached, or is not who it should be.
            Lost: it is another service, or our own certificate has ended.
        """
        self._demand_certificate()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(
            lambda: line,
            self.host,
            self.port,
            ssl=self.tls.context,
            server_hostname=self.host,
            ssl_handshake_timeout=CONNECT_S,
            ssl_shutdown_timeout=1.0,
        )
        keep_alive(transport.get_extra_info("socket"))
        if transport.get_extra_info("ssl_object").selected_alpn_protocol() != PROTOCOL:
            transport.abort()
            raise Lost("protocol_of_others")
        return line

    def _demand_certificate(self) -> None:
        """Read the files again if they have changed.

        Raises:
            Lost: our certificate has ended; nobody would believe it.
        """
        self.tls.renew()
        if not self.tls.is_good:
            raise Lost("own_certificate_expired")


#: Where a vault answers.
Address: TypeAlias = Path | RemoteVault


def pause_of(address: Address) -> float:
    """Seconds between two tries; a handshake costs both sides more than a connection."""
    return _REMOTE_PAUSE_S if isinstance(address, RemoteVault) else _PAUSE_S


class Tale:
    """Tells once why the vault is not reached, and once that it is again."""

    def __init__(self) -> None:
        """Begin with a vault of which nothing is known."""
        self._cause = ""

    def lost(self, error: BaseException) -> None:
        """It was not reached."""
        cause = error.cause if isinstance(error, Lost) else cause_of(error)
        if cause != self._cause:
            self._cause = cause
            _log.warning("the vault is not reached", cause=cause)

    def reached(self) -> None:
        """It is."""
        if self._cause:
            _log.info("the vault is reached again", before=self._cause)
        self._cause = ""


def keep_alive(connection: socket.socket) -> None:
    """Have the kernel find out within half a minute that the other side has gone."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 25_000)
