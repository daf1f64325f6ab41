"""Files of the vault, reached through an open folder.

The vault's user usually cannot walk into the bank's home, which belongs to somebody else; a
folder that was opened before the change of user needs no walk.
"""

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scudo.vault.errors import VaultFolderUnfit, VaultRunning

_PRIVATE: Final = 0o600
_CHUNK: Final = 1 << 20
_LOCK: Final = "running.lock"
_UNFINISHED: Final = re.compile(r"\.[\w.]+\.[0-9a-f]{8}")


class Folder:
    """One folder, its files readable by their owner alone."""

    def __init__(self, descriptor: int) -> None:
        """Use an open folder; it stays open."""
        self._at = descriptor

    @classmethod
    def open(cls, path: Path) -> "Folder":
        """Open a folder by its path."""
        return cls(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def lock(self) -> None:
        """Be the only process that uses this folder, until this process ends.

        Raises:
            VaultRunning: another one is.
        """
        lock = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE, dir_fd=self._at)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            message = "another process is the vault of this bank"
            raise VaultRunning(message) from error

    def tidy(self) -> None:
        """Take away what an interrupted `write` left: a file with keys that nobody reads again."""
        for name in os.listdir(self._at):  # noqa: PTH208 - an open folder has no path
            if _UNFINISHED.fullmatch(name):
                self.remove(name)

    def find(self, name: str) -> bytes | None:
        """Read a file; none if there is none."""
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._at)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            return file.read()

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all, and wait until it is on the disk.

        Raises:
            OSError: it cannot be written.
        """
        fresh = f".{name}.{secrets.token_hex(4)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(fresh, flags, _PRIVATE, dir_fd=self._at), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.rename(fresh, name, src_dir_fd=self._at, dst_dir_fd=self._at)
        except OSError:
            self.remove(fresh)
            raise
        os.fsync(self._at)

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""
        try:
            os.unlink(name, dir_fd=self._at)
        except FileNotFoundError:
            return
        os.fsync(self._at)

    def append(self, name: str, line: bytes) -> None:
        """Add one line to a file and wait until it is on the disk.

        What an interrupted append left of a line is cut off first: nobody was told of it.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(name, flags, _PRIVATE, dir_fd=self._at)
        try:
            end = _end_of_lines(descriptor)
            os.ftruncate(descriptor, end)
            rest = memoryview(line + b"\n")
            while rest:
                written = os.pwrite(descriptor, rest, end)
                rest, end = rest[written:], end + written
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.fsync(self._at)

    def lines(self, name: str) -> Iterator[bytes]:
        """Read the finished lines of a file, without their ends; none if there is no file."""
        content = self.find(name)
        if content:
            yield from content[: content.rfind(b"\n") + 1].splitlines()

    def mode_of(self, name: str) -> int | None:
        """Rights of a file; none if there is none."""
        try:
            return os.stat(name, dir_fd=self._at).st_mode & 0o777
        except FileNotFoundError:
            return None

    def demand_private(self, name: str) -> None:
        """See that a file, if it is there, is its owner's alone.

        Raises:
            VaultFolderUnfit: others may read it.
        """
        mode = self.mode_of(name)
        if mode is not None and mode & 0o077:
            message = f"{name} may be read by others: its rights are {mode:o}"
            raise VaultFolderUnfit(message)


def _end_of_lines(descriptor: int) -> int:
    """Where the last finished line of a file ends."""
    end = os.fstat(descriptor).st_size
    while end:
        start = max(0, end - _CHUNK)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
