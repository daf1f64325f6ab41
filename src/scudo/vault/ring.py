"""The root and the unit keys: sealed, opened by shares, rotated, and swept.

The database holds unit keys wrapped by the root, and a proof that opens under the right root
only. In memory are the root and every unit key, or nothing: that is what sealed means.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import structlog

from scudo.fabric import queries
from scudo.vault.database import Connection, Database
from scudo.vault.errors import (
    CiphertextBroken,
    RootNotPrepared,
    ShareForeign,
    VaultFolderUnfit,
    VaultNotInitialised,
    VaultNotSealed,
    VaultSealed,
)
from scudo.vault.folder import Folder
from scudo.vault.keys import KEY_BYTES, Key, Place, new_key, open_sealed, seal
from scudo.vault.sealing import PATIENCE_US, Split, Unsealing, split

_SQL: Final = queries("scudo.vault")
_log = structlog.get_logger("scudo.vault")

PERSON: Final = "person"
SEARCH: Final = "search"
SHARED: Final = "shared"
DEVELOPMENT: Final = "development"
#: The root of a development vault, and the next one while it is put in the place of the old.
ROOT_FILE: Final = "development.root"
NEXT_ROOT_FILE: Final = "development.root.next"
_PROOF: Final = b"this is the root"


@dataclass(frozen=True, slots=True)
class _Root:
    """The active root as the database knows it."""

    id: bytes
    kind: str
    threshold: int
    identifier: int
    proof: bytes

    def fits(self, secret: bytes) -> bool:
        """Whether this is the root's secret."""
        try:
            return open_sealed(Key(self.id, secret), _proof_place(self.id), self.proof) == _PROOF
        except (CiphertextBroken, ValueError):
            return False


@dataclass(frozen=True, slots=True, repr=False)
class _Prepared:
    """A root that is not yet in use, and its shares; none in development mode."""

    key: Key
    kind: str
    shares: int
    threshold: int
    identifier: int
    #: Monotonic clock, microseconds.
    at: int


@dataclass(frozen=True, slots=True, repr=False)
class _Units:
    """Every key below the root that is in memory."""

    root: Key
    by_id: dict[bytes, Key]
    active: Key
    number: int
    search: Key
    retiring: tuple[bytes, ...]


class Ring:
    """The vault's root and unit keys."""

    def __init__(self, database: Database, folder: Folder) -> None:
        """Begin sealed; `attend` looks what there is."""
        self._database = database
        self._folder = folder
        self._root: _Root | None = None
        self._units: _Units | None = None
        self._prepared: _Prepared | None = None
        self._unsealing: Unsealing | None = None
        self._opens_itself = True
        #: Root, unit keys and the sweep change one after the other.
        self._changing = asyncio.Lock()

    # ---- what is

    @property
    def state(self) -> str:
        """`new` without a root, `sealed` or `open`."""
        if self._root is None:
            return "new"
        return "sealed" if self._units is None else "open"

    @property
    def is_development(self) -> bool:
        """Whether the root lies in a file."""
        return self._root is not None and self._root.kind == DEVELOPMENT

    @property
    def root_id(self) -> bytes:
        """Id of the root; empty without one."""
        return b"" if self._root is None else self._root.id

    @property
    def unit_number(self) -> int:
        """Number of the unit key that new keys are wrapped by; 0 while sealed."""
        return 0 if self._units is None else self._units.number

    def progress(self, *, now: int) -> tuple[int, int]:
        """Shares that are entered and that are needed."""
        if self._unsealing is None or self._units is not None:
            return 0, 0
        return self._unsealing.progress(now=now), self._unsealing.threshold

    def _demand_open(self) -> _Units:
        """The keys, if they are here.

        Raises:
            VaultNotInitialised: there is no root yet.
            VaultSealed: the root is not in memory.
        """
        if self._root is None:
            message = "the vault has no root key yet"
            raise VaultNotInitialised(message)
        if self._units is None:
            message = "the vault is sealed"
            raise VaultSealed(message)
        return self._units

    def demand_open(self) -> None:
        """See that keys are in memory.

        Raises:
            VaultNotInitialised: there is no root yet.
            VaultSealed: the root is not in memory.
        """
        self._demand_open()

    @property
    def search_key(self) -> Key:
        """What values are hashed under for look-up."""
        return self._demand_open().search

    def wrap(self, key: Key, place: Place) -> tuple[bytes, bytes]:
        """Wrap a key by the active unit key; gives that one's id and the wrapped key."""
        active = self._demand_open().active
        return active.id, seal(active, place, key.secret)

    def is_retiring(self, unit: bytes) -> bool:
        """Whether a unit key is no longer the one that new keys are wrapped by."""
        return self._demand_open().active.id != unit

    def knows(self, unit: bytes) -> bool:
        """Whether this unit key is in memory; another process may have rotated it."""
        return unit in self._demand_open().by_id

    def unwrap(self, key_id: bytes, place: Place, *, unit: bytes, wrapped: bytes) -> Key:
        """Unwrap a key.

        Raises:
            CiphertextBroken: it was changed, moved, or wrapped by no key of ours.
        """
        key = self._demand_open().by_id.get(unit)
        if key is None:
            message = f"a key of {place.table} is wrapped by a unit key that is not there"
            raise CiphertextBroken(message)
        return Key(key_id, open_sealed(key, place, wrapped))

    # ---- what the database says

    async def attend(self, connection: Connection) -> None:
        """Look what root and unit keys the database has; seal ourselves if they are not ours."""
        async with self._changing:
            row = await (await connection.execute(_SQL["active_root"])).fetchone()
            self._root = None if row is None else _Root(*row)
            secret = None if self._root is None else self._secret_of(self._root)
            if self._root is None or secret is None:
                if self._units is not None:
                    _log.error("the database has another root: the vault is sealed")
                    self.seal()
                return
            self._units = await _load(connection, Key(self._root.id, secret))

    def _secret_of(self, root: _Root) -> bytes | None:
        """The secret of a root, if we have it.

        Raises:
            VaultFolderUnfit: it should lie in a file, and does not.
        """
        # A commit whose answer was lost may have put the prepared root in place.
        held = []
        if self._units is not None:
            held.append(self._units.root.secret)
        if self._prepared is not None:
            held.append(self._prepared.key.secret)
        for secret in held:
            if root.fits(secret):
                return secret
        return self._development_root(root)

    def _development_root(self, root: _Root) -> bytes | None:
        """The root from its file, if it lies in one.

        Raises:
            VaultFolderUnfit: no file has it, or others may read it.
        """
        if root.kind != DEVELOPMENT or not self._opens_itself:
            return None
        for name in (ROOT_FILE, NEXT_ROOT_FILE):
            self._folder.demand_private(name)
            secret = self._folder.find(name)
            if secret is not None and root.fits(secret):
                if name == NEXT_ROOT_FILE:
                    # It was committed, and we were killed before the file was in its place.
                    self._folder.write(ROOT_FILE, secret)
                    self._folder.remove(NEXT_ROOT_FILE)
                _log.warning(
                    "DEVELOPMENT VAULT: its root key lies in a file beside the data."
                    " Nobody's real data belongs into it."
                )
                return secret
        message = f"{ROOT_FILE} does not hold the root of this database"
        raise VaultFolderUnfit(message)

    # ---- sealing

    def seal(self) -> None:
        """Forget every key."""
        self._units = None
        self._prepared = None
        self._unsealing = None

    def seal_until_restart(self) -> None:
        """Forget every key; a root in a file is not read again before the next start."""
        self._opens_itself = False
        self.seal()

    async def unseal(self, share: str, *, keeper: str, now: int) -> tuple[int, int]:
        """Enter one share; gives how many are entered and needed.

        Raises:
            VaultNotInitialised: there is no root yet.
            VaultNotSealed: nothing is to be unsealed.
            ShareForeign: it is not of this vault's root.
        """
        root = self._root
        if root is None:
            message = "the vault has no root key yet"
            raise VaultNotInitialised(message)
        if self._units is not None:
            message = "the vault is open"
            raise VaultNotSealed(message)
        if self._unsealing is None:
            self._unsealing = Unsealing(identifier=root.identifier, threshold=root.threshold)
        secret = self._unsealing.offer(share, keeper=keeper, now=now)
        if secret is None:
            return self._unsealing.progress(now=now), root.threshold
        if not root.fits(secret):
            message = "these shares are of another secret"
            raise ShareForeign(message, field="share")
        async with self._database.connection() as connection, self._changing:
            self._units = await _load(connection, Key(root.id, secret))
        self._unsealing = None
        return root.threshold, root.threshold

    # ---- the root

    def prepare_root(self, *, shares: int, threshold: int, now: int) -> Split:
        """Make a root that `commit_root` will use.

        It is not used before its shares are in people's hands: were it, a crash between
        the two would lose every key of the bank.

        Raises:
            SharesUnfit: it cannot be split like this.
            VaultSealed: there is a root, and it is not in memory.
        """
        self._demand_rotatable()
        key = new_key()
        made = split(key.secret, shares=shares, threshold=threshold)
        self._prepared = _Prepared(key, SHARED, shares, threshold, made.identifier, now)
        return made

    def prepare_development_root(self, *, now: int) -> None:
        """Make a root that will lie in a file.

        Raises:
            VaultSealed: there is a root, and it is not in memory.
        """
        self._demand_rotatable()
        self._prepared = _Prepared(new_key(), DEVELOPMENT, 0, 0, 0, now)

    def _demand_rotatable(self) -> None:
        if self._root is not None:
            self._demand_open()

    async def commit_root(self, *, now: int, at: datetime) -> None:
        """Wrap every unit key by the prepared root, in one transaction.

        Args:
            now: monotonic clock, microseconds.
            at: the time of day.

        Raises:
            RootNotPrepared: none is, or it was too long ago.
        """
        async with self._database.connection() as connection, self._changing:
            prepared = self._prepared
            if prepared is None or now - prepared.at >= PATIENCE_US:
                message = "no new root is prepared"
                raise RootNotPrepared(message)
            self._demand_rotatable()
            root = prepared.key
            if prepared.kind == DEVELOPMENT:
                self._folder.write(NEXT_ROOT_FILE, root.secret)
            async with connection.transaction():
                held = await self._rewrap(connection, prepared, at)
                loaded = await _load(connection, root)
            self._root, self._units, self._prepared = held, loaded, None
            if prepared.kind == DEVELOPMENT:
                self._folder.write(ROOT_FILE, root.secret)
                self._folder.remove(NEXT_ROOT_FILE)
            else:
                self._folder.remove(ROOT_FILE)
                self._folder.remove(NEXT_ROOT_FILE)

    async def _rewrap(self, connection: Connection, prepared: _Prepared, at: datetime) -> _Root:
        root, units = prepared.key, self._units
        await connection.execute(_SQL["retire_root"])
        added: dict[str, Any] = {
            "id": root.id,
            "kind": prepared.kind,
            "shares": prepared.shares,
            "threshold": prepared.threshold,
            "identifier": prepared.identifier,
            "proof": seal(root, _proof_place(root.id), _PROOF),
        }
        await connection.execute(_SQL["add_root"], {**added, "now": at})
        for unit in () if units is None else units.by_id.values():
            wrapped = seal(root, _unit_place(unit.id), unit.secret)
            changed = {"id": unit.id, "root": root.id, "wrapped": wrapped}
            await connection.execute(_SQL["rewrap_unit_key"], changed)
        if units is None:
            for purpose in (PERSON, SEARCH):
                await _add_unit(connection, root, purpose=purpose, at=at)
        del added["shares"]
        return _Root(**added)

    # ---- unit keys

    async def rotate_unit(self, *, at: datetime) -> int:
        """Make a new unit key for everything that is wrapped from now on; gives its number."""
        async with self._database.connection() as connection, self._changing:
            root = self._demand_open().root
            async with connection.transaction():
                await connection.execute(_SQL["retire_unit_key"], {"purpose": PERSON})
                number = await _add_unit(connection, root, purpose=PERSON, at=at)
                loaded = await _load(connection, root)
            self._units = loaded
            return number

    async def sweep(self, limit: int) -> tuple[int, int]:
        """Wrap up to `limit` keys anew; gives how many were moved, and how many are left.

        Every call is one transaction: killed at any moment, the next one goes on.
        """
        async with self._database.connection() as connection, self._changing:
            units = self._demand_open()
            if not units.retiring:
                return 0, 0
            async with connection.transaction():
                moved = await self._move(connection, units, "person", limit)
                moved += await self._move(connection, units, "card", limit - moved)
                left = await self._count_left(connection, units)
                if not left:
                    await connection.execute(_SQL["drop_unit_keys"])
                loaded = await _load(connection, units.root)
            self._units = loaded
            return moved, left

    async def _move(self, connection: Connection, units: _Units, of: str, limit: int) -> int:
        found = {"units": list(units.retiring), "limit": limit}
        cursor = await connection.execute(_SQL[f"{of}_keys_left"], found)
        rows = await cursor.fetchall()
        wrapped = []
        for row, key_id, unit, before in rows:
            place = person_key_place(row, key_id) if of == "person" else card_key_place(key_id)
            key = open_sealed(units.by_id[unit], place, before)
            wrapped.append(seal(units.active, place, key))
        if rows:
            changed = {
                "unit": units.active.id,
                "ids": [row[1] for row in rows],
                "wrapped": wrapped,
            }
            await connection.execute(_SQL[f"move_{of}_keys"], changed)
        return len(rows)

    async def count_left(self) -> int:
        """How many keys are still wrapped by retiring unit keys; 0 while sealed."""
        units = self._units
        if units is None or not units.retiring:
            return 0
        async with self._database.connection() as connection:
            return await self._count_left(connection, units)

    @staticmethod
    async def _count_left(connection: Connection, units: _Units) -> int:
        found = {"units": list(units.retiring)}
        row = await (await connection.execute(_SQL["count_left"], found)).fetchone()
        assert row is not None, "a count is a row"
        return int(row[0])


def person_key_place(person: int, key_id: bytes) -> Place:
    """Where the wrapped key of a person belongs."""
    return Place("person_key", "wrapped", person, key_id)


def card_key_place(key_id: bytes) -> Place:
    """Where the wrapped key of a card belongs."""
    return Place("card", "wrapped", 0, key_id)


def _unit_place(unit: bytes) -> Place:
    return Place("unit_key", "wrapped", 0, unit)


def _proof_place(root: bytes) -> Place:
    return Place("root", "proof", 0, root)


async def _add_unit(connection: Connection, root: Key, *, purpose: str, at: datetime) -> int:
    key = new_key()
    assert len(key.secret) == KEY_BYTES, "a unit key is 32 bytes"
    added = {
        "id": key.id,
        "purpose": purpose,
        "root": root.id,
        "wrapped": seal(root, _unit_place(key.id), key.secret),
        "now": at,
    }
    row = await (await connection.execute(_SQL["add_unit_key"], added)).fetchone()
    assert row is not None, "an insert returns its row"
    return int(row[0])


async def _load(connection: Connection, root: Key) -> _Units:
    """Unwrap every unit key.

    Raises:
        CiphertextBroken: one of them does not open, or one is missing.
    """
    rows = await (await connection.execute(_SQL["unit_keys"])).fetchall()
    by_id: dict[bytes, Key] = {}
    active: dict[str, tuple[Key, int]] = {}
    retiring = []
    for key_id, number, purpose, state, _, wrapped in rows:
        key = Key(key_id, open_sealed(root, _unit_place(key_id), wrapped))
        by_id[key_id] = key
        if state == "active":
            active[purpose] = (key, number)
        else:
            retiring.append(key_id)
    if active.keys() != {PERSON, SEARCH}:
        message = "a unit key is missing"
        raise CiphertextBroken(message)
    person, number = active[PERSON]
    return _Units(root, by_id, person, number, active[SEARCH][0], tuple(retiring))
