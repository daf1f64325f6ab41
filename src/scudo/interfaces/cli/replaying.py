"""`scudo replay`: a file of transactions through this process's bank, or through a server."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Final

import uvloop
from rich.table import Table

from scudo import identity
from scudo.bootstrap import Bank, Trust, open_bank, trust_in_vault
from scudo.client import AsyncClient, BankUnreachable, ClientRefusal
from scudo.fabric import BankUnavailable, Limits, WriterFenced, postgres
from scudo.interfaces import guarding
from scudo.interfaces.cli.errors import ServerRefused, TokenMissing
from scudo.interfaces.cli.installing import Settings, prepare, settings_now, token_path
from scudo.interfaces.cli.terminal import INTERRUPTED, NOT_OK, OK, Step, Terminal
from scudo.interfaces.cli.verifying import audit
from scudo.simulation import (
    PAGE,
    OwnDesk,
    Progress,
    RemoteDesk,
    Replay,
    Report,
    TransactionFile,
)

#: Client under whose keys files are replayed; nobody holds its token.
_CLIENT: Final = "scudo replay"
_QUEUE: Final = 16 * PAGE


def replay(
    path: Path, *, limit: int | None, url: str | None, token: str | None, is_json: bool
) -> int:
    """Replay a file and report."""
    terminal, settings = Terminal(is_json=is_json), settings_now()
    file = TransactionFile(path)
    if url is not None:
        replayed = uvloop.run(
            _over_http(file, url, limit=limit, token=_token(token, settings), terminal=terminal)
        )
    else:
        with postgres.database_from(settings) as server:
            dsn = server.start()
            prepare(settings, dsn)
            replayed = uvloop.run(_in_process(file, settings, limit=limit, terminal=terminal))
            if replayed.is_complete:
                replayed.report.verified = audit(dsn.read, terminal).ok
    report = replayed.report
    _show(report, terminal)
    terminal.give(report)
    if not replayed.is_complete:
        terminal.say(
            f"\nInterrupted after {report.events:,} of {replayed.rows:,} transactions; nothing is"
            " lost. The same command goes on from here."
        )
        return INTERRUPTED
    return NOT_OK if report.verified is False else OK


class _Replayed:
    """What one run came to."""

    def __init__(self, run: Replay, report: Report) -> None:
        self.report = report
        self.is_complete = run.is_complete
        self.rows = run.rows


async def _in_process(
    file: TransactionFile, settings: Settings, *, limit: int | None, terminal: Terminal
) -> _Replayed:
    limits = Limits(batch=PAGE, queue=_QUEUE)
    description = f"scudo replay, process {os.getpid()}"
    async with (
        opened_bank(settings, description=description, limits=limits) as (bank, _),
        desk_at(bank, client=_CLIENT) as desk,
    ):
        return await _run(Replay(file, desk, limit=limit), terminal, belt=bank.belt)


@contextlib.asynccontextmanager
async def opened_bank(
    settings: Settings, *, description: str, limits: Limits | None = None
) -> AsyncIterator[tuple[Bank, Trust]]:
    """Open the bank in this process, with its vault in another; what asks that comes with it."""
    server = postgres.database_from(settings)
    async with contextlib.AsyncExitStack() as stack:
        guard = await asyncio.to_thread(
            stack.enter_context, guarding.guarded(settings, server=server)
        )
        trust = await stack.enter_async_context(trust_in_vault(guard.address))
        bank = await stack.enter_async_context(
            open_bank(
                server,
                home=settings.home,
                description=description,
                witness=settings.witness_folder,
                trust=trust,
                limits=limits,
            )
        )
        yield bank, trust


@contextlib.asynccontextmanager
async def desk_at(bank: Bank, *, client: str) -> AsyncIterator[OwnDesk]:
    """Take a place at an open bank, under a client of its own."""
    async with await bank.connect() as connection:
        number, _ = await identity.issue_token(
            connection,
            name=client,
            scopes=("clock:drive",),
            customer=None,
            now=datetime.now(UTC),
        )
        yield OwnDesk(
            bank.queue,
            client=number,
            head=lambda: bank.conveyor.head,
            tokens=bank.tokeniser,
            connection=connection,
        )


async def _over_http(
    file: TransactionFile, url: str, *, limit: int | None, token: str, terminal: Terminal
) -> _Replayed:
    try:
        async with AsyncClient(url, token=token) as client, RemoteDesk(client) as desk:
            return await _run(Replay(file, desk, limit=limit), terminal)
    except ClientRefusal as refusal:
        message = f"the server at {url} refused: {refusal.code}, {refusal.detail}"
        raise ServerRefused(message) from refusal
    except BankUnreachable as lost:
        message = f"the server at {url} does not answer: {lost}"
        raise BankUnavailable(message) from lost


def _token(given: str | None, settings: Settings) -> str:
    """The token that was given, or the administrator's of this machine.

    Raises:
        TokenMissing: there is neither.
    """
    path = token_path(settings)
    if given is not None:
        return given
    if path.exists():
        return path.read_text().strip()
    message = "a server asks for a token, and none was given"
    raise TokenMissing(message)


async def _run(
    run: Replay, terminal: Terminal, *, belt: "asyncio.Task[None] | None" = None
) -> _Replayed:
    """Run until done, interrupted, or the writer is gone.

    Raises:
        WriterFenced: another writer took over meanwhile.
    """
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, run.stop)
    loop.add_signal_handler(signal.SIGTERM, run.stop)
    with terminal.progress("Replaying") as step:
        work = asyncio.create_task(run.run(_Rate(step).tell))
        ends = {work} if belt is None else {work, belt}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if not work.done():
        work.cancel()
        message = "the writer stopped before the file was done"
        raise WriterFenced(message)
    return _Replayed(run, await work)


class _Rate:
    """Tells progress with the rate since the run began."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._began = perf_counter()

    def tell(self, progress: Progress) -> None:
        elapsed = max(perf_counter() - self._began, 0.001)
        rate = (progress.done - progress.earlier) / elapsed
        self._step(progress.done, progress.of, f"{rate:,.0f}/s")


def _show(report: Report, terminal: Terminal) -> None:
    table = Table(title=f"{report.events:,} transactions", title_justify="left", box=None)
    table.add_column(style="dim")
    table.add_column(justify="right")
    for name in (
        "accepted",
        "reviewed",
        "held",
        "stepped_up",
        "declined",
        "blocked",
        "refused",
    ):
        count = getattr(report, name)
        share = f"{100 * count / report.events:6.2f} %" if report.events else ""
        table.add_row(name.replace("_", " "), f"{count:,}", share)
    terminal.say(table)
    terminal.say(f"[dim]rate[/]        {report.rate:,.0f} transactions a second")
    if report.decide_p50_us is not None:
        terminal.say(
            f"[dim]decisions[/]   p50 {report.decide_p50_us}, p99"
            f" {report.decide_p99_us} microseconds"
        )
    precision = "-" if report.precision is None else f"{report.precision:.1%}"
    recall = ", ".join(f"{name}: {share:.1%}" for name, share in report.recall_by_scenario.items())
    terminal.say(f"[dim]alerts[/]      {report.alerts:,}, precision {precision}")
    terminal.say(f"[dim]recall[/]      by scenario {recall or '-'}")
    if report.verified is not None:
        verdict = "[green]verified[/]" if report.verified else "[bold red]NOT RIGHT[/], see above"
        terminal.say(f"[dim]books[/]       {verdict}")
