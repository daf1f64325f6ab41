"""The server: uvicorn inside our own event loop, beside the conveyor."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn

from scudo.fabric import ServerTls
from scudo.interfaces.http.app import Application
from scudo.interfaces.http.limits import Limits
from scudo.interfaces.http.protocol import give_up_late, guarded

_BACKLOG: Final = 2048
_SWEEP_S: Final = 1


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers: bootstrap decides what ends, and in which order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Serves an application on a TCP port of the running event loop."""

    def __init__(
        self, application: Application, *, limits: Limits, tls: ServerTls | None = None
    ) -> None:
        """Prepare a server that listens nowhere yet; without `tls` it speaks plain HTTP."""
        self._application = application
        self._tls = tls
        config = uvicorn.Config(
            application,
            http=guarded(limits),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=limits.keep_alive_s,
            timeout_graceful_shutdown=limits.drain_s,
            ssl_context_factory=None if tls is None else lambda _config, _default: tls.context,
        )
        self._uvicorn = _Uvicorn(config)
        self._serving: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None

    async def start(self, *, host: str, port: int) -> int:
        """Listen, and serve in the background.

        Args:
            host: address to listen on; names are resolved.
            port: 0 takes a free one.

        Returns:
            The port.

        Raises:
            OSError: if the port is taken or may not be used.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        taken: int = listener.getsockname()[1]
        self._serving = asyncio.create_task(self._uvicorn.serve(sockets=[listener]))
        self._sweeping = asyncio.create_task(self._sweep())
        while not self._uvicorn.started:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)
        return taken

    async def stop(self) -> None:
        """Stop taking connections, answer what is under way, close the rest.

        Readiness turns to 503 first; requests that are under way get their answers
        within the limit for draining.
        """
        self._application.is_draining = True
        self._uvicorn.should_exit = True
        if self._serving is not None:
            await self._serving
        if self._sweeping is not None:
            self._sweeping.cancel()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_S)
            give_up_late(self._uvicorn.server_state.connections, now=loop.time())
            if self._tls is not None:
                self._tls.renew()
