"""What happens to operators, as the log tells it."""

from typing import ClassVar

from scudo.fabric import Event
from scudo.kernel import ids


class OperatorInvited(Event, frozen=True, tag=130):
    """Somebody may enrol as an operator; `by` 0: the bank had none."""

    name: ClassVar[str] = "identity.operator.invited.v1"

    operator: ids.OperatorId
    by: ids.OperatorId


class PasskeyEnrolled(Event, frozen=True, tag=131):
    """An operator has one passkey more; `count` with it."""

    name: ClassVar[str] = "identity.operator.passkey_enrolled.v1"

    operator: ids.OperatorId
    count: int


class OperatorLoggedIn(Event, frozen=True, tag=132):
    """An operator logged in by a passkey."""

    name: ClassVar[str] = "identity.operator.logged_in.v1"

    operator: ids.OperatorId
    session: ids.SessionId
    expires_at: int
    network: ids.NetworkToken | None


class OperatorSessionEnded(Event, frozen=True, tag=133):
    """A session ended before its time."""

    name: ClassVar[str] = "identity.operator.session_ended.v1"

    operator: ids.OperatorId
    session: ids.SessionId
    by: ids.OperatorId


class OperatorSuspended(Event, frozen=True, tag=134):
    """An operator may do nothing any more; every session has ended."""

    name: ClassVar[str] = "identity.operator.suspended.v1"

    operator: ids.OperatorId
    by: ids.OperatorId
    reason: str


class OperatorReinstated(Event, frozen=True, tag=135):
    """An operator who was suspended may log in again."""

    name: ClassVar[str] = "identity.operator.reinstated.v1"

    operator: ids.OperatorId
    approval: ids.ApprovalId


class OperatorRecovered(Event, frozen=True, tag=136):
    """An operator's access begins anew: without passkeys, roles and sessions."""

    name: ClassVar[str] = "identity.operator.recovered.v1"

    operator: ids.OperatorId
    by: ids.OperatorId
    reason: str
    severity: str


class RoleGranted(Event, frozen=True, tag=137):
    """An operator holds a role; approval 0: from the bank's beginning."""

    name: ClassVar[str] = "identity.operator.role_granted.v1"

    operator: ids.OperatorId
    role: str
    approval: ids.ApprovalId


class RoleDropped(Event, frozen=True, tag=138):
    """An operator holds a role no more.

    Attributes:
        cause: id of the approval or review.
    """

    name: ClassVar[str] = "identity.operator.role_dropped.v1"

    operator: ids.OperatorId
    role: str
    cause: str


class ElevationBegun(Event, frozen=True, tag=139):
    """An operator has a role for a time."""

    name: ClassVar[str] = "identity.operator.elevation_begun.v1"

    operator: ids.OperatorId
    role: str
    until: int
    reason: str
    approval: ids.ApprovalId


class ElevationLapsed(Event, frozen=True, tag=140):
    """An elevation is over."""

    name: ClassVar[str] = "identity.operator.elevation_lapsed.v1"

    operator: ids.OperatorId
    role: str


class OperatorRefused(Event, frozen=True, tag=141):
    """An operator tried what they may not.

    Attributes:
        act: name of the HTTP operation or command.
        code: of the refusal.
        severity: `page` wakes somebody.
    """

    name: ClassVar[str] = "identity.operator.refused.v1"

    operator: ids.OperatorId
    act: str
    code: str
    severity: str


class BreakGlassSealed(Event, frozen=True, tag=142):
    """A secret that breaks the glass was made, in shares."""

    name: ClassVar[str] = "identity.break_glass.sealed.v1"

    record: int
    threshold: int
    shares: int


class BreakGlassOpened(Event, frozen=True, tag=143):
    """Shares were put together: one operator keeps the bank going for a while."""

    name: ClassVar[str] = "identity.break_glass.opened.v1"

    operator: ids.OperatorId
    until: int
    reason: str
    severity: str


class BreakGlassRefused(Event, frozen=True, tag=144):
    """Somebody entered wrong shares; `failures` since they were made."""

    name: ClassVar[str] = "identity.break_glass.refused.v1"

    operator: ids.OperatorId
    code: str
    failures: int
    severity: str


class ReviewOpened(Event, frozen=True, tag=145):
    """Who holds what is to be looked at."""

    name: ClassVar[str] = "identity.access_review.opened.v1"

    review: int
    by: ids.OperatorId
    cause: str
    due_at: int
    lines: int


class ReviewAnswered(Event, frozen=True, tag=146):
    """A reviewer confirmed or dropped a role."""

    name: ClassVar[str] = "identity.access_review.answered.v1"

    review: int
    operator: ids.OperatorId
    role: str
    verdict: str
    by: ids.OperatorId


class ReviewOverdue(Event, frozen=True, tag=147):
    """A review was not finished in time."""

    name: ClassVar[str] = "identity.access_review.overdue.v1"

    review: int
    missing: int
    severity: str


class ScopeUsed(Event, frozen=True, tag=148):
    """An operator did something of a scope; told once an hour."""

    name: ClassVar[str] = "identity.operator.scope_used.v1"

    operator: ids.OperatorId
    scope: str
