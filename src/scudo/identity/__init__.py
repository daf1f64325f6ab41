"""Parties who own accounts, and clients that call the API."""

from scudo.identity import errors, events, queries, routes
from scudo.identity.commands import RegisterCustomer, Registry
from scudo.identity.model import SCOPES, Customer, CustomerKind
from scudo.identity.store import Clients, IdentityStore, issue_token, revoke_token

__all__ = [
    "SCOPES",
    "Clients",
    "Customer",
    "CustomerKind",
    "IdentityStore",
    "RegisterCustomer",
    "Registry",
    "errors",
    "events",
    "issue_token",
    "queries",
    "revoke_token",
    "routes",
]
