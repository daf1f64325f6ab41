"""Start and stop PostgreSQL on a data folder, after whatever happened to it before."""

import signal
from pathlib import Path
from typing import Final, Literal

from scudo.fabric.postgres.binaries import Binaries
from scudo.fabric.postgres.cluster import Cluster
from scudo.fabric.postgres.process import (
    PID_FILE,
    Postmaster,
    end_orphans,
    find_postmaster,
    send,
    wait_until_ended,
    wait_until_ready,
)
from scudo.fabric.postgres.refusals import PostgresNotStarted
from scudo.fabric.postgres.socket import SERVER_SOCKET

StopMode = Literal["smart", "fast", "immediate"]

#: PostgreSQL's signals for its three ways of stopping.
STOP_SIGNALS: Final[dict[StopMode, signal.Signals]] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}
#: Recovery of the largest WAL that `max_wal_size` allows takes minutes on a slow disk.
START_TIMEOUT_S: Final = 900
STOP_TIMEOUT_S: Final = 120
ORPHANS_TIMEOUT_S: Final = 10
LOG_BYTES_MAX: Final = 16 * 1024 * 1024
LOG_LINES_SHOWN: Final = 12


def find_running(data: Path) -> Postmaster | None:
    """Find the server of `data`; if it still recovers for a start that was killed, wait."""
    postmaster = find_postmaster(data) if data.exists() else None
    if postmaster is None or postmaster.is_ready:
        return postmaster
    return wait_until_ready(data, timeout_s=START_TIMEOUT_S)


def launch(cluster: Cluster, *, binaries: Binaries, socket_folder: Path) -> Postmaster:
    """Start PostgreSQL on a data folder on which nobody runs, and wait until it answers.

    Raises:
        PostgresNotStarted: it did not come up; the message carries its last words.
    """
    _clear_remains(cluster.data)
    # Nobody runs here, whatever the lock file of a killed server says.
    for remains in (SERVER_SOCKET, f"{SERVER_SOCKET}.lock"):
        (socket_folder / remains).unlink(missing_ok=True)
    cluster.configure(socket_folder)
    log = cluster.data / "server.log"
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.rename(log.with_suffix(".log.old"))
    spoken = log.stat().st_size if log.exists() else 0
    with cluster.account.command(cluster.data) as command:
        # pg_ctl puts the server into a session of its own: Ctrl-C is not for it.
        done = command.run(
            [
                binaries.program("pg_ctl"),
                "start",
                "--wait",
                f"--timeout={START_TIMEOUT_S}",
                "--silent",
                f"--pgdata={command.folder}",
                f"--log={command.folder}/server.log",
            ]
        )
    postmaster = None if done.returncode else find_postmaster(cluster.data)
    if postmaster is None:
        said = log.read_bytes()[spoken:].decode(errors="replace") if log.exists() else ""
        words = "\n".join([done.stdout.strip(), *said.splitlines()[-LOG_LINES_SHOWN:]])
        message = f"PostgreSQL did not start:\n{words.strip()}"
        raise PostgresNotStarted(message)
    return postmaster


def halt(data: Path, *, mode: StopMode) -> None:
    """Stop the server of `data`, if one runs.

    Raises:
        PostgresNotStarted: it did not stop in time.
    """
    postmaster = find_postmaster(data) if data.exists() else None
    if postmaster is None:
        return
    send(postmaster.pid, STOP_SIGNALS[mode])
    if not wait_until_ended(postmaster.pid, data, timeout_s=STOP_TIMEOUT_S):
        message = f"PostgreSQL (process {postmaster.pid}) did not stop."
        raise PostgresNotStarted(message)


def kill(data: Path) -> None:
    """Kill -9 the server's first process and wait for its death."""
    postmaster = find_postmaster(data)
    if postmaster is not None:
        send(postmaster.pid, signal.SIGKILL)
        wait_until_ended(postmaster.pid, data, timeout_s=STOP_TIMEOUT_S)


def _clear_remains(data: Path) -> None:
    """Make way for a start after a crash: no process, no pid file that names another.

    Raises:
        PostgresNotStarted: a process would not end.
    """
    if not end_orphans(data, timeout_s=ORPHANS_TIMEOUT_S):
        message = f"Processes of a PostgreSQL that was killed still work in {data}."
        raise PostgresNotStarted(message)
    (data / PID_FILE).unlink(missing_ok=True)
