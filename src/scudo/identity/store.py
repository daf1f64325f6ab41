"""The only place that touches the identity room's tables."""

import hashlib
import secrets
import struct
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.fabric import Guarded, Int8Array, Lookup, Table, TextArray, queries, sized, web
from scudo.identity.commands import Registry
from scudo.identity.errors import ScopeUnknown
from scudo.identity.model import SCOPES, Customer, CustomerKind
from scudo.kernel import POSTGRES_EPOCH_US

_SQL: Final = queries("scudo.identity")
_CUSTOMER: Final = Table(
    "identity.customer", ("id", "kind", "registered_at", "country", "reference")
)
_HEAD: Final = struct.Struct(">hiqihiq")
_COUNTRY: Final = struct.Struct(">ih")
_NULL: Final = b"\xff\xff\xff\xff"
_TOKEN_BYTES: Final = 32


class IdentityStore:
    """Writes the customers that a batch registered, and loads those that memory lacks."""

    def __init__(self, registry: Registry) -> None:
        """Serve one registry."""
        self._registry = registry

    def locks(self) -> Iterable[Guarded]:
        """Customers are never changed."""
        return ()

    def copies(self) -> Iterable[tuple[Table, Sequence[bytes]]]:
        """Customers that the batch registered."""
        yield _CUSTOMER, [_image(c) for c in self._registry.registered[-1].values()]

    def begin(self) -> None:
        """A batch begins."""
        self._registry.registered.append({})

    def hand_over(self) -> None:
        """The batch goes to the database; customers have no versions."""

    def committed(self) -> None:
        """The oldest batch is stored."""
        self._registry.registered.popleft()

    def aborted(self) -> None:
        """The newest batch was undone."""
        self._registry.registered.pop()

    def forget(self) -> None:
        """Drop the cache."""
        self._registry.customers.clear()
        self._registry.by_reference.clear()

    async def load_newest(self, connection: AsyncConnection[TupleRow], *, limit: int) -> None:
        """Load the newest customers."""
        cursor = await connection.execute(_SQL["load_newest"], {"limit": limit}, binary=True)
        self._keep(await cursor.fetchall())

    def ask(self, lookup: Lookup, *, numbers: Iterable[int], references: Iterable[str]) -> None:
        """Ask for customers that memory does not hold; unknown ones stay unknown."""
        registry = self._registry
        missing = Int8Array(n for n in set(numbers) if n not in registry.customers)
        names = TextArray(r for r in set(references) if r not in registry.by_reference)
        if missing or names:
            lookup.ask(_SQL["load_customers"], {"ids": missing, "references": names}, self._keep)

    def _keep(self, rows: Iterable[TupleRow]) -> None:
        for number, reference, kind, country, registered_at in rows:
            self._registry.add(
                Customer(number, reference, CustomerKind(kind), country, registered_at)
            )


def _image(customer: Customer) -> bytes:
    head = _HEAD.pack(
        5, 8, customer.id, 2, customer.kind, 8, customer.registered_at - POSTGRES_EPOCH_US
    )
    country = _NULL if customer.country is None else _COUNTRY.pack(2, customer.country)
    return head + country + sized(customer.reference.encode())


class Clients:
    """The API's clients by the hash of their token, in memory, refreshed from the database."""

    def __init__(self) -> None:
        """Start knowing nobody."""
        self._by_hash: dict[bytes, web.Principal] = {}

    def authenticate(
        self,
        scheme: str,
        token: str,
        arrival: web.Arrival,  # noqa: ARG002 - a bearer token is good wherever it comes from
    ) -> web.Principal | None:
        """Whose bearer token this is; the same work for known and unknown ones."""
        if scheme != "bearer":
            return None
        return self._by_hash.get(hashlib.sha256(token.encode()).digest())

    async def refresh(self, connection: AsyncConnection[TupleRow]) -> None:
        """Read all clients whose token is good; revoked ones are gone afterwards."""
        cursor = await connection.execute(_SQL["read_clients"])
        self._by_hash = {
            bytes(token_hash): web.Principal(number, frozenset(scopes), customer)
            for number, token_hash, scopes, customer in await cursor.fetchall()
        }


async def issue_token(
    connection: AsyncConnection[TupleRow],
    *,
    name: str,
    scopes: Iterable[str],
    customer: int | None,
    now: datetime,
) -> tuple[int, str]:
    """Give a client a new token; returns its id and the token, which is not stored.

    A client that exists gets the new token in place of the old one.

    Raises:
        ScopeUnknown: if a scope does not exist.
    """
    wanted = sorted(set(scopes))
    unknown = [scope for scope in wanted if scope not in SCOPES]
    if unknown:
        message = f"there is no scope {unknown[0]}"
        raise ScopeUnknown(message, field="scopes")
    token = "scudo_" + secrets.token_urlsafe(_TOKEN_BYTES)
    cursor = await connection.execute(
        _SQL["put_client"],
        {
            "name": name,
            "token_hash": hashlib.sha256(token.encode()).digest(),
            "scopes": wanted,
            "customer": customer,
            "now": now,
        },
    )
    row = await cursor.fetchone()
    assert row is not None, "an upsert returns its row"
    return row[0], token


async def revoke_token(connection: AsyncConnection[TupleRow], *, name: str, now: datetime) -> bool:
    """End a client's token; False if there was none."""
    cursor = await connection.execute(_SQL["revoke_client"], {"name": name, "now": now})
    return await cursor.fetchone() is not None
