"""HTTP operations of the log: events in order, and answers by their key."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec

from scudo.fabric.carried import idempotency_digest
from scudo.fabric.log.catalogue import EventCatalogue
from scudo.fabric.log.errors import AnswerNotFound
from scudo.fabric.queries import StoredEntry, find_answer, list_entries
from scudo.fabric.web import (
    READ_REFUSALS,
    Call,
    Operation,
    PageLimit,
    Reads,
    Reply,
    show_sender,
)
from scudo.kernel import Prefix, ids, micros, rfc3339

_TAG: Final = "log"
#: One below the largest position, so that the position after it exists.
_AFTER_MAX: Final = (1 << 63) - 2


class EventQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which events: those after a position, 0 for the first."""

    after: Annotated[int, msgspec.Meta(ge=0, le=_AFTER_MAX)] = 0
    limit: PageLimit = 50


class EventView(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event as CloudEvents 1.0 has it in JSON.

    Attributes:
        position: gapless; the next event has the next number.
        correlationid: the event that gave birth to what this one belongs to.
        client: whose request it was; absent for the bank itself.
        data: as the AsyncAPI document describes it for the type.
    """

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    position: int
    correlationid: str
    data: dict[str, Any]
    datacontenttype: Literal["application/json"]
    client: str | None = None


class EventPage(msgspec.Struct, frozen=True):
    """Events in order; ask on with `after` = `next_after`, now or whenever you like."""

    items: tuple[EventView, ...]
    next_after: int


class AnswerQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The key that the request in question carried."""

    idempotency_key: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class AnswerView(msgspec.Struct, frozen=True):
    """What a request was answered: the status, and the body as it was."""

    status: int
    body: msgspec.Raw


@dataclass(frozen=True, slots=True)
class _Desk:
    reads: Reads
    catalogue: EventCatalogue
    source: str

    async def list_events(self, call: Call) -> Reply:
        query: EventQuery = call.query
        async with self.reads() as connection:
            entries = await list_entries(connection, after=query.after, limit=query.limit)
        events = [e for e in self._events(entries) if e.position > query.after][: query.limit]
        return Reply(200, EventPage(tuple(events), events[-1].position if events else query.after))

    async def get_answer(self, call: Call) -> Reply:
        digest = idempotency_digest(call.client.sender, call.query.idempotency_key)
        async with self.reads() as connection:
            answer = await find_answer(connection, digest)
        if answer is None:
            message = "nothing has been answered under this key"
            raise AnswerNotFound(message, field="idempotency_key")
        return Reply(200, AnswerView(answer.status, msgspec.Raw(answer.body)))

    def _events(self, entries: Iterable[StoredEntry]) -> Iterator[EventView]:
        for entry in entries:
            time = micros(entry.ordered_at)
            client = show_sender(entry.client)
            for index, event in enumerate(self.catalogue.decode(entry.events)):
                yield EventView(
                    specversion="1.0",
                    id=ids.show(Prefix.EVENT, entry.position + index),
                    source=self.source,
                    type=event.name,
                    subject=str(self.catalogue.subject(event)),
                    time=rfc3339(time + index),
                    position=entry.position + index,
                    correlationid=ids.show(Prefix.EVENT, entry.correlation),
                    data=self.catalogue.body(event),
                    datacontenttype="application/json",
                    client=client,
                )


def operations(*, reads: Reads, catalogue: EventCatalogue, source: str) -> tuple[Operation, ...]:
    """List the operations of the log; `source` is the URI of this unit in its events."""
    desk = _Desk(reads, catalogue, source)
    return (
        Operation(
            method="GET",
            path="/v1/events",
            name="list_events",
            summary="List the events of the log in order, without gaps",
            tag=_TAG,
            scope="events:read",
            is_bank_wide=True,
            handler=desk.list_events,
            answers={200: EventPage},
            query=EventQuery,
            refusals=READ_REFUSALS,
        ),
        Operation(
            method="GET",
            path="/v1/answers",
            name="get_answer",
            summary="Show what the client's request with an idempotency key was answered",
            tag=_TAG,
            scope="payments:read",
            handler=desk.get_answer,
            answers={200: AnswerView},
            query=AnswerQuery,
            refusals=(AnswerNotFound, *READ_REFUSALS),
        ),
    )
