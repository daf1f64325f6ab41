"""The catalogue of events: codec, JSON form, and the AsyncAPI document made from it."""

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import or_
from typing import Any, Final, get_type_hints

import msgspec

from scudo.fabric.log.model import Event
from scudo.kernel import InvariantBroken, Prefix, ids, rfc3339

#: Marks an integer of microseconds that is shown as an RFC 3339 instant.
INSTANT: Final = msgspec.Meta(
    extra={"instant": True}, extra_json_schema={"type": "string", "format": "date-time"}
)

_Show = Callable[[Any], Any]


def _shown(hint: object) -> _Show | None:
    """How a field of this annotated type is shown in JSON; None: as it is."""
    for part in (hint, *getattr(hint, "__args__", ())):
        for meta in getattr(part, "__metadata__", ()):
            extra = meta.extra or {}
            if "prefix" in extra:
                prefix: Prefix = extra["prefix"]
                return lambda value: ids.show(prefix, value)
            if "instant" in extra:
                return rfc3339
    return None


class EventCatalogue:
    """All events of the bank: decodes entries and describes events to the outside."""

    def __init__(self, types: Iterable[type[Event]]) -> None:
        """Collect the event types of all rooms.

        Raises:
            InvariantBroken: if two types share a tag or a name, or lack one.
        """
        self.types: tuple[type[Event], ...] = tuple(sorted(types, key=lambda event: event.name))
        tags = {event.__struct_config__.tag for event in self.types}
        names = {event.name for event in self.types}
        if len(tags) != len(self.types) or len(names) != len(self.types) or "" in names:
            message = "two events share a tag or a name"
            raise InvariantBroken(message)
        self._decoder = msgspec.msgpack.Decoder(list[reduce(or_, self.types)])  # type: ignore[misc]
        self._fields = {event: self._show_fields(event) for event in self.types}

    @staticmethod
    def _show_fields(event: type[Event]) -> tuple[tuple[str, _Show | None], ...]:
        hints = get_type_hints(event, include_extras=True)
        return tuple((field, _shown(hints[field])) for field in event.__struct_fields__)

    def decode(self, events: bytes) -> Sequence[Event]:
        """Read the events of one entry, in order."""
        decoded: Sequence[Event] = self._decoder.decode(events)
        return decoded

    def body(self, event: Event) -> dict[str, Any]:
        """An event's data as JSON clients see it: ids with prefixes, instants as text."""
        shown = {}
        for field, show in self._fields[type(event)]:
            value = getattr(event, field)
            shown[field] = show(value) if show is not None and value is not None else value
        return shown

    def subject(self, event: Event) -> str | int:
        """The id of the thing that the event is about, as shown to clients."""
        field, show = self._fields[type(event)][0]
        value = getattr(event, field)
        subject: str | int = show(value) if show is not None else value
        return subject

    def asyncapi(self, *, version: str) -> dict[str, Any]:
        """The AsyncAPI 3.0 document of every event, generated from the types."""
        messages, schemas = {}, {}
        for event in self.types:
            schemas[event.name] = self._schema(event)
            messages[event.name] = {
                "name": event.name,
                "contentType": "application/cloudevents+json",
                "summary": (event.__doc__ or "").strip().split("\n")[0],
                "payload": _envelope(event.name),
            }
        return {
            "asyncapi": "3.0.0",
            "info": {
                "title": "Scudo events",
                "version": version,
                "description": "Every fact of a unit, in one ordered, gapless log.",
            },
            "channels": {
                "log": {
                    "address": "/v1/events",
                    "messages": {
                        name: {"$ref": f"#/components/messages/{name}"} for name in messages
                    },
                }
            },
            "operations": {"readLog": {"action": "receive", "channel": {"$ref": "#/channels/log"}}},
            "components": {"messages": messages, "schemas": schemas},
        }

    def _schema(self, event: type[Event]) -> dict[str, Any]:
        hints = get_type_hints(event, include_extras=True)
        properties = {field: _field_schema(hints[field]) for field in event.__struct_fields__}
        return {
            "type": "object",
            "description": (event.__doc__ or "").strip(),
            "properties": properties,
            "required": list(event.__struct_fields__),
            "additionalProperties": False,
        }


def _field_schema(hint: object) -> dict[str, Any]:
    shown = _shown(hint)
    if shown is None:
        return msgspec.json.schema(hint)
    text: dict[str, Any] = {}
    for part in (hint, *getattr(hint, "__args__", ())):
        for meta in getattr(part, "__metadata__", ()):
            text = dict(meta.extra_json_schema or {})
    optional = type(None) in getattr(hint, "__args__", ())
    return {"anyOf": [text, {"type": "null"}]} if optional else text


def _envelope(name: str) -> dict[str, Any]:
    """CloudEvents 1.0 attributes in JSON format, with the data's schema."""
    text = {"type": "string"}
    instant = {"type": "string", "format": "date-time"}
    return {
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "id": text,
            "source": text,
            "type": {"const": name},
            "subject": text,
            "time": instant,
            "position": {"type": "integer"},
            "correlationid": text,
            "client": text,
            "data": {"$ref": f"#/components/schemas/{name}"},
        },
        "required": ["specversion", "id", "source", "type", "time", "position", "data"],
    }
