"""Reads of payments."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.fabric import queries
from scudo.payments.model import PaymentStatus

_SQL: Final = queries("scudo.payments")
_READS: Final = queries("scudo.payments", "reads.sql")


@dataclass(frozen=True, slots=True)
class StoredPayment:
    """A payment as it stands in the database."""

    id: int
    debit_account: int
    credit_account: int
    amount: int
    captured: int
    decision: int
    ordered_at: datetime
    currency: int
    kind: int
    status: int
    outcome: int
    hold: int | None
    expires_at: datetime | None
    text: int | None


async def find_payment(connection: AsyncConnection[TupleRow], number: int) -> StoredPayment | None:
    """Find a payment; None if there is none."""
    row = await (await connection.execute(_SQL["find_payment"], {"id": number})).fetchone()
    return None if row is None else StoredPayment(*row)


async def is_payee_known(
    connection: AsyncConnection[TupleRow], *, debit: int, credit: int, before: int
) -> bool:
    """Say whether an account was paid from another before a time, in microseconds."""
    pair = {"debit": debit, "credit": credit, "before": before, "settled": PaymentStatus.SETTLED}
    row = await (await connection.execute(_READS["is_payee_known"], pair)).fetchone()
    assert row is not None, "EXISTS has a row"
    return bool(row[0])


async def list_payments(
    connection: AsyncConnection[TupleRow],
    *,
    accounts: Sequence[int] | None,
    before: int,
    limit: int,
) -> Sequence[StoredPayment]:
    """List payments before an id, newest first; from these accounts, or all if None."""
    page = {"before": before, "limit": limit}
    if accounts is None:
        cursor = await connection.execute(_SQL["list_payments"], page)
    else:
        cursor = await connection.execute(
            _READS["list_payments_of"], {"accounts": list(accounts), **page}
        )
    return [StoredPayment(*row) for row in await cursor.fetchall()]
