"""The ASGI application: one operation table, one way from request to answer."""

import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from time import perf_counter_ns
from typing import Any, Final, Protocol

import msgspec
import structlog
from prometheus_client import CollectorRegistry

from scudo.fabric import web
from scudo.governance import edge_limits
from scudo.interfaces.http import reading
from scudo.interfaces.http.filters import RequestFilter
from scudo.interfaces.http.hardening import ALWAYS, always
from scudo.interfaces.http.limits import Limits, Rates
from scudo.interfaces.http.metrics import RequestMetrics
from scudo.interfaces.http.reading import Receive
from scudo.interfaces.http.routing import Route, Router
from scudo.interfaces.http.signatures import SignatureCheck
from scudo.kernel import Refusal

Scope = Mapping[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_PROBLEM_TYPE: Final = (b"content-type", web.PROBLEM_JSON.encode("ascii"))
#: Names the request: in logs, in the audit trail, and to whoever asks about it.
_TRACE: Final = b"scudo-trace-id"
_RETRY_SOON: Final = (b"retry-after", b"1")
_WAIT_STATUSES: Final = frozenset({429, 503})
#: Statuses of strangers, of floods, and of what the bank itself could not do.
_UNTOLD: Final = frozenset({401, 403, 429, 503})
_FIRST_PROBLEM: Final = 400
_UNMATCHED: Final = -1

_log = structlog.get_logger("scudo.http")
_encode = msgspec.json.Encoder().encode


class Trail(Protocol):
    """Keeps what was asked and answered."""

    def wants(self, operation: web.Operation) -> bool:
        """Whether requests for an operation are kept."""

    def take(
        self,
        operation: web.Operation,
        call: web.Call,
        *,
        status: int,
        answer: bytes,
        elapsed_ns: int,
    ) -> None:
        """Keep a request that was answered; it was well formed, and came from who may ask."""


class Application:
    """Serves operations over ASGI.

    Attributes:
        is_draining: set it when the end begins; readiness then says so.
        router: the operation table.
    """

    def __init__(  # noqa: PLR0913 - one parameter per property
        self,
        operations: Iterable[web.Operation],
        *,
        authenticate: web.Authenticator,
        authorise: web.Authorise | None = None,
        limits: Limits,
        registry: CollectorRegistry,
        trail: Trail | None = None,
        signatures: SignatureCheck | None = None,
        rules: Callable[[], edge_limits.EdgeRules] | None = None,
    ) -> None:
        """Serve the operations.

        Args:
            operations: the table.
            authenticate: finds out who asks.
            authorise: says what operators may; without, they may nothing. Of all others the
                token's scopes say it.
            limits: what is accepted.
            registry: requests are counted in it.
            trail: keeps some of the requests.
            signatures: looks at those of orders; None: nobody must sign.
            rules: what holds at the edge now; None: always those of the limits.

        Raises:
            ValueError: if a rule of the edge cannot be used.
        """
        self.router = Router(operations)
        self.is_draining = False
        self._authenticate = authenticate
        self._authorise = authorise or _refuse_operators
        self._signatures = signatures
        self._rates = Rates(limits)
        self._filter = RequestFilter(limits.rules.filters)
        self._holding = limits.rules
        self._rules = rules or (lambda: limits.rules)
        self._under_way = 0
        self._under_way_max = limits.under_way_max
        self._metrics = RequestMetrics(
            [route.operation.name for route in self.router.routes], self._filter.refused
        )
        registry.register(self._metrics)
        self._trail = trail
        self._trailed = tuple(
            trail is not None and trail.wants(route.operation) for route in self.router.routes
        )
        self._trace_prefix = secrets.token_hex(8)
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever happens, the answer is well formed."""
        assert scope["type"] == "http", "the server is told to send nothing else"
        began_ns = perf_counter_ns()
        self._requests += 1
        self._under_way += 1
        trace_id = f"{self._trace_prefix}{self._requests:016x}"
        index = _UNMATCHED
        call: web.Call | None = None
        method: str = scope["method"]
        try:
            if (holding := self._rules()) is not self._holding:
                self._adopt(holding)
            self._filter.demand_harmless(scope)
            if method == "OPTIONS":
                status, body = 204, b""
                headers: list[tuple[bytes, bytes]] = [
                    (b"allow", self.router.allowed(scope["path"])),
                    *ALWAYS,
                ]
            else:
                route, path = self.router.find(method, scope["path"])
                index = route.index
                call = await self._read(route, path, scope, receive, trace_id)
                reply = await route.operation.handler(call)
                status, headers, body = _answer(route, reply)
        except Refusal as refusal:
            status, headers, body = _refuse(refusal)
            self._tell_refused_order(refusal, index, trace_id)
        except reading.ClientGone:
            return
        except Exception as error:  # noqa: BLE001 - the edge: a fault of ours must not stop the others
            status, headers, body = self._fail(error, index, trace_id)
        finally:
            self._under_way -= 1
        headers.append((_TRACE, trace_id.encode("ascii")))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
        elapsed_ns = perf_counter_ns() - began_ns
        self._metrics.observe(index, status, elapsed_ns)
        if call is not None and self._trail is not None and self._trailed[index]:
            operation = self.router.routes[index].operation
            self._trail.take(operation, call, status=status, answer=body, elapsed_ns=elapsed_ns)

    def _adopt(self, rules: edge_limits.EdgeRules) -> None:
        """Go by rules that two people have set, or that hold again, from this request on."""
        self._holding = rules
        self._filter.adopt(rules.filters)
        self._rates.adopt(rules, now_ns=perf_counter_ns())

    def _tell_refused_order(self, refusal: Refusal, index: int, trace_id: str) -> None:
        """Leave a trace of an order that did not reach the log, where refusals are events.

        Only of clients within their limits: strangers and floods are left to the metrics.
        """
        if index == _UNMATCHED or not self.router.routes[index].operation.moves_money:
            return
        if web.status_of(type(refusal)) not in _UNTOLD:
            operation = _name(self.router, index)
            _log.info("order_refused", operation=operation, code=refusal.code, trace_id=trace_id)

    def _fail(
        self, error: Exception, index: int, trace_id: str
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        operation = _name(self.router, index)
        _log.error("request_failed", trace_id=trace_id, operation=operation, exc_info=error)
        refusal = web.errors.Unforeseen("Scudo failed while it worked on this request")
        return _problem(
            web.status_of(type(refusal)), web.encode_problem(refusal, trace_id=trace_id)
        )

    async def _read(
        self, route: Route, path: Mapping[str, str], scope: Scope, receive: Receive, trace_id: str
    ) -> web.Call:
        """Read a request; refusals come in the order in which they cost least."""
        operation = route.operation
        head = reading.read_head(scope["headers"])
        arrival = reading.read_arrival(scope, head)
        client = (
            self._admit_stranger(operation, arrival)
            if operation.scope is None
            else self._admit(route, operation.scope, arrival)
        )
        accept = head.get(b"accept")
        if accept is not None and accept != b"*/*" and route.is_json:
            reading.demand_accepted(accept)
        ordered_at = None if route.is_read else head.get(b"scudo-ordered-at")
        if ordered_at is not None:
            _demand_scope(client, web.CLOCK_SCOPE)
        # Strangers have no keys: those of nobody are the bank's own.
        key = (
            None
            if operation.scope is None
            else reading.read_key(head, needed=operation.moves_money)
        )
        query = reading.read_query(route, scope["query_string"])
        raw = await reading.receive_body(route, head, receive)
        if self._signatures is not None and operation.moves_money:
            self._signatures.demand(client, scope, raw)
        call = web.Call(
            client=client,
            path=path,
            key=key,
            query=query,
            ordered_at=None if ordered_at is None else reading.read_ordered_at(ordered_at),
            body=raw if operation.is_raw else reading.decode_body(route, raw),
            trace_id=trace_id,
            arrival=arrival,
        )
        if client.kind is web.PrincipalKind.OPERATOR:
            self._authorise(client, operation, call)
        return call

    def _tell_refused_access(self, operation: web.Operation, client: web.Principal) -> None:
        """Leave a trace of who asked for what it may not do; who floods is slowed down first.

        Raises:
            RateLimited: if the client asks more often than its limit.
        """
        wait_s = self._rates.take(client, operation, now_ns=perf_counter_ns())
        _demand_patience(wait_s, "this client asks more often than its limit")
        _log.warning(
            "access_refused",
            operation=operation.name,
            client=f"{client.kind.name.lower()}:{client.id:x}",
            scope=operation.scope,
        )

    def _admit_stranger(self, operation: web.Operation, arrival: web.Arrival) -> web.Principal:
        now_ns = perf_counter_ns()
        wait_s = self._rates.take_stranger(arrival.network, operation, now_ns=now_ns)
        _demand_patience(wait_s, "this network asks more often than its limit")
        return web.NOBODY

    def _admit(self, route: Route, scope: str, arrival: web.Arrival) -> web.Principal:
        scheme, credentials = reading.read_credentials(arrival.headers)
        client = self._authenticate(scheme, credentials, arrival)
        if client is None:
            message = "this token is not known"
            raise web.errors.TokenUnknown(
                message, headers=((b"www-authenticate", b'Bearer error="invalid_token"'),)
            )
        if client.kind is web.PrincipalKind.OPERATOR:
            self._authorise(client, route.operation, None)
        elif scope not in client.scopes:
            self._tell_refused_access(route.operation, client)
            _demand_scope(client, scope)
        if route.operation.is_bank_wide and client.customer is not None:
            message = "a client that is bound to one customer may not do this"
            raise web.errors.ScopeMissing(message)
        if route.operation.is_of_networks and client.kind is web.PrincipalKind.CUSTOMER:
            message = "a customer's session may not do this"
            raise web.errors.ScopeMissing(message)
        wait_s = self._rates.take(client, route.operation, now_ns=perf_counter_ns())
        _demand_patience(wait_s, "this client asks more often than its limit")
        if self._under_way > self._under_way_max:
            message = "too many requests are under way"
            raise web.errors.ServerBusy(message)
        return client


def _refuse_operators(
    client: web.Principal, operation: web.Operation, call: web.Call | None
) -> None:
    del client, call
    message = f"nobody says what operators may do of {operation.name}"
    raise web.errors.PermissionMissing(message)


def _demand_patience(wait_s: int, message: str) -> None:
    if wait_s:
        raise web.errors.RateLimited(message, headers=((b"retry-after", b"%d" % wait_s),))


def _demand_scope(client: web.Principal, scope: str) -> None:
    if scope not in client.scopes:
        message = f"this operation needs the scope {scope}"
        challenge = f'Bearer error="insufficient_scope", scope="{scope}"'.encode("ascii")
        raise web.errors.ScopeMissing(message, headers=((b"www-authenticate", challenge),))


def _answer(route: Route, reply: web.Reply) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    body = reply.body
    status = reply.status
    if body is None:
        body = b""
    elif not isinstance(body, bytes):
        body = _encode(body)
    content_type = route.content_type if status < _FIRST_PROBLEM else _PROBLEM_TYPE
    own = reply.headers
    headers = [content_type, (b"content-length", b"%d" % len(body)), *always(own), *own]
    if status in _WAIT_STATUSES:
        headers.append(_RETRY_SOON)
    return status, headers, body


def _refuse(refusal: Refusal) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    status = web.status_of(type(refusal))
    own: web.Headers = refusal.headers if isinstance(refusal, web.errors.WebRefusal) else ()
    if status in _WAIT_STATUSES and not own:
        own = (_RETRY_SOON,)
    return _problem(status, web.encode_problem(refusal), own)


def _problem(
    status: int, body: bytes, own: web.Headers = ()
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    return status, [_PROBLEM_TYPE, (b"content-length", b"%d" % len(body)), *ALWAYS, *own], body


def _name(router: Router, index: int) -> str:
    return router.routes[index].operation.name if index != _UNMATCHED else "unmatched"
