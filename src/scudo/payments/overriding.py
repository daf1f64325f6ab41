"""Overrides: held payments that one person does not release alone."""

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec

from scudo.decisions import UNKNOWN_REASON
from scudo.fabric import Answer, Entry, web
from scudo.governance import approvals
from scudo.kernel import Prefix, currency_by_numeric, ids
from scudo.payments.alone import Alone, covers, shipped_alone
from scudo.payments.authorise import Payments
from scudo.payments.commands import ReleasePayment
from scudo.payments.errors import PaymentNotFound, PaymentStateConflict
from scudo.payments.model import Payment, PaymentStatus

OVERRIDE: Final = "override_hold"


class OverrideChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A held payment that goes on, and why, as a code."""

    payment_id: Annotated[str, web.id_text(Prefix.PAYMENT)]
    reason_code: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Overrides:
    """The kind of change of held payments, and which of them one person releases alone."""

    def __init__(
        self,
        payments: Payments,
        release: Callable[[ReleasePayment, Entry], Answer],
        alone: Alone | None = None,
    ) -> None:
        """Override the holds of these payments; `release` lets one go on."""
        self._payments = payments
        self._release = release
        self._alone = (shipped_alone() if alone is None else alone).release

    @property
    def kinds(self) -> tuple[approvals.ApprovalKind[Any], ...]:
        """The kinds of change that need a second person."""
        return (
            approvals.ApprovalKind(
                name=OVERRIDE,
                change=OverrideChange,
                describe=self._describe,
                demand=self._demand,
                execute=self._execute,
                concerns=lambda change: (_number(change),),
                refusals=(PaymentNotFound, PaymentStateConflict, ids.IdMalformed),
                has_owners_way=True,
                emergency_us=approvals.HOUR_US,
            ),
        )

    def needs_two(self, command: ReleasePayment, entry: Entry) -> bool:
        """Whether a payment is released by two people: for its amount, or for what holds it.

        Raises:
            PaymentNotFound: if there is none that the entry may touch.
        """
        payment = self._payments.payment(entry, command.payment)
        if payment.status != PaymentStatus.HELD:
            return False
        limits = self._alone.alone_max_minor
        if not covers(limits, amount=payment.amount, currency=payment.currency):
            return True
        by_two = {*self._alone.by_two_reasons, UNKNOWN_REASON}
        return not payment.reasons.isdisjoint(by_two)

    def _find(self, change: OverrideChange) -> Payment:
        payment = self._payments.payments.get(_number(change))
        if payment is None:
            message = "there is no such payment"
            raise PaymentNotFound(message, field="change.payment_id")
        return payment

    def _describe(self, change: OverrideChange) -> approvals.Description:
        payment = self._find(change)
        status = PaymentStatus(payment.status).name.lower()
        code = currency_by_numeric(payment.currency).code
        decision = ids.show(Prefix.DECISION, payment.decision)
        effect = (
            f"{payment.amount} minor units of {code} that {decision} holds go on, from "
            f"{ids.show(Prefix.ACCOUNT, payment.debit_account)} to "
            f"{ids.show(Prefix.ACCOUNT, payment.credit_account)}, if the gate lets them"
        )
        diff: dict[str, tuple[Any, Any]] = {
            "status": (status, "decided again, not held"),
            "held_for": (sorted(payment.reasons), []),
        }
        return approvals.Description(diff, effect)

    def _demand(self, change: OverrideChange, now: int) -> None:
        """Refuse what is not held.

        Raises:
            PaymentStateConflict: it does not wait for a person.
        """
        del now
        payment = self._find(change)
        if payment.status != PaymentStatus.HELD:
            message = f"the payment is {PaymentStatus(payment.status).name.lower()}"
            raise PaymentStateConflict(message, field="change.payment_id")

    def _execute(self, change: OverrideChange, entry: Entry, decided: approvals.Decided) -> None:
        del decided
        self._release(ReleasePayment(_number(change), change.reason_code), entry)


def _number(change: OverrideChange) -> int:
    return ids.parse(Prefix.PAYMENT, change.payment_id, field="change.payment_id")
