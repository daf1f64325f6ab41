"""HTTP operations of the audit trail: who did what, and what was asked of the back office."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from scudo.fabric import web
from scudo.governance.acts import Act, Recorder
from scudo.governance.trail.acts import Search, find_acts, find_requests
from scudo.kernel import (
    InstantMalformed,
    Prefix,
    Refusal,
    ids,
    instant,
    micros,
    parse_rfc3339,
    rfc3339,
)

_TAG: Final = "audit"
_ACTS_CURSOR: Final = "w"
_REQUESTS_CURSOR: Final = "q"
_SHORT: Final = msgspec.Meta(max_length=64)

ActorText = Annotated[str, msgspec.Meta(max_length=20, description="Id of who did it.")]
_PREFIX_OF: Final = {
    web.PrincipalKind.CLIENT: Prefix.CLIENT,
    web.PrincipalKind.CUSTOMER: Prefix.CUSTOMER,
    web.PrincipalKind.OPERATOR: Prefix.OPERATOR,
    web.PrincipalKind.PARTNER: Prefix.PARTNER,
}
_KIND_OF: Final = {prefix: kind for kind, prefix in _PREFIX_OF.items()}


class ActQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which acts; `thing` is the id of what it was done to, as it was shown; times are RFC 3339."""

    actor: ActorText | None = None
    whose: Annotated[str, web.id_text(Prefix.CUSTOMER)] | None = None
    thing: Annotated[str, _SHORT] | None = None
    trace: Annotated[str, _SHORT] | None = None
    since: Annotated[str, _SHORT] | None = None
    until: Annotated[str, _SHORT] | None = None
    cursor: web.CursorText | None = None
    limit: web.PageLimit = 50


class RequestQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests; times are RFC 3339."""

    actor: ActorText | None = None
    trace: Annotated[str, _SHORT] | None = None
    since: Annotated[str, _SHORT] | None = None
    until: Annotated[str, _SHORT] | None = None
    cursor: web.CursorText | None = None
    limit: web.PageLimit = 50


class ActView(msgspec.Struct, frozen=True):
    """Who did what, whose it was, why, from where, when, with what result."""

    id: str
    at: str
    actor: str | None
    actor_kind: str
    act: str
    object: str
    whose: str | None
    result: str
    reason: str
    network: str | None
    device: str | None
    trace: str


class ActPage(msgspec.Struct, frozen=True):
    """Acts, newest first."""

    items: tuple[ActView, ...]
    next_cursor: str | None


class RequestView(msgspec.Struct, frozen=True):
    """A request of the back office, its texts masked."""

    trace: str
    at: str
    operation: str
    actor: str | None
    actor_kind: str
    network: str | None
    status: int
    code: str
    asked: str
    answered: str
    elapsed_us: int


class RequestPage(msgspec.Struct, frozen=True):
    """Requests, newest first."""

    items: tuple[RequestView, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class _Desk:
    reads: web.Reads
    record: Recorder

    async def list_acts(self, call: web.Call) -> web.Reply:
        query: ActQuery = call.query
        search = msgspec.structs.replace(
            _search(query, _ACTS_CURSOR),
            whose=_number(Prefix.CUSTOMER, query.whose, "whose"),
            object=query.thing,
        )
        async with self.reads() as connection:
            rows = await find_acts(connection, search)
        await self._tell(call, "audit.list_acts", search)
        more = web.encode_cursor(_ACTS_CURSOR, rows[-1][0]) if len(rows) == query.limit else None
        return web.Reply(200, ActPage(tuple(_act(*row) for row in rows), more))

    async def list_requests(self, call: web.Call) -> web.Reply:
        query: RequestQuery = call.query
        search = _search(query, _REQUESTS_CURSOR)
        async with self.reads() as connection:
            rows = await find_requests(connection, search)
        await self._tell(call, "audit.list_requests", search)
        more = (
            web.encode_cursor(_REQUESTS_CURSOR, rows[-1][0]) if len(rows) == query.limit else None
        )
        return web.Reply(200, RequestPage(tuple(_request(*row[1:]) for row in rows), more))

    async def _tell(self, call: web.Call, act: str, search: Search) -> None:
        """Whoever looks through the trail stands in it."""
        await self.record(
            (
                Act(
                    actor=call.client.id,
                    actor_kind=call.client.kind,
                    act=act,
                    whose=search.whose,
                    trace=call.trace_id,
                ),
            )
        )


def _search(query: ActQuery | RequestQuery, cursor: str) -> Search:
    search = Search(
        trace=query.trace,
        since=_instant(query.since, "since"),
        until=_instant(query.until, "until"),
        limit=query.limit,
    )
    if query.actor is not None:
        kind = _KIND_OF.get(query.actor.partition("_")[0])  # type: ignore[call-overload]
        if kind is None:
            message = "an actor is a cli_, cus_, opr_ or ptn_ and sixteen hex digits"
            raise ids.IdMalformed(message, field="actor")
        actor = ids.parse(_PREFIX_OF[kind], query.actor, field="actor")
        search = msgspec.structs.replace(search, actor=actor, actor_kind=int(kind))
    if query.cursor is not None:
        (before,) = web.decode_cursor(cursor, query.cursor, count=1)
        search = msgspec.structs.replace(search, before=before)
    return search


def _number(prefix: Prefix, text: str | None, field: str) -> int | None:
    return None if text is None else ids.parse(prefix, text, field=field)


def _instant(text: str | None, field: str) -> datetime | None:
    return None if text is None else instant(parse_rfc3339(text, field=field))


def _shown(prefix: Prefix, number: int | None) -> str | None:
    return None if number is None else ids.show(prefix, number)


def _who(actor: int, kind: int) -> tuple[str | None, str]:
    known = web.PrincipalKind(kind)
    prefix = _PREFIX_OF.get(known)
    return (None if prefix is None or not actor else ids.show(prefix, actor), known.name.lower())


def _act(number: int, at: datetime, actor: int, kind: int, *rest: Any) -> ActView:  # noqa: ANN401 - columns
    act, thing, whose, result, reason, network, device, trace = rest
    return ActView(
        ids.show(Prefix.EVENT, number),
        rfc3339(micros(at)),
        *_who(actor, kind),
        act,
        thing,
        _shown(Prefix.CUSTOMER, whose),
        result,
        reason,
        _shown(Prefix.NETWORK, network),
        _shown(Prefix.DEVICE, device),
        trace,
    )


def _request(trace: str, at: datetime, operation: str, actor: int, *rest: Any) -> RequestView:  # noqa: ANN401 - columns
    kind, network, status, code, asked, answered, elapsed_us = rest
    return RequestView(
        trace,
        rfc3339(micros(at)),
        operation,
        *_who(actor, kind),
        _shown(Prefix.NETWORK, network),
        status,
        code,
        asked,
        answered,
        elapsed_us,
    )


def operations(*, reads: web.Reads, record: Recorder) -> tuple[web.Operation, ...]:
    """List the trail's operations; each search leaves an act of its own."""
    desk = _Desk(reads, record)
    refusals: tuple[type[Refusal], ...] = (
        ids.IdMalformed,
        InstantMalformed,
        web.errors.CursorMalformed,
        *web.SUBMIT_REFUSALS,
    )
    return (
        web.Operation(
            method="GET",
            path="/v1/acts",
            name="list_acts",
            summary="Search the audit trail by actor, customer, thing, trace and time",
            tag=_TAG,
            scope="audit:read",
            is_bank_wide=True,
            handler=desk.list_acts,
            answers={200: ActPage},
            query=ActQuery,
            refusals=refusals,
        ),
        web.Operation(
            method="GET",
            path="/v1/requests",
            name="list_requests",
            summary="Search the requests of the back office by actor, trace and time",
            tag=_TAG,
            scope="audit:read",
            is_bank_wide=True,
            handler=desk.list_requests,
            answers={200: RequestPage},
            query=RequestQuery,
            refusals=refusals,
        ),
    )
