"""What payments and card authorisations have in common on the wire."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from scudo.decisions import Channel
from scudo.fabric import Tokens, web
from scudo.kernel import (
    AmountOutOfRange,
    CurrencyUnknown,
    InstantMalformed,
    Prefix,
    Refusal,
    ids,
    parse_rfc3339,
)
from scudo.ledger import errors as ledger
from scudo.payments.errors import PaymentNotFound, PaymentStateConflict
from scudo.vault import TEXT_CHARACTERS_MAX, VaultQuota, VaultUnavailable

TAG: Final = "payments"

AccountIdText = Annotated[str, web.id_text(Prefix.ACCOUNT)]
PaymentIdText = Annotated[str, web.id_text(Prefix.PAYMENT)]
CurrencyText = Annotated[str, msgspec.Meta(min_length=3, max_length=3)]
#: A name for a thing that only its owner and the client know; kept as a keyed token only.
Reference = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
#: ISO 3166-1 numeric code.
Country = Annotated[int, msgspec.Meta(ge=1, le=999)]
Latitude = Annotated[int, msgspec.Meta(ge=-900_000, le=900_000)]
Longitude = Annotated[int, msgspec.Meta(ge=-1_800_000, le=1_800_000)]
#: A hundredth of a degree of a great circle is 1.1 km: where somebody was, not at which door.
_COARSE_E4: Final = 100
#: What people write to each other; as long as the unstructured remittance information of SEPA.
Message = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_CHARACTERS_MAX)]
ChannelName = Literal["app", "web", "partner", "card_present", "card_not_present", "branch"]
PAYMENT_PATH: Final[Mapping[str, Any]] = {"payment_id": PaymentIdText}

#: What a request for money may be refused with, by the ledger or before.
MONEY_REFUSALS: Final[tuple[type[Refusal], ...]] = (
    VaultUnavailable,
    VaultQuota,
    AmountOutOfRange,
    CurrencyUnknown,
    InstantMalformed,
    ids.IdMalformed,
    ledger.AccountClosed,
    ledger.AccountNotFound,
    ledger.BalanceOutOfRange,
    ledger.CurrencyMismatch,
    ledger.InsufficientFunds,
    ledger.SameAccount,
)
#: What an act on a payment may be refused with.
ACT_REFUSALS: Final[tuple[type[Refusal], ...]] = (
    PaymentNotFound,
    PaymentStateConflict,
    AmountOutOfRange,
    ids.IdMalformed,
    ledger.AccountClosed,
    ledger.BalanceOutOfRange,
    ledger.HoldEnded,
    ledger.HoldExpired,
    ledger.InsufficientFunds,
)


def payment_of(call: web.Call) -> int:
    """Read the payment's id from the path.

    Raises:
        IdMalformed: if it is none.
    """
    return ids.parse(Prefix.PAYMENT, call.path["payment_id"], field="payment_id")


def account_of(text: str, field: str) -> int:
    """Read an account's id from a body.

    Raises:
        IdMalformed: if it is none.
    """
    return ids.parse(Prefix.ACCOUNT, text, field=field)


async def tokens_of(tokeniser: Tokens, **sent: str | None) -> dict[str, int | None]:
    """Turn what was sent into tokens, by kind; from here on the values are nowhere.

    Raises:
        VaultUnavailable: whoever makes tokens does not answer.
        VaultQuota: more were asked for than are made.
    """
    named = [(kind, value) for kind, value in sent.items() if value is not None]
    tokens: dict[str, int | None] = dict.fromkeys(sent)
    if named:
        made = await tokeniser.tokens(named)
        tokens.update(zip((kind for kind, _ in named), made, strict=True))
    return tokens


def coarse(coordinate_e4: int | None) -> int | None:
    """A coordinate to the nearest hundredth of a degree, in ten-thousandths; halves go up."""
    if coordinate_e4 is None:
        return None
    return (coordinate_e4 + _COARSE_E4 // 2) // _COARSE_E4 * _COARSE_E4


def channel_of(name: str | None) -> Channel | None:
    """Find the channel of a name."""
    return None if name is None else Channel[name.upper()]


def occurred_of(text: str | None) -> int | None:
    """Read when the sender says it happened, in microseconds.

    Raises:
        InstantMalformed: if it is no RFC 3339 instant.
    """
    return None if text is None else parse_rfc3339(text, field="occurred_at")
