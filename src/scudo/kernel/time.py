"""Instants as whole microseconds since 1970-01-01 UTC, and their text forms.

Inside, an instant is an `int` of microseconds: it compares, packs and hashes
cheaply and has no zone to get wrong. Outside it is RFC 3339 with `Z`.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

from scudo.kernel.refusal import Refusal

MICROSECOND: Final = timedelta(microseconds=1)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_US: Final = 1_000_000
DAY_US: Final = 86_400 * SECOND_US

#: PostgreSQL counts its timestamps and dates from 2000-01-01.
POSTGRES_EPOCH_US: Final = 946_684_800 * SECOND_US
POSTGRES_EPOCH_DAY: Final = 10_957

_EARLIEST_US: Final = -62_135_596_800 * SECOND_US
_LATEST_US: Final = 253_402_300_799 * SECOND_US


class InstantMalformed(Refusal):
    """Raised when a text is not an RFC 3339 instant with a zone."""

    code = "instant_malformed"
    next_step = "Send an RFC 3339 instant with its zone, such as 2026-01-31T12:00:00Z."


def micros(instant: datetime) -> int:
    """Turn an aware instant into microseconds since 1970, exactly (no float)."""
    assert instant.tzinfo is not None, "naive datetimes do not exist in Scudo"
    return (instant - EPOCH) // MICROSECOND


def instant(us: int) -> datetime:
    """Turn microseconds since 1970 into an aware UTC datetime."""
    return EPOCH + timedelta(microseconds=us)


def day(us: int) -> int:
    """Days since 1970-01-01 (UTC) of an instant."""
    return us // DAY_US


def date_of(days: int) -> date:
    """The calendar date that lies `days` after 1970-01-01."""
    return EPOCH.date() + timedelta(days=days)


def days_of(on: date) -> int:
    """Days from 1970-01-01 to a calendar date."""
    return (on - EPOCH.date()).days


def rfc3339(us: int) -> str:
    """Write an instant as RFC 3339 in UTC with exactly six decimals."""
    days, rest = divmod(us, DAY_US)
    seconds, fraction = divmod(rest, SECOND_US)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{_date_text(days)}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z"


@lru_cache(maxsize=64)
def _date_text(days: int) -> str:
    return date_of(days).isoformat()


def parse_rfc3339(text: str, *, field: str | None = None) -> int:
    """Read an RFC 3339 instant with a zone; digits beyond microseconds are cut.

    Raises:
        InstantMalformed: for anything else, including instants without a zone.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        message = "this is not an RFC 3339 instant"
        raise InstantMalformed(message, field=field) from error
    if parsed.tzinfo is None or "T" not in text:
        message = "an instant needs its zone, such as Z"
        raise InstantMalformed(message, field=field)
    us = micros(parsed)
    if not _EARLIEST_US <= us <= _LATEST_US:
        message = "the instant lies outside the years 1 to 9999"
        raise InstantMalformed(message, field=field)
    return us
