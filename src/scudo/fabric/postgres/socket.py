"""Where the server's socket is: a short path of its own, whatever the bank's folder is called."""

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

from scudo.fabric.postgres.account import Account, is_reachable
from scudo.fabric.postgres.refusals import PostgresFolderUnfit

#: `sun_path` of a Unix socket holds 108 bytes, its closing zero among them.
PATH_BYTES_MAX: Final = 107
SERVER_SOCKET: Final = ".s.PGSQL.5432"
_PREFIX: Final = "scudo-"
#: PostgreSQL reads the setting as a list with its own quoting; a plain path needs none.
_PLAIN: Final = re.compile(r"[A-Za-z0-9/._+-]+")
_PRIVATE_FOLDER: Final = 0o040700  # a folder, not a link to one, open to its owner alone
_SHARED_FOLDER: Final = 0o040710  # and one that a group may walk into, and not list


def place_socket(
    folder: Path, account: Account, *, guest: Account | None = None, name: str = SERVER_SOCKET
) -> Path:
    """Find the socket's folder of before, or make a new one for `account`.

    It outlives a crash, so that connection strings stay true when PostgreSQL comes back.
    What a killed server left in it is for the next one to clear, once it is alone.

    Args:
        folder: of what listens, which notes where its socket is.
        account: that listens.
        guest: another user whose group may walk in; without one the folder is closed.
        name: of the socket.

    Raises:
        PostgresFolderUnfit: there is no place for it.
    """
    known = _noted(folder, account, guest)
    if known is not None:
        return known
    for parent in _parents(account, name):
        try:
            made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        except OSError:
            continue
        account.own(made)
        if guest is not None:
            os.chown(made, account.user_id, guest.group_id)
            made.chmod(_SHARED_FOLDER & 0o7777)
        _note_of(folder).write_text(f"{made}\n{folder.stat().st_ino}\n")
        return made
    message = "No temporary folder has a path short enough for PostgreSQL's socket."
    raise PostgresFolderUnfit(message)


def remove_socket(folder: Path, account: Account, *, guest: Account | None = None) -> None:
    """Take the socket's folder away after a stop."""
    known = _noted(folder, account, guest)
    if known is not None:
        shutil.rmtree(known, ignore_errors=True)


def _note_of(folder: Path) -> Path:
    return folder / "socket"


def noted_socket(folder: Path) -> Path | None:
    """Read where the socket's folder is that `folder` notes, whoever it belongs to."""
    note = _note_of(folder)
    lines = note.read_text().splitlines() if note.exists() else []
    return Path(lines[0]) if lines else None


def _noted(folder: Path, account: Account, guest: Account | None) -> Path | None:
    """Read where our socket was; none if that folder is gone or is not ours.

    The note says whose it is: a copied bank must not take its original's socket.
    """
    note = _note_of(folder)
    lines = note.read_text().splitlines() if note.exists() else []
    if lines[1:] != [str(folder.stat().st_ino)]:
        return None
    try:
        entry = Path(lines[0]).lstat()
    except OSError:
        return None
    wanted: tuple[int, ...] = (_PRIVATE_FOLDER, account.user_id)
    found: tuple[int, ...] = (entry.st_mode, entry.st_uid)
    if guest is not None:
        wanted = (_SHARED_FOLDER, account.user_id, guest.group_id)
        found = (*found, entry.st_gid)
    is_ours = found == wanted
    return Path(lines[0]) if is_ours else None


def _parents(account: Account, name: str) -> tuple[Path, ...]:
    own = (Path("/run"),) if account.is_other else (Path(tempfile.gettempdir()),)
    example = Path(_PREFIX + "x" * 8) / name
    return tuple(
        parent
        for parent in dict.fromkeys((*own, Path("/tmp"), Path("/var/tmp")))  # noqa: S108 - the usual places, checked before they are used
        if _PLAIN.fullmatch(str(parent))
        and parent.is_dir()
        and len(os.fsencode(parent / example)) <= PATH_BYTES_MAX
        and is_reachable(parent, account)
    )
