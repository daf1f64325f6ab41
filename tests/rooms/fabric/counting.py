"""A small application of no bank for the conveyor: it counts, in memory and in a table."""

import asyncio
import contextlib
import struct
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from psycopg import AsyncConnection

from scudo.fabric import (
    Answer,
    Command,
    Conveyor,
    Entry,
    Event,
    Guarded,
    Int8Array,
    Limits,
    Table,
    Writer,
    idempotency_digest,
    request_digest,
)
from scudo.kernel import Refusal

NOW = 1_800_000_000_000_000
COUNTER = Table("fabric.counter", ("id", "value"))
#: The database itself refuses a counter beyond this; the application does not look.
MOST = 1_000
_ROW = struct.Struct(">hiqiq")
UPDATE = (
    "UPDATE fabric.counter c SET value = u.value FROM unnest(%(ids)s, %(old)s, %(values)s) "
    "AS u (id, old, value) WHERE c.id = u.id AND c.value = u.old"
)


class Added(Event, tag=1):
    """A counter was raised."""

    counter: int
    by: int


class NotAdded(Event, tag=2):
    """A counter was not raised."""

    counter: int


class Add(Command, tag=1):
    """Raise a counter; also those that are not there yet."""

    counter: int
    by: int


class Stumble(Command, tag=2):
    """Raise a counter, then meet a fault of ours."""

    counter: int


class NotAlone(Refusal):
    """Raised when a counter would be raised by thirteen."""

    code = "not_thirteen"
    kind = "conflict"
    next_step = "Send another number."


class Counters:
    """The application: counters in memory and in a table."""

    def __init__(self) -> None:
        self.values: dict[int, int] = {}
        self.stored: dict[int, int] = {}
        self.touched: set[int] = set()
        self.open: deque[tuple[set[int], dict[int, int | None]]] = deque()
        self.due_once: Command | None = None

    @property
    def stores(self) -> tuple["Counters"]:
        return (self,)

    def locks(self) -> Any:
        changed = sorted(n for n in self.touched if n in self.stored)
        if changed:
            columns = {
                "ids": Int8Array(changed),
                "old": Int8Array(self.stored[n] for n in changed),
                "values": Int8Array(self.values[n] for n in changed),
            }
            yield Guarded(UPDATE, columns, len(changed))

    def copies(self) -> Any:
        new = [n for n in sorted(self.touched) if n not in self.stored and n in self.values]
        if new:
            yield COUNTER, [_ROW.pack(2, 8, n, 8, self.values[n]) for n in new]

    known_until = 1 << 62

    def prepare(self, lookup: Any, commands: Any, *, until: int) -> Any:
        """Everything is in memory."""
        return iter(())

    def apply(self, command: Command, entry: Entry) -> Answer:
        if type(command) is Stumble:
            self.add(entry, command.counter, 1)
            raise LookupError(command.counter)
        if command.by == 13:
            self.add(entry, command.counter, 13)
            message = "thirteen brings no luck"
            raise NotAlone(message, field="by")
        self.add(entry, command.counter, command.by)
        return Answer(200, f"{self.values[command.counter]} at {entry.position}".encode())

    def add(self, entry: Entry, counter: int, by: int) -> None:
        before = self.values.get(counter)
        entry.undo(self.back, counter, before)
        self.values[counter] = (before or 0) + by
        self.touched.add(counter)
        entry.emit(Added(counter, by))

    def back(self, counter: int, before: int | None) -> None:
        if before is None:
            del self.values[counter]
        else:
            self.values[counter] = before

    def refuse(self, command: Command, refusal: Refusal, entry: Entry) -> None:
        entry.emit(NotAdded(command.counter))

    def has_due(self, now: int) -> bool:
        return self.due_once is not None

    def due(self, now: int) -> Command | None:
        command, self.due_once = self.due_once, None
        return command

    def begin(self) -> None:
        self.touched = set()
        self.open.append((self.touched, {}))

    def hand_over(self) -> None:
        touched, before = self.open[-1]
        for number in touched & self.values.keys():
            before[number] = self.stored.get(number)
            self.stored[number] = self.values[number]

    def committed(self) -> None:
        self.open.popleft()

    def aborted(self) -> None:
        _, before = self.open.pop()
        for number, value in before.items():
            if value is None:
                del self.stored[number]
            else:
                self.stored[number] = value
        self.touched = self.open[-1][0] if self.open else set()

    async def reload(self, connection: AsyncConnection) -> None:
        rows = await (await connection.execute("SELECT id, value FROM fabric.counter")).fetchall()
        self.values, self.stored = dict(rows), dict(rows)


@dataclass
class Running:
    """A conveyor that runs, with what is around it."""

    counters: Counters
    writer: Writer
    conveyor: Conveyor
    belt: asyncio.Task
    now: list[int] = field(default_factory=lambda: [NOW])

    def send(
        self, command: Command, key: str | None = None, at: int | None = None
    ) -> asyncio.Future[Answer]:
        digest = None if key is None else idempotency_digest(1, key)
        item = self.conveyor.item(
            command, client=1, key=digest, request=request_digest(command), at=at
        )
        return self.conveyor.submit(item)


@contextlib.asynccontextmanager
async def running(
    dsn: str, *, batch: int = 100, queue: int = 1_000, name: str = "test"
) -> AsyncIterator[Running]:
    async def connect() -> AsyncConnection:
        return await AsyncConnection.connect(dsn, autocommit=True)

    writer = Writer(connect, description=name)
    head = await writer.open()
    counters, now = Counters(), [NOW]
    await counters.reload(writer.connection)
    conveyor = Conveyor(
        writer,
        counters,
        head=head,
        now=lambda: now[0],
        clock_ns=lambda: 0,
        limits=Limits(batch=batch, queue=queue),
    )
    belt = asyncio.create_task(conveyor.run())
    try:
        yield Running(counters, writer, conveyor, belt, now)
    finally:
        await conveyor.stop()
        with contextlib.suppress(Refusal):
            await belt
        await writer.retire()


def stored(database) -> dict[int, int]:
    return dict(database.connection.execute("SELECT id, value FROM fabric.counter").fetchall())


def entries(database) -> list[tuple[int, ...]]:
    return database.connection.execute(
        "SELECT position, (extract(epoch FROM ordered_at) * 1000000)::bigint, event_count "
        "FROM fabric.log_entry ORDER BY position"
    ).fetchall()
