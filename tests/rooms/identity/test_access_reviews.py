"""Claims about reviews of access: who holds what is confirmed or dropped, in time."""

import pytest
from tests.operating import DAY, Office

from scudo.identity import operators
from scudo.identity.operators import Act, events


@pytest.fixture
def office():
    """An office without anybody."""
    return Office()


@pytest.fixture
def people(office):
    """The two founders."""
    return office.founders()


class TestReview:
    def opened(self, office, people):
        anna, bela = people
        carla = office.hire(anna, "carla")
        office.grant(anna, bela, carla, "engineer")
        outcome = office.do(operators.OpenReview(anna.number))
        return carla, outcome.told(events.ReviewOpened)

    def test_lists_who_holds_what_and_ends_with_every_answer(self, office, people):
        """Confirmed stays, dropped goes at once; nobody answers for themselves, or twice."""
        anna, bela = people
        carla, told = self.opened(office, people)

        def answer(by, person, role, verdict):
            return office.do(
                operators.AnswerReview(
                    by.number, told.review, person.number, role, operators.Verdict(verdict)
                )
            )

        assert told.lines == 3
        assert answer(anna, anna, "security_officer", "confirm").code == "self_administered"
        assert answer(anna, bela, "auditor", "confirm").code == "review_not_found"
        dropped = answer(anna, carla, "engineer", "drop")
        assert dropped.told(events.RoleDropped).operator == carla.number
        assert office.roles(carla) == set()
        assert answer(anna, carla, "engineer", "confirm").code == "review_answered"
        assert answer(anna, bela, "security_officer", "confirm").body["is_open"]
        assert not answer(bela, anna, "security_officer", "confirm").body["is_open"]
        office.now += 30 * DAY
        assert office.tick() == []

    def test_says_when_a_role_was_last_used(self, office, people):
        """What was done of a role's scopes counts, to the hour."""
        anna, bela = people
        office.staff.permissions.compile(
            operators.every_role(), [Act("list_operators", "operators:read", "operators")]
        )
        office.do(operators.NoteUse(bela.number, "operators:read"))
        used_at = office.now
        office.now += DAY
        told = office.do(operators.OpenReview(anna.number)).told(events.ReviewOpened)
        review = office.authority.reviews.register.get(told.review)

        last = {line.operator: line.last_used_at for line in review.lines}
        assert last == {anna.number: 0, bela.number: used_at}

    def test_that_is_overdue_wakes_somebody_once(self, office, people):
        """After two weeks an unfinished review pages."""
        _, told = self.opened(office, people)
        reviews = office.authority.reviews
        assert reviews.overdue(office.now) == []
        office.now += 14 * DAY

        assert reviews.overdue(office.now) == [told.review]
        (overdue,) = office.tick()
        assert (overdue.review, overdue.missing, overdue.severity) == (told.review, 3, "page")
        assert office.tick() == []
