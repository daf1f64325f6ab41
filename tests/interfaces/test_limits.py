"""Rate limits."""

from hypothesis import given
from hypothesis import strategies as st

from scudo.interfaces.http.limits import RateLimit

SECOND = 10**9


class TestTake:
    @given(
        per_s=st.integers(1, 50),
        burst_s=st.integers(1, 3),
        gaps=st.lists(st.integers(0, SECOND), max_size=200),
    )
    def test_never_lets_more_through_than_burst_and_rate(self, per_s, burst_s, gaps):
        """In any span of time at most the burst and the rate times the span pass."""
        limit = RateLimit(per_s=per_s, burst_s=burst_s)
        now = SECOND
        passed = []
        for gap in gaps:
            now += gap
            if limit.take(1, now_ns=now) == 0:
                passed.append(now)

        interval = SECOND // per_s
        for start in range(len(passed)):
            for end in range(start, len(passed)):
                span = passed[end] - passed[start]
                assert end - start + 1 <= per_s * burst_s + span // interval + 1

    @given(per_s=st.integers(1, 1000), burst_s=st.integers(1, 3))
    def test_lets_a_rested_client_burst(self, per_s, burst_s):
        """A client that was silent may send its burst at once, and not one more."""
        limit = RateLimit(per_s=per_s, burst_s=burst_s)

        waits = [limit.take(1, now_ns=SECOND) for _ in range(per_s * burst_s + 1)]

        assert waits[:-1] == [0] * (per_s * burst_s)
        assert waits[-1] >= 1

    @given(per_s=st.integers(1, 100))
    def test_is_true_to_its_word(self, per_s):
        """Whoever waits as long as told gets through."""
        limit = RateLimit(per_s=per_s, burst_s=1)
        now = SECOND
        while (wait := limit.take(1, now_ns=now)) == 0:
            pass

        assert limit.take(1, now_ns=now + wait * SECOND) == 0
