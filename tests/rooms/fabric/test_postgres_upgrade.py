"""Data of an older PostgreSQL: refused by name, moved on request, never lost."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from scudo.fabric.postgres import (
    EmbeddedServer,
    PostgresUpgradeFailed,
    PostgresVersionOther,
    ensure_roles,
    upgrade,
)
from scudo.fabric.postgres.account import account_for
from scudo.fabric.postgres.binaries import binaries_for
from scudo.fabric.postgres.cluster import Cluster
from scudo.fabric.postgres.roles import ensure_database, socket_dsn
from scudo.fabric.postgres.running import halt, launch
from scudo.fabric.postgres.socket import place_socket, remove_socket


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a bank that PostgreSQL 16 wrote: no checksums, another provider, three coins."""
    folder = tmp_path_factory.mktemp("old") / "bank" / "postgres"
    folder.mkdir(parents=True, mode=0o700)
    data = folder / "data"
    account = account_for(data, preferred=None)
    binaries = binaries_for(account, major=16)
    data.mkdir(mode=0o700)
    account.own(data)
    with account.command(data) as command:
        initdb = [binaries.program("initdb"), f"--pgdata={command.folder}", "--encoding=UTF8"]
        options = ["--username=scudo_admin", "--locale=C", "--auth=peer", "--no-sync"]
        done = command.run([*initdb, *options])
    assert done.returncode == 0, done.stdout
    cluster = Cluster(data=data, account=account, is_durable=False)
    socket_folder = place_socket(folder, account)
    launch(cluster, binaries=binaries, socket_folder=socket_folder)
    dsn = socket_dsn(socket_folder, database="scudo")
    ensure_database(socket_dsn(socket_folder, database="postgres").admin, name="scudo")
    ensure_roles(dsn.admin)
    with psycopg.connect(dsn.owner) as connection:
        connection.execute("CREATE SCHEMA vault")
        connection.execute("CREATE TABLE vault.coin (id bigint PRIMARY KEY, name text)")
        connection.execute("INSERT INTO vault.coin VALUES (1, 'scudo'), (2, 'lira'), (3, 'écu')")
        connection.execute("GRANT SELECT, INSERT ON vault.coin TO scudo_app")
    halt(data, mode="fast")
    remove_socket(folder, account)
    return folder.parent


@pytest.fixture
def home(old: Path, tmp_path: Path) -> Iterator[Path]:
    """Lend a copy of the old bank."""
    folder = tmp_path / "bank"
    subprocess.run(["cp", "-a", str(old), str(folder)], check=True)
    yield folder
    EmbeddedServer(folder).stop("immediate")


def coins(home: Path) -> list[tuple[int, str]]:
    """Start the bank and read its coins as the application."""
    with (
        EmbeddedServer(home, durable=False) as embedded,
        psycopg.connect(embedded.start().app) as connection,
    ):
        return connection.execute("SELECT id, name FROM vault.coin ORDER BY id").fetchall()


class TestUpgrade:
    def test_moves_everything(self, home: Path) -> None:
        """Rows, owners and rights arrive in the new version, with checksums and our provider."""
        with pytest.raises(PostgresVersionOther, match="PostgreSQL 16"):
            EmbeddedServer(home).start()

        assert upgrade(home) == 16

        assert coins(home) == [(1, "scudo"), (2, "lira"), (3, "écu")]
        with EmbeddedServer(home, durable=False) as embedded:
            dsn = embedded.start()
            with psycopg.connect(dsn.app) as connection:
                assert connection.execute("SHOW data_checksums").fetchone() == ("on",)
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute("DELETE FROM vault.coin")

    def test_keeps_the_old_data_and_nothing_else(self, home: Path) -> None:
        """The old data stays beside the new; nothing half done does."""
        upgrade(home)

        names = {path.name for path in (home / "postgres").iterdir() if path.is_dir()}
        assert names == {"data", "data.before-16"}

    def test_changes_nothing_of_our_version(self, home: Path) -> None:
        """A second upgrade finds nothing to do."""
        upgrade(home)

        assert upgrade(home) == 18

    def test_is_finished_by_the_next_start(self, home: Path) -> None:
        """If the machine stops between the two renames, no empty bank takes the place."""
        upgrade(home)
        data = home / "postgres" / "data"
        data.rename(data.with_name("data.upgraded"))

        assert len(coins(home)) == 3

    def test_begins_again_after_a_crash(self, home: Path) -> None:
        """What an upgrade left that was killed before the renames is thrown away."""
        half = home / "postgres" / "data.upgraded"
        half.mkdir()
        (half / "PG_VERSION").write_text("18\n")

        assert upgrade(home) == 16

        assert len(coins(home)) == 3

    def test_leaves_the_old_data_when_it_fails(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A copy that stops in the middle changes nothing: trying again succeeds."""
        broken = home / "pg_dump"
        broken.write_text("#!/bin/sh\necho no space >&2\nexit 1\n")
        broken.chmod(0o755)
        with monkeypatch.context() as patch:
            program = "scudo.fabric.postgres.binaries.Binaries.program"
            found = binaries_for(account_for(home / "postgres" / "data", preferred=None))
            patch.setattr(
                program,
                lambda self, name: (
                    str(broken) if name == "pg_dump" else str(self.folder / "bin" / name)
                ),
            )
            assert found.program("pg_dump") == str(broken)
            with pytest.raises(PostgresUpgradeFailed, match="no space"):
                upgrade(home)

        assert upgrade(home) == 16

    def test_waits_for_nobody_who_uses_the_bank(self, home: Path) -> None:
        """A bank in use is not upgraded."""
        upgrade(home)
        (home / "postgres" / "data.before-16").rename(home / "postgres" / "set-aside")
        with EmbeddedServer(home, durable=False) as embedded:
            (embedded.data / "PG_VERSION").write_text("16\n")
            with pytest.raises(PostgresUpgradeFailed, match="in use"):
                upgrade(home)
            (embedded.data / "PG_VERSION").write_text("18\n")

    @pytest.mark.parametrize("version", ["15\n", "nonsense"])
    def test_refuses_what_it_cannot_read(self, tmp_path: Path, version: str) -> None:
        """Data of a version without programs, or of no version, is refused."""
        data = tmp_path / "postgres" / "data"
        data.mkdir(parents=True)
        (data / "PG_VERSION").write_text(version)

        with pytest.raises(PostgresUpgradeFailed):
            upgrade(tmp_path)
