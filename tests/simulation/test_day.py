"""A simulated day: the same seed is the same day."""

import pytest

from scudo.simulation import Label, Profile, make_day
from scudo.simulation.model import Salaries


def payments(day):
    return [step for step in day.steps if not isinstance(step, Salaries)]


class TestDay:
    @pytest.mark.parametrize("profile", list(Profile))
    def test_is_the_same_for_the_same_seed(self, profile):
        """Equal arguments make equal days, to the last detail."""
        first, again = (make_day(seed=3, payments=800, profile=profile) for _ in range(2))

        assert first == again

    def test_is_another_for_another_seed(self):
        """Another seed makes other payments."""
        assert make_day(seed=3, payments=800).steps != make_day(seed=4, payments=800).steps

    @pytest.mark.parametrize("count", [500, 801, 3_000])
    def test_has_exactly_the_payments_that_were_asked_for(self, count):
        """The number of payments is exact, and they are in order of time."""
        steps = make_day(seed=1, payments=count).steps

        assert len(payments(make_day(seed=1, payments=count))) == count
        assert [step.at for step in steps] == sorted(step.at for step in steps)

    def test_has_every_scam(self):
        """Each kind of scam happens in an ordinary day, and most payments are honest."""
        labels = [step.label for step in payments(make_day(seed=1, payments=1_000))]

        assert set(labels) == set(Label)
        assert labels.count(Label.HONEST) > 900
