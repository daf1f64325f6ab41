"""Everything that is kept declares its class of data, and nothing is declared that is not kept."""

from enum import IntEnum
from typing import Annotated

import msgspec
import pytest
from tools.write_inventory import PAGE, classified, members, page

from scudo.governance.classification import (
    DataClass,
    Declaration,
    Declarations,
    Member,
    classify,
    columns_of,
    load_declarations,
    members_of,
)
from scudo.kernel import InvariantBroken, ids

HEAD = """
[[types]]
data_class = "internal"
of = ["bool"]
[[names]]
data_class = "internal"
of = ["name"]
"""


class Colour(IntEnum):
    RED = 1


class Inner(msgspec.Struct):
    text: str


class Outer(msgspec.Struct):
    account: ids.AccountId | None
    colour: Colour
    inner: tuple[Inner, ...] | None
    pairs: tuple[tuple[str, int], ...]


@pytest.fixture
def known(database):
    """The classes of all that a migrated bank keeps."""
    return classified(members(database.connection))


def declared(types=(), names=(), lines=()):
    """Declarations of one thing each."""
    return Declarations(
        *(
            tuple(Declaration(DataClass(data_class), (what,)) for what, data_class in group)
            for group in (types, names, lines)
        )
    )


class TestBank:
    def test_declares_the_class_of_all_that_it_keeps(self, known):
        """Every column, and every member of a command, event, record or decision."""
        assert known.undeclared == ()

    def test_declares_nothing_that_it_does_not_keep(self, known):
        """A line that is left of what is gone would one day speak for something else."""
        assert known.stale == ()

    def test_has_the_inventory_that_is_written(self, known):
        """People read the page: it is what the code and the schema say."""
        assert page(known) == PAGE.read_text(encoding="utf-8"), "run tools/write_inventory.py"

    def test_logs_no_secret_and_no_cardholder_data(self, known):
        """What the log keeps it keeps for ever; such data is in the vault alone."""
        forbidden = {DataClass.SECRET, DataClass.CARDHOLDER}

        found = {place for place, said in known.classes.items() if said.data_class in forbidden}

        assert found
        assert all(place.startswith("vault.") for place in found)

    def test_with_a_column_that_nobody_declared_is_told_its_name(self, database):
        """Whatever its type is."""
        database.connection.execute(
            "ALTER TABLE payments.payment ADD shoe_size smallint, ADD remark text"
        )

        known = classified(members(database.connection))

        assert known.undeclared == ("payments.payment.remark", "payments.payment.shoe_size")

    def test_with_a_column_dropped_is_told_what_is_stale(self, database):
        """The line that spoke for it."""
        database.connection.execute("ALTER TABLE vault.card DROP first_six")

        assert classified(members(database.connection)).stale == ("lines: vault.card.first_six",)


class TestClassify:
    def test_lets_a_line_go_before_a_type_and_a_type_before_a_name(self):
        """Each is more special than the next."""
        rules = declared(
            types=[("cus", "internal")],
            names=[("owner", "personal")],
            lines=[("a.b.owner", "secret")],
        )
        asked = [
            Member("a.b.owner", frozenset({"cus"})),
            Member("a.c.owner", frozenset({"cus"})),
            Member("a.d.owner", frozenset({"int8"})),
        ]

        known = classify(asked, rules)

        assert [said.data_class for said in known.classes.values()] == [
            DataClass.SECRET,
            DataClass.INTERNAL,
            DataClass.PERSONAL,
        ]
        assert (known.undeclared, known.stale) == ((), ())

    def test_takes_no_class_of_a_type_that_is_only_a_part(self):
        """Of a truth value and a text the text says nothing."""
        asked = [Member("a.B.c", frozenset({"bool", "str"}))]

        known = classify(asked, declared(types=[("bool", "internal")]))

        assert known.undeclared == ("a.B.c",)
        assert known.stale == ("types: bool",)


class TestMembersOf:
    def test_gives_what_is_inside_in_place_of_what_holds_it(self):
        """Through optional values and tuples; ids are known by their prefix."""
        where = f"{__name__}.Outer"

        assert {m.place: set(m.kinds) for m in members_of([Outer])} == {
            f"{where}.account": {"acc"},
            f"{where}.colour": {"enum"},
            f"{where}.pairs": {"str", "int"},
            f"{__name__}.Inner.text": {"str"},
        }

    def test_knows_an_instant_from_a_number(self):
        """By what is written beside the type."""
        moment = Annotated[int, msgspec.Meta(extra={"instant": True})]
        made = msgspec.defstruct("Made", [("at", moment)], module="scudo.x")

        assert list(members_of([made])) == [Member("x.Made.at", frozenset({"instant"}))]


class TestColumnsOf:
    def test_leaves_partitions_to_their_table(self, database):
        """They come and go with the log."""
        database.connection.execute("SELECT fabric.grow(1)")

        tables = {m.place.rpartition(".")[0] for m in columns_of(database.connection)}

        assert "ledger.transfer" in tables
        assert "ledger.transfer_p0" not in tables


class TestLoadDeclarations:
    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ('data_class = "internal"\nof = []', "length"),
            ('data_class = "guessed"\nof = ["a"]', "guessed"),
            ('data_class = "internal"\nof = ["a"]\nwho = "me"', "unknown field"),
            ('data_class = "internal"\nof = ["a", "a"]', "declared twice"),
            ('data_class = "personal"\nof = ["a"]', "why it may be there"),
            ('data_class = "cardholder"\nof = ["a"]', "why it may be there"),
            ('data_class = "secret"\nof = ["a"]', "why it may be there"),
            ("data_class =", "Invalid value"),
        ],
    )
    def test_refuses_a_file_that_is_not_as_documented(self, tmp_path, line, says):
        """It names the file, and what is wrong."""
        file = tmp_path / "classes.toml"
        file.write_text(f"{HEAD}[[lines]]\n{line}\n", encoding="utf-8")

        with pytest.raises(InvariantBroken, match=says) as caught:
            load_declarations(file)

        assert "classes.toml" in str(caught.value)
