"""Refunds: money of a payment that goes back, as a payment of its own under its own decision."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec

from scudo.fabric import Answer, Command, Entry, Reference, Register, web
from scudo.governance import approvals
from scudo.kernel import AmountOutOfRange, Prefix, currency_by_numeric, ids, positive_amount
from scudo.payments.alone import Alone, covers, shipped_alone
from scudo.payments.authorise import Payments, order_of
from scudo.payments.commands import RefundPayment
from scudo.payments.errors import (
    PaymentNotFound,
    PaymentStateConflict,
    RefundOutside,
    RefundTooHigh,
)
from scudo.payments.events import PaymentRefunded
from scudo.payments.model import Payment, PaymentStatus

REFUND: Final = "refund_payment"
REFUNDS_KIND: Final = 401
#: Refunds of one payment.
ORDERS_MAX: Final = 64
#: In these money of a payment is with its payee, all of it.
_ARRIVED: Final = frozenset({PaymentStatus.SETTLED, PaymentStatus.CAPTURED})
#: In these a refund has moved its amount, or still may.
_COUNTED: Final = frozenset({PaymentStatus.SETTLED, PaymentStatus.HELD, PaymentStatus.CHALLENGED})


class Refunds(msgspec.Struct, frozen=True):
    """What is known of a payment's refunds.

    Attributes:
        of: the payment that this one refunds; 0: it is none.
        orders: the payments that refund this one, the oldest first.
    """

    of: int = 0
    orders: tuple[int, ...] = ()


class RefundChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of a payment goes back to who paid it, and why, as a code."""

    payment_id: Annotated[str, web.id_text(Prefix.PAYMENT)]
    amount_minor: Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)]
    reason_code: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


_NONE: Final = Refunds()


class Refunding:
    """Keeps which payments refund which, and makes them."""

    def __init__(self, payments: Payments, alone: Alone | None = None) -> None:
        """Refund these payments."""
        self._payments = payments
        self._alone = (shipped_alone() if alone is None else alone).refund
        self.register: Final = Register(REFUNDS_KIND, Refunds, resident=False)

    # ---- the keeper's port

    @property
    def registers(self) -> Sequence[Register[Any]]:
        """Registers that it keeps."""
        return (self.register,)

    @property
    def handlers(self) -> Mapping[type[Command], Callable[[Any, Entry], Answer]]:
        """What works on each kind of command."""
        return {RefundPayment: self.refund}

    def refers_to(self, command: Command) -> Iterable[Reference]:
        """The refunds of the payment that a command is about."""
        if isinstance(command, RefundPayment):
            yield REFUNDS_KIND, command.payment

    def orders_of(self, number: int) -> tuple[int, ...]:
        """Refunds of a payment, as far as memory holds them."""
        return (self.register.get(number) or _NONE).orders

    # ---- what needs two people

    @property
    def kinds(self) -> tuple[approvals.ApprovalKind[Any], ...]:
        """The kinds of change that need a second person."""
        return (
            approvals.ApprovalKind(
                name=REFUND,
                change=RefundChange,
                describe=self._describe,
                demand=self._demand,
                execute=self._execute,
                concerns=lambda change: (_command(change).payment,),
                refusals=(
                    AmountOutOfRange,
                    PaymentNotFound,
                    PaymentStateConflict,
                    RefundOutside,
                    RefundTooHigh,
                    ids.IdMalformed,
                ),
                has_owners_way=True,
            ),
        )

    def needs_two(self, command: RefundPayment, entry: Entry) -> bool:
        """Whether what goes back of a payment, with what went before, is for two people.

        Raises:
            PaymentNotFound: if there is none that the entry may touch.
        """
        payment = self._payments.payment(entry, command.payment)
        total = self._refunded(command.payment) + command.amount
        return not covers(self._alone.alone_max_minor, amount=total, currency=payment.currency)

    def _describe(self, change: RefundChange) -> approvals.Description:
        command = _command(change)
        payment = self._find(command.payment)
        before = self._refunded(command.payment)
        code = currency_by_numeric(payment.currency).code
        effect = (
            f"{command.amount} minor units of {code} go back from "
            f"{ids.show(Prefix.ACCOUNT, payment.credit_account)} to "
            f"{ids.show(Prefix.ACCOUNT, payment.debit_account)}, if the gate lets them"
        )
        return approvals.Description({"refunded_minor": (before, before + command.amount)}, effect)

    def _demand(self, change: RefundChange, now: int) -> None:
        del now
        self._demand_refundable(_command(change))

    def _execute(self, change: RefundChange, entry: Entry, decided: approvals.Decided) -> None:
        del decided
        self.refund(_command(change), entry)

    # ---- refunds

    def refund(self, command: RefundPayment, entry: Entry) -> Answer:
        """Let money go back: a payment from payee to payer, which its gate decides on.

        Raises:
            PaymentNotFound: if a client of one customer asks.
        """
        if entry.owner is not None:
            message = "there is no such payment"
            raise PaymentNotFound(message, field="payment_id")
        payment = self._demand_refundable(command)
        number = entry.position
        order = order_of(
            payment.credit_account, payment.debit_account, payment, amount=command.amount
        )
        answer = self._payments.pay(order, entry)
        if self._payments.payments[number].status in _COUNTED:
            before = self.register.get(command.payment) or _NONE
            after = msgspec.structs.replace(before, orders=(*before.orders, number))
            self.register.put(entry, command.payment, after)
            self.register.put(entry, number, Refunds(of=command.payment))
            entry.emit(
                PaymentRefunded(command.payment, number, command.amount, command.reason_code)
            )
        return answer

    def _demand_refundable(self, command: RefundPayment) -> Payment:
        """Give the payment of which an amount may go back.

        Raises:
            PaymentStateConflict: its money is not with a payee, or it is a refund.
            RefundOutside: the payee is no customer of this bank.
            RefundTooHigh: more would go back than came, or too often.
        """
        amount = positive_amount(command.amount)
        payment = self._find(command.payment)
        known = self.register.get(command.payment) or _NONE
        if payment.status not in _ARRIVED or known.of:
            status = "a refund" if known.of else PaymentStatus(payment.status).name.lower()
            message = f"the payment is {status}"
            raise PaymentStateConflict(message)
        if self._payments.book.accounts[payment.credit_account].owner == 0:
            message = "this payment has left the bank"
            raise RefundOutside(message)
        left = payment.captured - self._refunded(command.payment)
        if amount > left or len(known.orders) >= ORDERS_MAX:
            message = f"at most {left} can go back, in {ORDERS_MAX} parts"
            raise RefundTooHigh(message, field="amount_minor")
        return payment

    def _find(self, number: int) -> Payment:
        found = self._payments.payments.get(number)
        if found is None:
            message = "there is no such payment"
            raise PaymentNotFound(message, field="payment_id")
        return found

    def _refunded(self, number: int) -> int:
        """How much of a payment went back, or waits to."""
        orders = (self._payments.payments[order] for order in self.orders_of(number))
        return sum(order.amount for order in orders if order.status in _COUNTED)


def _command(change: RefundChange) -> RefundPayment:
    number = ids.parse(Prefix.PAYMENT, change.payment_id, field="change.payment_id")
    return RefundPayment(number, change.amount_minor, change.reason_code)
