"""The embedded PostgreSQL: started once, shared, never lost, never in anybody's way."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from scudo.fabric.postgres import (
    Dsn,
    EmbeddedServer,
    ExternalServer,
    PostgresFolderUnfit,
    PostgresNotStarted,
    PostgresUnfit,
    PostgresUnreachable,
    PostgresVersionOther,
    database_from,
)
from scudo.fabric.postgres.account import Account, account_for, is_reachable
from scudo.fabric.postgres.binaries import binaries_for
from scudo.fabric.postgres.process import find_processes
from scudo.fabric.settings import Settings

# Another process that starts the bank's server, says so, and stays attached until its input ends.
ATTACHER = """
import sys
from pathlib import Path
from scudo.fabric.postgres import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]), durable=False)
server.start()
sys.stdout.write(f"{server.pid}\\n")
sys.stdout.flush()
sys.stdin.read()
server.stop()
"""


def attacher(home: Path) -> subprocess.Popen[str]:
    """Start another process that attaches to the server of `home`."""
    return subprocess.Popen(
        [sys.executable, "-c", ATTACHER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def ask(dsn: str, statement: str) -> object:
    """First column of the first row that `statement` answers."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return row[0]


def wait_until_gone(pid: int, data: Path) -> None:
    """Wait for a killed process to be dead."""
    while pid in find_processes(data):
        time.sleep(0.01)


@pytest.fixture
def new_home(tmp_path: Path) -> Iterator[Path]:
    """Lend a folder for a bank whose server is gone when the test ends."""
    folder = tmp_path / "bank"
    yield folder
    EmbeddedServer(folder).stop("immediate")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a bank once; tests get copies, which takes a tenth of the time."""
    folder = tmp_path_factory.mktemp("made") / "bank"
    with EmbeddedServer(folder, durable=False):
        return folder


@pytest.fixture
def home(new_home: Path, made: Path) -> Path:
    """Lend a bank of one's own that is at rest."""
    subprocess.run(["cp", "-a", str(made), str(new_home)], check=True)
    return new_home


class TestStart:
    @pytest.mark.parametrize(
        ("name", "wanted"),
        [
            ("server_encoding", "UTF8"),
            ("data_checksums", "on"),
            ("fsync", "on"),
            ("full_page_writes", "on"),
            ("synchronous_commit", "on"),
            ("wal_level", "replica"),
            ("listen_addresses", ""),
            ("jit", "off"),
            ("TimeZone", "UTC"),
        ],
    )
    def test_is_durable_and_closed_by_default(self, durable: Dsn, name: str, wanted: str) -> None:
        """A bank that was given no other word has every setting that keeps its data."""
        assert ask(durable.app, f"SHOW {name}") == wanted

    def test_sorts_by_bytes_whatever_the_machine_speaks(self, durable: Dsn) -> None:
        """The database has the builtin provider, whose order no system update changes."""
        statement = (
            "SELECT datlocprovider::text || datlocale FROM pg_database WHERE datname = 'scudo'"
        )

        assert ask(durable.owner, statement) == "bC.UTF-8"

    @pytest.mark.parametrize("role", ["admin", "owner", "app", "read"])
    def test_lets_every_role_in(self, server: Dsn, role: str) -> None:
        """Each connection string enters as the role that it names."""
        assert ask(getattr(server, role), "SELECT current_user") == f"scudo_{role}"

    def test_attaches_to_a_server_that_runs(self, home: Path) -> None:
        """Two that start the same bank share one server and connect alike."""
        first, second = EmbeddedServer(home, durable=False), EmbeddedServer(home, durable=False)

        with first, second:
            assert (second.pid, second.start()) == (first.pid, first.start())

    def test_starts_once_when_many_start_at_once(self, new_home: Path) -> None:
        """Four processes that race for a new bank end up with one server."""
        racers = [attacher(new_home) for _ in range(4)]

        pids = {racer.stdout.readline() for racer in racers}
        for racer in racers:
            racer.communicate()

        assert len(pids) == 1
        assert pids != {""}
        assert EmbeddedServer(new_home).pid is None

    def test_needs_no_short_path(self, tmp_path: Path) -> None:
        """A bank may live deeper than the path of a socket may be long."""
        deep = tmp_path.joinpath(*["a-folder-with-a-rather-long-name"] * 8)

        with EmbeddedServer(deep, durable=False) as embedded:
            assert ask(embedded.start().app, "SELECT 1") == 1

    def test_takes_any_name_of_a_folder(self, tmp_path: Path) -> None:
        """A bank's folder may hold every character that a file system allows."""
        odd = tmp_path / "a 'b' \"c\" $HOME `id` ; é, \\ \n %s"

        with EmbeddedServer(odd, durable=False) as embedded:
            assert ask(embedded.start().app, "SELECT 1") == 1

    def test_needs_no_plain_temporary_folder(
        self, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A temporary folder with a long or an odd name is passed over."""
        odd = tmp_path / "it's, odd"
        odd.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(odd))

        with EmbeddedServer(home, durable=False) as embedded:
            assert ask(embedded.start().app, "SELECT 1") == 1

    def test_changes_no_folder_that_it_did_not_make(self, tmp_path: Path) -> None:
        """A closed folder around the bank stays closed and keeps its owner."""
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        before = (closed.stat().st_mode, closed.stat().st_uid)

        with EmbeddedServer(closed / "bank", durable=False) as embedded:
            embedded.start()

        assert (closed.stat().st_mode, closed.stat().st_uid) == before

    def test_opens_its_own_folders_to_nobody_else(self, new_home: Path) -> None:
        """What it makes is for its owner alone, the socket's folder included."""
        with EmbeddedServer(new_home, durable=False) as embedded:
            dsn = embedded.start()
            socket_folder = Path(psycopg.conninfo.conninfo_to_dict(dsn.app)["host"])
            made = (new_home, embedded.folder, embedded.data)
            guest = embedded.guest()

            assert {oct(folder.stat().st_mode & 0o777) for folder in made} == {"0o700"}
            # The vault's user, if it is another, walks to the socket; PostgreSQL knows it.
            entered = socket_folder.stat()
            assert entered.st_mode & 0o777 == (0o700 if guest is None else 0o710)
            assert guest is None or entered.st_gid == guest.group_id

    def test_leaves_no_socket_behind(self, home: Path) -> None:
        """A clean stop takes the socket's folder away."""
        with EmbeddedServer(home, durable=False) as embedded:
            dsn = embedded.start()

        assert not Path(psycopg.conninfo.conninfo_to_dict(dsn.app)["host"]).exists()

    def test_does_not_touch_the_original_of_a_copy(self, home: Path, tmp_path: Path) -> None:
        """A copied bank gets a socket of its own while the original runs on."""
        copy = tmp_path / "copy"
        with EmbeddedServer(home, durable=False) as original:
            dsn = original.start()
            original.kill()
            shutil.copytree(home, copy)
            if os.geteuid() == 0:
                owner = original.data.stat()
                for path in [copy / "postgres" / "data", *copy.glob("postgres/data/**/*")]:
                    os.chown(path, owner.st_uid, owner.st_gid)
            original.start()

            with EmbeddedServer(copy, durable=False) as copied:
                assert copied.start().app != dsn.app
                assert ask(dsn.app, "SELECT 1") == 1


@pytest.fixture(scope="module")
def durable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dsn]:
    """Lend a server as a real bank has it."""
    with EmbeddedServer(tmp_path_factory.mktemp("durable") / "bank") as embedded:
        yield embedded.start()


class TestStop:
    def test_leaves_the_server_to_others(self, home: Path) -> None:
        """Whoever leaves while another is attached does not stop the server."""
        other = attacher(home)
        assert other.stdout is not None
        pid = int(other.stdout.readline())
        embedded = EmbeddedServer(home, durable=False)
        embedded.start()

        was_stopped = embedded.stop()

        assert (was_stopped, embedded.pid) == (False, pid)
        other.communicate()
        assert embedded.pid is None

    def test_counts_nobody_who_was_killed(self, home: Path) -> None:
        """A process that was killed no longer holds the server: the last one stops it."""
        other = attacher(home)
        assert other.stdout is not None
        other.stdout.readline()
        other.kill()
        other.communicate()
        embedded = EmbeddedServer(home, durable=False)
        assert embedded.pid is not None
        embedded.start()

        assert embedded.stop()

        assert embedded.pid is None

    def test_stops_nothing_where_nothing_is(self, tmp_path: Path) -> None:
        """Stopping a bank that was never started is no error and makes no folder."""
        assert EmbeddedServer(tmp_path / "none").stop()
        assert not (tmp_path / "none").exists()


class TestCrash:
    def test_keeps_what_was_committed(self, home: Path) -> None:
        """After kill -9 the next start recovers, under the same connection strings."""
        with EmbeddedServer(home, durable=False) as embedded:
            dsn = embedded.start()
            with psycopg.connect(dsn.owner, autocommit=True) as connection:
                connection.execute("CREATE SCHEMA kept CREATE TABLE kept (value int)")
                connection.execute("INSERT INTO kept.kept VALUES (7)")

            embedded.kill()

            assert embedded.start() == dsn
            assert ask(dsn.owner, "SELECT value FROM kept.kept") == 7

    def test_comes_back_while_old_sessions_still_work(self, home: Path) -> None:
        """Sessions that outlive their killed server are ended before the next start."""
        with EmbeddedServer(home, durable=False) as embedded:
            dsn = embedded.start()
            with psycopg.connect(dsn.owner, autocommit=True) as connection:
                busy = threading.Thread(target=_work_until_cut_off, args=(connection,))
                busy.start()
                while not ask(dsn.admin, ACTIVE):
                    time.sleep(0.01)
                embedded.kill()
                embedded.start()
                busy.join()

            assert ask(dsn.app, "SELECT 1") == 1

    def test_ends_what_lingers_after_its_server(self, home: Path) -> None:
        """A stopped session that cannot notice the death of its server is no obstacle."""
        with EmbeddedServer(home, durable=False) as embedded:
            dsn = embedded.start()
            with psycopg.connect(dsn.app, autocommit=True) as connection:
                lingering = connection.info.backend_pid
                os.kill(lingering, signal.SIGSTOP)
                embedded.kill()
                assert lingering in find_processes(embedded.data)

                embedded.start()

            assert lingering not in find_processes(embedded.data)

    @pytest.mark.parametrize(
        "content", ["", "nonsense", "1\n", "{pid}\n/elsewhere\n1\n5432\n/tmp\n"]
    )
    def test_believes_no_pid_file(self, home: Path, content: str) -> None:
        """A pid file that is damaged or names a living stranger does not stop a start."""
        embedded = EmbeddedServer(home, durable=False)
        embedded.start()
        embedded.stop()
        (embedded.data / "postmaster.pid").write_text(content.format(pid=os.getpid()))

        with embedded:
            assert ask(embedded.start().app, "SELECT 1") == 1

    @pytest.mark.parametrize("after_ms", [100, 250, 400, 550])
    def test_goes_on_after_a_start_that_was_killed(self, new_home: Path, after_ms: int) -> None:
        """Kill -9 at any moment of the very first start leaves nothing that stops the next."""
        starter = attacher(new_home)
        time.sleep(after_ms / 1000)
        starter.kill()
        starter.communicate()

        with EmbeddedServer(new_home, durable=False) as embedded:
            assert ask(embedded.start().app, "SELECT 1") == 1


ACTIVE = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'scudo_owner' AND state = 'active'"


def _work_until_cut_off(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT count(*) FROM generate_series(1, 100000000000)")


class TestRefusals:
    def test_names_another_version(self, new_home: Path) -> None:
        """Data of another major version is refused, with the way to upgrade it."""
        data = new_home / "postgres" / "data"
        data.mkdir(parents=True)
        (data / "PG_VERSION").write_text("17\n")

        with pytest.raises(PostgresVersionOther, match="PostgreSQL 17") as refused:
            EmbeddedServer(new_home).start()

        assert "doctor --upgrade" in refused.value.next_step

    def test_takes_no_folder_of_something_else(self, new_home: Path) -> None:
        """A folder that holds other things is refused and left alone."""
        data = new_home / "postgres" / "data"
        data.mkdir(parents=True)
        (data / "letters.txt").write_text("dear")

        with pytest.raises(PostgresFolderUnfit):
            EmbeddedServer(new_home).start()

        assert [file.name for file in data.iterdir()] == ["letters.txt"]

    def test_names_a_home_that_is_a_file(self, tmp_path: Path) -> None:
        """A home that cannot be a folder is refused by its path."""
        (tmp_path / "bank").write_text("")

        with pytest.raises(PostgresFolderUnfit, match="bank"):
            EmbeddedServer(tmp_path / "bank").start()

    def test_shows_what_postgresql_said(self, home: Path) -> None:
        """Damaged data is refused in PostgreSQL's own words."""
        embedded = EmbeddedServer(home, durable=False)
        embedded.start()
        embedded.stop()
        control = embedded.data / "global" / "pg_control"
        control.write_bytes(bytes(len(control.read_bytes())))

        with pytest.raises(PostgresNotStarted, match="CONTROL"):
            embedded.start()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root may choose a user")
    def test_names_a_user_that_does_not_exist(self, tmp_path: Path) -> None:
        """Root is told when the user that should run PostgreSQL does not exist."""
        with pytest.raises(PostgresUnfit, match="nobody-of-this-name"):
            account_for(tmp_path / "data", preferred="nobody-of-this-name")

    def test_names_a_database_that_does_not_answer(self) -> None:
        """A URL that leads nowhere is refused as unreachable, which may pass."""
        with pytest.raises(PostgresUnreachable) as refused:
            ExternalServer("postgresql://127.0.0.1:1/none").start()

        assert refused.value.retryable


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
class TestAsRoot:
    def test_runs_as_somebody_else(self, server: Dsn) -> None:
        """Root's server belongs to an unprivileged user."""
        with psycopg.connect(server.admin) as connection:
            process = Path("/proc") / str(connection.info.backend_pid)

            assert process.stat().st_uid != 0

    def test_keeps_the_user_who_owns_the_data(self, tmp_path: Path) -> None:
        """A bank that an ordinary user made is run as that user when root starts it."""
        data = tmp_path / "data"
        data.mkdir()
        os.chown(data, 65534, 65534)

        assert account_for(data, preferred="postgres").user_id == 65534

    def test_copies_programs_that_others_cannot_reach(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Programs in a closed folder are copied to where the other user can run them."""
        closed, shared = tmp_path / "closed", Path("/tmp") / f"scudo-test-{os.getpid()}"
        account = account_for(tmp_path / "data", preferred="nobody")
        original = binaries_for(account).folder.parent
        closed.mkdir(mode=0o700)
        shutil.copytree(original / "pginstall18", closed / original.name / "pginstall18")
        shutil.copytree(f"{original}.libs", closed / f"{original.name}.libs")
        shared.mkdir(mode=0o755)
        monkeypatch.setattr(
            "scudo.fabric.postgres.binaries._wheel_folder", lambda: closed / original.name
        )
        monkeypatch.setattr("scudo.fabric.postgres.binaries.SHARED_FOLDERS", (shared,))
        try:
            copied = binaries_for(account)
            with account.command(Path("/")) as command:
                answer = command.run([copied.program("initdb"), "--version"])

            assert copied == binaries_for(account)
            assert copied.folder.is_relative_to(shared)
            assert answer.stdout.startswith("initdb (PostgreSQL) 18")
        finally:
            shutil.rmtree(shared)


class TestReach:
    @pytest.mark.parametrize(("mode", "expected"), [(0o755, True), (0o711, True), (0o750, False)])
    def test_follows_the_mode_of_every_step(self, mode: int, expected: bool) -> None:
        """A stranger reaches a folder only if every folder above lets everybody pass."""
        stranger = Account(name="stranger", user_id=12_345_678, group_id=12_345_678)
        gate = Path("/tmp") / f"scudo-reach-{os.getpid()}-{mode:o}-{threading.get_ident()}"
        (gate / "inner").mkdir(parents=True)
        (gate / "inner").chmod(0o755)
        gate.chmod(mode)
        try:
            assert is_reachable(gate / "inner", stranger) is expected
        finally:
            shutil.rmtree(gate)


class TestExternal:
    def test_works_as_the_roles_of_the_bank(self, server: Dsn) -> None:
        """Your own PostgreSQL is used through the roles, not with the rights of its URL."""
        host = psycopg.conninfo.conninfo_to_dict(server.admin)["host"]
        settings = Settings(
            home=Path("/nowhere"), database_url=f"postgresql://scudo_admin@/scudo?host={host}"
        )

        with database_from(settings) as external:
            dsn = external.start()

        users = [ask(string, "SELECT current_user") for string in (dsn.owner, dsn.app, dsn.read)]
        assert users == ["scudo_owner", "scudo_app", "scudo_read"]

    def test_makes_the_roles_once_when_many_start_at_once(self, server: Dsn) -> None:
        """Starts that race to prepare one database all succeed."""
        host = psycopg.conninfo.conninfo_to_dict(server.admin)["host"]
        url = f"postgresql://scudo_admin@/scudo?host={host}"

        with ThreadPoolExecutor(8) as pool:
            strings = {
                dsn.app for dsn in pool.map(lambda _: ExternalServer(url).start(), range(16))
            }

        assert len(strings) == 1

    def test_is_not_chosen_without_a_url(self, tmp_path: Path) -> None:
        """Without a URL the bank is the embedded one, in its home."""
        chosen = database_from(Settings(home=tmp_path))

        assert isinstance(chosen, EmbeddedServer)
        assert chosen.home == tmp_path
