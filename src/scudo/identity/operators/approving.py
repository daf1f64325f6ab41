"""HTTP operations of approvals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec

from scudo.fabric import web
from scudo.governance import GateShut, approvals
from scudo.identity.operators.errors import (
    DutiesConflict,
    OperatorNotFound,
    OperatorStateConflict,
    RoleHeld,
    RoleUnknown,
)
from scudo.identity.operators.kinds import OperatorIdText
from scudo.identity.operators.staff import Staff
from scudo.identity.operators.wire import (
    Ceremony,
    GivenAnswer,
    OperatorReason,
    Reason,
    reason_of,
    show_operator,
)
from scudo.identity.passkeys import AssertionInvalid, authentication_options, read_assertion
from scudo.kernel import Prefix, Refusal, ids, rfc3339

_TAG: Final = "approvals"
_CURSOR: Final = "a"
_errors: Final = approvals.errors

ApprovalIdText = Annotated[str, web.id_text(Prefix.APPROVAL)]
KindName = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z_]{1,47}$", max_length=48)]
StateText = Annotated[
    str, msgspec.Meta(pattern="^(pending|done|rejected|withdrawn|expired)$", max_length=16)
]
StateName = Literal["pending", "done", "rejected", "withdrawn", "expired"]


class NewProposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change that needs a second person; what `change` consists of depends on the kind."""

    kind: KindName
    change: dict[str, Any]
    reason: Reason
    is_emergency: bool = False


class ApprovalQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which approvals."""

    state: StateText | None = None
    cursor: web.CursorText | None = None
    limit: web.PageLimit = 50


class ApprovalView(msgspec.Struct, frozen=True):
    """An approval: `document` is the exact text whose SHA-256 is approved."""

    id: ApprovalIdText
    kind: str
    state: StateName
    document: str
    hash: str
    proposer_id: OperatorIdText
    proposed_at: str
    expires_at: str
    reason: str
    is_emergency: bool
    ended_by: OperatorIdText | None
    ended_at: str | None


class ApprovalPage(msgspec.Struct, frozen=True):
    """Approvals, newest first."""

    items: tuple[ApprovalView, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class _Desk:
    submit: web.Submit
    approved: approvals.Approvals
    staff: Staff

    # ---- approvals

    async def propose(self, call: web.Call) -> web.Reply:
        body: NewProposal = call.body
        change = approvals.canonical(body.change).encode()
        self.approved.spare(body.kind, change, call.arrival.network)
        command = approvals.Propose(
            call.client.id, body.kind, change, reason_of(call), body.is_emergency
        )
        return await web.submitted(self.submit, command, call)

    async def list_approvals(self, call: web.Call) -> web.Reply:
        query: ApprovalQuery = call.query
        before = ids.ID_MAX
        if query.cursor is not None:
            (before,) = web.decode_cursor(_CURSOR, query.cursor, count=1)
        found = sorted(
            (
                (number, approval)
                for number, approval in self.approved.register.items()
                if number < before and query.state in {None, approval.state}
            ),
            reverse=True,
        )[: query.limit]
        more = None
        if len(found) == query.limit:
            more = web.encode_cursor(_CURSOR, found[-1][0])
        return web.Reply(200, ApprovalPage(tuple(_view(n, a) for n, a in found), more))

    async def get_approval(self, call: web.Call) -> web.Reply:
        number, approval = self._find(call)
        return web.Reply(200, _view(number, approval))

    def _find(self, call: web.Call) -> tuple[int, approvals.Approval]:
        number = ids.parse(Prefix.APPROVAL, call.path["approval_id"], field="approval_id")
        approval = self.approved.register.get(number)
        if approval is None:
            message = "there is no such approval"
            raise _errors.ApprovalNotFound(message, field="approval_id")
        return number, approval

    async def begin_approval(self, call: web.Call) -> web.Reply:
        """Say what to sign: this approval's hash, bound to it and to who asks."""
        number, approval = self._find(call)
        challenge = approvals.challenge_of(number, call.client.id, approval.hash)
        allowed = [key.passkey for key in self.staff.find(call.client.id).keys]
        options = authentication_options(self.staff.party, challenge=challenge, allowed=allowed)
        return web.Reply(200, Ceremony(get=dict(options)))

    async def approve(self, call: web.Call) -> web.Reply:
        number = ids.parse(Prefix.APPROVAL, call.path["approval_id"], field="approval_id")
        approval = self.approved.register.get(number)
        if approval is not None:
            change = approvals.proposed_change(approval)
            self.approved.spare(approval.kind, change, call.arrival.network)
        read = read_assertion(call.body.credential)
        signature = approvals.Signature(
            read.credential, read.authenticator_data, read.client_data, read.signature
        )
        command = approvals.Approve(call.client.id, number, signature)
        return await web.submitted(self.submit, command, call)

    async def reject(self, call: web.Call) -> web.Reply:
        number = ids.parse(Prefix.APPROVAL, call.path["approval_id"], field="approval_id")
        command = approvals.Reject(call.client.id, number, reason_of(call))
        return await web.submitted(self.submit, command, call)

    async def withdraw(self, call: web.Call) -> web.Reply:
        number = ids.parse(Prefix.APPROVAL, call.path["approval_id"], field="approval_id")
        return await web.submitted(self.submit, approvals.Withdraw(call.client.id, number), call)


def _instant(us: int) -> str | None:
    return rfc3339(us) if us else None


def _view(number: int, approval: approvals.Approval) -> ApprovalView:
    state: StateName = approval.state.value
    return ApprovalView(
        id=ids.show(Prefix.APPROVAL, number),
        kind=approval.kind,
        state=state,
        document=approval.document,
        hash=approval.hash.hex(),
        proposer_id=show_operator(approval.proposer),
        proposed_at=rfc3339(approval.proposed_at),
        expires_at=rfc3339(approval.expires_at),
        reason=approval.reason,
        is_emergency=approval.is_emergency,
        ended_by=show_operator(approval.ended_by) if approval.ended_by else None,
        ended_at=_instant(approval.ended_at),
    )


#: What a change of this room may be refused with, when it is proposed and when approved.
_OF_CHANGES: Final[tuple[type[Refusal], ...]] = (
    DutiesConflict,
    OperatorNotFound,
    OperatorStateConflict,
    RoleHeld,
    RoleUnknown,
    ids.IdMalformed,
)
_APPROVAL_PATH: Final[Mapping[str, Any]] = {"approval_id": ApprovalIdText}


def operations(
    *, submit: web.Submit, approved: approvals.Approvals, staff: Staff
) -> tuple[web.Operation, ...]:
    """List the operations of approvals."""
    desk = _Desk(submit, approved, staff)
    return (*_proposals(desk), *_decisions(desk))


def _proposals(desk: _Desk) -> tuple[web.Operation, ...]:
    return (
        web.Operation(
            method="POST",
            path="/v1/approvals",
            name="propose",
            summary="Propose a change that needs a second person",
            tag=_TAG,
            scope="approvals:write",
            handler=desk.propose,
            answers={201: approvals.ApprovalBody},
            body=NewProposal,
            refusals=(
                _errors.ApprovalKindUnknown,
                _errors.ChangeInvalid,
                _errors.NoEmergency,
                _errors.SelfServed,
                *_OF_CHANGES,
                *desk.approved.refusals,
                web.errors.ReferenceUnfit,
                *web.SUBMIT_REFUSALS,
            ),
        ),
        web.Operation(
            method="GET",
            path="/v1/approvals",
            name="list_approvals",
            summary="List approvals, newest first",
            tag=_TAG,
            scope="approvals:read",
            handler=desk.list_approvals,
            answers={200: ApprovalPage},
            query=ApprovalQuery,
            refusals=(web.errors.CursorMalformed,),
        ),
        web.Operation(
            method="GET",
            path="/v1/approvals/{approval_id}",
            name="get_approval",
            summary="Show an approval, with the exact text that is approved",
            tag=_TAG,
            scope="approvals:read",
            handler=desk.get_approval,
            answers={200: ApprovalView},
            path_types=_APPROVAL_PATH,
            refusals=(ids.IdMalformed, _errors.ApprovalNotFound),
        ),
        web.Operation(
            method="POST",
            path="/v1/approvals/{approval_id}/withdrawal",
            name="withdraw_proposal",
            summary="Take back what you have proposed",
            tag=_TAG,
            scope="approvals:write",
            handler=desk.withdraw,
            answers={200: approvals.ApprovalBody},
            path_types=_APPROVAL_PATH,
            refusals=(
                ids.IdMalformed,
                _errors.ApprovalNotFound,
                _errors.ApprovalEnded,
                _errors.NotProposer,
                *web.SUBMIT_REFUSALS,
            ),
        ),
    )


def _decisions(desk: _Desk) -> tuple[web.Operation, ...]:
    ending: tuple[type[Refusal], ...] = (
        ids.IdMalformed,
        _errors.ApprovalNotFound,
        _errors.ApprovalEnded,
    )
    return (
        web.Operation(
            method="GET",
            path="/v1/approvals/{approval_id}/signing-options",
            name="begin_approval",
            summary="Ask what your passkey is to sign to approve this",
            tag=_TAG,
            scope="approvals:decide",
            handler=desk.begin_approval,
            answers={200: Ceremony},
            path_types=_APPROVAL_PATH,
            refusals=(ids.IdMalformed, _errors.ApprovalNotFound),
        ),
        web.Operation(
            method="POST",
            path="/v1/approvals/{approval_id}/approval",
            name="approve",
            summary="Approve a change as a second person, and have it carried out",
            tag=_TAG,
            scope="approvals:decide",
            handler=desk.approve,
            answers={200: approvals.ApprovalBody},
            path_types=_APPROVAL_PATH,
            body=GivenAnswer,
            refusals=(
                *ending,
                _errors.ApprovedByProposer,
                _errors.ApproverDependent,
                _errors.ApproverUnripe,
                _errors.ApprovalStale,
                _errors.ChangeInvalid,
                _errors.GateClosed,
                _errors.SelfServed,
                AssertionInvalid,
                GateShut,
                *_OF_CHANGES,
                *desk.approved.refusals,
                *web.SUBMIT_REFUSALS,
            ),
        ),
        web.Operation(
            method="POST",
            path="/v1/approvals/{approval_id}/rejection",
            name="reject_proposal",
            summary="Reject a change as a second person",
            tag=_TAG,
            scope="approvals:decide",
            handler=desk.reject,
            answers={200: approvals.ApprovalBody},
            path_types=_APPROVAL_PATH,
            body=OperatorReason,
            refusals=(
                *ending,
                _errors.ApprovedByProposer,
                OperatorNotFound,
                web.errors.ReferenceUnfit,
                *web.SUBMIT_REFUSALS,
            ),
        ),
    )
