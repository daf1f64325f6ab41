"""Claims about the owner's way: open while nobody could be the second person, closed for good."""

import msgspec
import pytest
from tests.operating import DAY, HOUR, Office

from scudo.fabric import Answer, Command
from scudo.governance import approvals
from scudo.governance.approvals import events
from scudo.identity import operators
from scudo.identity.operators.permissions import shipped_policies

EXTRA = """
permit (principal in Role::"security_officer", action == Action::"propose_set_limit", resource);
permit (principal in Role::"compliance", action == Action::"approve_set_limit", resource);
"""
KIND = "set_limit"


class LimitChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new limit."""

    limit: int


class SetLimit(Command, frozen=True, tag=9_701):
    """What a client does alone."""

    limit: int
    approval: int = 0


class Limit:
    """A thing that the owner changes alone, until two people could."""

    def __init__(self):
        self.value = 100

    def kind(self):
        return approvals.ApprovalKind(
            name=KIND,
            change=LimitChange,
            describe=lambda change: approvals.Description({"limit": (None, change.limit)}, "x"),
            demand=lambda _change, _now: None,
            execute=lambda _change, _entry, _decided: None,
            has_owners_way=True,
        )

    def work(self, command, entry):
        entry.emit(events.OwnersWayClosed(entry.next_position, ("done",)))
        self.value = command.limit
        return Answer(200, b"{}")


@pytest.fixture
def limit():
    return Limit()


@pytest.fixture
def office(limit):
    """An office beside which a client may set a limit alone, or use an approval for it."""
    found = Office(limit.kind(), policies=shipped_policies() + EXTRA)
    found.handlers[SetLimit] = found.authority.ways.guard(
        KIND,
        limit.work,
        applies=lambda command, _entry: command.limit > limit.value,
        covered=lambda command: (
            command.approval,
            approvals.canonical(LimitChange(command.limit)),
        ),
    )
    return found


@pytest.fixture
def people(office):
    return office.founders()


@pytest.fixture
def carla(office, people):
    """Somebody who could approve; the founders could propose."""
    anna, bela = people
    found = office.hire(anna, "carla")
    office.grant(anna, bela, found, "compliance")
    return found


class TestWay:
    def test_is_open_while_nobody_could_approve(self, office, limit, people):
        """Without operators, and with two of whom none may approve, the owner does it alone."""
        assert office.do(SetLimit(200)).status == 200
        assert office.tick() == []
        assert limit.value == 200

    def test_ends_with_the_second_person(self, office, limit, people, carla):
        """Then it is refused, told with a warning, and nothing is done."""
        outcome = office.do(SetLimit(200))

        assert (outcome.status, outcome.code, limit.value) == (403, "second_person_needed", 100)
        told = outcome.told(events.OwnersWayRefused)
        assert (told.kind, told.client, told.severity) == (KIND, 1, "warning")

    def test_does_not_matter_for_what_needs_nobody(self, office, limit, people, carla):
        """What the guard does not apply to works as ever."""
        assert office.do(SetLimit(50)).status == 200
        assert limit.value == 50

    def test_stays_closed_when_the_people_go(self, office, limit, people, carla):
        """Recovered, suspended or without the role: whoever made the way end opens it no more."""
        _, bela = people
        (told,) = [e for e in office.tick() if isinstance(e, events.OwnersWayClosed)]
        assert told.closed == (KIND,)
        office.recover(bela, carla)
        office.do(operators.SuspendOperator(bela.number, carla.number, "CASE-2"))
        assert not office.authority.approvals.people.could_decide(KIND)

        assert office.do(SetLimit(200)).code == "second_person_needed"
        assert [e for e in office.tick() if isinstance(e, events.OwnersWayClosed)] == []

    def test_needs_two_people_not_two_roles(self, office, limit, people):
        """One person who may propose and approve is not two."""
        anna, _ = people
        bela_alone = office.hire(anna, "dora")

        assert office.roles(bela_alone) == set()
        assert not office.authority.approvals.people.could_decide(KIND)


class TestUse:
    def approved(self, office, people, carla, limit=200):
        anna, _ = people
        office.now += 4 * DAY
        dora = office.hire(people[1], "dora")
        office.grant(anna, people[1], dora, "compliance")
        office.now += 4 * DAY
        number = office.proposed(anna, KIND, limit=limit)
        outcome = office.approve(dora, number)
        assert outcome.status == 200, outcome
        return number

    def test_is_once_and_for_exactly_what_was_approved(self, office, people, carla, limit):
        """Another value, or the same a second time, is refused; nothing is done."""
        number = self.approved(office, people, carla)

        other = office.do(SetLimit(300, number))
        done = office.do(SetLimit(200, number))
        again = office.do(SetLimit(200, number))

        assert (other.status, other.code) == (409, "approval_unfit")
        assert done.status == 200
        assert done.told(events.ApprovalUsed).approval == number
        assert (again.status, again.code) == (409, "approval_unfit")
        assert limit.value == 200

    @pytest.mark.parametrize(("hours", "status"), [(23, 200), (24, 409)])
    def test_is_within_a_day(self, office, people, carla, limit, hours, status):
        """A day after it was given an approval covers nothing."""
        number = self.approved(office, people, carla)
        office.now += hours * HOUR

        assert office.do(SetLimit(200, number)).status == status

    def test_is_of_what_was_given(self, office, people, carla, limit):
        """What is pending, of another kind, or not there covers nothing."""
        anna, _ = people
        pending = office.proposed(anna, KIND, limit=200)
        other = office.proposed(anna, "drop_role", operator_id=carla.id, role="compliance")

        outcomes = [office.do(SetLimit(200, number)) for number in (pending, other, 999_999)]

        codes = ["approval_unfit", "approval_unfit", "approval_not_found"]
        assert [outcome.code for outcome in outcomes] == codes
        assert limit.value == 100
