"""The log's values: events, entries, batches, the head."""

import struct
from dataclasses import dataclass
from typing import ClassVar, Final

import msgspec

from scudo.fabric.rows import Table, sized
from scudo.kernel import POSTGRES_EPOCH_US, leaf

BATCH: Final = Table(
    "fabric.log_batch",
    (
        "first_position",
        "last_position",
        "number",
        "epoch",
        "recorded_at",
        "leaves",
        "outline",
        "root",
        "hash",
    ),
    b"B1",
    (8, 8, 8, 8, 8, 4, 0, 0, 0),
)
ENTRY: Final = Table(
    "fabric.log_entry",
    (
        "position",
        "ordered_at",
        "correlation",
        "client",
        "event_count",
        "status",
        "command",
        "events",
        "answer",
    ),
    b"E1",
    (8, 8, 8, 8, 2, 2, 0, 0, 0),
)
KEY: Final = Table("fabric.idempotency", ("key", "request", "position"), b"K1", (16, 16, 8))

_ENTRY_FIXED: Final = struct.Struct(">hiqiqiqiqihih")
_KEY_FIXED: Final = struct.Struct(">hi16si16siq")
_BATCH_LEAF: Final = struct.Struct(">iqiqiqiqiqii")


class Event(msgspec.Struct, frozen=True, array_like=True):
    """A fact that happened. Subclasses set `tag` (a number, for ever) and `name`.

    The first field is the subject: the id of the thing that the event is about.
    An event carries no personal data: ids, tokens, amounts, codes and times only.
    A changed shape is a new class with a new tag and the next version in its name.
    """

    #: CloudEvents type: `room.noun.verb_in_past.vN`.
    name: ClassVar[str] = ""


def event_mark(event: type[Event]) -> bytes:
    """The bytes of an event's tag, which stand in every entry that has such an event."""
    return msgspec.msgpack.encode(event.__struct_config__.tag)


class Command(msgspec.Struct, frozen=True, array_like=True):
    """A request to the writer, in canonical form. Subclasses set `tag` (a number, for ever)."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where the log stands.

    Attributes:
        epoch: number of the writer that may append.
        position: of the latest event; 0 when the log is empty.
        ordered_at: microseconds of the latest event.
        batch: number of the latest batch.
        hash: of the latest batch.
        clock: `unset`, `file` (a replayed file drives it) or `live`; never back from live.
    """

    epoch: int
    position: int
    ordered_at: int
    batch: int
    hash: bytes
    clock: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client is told, byte for byte, now and for every repetition."""

    status: int
    body: bytes


def entry_image(  # noqa: PLR0913 - one parameter per property
    *,
    position: int,
    ordered_at: int,
    correlation: int,
    client: int,
    event_count: int,
    status: int,
    command: bytes,
    events: bytes,
    answer: bytes,
) -> bytes:
    """Image of one row of `fabric.log_entry`."""
    fixed = _ENTRY_FIXED.pack(
        9,
        8,
        position,
        8,
        ordered_at - POSTGRES_EPOCH_US,
        8,
        correlation,
        8,
        client,
        2,
        event_count,
        2,
        status,
    )
    return b"".join((fixed, sized(command), sized(events), sized(answer)))


def key_image(key: bytes, request: bytes, position: int) -> bytes:
    """Image of one row of `fabric.idempotency`."""
    return _KEY_FIXED.pack(3, 16, key, 16, request, 8, position)


def outline_mark(tag: bytes, digest: bytes) -> bytes:
    """What a batch's outline keeps of one leaf: whose row it is, and three bytes of it.

    The root proves that a batch is whole; the outline tells which row is not.
    """
    return tag[:1] + digest[:3]


def batch_leaf(  # noqa: PLR0913 - one parameter per property
    *,
    first: int,
    last: int,
    number: int,
    epoch: int,
    recorded_at: int,
    leaves: int,
    outline: bytes,
) -> bytes:
    """Leaf 0 of every batch: what the batch says of itself (`leaves` counts this one too)."""
    image = _BATCH_LEAF.pack(
        8,
        first,
        8,
        last,
        8,
        number,
        8,
        epoch,
        8,
        recorded_at - POSTGRES_EPOCH_US,
        4,
        leaves,
    )
    return leaf(BATCH.tag, image + sized(outline))
