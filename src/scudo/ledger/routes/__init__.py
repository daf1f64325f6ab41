"""HTTP operations of the ledger."""

from scudo.fabric import web
from scudo.kernel import Refusal
from scudo.ledger.routes.accounts import (
    AccountView,
    TransactionView,
    account_operations,
    account_view,
    transaction_view,
)
from scudo.ledger.routes.journals import journal_operations
from scudo.ledger.routes.mandates import mandate_operations

__all__ = ["AccountView", "TransactionView", "account_view", "operations", "transaction_view"]


def operations(
    *,
    submit: web.Submit,
    reads: web.Reads,
    clock: web.Clock,
    owner_refusals: tuple[type[Refusal], ...],
) -> tuple[web.Operation, ...]:
    """List the room's operations.

    Args:
        submit: hands commands to the writer.
        reads: opens connections for queries.
        clock: says which currencies are in use today.
        owner_refusals: how the room that knows customers refuses an owner.
    """
    return (
        *account_operations(submit=submit, reads=reads, clock=clock, owner_refusals=owner_refusals),
        *journal_operations(submit=submit, reads=reads, clock=clock),
        *mandate_operations(submit=submit, reads=reads, clock=clock),
    )
