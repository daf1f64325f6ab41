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
    ReleasePayment,
    Reverse,
)
from scudo.payments.model import PaymentKind, PaymentStatus
from scudo.payments.store import PaymentStore
from scudo.payments.verification import PaymentWitness

__all__ = [
    "ON_PAYMENT",
    "Acts",
    "AnswerChallenge",
    "AuthoriseCard",
    "CancelPayment",
    "Capture",
    "ConfirmPayment",
    "ExpirePayment",
    "Pay",
    "PayWithText",
    "PaymentBody",
    "PaymentKind",
    "PaymentStatus",
    "PaymentStore",
    "PaymentWitness",
    "Payments",
    "RaiseAuthorisation",
    "ReleasePayment",
    "Reverse",
    "errors",
    "events",
    "queries",
    "routes",
]
