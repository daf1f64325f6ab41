"""What one person does with a payment alone, read strictly from data."""

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec

from scudo.kernel import currency_by_numeric

_SHIPPED: Final = Path(__file__).with_name("alone.toml")

_Amount = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which held payments one person lets go on.

    Attributes:
        alone_max_minor: up to so much, by the currency's code.
        by_two_reasons: reasons of rules that one person does not override.
    """

    alone_max_minor: Mapping[str, _Amount]
    by_two_reasons: tuple[str, ...] = ()


class Refund(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of a payment one person lets go back.

    Attributes:
        alone_max_minor: all refunds of it together, by the currency's code.
    """

    alone_max_minor: Mapping[str, _Amount]


class Alone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file says."""

    release: Release
    refund: Refund


def covers(limits: Mapping[str, int], *, amount: int, currency: int) -> bool:
    """Whether limits by currency allow an amount (minor units) of a currency's number."""
    return amount <= limits.get(currency_by_numeric(currency).code, -1)


def read_alone(text: str) -> Alone:
    """Read what one person does alone, from TOML.

    Raises:
        ValueError: if it is no TOML, or says something that is not known (`msgspec` names it).
    """
    return msgspec.convert(tomllib.loads(text), Alone)


@functools.cache
def shipped_alone() -> Alone:
    """Read the file that comes with the package."""
    return read_alone(_SHIPPED.read_text(encoding="utf-8"))
