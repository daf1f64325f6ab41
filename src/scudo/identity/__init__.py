"""Parties who own accounts, and clients that call the API."""

from scudo.identity import (
    customers,
    errors,
    events,
    mail,
    operators,
    partners,
    passkeys,
    persons,
    queries,
    routes,
)
from scudo.identity.commands import RegisterCustomer, Registry
from scudo.identity.model import SCOPES, Customer, CustomerKind
from scudo.identity.persons import AskVault, PersonFacts
from scudo.identity.relationships import RELATIONSHIP_KIND, EndRelationship, Relationships
from scudo.identity.store import Clients, IdentityStore, issue_token, revoke_token

__all__ = [
    "RELATIONSHIP_KIND",
    "SCOPES",
    "AskVault",
    "Clients",
    "Customer",
    "CustomerKind",
    "EndRelationship",
    "IdentityStore",
    "PersonFacts",
    "RegisterCustomer",
    "Registry",
    "Relationships",
    "customers",
    "errors",
    "events",
    "issue_token",
    "mail",
    "operators",
    "partners",
    "passkeys",
    "persons",
    "queries",
    "revoke_token",
    "routes",
]
