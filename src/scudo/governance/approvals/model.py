"""Values of approvals: what is proposed, by whom, and who stands behind it."""

import hashlib
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from scudo.fabric import Entry
from scudo.kernel import SECOND_US, Refusal

HOUR_US: Final = 3_600 * SECOND_US
#: For so long after it was given, access counts for no approval.
RIPENING_US: Final = 72 * HOUR_US
_CHALLENGE: Final = struct.Struct(">QQ32s")
_canonical: Final = msgspec.json.Encoder(order="deterministic").encode

C = TypeVar("C", bound=msgspec.Struct)


class State(StrEnum):
    """Where an approval stands; it ends once."""

    PENDING = "pending"
    DONE = "done"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class Severity(StrEnum):
    """Who must know of an event: nobody at once, the room's owners, or whoever is on call."""

    NOTICE = "notice"
    WARNING = "warning"
    PAGE = "page"


class Signature(msgspec.Struct, frozen=True):
    """An approver's passkey over the challenge: all that verifies it but the public key.

    Attributes:
        credential: id of the passkey; the operator's record has its public key.
        authenticator_data, client_data, signature: as the authenticator gave them.
    """

    credential: bytes
    authenticator_data: bytes
    client_data: bytes
    signature: bytes


class Approval(msgspec.Struct, frozen=True):
    """A proposal and what became of it.

    Attributes:
        document: canonical JSON: kind, change, diff, effect, proposer, reason. What is
            approved is its SHA-256.
        ended_by: approver, or who rejected or withdrew it; 0: nobody.
        ended_at: microseconds; 0 while it is pending.
    """

    kind: str
    proposer: int
    proposed_at: int
    expires_at: int
    document: str
    reason: str
    is_emergency: bool = False
    state: State = State.PENDING
    ended_by: int = 0
    ended_at: int = 0
    ended_reason: str = ""
    signature: Signature | None = None

    @property
    def hash(self) -> bytes:
        """What stands for the whole proposal."""
        return hashlib.sha256(self.document.encode()).digest()


class Description(msgspec.Struct, frozen=True):
    """What a change does, as both people see it.

    Attributes:
        diff: member of the thing that is changed: before, after. A function of what is stored;
            it says nothing that the passing of time changes.
        effect: one sentence.
    """

    diff: dict[str, tuple[Any, Any]]
    effect: str


@dataclass(frozen=True, slots=True)
class Decided:
    """Under which approval a change is carried out, by whom it was wanted, and why."""

    approval: int
    proposer: int
    approver: int
    reason: str
    now: int


def _for_nobody(change: Any) -> int | None:  # noqa: ANN401 - any change
    del change
    return None


def _nothing(change: Any) -> Iterable[int]:  # noqa: ANN401 - any change
    del change
    return ()


def _sparing(change: Any, address: str) -> None:  # noqa: ANN401 - any change
    del change, address


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalKind(Generic[C]):
    """One kind of change that needs a second person. To add a kind is to make one of these.

    Attributes:
        name: `verb_noun`, for ever. The policies say who may `propose_…` and `approve_…` it.
        change: a frozen struct that forbids unknown members.
        describe: says what the change does to what is stored now.
        demand: refuses what cannot be done at a time (microseconds).
        execute: does it inside the approving command's entry; once.
        refusals: what it may be refused with beside `ChangeInvalid`.
        spare: refuses what would shut out who proposes or approves it, by their address. It is
            asked where they come in: addresses are in no command.
        concerns: numbers of the payments that it looks at, so that memory holds them.
        has_owners_way: whether a client with the scope does it alone until two people could.
        subject: the operator whom it is for, who neither proposes nor approves it.
        may_ask_for_self: whether the subject may propose it, and leave it to others.
        lives_us: a proposal may wait for so long.
        emergency_us: the same for an emergency, which pages the owner; None: there is none.
            It waives nothing else.
    """

    name: str
    change: type[C]
    describe: Callable[[C], Description]
    demand: Callable[[C, int], None]
    execute: Callable[[C, Entry, Decided], None]
    refusals: tuple[type[Refusal], ...] = ()
    spare: Callable[[C, str], None] = _sparing
    concerns: Callable[[C], Iterable[int]] = _nothing
    has_owners_way: bool = False
    subject: Callable[[C], int | None] = _for_nobody
    may_ask_for_self: bool = False
    lives_us: int = 24 * HOUR_US
    emergency_us: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What an approver's access rests on.

    Attributes:
        changes: what was done to it, and when (microseconds).
        owed_to: the operators who did it.
    """

    changes: tuple[tuple[str, int], ...]
    owed_to: frozenset[int]


class People(Protocol):
    """What approvals ask about people; the identity room answers."""

    def demand(self, person: int, act: str, *, now: int) -> None:
        """Refuse unless somebody may do an act now."""

    def could_decide(self, kind: str) -> bool:
        """Whether there are two people of whom one may propose a kind and the other approve it."""

    def standing(self, person: int, credential: bytes) -> Standing:
        """Say what a person's access by a passkey rests on."""

    def verify(self, entry: Entry, person: int, *, challenge: bytes, signature: Signature) -> None:
        """Refuse unless a person's passkey has signed a challenge; its counter moves on."""


def canonical(thing: object) -> str:
    """Write a thing as JSON in one way only: members sorted, no spaces."""
    return _canonical(thing).decode()


def challenge_of(approval: int, approver: int, digest: bytes) -> bytes:
    """What a passkey signs: this proposal, approved by this person, and nothing else."""
    bound = _CHALLENGE.pack(approval, approver, digest)
    return hashlib.sha256(b"scudo approval v1\x00" + bound).digest()
