"""Operations of the system itself: health, metrics, and the documents about the rest."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
from prometheus_client import CollectorRegistry, generate_latest

from scudo.fabric import web

_TAG: Final = "system"
_METRICS_MEDIA: Final = "text/plain; version=0.0.4; charset=utf-8"


class Check(msgspec.Struct, frozen=True):
    """One part of the bank; `name` is shown to everybody.

    A part that is vital must work before the bank can; without another it can do less.
    """

    name: str
    is_ok: bool
    is_vital: bool = True


class Live(msgspec.Struct, frozen=True):
    """The process runs."""

    status: Literal["live"]


class Ready(msgspec.Struct, frozen=True):
    """The bank takes work."""

    status: Literal["ready"]
    checks: tuple[Check, ...]


#: Looks at every part; given by bootstrap.
Readiness = Callable[[], Awaitable[tuple[Check, ...]]]


@dataclass(slots=True, kw_only=True)
class System:
    """What the system operations answer from.

    Attributes:
        readiness: looks at every part.
        registry: what `/metrics` shows.
        openapi: bytes of the OpenAPI document; set once all operations are known.
        asyncapi: bytes of the AsyncAPI document.
        is_draining: whether the end has begun.
    """

    readiness: Readiness
    registry: CollectorRegistry
    asyncapi: bytes
    openapi: bytes = b"{}"
    is_draining: Callable[[], bool] = bool

    async def _live(self, _call: web.Call) -> web.Reply:
        return web.Reply(200, Live("live"))

    async def _ready(self, _call: web.Call) -> web.Reply:
        checks = () if self.is_draining() else await self.readiness()
        failing = [check.name for check in checks if check.is_vital and not check.is_ok]
        if self.is_draining():
            failing = ["draining"]
        if failing:
            message = f"not ready: {', '.join(failing)}"
            raise web.errors.NotReady(message)
        return web.Reply(200, Ready("ready", checks))

    async def _metrics(self, _call: web.Call) -> web.Reply:
        return web.Reply(200, generate_latest(self.registry))

    async def _openapi(self, _call: web.Call) -> web.Reply:
        return web.Reply(200, self.openapi)

    async def _asyncapi(self, _call: web.Call) -> web.Reply:
        return web.Reply(200, self.asyncapi)

    def operations(self) -> tuple[web.Operation, ...]:
        """List the system's operations; none needs a token."""
        return (
            web.Operation(
                method="GET",
                path="/health/live",
                name="get_liveness",
                summary="Say whether the process runs",
                tag=_TAG,
                scope=None,
                handler=self._live,
                answers={200: Live},
            ),
            web.Operation(
                method="GET",
                path="/health/ready",
                name="get_readiness",
                summary="Say whether the bank takes work",
                tag=_TAG,
                scope=None,
                handler=self._ready,
                answers={200: Ready},
                refusals=(web.errors.NotReady,),
            ),
            web.Operation(
                method="GET",
                path="/metrics",
                name="get_metrics",
                summary="Show the metrics in Prometheus' text format",
                tag=_TAG,
                scope=None,
                handler=self._metrics,
                answers={200: str},
                media=_METRICS_MEDIA,
            ),
            web.Operation(
                method="GET",
                path="/openapi.json",
                name="get_openapi",
                summary="Show the description of this interface",
                tag=_TAG,
                scope=None,
                handler=self._openapi,
                answers={200: dict},
            ),
            web.Operation(
                method="GET",
                path="/asyncapi.json",
                name="get_asyncapi",
                summary="Show the description of all events",
                tag=_TAG,
                scope=None,
                handler=self._asyncapi,
                answers={200: dict},
            ),
        )
