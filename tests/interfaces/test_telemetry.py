"""Logs: one JSON object a line, without texts that came from outside."""

import io
import json
import logging

import pytest
import structlog

from scudo.fabric.telemetry import configure_logging, describe_exception
from scudo.kernel import InvariantBroken


@pytest.fixture
def lines():
    """Configure logging as a process does, and give what it writes."""
    before = logging.getLogger().handlers[:], logging.getLogger().level
    stream = io.StringIO()
    configure_logging(stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.getLogger().handlers, _ = before
    logging.getLogger().setLevel(before[1])
    structlog.reset_defaults()


def _fail(error):
    try:
        raise error
    except type(error) as raised:
        return raised


LOGGER = structlog.get_logger("scudo.test")


@pytest.fixture
def quiet():
    """A logger that was used while only warnings were shown."""
    configure_logging(level="WARNING", stream=io.StringIO())
    LOGGER.info("early")
    yield
    structlog.reset_defaults()


class TestConfiguring:
    def test_reaches_loggers_that_tests_have_used(self, quiet, lines):
        """No test's configuration decides what another test sees."""
        LOGGER.info("late")
        assert [line["event"] for line in lines()] == ["late"]


class TestLines:
    def test_are_json_with_level_time_and_place(self, lines):
        """Each line says what, how grave, when and where from."""
        structlog.get_logger("scudo.test").warning("queue_full", waiting=7)

        (line,) = lines()

        assert (line["event"], line["level"], line["waiting"]) == ("queue_full", "warning", 7)
        assert line["at"].endswith("Z")

    def test_of_libraries_look_the_same(self, lines):
        """What a library logs comes out in the same form."""
        logging.getLogger("some.library").error("went %s", "wrong")

        (line,) = lines()

        assert (line["event"], line["logger"]) == ("went wrong", "some.library")

    def test_leave_out_what_is_below_the_level(self, lines):
        """Debugging is silent unless it is asked for."""
        structlog.get_logger("scudo.test").debug("detail")

        assert lines() == []

    def test_show_where_an_exception_came_from_and_not_what_it_quotes(self, lines):
        """Class and frames are shown; the message of a stranger's exception is not."""
        error = _fail(ValueError("Key (name)=(Ann Other) exists"))

        structlog.get_logger("scudo.test").error("request_failed", exc_info=error)

        (line,) = lines()
        (shown,) = line["exception"]
        assert shown["type"] == "builtins.ValueError"
        assert shown["frames"][-1].endswith(":_fail")
        assert "Ann" not in json.dumps(line)


class TestDescribeException:
    def test_shows_what_we_say_about_stored_data(self):
        """Our own findings about contradictions are shown in full."""
        (shown,) = describe_exception(_fail(InvariantBroken("position 7 is missing")))

        assert shown["message"] == "position 7 is missing"

    def test_follows_causes_and_ends(self):
        """Causes are listed, up to a limit, however long the chain."""
        error = ValueError()
        for _ in range(20):
            outer = ValueError()
            outer.__cause__ = error
            error = outer

        assert 1 < len(describe_exception(error)) <= 5
