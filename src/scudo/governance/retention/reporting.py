"""What is kept by each rule, as the last run found it, and what is held."""

from collections.abc import Mapping, Sequence

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.fabric import list_records
from scudo.governance.retention.keeping import (
    LegalHold,
    Retention,
    RuleState,
    overdue,
    shown_instant,
)
from scudo.governance.retention.rules import Rules
from scudo.kernel import Prefix, ids


class RuleReport(msgspec.Struct, frozen=True):
    """One rule, and what the last run that went through it found.

    Attributes:
        days: by jurisdiction; null is for ever, and `why` says why.
        kept, due, held: how many there are; are due and still there; would be, but for a hold.
        oldest_at: when the period of the oldest began.
        last_done, last_done_at: how many the last run forgot; when one last forgot something.
        result: of the last try: `done`, or the code of what stopped it; null if there was none.
        is_overdue: whether something should be gone, or nobody has looked for two days.
    """

    name: str
    says: str
    classes: tuple[str, ...]
    places: tuple[str, ...]
    begins: str
    action: str
    days: dict[str, int] | None
    why: str
    ran_at: str | None
    kept: int | None
    oldest_at: str | None
    due: int | None
    held: int | None
    last_done: int | None
    last_done_at: str | None
    result: str | None
    is_overdue: bool


class HoldReport(msgspec.Struct, frozen=True):
    """A legal hold; what it holds is not forgotten while it is in force."""

    id: str
    customer_id: str
    authority: str
    matter: str
    placed_at: str | None
    until: str | None
    lifted_at: str | None
    is_in_force: bool


class Report(msgspec.Struct, frozen=True):
    """All rules, and every legal hold there ever was, oldest first."""

    rules: tuple[RuleReport, ...]
    legal_holds: tuple[HoldReport, ...]


def report(retention: Retention, now: int) -> Report:
    """Report what memory holds, at a time in microseconds."""
    late = overdue(retention.rules, retention.states(), now=now, since=retention.since)
    return _report(retention.rules, retention.states(), late, retention.holds(), now)


async def stored_report(
    connection: AsyncConnection[TupleRow], retention: Retention, now: int
) -> Report:
    """Report what is stored, without the process that writes; `now` is in microseconds."""
    holds_kept, states_kept = retention.registers
    states = {n: state for n, _, state in await list_records(connection, states_kept)}
    holds = [(n, hold) for n, _, hold in await list_records(connection, holds_kept)]
    # Nobody knows here since when the bank has served; what never ran is told by its result.
    late = overdue(retention.rules, states, now=now, since=now)
    return _report(retention.rules, states, late, holds, now)


def _report(
    rules: Rules,
    states: Mapping[int, RuleState],
    late: Sequence[str],
    holds: Sequence[tuple[int, LegalHold]],
    now: int,
) -> Report:
    told = []
    for rule in rules.rules:
        state = states.get(rule.number)
        ran = state if state is not None and state.ran_at else None
        told.append(
            RuleReport(
                name=rule.name,
                says=rule.says,
                classes=tuple(rule.classes),
                places=rule.places,
                begins=rule.begins,
                action=rule.action,
                days=rule.days or None,
                why=rule.why,
                ran_at=None if ran is None else shown_instant(ran.ran_at),
                kept=None if ran is None else ran.kept,
                oldest_at=None if ran is None else shown_instant(ran.oldest_at),
                due=None if ran is None else ran.due,
                held=None if ran is None else ran.held,
                last_done=None if ran is None else ran.done,
                last_done_at=None if state is None else shown_instant(state.done_at),
                result=None if state is None else state.result,
                is_overdue=rule.name in late,
            )
        )
    shown = tuple(
        HoldReport(
            ids.show(Prefix.LEGAL_HOLD, number),
            ids.show(Prefix.CUSTOMER, hold.customer),
            hold.authority,
            hold.matter,
            shown_instant(hold.placed_at),
            shown_instant(hold.until),
            shown_instant(hold.lifted_at),
            hold.is_in_force(now),
        )
        for number, hold in holds
    )
    return Report(tuple(told), shown)
