"""The job: goes through every rule that is enforced, a few at a time, and tells what it did.

What it forgets is gone before it is told. A run that is cut off has told nothing; the next one
finds what is left, and forgets nothing twice.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import psycopg
import structlog

from scudo.fabric import Answer, BankUnavailable, Command
from scudo.governance.retention.errors import RetentionSuspended
from scudo.governance.retention.keeping import DONE, Ran, Retention, TellRetention
from scudo.governance.retention.rules import Rule, cuts
from scudo.kernel import Refusal

_log = structlog.get_logger("scudo.retention")
#: So many rows, keys or files go at once, and so long it waits after them: others come first.
AT_ONCE: Final = 500
_PAUSE_S: Final = 0.01
_OK: Final = 200
_FAILED: Final = "retention_failed"


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a rule is due.

    Attributes:
        cuts: up to when what began is due, by jurisdiction; microseconds since 1970.
        held: customers of whom nothing is forgotten, now; ask it before each batch.
        law_of: the jurisdiction of a country.
    """

    cuts: Mapping[str, int]
    held: Callable[[], frozenset[int]]
    law_of: Callable[[int | None], str]


@dataclass(frozen=True, slots=True)
class Count:
    """What there is of a rule.

    Attributes:
        oldest_at: when the oldest began; microseconds, 0: there is none.
        due, held: of those, how many are due, and how many would be but for a hold.
    """

    kept: int
    oldest_at: int
    due: int
    held: int


class Keeping(Protocol):
    """Where something is kept that a rule speaks for."""

    def forget(self, asked: Asked) -> AsyncIterator[int]:
        """Forget what is due, a batch for each step; gives how many each one was."""

    async def count(self, asked: Asked) -> Count:
        """Count what there is."""


Submit = Callable[[Command], Awaitable[Answer]]


class Job:
    """Carries the rules out."""

    def __init__(
        self,
        retention: Retention,
        keepings: Mapping[str, Keeping],
        *,
        submit: Submit,
        now: Callable[[], int],
        is_sound: Callable[[], bool],
    ) -> None:
        """Prepare for runs.

        Args:
            retention: rules and holds.
            keepings: where what each enforced rule speaks for is kept, by the rule's name.
            submit: hands commands to the writer.
            now: what time it is for the rules, microseconds since 1970.
            is_sound: whether the log is the one that its witness knows. Of an older backup that
                was restored it is not, and a hold that was placed since would be missing.
        """
        self._retention = retention
        self._keepings = keepings
        self._submit = submit
        self._now = now
        self._is_sound = is_sound
        enforced = {rule.name for rule in retention.rules.rules if rule.is_enforced}
        assert enforced == set(keepings), "every enforced rule has a place that carries it out"

    async def run(self) -> tuple[Ran, ...]:
        """Go through all rules once; gives what became of each, which the log was told.

        Raises:
            RetentionSuspended: the log may be an older one; nothing was done.
            BankUnavailable: all was done, and the log could not be told.
        """
        if not self._is_sound():
            message = "log and witness were not found to agree"
            raise RetentionSuspended(message)
        rules = [rule for rule in self._retention.rules.rules if rule.is_enforced]
        ran = [await self._go_through(rule) for rule in rules]
        answer = await self._submit(TellRetention(tuple(ran)))
        if answer.status != _OK:
            message = "what was forgotten could not be told"
            raise BankUnavailable(message)
        return tuple(ran)

    async def _go_through(self, rule: Rule) -> Ran:
        now, done, keeping = self._now(), 0, self._keepings[rule.name]
        asked = Asked(
            cuts(rule, now),
            lambda: self._retention.held(self._now()),
            self._retention.rules.law_of,
        )
        try:
            async for batch in keeping.forget(asked):
                done += batch
                await asyncio.sleep(_PAUSE_S)
            count = await keeping.count(asked)
        except Refusal as refusal:
            # Such as a vault that is away: the other rules go on, and this one comes again.
            _log.warning("rule_not_carried_out", rule=rule.name, code=refusal.code)
            return Ran(rule.number, done, 0, 0, 0, 0, refusal.code)
        except (psycopg.Error, OSError) as error:
            _log.warning("rule_not_carried_out", rule=rule.name, error=type(error).__name__)
            return Ran(rule.number, done, 0, 0, 0, 0, _FAILED)
        return Ran(rule.number, done, count.kept, count.due, count.held, count.oldest_at, DONE)
