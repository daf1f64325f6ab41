"""What can be done to a payment after its gate: capture, reverse, raise, release, end."""

from scudo.decisions import Outcome
from scudo.fabric import Answer, Entry, refused
from scudo.identity import customers
from scudo.kernel import Refusal, positive_amount
from scudo.ledger import Authority, Hold, HoldStatus
from scudo.ledger import events as ledger_events
from scudo.payments.authorise import Payments, show
from scudo.payments.commands import (
    AnswerChallenge,
    CancelPayment,
    Capture,
    ConfirmPayment,
    ExpirePayment,
    RaiseAuthorisation,
    ReleasePayment,
    Reverse,
)
from scudo.payments.errors import PaymentDeclinedByGate, PaymentStateConflict
from scudo.payments.events import (
    AuthorisationRaised,
    ChallengeAnswered,
    PaymentCancelled,
    PaymentCaptured,
    PaymentDeclined,
    PaymentExpired,
    PaymentRefused,
    PaymentReleased,
    PaymentReversed,
)
from scudo.payments.model import Payment, PaymentStatus

_OK = 200


class Acts:
    """Works on commands about payments that exist, for the conveyor."""

    def __init__(self, payments: Payments, step_ups: customers.StepUps) -> None:
        """Act on the payments that the writer sees; customers prove theirs by step-ups."""
        self._payments = payments
        self._step_ups = step_ups
        self._book = payments.book

    def capture(self, command: Capture, entry: Entry) -> Answer:
        """Post part or all of an authorisation, under the decision that authorised it.

        Raises:
            PaymentNotFound, PaymentStateConflict, AmountOutOfRange, CaptureTooHigh,
            HoldExpired, HoldEnded, AccountClosed, InsufficientFunds.
        """
        amount = positive_amount(command.amount)
        payment, hold = self._authorised(entry, command.payment)
        self._payments.change(entry, payment)
        transfer = self._book.capture(
            entry,
            hold,
            amount=amount,
            final=command.final,
            authority=Authority.decision(payment.decision),
        )
        payment.captured += amount
        has_ended = hold.status != HoldStatus.OPEN
        entry.emit(PaymentCaptured(payment.id, amount, transfer, has_ended))
        if has_ended:
            self._end(payment, PaymentStatus.CAPTURED)
        return _ok(show(payment, transfer=transfer))

    def reverse(self, command: Reverse, entry: Entry) -> Answer:
        """Take back what is authorised and not captured, or a part of it.

        Raises:
            PaymentNotFound, PaymentStateConflict, ReleaseTooHigh, HoldEnded.
        """
        amount = positive_amount(command.amount) if command.amount else None
        payment, hold = self._authorised(entry, command.payment)
        self._payments.change(entry, payment)
        freed = self._book.release(entry, hold, amount=amount)
        entry.emit(PaymentReversed(payment.id, freed))
        entry.emit(ledger_events.HoldReleased(hold.id, hold.debit_account, freed))
        if hold.status != HoldStatus.OPEN:
            captured = payment.captured > 0
            self._end(payment, PaymentStatus.CAPTURED if captured else PaymentStatus.REVERSED)
        return _ok(show(payment))

    def raise_authorisation(self, command: RaiseAuthorisation, entry: Entry) -> Answer:
        """Authorise more on a card payment; passes the gate for the amount added.

        When the gate asks for more than a review, or the funds do not suffice, the answer is
        a refusal, the payment stands as it was, and the decision is kept.

        Raises:
            PaymentNotFound, PaymentStateConflict, AmountOutOfRange.
        """
        amount = positive_amount(command.amount)
        payment, hold = self._authorised(entry, command.payment)
        self._payments.change(entry, payment)
        decision, verdict = self._payments.judge_raise(entry, payment, amount)
        try:
            _demand_allowed(verdict.outcome)
            self._book.raise_hold(
                entry, hold, amount=amount, authority=Authority.decision(decision)
            )
        except Refusal as refusal:
            entry.emit(PaymentRefused(payment.id, refusal.code, refusal.field))
            return refused(refusal.with_traceback(None))
        payment.amount += amount
        entry.emit(AuthorisationRaised(payment.id, decision, amount))
        entry.emit(ledger_events.HoldRaised(hold.id, hold.debit_account, amount))
        return _ok(show(payment))

    def release(self, command: ReleasePayment, entry: Entry) -> Answer:
        """Let a held payment go on: what was set aside is freed, and the gate decides again.

        Raises:
            PaymentNotFound, PaymentStateConflict.
        """
        payment = self._in(entry, command.payment, PaymentStatus.HELD)
        self._payments.change(entry, payment)
        entry.emit(PaymentReleased(payment.id, command.reason_code))
        self._free(entry, payment)
        return _ok(self._payments.decide_again(entry, payment, discharged=Outcome.HOLD))

    def answer_challenge(self, command: AnswerChallenge, entry: Entry) -> Answer:
        """Go on with a payment whose customer passed the challenge; end it if they failed.

        Raises:
            PaymentNotFound, PaymentStateConflict.
        """
        payment = self._in(entry, command.payment, PaymentStatus.CHALLENGED)
        self._payments.change(entry, payment)
        entry.emit(ChallengeAnswered(payment.id, command.has_passed))
        if command.has_passed:
            return _ok(self._payments.decide_again(entry, payment, discharged=Outcome.STEP_UP))
        entry.emit(PaymentDeclined(payment.id, payment.decision, payment.outcome))
        self._end(payment, PaymentStatus.DECLINED)
        return _ok(show(payment, reason="challenge_failed"))

    def confirm(self, command: ConfirmPayment, entry: Entry) -> Answer:
        """Go on with a payment whose customer passed a step-up.

        Raises:
            PaymentNotFound, PaymentStateConflict.
            StepUpNeeded: if the customer has not passed one for exactly this payment.
        """
        payment = self._in(entry, command.payment, PaymentStatus.CHALLENGED)
        self._spend(entry, payment, command.step_up)
        self._payments.change(entry, payment)
        entry.emit(ChallengeAnswered(payment.id, has_passed=True))
        return _ok(self._payments.decide_again(entry, payment, discharged=Outcome.STEP_UP))

    def cancel(self, command: CancelPayment, entry: Entry) -> Answer:
        """End a payment that waits for a person or for the customer.

        Raises:
            PaymentNotFound, PaymentStateConflict.
        """
        payment = self._in(entry, command.payment, PaymentStatus.HELD, PaymentStatus.CHALLENGED)
        self._payments.change(entry, payment)
        self._free(entry, payment)
        entry.emit(PaymentCancelled(payment.id))
        self._end(payment, PaymentStatus.CANCELLED)
        return _ok(show(payment))

    def expire(self, command: ExpirePayment, entry: Entry) -> Answer:
        """End a payment whose time has passed, and the hold that belongs to it."""
        payment = self._payments.payment(entry, command.payment)
        self._payments.change(entry, payment)
        if payment.status in (PaymentStatus.AUTHORISED, PaymentStatus.HELD):
            assert payment.hold is not None, "a payment in these states has a hold"
            hold = self._book.hold(payment.hold)
            freed = self._book.expire(entry, hold)
            entry.emit(ledger_events.HoldExpired(hold.id, hold.debit_account, freed))
        entry.emit(PaymentExpired(payment.id))
        captured = payment.captured > 0
        self._end(payment, PaymentStatus.CAPTURED if captured else PaymentStatus.EXPIRED)
        return _ok(show(payment))

    # ---- small steps

    def _spend(self, entry: Entry, payment: Payment, step_up: int) -> None:
        """Use up the proof that was given for this payment, its amount and its payee."""
        self._step_ups.spend(
            entry,
            step_up,
            customer=self._book.accounts[payment.debit_account].owner,
            act=customers.Act.PAYMENT,
            digest=customers.act_digest(
                customers.Act.PAYMENT,
                number=payment.id,
                amount=payment.amount,
                currency=payment.currency,
                to=payment.credit_account,
            ),
        )

    def _in(self, entry: Entry, number: int, *statuses: PaymentStatus) -> Payment:
        payment = self._payments.payment(entry, number)
        if payment.status not in statuses:
            status = PaymentStatus(payment.status).name.lower()
            message = f"the payment is {status}"
            raise PaymentStateConflict(message)
        return payment

    def _authorised(self, entry: Entry, number: int) -> tuple[Payment, Hold]:
        payment = self._in(entry, number, PaymentStatus.AUTHORISED)
        assert payment.hold is not None, "an authorised payment has a hold"
        return payment, self._book.hold(payment.hold)

    def _free(self, entry: Entry, payment: Payment) -> None:
        """Release what was set aside while the payment waited."""
        if payment.status == PaymentStatus.HELD and payment.hold is not None:
            hold = self._book.hold(payment.hold)
            freed = self._book.release(entry, hold)
            entry.emit(ledger_events.HoldReleased(hold.id, hold.debit_account, freed))
            payment.hold = None

    @staticmethod
    def _end(payment: Payment, status: PaymentStatus) -> None:
        payment.status = status
        payment.expires_at = None
        payment.request = None


def _ok(answer: Answer) -> Answer:
    return Answer(_OK if answer.status < 400 else answer.status, answer.body)


def _demand_allowed(outcome: Outcome) -> None:
    """An authorisation is raised at once or not at all: nothing can wait meanwhile.

    Raises:
        PaymentDeclinedByGate: for anything above a review.
    """
    if outcome > Outcome.REVIEW:
        message = "the bank does not authorise more on this payment"
        raise PaymentDeclinedByGate(message)
