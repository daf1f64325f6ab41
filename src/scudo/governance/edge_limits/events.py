"""What the edge's limits tell the log."""

from typing import ClassVar

from scudo.fabric import Event
from scudo.kernel import ids


class EdgeLimitsSet(Event, frozen=True, tag=511):
    """Two people have set what the edge accepts; it holds from now on.

    Attributes:
        notice: position of this event.
        parts: what was set: `tiers.…`, `networks.…`, `filters`. The approval's document has
            the values; networks of attackers are in no event.
        denied: how many networks may not ask at all.
    """

    name: ClassVar[str] = "governance.edge_limits.set.v1"

    notice: ids.EventId
    parts: tuple[str, ...]
    denied: int
    approval: ids.ApprovalId
