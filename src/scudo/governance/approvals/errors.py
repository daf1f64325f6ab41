"""Refusals of approvals."""

from scudo.kernel import Refusal


class ApprovalNotFound(Refusal):
    """Raised when there is no such approval."""

    code = "approval_not_found"
    kind = "not_found"
    next_step = "Check the approval id; it is apr_ and sixteen hex digits."


class ApprovalKindUnknown(Refusal):
    """Raised when nothing of this kind can be proposed."""

    code = "approval_kind_unknown"
    kind = "unprocessable"
    next_step = "Propose one of the kinds in the API's description."


class ChangeInvalid(Refusal):
    """Raised when a proposal's change is not what its kind consists of."""

    code = "change_invalid"
    kind = "unprocessable"
    next_step = "Correct the member of the change that `field` names."


class NoEmergency(Refusal):
    """Raised when a kind of change has no emergency path."""

    code = "no_emergency_path"
    kind = "unprocessable"
    next_step = "Propose it the usual way."


class ApprovalEnded(Refusal):
    """Raised when an approval was given, rejected or withdrawn before, or its time is over."""

    code = "approval_ended"
    kind = "conflict"
    next_step = "Look the approval up; propose the change again if it is still wanted."


class ApprovalStale(Refusal):
    """Raised when a change would do another thing by now than what was proposed."""

    code = "approval_stale"
    kind = "conflict"
    next_step = "Reject or withdraw the proposal, and propose the change as it is now."


class ApprovedByProposer(Refusal):
    """Raised when somebody approves what they proposed."""

    code = "approved_by_proposer"
    kind = "forbidden"
    next_step = "Another person has to approve this."


class SelfServed(Refusal):
    """Raised when somebody proposes or approves what is for themselves."""

    code = "self_served"
    kind = "forbidden"
    next_step = "Somebody whom it is not for has to propose or approve this."


class NotProposer(Refusal):
    """Raised when somebody withdraws what another has proposed."""

    code = "not_proposer"
    kind = "forbidden"
    next_step = "Reject it instead."


class ApproverUnripe(Refusal):
    """Raised when an approver was enrolled, elevated or recovered a short while ago."""

    code = "approver_unripe"
    kind = "forbidden"
    next_step = "Somebody whose access has not changed for 72 hours has to approve this."


class ApproverDependent(Refusal):
    """Raised when an approver was enrolled, elevated or recovered by the proposer."""

    code = "approver_dependent"
    kind = "forbidden"
    next_step = "Somebody who owes no access to the proposer has to approve this."


class GateClosed(Refusal):
    """Raised when the gate of privileged acts does not let an approver pass."""

    code = "operator_act_declined"
    kind = "forbidden"
    next_step = "Look the decision up; somebody else may approve this."


class SecondPersonNeeded(Refusal):
    """Raised when somebody does alone what two people decide on."""

    code = "second_person_needed"
    kind = "forbidden"
    next_step = "Have two operators decide: POST /v1/approvals with the kind that is named."


class ApprovalUnfit(Refusal):
    """Raised when an approval does not cover what is done under it, or does not any more."""

    code = "approval_unfit"
    kind = "conflict"
    next_step = "Look the approval up; propose anew exactly what is to be done."
