"""Money: a whole number of minor units and its currency. No float, ever."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from scudo.kernel.iso4217 import TABLE
from scudo.kernel.refusal import Refusal

#: Amounts and balances are signed 64-bit numbers of minor units.
MINOR_MAX: Final = (1 << 63) - 1


class CurrencyUnknown(Refusal):
    """Raised when a code is not an ISO 4217 currency in use on the day asked for."""

    code = "currency_unknown"
    next_step = "Send a three-letter ISO 4217 code that is in use today, such as EUR."


class AmountOutOfRange(Refusal):
    """Raised when an amount is zero, negative or beyond 64 bits where it may not be."""

    code = "amount_out_of_range"
    kind = "unprocessable"
    next_step = "Send a positive whole number of minor units below 9223372036854775808."


@dataclass(frozen=True, slots=True)
class Currency:
    """One currency as ISO 4217 defined it for a period.

    Attributes:
        code: three letters.
        numeric: three digits as a number; the form that is stored.
        exponent: how many decimals the minor unit has (JPY 0, EUR 2, KWD 3).
        until: first day on which it was no longer a currency; None while in use.
    """

    code: str
    numeric: int
    exponent: int
    until: date | None


def _load() -> dict[str, Currency]:
    currencies = {}
    for line in TABLE.split("\n"):
        code, numeric, exponent, *until = line.split()
        end = date.fromisoformat(until[0]) if until else None
        currencies[code] = Currency(code, int(numeric), int(exponent), end)
    return currencies


_BY_CODE: Final = _load()
_BY_NUMERIC: Final = {
    currency.numeric: currency
    for currency in sorted(_BY_CODE.values(), key=lambda c: c.until or date.max)
}


def currency(code: str, *, on: date | None = None) -> Currency:
    """Find a currency by its three letters; `on` asks for one in use that day.

    Raises:
        CurrencyUnknown: if there is none, or it had ended by `on`.
    """
    found = _BY_CODE.get(code)
    if found is None or (on is not None and found.until is not None and on >= found.until):
        message = "this is not a currency of ISO 4217 in use"
        raise CurrencyUnknown(message, field="currency")
    return found


def currency_by_numeric(numeric: int) -> Currency:
    """Find a currency by its stored number; a reused number means its latest holder."""
    return _BY_NUMERIC[numeric]


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units of a currency; may be negative."""

    minor: int
    currency: Currency

    def __str__(self) -> str:
        """Show with the currency's decimals and code: `12.50 EUR`."""
        sign = "-" if self.minor < 0 else ""
        digits = str(abs(self.minor)).rjust(self.currency.exponent + 1, "0")
        split = len(digits) - self.currency.exponent
        whole, fraction = digits[:split], digits[split:]
        return f"{sign}{whole}{'.' if fraction else ''}{fraction} {self.currency.code}"


def positive_amount(minor: int, *, field: str = "amount_minor") -> int:
    """Return the amount if it is positive and fits 64 bits.

    Raises:
        AmountOutOfRange: otherwise.
    """
    if 0 < minor <= MINOR_MAX:
        return minor
    message = "an amount is a positive whole number of minor units within 64 bits"
    raise AmountOutOfRange(message, field=field)


def allocate(minor: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Split an amount by whole-number weights; the parts sum to the amount exactly.

    Largest remainder: each part gets its share rounded towards zero, and the
    units left over go one each to the largest remainders, the earlier part first.

    Invariant:
        sum(parts) == minor, and no part is further than one unit from its share.
    """
    total = sum(weights)
    assert total > 0, "at least one weight is positive"
    assert min(weights) >= 0, "weights are not negative"
    sign = -1 if minor < 0 else 1
    shares = [divmod(abs(minor) * weight, total) for weight in weights]
    parts = [quotient for quotient, _ in shares]
    left = abs(minor) - sum(parts)
    by_remainder = sorted(range(len(weights)), key=lambda i: (-shares[i][1], i))
    for i in by_remainder[:left]:
        parts[i] += 1
    return tuple(sign * part for part in parts)
