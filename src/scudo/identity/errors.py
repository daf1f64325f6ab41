"""Refusals of the identity room."""

from scudo.kernel import Refusal


class CustomerNotFound(Refusal):
    """Raised when there is no such customer, or not one that the caller may see."""

    code = "customer_not_found"
    kind = "not_found"
    next_step = "Check the customer id; it is cus_ and sixteen hex digits."


class RelationshipOver(Refusal):
    """Raised when somebody is a customer no more."""

    code = "relationship_over"
    kind = "conflict"
    next_step = "Register the person as a new customer."


class AccountsOpen(Refusal):
    """Raised when a relationship would end while the customer still has an account."""

    code = "accounts_open"
    kind = "conflict"
    next_step = "Close the customer's accounts first; GET /v1/accounts lists them."


class CustomerReferenceTaken(Refusal):
    """Raised when another customer already has this reference."""

    code = "customer_reference_taken"
    kind = "conflict"
    next_step = "Use another reference, or look the customer up by this one."


class ScopeUnknown(Refusal):
    """Raised when a client would get a scope that does not exist."""

    code = "scope_unknown"
    kind = "unprocessable"
    next_step = "Use scopes of the list in the API's description."


class ClientNotFound(Refusal):
    """Raised when no client of this name has a token."""

    code = "client_not_found"
    kind = "not_found"
    next_step = "Check the client's name."
