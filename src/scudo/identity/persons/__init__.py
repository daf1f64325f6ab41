"""What customers are as people: kept by the vault, known to the log by facts without values."""

from scudo.identity.persons import events, routes
from scudo.identity.persons.commands import (
    PersonFacts,
    RecordCardKept,
    RecordPersonErased,
    RecordPersonKept,
)
from scudo.identity.persons.forgetting import CardKeeping, PersonKeeping, ReadKeeping
from scudo.identity.persons.reading import (
    VAULT_REFUSALS,
    AskVault,
    PurposeName,
    Reason,
    RecordedReads,
    WithFacts,
    why_of,
)
from scudo.identity.persons.routes import CustomerIdText

__all__ = [
    "VAULT_REFUSALS",
    "AskVault",
    "CardKeeping",
    "CustomerIdText",
    "PersonFacts",
    "PersonKeeping",
    "PurposeName",
    "ReadKeeping",
    "Reason",
    "RecordCardKept",
    "RecordPersonErased",
    "RecordPersonKept",
    "RecordedReads",
    "WithFacts",
    "events",
    "routes",
    "why_of",
]
