"""What the edge accepts: tiers, networks, shapes; shipped as a file, changed by two people."""

from scudo.governance.edge_limits import errors, events
from scudo.governance.edge_limits.declaring import (
    Allowance,
    EdgeRules,
    Filters,
    Tier,
    read_rules,
    shipped_rules,
)
from scudo.governance.edge_limits.keeping import EdgeChange, EdgeLimits, EdgeSetting
from scudo.governance.edge_limits.routes import operations

__all__ = [
    "Allowance",
    "EdgeChange",
    "EdgeLimits",
    "EdgeRules",
    "EdgeSetting",
    "Filters",
    "Tier",
    "errors",
    "events",
    "operations",
    "read_rules",
    "shipped_rules",
]
