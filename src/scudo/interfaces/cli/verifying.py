"""`scudo verify`: the auditor, from the command line."""

import signal
import threading
from pathlib import Path
from typing import Final

import psycopg
from rich.markup import escape

from scudo.auditing import Verdict, verify_bank
from scudo.bootstrap import CATALOGUE
from scudo.governance import EvidenceAudit
from scudo.interfaces import recounting
from scudo.interfaces.cli.installing import opened, settings_now
from scudo.interfaces.cli.terminal import NOT_OK, OK, Terminal

_HASH_SHOWN: Final = 16


def verify(*, is_json: bool) -> int:
    """Prove the books of the bank; opens no writer."""
    terminal, settings = Terminal(is_json=is_json), settings_now()
    with opened(settings) as dsn:
        verdict = audit(dsn.read, terminal, witness=settings.witness_folder)
    terminal.give(verdict)
    return OK if verdict.ok else NOT_OK


def follow(*, is_json: bool) -> int:
    """Recount the bank until a signal ends it, or a row is wrong."""
    terminal, settings = Terminal(is_json=is_json), settings_now()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with opened(settings) as dsn, terminal.progress("Recounting") as step:
        recount = recounting.recount(
            recounting.launch(settings, dsn=dsn.read),
            stopping,
            tell=lambda r: step(r.position, r.head, f"positions, {r.rounds:,} rounds"),
        )
    if recount.first_bad is not None:
        terminal.say("[bold red]The books are not right.[/] The first bad row:")
        terminal.say(escape(str(recount.first_bad)))
    terminal.give(recount)
    return OK if recount.first_bad is None else NOT_OK


def audit(
    dsn: str, terminal: Terminal, *, is_gentle: bool = True, witness: Path | None = None
) -> Verdict:
    """Prove the books over a connection of the reading role, and say what came of it."""
    evidence = EvidenceAudit(witness)
    with (
        terminal.progress("Verifying") as step,
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        verdict = verify_bank(
            connection,
            catalogue=CATALOGUE,
            progress=lambda done, of: step(done, of, "events"),
            gentle=is_gentle,
            evidence=evidence,
        )
    counted = f"{verdict.accounts:,} accounts, {verdict.transfers:,} transfers"
    if verdict.ok:
        terminal.say(
            f"[green]The books are right.[/] {counted}; {verdict.chain_length:,} batches chained,"
            f" head {verdict.head[:_HASH_SHOWN]}."
        )
        witnessed = "no witness is at hand"
        if evidence.witnessed is not None:
            witnessed = f"{evidence.witnessed:,} of them are at the witness"
        terminal.say(f"They lead to all of {evidence.heads:,} signed heads; {witnessed}.")
    else:
        terminal.say("[bold red]The books are not right.[/] The first bad row:")
        terminal.say(escape(str(verdict.first_bad)))
        terminal.say(f"[dim]Right up to there: {counted}, {verdict.chain_length:,} batches.[/]")
    return verdict
