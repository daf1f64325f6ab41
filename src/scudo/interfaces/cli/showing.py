"""`scudo demo`: a day of a small bank, from nothing, in under a minute."""

import asyncio
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Final

import httpx
import uvloop
from psycopg import AsyncConnection
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from scudo import decisions
from scudo.bootstrap import Bank
from scudo.client import Client
from scudo.fabric import postgres
from scudo.identity import issue_token
from scudo.interfaces.cli.explaining import explained, panel
from scudo.interfaces.cli.installing import Settings, prepare, settings_now
from scudo.interfaces.cli.keeping import warn_of_development
from scudo.interfaces.cli.replaying import desk_at, opened_bank
from scudo.interfaces.cli.terminal import NOT_OK, OK, Terminal
from scudo.interfaces.cli.verifying import audit
from scudo.interfaces.serving import served_here
from scudo.simulation import (
    Authenticator,
    Day,
    Journey,
    Label,
    Lived,
    Living,
    Phone,
    Stage,
    Told,
    mailed_code,
    make_day,
    redecide,
)
from scudo.vault import Status

#: Client under whose keys the day is lived; nobody holds its token.
_CLIENT: Final = "scudo demo"
#: What the bank has to do for its customer before there is anything to pay from.
_CLERK: Final = frozenset({"customers:write", "accounts:write", "journals:write"})
#: For one answer of the bank.
_PATIENCE_S: Final = 20
#: What is shown of each outcome, if the day has it: the most telling first.
_TELLING: Final = {
    "allowed": (Label.HONEST,),
    "stepped_up": (Label.STRUCTURING, Label.CARD_TESTING, Label.ACCOUNT_TAKEOVER, Label.HONEST),
    "held": (Label.ACCOUNT_TAKEOVER, Label.MULE_FAN_IN, Label.HONEST),
    "declined": (Label.CARD_TESTING, Label.IMPOSSIBLE_TRAVEL, Label.ACCOUNT_TAKEOVER),
}
#: What is logged meanwhile, in the bank's folder; of what a fault begins with there.
_LOG: Final = "demo.log"
_FAULT: Final = re.compile('"level":"(error|critical)"')
#: Beyond every position of a log.
_EVERY: Final = (1 << 62) - 1
_WORDS: Final = {
    Label.HONEST: "honest payments",
    Label.CARD_TESTING: "card testing",
    Label.ACCOUNT_TAKEOVER: "account takeover",
    Label.MULE_FAN_IN: "payments to a mule",
    Label.IMPOSSIBLE_TRAVEL: "impossible travel",
    Label.STRUCTURING: "structuring",
}


def demo(*, payments: int, seed: int) -> int:
    """Make a bank, live a day in it, explain, verify; leave nothing running."""
    terminal, began = Terminal(), perf_counter()
    day = make_day(seed=seed, payments=payments)
    with (
        _settings() as settings,
        terminal.logged_aside(_log_of(settings)),
        postgres.database_from(settings) as server,
    ):
        terminal.say(
            Panel.fit(
                "[bold]Scudo[/]: no money moves without passing a gate, and every decision is"
                " explained, audited and\ncommitted together with the postings it allowed.",
                border_style="dim",
            )
        )
        with terminal.aside.status("Starting PostgreSQL and making the bank"):
            dsn = server.start()
            prepare(settings, dsn)
        terminal.say(_step(1, f"A bank of {len(day.world.people):,} customers and its database"))
        terminal.say(f"   {escape(str(settings.home))}")
        lived = uvloop.run(_open_for(day, settings, terminal))
        terminal.say(_step(4, "Four decisions of the day, explained"))
        asyncio.run(_explain(dsn, _four(lived), terminal))
        terminal.say(_step(5, "Every decision, made again from the log alone"))
        is_identical = asyncio.run(_decide_again(dsn, terminal))
        terminal.say(_step(6, "The books, recomputed from the log"))
        is_ok = audit(dsn.read, terminal, is_gentle=False).ok
        _tell_faults(_log_of(settings), terminal)
    _invite(terminal, perf_counter() - began)
    return OK if is_ok and is_identical else NOT_OK


@contextmanager
def _settings() -> Iterator[Settings]:
    """The bank of SCUDO_HOME if it is set, else one that goes when the demo ends."""
    if os.environ.get("SCUDO_HOME"):
        yield settings_now()
        return
    with tempfile.TemporaryDirectory(prefix="scudo-demo-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        # As root, the database's own user has to be able to reach its folder.
        if os.geteuid() == 0:
            home.chmod(0o711)
        yield replace(settings_now(), home=home / "bank", database_url=None, witness=None)


def _log_of(settings: Settings) -> Path:
    """Where the bank, its vault and its database log to while the demo speaks."""
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return settings.home / _LOG


def _tell_faults(log: Path, terminal: Terminal) -> None:
    """Name what was logged as a fault, since nobody looks into the file of a bank that goes."""
    for line in log.read_text(encoding="utf-8").splitlines():
        fault = _FAULT.search(line)
        if fault is not None:
            terminal.aside.print(f"[bold red]FAULT[/]: {escape(line)}")


def _step(number: int, title: str) -> str:
    return f"\n[bold cyan]{number}[/] [bold]{title}[/]"


async def _open_for(day: Day, settings: Settings, terminal: Terminal) -> Lived:
    """Open the bank, once: for the day, and for a customer with a phone."""
    description = f"scudo demo, process {os.getpid()}"
    async with opened_bank(settings, description=description) as (bank, trust):
        assert trust.vault is not None, "an opened bank has a vault"
        if (await trust.vault.ask(Status())).is_development:
            warn_of_development(terminal)
        terminal.say(_step(2, f"A day: {len(day.steps) - 1:,} payments, scams among them"))
        async with desk_at(bank, client=_CLIENT) as desk:
            with terminal.progress("Living the day") as step:
                lived = await Living(day, desk).run(lambda done, of: step(done, of, "payments"))
        _count(lived, terminal)
        terminal.say(_step(3, "A new customer with a phone, over HTTP; then a thief"))
        token = await _clerk(bank)
        # No mail leaves the machine, whatever the bank's server for mail is.
        at_home = replace(settings, mail_server=None)
        async with served_here(bank, at_home, vault=trust.vault) as url:
            stages = await asyncio.to_thread(_walk, url, token, at_home, terminal)
        _tell(stages, terminal)
    return lived


async def _clerk(bank: Bank) -> str:
    """A token of the bank's own, which the demo keeps to itself."""
    async with await bank.connect() as connection:
        _, token = await issue_token(
            connection,
            name=f"{_CLIENT}, clerk",
            scopes=_CLERK,
            customer=None,
            now=datetime.now(UTC),
        )
        await bank.clients.refresh(connection)
    return token


def _walk(url: str, token: str, settings: Settings, terminal: Terminal) -> list[Stage]:
    """Go a customer's way at the address of a bank."""
    origin = settings.origins[0]
    with (
        httpx.Client(base_url=url, timeout=_PATIENCE_S) as http,
        Client(url, token=token) as clerk,
        terminal.aside.status("A customer signs up"),
    ):
        phone = Phone(http, passkeys=Authenticator(origin), origin=origin)
        mails = partial(mailed_code, settings.home / "mail")
        return list(Journey(phone, clerk=clerk, code_for=mails).run())


def _tell(stages: Sequence[Stage], terminal: Terminal) -> None:
    table = Table(box=None, padding=(0, 2))
    for column in ("the phone", "what the bank said", "ms"):
        table.add_column(column, justify="right" if column == "ms" else "left")
    for stage in stages:
        style = "red" if stage.is_theft else "green"
        what = f"[bold]thief:[/] {stage.what}" if stage.is_theft else stage.what
        table.add_row(what, f"[{style}]{stage.told}[/]", f"{stage.seconds * 1_000:,.0f}")
    terminal.say(table)


def _count(lived: Lived, terminal: Terminal) -> None:
    outcomes = lived.outcomes()
    total = outcomes.total()
    table = Table(box=None, padding=(0, 2))
    for column in ("what the bank said", "payments", "share"):
        table.add_column(column, justify="left" if column.startswith("what") else "right")
    for name, count in outcomes.most_common():
        table.add_row(name.replace("_", " "), f"{count:,}", f"{count / total:.1%}")
    terminal.say(table)
    shown = Table(box=None, padding=(0, 2))
    for column in ("what it really was", "payments", "stopped or asked about"):
        shown.add_column(column, justify="left" if column.startswith("what") else "right")
    for label, (noticed, count) in sorted(lived.noticed().items(), key=lambda item: -item[1][1]):
        shown.add_row(_WORDS[label], f"{count:,}", f"{noticed:,}")
    terminal.say(shown)


def _four(lived: Lived) -> list[Told]:
    """One payment of each outcome, late in the day when there is a history to speak of."""
    found = []
    for outcome, labels in _TELLING.items():
        for label in labels:
            told = [t for t in lived.told if t.outcome == outcome and t.label is label]
            if told:
                found.append(told[len(told) * 3 // 4])
                break
    return found


async def _explain(dsn: postgres.Dsn, four: list[Told], terminal: Terminal) -> None:
    policy = decisions.load_policy()
    async with await AsyncConnection.connect(dsn.read, autocommit=True) as connection:
        for told in four:
            told_why = await explained(connection, told.decision, policy)
            terminal.say(panel(told_why, stays=bool(os.environ.get("SCUDO_HOME"))))


async def _decide_again(dsn: postgres.Dsn, terminal: Terminal) -> bool:
    policies = (decisions.load_policy(), decisions.load_access_policy())
    async with await AsyncConnection.connect(dsn.read, autocommit=True) as connection:
        redecided = await redecide(connection, policies, through=_EVERY)
    verdict = "[green]identical[/]" if redecided.is_identical else "[bold red]NOT identical[/]"
    terminal.say(f"{redecided.decisions:,} decisions: {verdict}")
    return redecided.is_identical


def _invite(terminal: Terminal, seconds: float) -> None:
    stays = os.environ.get("SCUDO_HOME")
    terminal.say(f"\n[dim]{seconds:.0f} seconds.[/] Try next:")
    serve = ("serve", "its HTTP interface, described by /openapi.json")
    verify = ("verify", "prove the books at any time")
    if stays:
        # No file can be replayed into this bank any more: a customer has acted in it today.
        rows = [
            ("why PAYMENT --replay", "any of the ids above, decided again"),
            serve,
            verify,
            ("doctor", "what is not fit for real money yet"),
        ]
    else:
        rows = [
            ("init", "a bank that stays"),
            ("replay FILE --limit 20000", "recorded transactions, before anybody acts in it"),
            serve,
            verify,
        ]
    scudo = "scudo" if shutil.which("scudo") else os.path.relpath(sys.argv[0])
    for command, what in rows:
        shown = escape(f"{scudo} {command}")
        terminal.say(f"  [bold]{shown:{len(scudo) + 28}}[/] {what}")
    if stays:
        log = escape(str(settings_now().home / _LOG))
        terminal.say(f"[dim]The bank stays; what it logged meanwhile is in {log}.[/]")
