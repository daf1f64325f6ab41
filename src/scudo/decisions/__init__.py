"""Decisions: the gates, and why they answered as they did."""

from scudo.decisions import errors, events, lists, routes
from scudo.decisions.engine import Engine, judge
from scudo.decisions.errors import (
    DefinitionRefused,
    ExpressionRefused,
    PolicyMismatch,
    SnapshotDamaged,
    SnapshotForeign,
)
from scudo.decisions.explanation import Explanation, Reason, explain, public_words
from scudo.decisions.features import FeatureState
from scudo.decisions.features import dump as dump_state
from scudo.decisions.features import load as load_state
from scudo.decisions.gate import DECISION, UNKNOWN_REASON, Gatekeeper, Rescore
from scudo.decisions.handlers import Alerts, Rescoring
from scudo.decisions.model import (
    OBLIGATIONS,
    PASSAGES,
    PAYMENTS,
    REFUSING,
    Channel,
    DecisionRecord,
    Degradation,
    Gate,
    GateEvent,
    Outcome,
    Verdict,
    record_of,
)
from scudo.decisions.passages import Passages
from scudo.decisions.policy import Policy, load_access_policy, load_policy
from scudo.decisions.snapshots import Snapshots
from scudo.decisions.store import (
    ask_records,
    find_decision,
    keep_policy,
    list_alerts,
    list_degraded,
    read_decisions,
)
from scudo.decisions.verification import DECISIONS, DecisionWitness, Ruling

__all__ = [
    "DECISION",
    "DECISIONS",
    "OBLIGATIONS",
    "PASSAGES",
    "PAYMENTS",
    "REFUSING",
    "UNKNOWN_REASON",
    "Alerts",
    "Channel",
    "DecisionRecord",
    "DecisionWitness",
    "DefinitionRefused",
    "Degradation",
    "Engine",
    "Explanation",
    "ExpressionRefused",
    "FeatureState",
    "Gate",
    "GateEvent",
    "Gatekeeper",
    "Outcome",
    "Passages",
    "Policy",
    "PolicyMismatch",
    "Reason",
    "Rescore",
    "Rescoring",
    "Ruling",
    "SnapshotDamaged",
    "SnapshotForeign",
    "Snapshots",
    "Verdict",
    "ask_records",
    "dump_state",
    "errors",
    "events",
    "explain",
    "find_decision",
    "judge",
    "keep_policy",
    "list_alerts",
    "list_degraded",
    "lists",
    "load_access_policy",
    "load_policy",
    "load_state",
    "public_words",
    "read_decisions",
    "record_of",
    "routes",
]
