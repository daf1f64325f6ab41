"""HTTP operations of customers: to sign up, log in, and prove who they are."""

from scudo.fabric import web
from scudo.governance import flags
from scudo.identity.customers.office import Office
from scudo.identity.customers.routes.credentials import credential_operations
from scudo.identity.customers.routes.log_in import log_in_operations
from scudo.identity.customers.routes.me import me_operations
from scudo.identity.customers.routes.page import page_operations
from scudo.identity.customers.routes.sign_up import sign_up_operations
from scudo.identity.customers.routes.step_ups import step_up_operations
from scudo.identity.customers.routes.wire import SELF, SESSION_REFUSALS, assurance_name

__all__ = ["SELF", "SESSION_REFUSALS", "assurance_name", "operations"]


def operations(office: Office, *, reader: flags.FlagReader) -> tuple[web.Operation, ...]:
    """List the operations; flags change how answers look, and nothing else."""
    return (
        *sign_up_operations(office),
        *log_in_operations(office),
        *credential_operations(office),
        *me_operations(office, reader),
        *step_up_operations(office),
        *page_operations(),
    )
