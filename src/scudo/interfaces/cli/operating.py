"""`scudo operator`: what is done at the bank's machine, before and beside its operators.

Both commands write to the log, so the bank must not be serving meanwhile.
"""

import asyncio
import os

import msgspec

from scudo.bootstrap import migrate_all, open_bank, trust_in_vault
from scudo.fabric import Answer, Command, postgres
from scudo.identity import operators
from scudo.interfaces import guarding
from scudo.interfaces.cli.installing import Settings, opened, settings_now
from scudo.interfaces.cli.terminal import OK, REFUSED, Terminal
from scudo.vault import Address


def enroll_first(handles: tuple[str, str], *, is_json: bool) -> int:
    """Invite the two people that a bank begins with."""
    terminal, settings = Terminal(is_json=is_json), settings_now()
    made = [operators.new_token("scudo_inv_") for _ in handles]
    (first, kept_first), (second, kept_second) = made
    answer = _ask(settings, operators.EnrolFirst(handles, (kept_first, kept_second)))
    if answer.status != 201:
        return _refused(terminal, answer)
    bodies = msgspec.json.decode(answer.body, type=list[operators.InvitationBody])
    tokens = (first, second)
    for body, token in zip(bodies, tokens, strict=True):
        terminal.say(f"[bold]{body.handle}[/]  {body.id}, until {body.expires_at}\n{token}\n")
    terminal.say(
        "Each person enrols a passkey by their own invitation, and then a second one. They are"
        " not shown again."
    )
    terminal.give(
        [
            {"id": body.id, "handle": body.handle, "invitation": token}
            for body, token in zip(bodies, tokens, strict=True)
        ]
    )
    return OK


def seal_break_glass(*, shares: int, threshold: int, is_json: bool) -> int:
    """Make the secret that breaks the glass, and show its shares once."""
    terminal, settings = Terminal(is_json=is_json), settings_now()
    digest, made = operators.make_shares(shares=shares, threshold=threshold)
    command = operators.SealBreakGlass(digest, threshold, shares)
    answer = _ask(settings, command)
    if answer.status != 200:
        return _refused(terminal, answer)
    for number, share in enumerate(made, start=1):
        terminal.say(f"[bold]Share {number} of {shares}[/]\n{share}\n")
    terminal.say(
        f"Any {threshold} of them break the glass, once; fewer tell nothing. They are not shown"
        " again. Those made before are worth nothing any more."
    )
    terminal.give({"shares": made, "threshold": threshold})
    return OK


def _ask(settings: Settings, command: Command) -> Answer:
    """Have the writer carry out a command, in this process."""
    with opened(settings) as dsn:
        migrate_all(dsn)
    # One server for bank and vault: the last to leave it stops it.
    with postgres.database_from(settings) as server:
        server.start()
        with guarding.guarded(settings, server=server) as guard:
            return asyncio.run(_submit(settings, server, guard.address, command))


async def _submit(
    settings: Settings, server: postgres.Server, vault: Address, command: Command
) -> Answer:
    async with (
        trust_in_vault(vault) as trust,
        open_bank(
            server,
            home=settings.home,
            description=f"scudo operator, process {os.getpid()}",
            witness=settings.witness_folder,
            trust=trust,
        ) as bank,
    ):
        return await bank.submit(command)


def _refused(terminal: Terminal, answer: Answer) -> int:
    problem = msgspec.json.decode(answer.body)
    terminal.aside.print(f"Refused: {problem['detail']}\ncode  {problem['code']}")
    terminal.give({"refused": problem["code"], "message": problem["detail"]})
    return REFUSED
