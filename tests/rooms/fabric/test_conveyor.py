"""The conveyor on a real PostgreSQL, with a small application that counts."""

import asyncio
import itertools

import pytest
from tests.rooms.fabric.counting import MOST, NOW, Add, Stumble, entries, running, stored

from scudo.fabric import (
    Answer,
    idempotency_digest,
)


class TestIdempotency:
    def test_a_repeated_key_gets_the_same_answer_byte_for_byte(self, counted):
        """In the same batch, in a later one and from a later writer, nothing is done twice."""

        async def run():
            async with running(counted.dsn.app) as bank:
                twins = [bank.send(Add(1, 5), "a"), bank.send(Add(1, 5), "a")]
                first, twin = [await answer for answer in twins]
                later = await bank.send(Add(1, 5), "a")
            async with running(counted.dsn.app) as bank:
                return first, twin, later, await bank.send(Add(1, 5), "a")

        answers = asyncio.run(run())

        assert set(answers) == {Answer(200, b"5 at 1")}
        assert stored(counted) == {1: 5}

    @pytest.mark.parametrize("same_batch", [True, False])
    def test_a_key_with_another_body_is_refused_and_names_the_field(self, counted, same_batch):
        """The first field that differs is named; nothing is done."""

        async def run():
            async with running(counted.dsn.app) as bank:
                first = bank.send(Add(1, 5), "a")
                if not same_batch:
                    await first
                return await bank.send(Add(1, 6), "a"), await bank.send(Stumble(1), "a")

        by, kind = asyncio.run(run())

        assert by.status == kind.status == 422
        assert b"idempotency_key_reused" in by.body
        assert b'"by"' in by.body
        assert b'"kind"' in kind.body
        assert stored(counted) == {1: 5}

    def test_a_refusal_is_remembered(self, counted):
        """A business refusal is repeated for its key even when it would not be given now."""

        async def run():
            async with running(counted.dsn.app) as bank:
                one = await bank.send(Add(1, 13), "a")
                return one, await bank.send(Add(1, 13), "a")

        one, again = asyncio.run(run())

        assert one == again
        assert one.status == 409
        assert len(entries(counted)) == 1
        assert stored(counted) == {}

    def test_keys_of_two_clients_do_not_meet(self):
        """The same key of another client is another key."""
        assert idempotency_digest(1, "a") != idempotency_digest(2, "a")
        assert idempotency_digest(1, "1a") != idempotency_digest(11, "a")


class TestPoison:
    def test_an_item_that_meets_a_fault_of_ours_is_refused_alone(self, counted):
        """What it had changed is taken back, and the others of its batch are done."""

        async def run():
            async with running(counted.dsn.app) as bank:
                sent = [bank.send(Add(1, 1)), bank.send(Stumble(1)), bank.send(Add(1, 2))]
                return [await answer for answer in sent], bank.conveyor.tally

        (one, poisoned, other), tally = asyncio.run(run())

        assert one.status == other.status == 200
        assert b"request_poisoned" in poisoned.body
        assert stored(counted) == {1: 3}
        assert (tally.poisoned, tally.batches) == (1, 1)

    @pytest.mark.parametrize("place", [0, 3, 7])
    def test_an_item_whose_rows_the_database_refuses_is_refused_alone(self, counted, place):
        """The batch is halved until the one that breaks a CHECK stands alone."""

        async def run():
            async with running(counted.dsn.app) as bank:
                commands = [Add(n, 1) for n in range(8)]
                commands[place] = Add(place, MOST)
                answers = [bank.send(command, f"k{n}") for n, command in enumerate(commands)]
                return [await answer for answer in answers], bank.counters.values

        answers, memory = asyncio.run(run())

        statuses = [answer.status for answer in answers]
        assert statuses.pop(place) == 500
        assert set(statuses) == {200}
        assert stored(counted) == memory == {n: 1 for n in range(8) if n != place}

    def test_an_aborted_batch_leaves_no_trace(self, counted):
        """After a batch that the database refused, memory, log and answers are as without it."""

        async def run():
            async with running(counted.dsn.app) as bank:
                await bank.send(Add(1, 1))
                before = dict(bank.counters.values)
                refused = await bank.send(Add(1, MOST))
                after = dict(bank.counters.values)
                return before, after, refused, await bank.send(Add(1, 1))

        before, after, refused, again = asyncio.run(run())

        assert before == after == {1: 1}
        assert refused.status == 500
        assert again == Answer(200, b"2 at 2")
        assert [position for position, _, _ in entries(counted)] == [1, 2]


class TestQueue:
    def test_a_full_queue_is_answered_at_once_and_nothing_is_done(self, counted):
        """What does not fit is refused as overloaded; what fits is done."""

        async def run():
            async with running(counted.dsn.app, queue=3) as bank:
                sent = [bank.send(Add(1, 1)) for _ in range(5)]
                return [await answer for answer in sent]

        answers = asyncio.run(run())

        assert [answer.status for answer in answers] == [200, 200, 200, 503, 503]
        assert b"overloaded" in answers[-1].body
        assert stored(counted) == {1: 3}

    def test_what_is_queued_is_answered_before_it_stops(self, counted):
        """Stopping drops nothing that was accepted."""

        async def run():
            async with running(counted.dsn.app, batch=2) as bank:
                sent = [bank.send(Add(1, 1)) for _ in range(7)]
            return [await answer for answer in sent]

        assert {answer.status for answer in asyncio.run(run())} == {200}
        assert stored(counted) == {1: 7}


class TestOrder:
    def test_positions_have_no_gap_and_times_only_go_on(self, counted):
        """With a clock that stands still or goes back, ordered_at still grows by event."""

        async def run():
            async with running(counted.dsn.app, batch=3) as bank:
                for step in (0, 0, -5_000_000, 7):
                    bank.now[0] += step
                    for answer in [bank.send(Add(n, n)) for n in (1, 2, 13)]:
                        await answer
                await bank.send(Add(1, 13))

        asyncio.run(run())
        rows = entries(counted)

        positions = [position for position, _, _ in rows]
        assert positions == list(range(1, len(rows) + 1))
        times = [time for _, time, _ in rows]
        assert all(one < other for one, other in itertools.pairwise(times))

    def test_a_file_drives_the_clock_until_live_traffic_has_run(self, counted):
        """Times of a file are taken as given, and refused once the clock is live."""

        async def run():
            async with running(counted.dsn.app) as bank:
                await bank.send(Add(1, 1), at=NOW - 10**12)
                file_clock = bank.conveyor.head.clock
                await bank.send(Add(1, 1))
                return file_clock, await bank.send(Add(1, 1), at=NOW + 10**12)

        clock, late = asyncio.run(run())

        assert clock == "file"
        assert b"clock_is_live" in late.body
        times = [time for _, time, _ in entries(counted)]
        assert times == [NOW - 10**12, NOW]

    def test_partitions_are_added_as_the_log_grows(self, counted):
        """Every growing table gets its partitions before the first row that needs them."""
        counted.connection.execute("UPDATE fabric.growth SET width = 4")

        async def run():
            async with running(counted.dsn.app, batch=3) as bank:
                for answer in [bank.send(Add(1, 1)) for _ in range(20)]:
                    assert (await answer).status == 200

        asyncio.run(run())

        rows = counted.connection.execute(
            "SELECT inhparent::regclass::text, count(*) FROM pg_inherits "
            "WHERE inhparent::regclass::text IN ('fabric.log_entry', 'ledger.transfer') GROUP BY 1"
        ).fetchall()
        assert all(count >= 6 for _, count in rows)
        used = counted.connection.execute(
            "SELECT count(DISTINCT tableoid) FROM fabric.log_entry"
        ).fetchone()
        assert used == (6,)
