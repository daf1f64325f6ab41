"""The audit trail, searchable: acts from the log, and the back office's requests, masked."""

from scudo.governance.trail.acts import ActIndex, Search, find_acts
from scudo.governance.trail.requests import RequestTrail
from scudo.governance.trail.routes import operations

__all__ = ["ActIndex", "RequestTrail", "Search", "find_acts", "operations"]
