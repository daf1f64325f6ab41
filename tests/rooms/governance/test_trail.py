"""What is kept of requests: masked, bounded, and forgotten in time."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import AsyncConnection
from tests.conftest import Database

from scudo.fabric import Tokeniser, web
from scudo.governance.trail import RequestTrail
from scudo.governance.trail.masking import masked
from scudo.kernel import SECOND_US

PERSONAL = [
    "anna.rossi@example.org",
    "Anna",
    "anna",
    "+41791234567",
    "CH9300762011623852957",
    "4539578763621486",
    45395787636214861,
    "192.0.2.7",
    "1990-02-30T",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
]
HARMLESS = ["cus_00000000000004d2", "EUR", "2026-01-15T09:30:00Z", 1_234_567, 0, True, None]


def trail(now: int = 0) -> RequestTrail:
    return RequestTrail(now=lambda: now, tokens=Tokeniser(bytes(32)))


def taken(trail: RequestTrail, answer: bytes = b'{"id":"cus_00000000000004d2"}') -> None:
    """Take one answered request."""

    async def handler(call: web.Call) -> web.Reply:
        return web.Reply(200)

    operation = web.Operation(
        method="POST",
        path="/v1/things",
        name="make_thing",
        summary="Make a thing",
        tag="governance",
        scope="things:write",
        handler=handler,
        answers={200: dict},
    )
    call = web.Call(
        web.Principal(7, frozenset()),
        path={},
        body=None,
        query=None,
        key=None,
        ordered_at=None,
        trace_id="t",
    )
    trail.take(operation, call, status=200, answer=answer, elapsed_ns=5_000)


class TestMasked:
    """Only what is harmless by its form is kept."""

    @pytest.mark.parametrize("value", PERSONAL)
    def test_hides_what_might_be_about_a_person(self, value: Any) -> None:
        """Wherever it stands."""
        for told in (masked(value), masked({"a": [value]}), masked([{"b": {"c": value}}])):
            assert str(value) not in str(told)

    @pytest.mark.parametrize("value", HARMLESS)
    def test_keeps_what_an_auditor_needs(self, value: Any) -> None:
        """Ids, currencies, instants, amounts, truth."""
        assert masked({"a": [value]}) == {"a": [value]}

    def test_hides_a_day_which_may_be_that_of_a_birth(self) -> None:
        """An instant is kept, a day alone is not."""
        assert masked("1971-03-08") == "*10"

    # Without digits no text is an id or an instant, which are kept.
    @given(
        st.recursive(
            st.text(st.characters(exclude_categories=["Nd"]), min_size=9),
            lambda inner: st.lists(inner, max_size=3),
        )
    )
    def test_no_text_of_any_shape_gets_through(self, value: Any) -> None:
        """Whatever is asked, texts come out as stars and their length."""

        def leaves(node: Any) -> list[Any]:
            if isinstance(node, list):
                return [leaf for item in node for leaf in leaves(item)]
            return [node]

        assert all(str(leaf).startswith("*") for leaf in leaves(masked(value)))

    def test_ends_at_a_depth_and_a_length(self) -> None:
        """A value without end is cut."""
        deep: Any = 1
        for _ in range(200):
            deep = [deep]

        assert str(masked(deep)).count("[") <= 8
        assert len(masked(list(range(1_000)))) == 20


class TestRequestTrail:
    """Requests wait in memory, are written aside, and go."""

    def test_is_bounded_and_counts_what_it_loses(self) -> None:
        """A database that is gone for long does not fill the memory."""
        kept = trail()
        for _ in range(20_003):
            taken(kept)

        assert kept.lost == 3

    def test_takes_answers_that_are_no_json(self) -> None:
        """What cannot be read is not kept, and harms nobody."""
        kept = trail()
        taken(kept, answer=b"\xff\xfe")

        assert kept.lost == 0

    def test_writes_what_waits(self, database: Database) -> None:
        """At the latest when the bank closes."""

        async def connect() -> AsyncConnection[Any]:
            return await AsyncConnection.connect(database.dsn.app, autocommit=True)

        async def count() -> int:
            async with await connect() as connection:
                row = await (
                    await connection.execute("SELECT count(*) FROM governance.request")
                ).fetchone()
                assert row is not None
                return int(row[0])

        async def scenario() -> None:
            early = trail(now=SECOND_US)
            async with early.running(connect):
                taken(early)
            assert await count() == 1

        asyncio.run(scenario())
