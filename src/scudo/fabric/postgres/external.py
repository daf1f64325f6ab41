"""Your own PostgreSQL instead of the embedded one."""

from dataclasses import replace
from typing import Self

from scudo.fabric.postgres.roles import (
    APP,
    READ,
    VAULT,
    Dsn,
    admit,
    ensure_roles,
    is_worker,
    url_dsn,
)
from scudo.fabric.postgres.server import EmbeddedServer
from scudo.fabric.settings import Settings


class ExternalServer:
    """A PostgreSQL that somebody else runs; it is used and never started or stopped."""

    def __init__(
        self, url: str, *, owner_url: str | None = None, vault_url: str | None = None
    ) -> None:
        """Name the database by its URL; nothing happens before `start`.

        Args:
            url: of the login that the bank works as.
            owner_url: of a login that makes roles and schema; without one, the bank's does.
            vault_url: of the login that the vault works as, if it has one.
        """
        self._url = url
        self._owner_url = owner_url
        self._vault_url = vault_url

    def __enter__(self) -> Self:
        """Make sure that it answers and has the roles."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave; there is nothing to stop."""

    def start(self) -> Dsn:
        """Make sure that the database answers and has the roles, and say how to connect.

        Raises:
            PostgresUnreachable: it does not answer, or its user may not make roles.
        """
        dsn = url_dsn(self._url)
        if self._owner_url is not None:
            owner = url_dsn(self._owner_url)
            ensure_roles(owner.admin)
            admit(owner.admin, self._url, roles=(APP, READ))
            if self._vault_url is not None:
                admit(owner.admin, self._vault_url, roles=(VAULT,))
            return replace(dsn, admin=owner.admin, owner=owner.owner)
        if is_worker(dsn.admin):
            # It owns nothing; whether the schema is as it should be it may read.
            return replace(dsn, owner=dsn.app)
        ensure_roles(dsn.admin)
        return dsn

    def stop(self) -> bool:
        """Say that it still runs: it is not ours to stop."""
        return False


#: Where a bank keeps its database.
Server = EmbeddedServer | ExternalServer


def database_from(settings: Settings) -> Server:
    """Choose the bank's database: yours if the settings name one, else the embedded one."""
    if settings.database_url is not None:
        return ExternalServer(
            settings.database_url,
            owner_url=settings.owner_database_url,
            vault_url=settings.vault_database_url,
        )
    return EmbeddedServer(
        settings.home, postgres_user=settings.postgres_user, vault_user=settings.vault_user
    )
