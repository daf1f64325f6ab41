"""Persons: their fields, how they are found, and how they are forgotten."""

import contextlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.rows import TupleRow

from scudo.fabric import ByteaArray, TextArray, queries, token_from, token_message
from scudo.vault.answers import Why
from scudo.vault.database import Connection, Database
from scudo.vault.erasures import Erasure, Erasures, erase
from scudo.vault.errors import CiphertextBroken, PersonErased, PersonNotFound
from scudo.vault.keys import (
    ID_BYTES,
    Key,
    KeyCache,
    Place,
    field_key,
    new_key,
    open_sealed,
    seal,
    search_digest,
    version_of,
)
from scudo.vault.keystore import KeyStore
from scudo.vault.model import FIELDS, demand_kind, searched
from scudo.vault.ring import Ring
from scudo.vault.roots import person_key_place

_SQL: Final = queries("scudo.vault")
_READS: Final = queries("scudo.vault", "reads.sql")
_NOTHING: Final = "the vault holds nothing of this person"


@dataclass(frozen=True, slots=True)
class Read:
    """A read that is allowed, as it is recorded.

    Attributes:
        at: microseconds since 1970.
    """

    why: Why
    at: int

    def row(self) -> dict[str, Any]:
        """As parameters of a query."""
        why = self.why
        return {
            "at": self.at,
            "purpose": why.purpose,
            "actor": why.actor,
            "reason": why.reason,
            "correlation": why.correlation,
        }


class Persons:
    """What the vault keeps of persons. Times are microseconds of a monotonic clock."""

    def __init__(
        self,
        database: Database,
        ring: Ring,
        keys: KeyStore,
        *,
        cache: KeyCache,
        erasures: Erasures,
    ) -> None:
        """Work on a database with the keys of a ring."""
        self._database = database
        self._ring = ring
        self._keys = keys
        self._cache = cache
        self._erasures = erasures

    def tokens(self, kind: str, values: Sequence[str], *, version: int = 0) -> tuple[int, ...]:
        """Keyed tokens of values.

        Raises:
            FieldUndeclared: there are no tokens of this kind.
            KeyUnknown: there is no key of this version.
        """
        demand_kind(kind)
        mac = self._keys.mac
        return tuple(
            token_from(mac(token_message(kind, value), version=version)) for value in values
        )

    # ---- writes

    async def put(self, person: int, fields: Mapping[str, str]) -> dict[str, int]:
        """Keep fields of a person; gives the tokens by which events know them.

        Raises:
            PersonErased: the person was erased.
            VaultSealed: there are no keys.
        """
        self._ring.demand_open()
        # The unit key may retire between wrapping and writing; then there is a newer one.
        with contextlib.suppress(psycopg.errors.ForeignKeyViolation):
            async with self._database.transaction() as connection:
                return await self._put(connection, person, fields)
        async with self._database.transaction() as connection:
            return await self._put(connection, person, fields)

    async def _put(
        self, connection: Connection, person: int, fields: Mapping[str, str]
    ) -> dict[str, int]:
        key = await self.key_for_writing(connection, person)
        names = list(fields)
        found = {"person": person, "names": names}
        rows = await (await connection.execute(_SQL["find_fields"], found)).fetchall()
        stored = {name: (row, version_of(sealed)) for name, row, sealed in rows}
        ids, ciphertexts = [], []
        for name, value in fields.items():
            row, version = stored.get(name, (secrets.token_bytes(ID_BYTES), 0))
            place = field_place(person, name, row)
            ids.append(row)
            ciphertexts.append(
                seal(field_key(key, place), place, value.encode(), version=version + 1)
            )
        written = {"person": person, "names": names, "rows": ids, "sealed": ciphertexts}
        await connection.execute(_SQL["put_fields"], written)
        await self._put_search(connection, person, fields)
        return await self._put_links(connection, person, fields)

    async def _put_search(
        self, connection: Connection, person: int, fields: Mapping[str, str]
    ) -> None:
        search = self._ring.search_keys[0]
        kinds = [name for name in fields if FIELDS[name].searched_as is not None]
        if not kinds:
            return
        digests = [search_digest(search, kind, searched(kind, fields[kind])) for kind in kinds]
        await connection.execute(_SQL["drop_search"], {"person": person, "kinds": kinds})
        added = {"person": person, "unit": search.id, "kinds": kinds, "digests": digests}
        await connection.execute(_SQL["add_search"], added)

    async def _put_links(
        self, connection: Connection, person: int, fields: Mapping[str, str]
    ) -> dict[str, int]:
        """Link the tokens of a person's fields; gives the one of each field."""
        given: dict[str, int] = {}
        links: set[tuple[str, int]] = set()
        for name, value in fields.items():
            kind = FIELDS[name].token
            if kind is None:
                continue
            # Events may carry the value as it was typed, or as it is compared.
            folded, typed = self.tokens(kind, (searched(name, value), value))
            given[name] = folded
            links |= {(kind, folded), (kind, typed)}
        if links:
            await self._link(connection, person, sorted(links))
        return given

    async def link(self, person: int, kind: str, value: str) -> int:
        """Remember whose the token of a value is; gives the token.

        Raises:
            PersonErased: the person was erased.
            PersonNotFound: nothing is kept of this person.
            VaultSealed: there are no keys.
        """
        self._ring.demand_open()
        (token,) = self.tokens(kind, (value,))
        async with self._database.transaction() as connection:
            await self.hold(connection, person)
            await self._link(connection, person, [(kind, token)])
        return token

    async def hold(self, connection: Connection, person: int) -> None:
        """See that something is kept of a person, who is not erased before the caller commits.

        Raises:
            PersonErased: the person was erased.
            PersonNotFound: nothing is kept of this person.
        """
        await self._demand_not_erased(connection, person)
        cursor = await connection.execute(_SQL["find_person_key"], {"person": person})
        if await cursor.fetchone() is None:
            raise PersonNotFound(_NOTHING, field="person")

    async def _link(
        self, connection: Connection, person: int, links: Sequence[tuple[str, int]]
    ) -> None:
        added = {
            "person": person,
            "version": self._keys.token_version,
            "kinds": [kind for kind, _ in links],
            "tokens": [token for _, token in links],
        }
        await connection.execute(_SQL["link_tokens"], added)

    async def key_for_writing(self, connection: Connection, person: int) -> Key:
        """The key of a person, new if there is none, and under the newest unit key.

        The person is held until the caller's transaction ends.

        Raises:
            PersonErased: the person was erased.
        """
        await self._demand_not_erased(connection, person)
        found = {"person": person}
        row = await (await connection.execute(_SQL["find_person_key"], found)).fetchone()
        if row is None:
            key = new_key()
            unit, wrapped = self._ring.wrap(key, person_key_place(person, key.id))
            added = {"person": person, "id": key.id, "unit": unit, "wrapped": wrapped}
            await connection.execute(_SQL["add_person_key"], added)
            return key
        key_id, unit, wrapped = row
        place = person_key_place(person, key_id)
        key = self._ring.unwrap(key_id, place, unit=unit, wrapped=wrapped)
        if self._ring.is_retiring(unit):
            unit, wrapped = self._ring.wrap(key, place)
            moved = {"unit": unit, "ids": [key_id], "wrapped": [wrapped]}
            await connection.execute(_SQL["move_person_keys"], moved)
        return key

    @staticmethod
    async def _demand_not_erased(connection: Connection, person: int) -> None:
        """Hold the person, who must not have been erased.

        Raises:
            PersonErased: they were.
        """
        await connection.execute(_SQL["lock_person"], {"person": person})
        row = await (await connection.execute(_SQL["is_erased"], {"person": person})).fetchone()
        if row is not None and row[0]:
            message = "this person was erased"
            raise PersonErased(message, field="person")

    async def erase(self, erasure: Erasure) -> tuple[int, dict[str, int]]:
        """Forget a person for ever; gives when that was, and how much was destroyed.

        Raises:
            ErasureNotExported: it is done, and is not yet in the list outside.
        """
        try:
            async with self._database.transaction() as connection:
                stands, destroyed = await erase(connection, erasure)
        finally:
            # Also when it is not known whether it was committed.
            self._cache.forget(erasure.person)
        self._erasures.export(stands)
        return stands.at, destroyed

    # ---- reads

    async def read(
        self, person: int, names: Sequence[str], *, read: Read, now: int
    ) -> dict[str, str]:
        """Read fields of a person; those that are not kept are left out.

        Raises:
            PersonNotFound: nothing is kept of this person.
            CiphertextBroken: what is stored was tampered with.
            VaultSealed: there are no keys.
        """
        asked = {**read.row(), "person": person, "names": TextArray(dict.fromkeys(names))}
        try:
            found = await self._opened(person, _READS["read_fields"], asked, now=now)
            if found is None:
                raise PersonNotFound(_NOTHING, field="person")
            return dict(_fields_of(person, *found))
        except CiphertextBroken:
            await self.note_broken(person, ",".join(names), read=read)
            raise

    async def opened(
        self, person: int, query: str, asked: dict[str, Any], *, now: int
    ) -> tuple[Key, TupleRow] | None:
        """The one row of a query on what hangs on a person's key, and the key.

        Args:
            person: whose it is.
            query: of rows that begin with id, unit and wrapped form of the person's key.
            asked: its parameters.
            now: microseconds of a monotonic clock.

        Returns:
            None: nothing is kept of this person.

        Raises:
            CiphertextBroken: the key was tampered with.
            VaultSealed: there are no keys.
        """
        found = await self._opened(person, query, asked, now=now)
        return None if found is None else (found[0], found[1][0])

    async def _opened(
        self, person: int, query: str, asked: dict[str, Any], *, now: int
    ) -> tuple[Key, Sequence[TupleRow]] | None:
        self._ring.demand_open()
        generation = self._cache.generation
        rows = await self._database.ask(query, asked)
        if rows and not self._ring.knows(rows[0][1]):
            # A sweep has retired the unit key between the answer and now.
            generation = self._cache.generation
            rows = await self._database.ask(query, asked)
        if not rows:
            return None
        return self._key(person, rows[0], now=now, generation=generation), rows

    async def note_broken(self, person: int, field: str, *, read: Read) -> None:
        """Record that what was to be given could not be opened."""
        noted = {**read.row(), "operation": "read", "subject_kind": "person"}
        broken = {**noted, "subject": person, "field": field}
        await self._database.ask(_READS["note_broken"], broken)

    def _key(self, person: int, row: TupleRow, *, now: int, generation: int) -> Key:
        key_id, unit, wrapped = row[:3]
        key = self._cache.find(person, key_id, now=now)
        if key is None:
            place = person_key_place(person, key_id)
            key = self._ring.unwrap(key_id, place, unit=unit, wrapped=wrapped)
            self._cache.keep(person, key, now=now, generation=generation)
        return key

    async def find(self, kind: str, value: str, *, read: Read) -> tuple[int, ...]:
        """Persons who have this value, at most a hundred.

        Raises:
            FieldUndeclared: nobody is looked up by this field.
            VaultSealed: there are no keys.
        """
        wanted = searched(kind, value)
        while True:
            keys = self._ring.search_keys
            digests = ByteaArray(search_digest(key, kind, wanted) for key in keys)
            asked = {**read.row(), "kind": kind, "digests": digests}
            rows = await self._database.ask(_READS["find_persons"], asked)
            # Found nowhere, and there is a newer key: it may have been hashed anew meanwhile.
            if rows or self._ring.search_keys == keys:
                return tuple(row[0] for row in rows)

    async def find_linked(self, kind: str, token: int, *, read: Read) -> tuple[int, ...]:
        """Persons whose this token is, at most a hundred.

        Raises:
            FieldUndeclared: there are no tokens of this kind.
            VaultSealed: there are no keys.
        """
        self._ring.demand_open()
        demand_kind(kind)
        asked = {**read.row(), "kind": kind, "token": token}
        return tuple(row[0] for row in await self._database.ask(_READS["find_linked"], asked))


def _fields_of(person: int, key: Key, rows: Sequence[TupleRow]) -> Sequence[tuple[str, str]]:
    found = []
    for _, _, _, name, row, sealed in rows:
        if name is not None:
            place = field_place(person, name, row)
            text = open_sealed(field_key(key, place), place, sealed)
            found.append((name, text.decode()))
    return found


def field_place(person: int, name: str, row: bytes) -> Place:
    """Where a field of a person belongs."""
    return Place("field", f"sealed/{name}", person, row)
