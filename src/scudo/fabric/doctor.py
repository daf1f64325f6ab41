"""Is this database fit to hold a bank? Every question, what was found, and what to do.

Some findings are vital: with one of them unmet, money that was acknowledged can be lost
or changed, and the bank must not run. The others cost speed or comfort.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg

from scudo.fabric.postgres import APP
from scudo.fabric.rows import queries

VERSION_MIN: Final = 18
DISK_FREE_MIN_MIB: Final = 1024
WAL_SIZE_MIN_MIB: Final = 1024
TRANSACTION_AGE_MAX_S: Final = 60
CLOCK_DIFFERENCE_MAX: Final = timedelta(seconds=2)

_SQL: Final = queries("scudo.fabric", "doctor.sql")
_MIB: Final = 1024 * 1024
#: Settings without which a commit that was answered can be lost, and their good values.
_VITAL_SETTINGS: Final = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "local", "remote_write", "remote_apply"),
    "data_checksums": ("on",),
}
_OTHER_SETTINGS: Final = {
    "wal_level": ("replica", "logical"),
    "autovacuum": ("on",),
    "TimeZone": ("UTC", "Etc/UTC"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One question that was asked of the database.

    Attributes:
        name: what was asked, stable.
        ok: whether the answer is good.
        is_vital: whether the bank must not run unless it is.
        found: the answer.
        wanted: the good answer.
        next_step: what to do if it is not good.
    """

    name: str
    ok: bool
    is_vital: bool
    found: str
    wanted: str
    next_step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What the doctor is told beforehand.

    Attributes:
        now: our clock, to compare the database's with.
        append_only: tables (`schema.table`) whose rows the bank must never change.
        data: a folder on the disk of the data; none when it is on another machine.
    """

    now: datetime
    append_only: Sequence[str]
    data: Path | None


def is_fit(findings: Sequence[Finding]) -> bool:
    """Whether the bank may run on this database."""
    return all(finding.ok for finding in findings if finding.is_vital)


def diagnose(
    connection: psycopg.Connection[Any], *, examination: Examination
) -> tuple[Finding, ...]:
    """Ask every question, in the order in which the answers matter.

    Args:
        connection: as the reading role or one with more rights.
        examination: what to compare with.
    """
    connection.execute(_SQL["speak"])
    return (
        *_settings(connection, _VITAL_SETTINGS, is_vital=True),
        *_text(connection),
        _version(connection),
        *_rights(connection, examination.append_only),
        *_disk(examination.data),
        _clock(connection, examination.now),
        *_settings(connection, _OTHER_SETTINGS, is_vital=False),
        _wal_size(connection),
        *_transactions(connection),
    )


def log_began(connection: psycopg.Connection[Any]) -> datetime | None:
    """When the first batch of a bank was written, by our clock; None: nothing was."""
    row = connection.execute(_SQL["first_batch"]).fetchone()
    return None if row is None else row[0]


def _settings(
    connection: psycopg.Connection[Any], wanted: dict[str, tuple[str, ...]], *, is_vital: bool
) -> Iterator[Finding]:
    found = dict(connection.execute(_SQL["settings"], {"names": list(wanted)}).fetchall())
    for name, good in wanted.items():
        setting = found.get(name, "not known")
        step = f"Set {name} = {good[0]} for the server, the database and the roles, and restart it."
        if name == "data_checksums":
            step = "Stop the server and run pg_checksums --enable on its data."
        yield Finding(
            name=name,
            ok=setting in good,
            is_vital=is_vital,
            found=setting,
            wanted=" or ".join(good),
            next_step=step,
        )


def _text(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    encoding, provider, locale = connection.execute(_SQL["database"]).fetchone() or ("", "", "")
    yield Finding(
        name="encoding",
        ok=encoding == "UTF8",
        is_vital=True,
        found=encoding,
        wanted="UTF8",
        next_step="Make the database anew with ENCODING 'UTF8' and restore a dump into it.",
    )
    yield Finding(
        name="locale_provider",
        ok=provider == "builtin" or locale in {"C", "POSIX"},
        # Another provider's order changes with the system, and indexes of text go wrong with it.
        is_vital=True,
        found=f"{provider} {locale}",
        wanted="builtin C.UTF-8",
        next_step=(
            "Make the database anew with LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
            " TEMPLATE template0 and restore a dump into it."
        ),
    )


def _version(connection: psycopg.Connection[Any]) -> Finding:
    number = _number(connection, "version")
    return Finding(
        name="version",
        ok=number >= VERSION_MIN * 10_000,
        is_vital=True,
        found=f"{number // 10_000}.{number % 10_000}",
        wanted=f"{VERSION_MIN} or newer",
        next_step=f"Upgrade the server to PostgreSQL {VERSION_MIN}.",
    )


def _rights(connection: psycopg.Connection[Any], append_only: Sequence[str]) -> Iterator[Finding]:
    role = connection.execute(_SQL["role"]).fetchone()
    yield Finding(
        name="application_role",
        ok=role is not None and not role[0],
        is_vital=True,
        found="absent" if role is None else role[0] or "ordinary",
        wanted="ordinary",
        next_step=f"Take these attributes and memberships from the role {APP}.",
    )
    if role is None:
        return
    taking = connection.execute(_SQL["destructive_rights"]).fetchall()
    changing = connection.execute(_SQL["rewriting_rights"], {"tables": list(append_only)})
    for name, rows in (("no_deletion", taking), ("append_only", changing.fetchall())):
        tables = ", ".join(table for (table,) in rows)
        yield Finding(
            name=name,
            ok=not rows,
            is_vital=True,
            found=tables or "guarded",
            wanted="guarded",
            next_step=f"Revoke the right to change or take rows of {tables} from {APP}.",
        )


def _disk(data: Path | None) -> Iterator[Finding]:
    if data is None:
        return
    free_mib = shutil.disk_usage(data).free // _MIB
    yield Finding(
        name="disk_free",
        ok=free_mib >= DISK_FREE_MIN_MIB,
        is_vital=True,
        found=f"{free_mib} MiB",
        wanted=f"at least {DISK_FREE_MIN_MIB} MiB",
        next_step="Make room on the disk of the data.",
    )


def _clock(connection: psycopg.Connection[Any], now: datetime) -> Finding:
    row = connection.execute(_SQL["clock"]).fetchone()
    assert row is not None
    difference = abs(row[0] - now)
    return Finding(
        name="clock",
        ok=difference <= CLOCK_DIFFERENCE_MAX,
        is_vital=False,
        found=f"{difference.total_seconds():.3f} s apart",
        wanted=f"at most {CLOCK_DIFFERENCE_MAX.total_seconds():.0f} s apart",
        next_step="Synchronise the clocks of both machines (NTP).",
    )


def _wal_size(connection: psycopg.Connection[Any]) -> Finding:
    rows = connection.execute(_SQL["settings"], {"names": ["max_wal_size"]}).fetchall()
    size_mib = int(rows[0][1])
    return Finding(
        name="max_wal_size",
        ok=size_mib >= WAL_SIZE_MIN_MIB,
        is_vital=False,
        found=f"{size_mib} MiB",
        wanted=f"at least {WAL_SIZE_MIN_MIB} MiB",
        next_step="Set max_wal_size = 4GB, so that checkpoints are rare.",
    )


def _transactions(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    yield Finding(
        name="long_transactions",
        ok=not (count := _number(connection, "long_transactions", limit_s=TRANSACTION_AGE_MAX_S)),
        is_vital=False,
        found=str(count),
        wanted=f"none older than {TRANSACTION_AGE_MAX_S} s",
        next_step="Find them in pg_stat_activity and end them: they stop the clean-up of old rows.",
    )
    yield Finding(
        name="prepared_transactions",
        ok=not (count := _number(connection, "prepared_transactions")),
        is_vital=False,
        found=str(count),
        wanted="none",
        next_step="Find them in pg_prepared_xacts and end them: they hold their locks for ever.",
    )


def _number(connection: psycopg.Connection[Any], query: str, **parameters: int) -> int:
    row = connection.execute(_SQL[query], parameters or None).fetchone()
    assert row is not None
    return int(row[0])
