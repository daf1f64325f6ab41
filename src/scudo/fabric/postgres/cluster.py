"""The data folder of the embedded PostgreSQL: made once, configured at every start."""

import os
import pwd
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scudo.fabric.postgres.account import Account
from scudo.fabric.postgres.binaries import MAJOR, Binaries
from scudo.fabric.postgres.refusals import (
    PostgresFolderUnfit,
    PostgresNotStarted,
    PostgresVersionOther,
)
from scudo.fabric.postgres.roles import LOGINS, SUPERUSER, VAULT

_MIB: Final = 1024 * 1024
_UNFINISHED: Final = "unfinished-"
#: Name of upgraded data from its completion until it is in the place of the old.
UPGRADED: Final = "data.upgraded"
#: Most memory that PostgreSQL's own cache takes, and its share on a small machine.
SHARED_BUFFERS_MIB_MAX: Final = 512
MEMORY_SHARE: Final = 8
#: A bank at work holds about twenty; the auditor, commands and a console come beside it.
CONNECTIONS_MAX: Final = 200

#: Settings of every embedded bank. Why each differs from the default:
#: * full checkpoints are rare, so that few commits carry whole pages into the WAL;
#: * statements are short and many, so compilation (jit) only costs;
#: * after a crash one call syncs the whole file system instead of a thousand files: a tenth of
#:   the time (Linux reports errors to it since 5.8);
#: * the bank's clock is UTC wherever it runs.
SETTINGS: Final = {
    "listen_addresses": "",
    "max_connections": str(CONNECTIONS_MAX),
    "wal_level": "replica",
    "wal_buffers": "16MB",
    "wal_compression": "off",
    "max_wal_size": "4GB",
    "min_wal_size": "512MB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "recovery_init_sync_method": "syncfs",
    "huge_pages": "try",
    "jit": "off",
    "autovacuum": "on",
    "autovacuum_max_workers": "2",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_vacuum_insert_scale_factor": "0.1",
    "autovacuum_analyze_scale_factor": "0.02",
    "random_page_cost": "1.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "datestyle": "ISO, MDY",
    "log_checkpoints": "on",
    "log_lock_waits": "on",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %u@%d ",
}
DURABLE: Final = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
#: For a test suite only: what it writes outlives kill -9 of any process, but not the machine.
FORGETFUL: Final = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "on"}


@dataclass(frozen=True, slots=True)
class Cluster:
    """One data folder and who runs on it."""

    data: Path
    account: Account
    is_durable: bool
    #: Whom the vault runs as, if not as we do: may connect, as the vault's role only.
    guest: Account | None = None

    def is_made(self) -> bool:
        """Whether the folder holds data of our major version; false when there is none.

        Raises:
            PostgresVersionOther: another major version wrote it.
            PostgresFolderUnfit: it holds something else.
        """
        finish_upgrade(self.data)
        if not self.data.exists():
            return False
        try:
            found = (self.data / "PG_VERSION").read_text().strip()
        except OSError as error:
            message = f"{self.data} holds no data of PostgreSQL."
            raise PostgresFolderUnfit(message) from error
        if found != str(MAJOR):
            message = f"{self.data} was written by PostgreSQL {found}; Scudo runs {MAJOR}."
            raise PostgresVersionOther(message)
        return True

    def make(self, binaries: Binaries) -> None:
        """Make the data folder, whole or not at all.

        Raises:
            PostgresNotStarted: initdb failed; the message carries its words.
        """
        # If we are killed here, initdb lives on and writes: never into the folder of the next.
        for unfinished in self.data.parent.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.data.parent))
        self.account.own(fresh)
        with self.account.command(fresh) as command:
            done = command.run(
                [
                    binaries.program("initdb"),
                    f"--pgdata={command.folder}",
                    f"--username={SUPERUSER}",
                    "--encoding=UTF8",
                    "--data-checksums",
                    "--auth-local=peer",
                    "--auth-host=reject",
                    "--no-instructions",
                    "--locale=C",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--sync-method=syncfs" if self.is_durable else "--no-sync",
                ]
            )
        if done.returncode:
            shutil.rmtree(fresh, ignore_errors=True)
            message = f"PostgreSQL could not make its data folder:\n{done.stdout.strip()}"
            raise PostgresNotStarted(message)
        fresh.rename(self.data)
        _sync_folder(self.data.parent)

    def configure(self, socket_folder: Path) -> None:
        """Write the settings that the next start reads; nothing else decides them."""
        settings = {
            **SETTINGS,
            **(DURABLE if self.is_durable else FORGETFUL),
            "shared_buffers": f"{shared_buffers_mib()}MB",
            "unix_socket_directories": str(socket_folder),
            # The folder keeps others out, and the kernel says who it is (peer).
            "unix_socket_permissions": "0777" if self.guest else "0700",
        }
        lines = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
        self._write("postgresql.conf", f"# Written by Scudo at every start.\n{lines}")
        self._write("pg_hba.conf", "local all all peer map=scudo\n")
        maps = [f'scudo "{name}" {login}\n' for name in self._clients() for login in LOGINS]
        if self.guest is not None:
            maps.append(f'scudo "{self.guest.name}" {VAULT}\n')
        self._write("pg_ident.conf", "".join(maps))

    def _clients(self) -> tuple[str, ...]:
        """Names of the users who may connect: whoever made the bank's folder, and root.

        The kernel proves who they are (peer), so there is no password to keep.
        """
        owner = self.data.parent.stat().st_uid
        names = []
        for user_id in dict.fromkeys((owner, 0)):
            try:
                names.append(pwd.getpwuid(user_id).pw_name)
            except KeyError:
                continue
        return tuple(names)

    def _write(self, name: str, text: str) -> None:
        path = self.data / name
        if path.exists() and path.read_text() == text:
            # A start needs no room on the disk.
            return
        fresh = path.with_name(f"{name}.new")
        fresh.write_text(text)
        fresh.chmod(0o600)
        self.account.own(fresh)
        fresh.rename(path)


def finish_upgrade(data: Path, *, version: int | None = None) -> None:
    """Put upgraded data into the place of the old, or finish doing so after a crash.

    Args:
        data: where the server's data belongs.
        version: of the old data, which is put aside under it; none to finish only.
    """
    upgraded = data.with_name(UPGRADED)
    if version is not None:
        data.rename(data.with_name(f"{data.name}.before-{version}"))
    if upgraded.exists() and not data.exists():
        upgraded.rename(data)
        _sync_folder(data.parent)


def shared_buffers_mib() -> int:
    """Compute the size of PostgreSQL's cache on this machine, in MiB."""
    memory_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MIB
    return max(16, min(SHARED_BUFFERS_MIB_MAX, memory_mib // MEMORY_SHARE))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
