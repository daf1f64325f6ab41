"""Money: whole minor units, and splits that lose nothing."""

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scudo.kernel import (
    MINOR_MAX,
    AmountOutOfRange,
    CurrencyUnknown,
    Money,
    allocate,
    currency,
    currency_by_numeric,
    positive_amount,
)

weights = st.lists(st.integers(0, 10**6), min_size=1, max_size=20).filter(any)


@given(st.integers(-(2**63), MINOR_MAX), weights)
def test_parts_of_an_allocation_sum_to_the_whole(minor, shares):
    """Nothing is lost or made, and no part is a unit or more away from its exact share."""
    parts = allocate(minor, shares)

    assert sum(parts) == minor
    for part, share in zip(parts, shares, strict=True):
        assert abs(part - Fraction(minor * share, sum(shares))) < 1


@given(st.integers(0, MINOR_MAX), weights)
def test_an_allocation_of_a_debt_mirrors_that_of_a_credit(minor, shares):
    """The sign of the amount changes the sign of every part and nothing else."""
    assert allocate(-minor, shares) == tuple(-part for part in allocate(minor, shares))


@pytest.mark.parametrize(
    ("minor", "shares", "parts"),
    [(100, [1, 1, 1], (34, 33, 33)), (5, [0, 1], (0, 5)), (1, [1, 1], (1, 0)), (0, [3, 4], (0, 0))],
)
def test_left_over_units_go_to_the_largest_remainders(minor, shares, parts):
    """Ties go to the earlier part, and a part without weight gets nothing."""
    assert allocate(minor, shares) == parts


@pytest.mark.parametrize("minor", [1, MINOR_MAX])
def test_amounts_within_64_bits_are_taken(minor):
    """The smallest and the largest amount pass unchanged."""
    assert positive_amount(minor) == minor


@pytest.mark.parametrize("minor", [0, -1, MINOR_MAX + 1])
def test_amounts_that_are_not_positive_or_too_large_are_refused(minor):
    """Zero, negative and more than 64 bits are refused, and the field is named."""
    with pytest.raises(AmountOutOfRange) as refusal:
        positive_amount(minor)

    assert refusal.value.field == "amount_minor"


@pytest.mark.parametrize(
    ("minor", "code", "shown"),
    [
        (1250, "EUR", "12.50 EUR"),
        (-5, "EUR", "-0.05 EUR"),
        (7, "JPY", "7 JPY"),
        (1, "KWD", "0.001 KWD"),
    ],
)
def test_money_is_shown_with_the_decimals_of_its_currency(minor, code, shown):
    """Exponents of 0, 2 and 3 are written as ISO 4217 has them."""
    assert str(Money(minor, currency(code))) == shown


def test_a_currency_that_ended_is_refused_from_its_end_on():
    """The Croatian kuna can be named, and is in use on the last day before its end only."""
    kuna = currency("HRK")

    assert kuna.until is not None
    assert currency("HRK", on=date(2000, 1, 1)) == kuna
    with pytest.raises(CurrencyUnknown):
        currency("HRK", on=kuna.until)


@pytest.mark.parametrize("code", ["XX", "eur", "EURO", ""])
def test_what_is_no_currency_is_refused(code):
    """Only the three capital letters of ISO 4217 name a currency."""
    with pytest.raises(CurrencyUnknown):
        currency(code)


def test_the_number_of_a_currency_leads_back_to_it():
    """The number that is stored finds the currency again."""
    assert currency_by_numeric(currency("EUR").numeric) == currency("EUR")
