"""What customers are as people: kept by the vault, known to the log by facts without values."""

from scudo.identity.persons import events, routes
from scudo.identity.persons.acts import act_of
from scudo.identity.persons.commands import (
    PersonFacts,
    RecordCardKept,
    RecordPersonErased,
    RecordPersonKept,
)
from scudo.identity.persons.forgetting import CardKeeping, PersonKeeping, ReadKeeping
from scudo.identity.persons.routes import AskVault, CustomerIdText, Reason

__all__ = [
    "AskVault",
    "CardKeeping",
    "CustomerIdText",
    "PersonFacts",
    "PersonKeeping",
    "ReadKeeping",
    "Reason",
    "RecordCardKept",
    "RecordPersonErased",
    "RecordPersonKept",
    "act_of",
    "events",
    "routes",
]
