"""The keys below the root, as they are in memory while the vault is open."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from scudo.fabric import queries
from scudo.vault.database import Connection
from scudo.vault.errors import CiphertextBroken
from scudo.vault.keys import Key, new_key, open_sealed, seal
from scudo.vault.roots import Wrapper, card_key_place, person_key_place, unit_place

_SQL: Final = queries("scudo.vault")

#: What keys of persons and cards are wrapped by, and what values are hashed under for look-up.
PERSON: Final = "person"
SEARCH: Final = "search"


@dataclass(frozen=True, slots=True, repr=False)
class Units:
    """Every key below the root that is in memory."""

    root: Wrapper
    by_id: dict[bytes, Key]
    active: Key
    number: int
    #: The one that new values are hashed under first, then those that retire.
    search: tuple[Key, ...]
    search_number: int
    retiring: tuple[bytes, ...]
    #: Unit keys as they are wrapped, so that none is opened twice.
    opened: dict[bytes, Key]


async def add_unit(connection: Connection, root: Wrapper, *, purpose: str, at: datetime) -> int:
    """Make a unit key of a purpose, wrapped by a root; gives its number."""
    key = new_key()
    (wrapped,) = await root.seal([(unit_place(key.id), key.secret)])
    added = {"id": key.id, "purpose": purpose, "root": root.id, "wrapped": wrapped, "now": at}
    row = await (await connection.execute(_SQL["add_unit_key"], added)).fetchone()
    assert row is not None, "an insert returns its row"
    return int(row[0])


async def load(connection: Connection, root: Wrapper, opened: dict[bytes, Key]) -> Units:
    """Unwrap every unit key that is not opened yet.

    Raises:
        CiphertextBroken: one of them does not open, or one is missing.
        HsmAway: the root is in a token, which does not answer.
    """
    rows = await (await connection.execute(_SQL["unit_keys"])).fetchall()
    # The very bytes that were opened for this id: nothing was changed or moved since.
    known = {
        wrapped: key
        for key_id, *_, wrapped in rows
        if (key := opened.get(wrapped)) is not None and key.id == key_id
    }
    fresh = [(row[0], row[5]) for row in rows if row[5] not in known]
    secrets = await root.open([(unit_place(key_id), wrapped) for key_id, wrapped in fresh])
    for (key_id, wrapped), secret in zip(fresh, secrets, strict=True):
        known[wrapped] = Key(key_id, secret)
    active: dict[str, tuple[Key, int]] = {}
    retiring: dict[str, list[Key]] = {PERSON: [], SEARCH: []}
    for _, number, purpose, state, _, wrapped in rows:
        key = known[wrapped]
        if state == "active":
            active[purpose] = (key, number)
        else:
            retiring[purpose].append(key)
    if active.keys() != {PERSON, SEARCH}:
        message = "a unit key is missing"
        raise CiphertextBroken(message)
    (person, number), (search, search_number) = active[PERSON], active[SEARCH]
    return Units(
        root=root,
        by_id={key.id: key for key in known.values()},
        active=person,
        number=number,
        search=(search, *retiring[SEARCH]),
        search_number=search_number,
        retiring=tuple(key.id for key in retiring[PERSON]),
        opened=known,
    )


async def move(connection: Connection, units: Units, of: str, limit: int) -> int:
    """Wrap some keys of persons or cards by the newest unit key; gives how many.

    Args:
        connection: in a transaction.
        units: in memory.
        of: `person` or `card`.
        limit: how many at most.

    Raises:
        CiphertextBroken: one of them was changed or moved.
    """
    found = {"units": list(units.retiring), "limit": limit}
    rows = await (await connection.execute(_SQL[f"{of}_keys_left"], found)).fetchall()
    wrapped = []
    for row, key_id, unit, before in rows:
        place = person_key_place(row, key_id) if of == "person" else card_key_place(key_id)
        wrapped.append(seal(units.active, place, open_sealed(units.by_id[unit], place, before)))
    if rows:
        changed = {"unit": units.active.id, "ids": [row[1] for row in rows], "wrapped": wrapped}
        await connection.execute(_SQL[f"move_{of}_keys"], changed)
    return len(rows)


async def count_left(connection: Connection, units: Units) -> int:
    """How many keys are still wrapped by retiring unit keys."""
    found = {"units": list(units.retiring)}
    row = await (await connection.execute(_SQL["count_left"], found)).fetchone()
    assert row is not None, "a count is a row"
    return int(row[0])
