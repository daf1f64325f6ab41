"""As whom PostgreSQL runs, and how it is started as that user.

PostgreSQL refuses to run as root. Root's bank therefore runs it as another, existing
user; and because that user usually cannot walk into root's folders (its own home, a
fresh temporary folder), PostgreSQL gets the data folder as an open directory:
`/proc/self/fd/N` leads there whatever the folders above allow, so no permission of a
folder that we did not make has to change. It also keeps the folder's name, which may
hold any character, out of the shell by which pg_ctl starts the server.
"""

import os
import pwd
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scudo.fabric.postgres.refusals import PostgresFolderUnfit, PostgresUnfit

ROOT: Final = 0
#: Users that root falls back to, in this order, when none is named.
UNPRIVILEGED: Final = ("postgres", "nobody")
#: Users that root's vault runs as, in this order; the first is made for it, the others are
#: there on every machine and may be shared with other programs.
GUESTS: Final = ("scudo-vault", "nobody", "daemon")


@dataclass(frozen=True, slots=True)
class Account:
    """The operating-system user that owns the data folder and runs PostgreSQL."""

    name: str
    user_id: int
    group_id: int

    @property
    def is_other(self) -> bool:
        """Whether this process must hand PostgreSQL over to somebody else."""
        return self.user_id != os.geteuid()

    def own(self, path: Path) -> None:
        """Give `path`, which we made, to this account.

        Raises:
            PostgresFolderUnfit: the file system knows no owners.
        """
        if not self.is_other:
            return
        try:
            os.chown(path, self.user_id, self.group_id)
        except OSError as error:
            message = f"{path} cannot be given to the user {self.name}: {error.strerror}."
            raise PostgresFolderUnfit(message) from error

    @contextmanager
    def command(self, folder: Path) -> Iterator["Command"]:
        """Lend a way to run PostgreSQL's programs as this account on `folder`."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield Command(account=self, descriptor=descriptor)
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Command:
    """How to run a program as an account on an open folder."""

    account: Account
    descriptor: int

    @property
    def folder(self) -> str:
        """The folder, as the program and all that it starts may name it."""
        return f"/proc/self/fd/{self.descriptor}"

    def run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run one program to its end and keep what it said."""
        is_other = self.account.is_other
        return subprocess.run(
            arguments,
            check=False,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # The caller's folder may be closed to the account, and its locale may be unknown.
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            umask=0o077,
            pass_fds=(self.descriptor,),
            user=self.account.user_id if is_other else None,
            group=self.account.group_id if is_other else None,
            extra_groups=() if is_other else None,
        )


def account_for(data: Path, *, preferred: str | None) -> Account:
    """Choose the user that PostgreSQL runs as.

    An ordinary user runs it. Root runs it as the owner of the data folder if there is
    one, else as `preferred`, else as the first of `UNPRIVILEGED` that exists.

    Raises:
        PostgresUnfit: there is no such user, or we have no name.
        PostgresFolderUnfit: the data folder belongs to somebody else.
    """
    me = os.geteuid()
    owner = data.stat().st_uid if data.exists() else None
    if me != ROOT:
        if owner not in {None, me}:
            message = f"{data} belongs to the user with id {owner}, not to you."
            raise PostgresFolderUnfit(message)
        return _account_of(me)
    if owner is not None and owner != ROOT:
        return _account_of(owner)
    for name in (preferred,) if preferred else UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != ROOT:
            return Account(name=name, user_id=entry.pw_uid, group_id=entry.pw_gid)
    wanted = preferred or " or ".join(UNPRIVILEGED)
    message = f"PostgreSQL does not run as root, and there is no unprivileged user {wanted}."
    raise PostgresUnfit(message)


def guest_for(account: Account, *, preferred: str | None) -> Account | None:
    """Choose another user for the vault, neither root nor the one that runs PostgreSQL.

    None if we are not root, who alone can start a process as somebody else, or if there is
    no such user.

    Args:
        account: that runs PostgreSQL.
        preferred: user that the vault is told to run as.

    Raises:
        PostgresUnfit: the preferred user does not exist, is root or runs PostgreSQL.
    """
    if os.geteuid() != ROOT:
        return None
    for name in (preferred,) if preferred else GUESTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid not in {ROOT, account.user_id}:
            return Account(name=name, user_id=entry.pw_uid, group_id=entry.pw_gid)
    if preferred:
        message = f"The vault cannot run as {preferred}: no user of its own has this name."
        raise PostgresUnfit(message)
    return None


def _account_of(user_id: int) -> Account:
    try:
        entry = pwd.getpwuid(user_id)
    except KeyError as error:
        message = f"The user id {user_id} has no name, and PostgreSQL asks for one."
        raise PostgresUnfit(message) from error
    return Account(name=entry.pw_name, user_id=user_id, group_id=entry.pw_gid)


def is_reachable(path: Path, account: Account) -> bool:
    """Whether `account` may walk into the folder `path`, by the mode bits of every step."""
    resolved = path.resolve()
    for folder in (resolved, *resolved.parents):
        entry = folder.stat()
        if entry.st_uid == account.user_id:
            bit = 0o100
        elif entry.st_gid == account.group_id:
            bit = 0o010
        else:
            bit = 0o001
        if not entry.st_mode & bit:
            return False
    return True
