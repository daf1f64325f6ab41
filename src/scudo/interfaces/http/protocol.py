"""uvicorn's HTTP/1.1 connection, held to limits: long heads, slow and silent clients."""

import asyncio
from collections.abc import Iterable
from typing import Any, ClassVar, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from scudo.fabric import web
from scudo.interfaces.http.hardening import ALWAYS
from scudo.interfaces.http.limits import Limits

#: How an interim answer (100 Continue) begins; the client waits for it.
_INTERIM: Final = b"HTTP/1.1 1"
_ARRIVED: Final = float("inf")


#: What a field of a head has beside its name and value: colon, space and the end of the line.
_FIELD_BYTES: Final = 4


class _JoinedWrites(asyncio.Transport):
    """The connection's transport, which sends head and body of an answer at once.

    uvicorn writes them one after the other, and uvloop hands each write to the
    kernel: joining them saves a tenth of what a request costs.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._held: bytes | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        held = self._held
        if held is None and data[:10] != _INTERIM:
            self._held = bytes(data)
        elif held is None:
            self._transport.write(data)
        else:
            self._held = None
            self._transport.write(held + data)

    def write_now(self, data: bytes = b"") -> None:
        """Send `data` and all that is held."""
        if self._held is not None:
            data = self._held + data
            self._held = None
        if data:
            self._transport.write(data)

    def close(self) -> None:
        self.write_now()
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self._transport.get_extra_info(name, default)


class GuardedProtocol(HttpToolsProtocol):
    """One connection.

    Attributes:
        limits: set by `guarded`, for all connections of a server.
        late_at: loop time at which a request that has not arrived whole is given up.
    """

    limits: ClassVar[Limits] = Limits()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Begin with nothing read."""
        super().__init__(config, server_state, app_state, _loop)
        self._head_bytes = 0
        self._is_in_head = True
        self._is_head_long = False
        self.late_at = self.loop.time() + self.limits.request_s

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to serve a connection."""
        self._joined = _JoinedWrites(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            # Once per connection: it is proven in the handshake, and cannot change after.
            self.app_state = {"certificate": tls.getpeercert(binary_form=True)}
        super().connection_made(self._joined)

    def on_response_complete(self) -> None:
        """Send what an answer without body (to HEAD) has left."""
        self._joined.write_now()
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head that grows too long ends the connection."""
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.head_bytes_max:
                self._end(self._head_too_large())

    def _head_too_large(self) -> web.errors.HeadTooLarge:
        message = f"request line and headers are longer than {self.limits.head_bytes_max}"
        return web.errors.HeadTooLarge(message)

    def on_message_begin(self) -> None:
        """Start the clock of a request."""
        super().on_message_begin()
        self._is_in_head = True
        self._head_bytes = 0
        self.late_at = self.loop.time() + self.limits.request_s

    def on_headers_complete(self) -> None:
        """Count bytes no longer: the application limits the body.

        A head that came in one piece is measured here, whatever stood before it in that piece.

        Raises:
            ValueError: it is too long; the parser stops, and `send_400_response` says so.
        """
        self._is_in_head = False
        fields = sum(len(name) + len(value) + _FIELD_BYTES for name, value in self.headers)
        if len(self.url) + fields > self.limits.head_bytes_max:
            self._is_head_long = True
            raise ValueError(self.limits.head_bytes_max)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Stop the clock of a request."""
        super().on_message_complete()
        self.late_at = _ARRIVED

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that the parser rejects as a problem, not as text."""
        del msg
        if self._is_head_long:
            self._end(self._head_too_large())
            return
        self._end(web.errors.RequestMalformed("this is not a well-formed HTTP/1.1 request"))

    def give_up(self) -> None:
        """Close the connection of a client that is too slow; it has sent nothing whole."""
        self.transport.abort()

    def _end(self, refusal: web.WebRefusal) -> None:
        """Refuse what is being read, then close; what was read whole is answered first."""
        if self.transport.is_closing():
            return
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:
                cycle.keep_alive = False
                self.late_at = _ARRIVED
                self.flow.pause_reading()
                return
            # Its application waits for the rest of a body that will not come.
            cycle.disconnected = True
            cycle.message_event.set()
        if not self.pipeline:
            self._joined.write_now(_whole_answer(refusal))
        self.transport.close()


def _whole_answer(refusal: web.WebRefusal) -> bytes:
    body = web.encode_problem(refusal)
    head = (
        f"HTTP/1.1 {web.status_of(type(refusal))} Refused\r\n"
        f"content-type: {web.PROBLEM_JSON}\r\n"
        f"content-length: {len(body)}\r\n"
        "connection: close\r\n"
    ).encode("ascii")
    return b"".join([head, *(b"%s: %s\r\n" % line for line in ALWAYS), b"\r\n", body])


def guarded(limits: Limits) -> type[GuardedProtocol]:
    """Make the protocol class of one server."""
    return type("GuardedProtocol", (GuardedProtocol,), {"limits": limits})


def give_up_late(connections: Iterable[object], *, now: float) -> None:
    """End connections whose requests should have arrived by `now` (loop time)."""
    for connection in tuple(connections):
        if isinstance(connection, GuardedProtocol) and connection.late_at < now:
            connection.give_up()
