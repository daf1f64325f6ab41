"""What customers are as people: kept by the vault, known to the log by facts without values."""

from scudo.identity.persons import events, routes
from scudo.identity.persons.commands import (
    PersonFacts,
    RecordCardKept,
    RecordPersonErased,
    RecordPersonKept,
)
from scudo.identity.persons.reading import (
    VAULT_REFUSALS,
    AskVault,
    PurposeName,
    Reason,
    RecordedReads,
    why_of,
)

__all__ = [
    "VAULT_REFUSALS",
    "AskVault",
    "PersonFacts",
    "PurposeName",
    "Reason",
    "RecordCardKept",
    "RecordPersonErased",
    "RecordPersonKept",
    "RecordedReads",
    "events",
    "routes",
    "why_of",
]
