"""Identifiers: a 63-bit number inside, `prefix_` and sixteen hex digits outside.

The number of a thing is the log position of the event that gave birth to it
(transfers add their leg, see `transfer_id`), so ids sort by time of birth, need
no second index, and lead back to the log. Tokens stand for personal or device
data (keyed hashes, see `scudo.fabric`); they share the form and carry no
position.
"""

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from scudo.kernel.refusal import Refusal

#: An entry of the log may carry this many transfers; ids keep the bits for it.
LEGS_BITS: Final = 12
LEGS_MAX: Final = 1 << LEGS_BITS
_DIGITS: Final = 16
_HEX: Final = frozenset("0123456789abcdef")
ID_MAX: Final = (1 << 63) - 1


class Prefix(StrEnum):
    """The readable first part of an id: which kind of thing it names."""

    CUSTOMER = "cus"
    ACCOUNT = "acc"
    TRANSFER = "trf"
    HOLD = "hld"
    PAYMENT = "pay"
    DECISION = "dec"
    ALERT = "alt"
    EVENT = "evt"
    CLIENT = "cli"
    JOURNAL = "jnl"
    RECORD = "rec"
    DEVICE = "dev"
    NETWORK = "ip"
    CARD = "crd"
    CARD_REFERENCE = "crf"
    MERCHANT = "mer"
    OPERATOR = "opr"
    PARTNER = "ptn"
    SESSION = "ses"
    APPROVAL = "apr"
    MANDATE = "mnd"
    MAILED_CODE = "cod"
    CHALLENGE = "chl"
    PASSKEY = "psk"
    STEP_UP = "stp"
    LEGAL_HOLD = "lgh"


def _kind(prefix: Prefix) -> msgspec.Meta:
    return msgspec.Meta(
        extra={"prefix": prefix},
        extra_json_schema={"type": "string", "pattern": f"^{prefix}_[0-9a-f]{{16}}$"},
    )


CustomerId = Annotated[int, _kind(Prefix.CUSTOMER)]
AccountId = Annotated[int, _kind(Prefix.ACCOUNT)]
TransferId = Annotated[int, _kind(Prefix.TRANSFER)]
HoldId = Annotated[int, _kind(Prefix.HOLD)]
PaymentId = Annotated[int, _kind(Prefix.PAYMENT)]
DecisionId = Annotated[int, _kind(Prefix.DECISION)]
AlertId = Annotated[int, _kind(Prefix.ALERT)]
ClientId = Annotated[int, _kind(Prefix.CLIENT)]
JournalId = Annotated[int, _kind(Prefix.JOURNAL)]
EventId = Annotated[int, _kind(Prefix.EVENT)]
DeviceToken = Annotated[int, _kind(Prefix.DEVICE)]
NetworkToken = Annotated[int, _kind(Prefix.NETWORK)]
CardToken = Annotated[int, _kind(Prefix.CARD)]
CardReference = Annotated[int, _kind(Prefix.CARD_REFERENCE)]
MerchantToken = Annotated[int, _kind(Prefix.MERCHANT)]
OperatorId = Annotated[int, _kind(Prefix.OPERATOR)]
PartnerId = Annotated[int, _kind(Prefix.PARTNER)]
SessionId = Annotated[int, _kind(Prefix.SESSION)]
ApprovalId = Annotated[int, _kind(Prefix.APPROVAL)]
MandateId = Annotated[int, _kind(Prefix.MANDATE)]
LegalHoldId = Annotated[int, _kind(Prefix.LEGAL_HOLD)]


class IdMalformed(Refusal):
    """Raised when a text is not an id of the kind that is asked for."""

    code = "id_malformed"
    next_step = "Send the id exactly as Scudo gave it, such as acc_00000000000004d2."


def show(prefix: Prefix, number: int) -> str:
    """Write an id as clients see it."""
    return prefix + f"_{number:016x}"


def parse(prefix: Prefix, text: str, *, field: str | None = None) -> int:
    """Read an id that clients sent; accepts exactly what `show` writes.

    Raises:
        IdMalformed: for another prefix, length, alphabet or a number beyond 63 bits.
    """
    start = len(prefix) + 1
    digits = text[start:]
    if (
        len(digits) == _DIGITS
        and text.startswith(prefix)
        and text[start - 1] == "_"
        and _HEX.issuperset(digits)
    ):
        number = int(digits, 16)
        if 0 < number <= ID_MAX:
            return number
    message = f"this is not an id of the form {prefix}_ and sixteen hex digits"
    raise IdMalformed(message, field=field)


def transfer_id(position: int, leg: int) -> int:
    """Number of the `leg`-th transfer of the log entry at `position`."""
    assert 0 <= leg < LEGS_MAX, "an entry has more transfers than its ids can say"
    return position << LEGS_BITS | leg


def entry_of(transfer: int) -> int:
    """Log position of the entry that a transfer belongs to."""
    return transfer >> LEGS_BITS
