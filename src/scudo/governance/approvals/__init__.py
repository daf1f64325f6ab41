"""A second person for what matters: one mechanism; a kind of change is one registration."""

from scudo.governance.approvals import errors, events
from scudo.governance.approvals.commands import (
    ApprovalBody,
    Approvals,
    Approve,
    ExpireApproval,
    Propose,
    Reject,
    Withdraw,
    proposed_change,
)
from scudo.governance.approvals.model import (
    HOUR_US,
    RIPENING_US,
    Approval,
    ApprovalKind,
    Decided,
    Description,
    People,
    Severity,
    Signature,
    Standing,
    State,
    canonical,
    challenge_of,
)

__all__ = [
    "HOUR_US",
    "RIPENING_US",
    "Approval",
    "ApprovalBody",
    "ApprovalKind",
    "Approvals",
    "Approve",
    "Decided",
    "Description",
    "ExpireApproval",
    "People",
    "Propose",
    "Reject",
    "Severity",
    "Signature",
    "Standing",
    "State",
    "Withdraw",
    "canonical",
    "challenge_of",
    "errors",
    "events",
    "proposed_change",
]
