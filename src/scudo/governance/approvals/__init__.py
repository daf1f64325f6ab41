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
from scudo.governance.approvals.owning import CloseOwnersWays, OwnersWays
from scudo.governance.approvals.using import USABLE_US, UseApproval, Uses

__all__ = [
    "HOUR_US",
    "RIPENING_US",
    "USABLE_US",
    "Approval",
    "ApprovalBody",
    "ApprovalKind",
    "Approvals",
    "Approve",
    "CloseOwnersWays",
    "Decided",
    "Description",
    "ExpireApproval",
    "OwnersWays",
    "People",
    "Propose",
    "Reject",
    "Severity",
    "Signature",
    "Standing",
    "State",
    "UseApproval",
    "Uses",
    "Withdraw",
    "canonical",
    "challenge_of",
    "errors",
    "events",
    "proposed_change",
]
