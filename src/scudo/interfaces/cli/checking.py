"""`scudo doctor`: can this machine, and can these settings, hold a bank?"""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec
import psycopg
from psycopg.rows import TupleRow
from rich.markup import escape

from scudo.bootstrap import now_us
from scudo.fabric import ALARM_BEFORE_US, ServerTls, TlsFiles, TlsUnfit, postgres
from scudo.fabric import doctor as physician
from scudo.governance import find_leaks
from scudo.interfaces.cli import keeping, overlooking
from scudo.interfaces.cli.installing import Settings, holds_bank, settings_now, token_path
from scudo.interfaces.cli.terminal import NOT_OK, OK, Terminal
from scudo.kernel import rfc3339

_PRIVATE: Final = 0o077
#: Tables whose rows are never changed.
_APPEND_ONLY: Final = (
    "fabric.log_batch",
    "fabric.log_entry",
    "fabric.idempotency",
    "fabric.record",
    "governance.signed_head",
    "governance.signing_key",
    "governance.tree_node",
    "decisions.decision",
    "ledger.transfer",
)


#: Entries and records that are looked through for data that should not be there.
_LOOKED_THROUGH: Final = 10_000
_LEAKS_SHOWN: Final = 5


class Examined(msgspec.Struct, frozen=True):
    """All that doctor found; `ok` is false when the bank must not run like this."""

    ok: bool
    findings: tuple[physician.Finding, ...]


def doctor(*, wants_upgrade: bool, is_json: bool) -> int:
    """Look at everything, or first move the data of an older PostgreSQL."""
    terminal, settings = Terminal(is_json=is_json), settings_now()
    if wants_upgrade and settings.database_url is None:
        before = postgres.upgrade(settings.home, postgres_user=settings.postgres_user)
        terminal.say(f"The data was PostgreSQL {before}'s; it is at our version now.")
    findings = [*_files(settings), _witness(settings), *keeping.findings(settings)]
    findings += _certificate(settings)
    server = postgres.database_from(settings)
    is_embedded = isinstance(server, postgres.EmbeddedServer)
    if isinstance(server, postgres.EmbeddedServer) and not server.data.exists():
        terminal.say(f"There is no bank in {escape(str(settings.home))} yet: `scudo init`.")
    else:
        with server:
            dsn = server.start()
            with psycopg.connect(dsn.read, autocommit=True) as connection:
                examination = physician.Examination(
                    now=datetime.now(UTC),
                    append_only=_APPEND_ONLY if holds_bank(connection) else (),
                    data=settings.home if is_embedded else None,
                )
                findings.append(_transport(connection))
                if settings.database_url is not None:
                    findings.append(_login(settings.database_url))
                findings += physician.diagnose(connection, examination=examination)
                if holds_bank(connection):
                    findings.append(_leaks(connection))
                    findings += overlooking.findings(connection, settings, now=now_us())
    for finding in findings:
        _say(terminal, finding)
    examined = Examined(physician.is_fit(findings), tuple(findings))
    terminal.give(examined)
    return OK if examined.ok else NOT_OK


def _say(terminal: Terminal, finding: physician.Finding) -> None:
    mark = "[green]ok[/]  "
    if not finding.ok:
        mark = "[bold red]BAD[/] " if finding.is_vital else "[yellow]hmm[/] "
    terminal.say(f"{mark} {finding.name:28} {escape(finding.found)}")
    if not finding.ok:
        terminal.say(f"     {'':28} wanted: {escape(finding.wanted)}")
        terminal.say(f"     {'':28} {escape(finding.next_step)}")


def _witness(settings: Settings) -> physician.Finding:
    """Whether what proves a forged log lies where the forger cannot reach it, as far as we see."""
    folder, home = settings.witness_folder, settings.home
    device = next(path.stat().st_dev for path in (folder, *folder.parents) if path.exists())
    is_here = home.exists() and device == home.stat().st_dev
    return physician.Finding(
        name="witness",
        ok=not is_here or settings.database_url is not None,
        is_vital=False,
        found=f"{folder}, {'THE SAME DISK AS THE BANK: NO SECOND PLACE' if is_here else 'apart'}",
        wanted="a second place, which the database's administrator cannot write",
        next_step="Point SCUDO_WITNESS at a folder of another machine that others administer.",
    )


def _leaks(connection: psycopg.Connection[TupleRow]) -> physician.Finding:
    """Whether personal or card data lies where none should be, in what was stored last."""
    leaks = list(itertools.islice(find_leaks(connection, limit=_LOOKED_THROUGH), _LEAKS_SHOWN))
    shown = ", ".join(f"{leak.kind} in {leak.table} {leak.key} {leak.path}" for leak in leaks)
    return physician.Finding(
        name="data where none should be",
        ok=not leaks,
        is_vital=False,
        found=shown or f"none in the last {_LOOKED_THROUGH:,} entries and records",
        wanted="no card number, account number, address or telephone number outside the vault",
        next_step="Find who sent it there, and have it sent to the vault instead.",
    )


def _certificate(settings: Settings) -> Iterator[physician.Finding]:
    """Whether what HTTPS is served with can be used, and for how long."""
    if settings.tls_cert is None or settings.tls_key is None:
        return
    files = TlsFiles(settings.tls_cert, settings.tls_key, settings.client_ca)
    try:
        tls = ServerTls(files, clock=now_us)
    except TlsUnfit as unfit:
        ok, found = False, unfit.message
    else:
        ok, found = not tls.is_alarming, f"good until {rfc3339(tls.expires_at)}"
    yield physician.Finding(
        name="certificate",
        ok=ok,
        is_vital=False,
        found=found,
        wanted="readable, of its key, and good for two weeks or more",
        next_step="Renew the files; a server that runs reads them again by itself.",
    )
    if settings.client_ca is not None:
        try:
            ends = files.authorities_end()
        except TlsUnfit as unfit:
            ends, found = 0, unfit.message
        else:
            found = "there is none" if ends is None else f"the first ends {rfc3339(ends)}"
        yield physician.Finding(
            name="client_authorities",
            ok=ends is not None and ends - now_us() > ALARM_BEFORE_US,
            is_vital=False,
            found=found,
            wanted="CAs that can be read, all good for two weeks or more",
            next_step="Put the next CA beside the one that ends, and have clients renewed by it.",
        )


def _transport(connection: psycopg.Connection[tuple[object, ...]]) -> physician.Finding:
    """Whether what goes to the database is encrypted, unless it does not leave the machine."""
    info = connection.info
    is_here = info.host.startswith("/") or info.host in {"localhost", "127.0.0.1", "::1", ""}
    encrypted = bool(connection.pgconn.ssl_in_use)
    return physician.Finding(
        name="database_encrypted",
        ok=encrypted or is_here,
        is_vital=False,
        found="TLS" if encrypted else "the same machine" if is_here else "PLAIN TEXT",
        wanted="TLS, or the same machine",
        next_step="Add sslmode=verify-full, sslrootcert, sslcert and sslkey to SCUDO_DATABASE_URL.",
    )


def _login(url: str) -> physician.Finding:
    """Whether the bank's login is one that the vault's data is closed to."""
    only_works = postgres.is_worker(url)
    return physician.Finding(
        name="database_login",
        ok=only_works,
        is_vital=False,
        found="works only" if only_works else "may take on the vault's or the owner's role",
        wanted="a login in scudo_app and scudo_read only",
        next_step="Make logins for bank and vault; run `scudo init` with SCUDO_OWNER_DATABASE_URL.",
    )


def _files(settings: Settings) -> Iterator[physician.Finding]:
    for path in (settings.home, token_path(settings), settings.home / "token.key"):
        if path.exists():
            mode = path.stat().st_mode & 0o777
            yield physician.Finding(
                name=f"rights of {path.name}",
                ok=not mode & _PRIVATE,
                is_vital=False,
                found=f"{mode:o}",
                wanted=f"{mode & ~_PRIVATE:o}",
                next_step=f"chmod go= {path}",
            )
