"""What the command line shows: words for people, one JSON object for programs.

With `--json` exactly one object goes to standard output and every word to standard error.
Progress always goes to standard error: as a bar on a terminal, else as plain lines.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import psycopg
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from scudo.fabric import BankUnavailable, telemetry
from scudo.interfaces.cli.errors import FolderUnfit
from scudo.kernel import Refusal

#: Exit codes; 2, for wrong usage, is typer's own.
OK: Final = 0
NOT_OK: Final = 1
REFUSED: Final = 3
INTERRUPTED: Final = 130

#: Without a terminal, progress is told at most this often.
_LINE_EVERY_S: Final = 2.0
_WIDTH_WITHOUT_TERMINAL: Final = 100
#: The descriptor that processes inherit.
_STANDARD_ERROR: Final = 2

#: Told how much is done, of how much, and a few words beside it.
Step = Callable[[int, int, str], None]


def refusal_of(error: Exception) -> Refusal | None:
    """The "no" that an error comes down to for whoever typed the command; None for a bug."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, psycopg.OperationalError):
        first, *_ = str(error).splitlines() or ["no answer"]
        message = f"the database cannot be used: {first}"
        return BankUnavailable(message)
    if isinstance(error, PermissionError):
        message = f"{error.filename} is not ours to use"
        return FolderUnfit(message)
    return None


class Terminal:
    """Where one command speaks."""

    def __init__(self, *, is_json: bool = False) -> None:
        """Speak to people on standard output, or beside it when a program reads that."""
        # What is logged goes to standard error; only a server tells what is not a warning.
        telemetry.configure_logging(level="WARNING")
        self.is_json = is_json
        self.console = _console(is_error=is_json)
        self.aside = _console(is_error=True)

    def say(self, text: RenderableType = "") -> None:
        """Say something to the person, with rich's markup."""
        self.console.print(text)

    def give(self, result: object) -> None:
        """Hand the one result to the program that asked for JSON."""
        if self.is_json:
            sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
            sys.stdout.flush()

    def refuse(self, refusal: Refusal) -> None:
        """Show what was refused, its code, and what to do next."""
        field = f" ({refusal.field})" if refusal.field else ""
        shown = self.aside
        shown.print(f"[bold red]Refused:[/] {escape(refusal.message)}{escape(field)}")
        shown.print(f"[dim]code[/]  {refusal.code}")
        shown.print(f"[dim]next[/]  {escape(refusal.next_step)}")
        self.give(
            {
                "refused": refusal.code,
                "message": refusal.message,
                "field": refusal.field,
                "next_step": refusal.next_step,
                "retryable": refusal.retryable,
            }
        )

    @contextmanager
    def logged_aside(self, file: Path) -> Iterator[None]:
        """Have logged to a file what this process and those that it starts would log between words.

        Whatever is said goes on to standard error: only the descriptor that others inherit
        is the file's.
        """
        sys.stderr.flush()
        ours, descriptor = sys.stderr, os.dup(_STANDARD_ERROR)
        with file.open("w", encoding="utf-8") as log, os.fdopen(descriptor, "w") as words:
            os.dup2(log.fileno(), _STANDARD_ERROR)
            sys.stderr = words
            telemetry.configure_logging(level="INFO", stream=log)
            try:
                yield
            finally:
                words.flush()
                os.dup2(descriptor, _STANDARD_ERROR)
                sys.stderr = ours
                telemetry.configure_logging(level="WARNING")

    @contextmanager
    def progress(self, label: str) -> Iterator[Step]:
        """Show how long work comes along."""
        if not self.aside.is_terminal:
            yield self._lines(label)
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.aside, transient=True) as bars:
            task = bars.add_task(label, total=None, note="")

            def step(done: int, of: int, note: str) -> None:
                bars.update(task, completed=done, total=of, note=note)

            yield step

    def _lines(self, label: str) -> Step:
        told = time.monotonic()

        def step(done: int, of: int, note: str) -> None:
            nonlocal told
            now = time.monotonic()
            if now - told >= _LINE_EVERY_S:
                told = now
                self.aside.print(f"{label}: {done:,} of {of:,}  {note}", highlight=False)

        return step


def _console(*, is_error: bool) -> Console:
    console = Console(stderr=is_error, highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_WITHOUT_TERMINAL
    return console
