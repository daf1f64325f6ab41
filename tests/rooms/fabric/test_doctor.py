"""The doctor: a durable bank is fit, and each way of not being one is named."""

import dataclasses
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from scudo.fabric.doctor import Examination, Finding, diagnose, is_fit
from scudo.fabric.postgres import Dsn, EmbeddedServer

TABLES = """
    CREATE SCHEMA vault;
    CREATE TABLE vault.fact (id bigint);
    CREATE TABLE vault.state (id bigint);
    GRANT SELECT, INSERT ON vault.fact TO scudo_app;
    GRANT SELECT, INSERT, UPDATE ON vault.state TO scudo_app;
"""


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dsn]:
    """Lend a server as a real bank has it, with one table of each kind."""
    with EmbeddedServer(tmp_path_factory.mktemp("healthy") / "bank") as embedded:
        dsn = embedded.start()
        with psycopg.connect(dsn.owner) as connection:
            connection.execute(TABLES)
        yield dsn


@pytest.fixture
def examination(tmp_path: Path) -> Examination:
    """Know the time, the table of facts and a folder on the disk."""
    now = datetime.fromtimestamp(time.time(), tz=UTC)
    return Examination(now=now, append_only=["vault.fact"], data=tmp_path)


def examine(dsn: str, examination: Examination, *first: str) -> dict[str, Finding]:
    """Diagnose after some statements of the same transaction, which is rolled back."""
    with psycopg.connect(dsn) as connection:
        for statement in first:
            connection.execute(statement)
        findings = diagnose(connection, examination=examination)
        connection.rollback()
    return {finding.name: finding for finding in findings}


class TestDiagnose:
    def test_finds_the_embedded_bank_healthy(self, bank: Dsn, examination: Examination) -> None:
        """A bank as it is set up passes every question, asked by the reading role."""
        findings = examine(bank.read, examination)

        assert [finding for finding in findings.values() if not finding.ok] == []
        assert is_fit(tuple(findings.values()))

    def test_refuses_a_server_that_forgets(self, server: Dsn, examination: Examination) -> None:
        """A server that does not wait for the disk is not fit for a bank."""
        findings = examine(server.read, dataclasses.replace(examination, append_only=[]))

        failed = {name for name, finding in findings.items() if not finding.ok}
        assert failed == {"fsync", "full_page_writes"}
        assert not is_fit(tuple(findings.values()))

    @pytest.mark.parametrize(
        ("name", "statement"),
        [
            ("synchronous_commit", "SET LOCAL synchronous_commit = off"),
            ("application_role", "ALTER ROLE scudo_app SUPERUSER"),
            ("application_role", "ALTER ROLE scudo_app CREATEDB"),
            ("application_role", "GRANT scudo_owner TO scudo_app"),
            ("no_deletion", "GRANT DELETE ON vault.state TO scudo_app"),
            ("no_deletion", "GRANT TRUNCATE ON vault.state TO PUBLIC"),
            ("append_only", "GRANT UPDATE ON vault.fact TO scudo_app"),
            ("append_only", "GRANT UPDATE (id) ON vault.fact TO scudo_app"),
            ("append_only", "DROP TABLE vault.fact"),
        ],
    )
    def test_refuses_what_could_lose_or_change_money(
        self, bank: Dsn, examination: Examination, name: str, statement: str
    ) -> None:
        """Each weakening is found under its name, and the bank may not run with it."""
        findings = examine(bank.admin, examination, statement)

        assert not findings[name].ok
        assert not is_fit(tuple(findings.values()))

    @pytest.mark.parametrize(
        ("name", "statement"),
        [
            ("TimeZone", "SET LOCAL TimeZone = 'Europe/Rome'"),
            ("max_wal_size", None),
            ("clock", None),
        ],
    )
    def test_only_advises_on_comfort(
        self, bank: Dsn, examination: Examination, name: str, statement: str | None
    ) -> None:
        """What costs no money is never a reason to refuse."""
        findings = examine(bank.admin, examination, *([statement] if statement else []))

        assert not findings[name].is_vital

    def test_compares_the_clocks(self, bank: Dsn, examination: Examination) -> None:
        """A database whose clock is minutes away from ours is named."""
        late = dataclasses.replace(examination, now=examination.now - timedelta(minutes=3))

        assert not examine(bank.read, late)["clock"].ok

    def test_sees_a_database_that_sorts_as_the_system_likes(
        self, bank: Dsn, examination: Examination
    ) -> None:
        """A database of another encoding or provider is not fit."""
        with psycopg.connect(bank.admin, autocommit=True) as connection:
            connection.execute(
                "CREATE DATABASE foreign_text TEMPLATE template0 ENCODING 'SQL_ASCII'"
                " LOCALE_PROVIDER libc LOCALE 'C'"
            )

        findings = examine(bank.database("foreign_text").admin, examination)

        assert not findings["encoding"].ok

    def test_counts_what_holds_old_rows(self, bank: Dsn, examination: Examination) -> None:
        """A bank at rest has no long transaction and none that is half committed."""
        findings = examine(bank.read, examination)

        assert findings["long_transactions"].found == "0"
        assert findings["prepared_transactions"].found == "0"

    def test_asks_for_no_disk_of_another_machine(self, bank: Dsn, examination: Examination) -> None:
        """Without a folder of the data there is no question about its disk."""
        elsewhere = dataclasses.replace(examination, data=None)

        assert "disk_free" not in examine(bank.read, elsewhere)
