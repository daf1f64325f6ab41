"""One bank for all tests of customers; each makes customers of its own."""

import contextlib
import shutil
import uuid

import msgspec
import psycopg
import pytest
from psycopg import sql
from tests.customers import serving

from scudo.fabric.postgres import ensure_roles


@pytest.fixture(scope="session")
def shared(server, template, tmp_path_factory):
    """Serve a bank."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server.admin, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    dsn = server.database(name)
    ensure_roles(dsn.admin)
    home = tmp_path_factory.mktemp("home")
    with serving(dsn, home) as bank:
        yield bank
    with psycopg.connect(server.admin, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    shutil.rmtree(home)


@pytest.fixture
def bank(shared):
    """The bank, with open gates and nobody throttled; as it was when the test is over."""
    store, office = shared.store, shared.office
    terms = store.terms
    shared.gates.rulings.clear()
    office.throttle._counted.clear()
    yield shared
    store.terms, store.gates = terms, shared.gates
    shared.gates.rulings.clear()


@pytest.fixture
def terms(bank):
    """Change times and thresholds for the rest of the test."""

    def change(**changes):
        bank.store.terms = msgspec.structs.replace(bank.store.terms, **changes)

    return change


@pytest.fixture(scope="module")
def customer(shared):
    """A customer with a passkey who is logged in just now; for tests that only try in vain."""
    shared.office.throttle._counted.clear()
    return shared.signed_up()


@pytest.fixture
def quiet(bank):
    """Counts entries of the log that a block adds."""

    @contextlib.contextmanager
    def counting():
        counted = []
        before = bank.bank.conveyor.tally.entries
        yield counted
        counted.append(bank.bank.conveyor.tally.entries - before)

    return counting
