"""The auditor beside a serving bank: a process of its own, that gives way to payments."""

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec
import psycopg
import structlog

from scudo.auditing import Auditor, Recount, give_way, read_notes
from scudo.bootstrap import CATALOGUE, now_us
from scudo.fabric import BadRow
from scudo.fabric import settings as environment
from scudo.kernel import SECOND_US

_log = structlog.get_logger("scudo.auditor")
_NOTES: Final = "auditor.json"
HOUR_US: Final = 3_600 * SECOND_US
#: A bank that has just started has better things to do.
BEGINS_AFTER_S: Final = 10.0
_AFTER_FAULT_S: Final = 5.0
_STOPS_WITHIN_S: Final = 10.0
#: A round is overdue when it took so many times what it may.
OVERDUE: Final = 2
_LINE_BYTES_MAX: Final = 1 << 16


class Launch(msgspec.Struct, frozen=True):
    """What an auditor is told when it starts; the address may hold a password: never shown.

    Attributes:
        dsn: of the reading role.
        notes: file that outlives it.
        witness: folder of the signed heads.
    """

    dsn: str
    notes: str
    witness: str
    round_us: int

    def __repr__(self) -> str:
        return "<Launch>"


def launch(settings: environment.Settings, *, dsn: str) -> Launch:
    """What an auditor of this bank is told."""
    return Launch(
        dsn,
        str(settings.home / _NOTES),
        str(settings.witness_folder),
        settings.audit_hours * HOUR_US,
    )


def last_rounds(settings: environment.Settings) -> Recount:
    """What the auditor of this bank has noted: how many rounds, and when the last one ended."""
    return read_notes(settings.home / _NOTES)


def recount(told: Launch, stopping: threading.Event, *, tell: Callable[[Recount], None]) -> Recount:
    """Recount a bank in this process until told to stop, or a row is wrong."""
    with psycopg.connect(told.dsn, autocommit=True) as connection:
        give_way(connection)
        auditor = Auditor(
            connection,
            catalogue=CATALOGUE,
            notes=Path(told.notes),
            round_us=told.round_us,
            clock=now_us,
            witness=Path(told.witness),
            tell=tell,
        )
        auditor.run(stopping)
        return auditor.recount


class AuditorProcess:
    """The auditor of a serving bank, started again when it ends before its time.

    Attributes:
        recount: how far it said that it is.
    """

    def __init__(
        self,
        settings: environment.Settings,
        *,
        dsn: str,
        alarm: Callable[[BadRow], Awaitable[None]],
        begins_after_s: float = BEGINS_AFTER_S,
    ) -> None:
        """Prepare; nothing is started.

        Args:
            settings: of the installation.
            dsn: of the reading role.
            alarm: told once of a row that is wrong.
            begins_after_s: seconds.
        """
        self._launch = launch(settings, dsn=dsn)
        self._alarm = alarm
        self._begins_after_s = begins_after_s
        self._since = now_us()
        self.recount = Recount()

    @property
    def is_well(self) -> bool:
        """Whether no row is wrong, and all was recounted not too long ago."""
        last = max(self.recount.finished_at, self._since)
        return self.recount.first_bad is None and now_us() - last < OVERDUE * self._launch.round_us

    async def run(self) -> None:
        """Have the bank recounted until cancelled, or until a row is wrong."""
        await asyncio.sleep(self._begins_after_s)
        while self.recount.first_bad is None:
            try:
                await self._attend()
            except OSError as error:
                _log.warning("auditor_not_started", error=type(error).__name__)
            if self.recount.first_bad is None:
                await asyncio.sleep(_AFTER_FAULT_S)
        bad = self.recount.first_bad
        _log.error("row_broken", table=bad.table, key=bad.key, column=bad.column)
        await self._alarm(bad)

    async def _attend(self) -> None:
        """Start one, and hear what it says until it ends."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", "scudo.interfaces.recounting"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=_LINE_BYTES_MAX,
        )
        assert process.stdin is not None, "it was asked for"
        assert process.stdout is not None, "it was asked for"
        try:
            process.stdin.write(msgspec.json.encode(self._launch) + b"\n")
            async for line in process.stdout:
                self.recount = msgspec.json.decode(line, type=Recount)
        finally:
            # It ends by itself when nobody talks to it any more.
            process.stdin.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _STOPS_WITHIN_S)
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            _log.warning("auditor_failed", exit_code=process.returncode)


def main() -> None:
    """Be the process: the launch comes on a line, and the end when nothing more can come."""
    os.setsid()
    told = msgspec.json.decode(sys.stdin.buffer.readline(), type=Launch)
    stopping = threading.Event()

    def wait_for_the_end() -> None:
        # Not through the buffer: its lock would be in the way when the process ends by itself.
        while os.read(sys.stdin.fileno(), _LINE_BYTES_MAX):
            pass
        stopping.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    try:
        _say(recount(told, stopping, tell=_say))
    except psycopg.OperationalError as error:
        # The database went away, or is not there yet: the bank starts another one.
        sys.exit(type(error).__name__)


def _say(recounted: Recount) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(recounted) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
