"""PostgreSQL, embedded from a wheel or yours by URL: servers, roles and how to connect."""

from scudo.fabric.postgres.account import Account, account_for, guest_for
from scudo.fabric.postgres.external import ExternalServer, Server, database_from
from scudo.fabric.postgres.refusals import (
    PostgresFolderUnfit,
    PostgresNotStarted,
    PostgresUnfit,
    PostgresUnreachable,
    PostgresUpgradeFailed,
    PostgresVersionOther,
)
from scudo.fabric.postgres.roles import (
    APP,
    OWNER,
    READ,
    VAULT,
    Dsn,
    ensure_roles,
    in_role,
    is_worker,
)
from scudo.fabric.postgres.server import EmbeddedServer
from scudo.fabric.postgres.socket import noted_socket, place_socket, remove_socket
from scudo.fabric.postgres.upgrade import upgrade

__all__ = [
    "APP",
    "OWNER",
    "READ",
    "VAULT",
    "Account",
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
    "account_for",
    "database_from",
    "ensure_roles",
    "guest_for",
    "in_role",
    "is_worker",
    "noted_socket",
    "place_socket",
    "remove_socket",
    "upgrade",
]
