"""Ids and instants: what is shown can be read back, and nothing else can."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scudo.kernel import (
    InstantMalformed,
    Prefix,
    date_of,
    day,
    days_of,
    ids,
    instant,
    micros,
    parse_rfc3339,
    rfc3339,
)

numbers = st.integers(1, ids.ID_MAX)
prefixes = st.sampled_from(list(Prefix))
instants = st.integers(-62_135_596_800_000_000, 253_402_300_799_000_000)


@given(prefixes, numbers)
def test_an_id_is_read_back_as_it_was_shown(prefix, number):
    """Showing and reading an id gives the number again."""
    assert ids.parse(prefix, ids.show(prefix, number)) == number


@given(prefixes, numbers, numbers)
def test_ids_sort_as_their_numbers(prefix, one, other):
    """Texts of one kind are in the order of their births."""
    assert (ids.show(prefix, one) < ids.show(prefix, other)) == (one < other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "acc_",
        "acc_00000000000004D2",
        "acc_4d2",
        "acc_0000000000000000",
        "acc_8000000000000000",
        "acc-00000000000004d2",
        "pay_00000000000004d2",
        " acc_00000000000004d2",
        "acc_00000000000004d2\n",
        "acc_+0000000000004d2",
        "acc_٠٠٠٠٠٠٠٠٠٠٠٠٠٤٢١",
    ],
)
def test_anything_but_a_shown_id_is_refused(text):
    """Capital letters, other lengths, kinds, signs and digits are no ids."""
    with pytest.raises(ids.IdMalformed) as refusal:
        ids.parse(Prefix.ACCOUNT, text, field="account_id")

    assert refusal.value.field == "account_id"


@given(st.integers(1, 2**50), st.integers(0, ids.LEGS_MAX - 1))
def test_a_transfer_leads_back_to_its_entry(position, leg):
    """The position of the entry is in the id of each of its transfers."""
    assert ids.entry_of(ids.transfer_id(position, leg)) == position


@given(instants)
def test_an_instant_is_read_back_as_it_was_written(us):
    """Text, datetime and microseconds say the same instant."""
    assert parse_rfc3339(rfc3339(us)) == us
    assert micros(instant(us)) == us


@given(instants, st.integers(-14 * 60, 14 * 60))
def test_zones_name_the_same_instant(us, minutes):
    """An instant with any zone is the instant of its UTC form."""
    zone = timezone(timedelta(minutes=minutes))
    if not 86_400 * 10**6 < us + 62_135_596_800_000_000 < 315_537_810_000_000_000:
        return
    text = instant(us).astimezone(zone).isoformat()

    assert parse_rfc3339(text) == us


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-01-31 12:00:00Z",
        "2026-02-30T00:00:00Z",
        "now",
    ],
)
def test_anything_but_an_instant_with_its_zone_is_refused(text):
    """Days, local times and dates that do not exist are no instants."""
    with pytest.raises(InstantMalformed):
        parse_rfc3339(text)


@given(instants)
def test_a_day_holds_its_instants(us):
    """The day of an instant is its date in UTC."""
    on = date_of(day(us))

    assert on == instant(us).date()
    assert days_of(on) == day(us)
    assert datetime(on.year, on.month, on.day, tzinfo=UTC) <= instant(us)
