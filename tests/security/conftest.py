"""A served bank for whoever attacks it, and everything that it logs."""

import io
import logging
from collections.abc import Iterator

import pytest
import structlog
from tests.interfaces.bank.conftest import served, teller, teller_for

from scudo.fabric import telemetry

__all__ = ["captured", "served", "teller", "teller_for"]


@pytest.fixture
def captured() -> Iterator[io.StringIO]:
    """All that is logged meanwhile, as it would go to standard error."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    telemetry.configure_logging(level="DEBUG", stream=stream)
    # The tests' own client tells what it sends; the bank must not.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    yield stream
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()
