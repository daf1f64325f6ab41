"""Operators: the people who run the bank, what they hold, and for how long."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from scudo.governance import approvals
from scudo.identity.passkeys import Passkey
from scudo.kernel import SECOND_US

HOUR_US: Final = approvals.HOUR_US
MINUTE_US: Final = 60 * SECOND_US
#: A session ends after so long without a request, and after so long whatever happens.
IDLE_US: Final = 15 * MINUTE_US
SESSION_US: Final = 8 * HOUR_US
SESSIONS_MAX: Final = 5
INVITATION_US: Final = 72 * HOUR_US
PASSKEYS_NEEDED: Final = 2
PASSKEYS_MAX: Final = 8
ELEVATION_MAX_US: Final = 8 * HOUR_US
BREAK_GLASS_US: Final = 30 * MINUTE_US
#: So many elevations are remembered, the newest last.
ELEVATIONS_KEPT: Final = 4
#: How long after an act the acts that conflict with it are not done by the same person.
APART_US: Final = 72 * HOUR_US
#: What is done of one scope is written down again after so long.
USE_GRAIN_US: Final = HOUR_US


class Role(StrEnum):
    """What operators can be; `policies/roles.cedar` says what each may do."""

    VIEWER = "viewer"
    ANALYST = "analyst"
    INVESTIGATOR = "investigator"
    COMPLIANCE = "compliance"
    PAYMENTS_OPERATOR = "payments_operator"
    SECURITY_OFFICER = "security_officer"
    ENGINEER = "engineer"
    AUDITOR = "auditor"
    #: Held by breaking the glass only.
    BREAK_GLASS = "break_glass"


#: Scopes of which one person uses only one of each pair within `APART_US`: who moves money
#: does not change, or let others change, what controls it.
CONFLICTS: Final = tuple(
    (moving, controlling)
    for moving in ("payments:write", "payments:refund", "journals:write")
    for controlling in (
        "operators:write",
        "clients:write",
        "callbacks:write",
        "partners:write",
        "mandates:write",
        "approvals:decide",
    )
)
#: Roles that one person never holds together, whatever else they hold.
APART: Final = (
    frozenset({Role.PAYMENTS_OPERATOR, Role.SECURITY_OFFICER}),
    frozenset({Role.PAYMENTS_OPERATOR, Role.COMPLIANCE}),
    frozenset({Role.PAYMENTS_OPERATOR, Role.AUDITOR}),
    frozenset({Role.SECURITY_OFFICER, Role.AUDITOR}),
)


class Key(msgspec.Struct, frozen=True):
    """A passkey, and since when it is enrolled (microseconds)."""

    passkey: Passkey
    enrolled_at: int


class Grant(msgspec.Struct, frozen=True):
    """A role that somebody holds; approval 0: from the bank's beginning."""

    role: Role
    since: int
    approval: int


class Elevation(msgspec.Struct, frozen=True):
    """A role for a time. Its times are microseconds.

    Attributes:
        approval: 0 if the glass was broken.
        owed_to: the operators who wanted and approved it.
        is_ended: whether its end is in the log.
    """

    role: Role
    since: int
    until: int
    reason: str
    approval: int
    owed_to: tuple[int, ...] = ()
    is_ended: bool = False


class Session(msgspec.Struct, frozen=True):
    """A log-in that holds; of its token the SHA-256 is kept."""

    number: int
    token_hash: bytes
    began_at: int
    expires_at: int
    network: int | None


class Invitation(msgspec.Struct, frozen=True):
    """Lets one person enrol a first passkey; of its token the SHA-256 is kept."""

    token_hash: bytes
    expires_at: int


class Operator(msgspec.Struct, frozen=True):
    """Somebody who runs the bank. Times are microseconds; 0: not yet, never.

    Attributes:
        handle: a code that colleagues know the person by; no name, no address.
        invited_by: 0: enrolled when the bank had no operator; a founder.
        used: when something of each scope was last done, to `USE_GRAIN_US`.
    """

    handle: str
    invited_by: int
    invited_at: int
    enrolled_at: int = 0
    is_suspended: bool = False
    keys: tuple[Key, ...] = ()
    grants: tuple[Grant, ...] = ()
    elevations: tuple[Elevation, ...] = ()
    sessions: tuple[Session, ...] = ()
    invitation: Invitation | None = None
    recovered_at: int = 0
    recovered_by: int = 0
    logged_in_at: int = 0
    used: dict[str, int] = {}

    def held(self) -> frozenset[Role]:
        """The roles that it has for good."""
        return frozenset(grant.role for grant in self.grants)

    def roles(self, now: int) -> frozenset[Role]:
        """The roles that it has now, those of an elevation included."""
        return self.held() | {e.role for e in self.elevations if e.until > now}

    def is_elevated(self, now: int) -> bool:
        """Whether an elevation holds now."""
        return any(elevation.until > now for elevation in self.elevations)

    def lapsed(self, now: int) -> frozenset[Role]:
        """The roles of the elevations that it had lately."""
        return frozenset(e.role for e in self.elevations if e.until <= now)

    @property
    def is_founder(self) -> bool:
        """Whether it is one of those that the bank began with."""
        return self.invited_by == 0


class Verdict(StrEnum):
    """What a reviewer says of somebody's role."""

    OPEN = "open"
    CONFIRM = "confirm"
    DROP = "drop"


class Line(msgspec.Struct, frozen=True):
    """Who holds what: to be confirmed or dropped."""

    operator: int
    role: Role
    since: int
    last_used_at: int
    verdict: Verdict = Verdict.OPEN
    by: int = 0


class Review(msgspec.Struct, frozen=True):
    """A look at who holds what, by one who does not hold it. Times are microseconds."""

    opened_by: int
    opened_at: int
    due_at: int
    cause: str
    lines: tuple[Line, ...]
    is_escalated: bool = False

    @property
    def is_open(self) -> bool:
        """Whether something has no answer yet."""
        return any(line.verdict is Verdict.OPEN for line in self.lines)


class Seal(msgspec.Struct, frozen=True):
    """The secret that breaks the glass, sealed in shares; its SHA-256 is kept.

    Attributes:
        failures: wrong openings since it was sealed.
    """

    digest: bytes
    threshold: int
    shares: int
    sealed_at: int
    opened_at: int = 0
    opened_by: int = 0
    failures: int = 0


def roles_apart(roles: Iterable[Role]) -> bool:
    """Whether no two of these roles must be held by different people."""
    held = frozenset(roles)
    return not any(pair <= held for pair in APART)


def conflicting_use(used: dict[str, int], scope: str, now: int) -> str | None:
    """The scope, if any, that somebody used too short a while ago to use this one now."""
    for pair in CONFLICTS:
        if scope in pair:
            other = pair[1] if pair[0] == scope else pair[0]
            if other in used and now - used[other] < APART_US:
                return other
    return None
