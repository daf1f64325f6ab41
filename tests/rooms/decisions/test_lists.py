"""Claims about lists: who puts what on them, until when, and what an event says of it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.operating import DAY, HOUR, Office

from scudo.decisions import Gate, GateEvent
from scudo.decisions.events import ListEntrySet
from scudo.decisions.lists import ListEntry, ListName, Lists, Subject, bit_of, names_of
from scudo.kernel import Prefix, ids, rfc3339

CARD = ids.show(Prefix.CARD, 7)
BLOCKED = {"listed": "deny", "member": "card", "value": CARD}


def event(**members):
    return GateEvent(Gate.CARD, 100, 978, 1, 2, **members)


@pytest.fixture
def lists():
    return Lists()


@pytest.fixture
def office(lists):
    """An office in which lists are changed."""
    found = Office(*lists.kinds)
    for register in lists.registers:
        found.records.registers[register.kind] = register
        register.written = found.records.registers[521].written
    return found


@pytest.fixture
def people(office):
    """An investigator, and somebody of compliance who owes them nothing."""
    anna, bela = office.founders()
    ines, carla = office.hire(anna, "ines"), office.hire(bela, "carla")
    office.grant(anna, bela, ines, "investigator")
    office.grant(anna, bela, carla, "compliance")
    return ines, carla


def until(office, us):
    return rfc3339(office.now + us)


class TestEntry:
    def test_stands_from_the_approval_to_its_end(self, office, people, lists):
        """Two people want it; then rules are told, and at its end they are not."""
        ines, carla = people
        number = office.proposed(ines, "set_list_entry", **BLOCKED, until=until(office, DAY))
        assert lists.listed(event(card=7), ordered_at=office.now) == 0

        outcome = office.approve(carla, number)

        assert outcome.status == 200, outcome
        told = outcome.told(ListEntrySet)
        assert (told.listed, told.member, told.value, told.approval) == ("deny", "card", 7, number)
        mask = lists.listed(event(card=7), ordered_at=told.until - 1)
        assert mask == bit_of(ListName.DENY, Subject.CARD) == 1
        assert list(names_of(mask)) == ["deny:card"]
        assert lists.listed(event(card=7), ordered_at=told.until) == 0
        assert lists.listed(event(card=8, device=7), ordered_at=office.now) == 0

    def test_is_prolonged_and_taken_off_by_two(self, office, people, lists):
        """The diff says until when it stood, and stands; off the list it ends now."""
        ines, carla = people
        first, second = until(office, DAY), until(office, 2 * DAY)
        number = office.proposed(ines, "set_list_entry", **BLOCKED, until=first)
        assert office.approve(carla, number).status == 200
        longer = office.proposed(ines, "set_list_entry", **BLOCKED, until=second)
        document = msgspec.json.decode(office.approval(longer).document)
        assert document["diff"] == {f"deny.card.{CARD}": [first, second]}
        assert office.approve(carla, longer).status == 200

        off = office.proposed(ines, "set_list_entry", **BLOCKED, until=None)
        assert office.approve(carla, off).status == 200

        assert lists.listed(event(card=7), ordered_at=office.now) == 0
        assert len(list(lists.registers[0].items())) == 1
        again = office.propose(ines, "set_list_entry", **BLOCKED, until=None)
        assert again.code == "change_invalid"

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"until": "2020-01-01T00:00:00Z"}, "change_invalid"),
            ({"until": "2099-01-01T00:00:00Z"}, "change_invalid"),
            ({"until": "tomorrow"}, "instant_malformed"),
            ({"listed": "grey"}, "change_invalid"),
            ({"member": "amount"}, "change_invalid"),
            ({"value": "4711"}, "id_malformed"),
            ({"member": "country", "value": "CH"}, "change_invalid"),
            ({"member": "country", "value": "1000"}, "change_invalid"),
        ],
    )
    def test_is_refused_when_it_says_nothing(self, office, people, change, code):
        """Without a good end, a known list, or a value of its kind there is no entry."""
        whole = BLOCKED | {"until": until(office, HOUR)} | change

        assert office.propose(people[0], "set_list_entry", **whole).code == code

    @given(
        entries=st.dictionaries(
            st.tuples(st.sampled_from(ListName), st.sampled_from(Subject), st.integers(1, 3)),
            st.integers(1, 20),
            max_size=12,
        ),
        members=st.dictionaries(
            st.sampled_from([s for s in Subject if s is not Subject.CUSTOMER]),
            st.integers(1, 3),
        ),
        at=st.integers(0, 21),
    )
    def test_is_told_for_every_member_and_list(self, entries, members, at):
        """An event says exactly which of its members stand on which list at its time."""
        lists = Lists()
        register = lists.registers[0]
        for number, ((name, member, value), until_) in enumerate(entries.items(), start=1):
            entry = ListEntry(name, member, value, until_, "CASE-1", 1, 9)
            register.restore(number, (1, entry))
        asked = event(**{member.value: value for member, value in members.items()})

        mask = lists.listed(asked, ordered_at=at)

        wanted = {
            f"{name}:{member}"
            for (name, member, value), until_ in entries.items()
            if getattr(asked, member.value) == value and at < until_
        }
        assert set(names_of(mask)) == wanted
