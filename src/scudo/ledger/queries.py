"""Reads of the ledger: accounts with their balances, and the transfers behind them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.fabric import queries
from scudo.kernel import micros
from scudo.ledger.model import Account

_SQL: Final = queries("scudo.ledger")


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """One transfer as one of its two accounts sees it.

    Attributes:
        version: of the account, after it; the account's entries have all numbers from 1 on.
        balance, held_after: of the account, after it, minor units.
        held: what was added to what is held; negative when it was freed.
    """

    transfer: int
    debit_account: int
    credit_account: int
    amount: int
    held: int
    hold: int | None
    version: int
    balance: int
    held_after: int
    authority: int
    authority_kind: int
    kind: int
    code: int
    currency: int
    booked_on: date
    value_on: date
    recorded_at: datetime
    is_debit: bool


@dataclass(frozen=True, slots=True)
class Transfer:
    """One transfer as it was posted."""

    id: int
    debit_account: int
    credit_account: int
    amount: int
    held: int
    hold: int | None
    authority: int
    authority_kind: int
    kind: int
    code: int
    currency: int
    booked_on: date
    value_on: date
    recorded_at: datetime


async def find_account(
    connection: AsyncConnection[TupleRow], number: int, *, owner: int | None
) -> Account | None:
    """Find an account with its committed balances; None if there is none.

    Args:
        connection: to read from.
        number: id of the account.
        owner: customer whose it must be; None sees every account.
    """
    row = await (await connection.execute(_SQL["find_account"], {"id": number})).fetchone()
    if row is None or owner not in {None, row[1]}:
        return None
    return _account(row)


async def list_accounts(
    connection: AsyncConnection[TupleRow], *, owner: int, after: int, limit: int
) -> Sequence[Account]:
    """List a customer's accounts after an id, oldest first."""
    cursor = await connection.execute(
        _SQL["list_accounts"], {"owner": owner, "after": after, "limit": limit}
    )
    return [_account(row) for row in await cursor.fetchall()]


async def list_account_entries(
    connection: AsyncConnection[TupleRow], *, account: int, before: int, limit: int
) -> Sequence[AccountEntry]:
    """List what moved an account before a version of it, newest first."""
    cursor = await connection.execute(
        _SQL["list_transfers"], {"account": account, "before": before, "limit": limit}
    )
    return [AccountEntry(*row) for row in await cursor.fetchall()]


async def list_journal(connection: AsyncConnection[TupleRow], position: int) -> Sequence[Transfer]:
    """List the transfers of one entry of the log, in order."""
    cursor = await connection.execute(_SQL["list_journal"], {"position": position})
    return [Transfer(*row) for row in await cursor.fetchall()]


def _account(row: TupleRow) -> Account:
    return Account(
        id=row[0],
        owner=row[1],
        nature=row[2],
        currency=row[3],
        product=row[4],
        status=row[5],
        opened_at=micros(row[6]),
        hold_limit=row[7],
        posting_limit=row[8],
        debits_posted=row[9],
        credits_posted=row[10],
        debits_held=row[11],
        credits_held=row[12],
        version=row[13],
        stored_version=row[13],
    )
