"""Payments and their life: the gate decides, the ledger posts, in one entry of the log."""

from scudo.payments import errors, events, queries, routes
from scudo.payments.acts import Acts
from scudo.payments.authorise import PaymentBody, Payments
from scudo.payments.commands import (
    ON_PAYMENT,
    AnswerChallenge,
    AuthoriseCard,
    CancelPayment,
    Capture,
    ConfirmPayment,
    ExpirePayment,
    Pay,
    PayWithText,
    RaiseAuthorisation,
    RefundPayment,
    ReleasePayment,
    Reverse,
)
from scudo.payments.model import PaymentKind, PaymentStatus
from scudo.payments.overriding import OVERRIDE, Overrides
from scudo.payments.refunding import REFUND, REFUNDS_KIND, Refunding
from scudo.payments.store import PaymentStore
from scudo.payments.verification import PaymentWitness

__all__ = [
    "ON_PAYMENT",
    "OVERRIDE",
    "REFUND",
    "REFUNDS_KIND",
    "Acts",
    "AnswerChallenge",
    "AuthoriseCard",
    "CancelPayment",
    "Capture",
    "ConfirmPayment",
    "ExpirePayment",
    "Overrides",
    "Pay",
    "PayWithText",
    "PaymentBody",
    "PaymentKind",
    "PaymentStatus",
    "PaymentStore",
    "PaymentWitness",
    "Payments",
    "RaiseAuthorisation",
    "RefundPayment",
    "Refunding",
    "ReleasePayment",
    "Reverse",
    "errors",
    "events",
    "queries",
    "routes",
]
