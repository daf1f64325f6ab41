"""Texts of payments, each a field under its payer's key that is named by its claim."""

import contextlib
import secrets
from collections.abc import Sequence
from typing import Final

import psycopg
import structlog

from scudo.fabric import queries, token_from, token_message
from scudo.kernel import hide_cards
from scudo.vault.answers import TextKept
from scudo.vault.database import Connection, Database
from scudo.vault.errors import CiphertextBroken, PersonErased, TextNotFound
from scudo.vault.keys import ID_BYTES, Place, field_key, open_sealed, seal
from scudo.vault.keystore import KeyStore
from scudo.vault.model import PAYMENT_TEXT
from scudo.vault.persons import Persons, Read
from scudo.vault.ring import Ring
from scudo.vault.texts.signals import signals_of
from scudo.vault.wire import NewText

_log = structlog.get_logger("scudo.vault")
_SQL: Final = queries("scudo.vault")
_READS: Final = queries("scudo.vault", "reads.sql")
#: Nobody can have the vault make a token of this kind of a text of their own choice.
_KIND: Final = "text"


class Texts:
    """What the vault keeps of payments' texts. Times are microseconds of a monotonic clock."""

    def __init__(self, database: Database, ring: Ring, keys: KeyStore, persons: Persons) -> None:
        """Work on a database with the keys of a ring."""
        self._database = database
        self._ring = ring
        self._keys = keys
        self._persons = persons

    def claim(self, new: NewText) -> int:
        """The claim of a text: a keyed token of the request that it came with, and of itself.

        The same request has the same claim when it comes again, also while the vault is sealed;
        with another text it has another one. Nobody can compare two texts by their claims.
        """
        message = token_message(_KIND, f"{new.request}\x00{new.text}")
        return token_from(self._keys.mac(message, version=0))

    async def keep(self, texts: Sequence[NewText]) -> list[TextKept]:
        """Keep texts, of persons who need not be known before; of erased ones none is kept.

        Card numbers are kept by their last four digits.

        Raises:
            VaultSealed: there are no keys.
            VaultUnavailable: the database does not answer.
        """
        self._ring.demand_open()
        claimed = [(new, self.claim(new)) for new in texts]
        # The unit key may retire between wrapping and writing; then there is a newer one.
        with contextlib.suppress(psycopg.errors.ForeignKeyViolation):
            async with self._database.transaction() as connection:
                return await self._keep(connection, claimed)
        async with self._database.transaction() as connection:
            return await self._keep(connection, claimed)

    async def _keep(
        self, connection: Connection, claimed: Sequence[tuple[NewText, int]]
    ) -> list[TextKept]:
        kept = set()
        # Persons are locked in one order, whoever else writes of several.
        for new, claim in sorted(claimed, key=lambda one: (one[0].person, one[1])):
            try:
                await self._put(connection, new, claim)
            except PersonErased:
                continue
            except CiphertextBroken:
                # One person whose key was tampered with keeps nobody else's text away.
                _log.exception("a person key does not open")
                continue
            kept.add((new.person, claim))
        return [told(new, claim, is_kept=(new.person, claim) in kept) for new, claim in claimed]

    async def _put(self, connection: Connection, new: NewText, claim: int) -> None:
        key = await self._persons.key_for_writing(connection, new.person)
        row = secrets.token_bytes(ID_BYTES)
        place = _place(new.person, claim, row)
        sealed = seal(field_key(key, place), place, hide_cards(new.text).encode())
        added = {"person": new.person, "claim": claim, "row": row, "sealed": sealed}
        await connection.execute(_SQL["add_text"], added)

    async def read(self, person: int, claim: int, *, read: Read, now: int) -> str:
        """The text of a claim.

        Raises:
            TextNotFound: none is kept: it never was, or its payer was erased.
            CiphertextBroken: what is stored was tampered with.
            VaultSealed: there are no keys.
        """
        asked = {**read.row(), "person": person, "claim": claim, "field": PAYMENT_TEXT}
        found = await self._persons.opened(person, _READS["read_text"], asked, now=now)
        if found is None or found[1][3] is None:
            message = "the vault does not hold this text"
            raise TextNotFound(message, field="claim")
        key, (_, _, _, row, sealed) = found
        try:
            place = _place(person, claim, row)
            return open_sealed(field_key(key, place), place, sealed).decode()
        except CiphertextBroken:
            await self._persons.note_broken(person, PAYMENT_TEXT, read=read)
            raise


def told(new: NewText, claim: int, *, is_kept: bool) -> TextKept:
    """What the caller learns of a text."""
    return TextKept(claim, int(signals_of(new.text)), is_kept)


def _place(person: int, claim: int, row: bytes) -> Place:
    return Place("payment_text", f"sealed/{claim:x}", person, row)
