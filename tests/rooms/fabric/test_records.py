"""Records on a real conveyor: what is kept, what is found, and what is undone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection
from tests.rooms.fabric.counting import NOW

from scudo.fabric import (
    Answer,
    Batch,
    Command,
    Conveyor,
    Entry,
    Event,
    Head,
    Limits,
    Records,
    RecordWitness,
    Register,
    RowBroken,
    Stretch,
    Writer,
    find_record,
    list_records,
    read_record,
    records,
)
from scudo.kernel import GENESIS, Refusal

RULES, NOTES = 11, 12


class Note(msgspec.Struct, frozen=True):
    """A text, and the note that it goes on in; 0: none."""

    text: str
    goes_on: int = 0


class Written(Event, tag=1):
    """Something was written."""

    thing: int


class Write(Command, tag=1):
    """Write a note or a rule; `fails`: and then refuse, or meet a fault of ours."""

    kind: int
    thing: int
    text: str
    goes_on: int = 0
    fails: str = ""


class Read(Command, tag=2):
    """Read a note and all that it goes on in."""

    thing: int


class NotWritten(Refusal):
    """Raised when a write is refused."""

    code = "not_written"
    kind = "conflict"
    next_step = "Write something else."


class Desk:
    """The application: nothing but records."""

    known_until = 1 << 62

    def __init__(self) -> None:
        self.index: dict[str, int] = {}
        self.rules = Register(RULES, Note, resident=True, changed=self._changed)
        self.notes = Register(NOTES, Note, resident=False)
        self.records = Records((self.rules, self.notes))
        self.asked: list[int] = []

    def _changed(self, number: int, before: Note | None, after: Note | None) -> None:
        if before is not None:
            del self.index[before.text]
        if after is not None:
            self.index[after.text] = number

    @property
    def stores(self) -> tuple[Records]:
        return (self.records,)

    def refers_to(self, command: Command) -> Iterator[tuple[int, int]]:
        if type(command) is Write and command.kind == NOTES:
            yield NOTES, command.thing
        elif type(command) is Read:
            number = command.thing
            while number:
                yield NOTES, number
                note = self.notes.get(number)
                number = 0 if note is None else note.goes_on

    def prepare(self, lookup: Any, commands: Any, *, until: int) -> Any:
        self.records.prepare()
        rounds = 0
        while self.records.ask(lookup, (r for c in commands for r in self.refers_to(c))):
            rounds += 1
            yield
        self.asked.append(rounds)

    def apply(self, command: Command, entry: Entry) -> Answer:
        if type(command) is Read:
            entry.emit(Written(command.thing))
            return Answer(200, " ".join(self._texts(command.thing)).encode())
        register = self.rules if command.kind == RULES else self.notes
        register.put(entry, command.thing or entry.position, Note(command.text, command.goes_on))
        entry.emit(Written(command.thing))
        if command.fails == "refused":
            message = "not this"
            raise NotWritten(message)
        if command.fails:
            raise LookupError(command.fails)
        return Answer(200, f"{register.version(command.thing or entry.position)}".encode())

    def _texts(self, number: int) -> Iterator[str]:
        while number:
            note = self.notes.get(number)
            if note is None:
                return
            yield note.text
            number = note.goes_on

    def refuse(self, command: Command, refusal: Refusal, entry: Entry) -> None:
        """Nothing is told."""

    def has_due(self, now: int) -> bool:
        return False

    def due(self, now: int) -> None:
        return None

    def begin(self) -> None:
        self.records.begin()

    def hand_over(self) -> None:
        self.records.hand_over()

    def committed(self) -> None:
        self.records.committed()

    def aborted(self) -> None:
        self.records.aborted()

    async def reload(self, connection: AsyncConnection) -> None:
        self.records.forget()
        await self.records.load(connection)


@dataclass
class Running:
    """A desk behind a conveyor."""

    desk: Desk
    writer: Writer
    conveyor: Conveyor

    def send(self, command: Command) -> asyncio.Future[Answer]:
        return self.conveyor.submit(self.conveyor.item(command, client=1))

    async def say(self, command: Command) -> str:
        return (await self.send(command)).body.decode()


@contextlib.asynccontextmanager
async def running(database: Any, *, batch: int = 100) -> AsyncIterator[Running]:
    async def connect() -> AsyncConnection:
        return await AsyncConnection.connect(database.dsn.app, autocommit=True)

    writer = Writer(connect, description="test")
    head = await writer.open()
    desk = Desk()
    await desk.reload(writer.connection)
    conveyor = Conveyor(
        writer, desk, head=head, now=lambda: NOW, clock_ns=lambda: 0, limits=Limits(batch=batch)
    )
    belt = asyncio.create_task(conveyor.run())
    try:
        yield Running(desk, writer, conveyor)
    finally:
        await conveyor.stop()
        await belt
        await writer.retire()


def versions(database) -> list[tuple[Any, ...]]:
    return database.connection.execute(
        "SELECT kind, thing, version, b.body->>'text' FROM fabric.record r "
        "CROSS JOIN LATERAL (SELECT convert_from(r.body, 'UTF8')::jsonb AS body) b ORDER BY id"
    ).fetchall()


class TestRegister:
    def test_keeps_every_version_of_a_thing(self, database):
        """Each write is a row of its own, counted from one; the newest holds."""

        async def run():
            async with running(database) as bank:
                said = [await bank.say(Write(RULES, 5, text)) for text in "abc"]
                return said, bank.desk.rules.get(5), bank.desk.rules.version(5)

        said, rule, version = asyncio.run(run())

        assert said == ["1", "2", "3"]
        assert (rule, version) == (Note("c"), 3)
        assert versions(database) == [(RULES, 5, n, text) for n, text in enumerate("abc", 1)]

    def test_takes_a_refused_write_back(self, database):
        """Memory, index and table are as before; the next write has the next version."""

        async def run():
            async with running(database) as bank:
                await bank.say(Write(RULES, 5, "a"))
                refused = await bank.send(Write(RULES, 5, "b", fails="refused"))
                new = await bank.send(Write(RULES, 6, "c", fails="refused"))
                kept = (bank.desk.rules.get(5), bank.desk.rules.get(6), dict(bank.desk.index))
                return refused.status, new.status, kept, await bank.say(Write(RULES, 5, "d"))

        status, other, kept, said = asyncio.run(run())

        assert (status, other, said) == (409, 409, "2")
        assert kept == (Note("a"), None, {"a": 5})
        assert versions(database) == [(RULES, 5, 1, "a"), (RULES, 5, 2, "d")]

    def test_loses_only_the_write_that_met_a_fault(self, database):
        """A batch that cannot be made is taken back whole, and its other writes are done."""

        async def run():
            async with running(database) as bank:
                sent = [
                    bank.send(Write(RULES, 5, "a")),
                    bank.send(Write(RULES, 5, "b", fails="fault")),
                    bank.send(Write(NOTES, 5, "c")),
                ]
                statuses = [(await answer).status for answer in sent]
                return statuses, bank.desk.rules.get(5), bank.desk.notes.get(5)

        statuses, rule, note = asyncio.run(run())

        assert statuses[0] == statuses[2] == 200
        assert statuses[1] >= 400
        assert (rule, note) == (Note("a"), Note("c"))
        assert versions(database) == [(RULES, 5, 1, "a"), (NOTES, 5, 1, "c")]

    def test_takes_back_what_the_database_refuses(self, database):
        """An aborted commit leaves memory as it is stored, and one can go on."""
        database.connection.execute(
            "ALTER TABLE fabric.record ADD CONSTRAINT no_x CHECK (position('xxx' IN "
            "convert_from(body, 'UTF8')) = 0)"
        )

        async def run():
            async with running(database) as bank:
                await bank.say(Write(RULES, 5, "a"))
                sent = [bank.send(Write(RULES, 5, text)) for text in ("b", "xxx", "c")]
                statuses = [(await answer).status for answer in sent]
                return statuses, bank.desk.rules.get(5), bank.desk.rules.version(5), bank.desk.index

        statuses, rule, version, index = asyncio.run(run())

        assert [status == 200 for status in statuses] == [True, False, True]
        assert (rule, version, index) == (Note("c"), 3, {"c": 5})
        assert [row[2:] for row in versions(database)] == [(1, "a"), (2, "b"), (3, "c")]

    def test_writes_nothing_that_was_not_looked_up(self, database):
        """A room that forgets to refer to a thing is stopped before it makes two first versions."""
        register = Register(NOTES, Note, resident=False)
        store = Records((register,))
        store.begin()
        batch = Batch(Head(1, 40, NOW, 1, GENESIS, "unset"), recorded_at=NOW)
        entry = batch.entry(client=1, owner=None, now=NOW, at=None)

        with pytest.raises(AssertionError, match="nobody knows"):
            register.put(entry, 7, Note("a"))
        register.put(entry, entry.position, Note("new"))

        assert register.get(7) is None
        assert register.get(entry.position) == Note("new")


class TestRecords:
    def test_load_what_is_resident_and_nothing_else(self, database):
        """After a restart and a reload, the newest version of every resident thing is there."""

        async def run():
            async with running(database) as bank:
                for thing, text in ((1, "a"), (2, "b"), (1, "c")):
                    await bank.say(Write(RULES, thing, text))
                await bank.say(Write(NOTES, 9, "n"))
            async with running(database) as bank:
                first = dict(bank.desk.rules.items()), dict(bank.desk.notes.items())
                await bank.desk.reload(bank.writer.connection)
                return first, dict(bank.desk.rules.items()), bank.desk.index

        first, again, index = asyncio.run(run())

        assert first == ({1: Note("c"), 2: Note("b")}, {})
        assert again == first[0]
        assert index == {"c": 1, "b": 2}

    def test_bring_what_a_command_refers_to_and_what_that_refers_on_to(self, database):
        """Each round trip finds the next of a chain; what is not there is asked for once."""

        async def run():
            async with running(database) as bank:
                for thing, text, goes_on in ((1, "a", 2), (2, "b", 3), (3, "c", 99)):
                    await bank.say(Write(NOTES, thing, text, goes_on))
            async with running(database) as bank:
                told = await bank.say(Read(1)), await bank.say(Read(77))
                return told, bank.desk.asked, 99 in bank.desk.notes

        told, asked, is_there = asyncio.run(run())

        assert told == ("a b c", "")
        assert max(asked) == 4
        assert not is_there

    def test_write_the_next_version_of_a_thing_that_memory_did_not_hold(self, database):
        """It is looked up first, so that it goes on from the version that is stored."""

        async def run():
            async with running(database) as bank:
                await bank.say(Write(NOTES, 5, "a"))
            async with running(database) as bank:
                return await bank.say(Write(NOTES, 5, "b"))

        assert asyncio.run(run()) == "2"
        assert [row[2:] for row in versions(database)] == [(1, "a"), (2, "b")]

    @settings(
        max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(
        writes=st.lists(
            st.tuples(st.integers(1, 6), st.sampled_from(["", "", "refused", "fault"])),
            min_size=1,
            max_size=40,
        )
    )
    def test_lose_nothing_when_memory_is_too_small(self, database, monkeypatch, writes):
        """Whatever is evicted between, versions follow on each other and the newest is found."""
        monkeypatch.setattr(records, "_KEPT_MAX", 2)

        async def run():
            async with running(database, batch=3) as bank:
                found = {n: (bank.desk.notes.version(n), await bank.say(Read(n))) for n in range(7)}
                sent = [
                    (thing, f"{number}", bank.send(Write(NOTES, thing, f"{number}", fails=fails)))
                    for number, (thing, fails) in enumerate(writes)
                ]
                for thing, text, answer in sent:
                    if (await answer).status == 200:
                        found[thing] = (0, text)
                for number in range(1, 7):
                    assert await bank.say(Read(number)) == found[number][1]
                return len(list(bank.desk.notes.items()))

        kept = asyncio.run(run())

        # Those of the batch in hand and of the one before may come on top.
        assert kept <= 2 + 2 * 3
        seen: dict[int, int] = {}
        for _, thing, version, _ in versions(database):
            assert version == seen.get(thing, 0) + 1
            seen[thing] = version

    def test_are_found_as_they_are_stored(self, database):
        """Outside the writer too, with nothing in memory; what is unknown is None."""
        register = Register(NOTES, Note, resident=False)

        async def run():
            async with running(database) as bank:
                for text in "ab":
                    await bank.say(Write(NOTES, 5, text))
                await bank.say(Write(NOTES, 6, "c"))
            async with await AsyncConnection.connect(database.dsn.read) as connection:
                return (
                    await find_record(connection, register, 5),
                    await find_record(connection, register, 7),
                    await list_records(connection, register),
                )

        found, unknown, listed = asyncio.run(run())

        assert (found, unknown) == (Note("b"), None)
        assert listed == [(5, 2, Note("b")), (6, 1, Note("c"))]

    def test_of_one_number_are_a_bug(self):
        """Two kinds that share a number are found at the start."""
        with pytest.raises(AssertionError, match="one number"):
            Records(Register(RULES, Note, resident=True) for _ in range(2))

    def test_cannot_be_changed_by_the_role_that_writes_them(self, database):
        """The bank's own role has no right to change or delete a version."""
        with psycopg.connect(database.dsn.app, autocommit=True) as connection:
            for change in (
                "UPDATE fabric.record SET version = 2",
                "DELETE FROM fabric.record",
                "TRUNCATE fabric.record",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(change)


def stretch_of(*rows: tuple[int, int, bytes]) -> Stretch:
    """A stretch with these records of one kind: thing, version, body."""
    register = Register(RULES, Note, resident=True)
    store = Records((register,))
    store.begin()
    batch = Batch(Head(1, 0, NOW, 0, GENESIS, "unset"), recorded_at=NOW)
    entry = batch.entry(client=1, owner=None, now=NOW, at=None)
    images = []
    for thing, version, body in rows:
        register.restore(thing, (version - 1, Note("")))
        register.put(entry, thing, Note("text"))
        image = batch.rows[records.RECORD][-1]
        images.append(image.replace(read_record(image).body, body) if body else image)
    return Stretch(1, 1, [], {records.RECORD.name: images})


class TestRecordWitness:
    def test_counts_versions_that_follow_on_each_other(self):
        """Over several stretches, each thing for itself."""
        witness = RecordWitness()
        witness.see(stretch_of((1, 1, b""), (2, 1, b""), (1, 2, b"")), None)
        witness.see(stretch_of((2, 2, b""), (1, 3, b"")), None)

        assert witness.records == 5

    @pytest.mark.parametrize(
        ("rows", "expected"),
        [
            (((1, 2, b""),), "version 1"),
            (((1, 1, b""), (1, 1, b"")), "version 2"),
            (((1, 1, b""), (1, 3, b"")), "version 2"),
            (((1, 1, b'{"text":"tex\x00}'),), "JSON"),
        ],
    )
    def test_names_a_version_too_many_or_too_few_and_a_body_that_is_none(self, rows, expected):
        """A version that is left out, one that is there twice, and bytes that are no JSON."""
        with pytest.raises(RowBroken) as broken:
            RecordWitness().see(stretch_of(*rows), None)

        assert broken.value.row.table == "fabric.record"
        assert broken.value.row.expected == expected
