"""Your own PostgreSQL instead of the embedded one."""

from typing import Self

from scudo.fabric.postgres.roles import Dsn, ensure_roles, url_dsn
from scudo.fabric.postgres.server import EmbeddedServer
from scudo.fabric.settings import Settings


class ExternalServer:
    """A PostgreSQL that somebody else runs; it is used and never started or stopped."""

    def __init__(self, url: str) -> None:
        """Name the database by its URL; nothing happens before `start`."""
        self._url = url

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
        return ExternalServer(settings.database_url)
    return EmbeddedServer(
        settings.home, postgres_user=settings.postgres_user, vault_user=settings.vault_user
    )
