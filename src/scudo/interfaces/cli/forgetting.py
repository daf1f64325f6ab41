"""`scudo retention`: the job, run by hand, and what is known of it."""

import asyncio
import os
from typing import Final

from psycopg import AsyncConnection
from rich.table import Table

from scudo.bootstrap import migrate_all, now_us, open_bank, trust_in_vault
from scudo.fabric import postgres
from scudo.governance import retention
from scudo.interfaces import guarding
from scudo.interfaces.cli.installing import Settings, opened, settings_now
from scudo.interfaces.cli.terminal import NOT_OK, OK, Terminal
from scudo.interfaces.retaining import job_of

#: How often, and how long apart, to look whether log and witness have been compared.
_LOOKS: Final = 600
_LOOK_S: Final = 0.05
_DONE: Final = "done"


def run(*, is_json: bool) -> int:
    """Go through all rules once."""
    terminal, settings = Terminal(is_json=is_json), settings_now()
    with opened(settings) as dsn:
        migrate_all(dsn)
    with postgres.database_from(settings) as server:
        server.start()
        with guarding.guarded(settings, server=server) as guard:
            ran = asyncio.run(_run(settings, server, guard))
    rules = retention.load_rules()
    told = []
    for one in ran:
        rule = rules.by_number(one.rule)
        assert rule is not None, "what ran is a rule"
        is_well = one.result == _DONE
        counts = f"{one.done:,} forgotten, {one.kept:,} kept, {one.due:,} due, {one.held:,} held"
        terminal.say(f"[bold]{rule.name:<12}[/] {counts if is_well else one.result}")
        told.append(
            {
                "rule": rule.name,
                "done": one.done,
                "kept": one.kept if is_well else None,
                "due": one.due if is_well else None,
                "held": one.held if is_well else None,
                "result": one.result,
            }
        )
    terminal.give({"rules": told})
    return OK if all(one.result == _DONE for one in ran) else NOT_OK


async def _run(
    settings: Settings, server: postgres.Server, guard: guarding.Guard
) -> tuple[retention.Ran, ...]:
    async with (
        trust_in_vault(guard.address) as trust,
        open_bank(
            server,
            home=settings.home,
            description=f"scudo retention, process {os.getpid()}",
            witness=settings.witness_folder,
            trust=trust,
        ) as bank,
    ):
        assert trust.vault is not None, "this trust is in a vault"
        for _ in range(_LOOKS):
            if bank.notary.stands or bank.notary.alarm is not None:
                break
            await asyncio.sleep(_LOOK_S)
        return await job_of(bank, settings, trust.vault.ask).run()


def report(*, is_json: bool) -> int:
    """Show what is stored of the last runs, and of holds."""
    terminal, settings = Terminal(is_json=is_json), settings_now()
    with opened(settings) as dsn:
        migrate_all(dsn)
        found = asyncio.run(_report(dsn.read))
    table = Table(
        "rule", "days", "kept", "oldest", "due", "held", "last run", "forgotten", box=None
    )
    for rule in found.rules:
        days = (
            "for ever" if rule.days is None else "/".join(map(str, sorted({*rule.days.values()})))
        )
        table.add_row(
            f"{rule.name}{' OVERDUE' if rule.is_overdue else ''}",
            days,
            _shown(rule.kept),
            (rule.oldest_at or "")[:10],
            _shown(rule.due),
            _shown(rule.held),
            (rule.ran_at or "")[:16],
            _shown(rule.last_done),
        )
    terminal.say(table)
    holds = [hold for hold in found.legal_holds if hold.is_in_force]
    for hold in holds:
        terminal.say(
            f"[bold]{hold.id}[/] holds {hold.customer_id} for {hold.authority}, {hold.matter}"
        )
    terminal.give(found)
    return NOT_OK if any(rule.is_overdue for rule in found.rules) else OK


def _shown(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


async def _report(dsn: str) -> retention.Report:
    kept = retention.Retention(is_customer=lambda _number: False)
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        return await retention.stored_report(connection, kept, now_us())
