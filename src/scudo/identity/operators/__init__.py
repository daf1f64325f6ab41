"""Operators: the people who run the bank, by passkeys, roles and second persons."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from scudo.fabric import Command, Keeper
from scudo.governance import Gates, approvals
from scudo.identity.operators import approving, errors, events, overseeing, routes
from scudo.identity.operators.breaking import (
    SHARES_MAX,
    THRESHOLD_MIN,
    Glass,
    OpenBreakGlass,
    SealBreakGlass,
    digest_of_shares,
    make_shares,
)
from scudo.identity.operators.ceremonies import Challenges, Throttle
from scudo.identity.operators.commands import (
    Desk,
    EndSession,
    EnrolFirst,
    EnrolPasskey,
    InvitationBody,
    InviteOperator,
    LogIn,
    NoteUse,
    RecoverOperator,
    SuspendOperator,
    TellRefused,
)
from scudo.identity.operators.edge import Edge
from scudo.identity.operators.kinds import operator_kinds
from scudo.identity.operators.model import APART, CONFLICTS, Operator, Role, Verdict
from scudo.identity.operators.permissions import (
    CORNERS,
    Act,
    Circumstances,
    Permissions,
    Rule,
    shipped_limits,
    shipped_policies,
)
from scudo.identity.operators.reviews import AnswerReview, OpenReview, Reviews
from scudo.identity.operators.staff import Staff, acts_of_kinds, assertion_of, every_role
from scudo.identity.operators.wire import new_token
from scudo.identity.passkeys import RelyingParty

#: Named here because a member of `Authority` is called as the module is.
OwnersWays: TypeAlias = approvals.OwnersWays
Uses: TypeAlias = approvals.Uses


@dataclass(frozen=True, slots=True)
class Authority:
    """The operators of a bank, and the approvals that they give: and the keepers on one staff.

    Attributes:
        approvals: rooms add their kinds to it.
    """

    staff: Staff
    approvals: approvals.Approvals
    desk: Desk
    glass: Glass
    reviews: Reviews
    ways: OwnersWays
    uses: Uses

    @property
    def keepers(self) -> tuple[Keeper, ...]:
        """What the writer works with."""
        return (self.desk, self.approvals, self.ways, self.uses, self.glass, self.reviews)

    def due(self, now: int) -> Iterable[Command]:
        """What time has made due (microseconds): it ended by itself, and is to be told."""
        for keeper in (self.desk, self.approvals, self.ways, self.reviews):
            command = keeper.due(now)
            if command is not None:
                yield command

    def know_kinds(self) -> None:
        """Have compiled what roles may propose and approve, once all kinds are added."""
        acts = tuple(acts_of_kinds(self.approvals.kinds))
        self.staff.permissions.compile_later(every_role(), acts)


def make_authority(
    *,
    party: RelyingParty,
    gates: Gates,
    permissions: Permissions | None = None,
    kinds: Iterable[approvals.ApprovalKind[Any]] = (),
) -> Authority:
    """Put the operators of a bank together, with the kinds of change of this room and others.

    Args:
        party: whom their passkeys are made for.
        gates: decide whether who approves may pass.
        permissions: what roles may; by the shipped policies by default.
        kinds: of changes of other rooms.
    """
    staff = Staff(permissions=permissions or Permissions(), party=party)
    approved = approvals.Approvals(people=staff, gates=gates)
    approved.add(*operator_kinds(staff), *kinds)
    reviews, uses = Reviews(staff), Uses(approved)
    authority = Authority(
        staff,
        approved,
        Desk(staff),
        Glass(staff, report=reviews.report),
        reviews,
        OwnersWays(approved, uses),
        uses,
    )
    authority.know_kinds()
    return authority


__all__ = [
    "APART",
    "CONFLICTS",
    "CORNERS",
    "SHARES_MAX",
    "THRESHOLD_MIN",
    "Act",
    "AnswerReview",
    "Authority",
    "Challenges",
    "Circumstances",
    "Edge",
    "EndSession",
    "EnrolFirst",
    "EnrolPasskey",
    "InvitationBody",
    "InviteOperator",
    "LogIn",
    "NoteUse",
    "OpenBreakGlass",
    "OpenReview",
    "Operator",
    "Permissions",
    "RecoverOperator",
    "RelyingParty",
    "Reviews",
    "Role",
    "Rule",
    "SealBreakGlass",
    "SuspendOperator",
    "TellRefused",
    "Throttle",
    "Verdict",
    "approving",
    "assertion_of",
    "digest_of_shares",
    "errors",
    "events",
    "every_role",
    "make_authority",
    "make_shares",
    "new_token",
    "overseeing",
    "routes",
    "shipped_limits",
    "shipped_policies",
]
