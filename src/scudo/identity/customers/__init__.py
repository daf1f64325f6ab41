"""Customers as people: how they sign up, log in, and prove who they are on which device."""

from scudo.identity.customers import errors, events, routes
from scudo.identity.customers.keeper import CustomerKeeper
from scudo.identity.customers.logic import act_digest
from scudo.identity.customers.model import Act, Assurance, Session, SessionAct, Terms
from scudo.identity.customers.office import GUARD_REFUSALS, Guard, Office, Ports
from scudo.identity.customers.persons import Persons, RememberedPersons, VaultedPersons
from scudo.identity.customers.recalling import recall_failures
from scudo.identity.customers.step_ups import StepUps
from scudo.identity.customers.tokens import AccessTokens

__all__ = [
    "GUARD_REFUSALS",
    "AccessTokens",
    "Act",
    "Assurance",
    "CustomerKeeper",
    "Guard",
    "Office",
    "Persons",
    "Ports",
    "RememberedPersons",
    "Session",
    "SessionAct",
    "StepUps",
    "Terms",
    "VaultedPersons",
    "act_digest",
    "errors",
    "events",
    "recall_failures",
    "routes",
]
