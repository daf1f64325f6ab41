"""How long what is kept: rules as data, a job that carries them out, holds that stop it."""

from scudo.governance.retention import errors, events
from scudo.governance.retention.keeping import (
    LegalHold,
    Ran,
    Retention,
    RuleState,
    TellRetention,
    overdue,
)
from scudo.governance.retention.keepings import Connect, FileKeeping, TableKeeping
from scudo.governance.retention.reporting import Report, report, stored_report
from scudo.governance.retention.routes import operations
from scudo.governance.retention.rules import (
    ALL,
    Action,
    Begins,
    Rule,
    Rules,
    load_rules,
    uncovered,
)
from scudo.governance.retention.running import AT_ONCE, Asked, Count, Job, Keeping

__all__ = [
    "ALL",
    "AT_ONCE",
    "Action",
    "Asked",
    "Begins",
    "Connect",
    "Count",
    "FileKeeping",
    "Job",
    "Keeping",
    "LegalHold",
    "Ran",
    "Report",
    "Retention",
    "Rule",
    "RuleState",
    "Rules",
    "TableKeeping",
    "TellRetention",
    "errors",
    "events",
    "load_rules",
    "operations",
    "overdue",
    "report",
    "stored_report",
    "uncovered",
]
