"""HTTP operations of payments."""

from scudo.fabric import Tokens, web
from scudo.identity import customers, persons
from scudo.payments.routes.cards import card_operations
from scudo.payments.routes.messages import KeepText, keep_nothing, message_operations
from scudo.payments.routes.refunds import refund_operations
from scudo.payments.routes.transfers import PaymentView, payment_operations, payment_view

__all__ = ["KeepText", "PaymentView", "keep_nothing", "operations", "payment_view"]


def operations(  # noqa: PLR0913 - one parameter per port
    *,
    submit: web.Submit,
    reads: web.Reads,
    clock: web.Clock,
    tokeniser: Tokens,
    guard: customers.Guard,
    keep_text: KeepText,
    recorded: persons.RecordedReads,
) -> tuple[web.Operation, ...]:
    """List the room's operations.

    Args:
        submit: hands commands to the writer.
        reads: opens connections for queries.
        clock: says which currencies are in use today.
        tokeniser: turns cards, devices, addresses and merchants into tokens at once.
        guard: judges the session of a customer who pays.
        keep_text: has the vault keep the messages of payments.
        recorded: reads them, with a trace.
    """
    return (
        *payment_operations(
            submit=submit,
            reads=reads,
            clock=clock,
            tokeniser=tokeniser,
            guard=guard,
            keep_text=keep_text,
        ),
        *message_operations(reads=reads, recorded=recorded),
        *refund_operations(submit=submit, reads=reads),
        *card_operations(submit=submit, clock=clock, tokeniser=tokeniser),
    )
