"""A bank on somebody else's PostgreSQL: passwords, mutual TLS, and a login for each who works."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import pytest
from tests.certificates import Certificates
from tests.foreign_postgres import ForeignPostgres, foreign_postgres
from tests.interfaces.bank.conftest import Teller
from tests.journeys.conftest import ADA, until

from scudo import vault
from scudo.fabric import postgres
from scudo.fabric.settings import Settings
from scudo.interfaces import vaulting

SCUDO = str(Path(sys.executable).parent / "scudo")
CARE = {"purpose": "customer_care", "reason": "case:4711"}


@dataclass
class Installation:
    """A bank's folder and its environment."""

    server: ForeignPostgres
    home: Path
    named: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.named = {
            "SCUDO_HOME": str(self.home),
            "SCUDO_PORT": "0",
            "SCUDO_DATABASE_URL": self.server.url("bank"),
            "SCUDO_VAULT_DATABASE_URL": self.server.url("vaulter"),
        }

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SCUDO_")}
        return {**kept, **self.named, **more}

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SCUDO, *arguments],
            env=self.environment(**more),
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    @contextlib.contextmanager
    def served(self) -> Iterator[Teller]:
        """The bank, served as people do; somebody who may do what the administrator may."""
        with tempfile.TemporaryFile("w+") as log:
            process = subprocess.Popen(
                [SCUDO, "serve"],
                env=self.environment(),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            try:
                url = process.stdout.readline().strip()
                log.seek(0)
                assert url, log.read()
                token = (self.home / "token").read_text().strip()
                headers = {"authorization": f"Bearer {token}"}
                with httpx.Client(base_url=url, headers=headers, timeout=20) as client:
                    yield Teller(client)
            finally:
                process.send_signal(signal.SIGTERM)
                assert process.wait(30) == 0
                process.stdout.close()


@pytest.fixture(scope="module")
def server() -> Iterator[ForeignPostgres]:
    with foreign_postgres() as made:
        yield made


@pytest.fixture(scope="module")
def installed(server) -> Iterator[Installation]:
    """A bank that was made by a login of its own, and works as others."""
    with tempfile.TemporaryDirectory(prefix="scudo-journey-") as folder:
        Path(folder).chmod(0o711)
        made = Installation(server, Path(folder) / "home")
        if os.geteuid() == 0:
            # libpq wants a key to be its user's own: the vault's is the vault's user's.
            account = vaulting.account_of(
                postgres.ExternalServer("postgresql://"), Settings(home=made.home)
            )
            shutil.chown(server.certificates.folder / "vaulter.key", account.user_id)
        done = made.run("init", SCUDO_OWNER_DATABASE_URL=server.url("maker"))
        assert done.returncode == 0, done.stderr
        done = made.run("vault", "init", "--development")
        assert done.returncode == 0, done.stderr
        yield made


def pay(teller: Teller) -> dict:
    """A card payment of a customer who can afford it."""
    account = teller.account(funds=100_00)
    body = {
        "account_id": account,
        "amount_minor": 12_50,
        "currency": "EUR",
        "card": "card-1",
        "merchant": "bar-7",
    }
    answer = teller.post("/v1/card-authorisations", body)
    assert answer.status_code == 201, answer.text
    return answer.json()


class TestABank:
    @pytest.mark.timeout(120)
    def test_lives_on_it(self, installed):
        """A payment, a person put and read, a proof of the books: all over mutual TLS 1.3."""
        with installed.served() as teller:
            payment = pay(teller)
            customer = teller.customer()
            kept = teller.http.put(f"/v1/customers/{customer}/person", json=ADA)
            shown = teller.post(
                f"/v1/customers/{customer}/person/read", {"fields": ["email"], **CARE}
            )
            with installed.server.as_dba() as dba:
                rows = dba.execute(
                    "SELECT a.usename, s.version, count(*) FROM pg_stat_ssl AS s"
                    " JOIN pg_stat_activity AS a USING (pid) WHERE a.backend_type ="
                    " 'client backend' GROUP BY 1, 2"
                ).fetchall()
        verified = installed.run("verify")

        assert payment["status"] == "authorised"
        assert kept.status_code == 200, kept.text
        assert shown.json()["fields"] == {"email": ADA["email"]}
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert {(login, version) for login, version, _ in rows} == {
            ("dba", "TLSv1.3"),
            ("bank", "TLSv1.3"),
            ("vaulter", "TLSv1.3"),
        }
        with installed.server.as_dba() as dba:
            values = dba.execute("SELECT count(*) FROM vault.person_key").fetchone()
        assert values == (1,)

    @pytest.mark.timeout(120)
    def test_uses_a_renewed_certificate_without_a_restart(self, installed):
        """New connections are made with the files as they are then; the bank never stops."""
        server = installed.server
        with installed.served() as teller:
            pay(teller)
            before = _serials(server)
            for login in ("bank", "vaulter"):
                owner = (server.certificates.folder / f"{login}.key").stat()
                server.certificates.certify(
                    login,
                    f"{login}.example",
                    common_name=login,
                    owner=(owner.st_uid, owner.st_gid),
                )
            # What an idle time-out, a failover or an administrator does.
            with server.as_dba() as dba:
                dba.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE usename IN ('bank', 'vaulter')"
                )
            until(lambda: _is_ready(teller))
            assert pay(teller)["status"] == "authorised"
            after = _serials(server)

        assert before
        assert after
        assert not before & after


def _is_ready(teller: Teller) -> bool:
    # Refused is whatever meets the lost connections; it says that nothing was done.
    answer = teller.post("/v1/customers", {"reference": f"{time.time_ns()}", "kind": "person"})
    return answer.status_code == 201 and teller.http.get("/health/ready").status_code == 200


def _serials(server: ForeignPostgres) -> set[int]:
    """Which certificates the bank's and the vault's connections were made with."""
    with server.as_dba() as dba:
        rows = dba.execute(
            "SELECT DISTINCT s.client_serial FROM pg_stat_ssl AS s JOIN pg_stat_activity AS a"
            " USING (pid) WHERE a.usename IN ('bank', 'vaulter')"
        ).fetchall()
    return {int(serial) for (serial,) in rows}


class TestALogin:
    def test_that_only_works_is_what_doctor_wants(self, installed):
        """Doctor knows a login that reaches what the bank needs from one that may do anything."""
        server = installed.server
        works = json.loads(installed.run("doctor", "--json").stdout)["findings"]
        makes = json.loads(
            installed.run("doctor", "--json", SCUDO_DATABASE_URL=server.url("maker")).stdout
        )["findings"]

        assert [one["ok"] for one in works if one["name"] == "database_login"] == [True]
        assert [one["ok"] for one in makes if one["name"] == "database_login"] == [False]
        assert [one["found"] for one in works if one["name"] == "database_encrypted"] == ["TLS"]

    @pytest.mark.parametrize(
        "statement",
        [
            "SET ROLE scudo_vault",
            "SET ROLE scudo_owner",
            "SET ROLE maker",
            "SET ROLE vaulter",
            "SELECT count(*) FROM vault.person_key",
            "SELECT count(*) FROM vault.field",
            "TABLE vault.root",
            "GRANT scudo_vault TO bank",
            "CREATE SCHEMA own",
            "DELETE FROM fabric.log_entry",
        ],
    )
    @pytest.mark.parametrize("role", ["NONE", "scudo_app", "scudo_read"])
    def test_of_the_bank_never_reaches_the_vault(self, installed, role, statement):
        """Whatever role it takes on, the vault's data and the owner's power are not its."""
        with psycopg.connect(installed.server.url("bank"), autocommit=True) as bank:
            bank.execute(f"SET ROLE {role}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                bank.execute(statement)

    @pytest.mark.parametrize(
        "statement",
        [
            "SET ROLE scudo_app",
            "SET ROLE scudo_read",
            "SET ROLE scudo_owner",
            "SELECT count(*) FROM ledger.account",
            "SELECT count(*) FROM fabric.log_entry",
        ],
    )
    def test_of_the_vault_reaches_nothing_else(self, installed, statement):
        """The vault's login reads its own schema, and no other."""
        with psycopg.connect(installed.server.url("vaulter"), autocommit=True) as vaulter:
            assert vaulter.execute("SELECT count(*) FROM vault.root").fetchone() == (1,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                vaulter.execute(statement)


class TestAVault:
    def test_on_a_machine_of_its_own_knows_its_login_only(self, installed):
        """Told the vault's login and nothing of the bank's, a vault opens with its own folder."""
        environment = installed.environment()
        del environment["SCUDO_DATABASE_URL"]
        process = subprocess.Popen(
            [SCUDO, "vault", "serve"], env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            with vault.VaultClient(Path(process.stdout.readline().strip())) as client:
                status = client.ask(vault.Status())
        finally:
            process.send_signal(signal.SIGTERM)
            ended = process.wait(20)
            process.stdout.close()

        assert (status.state, ended) == ("open", 0)


class TestADoorThatIsClosed:
    @pytest.mark.parametrize(
        ("case", "words"),
        [
            ("password", "password authentication failed"),
            ("plain text", "no encryption"),
            ("no certificate", "certificate"),
            ("another login's certificate", "authentication failed"),
            ("another CA", "certificate verify failed"),
        ],
    )
    def test_says_what_to_look_at(self, installed, tmp_path, case, words):
        """Half of what is asked for is refused with the next step, and no secret is shown."""
        server = installed.server
        changed = {
            "password": {"password": "guess-7734"},
            "plain text": {"sslmode": "disable"},
            "no certificate": {"sslcert": "/absent", "sslkey": "/absent"},
            "another login's certificate": {"files": "dba"},
            "another CA": {"sslrootcert": str(tmp_path / "other.pem")},
        }[case]
        if case == "another CA":
            stranger = Certificates(tmp_path / "stranger")
            shutil.copy(stranger.cas / "own.pem", tmp_path / "other.pem")

        done = installed.run("doctor", SCUDO_DATABASE_URL=server.url("bank", **changed))

        assert done.returncode == 3, done.stdout + done.stderr
        assert "postgres_unreachable" in done.stderr
        assert words in " ".join(done.stderr.split())
        assert "SCUDO_DATABASE_URL" in done.stderr
        assert "guess-7734" not in done.stderr + done.stdout

    def test_of_the_vault_says_so_too(self, installed):
        """A vault whose login is refused does not start, and names its own setting."""
        wrong = installed.server.url("vaulter", password="guess-7734")

        done = installed.run("vault", "init", "--development", SCUDO_VAULT_DATABASE_URL=wrong)

        assert done.returncode == 3, done.stdout + done.stderr
        assert "vault_database_unreachable" in done.stderr
        assert "password authentication failed" in " ".join(done.stderr.split())
        assert "SCUDO_VAULT_DATABASE_URL" in done.stderr
        assert "guess-7734" not in done.stderr + done.stdout

    def test_of_an_expired_server_is_not_entered(self, installed):
        """A server whose certificate has ended is not believed; renewed, it is again."""
        server = installed.server
        server.certify_server(seconds=-60)
        try:
            done = until(lambda: _refused(installed))
        finally:
            server.certify_server()
        until(lambda: installed.run("doctor").returncode != 3)

        assert "postgres_unreachable" in done.stderr
        assert "certificate verify failed" in " ".join(done.stderr.split())
        assert "certificates of both sides" in " ".join(done.stderr.split())

    def test_of_a_bank_that_is_not_made_names_who_can_make_it(self, installed):
        """A login that may make nothing says what `scudo init` needs, and changes nothing."""
        with installed.server.as_dba() as dba:
            dba.execute("CREATE DATABASE empty OWNER maker")
            dba.execute("GRANT CONNECT ON DATABASE empty TO bank")
        url = installed.server.url("bank").replace("/bank?", "/empty?")

        done = installed.run("init", SCUDO_DATABASE_URL=url)

        assert done.returncode == 3, done.stdout + done.stderr
        assert "migration_forbidden" in done.stderr
        assert "SCUDO_OWNER_DATABASE_URL" in done.stderr


def _refused(installed: Installation) -> subprocess.CompletedProcess[str] | None:
    done = installed.run("doctor")
    return done if done.returncode == 3 else None
