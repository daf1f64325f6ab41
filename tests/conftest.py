"""What every test may ask for: the run's PostgreSQL, and a migrated database of its own.

One server serves the whole run, whatever the number of workers: each attaches, the last
to leave stops it. It lives in the run's temporary folder, so runs never meet.
"""

import fcntl
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import hypothesis
import psycopg
import pytest
import structlog
from psycopg import sql
from tests.faults import results, tell_cases

from scudo.fabric.migration import migrate, rooms_of
from scudo.fabric.postgres import Dsn, EmbeddedServer, ensure_roles

# How long an example takes is the machine's business.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
_configure_logging = structlog.configure


def _configure_afresh(**given: Any) -> None:
    """Configure logging for loggers that are in use too.

    A program configures once, and keeps its loggers. Here a logger that was used under one test's
    configuration would go on with it, and another test would look at lines that never come.
    """
    _configure_logging(**given | {"cache_logger_on_first_use": False})


structlog.configure = cast("Any", _configure_afresh)
_DATABASE_FIXTURES = frozenset({"server", "template", "empty_database", "database"})


@dataclass(frozen=True, slots=True)
class Database:
    """A test's own database: strings to connect as each role, and one open connection."""

    name: str
    dsn: Dsn
    #: As the owner, in autocommit mode.
    connection: psycopg.Connection


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs PostgreSQL, so that `-m "not db"` is the fast lane."""
    tell_cases(items)
    for item in items:
        if _DATABASE_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.db)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the cases of the fault matrix, when it is they that were asked for."""
    if terminalreporter.config.getoption("-m") == "fault":
        terminalreporter.section("fault matrix")
        stats = terminalreporter.stats
        reports = (r for outcome in ("passed", "failed", "skipped") for r in stats.get(outcome, ()))
        for line in results(reports):
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Folder that all workers of this run share, and no other run."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def server(run_folder: Path) -> Iterator[Dsn]:
    """Lend the run's PostgreSQL: how to connect to its default database as each role."""
    for bank in run_folder.parent.glob("*/bank"):
        # A server that runs for nobody is left from a run that was killed.
        abandoned = EmbeddedServer(bank)
        if abandoned.pid is not None and abandoned.stop("immediate"):
            shutil.rmtree(bank, ignore_errors=True)
    embedded = EmbeddedServer(run_folder / "bank", durable=False)
    yield embedded.start()
    if embedded.stop("immediate"):
        shutil.rmtree(embedded.data)


@pytest.fixture(scope="session")
def template(server: Dsn, run_folder: Path) -> str:
    """Name the database that the first worker migrated; every test gets a copy."""
    name = "template_migrated"
    with (run_folder / "template.lock").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        with psycopg.connect(server.admin, autocommit=True) as connection:
            if not connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", (name,)
            ).fetchone():
                fresh = f"{name}_fresh"
                create_database(server, name=fresh, template="template0")
                with psycopg.connect(server.database(fresh).owner, autocommit=True) as owner:
                    # Late, so that tests without a database do not load the whole bank.
                    from scudo.bootstrap import ROOMS  # noqa: PLC0415 - late: `--help` must not load the bank

                    migrate(owner, rooms=rooms_of(ROOMS))
                connection.execute(f'ALTER DATABASE "{fresh}" RENAME TO "{name}"')
    return name


@pytest.fixture
def empty_database(server: Dsn) -> Iterator[Database]:
    """Lend a database with roles and rights and nothing else."""
    yield from lend_database(server, template="template0")


@pytest.fixture
def database(server: Dsn, template: str) -> Iterator[Database]:
    """Lend a migrated database that this test alone uses."""
    yield from lend_database(server, template=template)


def create_database(server: Dsn, *, name: str, template: str) -> None:
    """Copy a database; rights on the database itself are not part of the copy."""
    with psycopg.connect(server.admin, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    ensure_roles(server.database(name).admin)


def lend_database(server: Dsn, *, template: str) -> Iterator[Database]:
    """Create a database, lend it, and drop it whoever is still connected."""
    name = f"test_{uuid.uuid4().hex}"
    create_database(server, name=name, template=template)
    dsn = server.database(name)
    with psycopg.connect(dsn.owner, autocommit=True) as connection:
        yield Database(name=name, dsn=dsn, connection=connection)
    with psycopg.connect(server.admin, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
