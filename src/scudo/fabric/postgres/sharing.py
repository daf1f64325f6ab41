"""Who uses a server: locks on files that the kernel drops when a process ends, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scudo.fabric.postgres.refusals import PostgresFolderUnfit


class Sharing:
    """One process's part in the use of a folder's server."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; it need not exist yet."""
        self._folder = folder
        self._attachment: int | None = None

    @property
    def is_attached(self) -> bool:
        """Whether this object uses the server."""
        return self._attachment is not None

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Start and stop alone: others wait until this is over."""
        descriptor = self._open("start.lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def attach(self) -> None:
        """Use the server; while anybody does, nobody stops it."""
        if self._attachment is None:
            self._attachment = self._open("attached.lock")
            fcntl.flock(self._attachment, fcntl.LOCK_SH)

    def detach(self) -> None:
        """Use it no longer."""
        if self._attachment is not None:
            os.close(self._attachment)
            self._attachment = None

    def is_in_use(self) -> bool:
        """Whether anybody uses the server, this object included."""
        descriptor = self._open("attached.lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _open(self, name: str) -> int:
        """Open a lock file.

        Raises:
            PostgresFolderUnfit: the folder is not ours to write.
        """
        try:
            return os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            message = f"{self._folder / name} cannot be opened: {error.strerror}."
            raise PostgresFolderUnfit(message) from error
