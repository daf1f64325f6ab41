"""What the tests of the fabric may ask for."""

import pytest
from tests.rooms.fabric.counting import MOST


@pytest.fixture
def counted(database):
    """A database with the table of counters."""
    database.connection.execute(
        f"CREATE TABLE fabric.counter (id bigint PRIMARY KEY, value bigint CHECK (value < {MOST}))"
    )
    database.connection.execute("GRANT SELECT, INSERT, UPDATE ON fabric.counter TO scudo_app")
    return database
