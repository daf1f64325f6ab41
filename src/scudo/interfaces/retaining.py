"""The job of retention beside an open bank: once a day, and tried again when it could not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final

import structlog

from scudo.bootstrap import Bank, now_us
from scudo.fabric import settings as environment
from scudo.governance import retention
from scudo.identity import AskVault, persons
from scudo.kernel import DAY_US, SECOND_US, Refusal

_log = structlog.get_logger("scudo.retention")
#: After a start the bank has other things to do; what failed is tried again by and by.
_FIRST_AFTER_US: Final = 60 * SECOND_US
_AGAIN_AFTER_US: Final = 3_600 * SECOND_US
_LOOK_EVERY_S: Final = 1.0
_DONE: Final = "done"


def job_of(
    bank: Bank,
    settings: environment.Settings,
    ask: AskVault,
    *,
    now: Callable[[], int] = now_us,
) -> retention.Job:
    """Make the job of a bank.

    Args:
        bank: open.
        settings: of the installation.
        ask: asks its vault.
        now: what time it is for the rules, microseconds since 1970.
    """
    keepings: dict[str, retention.Keeping] = {
        "persons": persons.PersonKeeping(
            bank.connect, bank.rooms.relationships, ask=ask, tell=bank.note
        ),
        "cards": persons.CardKeeping(ask),
        "vault_reads": persons.ReadKeeping(ask),
        "mails": retention.FileKeeping(settings.home / "mail", "*.eml"),
    }
    for table in ("requests", "acts", "conduct"):
        keepings[table] = retention.TableKeeping(bank.connect, table)
    return retention.Job(
        bank.rooms.retention,
        keepings,
        submit=bank.note,
        now=now,
        is_sound=lambda: bank.notary.stands,
    )


def first_run(states: dict[int, retention.RuleState], now: int) -> int:
    """When the first run after a start is due: a day after the last, but not at once.

    Args:
        states: what the log knows of earlier runs, by rule.
        now: microseconds.
    """
    last = min((state.ran_at for state in states.values()), default=0)
    return max(last + DAY_US, now + _FIRST_AFTER_US)


async def run_daily(bank: Bank, job: retention.Job) -> None:
    """Run the job once a day until cancelled."""
    due_at = first_run(bank.rooms.retention.states(), now_us())
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        if now_us() < due_at:
            continue
        try:
            ran = await job.run()
            is_well = all(one.result == _DONE for one in ran)
        except Refusal as refusal:
            _log.warning("retention_not_run", code=refusal.code)
            is_well = False
        except Exception:  # noqa: BLE001 - nobody waits for this task: it must not end unseen
            _log.exception("retention_failed")
            is_well = False
        due_at = now_us() + (DAY_US if is_well else _AGAIN_AFTER_US)


@contextlib.asynccontextmanager
async def retained(
    bank: Bank, settings: environment.Settings, ask: AskVault
) -> AsyncIterator[retention.Job]:
    """Have the rules of an open bank carried out as long as the block runs."""
    job = job_of(bank, settings, ask)
    running = asyncio.create_task(run_daily(bank, job))
    try:
        yield job
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
