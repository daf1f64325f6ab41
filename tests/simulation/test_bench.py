"""What is measured of bound tokens asks the bank as it is today, and has an answer."""

import pytest

from scudo.simulation.bench import outside, secured
from scudo.simulation.bench.stage import Terms

SHORT = Terms(seconds=1, large=False)


@pytest.fixture(scope="module")
def stage():
    """A bank of few customers for the measures of this module."""
    with outside.filled(SHORT, lambda _line: None, customers=50) as made:
        yield made


class TestBoundTokens:
    @pytest.mark.timeout(180)
    @pytest.mark.parametrize("measure", [secured.authorise_mtls, secured.authorise_dpop])
    def test_pay_as_plain_ones_do(self, stage, measure):
        """Every request of both sides is accepted, and the books are right afterwards."""
        told = []
        ((_, figures),) = measure(stage, SHORT, told.append).items()

        assert figures["ratio"] > 0
        assert any("books verified" in line for line in told)
