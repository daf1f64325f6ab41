"""What doctor says of the bank's government: controls, flags, reviews, the auditor, CAs.

It asks what is stored, and needs no bank that runs: what a running one knows besides, it says
itself, at `/health/ready` and `/metrics`.
"""

from collections.abc import Iterator
from typing import Final

import psycopg
from psycopg.rows import TupleRow

from scudo.fabric import doctor as physician
from scudo.fabric import settings as environment
from scudo.governance import controls, flags
from scudo.identity import operators
from scudo.interfaces import recounting
from scudo.kernel import SECOND_US, date_of, day, micros, rfc3339

_DAY_US: Final = 86_400 * SECOND_US
#: A review that is due sooner is told, before it is overdue.
_REVIEW_SOON_US: Final = 7 * _DAY_US


def findings(
    connection: psycopg.Connection[TupleRow], settings: environment.Settings, *, now: int
) -> Iterator[physician.Finding]:
    """What is found in a database that holds a bank; `now` is in microseconds."""
    yield _controls(connection, now)
    yield _flags(now)
    yield _reviews(connection, now)
    yield _auditor(connection, settings, now)


def _controls(connection: psycopg.Connection[TupleRow], now: int) -> physician.Finding:
    """Controls that were noted as degraded, by whoever is paged for them."""
    declared = controls.Controls()
    owners = {control.name: control for control in declared.declared.values()}
    degraded = [
        f"{name} since {rfc3339(state.since or now)}, level {state.level}, pages"
        f" {owners[name].pages}"
        for name, state in sorted(declared.noted(connection).items())
    ]
    return physician.Finding(
        name="controls",
        ok=not degraded,
        is_vital=False,
        found="; ".join(degraded) or f"none of {len(owners)} was noted as degraded",
        wanted="all that are watched work",
        next_step="Ask who is paged; `/health/ready` and `/metrics` of the bank show it as it is.",
    )


def _flags(now: int) -> physician.Finding:
    declared = flags.Flags()
    expired = declared.expired(date_of(day(now)))
    return physician.Finding(
        name="flags",
        ok=not expired,
        is_vital=False,
        found=f"past their date: {', '.join(expired)}"
        if expired
        else f"{len(declared.declared)} declared, none past its date",
        wanted="every flag is gone by its date",
        next_step="Ask its owner in flags.toml: take it out of the code, or give it a new date.",
    )


def _reviews(connection: psycopg.Connection[TupleRow], now: int) -> physician.Finding:
    """Reviews of access that lack answers; those that are overdue, or soon are, must be seen to."""
    waiting = [review for review in operators.Reviews.stored(connection) if review.is_open]
    pressing = [review for review in waiting if review.due_at <= now + _REVIEW_SOON_US]
    found = f"{len(waiting)} wait for answers"
    if waiting:
        found += f", the first is due {rfc3339(min(review.due_at for review in waiting))}"
    return physician.Finding(
        name="access_reviews",
        ok=not pressing,
        is_vital=False,
        found=found,
        wanted="none that is due within a week",
        next_step="An operator answers each line: POST /v1/access-reviews/{review_id}/answers.",
    )


def _auditor(
    connection: psycopg.Connection[TupleRow], settings: environment.Settings, now: int
) -> physician.Finding:
    """When the auditor last came to the end of a round, or how long it has had no chance to."""
    noted = recounting.last_rounds(settings)
    began = physician.log_began(connection)
    since = noted.finished_at or (now if began is None else micros(began))
    late = recounting.OVERDUE * settings.audit_hours * recounting.HOUR_US
    found = "no round has ended yet"
    if noted.rounds:
        found = f"{noted.rounds:,} rounds, the last ended {rfc3339(noted.finished_at)}"
    return physician.Finding(
        name="auditor",
        ok=now - since < late,
        is_vital=False,
        found=found,
        wanted=f"a round in {recounting.OVERDUE * settings.audit_hours} hours",
        next_step="The auditor runs beside `scudo serve`; `scudo verify` proves all books now.",
    )
