"""Card numbers: kept once, shown by halves, looked up by keyed hash.

A card has a key of its own under the unit key, so that one that is nobody's customer's (a
payee's, a merchant's refund) is kept like any other. A customer's card is erased with them.
"""

import secrets
from collections.abc import Sequence
from datetime import date
from typing import Final

from psycopg.rows import TupleRow

from scudo.fabric import ByteaArray, queries
from scudo.vault.answers import CardLine
from scudo.vault.database import Connection, Database
from scudo.vault.errors import CardNotFound, CardTaken, CiphertextBroken
from scudo.vault.keys import (
    ID_BYTES,
    Key,
    Place,
    field_key,
    new_key,
    open_sealed,
    seal,
    search_digest,
    version_of,
)
from scudo.vault.model import BIN_DIGITS, CARD_NUMBER, LAST_DIGITS, demand_card
from scudo.vault.persons import Persons, Read
from scudo.vault.ring import Ring
from scudo.vault.roots import card_key_place

_SQL: Final = queries("scudo.vault")
_READS: Final = queries("scudo.vault", "reads.sql")
_NO_CARD: Final = "the vault holds no such card"


class Cards:
    """What the vault keeps of cards."""

    def __init__(self, database: Database, ring: Ring, persons: Persons) -> None:
        """Work on a database with the keys of a ring."""
        self._database = database
        self._ring = ring
        self._persons = persons

    async def put(self, number: str, expiry: str, person: int | None) -> tuple[int, int]:
        """Keep a card; gives its reference, the same for the same number, and its token.

        Args:
            number: 13 to 19 digits.
            expiry: `YYYY-MM`.
            person: whose customer's it is; kept already.

        Raises:
            CardNumberInvalid: these are no number and month.
            CardTaken: it is known as another person's, or as nobody's.
            PersonErased: the person was erased.
            PersonNotFound: nothing is kept of this person.
            VaultSealed: there are no keys.
        """
        demand_card(number, expiry)
        (token,) = self._persons.tokens("card", (number,))
        while True:
            keys = self._ring.search_keys
            async with self._database.transaction() as connection:
                if await self._is_newest(connection, keys[0]):
                    return await self._put(connection, (number, expiry), person, keys), token
            # A new search key is there already, and on its way to our memory.
            await self._ring.settled()

    @staticmethod
    async def _is_newest(connection: Connection, search: Key) -> bool:
        """Whether this is what cards are hashed under until this transaction ends.

        Under two keys at once the same number could become two cards.
        """
        await connection.execute(_SQL["share_search_keys"])
        row = await (await connection.execute(_SQL["find_search_key"])).fetchone()
        return row is not None and row[0] == search.id

    async def _put(
        self,
        connection: Connection,
        written: tuple[str, str],
        person: int | None,
        keys: Sequence[Key],
    ) -> int:
        if person is not None:
            await self._persons.hold(connection, person)
        found = {"digests": [search_digest(key, CARD_NUMBER, written[0]) for key in keys]}
        row = await (await connection.execute(_SQL["find_card"], found)).fetchone()
        if row is None:
            searched = {"digest": found["digests"][0], "searched_by": keys[0].id}
            card = await self._add(connection, written, person, searched)
            if card is not None:
                return card
            # Somebody else was faster with the same number.
            row = await (await connection.execute(_SQL["find_card"], found)).fetchone()
        assert row is not None, "a card that is in the way is there"
        return await self._renew(connection, row, written, person)

    async def _add(
        self,
        connection: Connection,
        written: tuple[str, str],
        person: int | None,
        searched: dict[str, bytes],
    ) -> int | None:
        number = written[0]
        key, row = new_key(), secrets.token_bytes(ID_BYTES)
        unit, wrapped = self._ring.wrap(key, card_key_place(key.id))
        place = number_place(row, person or 0)
        added = {
            "person": person,
            **searched,
            "key": key.id,
            "unit": unit,
            "wrapped": wrapped,
            "row": row,
            "sealed": seal(field_key(key, place), place, _text(*written)),
            "first_six": number[:BIN_DIGITS],
            "last_four": number[-LAST_DIGITS:],
            "expires_by": _expires_by(written[1]),
        }
        made = await (await connection.execute(_SQL["add_card"], added)).fetchone()
        return None if made is None else int(made[0])

    async def _renew(
        self, connection: Connection, found: TupleRow, written: tuple[str, str], person: int | None
    ) -> int:
        """Replace what is kept of a card that is known.

        Raises:
            CardTaken: it is another person's.
        """
        card, owner, key_id, unit, wrapped, row, sealed = found
        if owner != person:
            message = "this card number is kept as another's"
            raise CardTaken(message, field="number")
        key = self._ring.unwrap(key_id, card_key_place(key_id), unit=unit, wrapped=wrapped)
        place = number_place(row, person or 0)
        again = seal(field_key(key, place), place, _text(*written), version=version_of(sealed) + 1)
        renewed = {"id": card, "sealed": again, "expires_by": _expires_by(written[1])}
        await connection.execute(_SQL["renew_card"], renewed)
        return int(card)

    async def show(self, card: int, person: int, *, read: Read) -> tuple[str, str]:
        """The first six and the last four digits of a card.

        Args:
            card: its reference.
            person: whose it must be; 0: whose ever it is.
            read: as it is recorded.

        Raises:
            CardNotFound: there is none, or it is another person's.
            VaultSealed: there are no keys.
        """
        self._ring.demand_open()
        row = await self._row(card, operation="show_card", read=read)
        if person not in {0, row[3]}:
            raise CardNotFound(_NO_CARD, field="card")
        return row[6], row[7]

    async def read(self, card: int, *, read: Read) -> tuple[str, str]:
        """The full number of a card, and its expiry.

        Raises:
            CardNotFound: there is none.
            CiphertextBroken: what is stored was tampered with.
            VaultSealed: there are no keys.
        """
        self._ring.demand_open()
        row = await self._row(card, operation="read_card", read=read)
        if not self._ring.knows(row[1]):
            # A sweep has retired the unit key between the answer and now.
            row = await self._row(card, operation="read_card", read=read)
        key_id, unit, wrapped, person, row_id, sealed = row[:6]
        try:
            key = self._ring.unwrap(key_id, card_key_place(key_id), unit=unit, wrapped=wrapped)
            place = number_place(row_id, person)
            number, expiry = number_of(open_sealed(field_key(key, place), place, sealed))
        except CiphertextBroken:
            noted = {**read.row(), "operation": "read_card", "subject_kind": "card"}
            await self._database.ask(
                _READS["note_broken"], {**noted, "subject": card, "field": CARD_NUMBER}
            )
            raise
        return number, expiry

    async def find(self, number: str, *, read: Read) -> int | None:
        """The card with this number.

        Raises:
            VaultSealed: there are no keys.
        """
        while True:
            keys = self._ring.search_keys
            digests = ByteaArray(search_digest(key, CARD_NUMBER, number) for key in keys)
            asked = {**read.row(), "digests": digests}
            rows = await self._database.ask(_READS["find_card_number"], asked)
            # Found nowhere, and there is a newer key: it may have been hashed anew meanwhile.
            if rows or self._ring.search_keys == keys:
                return int(rows[0][0]) if rows else None

    async def list_of(self, person: int, *, read: Read) -> tuple[CardLine, ...]:
        """A person's cards, oldest first.

        Raises:
            VaultSealed: there are no keys.
        """
        self._ring.demand_open()
        rows = await self._database.ask(_READS["list_cards"], {**read.row(), "person": person})
        return tuple(CardLine(*row) for row in rows)

    async def _row(self, card: int, *, operation: str, read: Read) -> TupleRow:
        asked = {**read.row(), "card": card, "operation": operation}
        rows = await self._database.ask(_READS["read_card"], asked)
        if not rows:
            raise CardNotFound(_NO_CARD, field="card")
        return rows[0]


def number_place(row: bytes, person: int) -> Place:
    """Where the number of a card belongs."""
    return Place("card", "sealed", person, row)


def _expires_by(expiry: str) -> date:
    """The end of the year in which a card expires: as much as may be known without opening it."""
    return date(max(int(expiry[:4]), date.min.year), 12, 31)


def _text(number: str, expiry: str) -> bytes:
    return f"{number} {expiry}".encode()


def number_of(text: bytes) -> tuple[str, str]:
    """Number and expiry of a card, as they are kept."""
    number, _, expiry = text.decode().partition(" ")
    return number, expiry
