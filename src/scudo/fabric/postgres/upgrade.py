"""Move a bank's data from an older major version of PostgreSQL to ours.

The data is dumped by our programs from a server of the old version and restored into a
new data folder. `pg_upgrade` would be faster, and does not fit: it asks for the same
locale provider on both sides, and the builtin one exists only since version 17.

The old data stays beside the new as `data.before-<version>`. Until the new data is
complete and counted nothing of the old changes; the change-over is two renames, and the
next start finishes them if the machine stops in between.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from scudo.fabric.postgres.account import account_for
from scudo.fabric.postgres.binaries import INSTALLATIONS, MAJOR, Binaries, binaries_for
from scudo.fabric.postgres.cluster import UPGRADED, Cluster, finish_upgrade
from scudo.fabric.postgres.refusals import PostgresUpgradeFailed
from scudo.fabric.postgres.roles import ensure_database, ensure_roles, socket_dsn
from scudo.fabric.postgres.running import halt, launch
from scudo.fabric.postgres.server import DATABASE, EmbeddedServer
from scudo.fabric.postgres.sharing import Sharing
from scudo.fabric.postgres.socket import place_socket, remove_socket
from scudo.fabric.rows import queries

_SQL: Final = queries("scudo.fabric.postgres")
_UNFINISHED: Final = "upgrading-"


def upgrade(home: Path, *, postgres_user: str | None = None) -> int:
    """Bring the bank's data to our major version; return the version it had.

    Nothing happens when it has ours already. Needs room for the data a second time.

    Raises:
        PostgresUpgradeFailed: the bank is in use, its version is not one we can read, or
            the new data differs from the old; the old data is as it was.
    """
    server = EmbeddedServer(home)
    sharing = Sharing(server.folder)
    finish_upgrade(server.data)
    try:
        version = int((server.data / "PG_VERSION").read_text())
    except (OSError, ValueError) as error:
        message = f"{server.data} holds no data of PostgreSQL."
        raise PostgresUpgradeFailed(message) from error
    if version == MAJOR:
        return version
    if version not in INSTALLATIONS:
        message = f"There are no programs that read data of PostgreSQL {version}."
        raise PostgresUpgradeFailed(message)
    with sharing.exclusively():
        if sharing.is_in_use():
            message = "The bank is in use."
            raise PostgresUpgradeFailed(message)
        account = account_for(server.data, preferred=postgres_user)
        # What an upgrade left that was killed: the old data is still in its place.
        for unfinished in (*server.folder.glob(f"{_UNFINISHED}*"), server.folder / UPGRADED):
            shutil.rmtree(unfinished, ignore_errors=True)
        workshop = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=server.folder))
        old = Cluster(data=server.data, account=account, is_durable=True)
        new = Cluster(data=workshop / "data", account=account, is_durable=True)
        try:
            _copy(old, new, old_binaries=binaries_for(account, major=version))
            new.data.rename(server.folder / UPGRADED)
            finish_upgrade(server.data, version=version)
        finally:
            shutil.rmtree(workshop, ignore_errors=True)
    return version


def _copy(old: Cluster, new: Cluster, *, old_binaries: Binaries) -> None:
    """Fill a new data folder with everything that the old one holds."""
    old_folder, new_folder = old.data.parent, new.data.parent
    binaries = binaries_for(new.account)
    new.make(binaries)
    try:
        source = launch(
            old, binaries=old_binaries, socket_folder=place_socket(old_folder, old.account)
        )
        target = launch(new, binaries=binaries, socket_folder=place_socket(new_folder, new.account))
        from_dsn = socket_dsn(source.socket_folder, database=DATABASE).admin
        to_server = socket_dsn(target.socket_folder, database="postgres").admin
        to_dsn = socket_dsn(target.socket_folder, database=DATABASE).admin
        ensure_database(to_server, name=DATABASE)
        ensure_roles(to_dsn)
        _pour(from_dsn, to_dsn, binaries=binaries)
        _compare(from_dsn, to_dsn)
    finally:
        for cluster, folder in ((old, old_folder), (new, new_folder)):
            halt(cluster.data, mode="fast")
            remove_socket(folder, cluster.account)


def _pour(from_dsn: str, to_dsn: str, *, binaries: Binaries) -> None:
    """Stream a dump of one database into another, in one transaction.

    Raises:
        PostgresUpgradeFailed: either side stopped; the message carries its words.
    """
    dump = [binaries.program("pg_dump"), f"--dbname={from_dsn}"]
    load = [
        binaries.program("psql"),
        f"--dbname={to_dsn}",
        "--no-psqlrc",
        "--quiet",
        "--single-transaction",
        "--set=ON_ERROR_STOP=1",
        "--output=/dev/null",
    ]
    with (
        tempfile.TemporaryFile() as words,
        subprocess.Popen(dump, stdout=subprocess.PIPE, stderr=words) as source,
    ):
        loaded = subprocess.run(load, stdin=source.stdout, stderr=words, check=False)
        if source.stdout is not None:
            source.stdout.close()
        if loaded.returncode or source.wait():
            words.seek(0)
            said = words.read().decode(errors="replace").strip()
            message = f"The data could not be copied:\n{said}"
            raise PostgresUpgradeFailed(message)


def _compare(from_dsn: str, to_dsn: str) -> None:
    """Count the rows of every table on both sides.

    Raises:
        PostgresUpgradeFailed: a table is missing or has another number of rows.
    """
    with psycopg.connect(from_dsn) as source, psycopg.connect(to_dsn) as target:
        before, after = (_counted(connection) for connection in (source, target))
    differing = sorted({name for name, _ in before.items() ^ after.items()})
    if differing:
        message = f"These tables differ after the copy: {', '.join(differing)}."
        raise PostgresUpgradeFailed(message)


def _counted(connection: psycopg.Connection[tuple[object, ...]]) -> dict[str, object]:
    found = {}
    for schema, table in connection.execute(_SQL["tables"]).fetchall():
        statement = sql.SQL(_SQL["count"]).format(sql.Identifier(str(schema), str(table)))
        row = connection.execute(statement).fetchone()
        found[f"{schema}.{table}"] = row and row[0]
    return found
