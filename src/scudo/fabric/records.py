"""Records: things of which every version is kept, as a chained row that is never changed.

For what people decide and what they may: operators, roles, credentials, approvals, flags,
limits. There are few of them beside payments, they are read far more often than changed, and
whoever changes one in the database, with whatever rights, is named by the auditor. A room
declares a `Register` of each kind; what a command changes is undone with its entry.
"""

import struct
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec
from psycopg import AsyncConnection, Connection
from psycopg.rows import TupleRow

from scudo.fabric.evidence import RowBroken, Stretch
from scudo.fabric.log import Answer, Command, Entry
from scudo.fabric.lookup import Lookup
from scudo.fabric.rows import Int8Array, Table, queries, sized
from scudo.fabric.stored import Chained
from scudo.fabric.writer import Guarded
from scudo.kernel import Prefix, ids

_SQL: Final = queries("scudo.fabric", "records.sql")
RECORD: Final = Table(
    "fabric.record", ("id", "kind", "thing", "version", "body"), b"R1", (8, 2, 8, 8, 0)
)
RECORDS: Final = Chained(RECORD, ids.LEGS_BITS, Prefix.RECORD, _SQL["records"])
#: Rank of records among the leaves of an entry (before decisions and transfers).
RECORD_ORDER: Final = 5
_FIXED: Final = struct.Struct(">hiqihiqiq")
_ROW: Final = struct.Struct(">2x4xq4xh4xq4xqi")
_encode: Final = msgspec.json.Encoder().encode
#: Things of a kind that is not resident and that memory keeps beyond those in use.
_KEPT_MAX: Final = 100_000

T = TypeVar("T", bound=msgspec.Struct)
#: A kind and the number of a thing of that kind.
Reference = tuple[int, int]
#: Told the number of a thing, what it was and what it is now; None: it is not there.
Changed = Callable[[int, T | None, T | None], None]


class Register(Generic[T]):
    """All things of one kind that memory holds, as the one writer sees them.

    Read it from the event loop's thread only. What a batch that is not committed yet has
    changed is seen too: whatever is told to anybody is told after the commit.
    """

    def __init__(
        self, kind: int, type_: type[T], *, resident: bool, changed: Changed[T] | None = None
    ) -> None:
        """Declare a kind.

        Args:
            kind: its number, for ever; from 1 to 32767. Hundreds go by room: fabric none,
                identity 1xx, governance 5xx.
            type_: a frozen struct. Members that are added later have a default.
            resident: whether all things of the kind are in memory from the start; those of
                other kinds come when a command refers to them.
            changed: keeps an index of the room's own.
        """
        self.kind = kind
        self.type = type_
        self.resident = resident
        self.decode: Callable[[bytes], T] = msgspec.json.Decoder(type_).decode
        self._changed = changed
        self._things: dict[int, tuple[int, T]] = {}
        #: What each open batch has written, oldest first; shared by all registers of a store.
        self.written: deque[set[Reference]] = deque()
        #: What was looked up for commands that are not decided yet; shared as well.
        self.sought: set[Reference] = set()

    def __contains__(self, number: int) -> bool:
        """Whether memory holds a thing."""
        return number in self._things

    def get(self, number: int) -> T | None:
        """Give a thing that memory holds."""
        found = self._things.get(number)
        return None if found is None else found[1]

    def version(self, number: int) -> int:
        """How often a thing has been written; 0 if memory does not hold it."""
        found = self._things.get(number)
        return 0 if found is None else found[0]

    def items(self) -> Iterator[tuple[int, T]]:
        """Every thing that memory holds, by number; do not write while you go through them."""
        return ((number, thing) for number, (_, thing) in self._things.items())

    def put(self, entry: Entry, number: int, thing: T) -> None:
        """Write the next version of a thing, or its first, with an entry of the log.

        Args:
            entry: that it is written with, and undone with.
            number: of the thing; from 1 to 2**63 - 1. The command refers to it, so that it was
                looked up; or it has the number of a position of this entry, and is new.
            thing: what holds from now on.
        """
        before = self._things.get(number)
        assert (
            before is not None
            or self.resident
            or (self.kind, number) in self.sought
            or number >= entry.position
        ), "a thing is written of which nobody knows whether it is there"
        version = 1 if before is None else before[0] + 1
        leg = sum(1 for _, tag, _ in entry.leaves if tag == RECORD.tag)
        image = _FIXED.pack(
            *(5, 8, ids.transfer_id(entry.position, leg), 2, self.kind),
            *(8, number, 8, version),
        ) + sized(_encode(thing))
        entry.add(RECORD, image, order=RECORD_ORDER)
        entry.undo(self.restore, number, before)
        self.written[-1].add((self.kind, number))
        self.restore(number, (version, thing))

    def restore(self, number: int, state: tuple[int, T] | None) -> None:
        """Put a thing in memory as it was stored; None: memory does not hold it."""
        before = self._things.pop(number, None)
        if state is not None:
            self._things[number] = state
        if self._changed is not None:
            self._changed(
                number,
                None if before is None else before[1],
                None if state is None else state[1],
            )

    def let_go(self, needed: Container[Reference]) -> None:
        """Let go of what came first, if much is in memory that nobody needs now."""
        beyond = 0 if self.resident else len(self._things) - _KEPT_MAX
        if beyond > 0:
            idle = (n for n in self._things if (self.kind, n) not in needed)
            for number in list(islice(idle, beyond)):
                self.restore(number, None)

    def forget(self) -> None:
        """Let go of everything."""
        for number in list(self._things):
            self.restore(number, None)


class Keeper(Protocol):
    """A part of a room whose state is records."""

    @property
    def registers(self) -> Sequence[Register[Any]]:
        """Registers that it keeps."""

    @property
    def handlers(self) -> Mapping[type[Command], Callable[[Any, Entry], Answer]]:
        """What works on each kind of command, inside its entry."""

    def refers_to(self, command: Command) -> Iterable[Reference]:
        """Records that one of its commands needs in memory, as far as memory can tell.

        It is asked again once these have been looked up: what was found may refer on.
        """


class Records:
    """The store of all registers: loads what memory lacks; rows are written by their entries."""

    def __init__(self, registers: Iterable[Register[Any]]) -> None:
        """Serve the registers of all rooms; two of one number are a bug."""
        every = tuple(registers)
        self.registers = {register.kind: register for register in every}
        assert len(self.registers) == len(every), "two registers have one number"
        assert all(0 < kind < 1 << 15 for kind in self.registers), "a kind does not fit its column"
        self._written: deque[set[Reference]] = deque()
        #: What commands refer to that are being prepared; and with it, what those before them do.
        self._wanted: set[Reference] = set()
        self._sought: set[Reference] = set()
        for register in self.registers.values():
            register.written = self._written
            register.sought = self._sought

    # ---- the writer's port

    def locks(self) -> Iterable[Guarded]:
        """No row is ever changed."""
        return ()

    def copies(self) -> Iterable[tuple[Table, Sequence[bytes]]]:
        """All rows are chained and belong to their entries."""
        return ()

    def begin(self) -> None:
        """A batch begins."""
        self._written.append(set())

    def hand_over(self) -> None:
        """The batch goes to the database."""

    def committed(self) -> None:
        """The oldest batch is stored."""
        self._written.popleft()

    def aborted(self) -> None:
        """The newest batch was undone."""
        self._written.pop()

    def forget(self) -> None:
        """Drop every cache; resident kinds are loaded again by `load`."""
        for register in self.registers.values():
            register.forget()

    # ---- loading

    async def load(self, connection: AsyncConnection[TupleRow]) -> None:
        """Load every thing of the resident kinds."""
        kinds = [kind for kind, register in self.registers.items() if register.resident]
        cursor = await connection.execute(_SQL["load_kinds"], {"kinds": kinds}, binary=True)
        self._keep(await cursor.fetchall())

    def prepare(self) -> None:
        """Begin to look up for further commands; memory is tidied."""
        # What was prepared before may not have been decided yet.
        self._sought.clear()
        self._sought |= self._wanted
        self._wanted.clear()
        needed = self._sought.union(*self._written)
        for register in self.registers.values():
            register.let_go(needed)

    def ask(self, lookup: Lookup, wanted: Iterable[Reference]) -> bool:
        """Ask for things that memory does not hold; unknown ones stay unknown.

        Returns:
            whether anything is asked. Ask again after the answer: what was found may refer on.
        """
        new = set(wanted) - self._wanted
        self._wanted |= new
        self._sought |= new
        asked = sorted(
            (kind, number)
            for kind, number in new
            if not (register := self.registers[kind]).resident and number not in register
        )
        if asked:
            kinds = Int8Array(kind for kind, _ in asked)
            things = Int8Array(number for _, number in asked)
            lookup.ask(_SQL["load_things"], {"kinds": kinds, "things": things}, self._keep)
        return bool(asked)

    def _keep(self, rows: Iterable[TupleRow]) -> None:
        for kind, number, version, body in rows:
            register = self.registers[kind]
            # What an open batch has changed is newer than what a look finds.
            if number not in register:
                register.restore(number, (version, register.decode(bytes(body))))


async def find_record(
    connection: AsyncConnection[TupleRow], register: Register[T], number: int
) -> T | None:
    """Find a thing as it is stored, whether memory holds it or not."""
    cursor = await connection.execute(
        _SQL["find_thing"], {"kind": register.kind, "thing": number}, binary=True
    )
    row = await cursor.fetchone()
    return None if row is None else register.decode(bytes(row[0]))


async def list_records(
    connection: AsyncConnection[TupleRow], register: Register[T]
) -> Sequence[tuple[int, int, T]]:
    """List the things of a small kind as they are stored: number, version, and what holds."""
    cursor = await connection.execute(_SQL["load_kinds"], {"kinds": [register.kind]}, binary=True)
    return [
        (number, version, register.decode(bytes(body)))
        for _, number, version, body in await cursor.fetchall()
    ]


def stored_records(connection: Connection[Any], register: Register[T]) -> list[tuple[int, T]]:
    """List the things of a small kind as they are stored, for who looks from outside: by number."""
    rows = connection.execute(_SQL["load_kinds"], {"kinds": [register.kind]}, binary=True)
    return [(number, register.decode(bytes(body))) for _, number, _, body in rows.fetchall()]


async def page_records(
    connection: AsyncConnection[TupleRow], register: Register[T], *, after: int, limit: int
) -> Sequence[tuple[int, int, T]]:
    """List some things of a kind as they are stored, by number, from the one after `after` on."""
    page = {"kind": register.kind, "after": after, "limit": limit}
    cursor = await connection.execute(_SQL["page_kind"], page, binary=True)
    return [
        (number, version, register.decode(bytes(body)))
        for number, version, body in await cursor.fetchall()
    ]


def newest_records(connection: Connection[Any], *, limit: int) -> list[tuple[int, bytes]]:
    """List the last records, the newest first: the record's own id, and its body as stored."""
    return connection.execute(_SQL["newest_records"], {"limit": limit}, binary=True).fetchall()


class RecordRow(msgspec.Struct, frozen=True, gc=False):
    """A stored version of a thing; `number` is the record's own id."""

    number: int
    kind: int
    thing: int
    version: int
    body: bytes


def read_record(image: bytes) -> RecordRow:
    """Take the image of a row of `fabric.record` apart."""
    number, kind, thing, version, size = _ROW.unpack_from(image)
    return RecordRow(number, kind, thing, version, image[_ROW.size : _ROW.size + size])


class RecordWitness:
    """Sees that the versions of every thing follow on each other, each a readable body."""

    def __init__(self) -> None:
        """Begin before the first record."""
        self._versions: dict[Reference, int] = {}
        self.records = 0

    def see(self, stretch: Stretch, connection: object) -> None:  # noqa: ARG002 - the port asks for it
        """Check a stretch.

        Raises:
            RowBroken: at the first bad row.
        """
        for image in stretch.rows[RECORD.name]:
            row = read_record(image)
            kind, thing, version = row.kind, row.thing, row.version
            expected = self._versions.get((kind, thing), 0) + 1
            broken: tuple[str | None, object, object] | None = None
            if version != expected:
                broken = (None, f"version {expected}", f"version {version}")
            elif not _is_json(row.body):
                broken = ("body", "JSON", "other bytes")
            if broken is not None:
                column, wanted, found = broken
                key = ids.show(Prefix.RECORD, row.number)
                raise RowBroken(RECORD.name, key, column=column, expected=wanted, found=found)
            self._versions[kind, thing] = version
            self.records += 1

    def conclude(self, connection: object) -> None:
        """Nothing is left to compare: the newest versions are the state."""


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True
