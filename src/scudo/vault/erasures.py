"""Who was erased, kept outside the database, so that a restored backup forgets them again.

A folder that is not part of the database's backups holds one file with one JSON object a
line: numbers, times and codes, nothing personal. A line is on the disk before the erasure is
answered; when the vault was stopped between the two, the next start writes what is missing.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import structlog

from scudo.fabric import queries
from scudo.kernel import instant, micros
from scudo.vault.database import Connection
from scudo.vault.errors import ErasureNotExported, VaultFolderUnfit
from scudo.vault.folder import Folder

FILE: Final = "erasures.jsonl"
_SQL: Final = queries("scudo.vault")
_AT_ONCE: Final = 1_000
#: What `count_kept` counts.
_KEPT: Final = ("keys", "fields", "look_ups", "links", "cards", "texts")
_log = structlog.get_logger("scudo.vault")


class Erasure(msgspec.Struct, frozen=True):
    """One person was erased.

    Attributes:
        at: microseconds since 1970.
        actor, reason: codes.
    """

    person: int
    at: int
    actor: str
    reason: str
    correlation: int

    def row(self) -> dict[str, Any]:
        """As parameters of a query."""
        return {**msgspec.structs.asdict(self), "at": instant(self.at)}


_decoder: Final = msgspec.json.Decoder(Erasure)


class Erasures:
    """The list outside the database."""

    def __init__(self, folder: Folder) -> None:
        """Read the list.

        Raises:
            VaultFolderUnfit: a line cannot be read; without it somebody might come back.
        """
        self._folder = folder
        #: In the order of the lines.
        self._order = [erasure.person for erasure in self._list()]
        self._persons = set(self._order)
        self._is_compared = False

    def export(self, erasure: Erasure) -> None:
        """Write one line, unless the person is in the list; it is on the disk afterwards.

        Raises:
            ErasureNotExported: it cannot be written.
        """
        if erasure.person in self._persons:
            return
        try:
            self._folder.append(FILE, msgspec.json.encode(erasure))
        except OSError as error:
            message = "the list of erasures cannot be written"
            raise ErasureNotExported(message) from error
        self._persons.add(erasure.person)
        self._order.append(erasure.person)

    async def replay(self, connection: Connection) -> int:
        """Erase whom the database has forgotten to have erased; gives how many these were.

        The first time the whole list is compared. Later only the lines beyond those that the
        database says to have carried out: of one that was restored meanwhile, these are all
        that were written since its backup.
        """
        row = await (await connection.execute(_SQL["find_replayed"])).fetchone()
        replayed, lines, count = 0 if row is None else int(row[0]), len(self._order), 0
        # A list that has become shorter is another one.
        since = replayed if self._is_compared and replayed <= lines else 0
        for start in range(since, lines, _AT_ONCE):
            found = {"persons": self._order[start : start + _AT_ONCE]}
            rows = await (await connection.execute(_SQL["unerased"], found)).fetchall()
            missing = {person for (person,) in rows}
            if not missing:
                continue
            async with connection.transaction():
                for erasure in self._list():
                    if erasure.person in missing:
                        await erase(connection, erasure)
            count += len(missing)
        if replayed != lines:
            await connection.execute(_SQL["keep_replayed"], {"lines": lines})
        self._is_compared = True
        if count:
            _log.warning("erasures were replayed into an older database", persons=count)
        return count

    async def export_missing(self, connection: Connection) -> None:
        """Write what the database knows to be erased and the list does not."""
        rows = await (await connection.execute(_SQL["list_erasures"])).fetchall()
        for person, at, actor, reason, correlation in rows:
            self.export(Erasure(person, micros(at), actor, reason, correlation))

    def _list(self) -> Iterator[Erasure]:
        for number, line in enumerate(self._folder.lines(FILE), start=1):
            try:
                yield _decoder.decode(line)
            except (msgspec.DecodeError, msgspec.ValidationError):
                message = f"line {number} of {FILE} cannot be read"
                raise VaultFolderUnfit(message) from None


async def erase(connection: Connection, erasure: Erasure) -> tuple[Erasure, dict[str, int]]:
    """Destroy a person's key and all that hangs on it, in the caller's transaction.

    Returns:
        The erasure as it stands, which is the first one, and how much of what was destroyed.
    """
    person = {"person": erasure.person}
    await connection.execute(_SQL["lock_person"], person)
    added = await connection.execute(_SQL["add_erasure"], erasure.row())
    if not added.rowcount:
        row = await (await connection.execute(_SQL["find_erasure"], person)).fetchone()
        assert row is not None, "an erasure that is in the way is there"
        erasure = Erasure(erasure.person, micros(row[0]), *row[1:])
    cursor = await connection.execute(_SQL["count_kept"], person)
    kept = dict(zip(_KEPT, await cursor.fetchone() or (), strict=True))
    await connection.execute(_SQL["drop_person_key"], person)
    return erasure, kept
