"""The load generator: what it sends arrives, and what it reports is true."""

import functools
import itertools

import pytest

from scudo.simulation.load import Plan, measure, measure_apart, request_bytes

WRITER = {"authorization": "Bearer token-of-a-writer"}


def reads(count):
    """Write that many requests that are answered."""
    for _ in range(count):
        yield request_bytes("GET", "/v1/notes", headers=WRITER)


def mixed():
    """Write a success and a refusal in turn, without end."""
    for number in itertools.count():
        body = b'{"title":"a","amount":1}' if number % 2 else b"{}"
        headers = {**WRITER, "idempotency-key": f"key-{number}"}
        yield request_bytes("POST", "/v1/notes", headers=headers, body=body)


def waits():
    """Write requests that are answered after 0.3 s each."""
    while True:
        path = "/v1/notes/pay_0000000000000001/wait"
        yield request_bytes("POST", path, headers=WRITER)


@pytest.fixture
def port(serve, desk):
    return serve(desk).port


class TestMeasure:
    def test_counts_every_answer(self, port):
        """Requests that end are all answered and all counted, by status."""
        plan = Plan(host="127.0.0.1", port=port, connections=4, seconds=5)

        measured = measure(plan, functools.partial(reads, 101))

        assert measured.statuses == {200: 101}
        assert (measured.lost, measured.unanswered) == (0, 0)
        assert measured.p50_ms <= measured.p99_ms <= measured.max_ms

    def test_counts_marks_and_keeps_refusals(self, port):
        """Answers are counted by what they contain, and a few refusals are kept."""
        plan = Plan(host="127.0.0.1", port=port, connections=2, seconds=1, marks=(b'"note_id"',))

        measured = measure(plan, mixed)

        assert set(measured.statuses) == {201, 400}
        assert measured.marked[b'"note_id"'] == measured.statuses[201]
        assert b"body_invalid" in measured.refusals[0]

    def test_keeps_the_rate_in_the_open_loop(self, port):
        """As many requests are sent as are due, neither more nor fewer."""
        plan = Plan(host="127.0.0.1", port=port, connections=8, seconds=2, rate=100)

        measured = measure(plan, functools.partial(reads, 10_000))

        assert 190 <= measured.statuses[200] <= 200

    def test_charges_the_server_for_those_who_wait(self, port):
        """With one connection and slow answers, latency counts from when a request was due."""
        plan = Plan(host="127.0.0.1", port=port, connections=1, seconds=1, rate=10)

        measured = measure(plan, waits)

        assert measured.statuses[204] == 10
        # The last was due after 0.9 s and answered after ten times 0.3 s.
        assert measured.max_ms > 1_500

    def test_works_in_a_process_of_its_own(self, port):
        """Apart from the caller's process it measures the same."""
        plan = Plan(host="127.0.0.1", port=port, connections=2, seconds=5)

        request = request_bytes("GET", "/v1/notes", headers=WRITER)
        measured = measure_apart(plan, functools.partial(itertools.repeat, request, 50))

        assert measured.statuses == {200: 50}

    def test_reports_what_a_dead_server_leaves(self, serve, desk):
        """When the server goes away, what was due and not answered is reported."""
        served = serve(desk)
        plan = Plan(host="127.0.0.1", port=served.port, connections=1, seconds=1)
        measured = measure(plan, functools.partial(reads, 3))
        served.stop()

        assert measured.unanswered == 0
        with pytest.raises(OSError, match=r"[Cc]onnect"):
            measure(plan, functools.partial(reads, 3))
