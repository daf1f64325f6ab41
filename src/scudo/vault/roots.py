"""The root of a vault: what wraps unit keys, whether its bytes are here or in a token.

Whoever has the unit keys in memory needs the root for new ones only. So a token that goes away
takes nothing from anybody until then.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias, TypeVar

from scudo.vault.errors import CiphertextBroken, HsmAway
from scudo.vault.hsm import Hsm, HsmKey, HsmUri
from scudo.vault.keys import Key, Place, new_key, open_by, open_sealed, seal, seal_by

A = TypeVar("A")

SHARED: Final = "shared"
DEVELOPMENT: Final = "development"
HSM: Final = "hsm"
_PROOF: Final = b"this is the root"
#: A token beyond a network may not answer at all.
_HSM_WAITS_S: Final = 10.0

#: Texts, or ciphertexts, and where they belong.
Placed: TypeAlias = Sequence[tuple[Place, bytes]]


class Wrapper(Protocol):
    """A root that wraps and opens."""

    @property
    def id(self) -> bytes:
        """Its id."""

    async def seal(self, texts: Placed) -> list[bytes]:
        """Wrap.

        Raises:
            HsmAway: it cannot now.
        """

    async def open(self, sealed: Placed) -> list[bytes]:
        """Open.

        Raises:
            CiphertextBroken: it was changed, moved, or wrapped by another root.
            HsmAway: it cannot now.
        """


@dataclass(frozen=True, slots=True, repr=False)
class MemoryRoot:
    """A root whose bytes are in memory."""

    key: Key

    @property
    def id(self) -> bytes:
        """Its id."""
        return self.key.id

    async def seal(self, texts: Placed) -> list[bytes]:
        """Wrap."""
        return [seal(self.key, place, text) for place, text in texts]

    async def open(self, sealed: Placed) -> list[bytes]:
        """Open."""
        return [open_sealed(self.key, place, one) for place, one in sealed]


@dataclass(frozen=True, slots=True, repr=False)
class HsmRoot:
    """A root that is a key of a token, which is asked in a thread of its own."""

    key: HsmKey

    @property
    def id(self) -> bytes:
        """Its id."""
        return self.key.id

    async def seal(self, texts: Placed) -> list[bytes]:
        """Wrap in the token."""
        return await _patiently(
            lambda: [seal_by(self.key, self.id, place, text) for place, text in texts]
        )

    async def open(self, sealed: Placed) -> list[bytes]:
        """Open in the token."""
        return await _patiently(
            lambda: [open_by(self.key, self.id, place, one) for place, one in sealed]
        )


async def make_in_hsm(hsm: Hsm, uri: HsmUri, *, pin: str) -> HsmRoot:
    """Make a root in a token. One that is never used stays there, and wraps nothing.

    Raises:
        VaultRefusal: as `Hsm.make_key`.
    """
    key = new_key().id
    return HsmRoot(await _patiently(lambda: hsm.make_key(uri, key, pin=pin)))


async def open_in_hsm(hsm: Hsm, root: "Root", *, pin: str) -> HsmRoot:
    """Log in to the token of a root, which is still to be proven.

    Raises:
        VaultRefusal: as `Hsm.open_key`.
    """
    uri = HsmUri.parse(root.hsm or "")
    return HsmRoot(await _patiently(lambda: hsm.open_key(uri, root.id, pin=pin)))


async def _patiently(work: Callable[[], A]) -> A:
    try:
        async with asyncio.timeout(_HSM_WAITS_S):
            return await asyncio.to_thread(work)
    except TimeoutError:
        message = "the token does not answer"
        raise HsmAway(message) from None


@dataclass(frozen=True, slots=True)
class Root:
    """The active root as the database knows it.

    Attributes:
        hsm: URI of its token; none if it is in none.
        approval: number of the one by which it took the place of another; 0: none.
    """

    id: bytes
    kind: str
    threshold: int
    identifier: int
    proof: bytes
    hsm: str | None = None
    approval: int = 0

    async def fits(self, wrapper: Wrapper) -> bool:
        """Whether this is the root.

        Raises:
            HsmAway: its token does not answer.
        """
        try:
            (text,) = await wrapper.open([(proof_place(self.id), self.proof)])
        except CiphertextBroken:
            return False
        return text == _PROOF

    async def opened_by(self, secret: bytes) -> MemoryRoot | None:
        """The root of a secret, if it is the one of this root."""
        try:
            found = MemoryRoot(Key(self.id, secret))
            return found if await self.fits(found) else None
        except ValueError:
            # No key is that long.
            return None


async def prove(wrapper: Wrapper) -> bytes:
    """What opens under this root only."""
    (proof,) = await wrapper.seal([(proof_place(wrapper.id), _PROOF)])
    return proof


@dataclass(frozen=True, slots=True, repr=False)
class Prepared:
    """A root that is not yet in use, and its shares; none in development mode or in a token.

    Attributes:
        at: monotonic clock, microseconds.
        approval: as of a root.
    """

    wrapper: MemoryRoot | HsmRoot
    kind: str
    at: int
    shares: int = 0
    threshold: int = 0
    identifier: int = 0
    approval: int = 0

    @property
    def hsm(self) -> str | None:
        """URI of its token."""
        return str(self.wrapper.key.place) if isinstance(self.wrapper, HsmRoot) else None


def unit_place(unit: bytes) -> Place:
    """Where a wrapped unit key belongs."""
    return Place("unit_key", "wrapped", 0, unit)


def proof_place(root: bytes) -> Place:
    """Where the proof of a root belongs."""
    return Place("root", "proof", 0, root)


def person_key_place(person: int, key_id: bytes) -> Place:
    """Where the wrapped key of a person belongs."""
    return Place("person_key", "wrapped", person, key_id)


def card_key_place(key_id: bytes) -> Place:
    """Where the wrapped key of a card belongs."""
    return Place("card", "wrapped", 0, key_id)
