"""One writer at a time, and no commit that is done twice or lost."""

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from tests.rooms.fabric.counting import Add, running, stored

from scudo.fabric import (
    Answer,
)
from scudo.fabric.log.errors import WriterAlive, WriterFenced

if TYPE_CHECKING:
    from collections.abc import Callable


class TestFencing:
    def test_a_second_writer_waits_for_one_that_is_alive(self, counted):
        """A log whose writer keeps its heartbeat is not taken over."""

        async def run():
            async with running(counted.dsn.app, name="the first") as bank:

                async def beat():
                    async with await AsyncConnection.connect(
                        counted.dsn.app, autocommit=True
                    ) as connection:
                        while True:
                            await bank.writer.beat(connection)
                            await asyncio.sleep(0.2)

                beating = asyncio.create_task(beat())
                with pytest.raises(WriterAlive, match="the first"):
                    async with running(counted.dsn.app):
                        pass
                beating.cancel()
                return await bank.send(Add(1, 1))

        assert asyncio.run(run()).status == 200

    def test_an_old_writer_moves_nothing_after_a_new_one_has_taken_over(self, counted):
        """The epoch of the head fences it, its waiters are told, and it stops."""

        async def run():
            async with running(counted.dsn.app) as old:
                await old.send(Add(1, 1))
                async with running(counted.dsn.app) as new:
                    late = await old.send(Add(1, 10))
                    with pytest.raises(WriterFenced):
                        await old.belt
                    return late, await new.send(Add(1, 100)), await old.send(Add(1, 10))

        late, fresh, after = asyncio.run(run())

        assert b"writer_fenced" in late.body
        assert b"writer_fenced" in after.body
        assert fresh.body == b"101 at 2"
        assert stored(counted) == {1: 101}


class Cutter:
    """A proxy before PostgreSQL's socket that can lose a COMMIT, or the answer to it."""

    def __init__(self, dsn: str, folder: Path) -> None:
        known = conninfo_to_dict(dsn)
        port = known.get("port") or 5432
        self.target = f"{known['host']}/.s.PGSQL.{port}"
        self.path = folder / f".s.PGSQL.{port}"
        self.dsn = make_conninfo(dsn, host=str(folder))
        self.lose: str | None = None
        self.lost = 0
        self.then: Callable[[], object] = lambda: None
        self.streams: list[asyncio.StreamWriter] = []

    async def close(self) -> None:
        """Close what is still open before the loop is."""
        for stream in self.streams:
            stream.close()
            with contextlib.suppress(OSError):
                await stream.wait_closed()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(self.target)
        self.streams += (writer, up_writer)
        back = asyncio.create_task(self.pump(up_reader, writer))
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if self.lose is not None and b"COMMIT" in data:
                    lose, self.lose = self.lose, None
                    self.lost += 1
                    if lose == "answer":
                        back.cancel()
                        await asyncio.wait((back,))
                        up_writer.write(data)
                        await up_writer.drain()
                        await up_reader.read(65_536)
                        self.then()
                    break
                up_writer.write(data)
                await up_writer.drain()
        back.cancel()
        for stream in (up_writer, writer):
            stream.close()

    @staticmethod
    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()


class TestLostCommit:
    @pytest.mark.parametrize("lose", ["request", "answer"])
    def test_a_lost_commit_is_resolved_by_looking(self, counted, tmp_path_factory, lose):
        """Whether COMMIT or its answer was lost, each item is done and answered once."""
        folder = tmp_path_factory.mktemp("s")

        async def run():
            cutter = Cutter(counted.dsn.app, folder)
            server = await asyncio.start_unix_server(cutter.serve, cutter.path)
            async with server:
                async with running(cutter.dsn) as bank:
                    await bank.send(Add(1, 1), "a")
                    cutter.lose = lose
                    during = [bank.send(Add(1, 2), "b"), bank.send(Add(2, 5), "c")]
                    answers = [await answer for answer in during]
                    again = await bank.send(Add(1, 2), "b")
                    after = await bank.send(Add(1, 4), "d")
                await cutter.close()
            return cutter.lost, answers, again, after, bank.conveyor.tally.recovered

        lost, answers, again, after, recovered = asyncio.run(run())

        assert (lost, recovered) == (1, 1)
        assert answers == [Answer(200, b"3 at 2"), Answer(200, b"5 at 3")]
        assert again == answers[0]
        assert after == Answer(200, b"7 at 4")
        assert stored(counted) == {1: 7, 2: 5}

    def test_what_was_committed_is_answered_by_a_writer_that_was_replaced_meanwhile(
        self, counted, tmp_path_factory
    ):
        """The log tells it that its batch is there; whatever comes later is refused."""
        folder = tmp_path_factory.mktemp("s")
        raise_epoch = "UPDATE fabric.log_head SET epoch = epoch + 1"

        async def run():
            cutter = Cutter(counted.dsn.app, folder)
            cutter.then = lambda: counted.connection.execute(raise_epoch)
            server = await asyncio.start_unix_server(cutter.serve, cutter.path)
            async with server:
                async with running(cutter.dsn) as bank:
                    await bank.send(Add(1, 1))
                    cutter.lose = "answer"
                    during = await bank.send(Add(1, 2), "b")
                    after = await bank.send(Add(1, 4), "c")
                    with pytest.raises(WriterFenced):
                        await bank.belt
                await cutter.close()
            return during, after

        during, after = asyncio.run(run())

        assert during == Answer(200, b"3 at 2")
        assert b"writer_fenced" in after.body
        assert stored(counted) == {1: 3}

    @pytest.mark.parametrize("connection", ["_connection", "_scout"])
    def test_a_backend_that_is_ended_costs_nothing(self, counted, connection):
        """The one that commits or the one that looks up: both are made anew, the items done."""

        async def run():
            async with running(counted.dsn.app) as bank:
                await bank.send(Add(1, 1), "one")
                ended = getattr(bank.writer, connection).info.backend_pid
                with psycopg.connect(counted.dsn.admin, autocommit=True) as admin:
                    admin.execute("SELECT pg_terminate_backend(%s, 1000)", (ended,))
                return await bank.send(Add(1, 2), "a")

        assert asyncio.run(run()) == Answer(200, b"3 at 2")
        assert stored(counted) == {1: 3}

    def test_memory_that_differs_from_the_database_is_dropped(self, counted):
        """A guarded update that finds other rows makes the conveyor load again."""

        async def run():
            async with running(counted.dsn.app) as bank:
                await bank.send(Add(1, 1))
                counted.connection.execute("UPDATE fabric.counter SET value = 500")
                return await bank.send(Add(1, 2))

        assert asyncio.run(run()) == Answer(200, b"502 at 2")


class TestRights:
    @pytest.mark.parametrize(
        "table",
        [
            "fabric.log_batch",
            "fabric.log_entry",
            "fabric.idempotency",
            "decisions.decision",
            "ledger.transfer",
        ],
    )
    @pytest.mark.parametrize(
        "act",
        ["DELETE FROM {}", "TRUNCATE {}", "UPDATE {} SET {} = {}", "DROP TABLE {}"],
    )
    def test_the_application_cannot_change_what_is_appended(self, database, table, act):
        """UPDATE, DELETE, TRUNCATE and DROP are refused to the application's role."""
        (column,) = database.connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 1",
            (table,),
        ).fetchone()

        with (
            psycopg.connect(database.dsn.app, autocommit=True) as app,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            app.execute(act.format(table, column, column))
