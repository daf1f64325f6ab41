"""The ledger's rows as the auditor reads them, and as the transfers make them."""

import struct
from typing import Any, Final

import msgspec

from scudo.kernel import POSTGRES_EPOCH_US
from scudo.ledger.model import AccountStatus, HoldStatus

_POST: Final = struct.Struct(">2x" + "4xq" * 5 + "4x" + "4xq" * 8 + "4xi" * 2 + "4xh" * 4)
_HELD: Final = struct.Struct(">2x" + "4xq" * 14 + "4xi" * 2 + "4xh" * 4)
_HOLD_ROW: Final = struct.Struct(">2x" + "4xq" * 9 + "4xi" + "4xh" * 3)
_ACCOUNT_ROW: Final = struct.Struct(">2x4xq4xq4xh4xh4xh4xh4xq" + "4xq" * 5)
_INT4: Final = struct.Struct(">i")
_INT8: Final = struct.Struct(">q")
HOLD_COLUMNS: Final = (
    "id",
    "debit_account",
    "credit_account",
    "held",
    "captured",
    "remaining",
    "authority",
    "expires_at",
    "version",
    "tolerance_bps",
    "authority_kind",
    "code",
    "status",
)
ACCOUNT_COLUMNS: Final = (
    "id",
    "owner",
    "nature",
    "currency",
    "product",
    "status",
    "opened_at",
    "debits_posted",
    "credits_posted",
    "debits_held",
    "credits_held",
    "version",
    "hold_limit",
    "posting_limit",
)


class Move(msgspec.Struct, gc=False):
    """A transfer, as the auditor reads it; one field per column."""

    id: int
    debit_account: int
    credit_account: int
    amount: int
    held: int
    hold: int | None
    debit_version: int
    debit_balance: int
    debit_held: int
    credit_version: int
    credit_balance: int
    credit_held: int
    authority: int
    recorded_at: int
    booked_on: int
    value_on: int
    kind: int
    authority_kind: int
    code: int
    currency: int


class Sheet(msgspec.Struct, gc=False):
    """An account as the transfers seen so far make it."""

    owner: int
    nature: int
    currency: int
    product: int
    opened_at: int
    hold_limit: int | None
    posting_limit: int | None
    status: int = AccountStatus.OPEN
    debits_posted: int = 0
    credits_posted: int = 0
    debits_held: int = 0
    credits_held: int = 0
    version: int = 0

    def row(self, number: int) -> tuple[int | None, ...]:
        """What must be stored, in the order of the columns."""
        return (
            number,
            self.owner,
            self.nature,
            self.currency,
            self.product,
            self.status,
            self.opened_at,
            self.debits_posted,
            self.credits_posted,
            self.debits_held,
            self.credits_held,
            self.version,
            self.hold_limit,
            self.posting_limit,
        )


class Held(msgspec.Struct, gc=False):
    """A hold as the transfers seen so far make it."""

    debit_account: int
    credit_account: int
    held: int
    captured: int
    remaining: int
    authority: int
    authority_kind: int
    code: int
    expires_at: int
    tolerance_bps: int
    status: int = HoldStatus.OPEN
    version: int = 0

    def row(self, number: int) -> tuple[int, ...]:
        """What must be stored, in the order of the columns."""
        return (
            number,
            self.debit_account,
            self.credit_account,
            self.held,
            self.captured,
            self.remaining,
            self.authority,
            self.expires_at,
            self.version,
            self.tolerance_bps,
            self.authority_kind,
            self.code,
            self.status,
        )


def read_move(image: bytes) -> Move:
    """Read the image of a row of `ledger.transfer`."""
    if len(image) == _HELD.size:
        return Move(*_HELD.unpack(image))
    fields: Any = _POST.unpack(image)
    return Move(*(*fields[:5], None, *fields[5:]))


def read_hold(image: bytes) -> tuple[int, ...]:
    """Read the image of a row of `ledger.hold`."""
    row = _HOLD_ROW.unpack(image)
    return (*row[:7], row[7] + POSTGRES_EPOCH_US, *row[8:])


def read_account(image: bytes) -> tuple[int | None, ...]:
    """Read the image of a row of `ledger.account`."""
    row = _ACCOUNT_ROW.unpack_from(image)
    limits, at = [], _ACCOUNT_ROW.size
    for _ in range(2):
        (size,) = _INT4.unpack_from(image, at)
        limits.append(None if size < 0 else _INT8.unpack_from(image, at + 4)[0])
        at += 4 + max(size, 0)
    return (*row[:6], row[6] + POSTGRES_EPOCH_US, *row[7:], *limits)
