"""Making a bank, running it, and letting clients in."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

import psycopg
from psycopg import AsyncConnection
from rich.markup import escape

from scudo import identity
from scudo.bootstrap import migrate_all
from scudo.fabric import postgres, telemetry, web
from scudo.fabric import settings as environment
from scudo.identity import SCOPES
from scudo.interfaces.cli.errors import BankNotFound, ScopesMissing
from scudo.interfaces.cli.terminal import OK, Terminal

Settings: TypeAlias = environment.Settings

ADMIN: Final = "admin"
_TOKEN_FILE: Final = "token"  # noqa: S105 - a file name


def settings_now() -> Settings:
    """The settings of this process's environment."""
    return environment.settings_from(os.environ, is_root=os.geteuid() == 0)


def token_path(settings: Settings) -> Path:
    """Where the administrator's token is kept for the owner of this machine."""
    return settings.home / _TOKEN_FILE


def init(*, wants_new_token: bool, is_json: bool) -> int:
    """Make the bank, or say what is there."""
    terminal, settings = Terminal(is_json=is_json), settings_now()
    server = postgres.database_from(settings)
    with terminal.aside.status("Starting the database"), server:
        made, token = prepare(settings, server.start(), wants_new_token=wants_new_token)
    where = "your PostgreSQL" if settings.database_url else "embedded PostgreSQL"
    terminal.say(f"[bold]Bank[/]      {escape(str(settings.home))}")
    terminal.say(f"[bold]Database[/]  {where}, {'made' if made else 'was there'}")
    if token is None:
        terminal.say(f"[bold]Token[/]     as before, in {escape(str(token_path(settings)))}")
    else:
        terminal.say(f"[bold]Token[/]     {token}")
        terminal.say(
            "          of the client `admin`; it is not shown again. A copy that only you can"
            f" read is in {escape(str(token_path(settings)))}."
        )
    terminal.say("\nNext: [bold]scudo serve[/]")
    terminal.give(
        {
            "home": str(settings.home),
            "database": "external" if settings.database_url else "embedded",
            "made": made,
            "token": token,
            "token_file": str(token_path(settings)),
        }
    )
    return OK


def prepare(
    settings: Settings, dsn: postgres.Dsn, *, wants_new_token: bool = False
) -> tuple[bool, str | None]:
    """Bring schema and administrator into place.

    Returns:
        Whether anything was made, and the administrator's token if it is new.
    """
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    applied = migrate_all(dsn)
    path = token_path(settings)
    if not wants_new_token and _is_known(dsn, path):
        return bool(applied), None
    _, token = asyncio.run(issue(dsn, ADMIN, SCOPES))
    _keep(path, token)
    return bool(applied), token


async def issue(dsn: postgres.Dsn, name: str, scopes: frozenset[str]) -> tuple[int, str]:
    """Give a client a token; a known client's old one ends."""
    async with await AsyncConnection.connect(dsn.app, autocommit=True) as connection:
        return await identity.issue_token(
            connection, name=name, scopes=scopes, customer=None, now=datetime.now(UTC)
        )


def _is_known(dsn: postgres.Dsn, path: Path) -> bool:
    """Whether the token that is kept on this machine lets somebody in."""
    if not path.exists():
        return False
    clients = identity.Clients()
    asyncio.run(_refresh(dsn, clients))
    token = path.read_text().strip()
    return clients.authenticate("bearer", token, web.NOWHERE) is not None


async def _refresh(dsn: postgres.Dsn, clients: identity.Clients) -> None:
    async with await AsyncConnection.connect(dsn.app, autocommit=True) as connection:
        await clients.refresh(connection)


def _keep(path: Path, token: str) -> None:
    """Write the token where only its owner can read it, whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(token + "\n")
    unfinished.rename(path)


def serve(*, host: str, tls: tuple[Path | None, Path | None, Path | None]) -> int:
    """Serve until a signal ends it; `tls` is certificate, key and folder of clients' CAs."""
    # Only this command needs the HTTP interface, which takes long to load.
    from scudo.interfaces.serving import serve as run  # noqa: PLC0415 - late: `--help` must not load the bank

    telemetry.configure_logging(level="INFO")
    named = {
        f"SCUDO_{name}": str(path)
        for name, path in zip(("TLS_CERT", "TLS_KEY", "CLIENT_CA"), tls, strict=True)
        if path is not None
    }
    settings = environment.settings_from(os.environ | named, is_root=os.geteuid() == 0)
    with postgres.database_from(settings) as server:
        prepare(settings, server.start())

        def announce(address: str) -> None:
            sys.stdout.write(address + "\n")
            sys.stdout.flush()

        run(settings, announce=announce, host=host)
    return OK


def token(name: str, *, scopes: tuple[str, ...], is_json: bool) -> int:
    """Give a client a token with some scopes.

    Raises:
        ScopesMissing: none was named.
    """
    terminal, settings = Terminal(is_json=is_json), settings_now()
    if not scopes:
        message = f"no scope was named; there are {', '.join(sorted(SCOPES))}"
        raise ScopesMissing(message, field="scope")
    with postgres.database_from(settings) as server:
        dsn = server.start()
        migrate_all(dsn)
        _, made = asyncio.run(issue(dsn, name, frozenset(scopes)))
    terminal.say(made)
    terminal.aside.print("[dim]It is not shown again.[/]")
    terminal.give({"client": name, "scopes": sorted(set(scopes)), "token": made})
    return OK


def holds_bank(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    """Whether the schema of a bank is there."""
    return connection.execute("SELECT to_regclass('fabric.log_head')").fetchone() != (None,)


@contextmanager
def opened(settings: Settings) -> Iterator[postgres.Dsn]:
    """Start or attach to the database of a bank that was made before.

    Raises:
        BankNotFound: there is no bank, and none was made.
    """
    server = postgres.database_from(settings)
    if isinstance(server, postgres.EmbeddedServer) and not server.data.exists():
        message = f"there is no bank in {settings.home}"
        raise BankNotFound(message)
    with server:
        dsn = server.start()
        with psycopg.connect(dsn.admin, autocommit=True) as connection:
            if not holds_bank(connection):
                message = "the database holds no bank"
                raise BankNotFound(message)
        yield dsn
