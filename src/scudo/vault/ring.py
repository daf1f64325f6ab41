"""The root and the unit keys: sealed, opened by shares or a PIN, rotated, and swept.

The database holds unit keys wrapped by the root, and a proof that opens under the right root
only. In memory are the root and every unit key, or nothing: that is what sealed means.
"""

import asyncio
import contextlib
from datetime import datetime
from typing import Any, Final

import structlog

from scudo.fabric import queries
from scudo.vault.database import Connection, Database
from scudo.vault.errors import (
    CiphertextBroken,
    HsmForeign,
    RootNotPrepared,
    RootOpensOtherwise,
    ShareForeign,
    VaultFolderUnfit,
    VaultNotInitialised,
    VaultNotSealed,
    VaultRefusal,
    VaultSealed,
)
from scudo.vault.folder import Folder
from scudo.vault.hsm import Hsm, HsmUri
from scudo.vault.keys import Key, Place, new_key, open_sealed, seal
from scudo.vault.roots import (
    DEVELOPMENT,
    HSM,
    SHARED,
    MemoryRoot,
    Prepared,
    Root,
    Wrapper,
    make_in_hsm,
    open_in_hsm,
    prove,
    unit_place,
)
from scudo.vault.sealing import PATIENCE_US, Split, Unsealing, split
from scudo.vault.units import PERSON, SEARCH, Units, add_unit, count_left, load, move

_SQL: Final = queries("scudo.vault")
_log = structlog.get_logger("scudo.vault")

#: The root of a development vault, and the next one while it is put in the place of the old.
ROOT_FILE: Final = "development.root"
NEXT_ROOT_FILE: Final = "development.root.next"


class Ring:
    """The vault's root and unit keys."""

    def __init__(self, database: Database, folder: Folder, hsm: Hsm) -> None:
        """Begin sealed; `attend` looks what there is."""
        self._database = database
        self._folder = folder
        self._hsm = hsm
        self._root: Root | None = None
        self._units: Units | None = None
        self._prepared: Prepared | None = None
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
    def root_kind(self) -> str:
        """`shared`, `development` or `hsm`; empty without a root."""
        return "" if self._root is None else self._root.kind

    @property
    def root_hsm(self) -> str:
        """URI of the token that has the root; empty if none has."""
        return "" if self._root is None else self._root.hsm or ""

    @property
    def root_approval(self) -> int:
        """Number of the approval by which the root took the place of another; 0: none."""
        return 0 if self._root is None else self._root.approval

    @property
    def root_id(self) -> bytes:
        """Id of the root; empty without one."""
        return b"" if self._root is None else self._root.id

    @property
    def unit_number(self) -> int:
        """Number of the unit key that new keys are wrapped by; 0 while sealed."""
        return 0 if self._units is None else self._units.number

    @property
    def search_number(self) -> int:
        """Number of the key that new values are hashed under for look-up; 0 while sealed."""
        return 0 if self._units is None else self._units.search_number

    def progress(self, *, now: int) -> tuple[int, int]:
        """Shares that are entered and that are needed."""
        if self._unsealing is None or self._units is not None:
            return 0, 0
        return self._unsealing.progress(now=now), self._unsealing.threshold

    def _demand_open(self) -> Units:
        """The keys, if they are here.

        Raises:
            VaultNotInitialised: there is no root yet.
            VaultSealed: the root is not in memory.
        """
        self._demand_root()
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
    def search_keys(self) -> tuple[Key, ...]:
        """What values are hashed under for look-up: the newest key, then those that retire.

        What is written is hashed under the newest; what is looked up, under all of them.
        """
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
            before, self._root = self._root, None if row is None else Root(*row)
            wrapper = None if self._root is None else await self._wrapper_of(self._root, before)
            if wrapper is None:
                if self._units is not None:
                    _log.error("the database has another root: the vault is sealed")
                    self.seal()
                return
            self._units = await load(connection, wrapper, self._opened)

    async def _wrapper_of(self, root: Root, before: Root | None) -> Wrapper | None:
        """What wraps as a root does, if we have it.

        Raises:
            VaultFolderUnfit: it should lie in a file, and does not.
        """
        if self._units is not None and root == before:
            # Asked for nothing: a token may be away, and nobody else needs it now.
            return self._units.root
        # A commit whose answer was lost may have put the prepared root in place.
        held: list[Wrapper] = [] if self._units is None else [self._units.root]
        if self._prepared is not None:
            held.append(self._prepared.wrapper)
        for wrapper in held:
            with contextlib.suppress(VaultRefusal):
                if wrapper.id == root.id and await root.fits(wrapper):
                    return wrapper
        return await self._development_root(root)

    @property
    def _opened(self) -> dict[bytes, Key]:
        return {} if self._units is None else self._units.opened

    async def _development_root(self, root: Root) -> Wrapper | None:
        """The root from its file, if it lies in one.

        Raises:
            VaultFolderUnfit: no file has it, or others may read it.
        """
        if root.kind != DEVELOPMENT or not self._opens_itself:
            return None
        for name in (ROOT_FILE, NEXT_ROOT_FILE):
            self._folder.demand_private(name)
            secret = self._folder.find(name)
            found = None if secret is None else await root.opened_by(secret)
            if secret is not None and found is not None:
                if name == NEXT_ROOT_FILE:
                    # It was committed, and we were killed before the file was in its place.
                    self._folder.write(ROOT_FILE, secret)
                    self._folder.remove(NEXT_ROOT_FILE)
                _log.warning(
                    "DEVELOPMENT VAULT: its root key lies in a file beside the data."
                    " Nobody's real data belongs into it."
                )
                return found
        message = f"{ROOT_FILE} does not hold the root of this database"
        raise VaultFolderUnfit(message)

    # ---- sealing

    def seal(self) -> None:
        """Forget every key."""
        self._units = None
        self._prepared = None
        self._unsealing = None
        self._hsm.close()

    def seal_until_restart(self) -> None:
        """Forget every key; a root in a file is not read again before the next start."""
        self._opens_itself = False
        self.seal()

    async def unseal(self, share: str, *, keeper: str, now: int) -> tuple[int, int]:
        """Enter one share; gives how many are entered and needed.

        Raises:
            VaultNotInitialised: there is no root yet.
            VaultNotSealed: nothing is to be unsealed.
            RootOpensOtherwise: its root is in a token.
            ShareForeign: it is not of this vault's root.
        """
        root = self._demand_root()
        if root.kind == HSM:
            message = "the PIN of a token opens this vault, no shares"
            raise RootOpensOtherwise(message)
        if self._units is not None:
            message = "the vault is open"
            raise VaultNotSealed(message)
        if self._unsealing is None:
            self._unsealing = Unsealing(identifier=root.identifier, threshold=root.threshold)
        secret = self._unsealing.offer(share, keeper=keeper, now=now)
        if secret is None:
            return self._unsealing.progress(now=now), root.threshold
        wrapper = await root.opened_by(secret)
        if wrapper is None:
            message = "these shares are of another secret"
            raise ShareForeign(message, field="share")
        async with self._database.connection() as connection, self._changing:
            self._units = await load(connection, wrapper, {})
        self._unsealing = None
        return root.threshold, root.threshold

    async def unseal_by_pin(self, pin: str) -> None:
        """Log in to the root's token; also while open, where the token was away meanwhile.

        Raises:
            VaultNotInitialised: there is no root yet.
            RootOpensOtherwise: its root is in no token.
            HsmForeign: the token has another key of this id.
            VaultRefusal: as `Hsm.open_key`.
        """
        root = self._demand_root()
        if root.kind != HSM:
            message = "shares open this vault, no PIN"
            raise RootOpensOtherwise(message)
        wrapper = await open_in_hsm(self._hsm, root, pin=pin)
        if not await root.fits(wrapper):
            self._hsm.log_out(wrapper.key.place.serial)
            message = "the token has another key in the place of this vault's root"
            raise HsmForeign(message)
        async with self._database.connection() as connection, self._changing:
            self._units = await load(connection, wrapper, self._opened)

    def _demand_root(self) -> Root:
        """The root.

        Raises:
            VaultNotInitialised: there is none yet.
        """
        if self._root is None:
            message = "the vault has no root key yet"
            raise VaultNotInitialised(message)
        return self._root

    # ---- the root

    def prepare_root(self, *, shares: int, threshold: int, now: int, approval: int) -> Split:
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
        self._prepared = Prepared(
            MemoryRoot(key), SHARED, now, shares, threshold, made.identifier, approval
        )
        return made

    def prepare_development_root(self, *, now: int) -> None:
        """Make a root that will lie in a file.

        Raises:
            VaultSealed: there is a root, and it is not in memory.
        """
        self._demand_rotatable()
        self._prepared = Prepared(MemoryRoot(new_key()), DEVELOPMENT, now)

    async def prepare_hsm_root(self, uri: str, *, pin: str, now: int, approval: int) -> str:
        """Make a root in a token; gives the token's URI.

        Raises:
            VaultSealed: there is a root, and it is not in memory.
            VaultRefusal: as `Hsm.make_key`.
        """
        self._demand_rotatable()
        wrapper = await make_in_hsm(self._hsm, HsmUri.parse(uri), pin=pin)
        self._prepared = Prepared(wrapper, HSM, now, approval=approval)
        return str(wrapper.key.place)

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
            secret = None
            if prepared.kind == DEVELOPMENT and isinstance(prepared.wrapper, MemoryRoot):
                secret = prepared.wrapper.key.secret
                self._folder.write(NEXT_ROOT_FILE, secret)
            async with connection.transaction():
                root = await self._rewrap(connection, prepared, at)
                loaded = await load(connection, prepared.wrapper, {})
            before = self._root
            self._root, self._units, self._prepared = root, loaded, None
            if secret is not None:
                self._folder.write(ROOT_FILE, secret)
            else:
                self._folder.remove(ROOT_FILE)
            self._folder.remove(NEXT_ROOT_FILE)
            self._leave(before, root)

    def _leave(self, before: Root | None, root: Root) -> None:
        """Log out of the token of a root that is one no more."""
        former = HsmUri.parse(before.hsm).serial if before is not None and before.hsm else ""
        if former and former != (HsmUri.parse(root.hsm).serial if root.hsm else ""):
            self._hsm.log_out(former)

    async def _rewrap(self, connection: Connection, prepared: Prepared, at: datetime) -> Root:
        wrapper, units = prepared.wrapper, self._units
        await connection.execute(_SQL["retire_root"])
        added: dict[str, Any] = {
            "id": wrapper.id,
            "kind": prepared.kind,
            "threshold": prepared.threshold,
            "identifier": prepared.identifier,
            "proof": await prove(wrapper),
            "hsm": prepared.hsm,
            "approval": prepared.approval,
        }
        row = {**added, "shares": prepared.shares, "now": at}
        await connection.execute(_SQL["add_root"], row)
        held = [] if units is None else list(units.by_id.values())
        sealed = await wrapper.seal([(unit_place(unit.id), unit.secret) for unit in held])
        for unit, wrapped in zip(held, sealed, strict=True):
            changed = {"id": unit.id, "root": wrapper.id, "wrapped": wrapped}
            await connection.execute(_SQL["rewrap_unit_key"], changed)
        if units is None:
            for purpose in (PERSON, SEARCH):
                await add_unit(connection, wrapper, purpose=purpose, at=at)
        return Root(**added)

    # ---- unit keys

    async def rotate_unit(self, *, at: datetime) -> int:
        """Make a new unit key for everything that is wrapped from now on; gives its number."""
        return await self._rotate(PERSON, at=at)

    async def rotate_search(self, *, at: datetime) -> int:
        """Make a new key that values are hashed under for look-up; gives its number."""
        return await self._rotate(SEARCH, at=at)

    async def _rotate(self, purpose: str, *, at: datetime) -> int:
        async with self._database.connection() as connection, self._changing:
            units = self._demand_open()
            async with connection.transaction():
                # No card is hashed under the key of before by who has not seen the new one.
                await connection.execute(_SQL["lock_search_keys"])
                await connection.execute(_SQL["retire_unit_key"], {"purpose": purpose})
                number = await add_unit(connection, units.root, purpose=purpose, at=at)
                loaded = await load(connection, units.root, units.opened)
            self._units = loaded
            return number

    async def drop_search_keys(self) -> None:
        """Destroy the search keys that retire, if nothing is hashed under them any more."""
        async with self._database.connection() as connection, self._changing:
            units = self._demand_open()
            async with connection.transaction():
                await connection.execute(_SQL["drop_search_keys"])
                loaded = await load(connection, units.root, units.opened)
            self._units = loaded

    async def settled(self) -> None:
        """Wait until no change of keys is under way."""
        async with self._changing:
            return

    async def sweep(self, limit: int) -> tuple[int, int]:
        """Wrap up to `limit` keys anew; gives how many were moved, and how many are left.

        Every call is one transaction: killed at any moment, the next one goes on.
        """
        async with self._database.connection() as connection, self._changing:
            units = self._demand_open()
            if not units.retiring:
                return 0, 0
            async with connection.transaction():
                moved = await move(connection, units, "person", limit)
                moved += await move(connection, units, "card", limit - moved)
                left = await count_left(connection, units)
                if not left:
                    await connection.execute(_SQL["drop_unit_keys"])
                loaded = await load(connection, units.root, units.opened)
            self._units = loaded
            return moved, left

    async def count_left(self) -> int:
        """How many keys are still wrapped by retiring unit keys; 0 while sealed."""
        units = self._units
        if units is None or not units.retiring:
            return 0
        async with self._database.connection() as connection:
            return await count_left(connection, units)
