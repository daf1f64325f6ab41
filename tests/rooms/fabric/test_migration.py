"""Migrations: applied once, in order, and refused when code and database disagree."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from scudo.fabric.migration import (
    DatabaseNewerThanCode,
    MigrationEdited,
    MigrationFailed,
    MigrationMisnumbered,
    Room,
    migrate,
    read_room,
)

FIRST = "CREATE TABLE vault.coin (id bigint PRIMARY KEY); GRANT SELECT ON vault.coin TO scudo_app;"
SECOND = "INSERT INTO vault.coin VALUES (1); ALTER TABLE vault.coin ADD COLUMN metal text;"


def room(folder: Path, *texts: str, name: str = "vault") -> Room:
    """Write one room's migrations as files and read them back."""
    path = folder / name
    path.mkdir(exist_ok=True)
    for number, text in enumerate(texts, start=1):
        (path / f"{number:04d}_step.sql").write_text(text)
    return read_room(name, folder=path)


class TestMigrate:
    def test_applies_what_is_missing_in_order(self, empty_database, tmp_path: Path) -> None:
        """A later start applies only what came after."""
        connection = empty_database.connection
        migrate(connection, rooms=[room(tmp_path, FIRST)])

        applied = migrate(connection, rooms=[room(tmp_path, FIRST, SECOND)])

        assert applied == ("vault/0002_step",)
        assert connection.execute("SELECT id, metal FROM vault.coin").fetchall() == [(1, None)]

    def test_does_nothing_when_nothing_is_missing(self, empty_database, tmp_path: Path) -> None:
        """A second start with the same files applies none."""
        rooms = [room(tmp_path, FIRST, SECOND)]
        migrate(empty_database.connection, rooms=rooms)

        assert migrate(empty_database.connection, rooms=rooms) == ()

    def test_keeps_the_order_of_the_rooms(self, empty_database, tmp_path: Path) -> None:
        """A room may rely on the tables of the rooms that are given before it."""
        upper = "CREATE TABLE shop.sale (coin bigint REFERENCES vault.coin)"
        rooms = [room(tmp_path, FIRST), room(tmp_path, upper, name="shop")]

        applied = migrate(empty_database.connection, rooms=rooms)

        assert applied == ("vault/0001_step", "shop/0001_step")

    def test_applies_once_when_many_start_at_once(self, empty_database, tmp_path: Path) -> None:
        """Of many starts that race, exactly one applies each migration."""
        rooms = [room(tmp_path, FIRST, SECOND)]

        def start(_: int) -> tuple[str, ...]:
            with psycopg.connect(empty_database.dsn.owner, autocommit=True) as connection:
                return migrate(connection, rooms=rooms)

        with ThreadPoolExecutor(6) as pool:
            applied = [name for names in pool.map(start, range(6)) for name in names]

        assert sorted(applied) == ["vault/0001_step", "vault/0002_step"]

    def test_leaves_no_trace_of_one_that_fails(self, empty_database, tmp_path: Path) -> None:
        """A failing migration is undone whole; those before it stay; the next start goes on."""
        connection = empty_database.connection
        broken = "CREATE TABLE vault.half (id bigint); SELECT 1 / 0;"

        with pytest.raises(MigrationFailed, match="vault/0002_step: division by zero"):
            migrate(connection, rooms=[room(tmp_path, FIRST, broken)])

        found = connection.execute("SELECT to_regclass('vault.coin'), to_regclass('vault.half')")
        assert found.fetchone() == ("vault.coin", None)
        assert migrate(connection, rooms=[room(tmp_path, FIRST, SECOND)]) == ("vault/0002_step",)

    def test_fails_rather_than_waits_behind_a_lock(self, empty_database, tmp_path: Path) -> None:
        """A table in use makes a migration give up, so that payments do not queue behind it."""
        migrate(empty_database.connection, rooms=[room(tmp_path, FIRST)])
        impatient = "SET LOCAL lock_timeout = '10ms';" + SECOND

        with psycopg.connect(empty_database.dsn.owner) as reader:
            reader.execute("LOCK TABLE vault.coin IN ACCESS SHARE MODE")
            with pytest.raises(MigrationFailed, match="lock timeout") as refused:
                migrate(empty_database.connection, rooms=[room(tmp_path, FIRST, impatient)])

        assert refused.value.retryable

    def test_refuses_an_edited_file(self, empty_database, tmp_path: Path) -> None:
        """A file that changed after it was applied is refused by name."""
        migrate(empty_database.connection, rooms=[room(tmp_path, FIRST)])

        with pytest.raises(MigrationEdited, match="vault/0001_step"):
            migrate(empty_database.connection, rooms=[room(tmp_path, FIRST + " ")])

    def test_refuses_a_database_of_the_future(self, empty_database, tmp_path: Path) -> None:
        """Code that does not know what the database holds does not touch it."""
        known = room(tmp_path, FIRST)
        migrate(empty_database.connection, rooms=[room(tmp_path, FIRST, SECOND)])

        with pytest.raises(DatabaseNewerThanCode, match="vault/0002_step"):
            migrate(empty_database.connection, rooms=[known])

    def test_refuses_a_connection_that_hides_its_transactions(self, empty_database) -> None:
        """A connection that opens transactions by itself would keep the lock: it is refused."""
        with (
            psycopg.connect(empty_database.dsn.owner) as connection,
            pytest.raises(ValueError, match="autocommit"),
        ):
            migrate(connection, rooms=[])


class TestReadRoom:
    @pytest.mark.parametrize(
        "names",
        [
            ("0002_second.sql",),
            ("0001_first.sql", "0003_third.sql"),
            ("0001_first.sql", "0001_other.sql"),
            ("1_first.sql",),
            ("0001-first.sql",),
        ],
    )
    def test_refuses_gaps_doubles_and_other_names(
        self, tmp_path: Path, names: tuple[str, ...]
    ) -> None:
        """Numbers are 1, 2, 3, … with four digits, so that an order is never a guess."""
        for name in names:
            (tmp_path / name).write_text("")

        with pytest.raises(MigrationMisnumbered):
            read_room("vault", folder=tmp_path)


@pytest.fixture
def rights(empty_database, tmp_path: Path):
    """Lend a database with one table of each kind and one function."""
    text = """
        CREATE TABLE vault.fact (id bigint);
        CREATE TABLE vault.state (id bigint);
        CREATE FUNCTION vault.open() RETURNS int LANGUAGE sql AS 'SELECT 1';
        GRANT SELECT, INSERT ON vault.fact TO scudo_app;
        GRANT SELECT, INSERT, UPDATE ON vault.state TO scudo_app;
    """
    migrate(empty_database.connection, rooms=[room(tmp_path, text)])
    return empty_database


class TestRights:
    @pytest.mark.parametrize(
        "statement",
        [
            "INSERT INTO vault.fact VALUES (1)",
            "SELECT * FROM vault.fact",
            "INSERT INTO vault.state VALUES (1)",
            "UPDATE vault.state SET id = 2",
        ],
    )
    def test_gives_the_bank_what_migrations_grant(self, rights, statement: str) -> None:
        """The application's role may do exactly what a migration granted it."""
        with psycopg.connect(rights.dsn.app) as connection:
            done = connection.execute(statement).statusmessage

        assert done is not None
        assert done.split()[0] == statement.split(maxsplit=1)[0]

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE vault.fact SET id = 2",
            "DELETE FROM vault.fact",
            "TRUNCATE vault.fact",
            "DELETE FROM vault.state",
            "DROP TABLE vault.fact",
            "ALTER TABLE vault.fact ADD COLUMN x int",
            "CREATE TABLE vault.other (id int)",
            "CREATE TABLE public.other (id int)",
            "CREATE TEMPORARY TABLE other (id int)",
            "CREATE SCHEMA other",
            "SELECT vault.open()",
            "UPDATE fabric.migration SET name = 'x'",
            "SET ROLE scudo_owner",
        ],
    )
    def test_gives_the_bank_nothing_else(self, rights, statement: str) -> None:
        """What no migration granted is refused by the database itself."""
        with (
            psycopg.connect(rights.dsn.app) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement)

    def test_lets_auditors_read_everything(self, rights) -> None:
        """The reading role reads every table without a grant of its own."""
        with psycopg.connect(rights.dsn.read) as connection:
            read = connection.execute("SELECT * FROM vault.fact, vault.state, fabric.migration")

        assert {column.name for column in read.description or ()} >= {"id", "room", "digest"}

    @pytest.mark.parametrize("table", ["vault.fact", "vault.state", "fabric.migration"])
    def test_lets_auditors_write_nothing(self, rights, table: str) -> None:
        """The reading role changes no table."""
        with (
            psycopg.connect(rights.dsn.read) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(f"DELETE FROM {table}")
