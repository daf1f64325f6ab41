"""Look-ups under a new search key: what is kept is opened, hashed anew, and the old key destroyed.

Every step is one transaction: killed at any moment, the next one goes on. Needs an open vault.
What does not open stops the sweep: a person who cannot be found any more must be noticed.
"""

from typing import Final

import psycopg

from scudo.fabric import queries
from scudo.vault.cards import number_of, number_place
from scudo.vault.database import Connection, Database
from scudo.vault.keys import Key, field_key, open_sealed, search_digest
from scudo.vault.model import CARD_NUMBER, searched
from scudo.vault.persons import field_place
from scudo.vault.ring import Ring
from scudo.vault.roots import card_key_place, person_key_place

_SQL: Final = queries("scudo.vault")


class Rehashing:
    """Moves look-ups to the newest search key."""

    def __init__(self, database: Database, ring: Ring) -> None:
        """Work on a database with the keys of a ring."""
        self._database = database
        self._ring = ring

    async def step(self, limit: int) -> bool:
        """Hash the values of up to `limit` persons and cards anew; whether there is more to do.

        Raises:
            CiphertextBroken: a value does not open.
            VaultSealed: there are no keys.
        """
        newest, *retiring = self._ring.search_keys
        if not retiring:
            return False
        units = [key.id for key in retiring]
        async with self._database.transaction() as connection:
            moved = await self._persons(connection, newest, units, limit)
            moved += await self._cards(connection, newest, units, limit - moved)
        if not moved:
            # Somebody who began before the new key may be about to commit; then once more.
            try:
                await self._ring.drop_search_keys()
            except psycopg.errors.ForeignKeyViolation:
                return True
        return True

    async def count_left(self) -> int:
        """How many values are still hashed under retiring keys; 0 while sealed."""
        if self._ring.state != "open":
            return 0
        units = [key.id for key in self._ring.search_keys[1:]]
        if not units:
            return 0
        async with self._database.connection() as connection:
            cursor = await connection.execute(_SQL["hashes_left"], {"units": units})
            row = await cursor.fetchone()
        assert row is not None, "a count is a row"
        return int(row[0])

    async def _persons(
        self, connection: Connection, newest: Key, units: list[bytes], limit: int
    ) -> int:
        asked = {"units": units, "limit": limit}
        cursor = await connection.execute(_SQL["persons_left"], asked)
        persons = {"persons": [person for (person,) in await cursor.fetchall()], "units": units}
        if not persons["persons"]:
            return 0
        # Whoever writes of them or erases them meanwhile waits, or was faster.
        await connection.execute(_SQL["lock_persons"], {"persons": persons["persons"]})
        rows = await (await connection.execute(_SQL["hashed_fields"], persons)).fetchall()
        hashed = []
        for person, kind, key_id, unit, wrapped, row, sealed in rows:
            place = person_key_place(person, key_id)
            key = self._ring.unwrap(key_id, place, unit=unit, wrapped=wrapped)
            place = field_place(person, kind, row)
            value = open_sealed(field_key(key, place), place, sealed).decode()
            hashed.append((person, kind, search_digest(newest, kind, searched(kind, value))))
        await connection.execute(_SQL["drop_hashes"], persons)
        added = {
            "unit": newest.id,
            "persons": [person for person, _, _ in hashed],
            "kinds": [kind for _, kind, _ in hashed],
            "digests": [digest for _, _, digest in hashed],
        }
        await connection.execute(_SQL["add_hashes"], added)
        return len(persons["persons"])

    async def _cards(
        self, connection: Connection, newest: Key, units: list[bytes], limit: int
    ) -> int:
        if not limit:
            return 0
        asked = {"units": units, "limit": limit}
        rows = await (await connection.execute(_SQL["hashed_cards"], asked)).fetchall()
        ids, digests = [], []
        for card, key_id, unit, wrapped, person, row, sealed in rows:
            place = card_key_place(key_id)
            key = self._ring.unwrap(key_id, place, unit=unit, wrapped=wrapped)
            place = number_place(row, person)
            number, _ = number_of(open_sealed(field_key(key, place), place, sealed))
            ids.append(card)
            digests.append(search_digest(newest, CARD_NUMBER, number))
        if ids:
            changed = {"unit": newest.id, "ids": ids, "digests": digests}
            await connection.execute(_SQL["rehash_cards"], changed)
        return len(ids)
