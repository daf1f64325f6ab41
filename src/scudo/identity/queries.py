"""Reads of the identity room."""

from collections.abc import Sequence
from typing import Final

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.fabric import queries
from scudo.identity.model import Customer, CustomerKind
from scudo.kernel import micros

_SQL: Final = queries("scudo.identity")


async def find_customer(connection: AsyncConnection[TupleRow], number: int) -> Customer | None:
    """Find a customer; None if there is none."""
    row = await (await connection.execute(_SQL["find_customer"], {"id": number})).fetchone()
    return None if row is None else _customer(row)


async def list_customers(
    connection: AsyncConnection[TupleRow], *, after: int, limit: int, reference: str | None
) -> Sequence[Customer]:
    """List customers after an id, oldest first; `reference` asks for the one that has it."""
    cursor = await connection.execute(
        _SQL["list_customers"], {"after": after, "limit": limit, "reference": reference}
    )
    return [_customer(row) for row in await cursor.fetchall()]


def _customer(row: TupleRow) -> Customer:
    return Customer(row[0], row[1], CustomerKind(row[2]), row[3], micros(row[4]))
