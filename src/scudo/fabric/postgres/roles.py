"""Who may do what in the database.

* `scudo_admin`: the embedded cluster's superuser; makes roles and databases, nothing else.
* `scudo_owner`: runs migrations and owns every schema and table.
* `scudo_app`: the bank at work; has exactly the rights that migrations grant it.
* `scudo_read`: auditors, doctor and bench; reads every table but the vault's, writes none.
* `scudo_vault`: the vault's process; the only one that reads or writes the schema `vault`,
  and nothing else.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from scudo.fabric.postgres.refusals import PostgresUnreachable
from scudo.fabric.rows import queries

SUPERUSER: Final = "scudo_admin"
OWNER: Final = "scudo_owner"
APP: Final = "scudo_app"
READ: Final = "scudo_read"
VAULT: Final = "scudo_vault"
LOGINS: Final = (SUPERUSER, OWNER, APP, READ, VAULT)
CONNECT_TIMEOUT_S: Final = 10

_SQL: Final = queries("scudo.fabric.postgres")


@dataclass(frozen=True, slots=True, repr=False)
class Dsn:
    """How to connect to one database as each of the roles (libpq connection strings).

    They may hold a password, so it does not show itself.
    """

    admin: str
    owner: str
    app: str
    read: str
    vault: str

    def database(self, name: str) -> "Dsn":
        """Point all of them at another database of the same cluster."""
        return Dsn(
            admin=make_conninfo(self.admin, dbname=name),
            owner=make_conninfo(self.owner, dbname=name),
            app=make_conninfo(self.app, dbname=name),
            read=make_conninfo(self.read, dbname=name),
            vault=make_conninfo(self.vault, dbname=name),
        )


def socket_dsn(socket_folder: Path, *, database: str) -> Dsn:
    """Connect through the embedded server's socket, each role as itself."""
    socket = make_conninfo(host=str(socket_folder), port=5432, dbname=database)
    return Dsn(
        admin=make_conninfo(socket, user=SUPERUSER),
        owner=make_conninfo(socket, user=OWNER),
        app=make_conninfo(socket, user=APP),
        read=make_conninfo(socket, user=READ),
        vault=make_conninfo(socket, user=VAULT),
    )


def url_dsn(url: str) -> Dsn:
    """Connect through your URL; its user takes on each role as the session starts."""
    return Dsn(
        admin=url,
        owner=in_role(url, OWNER),
        app=in_role(url, APP),
        read=in_role(url, READ),
        vault=in_role(url, VAULT),
    )


def in_role(url: str, role: str) -> str:
    """Connect through a URL, whose user takes on a role as the session starts."""
    own = conninfo_to_dict(url).get("options") or ""
    return make_conninfo(url, options=f"{own} -c role={role}".strip())


def ensure_database(admin: str, *, name: str) -> None:
    """Create an empty database unless it is there; safe against another who does the same."""
    with psycopg.connect(admin, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S) as connection:
        if connection.execute(_SQL["database_exists"], (name,)).fetchone():
            return
        statement = sql.SQL(_SQL["create_database"]).format(name=sql.Identifier(name))
        try:
            connection.execute(statement)
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            return


def ensure_roles(admin: str) -> None:
    """Make the roles and give them their rights in one database; done again, it changes nothing.

    Raises:
        PostgresUnreachable: the database does not answer, or its user may not make roles.
    """
    with _reached(admin) as connection:
        connection.execute(_SQL["roles"])
        database = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL(_SQL["rights"]).format(database=database))


def is_worker(url: str) -> bool:
    """Whether a login is one that only works: in the bank's roles, and able to make none.

    Raises:
        PostgresUnreachable: the database does not answer.
    """
    with _reached(url) as connection:
        return connection.execute(_SQL["is_worker"]).fetchone() == (True,)


def admit(admin: str, url: str, *, roles: Sequence[str]) -> None:
    """Let the login of a URL take on roles; done again, it changes nothing.

    Raises:
        PostgresUnreachable: there is no such login, or the database does not answer.
    """
    login = conninfo_to_dict(url).get("user")
    with _reached(admin) as connection:
        if connection.execute(_SQL["is_login"], (login,)).fetchone() is None:
            message = f"There is no login {login}; the administrator of the database makes it."
            raise PostgresUnreachable(message)
        for role in roles:
            if connection.execute(_SQL["is_member"], (login, role)).fetchone() != (True,):
                statement = sql.SQL(_SQL["admit"])
                connection.execute(
                    statement.format(role=sql.Identifier(role), login=sql.Identifier(str(login)))
                )


@contextlib.contextmanager
def _reached(url: str) -> Iterator[psycopg.Connection[TupleRow]]:
    """A connection, in a transaction.

    Raises:
        PostgresUnreachable: the database does not answer, or its user may not do this.
    """
    try:
        with psycopg.connect(url, connect_timeout=CONNECT_TIMEOUT_S) as connection:
            yield connection
    except psycopg.OperationalError as error:
        message = f"The database does not answer: {error}"
        raise PostgresUnreachable(message) from error
    except psycopg.errors.InsufficientPrivilege as error:
        message = f"The database's user may not make Scudo's roles: {error}"
        raise PostgresUnreachable(message) from error
