"""The kinds of change of operators that need a second person."""

from typing import Annotated, Any, Final

import msgspec

from scudo.fabric import Entry, web
from scudo.governance import approvals
from scudo.identity.operators import events
from scudo.identity.operators.errors import (
    DutiesConflict,
    OperatorStateConflict,
    RoleHeld,
    RoleUnknown,
)
from scudo.identity.operators.model import (
    ELEVATION_MAX_US,
    ELEVATIONS_KEPT,
    HOUR_US,
    MINUTE_US,
    Elevation,
    Grant,
    Operator,
    Role,
    roles_apart,
)
from scudo.identity.operators.staff import Staff
from scudo.kernel import Prefix, ids

OperatorIdText = Annotated[str, web.id_text(Prefix.OPERATOR)]
_MINUTES_MAX: Final = ELEVATION_MAX_US // MINUTE_US


class RoleChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A role that an operator gets or loses."""

    operator_id: OperatorIdText
    role: Role


class ElevationChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A role that an operator has for some minutes, from the approval on."""

    operator_id: OperatorIdText
    role: Role
    minutes: Annotated[int, msgspec.Meta(ge=5, le=_MINUTES_MAX)]


class OperatorChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An operator whom something happens to."""

    operator_id: OperatorIdText


def operator_of(change: RoleChange | ElevationChange | OperatorChange) -> int:
    """Number of the operator whom a change is for."""
    return ids.parse(Prefix.OPERATOR, change.operator_id, field="change.operator_id")


def operator_kinds(staff: Staff) -> tuple[approvals.ApprovalKind[Any], ...]:
    """The kinds of this room."""
    roles, elevations = _Roles(staff), _Elevations(staff)
    reinstatements = _Reinstatements(staff)
    return (
        approvals.ApprovalKind(
            name="grant_role",
            change=RoleChange,
            describe=roles.describe_grant,
            demand=roles.demand_grant,
            execute=roles.grant,
            subject=operator_of,
        ),
        approvals.ApprovalKind(
            name="drop_role",
            change=RoleChange,
            describe=roles.describe_drop,
            demand=roles.demand_drop,
            execute=roles.drop,
            emergency_us=HOUR_US,
        ),
        approvals.ApprovalKind(
            name="elevation",
            change=ElevationChange,
            describe=elevations.describe,
            demand=elevations.demand,
            execute=elevations.begin,
            subject=operator_of,
            may_ask_for_self=True,
            lives_us=4 * HOUR_US,
            emergency_us=HOUR_US // 2,
        ),
        approvals.ApprovalKind(
            name="reinstate_operator",
            change=OperatorChange,
            describe=reinstatements.describe,
            demand=reinstatements.demand,
            execute=reinstatements.reinstate,
            subject=operator_of,
            emergency_us=HOUR_US,
        ),
    )


def demand_grantable(operator: Operator, role: Role) -> None:
    """Refuse a role that nobody is given, or not this operator.

    Raises:
        RoleUnknown: if it is held by breaking the glass only.
        OperatorStateConflict: if the operator is not enrolled, or is suspended.
        DutiesConflict: if another role that the operator holds must be another person's.
    """
    if role is Role.BREAK_GLASS:
        message = "this role is held by breaking the glass only"
        raise RoleUnknown(message, field="change.role")
    if operator.is_suspended or not operator.keys:
        message = "this operator has no passkey, or is suspended"
        raise OperatorStateConflict(message)
    if not roles_apart(operator.held() | {role}):
        message = f"one person is not {role} and {', '.join(sorted(operator.held()))}"
        raise DutiesConflict(message, field="change.role")


class _Roles:
    def __init__(self, staff: Staff) -> None:
        self._staff = staff

    def describe_grant(self, change: RoleChange) -> approvals.Description:
        return self._describe(change, "gets", lambda held: held | {change.role})

    def describe_drop(self, change: RoleChange) -> approvals.Description:
        return self._describe(change, "loses", lambda held: held - {change.role})

    def _describe(self, change: RoleChange, verb: str, after: Any) -> approvals.Description:  # noqa: ANN401 - a function of sets
        operator = self._staff.find(operator_of(change))
        held = operator.held()
        diff: dict[str, tuple[Any, Any]] = {"roles": (sorted(held), sorted(after(held)))}
        return approvals.Description(diff, f"{operator.handle} {verb} the role {change.role}")

    def demand_grant(self, change: RoleChange, now: int) -> None:
        del now
        operator = self._staff.find(operator_of(change))
        demand_grantable(operator, change.role)
        if change.role in operator.held():
            message = "this operator has the role"
            raise RoleHeld(message, field="change.role")

    def grant(self, change: RoleChange, entry: Entry, decided: approvals.Decided) -> None:
        number = operator_of(change)
        entry.emit(events.RoleGranted(number, change.role, decided.approval))
        grants = self._staff.find(number).grants
        grant = Grant(change.role, decided.now, decided.approval)
        self._staff.change(entry, number, grants=(*grants, grant))

    def demand_drop(self, change: RoleChange, now: int) -> None:
        del now
        if change.role not in self._staff.find(operator_of(change)).held():
            message = "this operator does not have the role"
            raise RoleHeld(message, field="change.role")

    def drop(self, change: RoleChange, entry: Entry, decided: approvals.Decided) -> None:
        cause = ids.show(Prefix.APPROVAL, decided.approval)
        drop_role(self._staff, entry, operator_of(change), change.role, cause)


def drop_role(staff: Staff, entry: Entry, number: int, role: Role, cause: str) -> None:
    """Take a role from an operator."""
    entry.emit(events.RoleDropped(number, role, cause))
    grants = tuple(grant for grant in staff.find(number).grants if grant.role != role)
    staff.change(entry, number, grants=grants)


class _Elevations:
    def __init__(self, staff: Staff) -> None:
        self._staff = staff

    def describe(self, change: ElevationChange) -> approvals.Description:
        handle = self._staff.find(operator_of(change)).handle
        return approvals.Description(
            {"elevation": (None, {"role": change.role, "minutes": change.minutes})},
            f"{handle} has the role {change.role} for {change.minutes} minutes",
        )

    def demand(self, change: ElevationChange, now: int) -> None:
        operator = self._staff.find(operator_of(change))
        demand_grantable(operator, change.role)
        if any(e.role is change.role and e.until > now for e in operator.elevations):
            message = "this operator is elevated to this role"
            raise RoleHeld(message, field="change.role")

    def begin(self, change: ElevationChange, entry: Entry, decided: approvals.Decided) -> None:
        number = operator_of(change)
        elevation = Elevation(
            change.role,
            decided.now,
            decided.now + change.minutes * MINUTE_US,
            decided.reason,
            decided.approval,
            # Who asked for it owes nothing to themselves.
            tuple({decided.proposer, decided.approver} - {number}),
        )
        elevate(self._staff, entry, number, elevation)


def elevate(staff: Staff, entry: Entry, number: int, elevation: Elevation) -> None:
    """Give an operator a role for a time."""
    entry.emit(
        events.ElevationBegun(
            number, elevation.role, elevation.until, elevation.reason, elevation.approval
        )
    )
    kept = staff.find(number).elevations[1 - ELEVATIONS_KEPT :]
    staff.change(entry, number, elevations=(*kept, elevation))


class _Reinstatements:
    def __init__(self, staff: Staff) -> None:
        self._staff = staff

    def describe(self, change: OperatorChange) -> approvals.Description:
        operator = self._staff.find(operator_of(change))
        return approvals.Description(
            {"is_suspended": (operator.is_suspended, False)},
            f"{operator.handle} may log in again, with the roles that it has",
        )

    def demand(self, change: OperatorChange, now: int) -> None:
        del now
        if not self._staff.find(operator_of(change)).is_suspended:
            message = "this operator is not suspended"
            raise OperatorStateConflict(message)

    def reinstate(self, change: OperatorChange, entry: Entry, decided: approvals.Decided) -> None:
        number = operator_of(change)
        entry.emit(events.OperatorReinstated(number, decided.approval))
        self._staff.change(entry, number, is_suspended=False)
