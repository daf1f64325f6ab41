"""HTTP operations on refunds of payments."""

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from scudo.fabric import Register, find_record, web
from scudo.governance import approvals
from scudo.kernel import Prefix, ids
from scudo.payments.authorise import PaymentBody
from scudo.payments.commands import RefundPayment
from scudo.payments.errors import RefundOutside, RefundTooHigh
from scudo.payments.queries import find_payment
from scudo.payments.refunding import REFUNDS_KIND, Refunds
from scudo.payments.routes.transfers import PaymentView, payment_view
from scudo.payments.routes.wire import (
    ACT_REFUSALS,
    MONEY_REFUSALS,
    PAYMENT_PATH,
    TAG,
    PaymentIdText,
    payment_of,
)

_SCOPE: Final = "payments:refund"


class NewRefund(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of a payment goes back to who paid it, and why, as a code of yours."""

    amount_minor: web.Int64
    reason_code: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class RefundList(msgspec.Struct, frozen=True):
    """Payments that refund a payment, oldest first; `refund_of`: what it refunds itself."""

    items: tuple[PaymentView, ...]
    refund_of: PaymentIdText | None


@dataclass(frozen=True, slots=True)
class _Desk:
    submit: web.Submit
    reads: web.Reads

    async def refund(self, call: web.Call) -> web.Reply:
        body: NewRefund = call.body
        command = RefundPayment(payment_of(call), body.amount_minor, body.reason_code)
        return await web.submitted(self.submit, command, call)

    async def list_refunds(self, call: web.Call) -> web.Reply:
        register = Register(REFUNDS_KIND, Refunds, resident=False)
        async with self.reads() as connection:
            known = await find_record(connection, register, payment_of(call)) or Refunds()
            found = [await find_payment(connection, number) for number in known.orders]
        items = tuple(payment_view(payment) for payment in found if payment is not None)
        refund_of = ids.show(Prefix.PAYMENT, known.of) if known.of else None
        return web.Reply(200, RefundList(items, refund_of))


def refund_operations(*, submit: web.Submit, reads: web.Reads) -> tuple[web.Operation, ...]:
    """List the operations on refunds."""
    desk = _Desk(submit, reads)
    return (
        web.Operation(
            method="POST",
            path="/v1/payments/{payment_id}/refunds",
            name="refund_payment",
            summary="Let money of a payment go back; above an amount, two people do",
            tag=TAG,
            scope=_SCOPE,
            moves_money=True,
            is_bank_wide=True,
            handler=desk.refund,
            answers={201: PaymentBody},
            path_types=PAYMENT_PATH,
            body=NewRefund,
            example=NewRefund(12_50, "goods_returned"),
            refusals=(
                *dict.fromkeys((*ACT_REFUSALS, *MONEY_REFUSALS)),
                RefundOutside,
                RefundTooHigh,
                approvals.errors.SecondPersonNeeded,
                *web.SUBMIT_REFUSALS,
            ),
        ),
        web.Operation(
            method="GET",
            path="/v1/payments/{payment_id}/refunds",
            name="list_refunds",
            summary="List the refunds of a payment",
            tag=TAG,
            scope="payments:read",
            is_bank_wide=True,
            handler=desk.list_refunds,
            answers={200: RefundList},
            path_types=PAYMENT_PATH,
            refusals=(ids.IdMalformed, *web.READ_REFUSALS),
        ),
    )
