"""The runner of migrations."""

import hashlib
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import psycopg
from psycopg import sql

from scudo.fabric.migration.refusals import (
    DatabaseNewerThanCode,
    MigrationEdited,
    MigrationFailed,
    MigrationForbidden,
    MigrationMisnumbered,
)
from scudo.fabric.rows import queries

_SQL: Final = queries("scudo.fabric.migration")
_FILE_NAME: Final = re.compile(r"(?P<number>\d{4})_[a-z0-9_]+\.sql")

Connection: TypeAlias = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number in its room, and what it says."""

    number: int
    name: str
    text: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of the file, byte for byte."""
        return hashlib.sha256(self.text).digest()


@dataclass(frozen=True, slots=True)
class Room:
    """A room, which is also a schema, and its migrations in order."""

    name: str
    migrations: tuple[Migration, ...]


def rooms_of(names: Sequence[str], *, package: str = "scudo") -> tuple[Room, ...]:
    """Read the migrations of the rooms `names`, in this order.

    Raises:
        MigrationMisnumbered: a file's name or number is wrong.
        LookupError: there is no such package.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise LookupError(package)
    root = Path(found.submodule_search_locations[0])
    return tuple(read_room(name, folder=root / name / "migrations") for name in names)


def read_room(name: str, *, folder: Path) -> Room:
    """Read one room's migrations from `folder`; a room without any is fine.

    Raises:
        MigrationMisnumbered: a file's name or number is wrong.
    """
    migrations: list[Migration] = []
    for file in sorted(folder.glob("*.sql")):
        matched = _FILE_NAME.fullmatch(file.name)
        expected = len(migrations) + 1
        if matched is None or int(matched["number"]) != expected:
            message = f"{name}/migrations/{file.name} should begin with {expected:04d}_."
            raise MigrationMisnumbered(message)
        migrations.append(Migration(number=expected, name=file.stem, text=file.read_bytes()))
    return Room(name=name, migrations=tuple(migrations))


def migrate(connection: Connection, *, rooms: Sequence[Room]) -> tuple[str, ...]:
    """Apply what is missing, and return the names (`room/0001_name`) of what was applied.

    Invariant:
        Each migration is applied at most once and wholly, however many processes start
        at once and whenever they are killed.

    Args:
        connection: as the owner role, in autocommit mode.
        rooms: every room of the code, in the order of the layers.

    Raises:
        MigrationForbidden: something is missing, and this login may not make it.
        DatabaseNewerThanCode: it holds what the code does not know; nothing was done.
        MigrationEdited: an applied file has changed; nothing was done.
        MigrationFailed: the migration that failed left no trace; those before it stay.
        ValueError: the connection is not in autocommit mode.
    """
    if not connection.autocommit:
        raise ValueError("migrations need a connection in autocommit mode")
    # Most starts have nothing to do: one read, no lock.
    if _is_prepared(connection) and not _pending(connection, rooms):
        return ()
    if connection.execute(_SQL["may_make"]).fetchone() != (True,):
        message = "The schema of the bank is missing or older than this code."
        raise MigrationForbidden(message)
    connection.execute(_SQL["lock"])
    try:
        if not _is_prepared(connection):
            connection.execute(_SQL["prepare"])
        pending = _pending(connection, rooms)
        for room, migration in pending:
            _apply(connection, room, migration)
    finally:
        if not connection.closed:
            connection.execute(_SQL["unlock"])
    return tuple(f"{room.name}/{migration.name}" for room, migration in pending)


def _is_prepared(connection: Connection) -> bool:
    row = connection.execute(_SQL["is_prepared"]).fetchone()
    return row is not None and row[0] is not None


def _pending(connection: Connection, rooms: Sequence[Room]) -> list[tuple[Room, Migration]]:
    """Compare the database with the files; list what is missing, in order.

    Raises:
        DatabaseNewerThanCode: the database holds what the files do not.
        MigrationEdited: a file is not what was applied.
    """
    rows = connection.execute(_SQL["applied"]).fetchall()
    applied = {(room, number): (name, digest) for room, number, name, digest in rows}
    pending = []
    for room in rooms:
        for migration in room.migrations:
            known = applied.pop((room.name, migration.number), None)
            if known is None:
                pending.append((room, migration))
            elif bytes(known[1]) != migration.digest:
                message = f"{room.name}/{migration.name} was applied with other words."
                raise MigrationEdited(message)
    if applied:
        (room_name, _), (name, _) = next(iter(sorted(applied.items())))
        message = f"The database holds {room_name}/{name}, which this code does not know."
        raise DatabaseNewerThanCode(message)
    return pending


def _apply(connection: Connection, room: Room, migration: Migration) -> None:
    try:
        with connection.transaction():
            connection.execute(_SQL["limits"])
            schema = sql.SQL(_SQL["schema"]).format(schema=sql.Identifier(room.name))
            connection.execute(schema)
            connection.execute(migration.text)
            row = (room.name, migration.number, migration.name, migration.digest)
            connection.execute(_SQL["record"], row)
    except psycopg.Error as error:
        message = f"{room.name}/{migration.name}: {str(error).strip()}"
        raise MigrationFailed(message) from error
