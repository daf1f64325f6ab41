"""A batch being made: what its entries did, how to undo it, and its rows and leaves."""

import operator
import struct
from collections.abc import Callable
from typing import Any, Final

import msgspec

from scudo.fabric.log.model import (
    BATCH,
    ENTRY,
    KEY,
    Answer,
    Command,
    Event,
    Head,
    batch_leaf,
    entry_image,
    key_image,
    outline_mark,
)
from scudo.fabric.rows import Table, sized
from scudo.kernel import POSTGRES_EPOCH_US, chain, leaf, merkle_root

_encode: Final = msgspec.msgpack.Encoder().encode
_BATCH_FIXED: Final = struct.Struct(">hiqiqiqiqiqii")
_by_order: Final = operator.itemgetter(0)


class Entry:
    """What one command is doing: its place in the log, its events and its rows.

    Attributes:
        position: of its first event, which is the id of what the command gives birth to.
        ordered_at: microseconds; strictly after every event before it.
        recorded_at: our wall clock, microseconds.
        client: id of the client that sent the command; 0 for the bank itself.
        owner: whose objects the command may touch; None: everybody's.
        correlation: id that ties this entry to others (a payment's id); own position if unset.
    """

    __slots__ = (
        "batch",
        "client",
        "correlation",
        "events",
        "leaves",
        "legs",
        "mark",
        "ordered_at",
        "owner",
        "position",
        "recorded_at",
    )

    def __init__(self, batch: "Batch", *, ordered_at: int, client: int, owner: int | None) -> None:
        """Start an entry at the next position of the batch."""
        self.batch = batch
        self.position = batch.position + 1
        self.ordered_at = ordered_at
        self.recorded_at = batch.recorded_at
        self.client = client
        self.owner = owner
        self.correlation = self.position
        self.events: list[Event] = []
        self.leaves: list[tuple[int, bytes, bytes]] = []
        self.legs = 0
        self.mark = len(batch.journal)

    @property
    def next_position(self) -> int:
        """Position that the next event will have."""
        return self.position + len(self.events)

    def emit(self, event: Event) -> int:
        """Add an event; returns its position."""
        self.events.append(event)
        return self.position + len(self.events) - 1

    def add(self, table: Table, image: bytes, *, order: int) -> None:
        """Add a row that is chained; `order` ranks its table among the entry's leaves."""
        rows = self.batch.rows.setdefault(table, [])
        rows.append(image)
        self.batch.journal.append((rows.pop, ()))
        self.leaves.append((order, table.tag, leaf(table.tag, image)))

    def undo(self, restore: Callable[..., object], *values: object) -> None:
        """Remember how to take back a change of state that this entry is making."""
        self.batch.journal.append((restore, values))

    def savepoint(self) -> tuple[int, int, int, int]:
        """Where the entry stands now, for `take_back`."""
        return (len(self.batch.journal), len(self.events), len(self.leaves), self.legs)

    def take_back(self, savepoint: tuple[int, int, int, int] | None = None) -> None:
        """Undo what this entry has done since a savepoint; everything, without one."""
        mark, events, leaves, legs = savepoint or (self.mark, 0, 0, 0)
        self.batch.undo_to(mark)
        del self.events[events:]
        del self.leaves[leaves:]
        self.legs = legs
        if savepoint is None:
            self.correlation = self.position


class Batch:
    """Entries that are committed together, in order, chained to the head.

    State in memory is changed in place while a batch is made; `journal` holds the way
    back, newest last. `undo_to(0)` leaves no trace of the batch.
    """

    def __init__(self, head: Head, *, recorded_at: int) -> None:
        """Start an empty batch on a head."""
        self.head = head
        self.recorded_at = recorded_at
        self.position = head.position
        self.ordered_at = head.ordered_at
        self.clock = head.clock
        self.journal: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self.rows: dict[Table, list[bytes]] = {}
        self._leaves: list[bytes] = []
        self._outline = bytearray()

    def entry(self, *, client: int, owner: int | None, now: int, at: int | None) -> Entry:
        """Start the next entry at `at` (a replayed file's clock) or at the time it is now."""
        ordered_at = max(self.ordered_at + 1, now if at is None else at)
        return Entry(self, ordered_at=ordered_at, client=client, owner=owner)

    def undo_to(self, mark: int) -> None:
        """Take back what was done since the journal had `mark` items, newest first."""
        journal = self.journal
        while len(journal) > mark:
            restore, values = journal.pop()
            restore(*values)

    def close(
        self,
        entry: Entry,
        *,
        command: Command,
        answer: Answer,
        key: tuple[bytes, bytes] | None,
    ) -> None:
        """Add a finished entry: its row, its idempotency row and all of its leaves.

        Args:
            entry: has at least one event.
            command: in canonical form, kept for comparison and replay.
            answer: exactly what the client is told.
            key: digest of client and key, and digest of the request; None if it has no key.
        """
        count = len(entry.events)
        image = entry_image(
            position=entry.position,
            ordered_at=entry.ordered_at,
            correlation=entry.correlation,
            client=entry.client,
            event_count=count,
            status=answer.status,
            command=_encode(command),
            events=_encode(entry.events),
            answer=answer.body,
        )
        self.rows.setdefault(ENTRY, []).append(image)
        self._chain(ENTRY.tag, leaf(ENTRY.tag, image))
        if key is not None:
            image = key_image(key[0], key[1], entry.position)
            self.rows.setdefault(KEY, []).append(image)
            self._chain(KEY.tag, leaf(KEY.tag, image))
        if len(entry.leaves) > 1:
            entry.leaves.sort(key=_by_order)
        for _, tag, digest in entry.leaves:
            self._chain(tag, digest)
        self.position = entry.position + count - 1
        self.ordered_at = entry.ordered_at + count - 1

    def _chain(self, tag: bytes, digest: bytes) -> None:
        self._leaves.append(digest)
        self._outline += outline_mark(tag, digest)

    @property
    def is_empty(self) -> bool:
        """Whether no entry was added."""
        return self.position == self.head.position

    def seal(self) -> Head:
        """Chain the batch: add its own row and return the head that follows it."""
        first, number = self.head.position + 1, self.head.batch + 1
        leaves, outline = len(self._leaves) + 1, bytes(self._outline)
        root = merkle_root(
            [
                batch_leaf(
                    first=first,
                    last=self.position,
                    number=number,
                    epoch=self.head.epoch,
                    recorded_at=self.recorded_at,
                    leaves=leaves,
                    outline=outline,
                ),
                *self._leaves,
            ]
        )
        digest = chain(self.head.hash, root)
        fixed = _BATCH_FIXED.pack(
            9,
            8,
            first,
            8,
            self.position,
            8,
            number,
            8,
            self.head.epoch,
            8,
            self.recorded_at - POSTGRES_EPOCH_US,
            4,
            leaves,
        )
        self.rows[BATCH] = [b"".join((fixed, sized(outline), sized(root), sized(digest)))]
        return Head(
            epoch=self.head.epoch,
            position=self.position,
            ordered_at=self.ordered_at,
            batch=number,
            hash=digest,
            clock=self.clock,
        )
