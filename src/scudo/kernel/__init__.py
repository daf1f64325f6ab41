"""Money, currencies, ids, time, refusals, canonical bytes and hashes, and what looks personal.

Pure: no I/O.
"""

from scudo.kernel import ids
from scudo.kernel.canonical import DIGEST_BYTES, GENESIS, chain, leaf, merkle_root
from scudo.kernel.detection import find_in_text, find_in_value, hide_cards
from scudo.kernel.ids import Prefix
from scudo.kernel.iso3166 import COUNTRIES
from scudo.kernel.money import (
    MINOR_MAX,
    AmountOutOfRange,
    Currency,
    CurrencyUnknown,
    Money,
    allocate,
    currency,
    currency_by_numeric,
    positive_amount,
)
from scudo.kernel.refusal import STATUS, InvariantBroken, Refusal
from scudo.kernel.time import (
    DAY_US,
    POSTGRES_EPOCH_DAY,
    POSTGRES_EPOCH_US,
    SECOND_US,
    InstantMalformed,
    date_of,
    day,
    days_of,
    instant,
    micros,
    parse_rfc3339,
    rfc3339,
)

__all__ = [
    "COUNTRIES",
    "DAY_US",
    "DIGEST_BYTES",
    "GENESIS",
    "MINOR_MAX",
    "POSTGRES_EPOCH_DAY",
    "POSTGRES_EPOCH_US",
    "SECOND_US",
    "STATUS",
    "AmountOutOfRange",
    "Currency",
    "CurrencyUnknown",
    "InstantMalformed",
    "InvariantBroken",
    "Money",
    "Prefix",
    "Refusal",
    "allocate",
    "chain",
    "currency",
    "currency_by_numeric",
    "date_of",
    "day",
    "days_of",
    "find_in_text",
    "find_in_value",
    "hide_cards",
    "ids",
    "instant",
    "leaf",
    "merkle_root",
    "micros",
    "parse_rfc3339",
    "positive_amount",
    "rfc3339",
]
