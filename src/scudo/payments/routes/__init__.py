"""HTTP operations of payments."""

from scudo.fabric import Tokens, web
from scudo.identity import customers
from scudo.payments.routes.cards import card_operations
from scudo.payments.routes.transfers import PaymentView, payment_operations, payment_view

__all__ = ["PaymentView", "operations", "payment_view"]


def operations(
    *,
    submit: web.Submit,
    reads: web.Reads,
    clock: web.Clock,
    tokeniser: Tokens,
    guard: customers.Guard,
) -> tuple[web.Operation, ...]:
    """List the room's operations.

    Args:
        submit: hands commands to the writer.
        reads: opens connections for queries.
        clock: says which currencies are in use today.
        tokeniser: turns cards, devices, addresses and merchants into tokens at once.
        guard: judges the session of a customer who pays.
    """
    return (
        *payment_operations(
            submit=submit, reads=reads, clock=clock, tokeniser=tokeniser, guard=guard
        ),
        *card_operations(submit=submit, clock=clock, tokeniser=tokeniser),
    )
