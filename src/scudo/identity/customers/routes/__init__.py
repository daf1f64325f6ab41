"""HTTP operations of customers: to sign up, log in, and prove who they are."""

from scudo.fabric import web
from scudo.identity.customers.office import Office
from scudo.identity.customers.routes.credentials import credential_operations
from scudo.identity.customers.routes.log_in import log_in_operations
from scudo.identity.customers.routes.page import page_operations
from scudo.identity.customers.routes.sign_up import sign_up_operations
from scudo.identity.customers.routes.step_ups import step_up_operations


def operations(office: Office) -> tuple[web.Operation, ...]:
    """List the operations."""
    return (
        *sign_up_operations(office),
        *log_in_operations(office),
        *credential_operations(office),
        *step_up_operations(office),
        *page_operations(),
    )
