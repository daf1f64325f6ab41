"""Days that were lived in a bank: what the gates said, and that they would say it again."""

import asyncio
import json
from contextlib import asynccontextmanager

import msgspec
import pytest
from psycopg import AsyncConnection

from scudo.auditing import verify_bank
from scudo.bootstrap import CATALOGUE, open_bank
from scudo.decisions import DecisionRecord, load_policy
from scudo.governance import find_leaks
from scudo.kernel import Prefix, ids
from scudo.simulation import Label, Living, OwnDesk, Profile, make_day, redecide

#: Beyond every position of a log.
EVERY = 1 << 62


@asynccontextmanager
async def desk_in(lent, home):
    async with (
        open_bank(lent, home=home, description="test") as bank,
        await bank.connect() as connection,
    ):
        yield OwnDesk(
            bank.queue,
            client=1,
            head=lambda: bank.conveyor.head,
            tokens=bank.tokeniser,
            connection=connection,
        )


async def live(lent, home, day):
    async with desk_in(lent, home) as desk:
        return await Living(day, desk).run(lambda *_: None)


async def decide_again(dsn):
    async with await AsyncConnection.connect(dsn.read, autocommit=True) as connection:
        return await redecide(connection, (load_policy(),), through=EVERY)


def plant(connection, text):
    """Put a text into the last answer of the log; gives the entry that has it."""
    (position,) = connection.execute(
        "UPDATE fabric.log_entry SET answer = %s"
        " WHERE position = (SELECT max(position) FROM fabric.log_entry) RETURNING position",
        (msgspec.json.encode({"note": text}),),
    ).fetchone()
    return str(position)


class TestOrdinaryDay:
    def test_leaves_no_personal_or_card_data_where_none_should_be(self, lent, database, tmp_path):
        """Nothing in all that is logged looks like it; one value of each kind would be found."""
        asyncio.run(live(lent, tmp_path, make_day(seed=5, payments=500)))
        assert list(find_leaks(database.connection, limit=100_000)) == []

        planted = {
            "card": "4111 1111 1111 1111",
            "iban": "IT60X0542811101000000123456",
            "email": "anna.rossi@example.org",
            "phone": "+39 06 1234 5678",
        }
        for kind, text in planted.items():
            position = plant(database.connection, text)
            (leak,) = find_leaks(database.connection, limit=100_000)
            assert (leak.kind, leak.key, leak.path) == (kind, position, "answer.note")

    def test_is_mostly_approved(self, lent, database, tmp_path):
        """At least nine of ten payments pass, every scam is noticed, and the books are right."""
        lived = asyncio.run(live(lent, tmp_path, make_day(seed=7, payments=1_500)))

        assert lived.outcomes()["allowed"] >= 1_350
        assert all(noticed for noticed, _ in lived.noticed().values())
        assert verify_bank(database.connection, catalogue=CATALOGUE, gentle=False).ok

    def test_moves_nothing_twice_when_lived_twice(self, lent, database, tmp_path):
        """A day that is lived again gives the same answers and adds nothing to the log."""
        day = make_day(seed=2, payments=500)
        first = asyncio.run(live(lent, tmp_path, day))
        head = database.connection.execute("SELECT position FROM fabric.log_head").fetchone()

        again = asyncio.run(live(lent, tmp_path, day))

        assert again.told == first.told
        query = "SELECT position FROM fabric.log_head"
        assert database.connection.execute(query).fetchone() == head


class TestContestedDay:
    @pytest.mark.timeout(300)
    def test_can_be_decided_again_with_the_same_outcome(
        self, lent, scudo, only_object, database, tmp_path
    ):
        """Of 10,000 payments 3 % each are held, stepped up, declined; all are decided alike again.

        A fresh process recomputes the features and the outcome of every decision from the
        log, and `why` explains one payment of each outcome.
        """
        day = make_day(seed=7, payments=10_000, profile=Profile.CONTESTED)
        lived = asyncio.run(live(lent, tmp_path, day))

        outcomes = lived.outcomes()
        assert all(outcomes[name] >= 300 for name in ("held", "stepped_up", "declined"))
        assert outcomes["refused"] <= 300
        last = max(told.decision for told in lived.told)
        again = only_object(scudo("why", ids.show(Prefix.DECISION, last), "--replay", "--json"))
        assert again["replay"]["identical"], again["replay"]
        assert again["replay"]["decisions"] >= 10_000
        for outcome in ("allowed", "stepped_up", "held", "declined"):
            told = [told for told in lived.told if told.outcome == outcome][-1]
            done = scudo("why", ids.show(Prefix.PAYMENT, told.payment))
            assert done.returncode == 0, done.stderr
            assert "The payment" in done.stdout
        assert verify_bank(database.connection, catalogue=CATALOGUE, gentle=False).ok


class TestDecidingAgain:
    @pytest.mark.parametrize("member", ["features", "outcome", "hits"])
    def test_finds_a_record_that_was_not_decided_so(self, lent, database, tmp_path, member):
        """A record whose features, hits or outcome are not those of the log is named."""
        asyncio.run(live(lent, tmp_path, make_day(seed=2, payments=500)))
        number, image = database.connection.execute(
            "SELECT id, record FROM decisions.decision ORDER BY id OFFSET 300 LIMIT 1"
        ).fetchone()
        record = msgspec.msgpack.decode(image, type=DecisionRecord)
        planted = {
            "features": (*record.features[:-1], 123_456),
            "outcome": 4 if record.outcome != 4 else 0,
            "hits": (*record.hits, 0),
        }
        changed = msgspec.msgpack.encode(
            msgspec.structs.replace(record, **{member: planted[member]})
        )
        database.connection.execute(
            "UPDATE decisions.decision SET record = %s WHERE id = %s", (changed, number)
        )

        redecided = asyncio.run(decide_again(database.dsn))

        assert redecided.difference is not None
        assert redecided.difference.decision == number
        assert redecided.difference.member == member

    def test_is_told_by_why(self, lent, scudo, only_object, tmp_path):
        """`why --json` prints one object with sentences, features, transfers and the proof."""
        lived = asyncio.run(live(lent, tmp_path, make_day(seed=2, payments=500)))
        told = next(told for told in lived.told if told.label is Label.HONEST)

        done = scudo("why", ids.show(Prefix.PAYMENT, told.payment), "--replay", "--json")

        why = only_object(done)
        assert done.returncode == 0
        assert why["decision_id"] == ids.show(Prefix.DECISION, told.decision)
        assert why["sentences"][0].startswith("The payment")
        assert len(why["features"]) >= 24
        assert why["replay"]["identical"] is True
        assert json.loads(done.stdout) == why
