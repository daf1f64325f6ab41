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
    places,
    queries,
    routes,
)
from scudo.identity.clients import client_kinds
from scudo.identity.commands import RegisterCustomer, Registry
from scudo.identity.dpop import DeviceKey, Proofs
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
    "DeviceKey",
    "EndRelationship",
    "IdentityStore",
    "PersonFacts",
    "Proofs",
    "RegisterCustomer",
    "Registry",
    "Relationships",
    "client_kinds",
    "customers",
    "errors",
    "events",
    "issue_token",
    "mail",
    "operators",
    "partners",
    "passkeys",
    "persons",
    "places",
    "queries",
    "revoke_token",
    "routes",
]
