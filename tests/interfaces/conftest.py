"""A small operation table of no bank, served in this process and over real sockets."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from scudo.fabric import ServerTls
from scudo.fabric.web import (
    BULK_BODY_BYTES_MAX,
    CLOCK_SCOPE,
    Arrival,
    Call,
    Int64,
    Operation,
    PageLimit,
    Principal,
    Reply,
    encode_problem,
    id_text,
)
from scudo.interfaces.http import (
    Application,
    Check,
    HttpServer,
    Limits,
    System,
    openapi_document,
)
from scudo.kernel import Prefix, Refusal, ids

READER = "token-of-a-reader"
WRITER = "token-of-a-writer"
DRIVER = "token-of-the-clock-driver"
TOKENS = {
    READER: Principal(id=1, scopes=frozenset({"notes:read"})),
    WRITER: Principal(id=2, scopes=frozenset({"notes:read", "notes:write"})),
    DRIVER: Principal(id=3, scopes=frozenset({"notes:read", "notes:write", CLOCK_SCOPE})),
}


def known(scheme: str, token: str, arrival: Arrival) -> Principal | None:
    """Whose token this is."""
    del arrival
    return TOKENS.get(token) if scheme == "bearer" else None


class NoteLocked(Refusal):
    """Raised when a note may not be changed."""

    code = "note_locked"
    kind = "conflict"
    next_step = "Write another note."


class StoreAway(Refusal):
    """Raised when the store does not answer."""

    code = "store_away"
    kind = "unavailable"
    retryable = True
    next_step = "Send it again."


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: Annotated[str, msgspec.Meta(max_length=50)]
    weight: Int64 = 0


class NewNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str
    amount: Int64
    lines: Annotated[tuple[Line, ...], msgspec.Meta(max_length=100)] = ()


class NoteQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    after: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)] = 0
    limit: PageLimit = 50
    word: str | None = None


class Note(msgspec.Struct, frozen=True):
    note_id: Annotated[str, id_text(Prefix.PAYMENT)]
    seen: dict[str, str | int | None]


class NotePage(msgspec.Struct, frozen=True):
    items: tuple[Note, ...]
    next_cursor: str | None


def _show(call: Call, note: int, **seen: str | int | None) -> Note:
    client = {"client": call.client.id, "key": call.key, "ordered_at": call.ordered_at}
    return Note(ids.show(Prefix.PAYMENT, note), {**client, **seen})


async def _write(call: Call) -> Reply:
    match call.body.title:
        case "locked":
            message = "the note is locked"
            raise NoteLocked(message, field="title")
        case "away":
            message = "the store is away"
            raise StoreAway(message)
        case "remembered":
            return Reply(409, encode_problem(NoteLocked("as before")))
        case "broken":
            raise LookupError(call.body.title)
    return Reply(201, _show(call, 7, amount=call.body.amount), ((b"location", b"/v1/notes/7"),))


async def _read(call: Call) -> Reply:
    number = ids.parse(Prefix.PAYMENT, call.path["note_id"], field="note_id")
    return Reply(200, _show(call, number))


async def _list(call: Call) -> Reply:
    query = call.query
    note = _show(call, 9, after=query.after, limit=query.limit, word=query.word)
    return Reply(200, NotePage((note,), None))


async def _wait(_call: Call) -> Reply:
    await asyncio.sleep(0.3)
    return Reply(204)


async def _bulk(call: Call) -> Reply:
    return Reply(200, _show(call, 8, amount=len(call.body.title)))


NOTE_ID = {"note_id": Annotated[str, id_text(Prefix.PAYMENT)]}
OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/notes",
        name="write_note",
        summary="Write a note",
        tag="notes",
        scope="notes:write",
        handler=_write,
        answers={201: Note},
        body=NewNote,
        refusals=(NoteLocked, StoreAway),
        moves_money=True,
        example=NewNote("a", 1),
    ),
    Operation(
        method="GET",
        path="/v1/notes",
        name="list_notes",
        summary="List notes",
        tag="notes",
        scope="notes:read",
        handler=_list,
        answers={200: NotePage},
        query=NoteQuery,
    ),
    Operation(
        method="GET",
        path="/v1/notes/{note_id}",
        name="get_note",
        summary="Show a note",
        tag="notes",
        scope="notes:read",
        handler=_read,
        answers={200: Note},
        path_types=NOTE_ID,
        refusals=(ids.IdMalformed,),
    ),
    Operation(
        method="POST",
        path="/v1/notes/{note_id}/wait",
        name="wait_for_note",
        summary="Wait for a note",
        tag="notes",
        scope="notes:write",
        handler=_wait,
        answers={204: None},
        path_types=NOTE_ID,
    ),
    Operation(
        method="POST",
        path="/v1/bulk",
        name="write_bulk",
        summary="Write much",
        tag="notes",
        scope="notes:write",
        handler=_bulk,
        answers={200: Note},
        body=NewNote,
        body_bytes_max=BULK_BODY_BYTES_MAX,
    ),
)


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Desk:
    """The application with what it was made from; `ask` sends it one request."""

    app: Application
    registry: CollectorRegistry
    document: dict[str, Any]
    limits: Limits
    checks: list[Check] = field(default_factory=list)

    def ask(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        raw: list[tuple[bytes, bytes]] | None = None,
        body: bytes | list[bytes] = b"",
    ) -> Answer:
        lines = [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()]
        if token is not None:
            lines.append((b"authorization", b"Bearer " + token.encode()))
        chunks = [body] if isinstance(body, bytes) else body
        where, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": where,
            "query_string": query.encode(),
            "headers": lines + (raw or []),
        }
        return asyncio.run(_converse(self.app, scope, chunks))


async def _converse(app: Application, scope: dict[str, Any], chunks: list[bytes]) -> Answer:
    sent: list[dict[str, Any]] = []
    left = list(chunks)

    async def receive() -> dict[str, Any]:
        chunk = left.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(left)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, rest = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], headers, rest["body"])


def make_desk(limits: Limits, rules: Any = None) -> Desk:
    """Build the application as bootstrap does."""
    registry = CollectorRegistry()
    checks: list[Check] = [Check("store", is_ok=True)]

    async def readiness() -> tuple[Check, ...]:
        return tuple(checks)

    system = System(readiness=readiness, registry=registry, asyncapi=b'{"asyncapi":"3.0.0"}')
    operations = (*OPERATIONS, *system.operations())
    document = openapi_document(operations, title="Notes", version="1")
    system.openapi = msgspec.json.encode(document)
    app = Application(operations, authenticate=known, limits=limits, registry=registry, rules=rules)
    system.is_draining = lambda: app.is_draining
    return Desk(app, registry, document, limits, checks)


@pytest.fixture
def desk() -> Desk:
    """The application, with limits that no test meets by chance."""
    return make_desk(Limits())


@dataclass(frozen=True)
class Served:
    """A running server."""

    port: int
    stop: Callable[[], None]


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Serve an application on a free loopback port, in a loop of its own thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    servers: list[HttpServer] = []

    def in_loop(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(timeout=20)

    def start(desk: Desk, tls: ServerTls | None = None) -> Served:
        server = HttpServer(desk.app, limits=desk.limits, tls=tls)
        servers.append(server)
        port = in_loop(server.start(host="127.0.0.1", port=0))
        return Served(port, lambda: in_loop(server.stop()))

    yield start
    for server in servers:
        in_loop(server.stop())
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def desk_of() -> Callable[[Limits], Desk]:
    """Build the application with limits of the test's choice."""
    return make_desk


@pytest.fixture(scope="session")
def fuzz_desk() -> Desk:
    """One application for all examples of a property."""
    return make_desk(Limits())
