"""What runs on a data folder, as the kernel tells it.

`postmaster.pid` alone proves nothing: after kill -9 it stays, and its number may by then
belong to another process, or to one that is dead and not yet collected. A process is ours
when it is alive, is called `postgres` and works in the data folder.
"""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PID_FILE: Final = "postmaster.pid"
_NAME: Final = "postgres"
_DEAD_STATES: Final = frozenset("ZX")
_POLL_S: Final = 0.01
# Line numbers in postmaster.pid (src/include/utils/pidfile.h).
_LINE_PID: Final = 0
_LINE_SOCKET_FOLDER: Final = 4
_LINE_STATUS: Final = 7


@dataclass(frozen=True, slots=True)
class Postmaster:
    """The first process of a PostgreSQL, as its own file describes it."""

    pid: int
    socket_folder: Path
    is_ready: bool


def find_postmaster(data: Path) -> Postmaster | None:
    """Read who runs on `data`; none when nothing does, whatever the file says."""
    try:
        lines = (data / PID_FILE).read_text().splitlines()
        pid = int(lines[_LINE_PID])
    except (FileNotFoundError, IndexError, ValueError):
        return None
    if not is_ours(pid, data):
        return None
    lines += [""] * (_LINE_STATUS + 1 - len(lines))
    return Postmaster(
        pid=pid,
        socket_folder=Path(lines[_LINE_SOCKET_FOLDER]),
        is_ready=lines[_LINE_STATUS].strip() == "ready",
    )


def is_ours(pid: int, data: Path) -> bool:
    """Whether `pid` is a living PostgreSQL process that works in `data`."""
    process = Path("/proc") / str(pid)
    try:
        # "pid (name) state …"; a name may hold any character, so cut at the last bracket.
        name, _, rest = (process / "stat").read_text().partition(" (")[2].rpartition(") ")
        if name != _NAME or rest[:1] in _DEAD_STATES:
            return False
        folder, wanted = (process / "cwd").stat(), data.stat()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    return (folder.st_dev, folder.st_ino) == (wanted.st_dev, wanted.st_ino)


def find_processes(data: Path) -> tuple[int, ...]:
    """List every living PostgreSQL process that works in `data`."""
    numbers = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return tuple(pid for pid in numbers if is_ours(pid, data))


def end_orphans(data: Path, *, timeout_s: int) -> bool:
    """End what a killed PostgreSQL left behind; false if something would not go.

    Without their first process the others can only be in the way: they hold the shared
    memory that the next start needs. What they had not committed is rolled back by it.
    """
    deadline = time.monotonic() + timeout_s
    while orphans := find_processes(data):
        if time.monotonic() > deadline:
            return False
        for pid in orphans:
            send(pid, signal.SIGKILL)
        time.sleep(_POLL_S)
    return True


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def wait_until_ended(pid: int, data: Path, *, timeout_s: int) -> bool:
    """Wait for a process to end; false if it lives on."""
    deadline = time.monotonic() + timeout_s
    while is_ours(pid, data):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def wait_until_ready(data: Path, *, timeout_s: int) -> Postmaster | None:
    """Wait for a running PostgreSQL to take connections; none if it ended or took too long."""
    deadline = time.monotonic() + timeout_s
    while True:
        postmaster = find_postmaster(data)
        if postmaster is None or postmaster.is_ready:
            return postmaster
        if time.monotonic() > deadline:
            return None
        time.sleep(_POLL_S)
