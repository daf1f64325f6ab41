"""The way of a payment: gate, then ledger, in one entry of the log."""

from typing import Any, Final

import msgspec

from scudo.decisions import Gate, GateEvent, Gatekeeper, Outcome, Verdict
from scudo.decisions import lists as named
from scudo.fabric import Answer, Deadlines, Entry, Touched, refused
from scudo.identity import Registry
from scudo.kernel import Prefix, Refusal, ids, positive_amount, rfc3339
from scudo.ledger import Account, Authority, Book, Product
from scudo.ledger import errors as ledger_errors
from scudo.ledger import events as ledger_events
from scudo.payments.commands import AuthoriseCard, Pay, PayWithText
from scudo.payments.errors import PaymentNotFound
from scudo.payments.events import (
    PaymentAuthorised,
    PaymentCaptured,
    PaymentChallenged,
    PaymentDeclined,
    PaymentHeld,
    PaymentInitiated,
    PaymentRefused,
    PaymentSettled,
    TextReceived,
)
from scudo.payments.model import (
    AUTHORISATION_US,
    CARD_TOLERANCE_BPS,
    CHALLENGE_US,
    HELD_US,
    Payment,
    PaymentKind,
    PaymentStatus,
)

_encode: Final = msgspec.json.Encoder().encode
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(AuthoriseCard | Pay | PayWithText).decode
_ORDERS: Final = frozenset(kind.__struct_config__.tag for kind in (AuthoriseCard, Pay, PayWithText))
_SECOND_US: Final = 1_000_000

#: Business code of transfers that payments make.
CODE_CARD: Final = 401
CODE_TRANSFER: Final = 402
#: The one reason that customers and partners get when a gate says no.
DECLINED_REASON: Final = "declined_by_bank"
_NOTHING: Final[frozenset[Outcome]] = frozenset()
_NOT_FOUND: Final = "there is no such payment"


class PaymentBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answer to a payment: where it stands now."""

    id: str
    status: str
    amount_minor: int
    decision_id: str
    captured_minor: int = 0
    hold_id: str | None = None
    transfer_id: str | None = None
    expires_at: str | None = None
    reason: str | None = None


class Payments:
    """Payments as the one writer sees them, and what happens to them at the gate."""

    def __init__(
        self,
        *,
        book: Book,
        registry: Registry,
        gatekeeper: Gatekeeper,
        lists: named.Lists | None = None,
    ) -> None:
        """Work on one ledger, one registry of customers, one gate, and the lists that it asks."""
        self.lists = named.Lists() if lists is None else lists
        self.book = book
        self.registry = registry
        self.gatekeeper = gatekeeper
        self.payments: dict[int, Payment] = {}
        self.touched: Touched[Payment] = Touched()
        self.expiries = Deadlines()

    def payment(self, entry: Entry, number: int) -> Payment:
        """Find a payment that was prepared, among those that the entry may touch.

        Raises:
            PaymentNotFound: if there is none.
        """
        found = self.payments.get(number)
        if found is None or (
            entry.owner is not None and self.book.accounts[found.debit_account].owner != entry.owner
        ):
            raise PaymentNotFound(_NOT_FOUND, field="payment_id")
        return found

    def next_expiry(self, now: int) -> Payment | None:
        """The waiting payment whose time passed first, at or before `now`."""
        return self.expiries.first(now, self.payments)

    def change(self, entry: Entry, payment: Payment) -> None:
        """Begin to change a payment: with the way back, and marked for the store."""
        entry.correlation = payment.id
        if payment.expires_at is not None:
            # `next_expiry` drops a date that no longer holds; one that holds again is needed.
            entry.undo(self.expiries.add, payment.expires_at, payment.id)
        entry.undo(
            payment.restore, payment.state(), payment.hold, payment.expires_at, payment.request
        )
        entry.undo(setattr, payment, "reasons", payment.reasons)
        payment.version += 1
        self.touched.add(payment)

    def refuse(self, entry: Entry, number: int, refusal: Refusal) -> None:
        """Record that a payment, or an act on one, was refused."""
        entry.correlation = number
        entry.emit(PaymentRefused(number, refusal.code, refusal.field))

    # ---- new payments

    def authorise_card(self, command: AuthoriseCard, entry: Entry) -> Answer:
        """Authorise a card payment: decide, then hold or post."""
        account = self._payer(entry, command, command.account, "account_id")
        credit = self._merchant(command)
        return self._decide(
            entry,
            self._new(entry, PaymentKind.CARD, account, credit, command.amount),
            command,
        )

    def pay(self, command: Pay, entry: Entry) -> Answer:
        """Pay between accounts: decide, then post.

        Raises:
            SameAccount: if the payer is the payee.
            AccountNotFound, CurrencyMismatch, AmountOutOfRange.
        """
        account = self._payer(entry, command, command.debit, "debit_account_id")
        credit = self._payee(command.credit, "credit_account_id")
        if credit is account:
            message = "debit and credit are the same account"
            raise ledger_errors.SameAccount(message, field="credit_account_id")
        payment = self._new(entry, PaymentKind.TRANSFER, account, credit.id, command.amount)
        if isinstance(command, PayWithText):
            payment.text = command.text
            entry.emit(TextReceived(payment.id, command.text, command.text_signals))
        return self._decide(entry, payment, command)

    def _payer(
        self, entry: Entry, command: AuthoriseCard | Pay, number: int, field: str
    ) -> Account:
        positive_amount(command.amount)
        account = self.book.account(number, field=field)
        if account.owner == 0 or (entry.owner is not None and account.owner != entry.owner):
            message = "there is no such account"
            raise ledger_errors.AccountNotFound(message, field=field)
        if account.currency != command.currency:
            message = "the account is of another currency"
            raise ledger_errors.CurrencyMismatch(message, field="currency")
        return account

    def _merchant(self, command: AuthoriseCard) -> int:
        """Credit side: 0 until the bank's settlement account is needed."""
        if command.merchant_account == 0:
            return 0
        return self._payee(command.merchant_account, "merchant_account_id").id

    def _payee(self, number: int, field: str) -> Account:
        account = self.book.account(number, field=field)
        if account.owner == 0:
            message = "there is no such account"
            raise ledger_errors.AccountNotFound(message, field=field)
        return account

    def _new(
        self, entry: Entry, kind: PaymentKind, debit: Account, credit: int, amount: int
    ) -> Payment:
        number = entry.position
        entry.emit(PaymentInitiated(number, kind, debit.id, credit or None, amount, debit.currency))
        return Payment(
            id=number,
            kind=kind,
            debit_account=debit.id,
            credit_account=credit,
            amount=amount,
            currency=debit.currency,
            ordered_at=entry.ordered_at,
            status=PaymentStatus.REFUSED,
            outcome=Outcome.ALLOW,
            decision=0,
        )

    # ---- the gate, for new payments and again for those that waited

    def _decide(self, entry: Entry, payment: Payment, command: AuthoriseCard | Pay) -> Answer:
        answer = self._judge(entry, payment, command)
        self.payments[payment.id] = payment
        self.touched.add(payment)
        entry.undo(self._unmake, payment.id)
        return answer

    def _unmake(self, number: int) -> None:
        del self.payments[number]
        self.touched.discard(number)

    def decide_again(self, entry: Entry, payment: Payment, *, discharged: Outcome) -> Answer:
        """Judge a payment that waited, on fresh state, with one more obligation met.

        What was set aside while it waited has been released by the caller.
        """
        payment.discharged |= 1 << discharged
        return self._judge(entry, payment, _request(payment))

    def judge_raise(self, entry: Entry, payment: Payment, amount: int) -> tuple[int, Verdict]:
        """Ask the gate for an amount that comes on top of an authorisation."""
        command = msgspec.structs.replace(_request(payment), amount=amount)
        event = self._event(entry, payment, command)
        return self.gatekeeper.decide(entry, event, payment=payment.id)

    def _judge(self, entry: Entry, payment: Payment, command: AuthoriseCard | Pay) -> Answer:
        event = self._event(entry, payment, command)
        discharged = payment.discharged
        payment.decision, verdict = self.gatekeeper.decide(
            entry,
            event,
            payment=payment.id,
            discharged=_NOTHING
            if not discharged
            else frozenset(o for o in Outcome if discharged >> o & 1),
        )
        payment.outcome = verdict.outcome
        if verdict.outcome == Outcome.HOLD:
            payment.reasons = self.gatekeeper.reasons_of(self.gatekeeper.policy.hash, verdict.hits)
        payment.expires_at = None
        try:
            return self._follow(entry, payment, command, verdict.outcome)
        except Refusal as refusal:
            # The decision stands and is kept; the ledger said no, so nothing moved.
            payment.status = PaymentStatus.REFUSED
            payment.request = None
            entry.emit(PaymentRefused(payment.id, refusal.code, refusal.field))
            return refused(refusal.with_traceback(None))

    def _follow(
        self, entry: Entry, payment: Payment, command: AuthoriseCard | Pay, outcome: Outcome
    ) -> Answer:
        if outcome >= Outcome.DECLINE:
            return self._decline(entry, payment, outcome)
        if outcome == Outcome.STEP_UP:
            return self._challenge(entry, payment, command)
        if outcome == Outcome.HOLD:
            return self._hold(entry, payment, command)
        payment.request = None
        if isinstance(command, Pay):
            return self._settle(entry, payment)
        if command.capture:
            return self._capture_at_once(entry, payment)
        return self._authorise(entry, payment, command)

    def _decline(self, entry: Entry, payment: Payment, outcome: Outcome) -> Answer:
        blocked = outcome == Outcome.BLOCK
        payment.status = PaymentStatus.BLOCKED if blocked else PaymentStatus.DECLINED
        payment.request = None
        entry.emit(PaymentDeclined(payment.id, payment.decision, outcome))
        return show(payment, reason=DECLINED_REASON)

    def _challenge(self, entry: Entry, payment: Payment, command: AuthoriseCard | Pay) -> Answer:
        payment.status = PaymentStatus.CHALLENGED
        self._wait(payment, command, entry.ordered_at + CHALLENGE_US)
        entry.emit(PaymentChallenged(payment.id, payment.decision, entry.ordered_at + CHALLENGE_US))
        return show(payment)

    def _hold(self, entry: Entry, payment: Payment, command: AuthoriseCard | Pay) -> Answer:
        expires_at = entry.ordered_at + HELD_US
        self._place(entry, payment, expires_at=expires_at, tolerance_bps=0)
        payment.status = PaymentStatus.HELD
        self._wait(payment, command, expires_at)
        entry.emit(PaymentHeld(payment.id, payment.decision, expires_at))
        return show(payment)

    def _wait(self, payment: Payment, command: AuthoriseCard | Pay, expires_at: int) -> None:
        payment.request = _pack(command)
        payment.expires_at = expires_at
        self.expiries.add(expires_at, payment.id)

    def _authorise(self, entry: Entry, payment: Payment, command: AuthoriseCard) -> Answer:
        lasts = command.expires_in_s * _SECOND_US or AUTHORISATION_US
        expires_at = entry.ordered_at + lasts
        self._place(entry, payment, expires_at=expires_at, tolerance_bps=CARD_TOLERANCE_BPS)
        payment.status = PaymentStatus.AUTHORISED
        self._wait(payment, command, expires_at)
        entry.emit(PaymentAuthorised(payment.id, payment.decision, payment.hold))
        return show(payment)

    def _place(
        self, entry: Entry, payment: Payment, *, expires_at: int, tolerance_bps: int
    ) -> None:
        debit, credit = self._sides(entry, payment)
        hold = self.book.place(
            entry,
            debit=debit,
            credit=credit,
            amount=payment.amount,
            tolerance_bps=tolerance_bps,
            expires_at=expires_at,
            authority=Authority.decision(payment.decision),
            code=_code(payment),
        )
        payment.hold = hold.id
        entry.emit(
            ledger_events.HoldPlaced(hold.id, debit.id, payment.amount, expires_at, tolerance_bps)
        )

    def _settle(self, entry: Entry, payment: Payment) -> Answer:
        transfer = self._post(entry, payment)
        payment.status = PaymentStatus.SETTLED
        payment.captured = payment.amount
        entry.emit(PaymentSettled(payment.id, transfer))
        return show(payment, transfer=transfer)

    def _capture_at_once(self, entry: Entry, payment: Payment) -> Answer:
        transfer = self._post(entry, payment)
        payment.status = PaymentStatus.CAPTURED
        payment.captured = payment.amount
        entry.emit(PaymentAuthorised(payment.id, payment.decision, None))
        entry.emit(PaymentCaptured(payment.id, payment.amount, transfer, is_final=True))
        return show(payment, transfer=transfer)

    def _post(self, entry: Entry, payment: Payment) -> int:
        debit, credit = self._sides(entry, payment)
        return self.book.post(
            entry,
            debit=debit,
            credit=credit,
            amount=payment.amount,
            authority=Authority.decision(payment.decision),
            code=_code(payment),
        )

    def _sides(self, entry: Entry, payment: Payment) -> tuple[Account, Account]:
        debit = self.book.accounts[payment.debit_account]
        if payment.credit_account:
            return debit, self.book.accounts[payment.credit_account]
        credit = self.book.house_account(entry, Product.CARD_SETTLEMENT, payment.currency)
        payment.credit_account = credit.id
        return debit, credit

    def _event(self, entry: Entry, payment: Payment, command: AuthoriseCard | Pay) -> GateEvent:
        account = self.book.accounts[payment.debit_account]
        customer = self.registry.customers.get(account.owner)
        if isinstance(command, AuthoriseCard):
            gate, beneficiary = Gate.CARD, None
            card, merchant, mcc = command.card, command.merchant, command.mcc
        else:
            gate, beneficiary = Gate.PAYMENT, command.credit
            card = merchant = mcc = None
        event = GateEvent(
            gate=gate,
            amount_minor=command.amount,
            currency=command.currency,
            customer=account.owner,
            account=account.id,
            beneficiary=beneficiary,
            card=card,
            device=command.device,
            ip=command.ip,
            merchant=merchant,
            mcc=mcc,
            country=command.country,
            latitude_e4=command.latitude_e4,
            longitude_e4=command.longitude_e4,
            channel=command.channel,
            available_minor=account.available,
            account_opened_at=account.opened_at,
            customer_since=customer.registered_at if customer is not None else None,
            occurred_at=command.occurred_at,
            text_signals=command.text_signals if isinstance(command, PayWithText) else None,
            listed=named.NOTHING,
        )
        listed = self.lists.listed(event, ordered_at=entry.ordered_at)
        return msgspec.structs.replace(event, listed=listed) if listed else event


def _request(payment: Payment) -> AuthoriseCard | Pay:
    assert payment.request is not None, "a payment that waits keeps its request"
    command: AuthoriseCard | Pay = _unpack(payment.request)
    return command


def is_order(command: bytes) -> bool:
    """Whether a canonical command orders a payment itself: its tag comes first."""
    return msgspec.msgpack.decode(command, type=list[Any])[0] in _ORDERS


def refund_request(payment: Payment) -> bytes:
    """The order that a refund is, as it would be asked for: it says nothing of device and place."""
    return _pack(order_of(payment.debit_account, payment.credit_account, payment))


def order_of(debit: int, credit: int, payment: Payment, *, amount: int = 0) -> Pay:
    """An order between accounts that nobody's device, and no place, has asked for."""
    return Pay(
        debit=debit,
        credit=credit,
        amount=amount or payment.amount,
        currency=payment.currency,
        device=None,
        ip=None,
        country=None,
        latitude_e4=None,
        longitude_e4=None,
        channel=None,
        occurred_at=None,
    )


def _code(payment: Payment) -> int:
    return CODE_CARD if payment.kind == PaymentKind.CARD else CODE_TRANSFER


_STATUS_NAMES: Final[dict[int, str]] = {status: status.name.lower() for status in PaymentStatus}


def show(payment: Payment, *, transfer: int | None = None, reason: str | None = None) -> Answer:
    """Answer with where a payment stands."""
    body = PaymentBody(
        id=ids.show(Prefix.PAYMENT, payment.id),
        status=_STATUS_NAMES[payment.status],
        amount_minor=payment.amount,
        decision_id=ids.show(Prefix.DECISION, payment.decision),
        captured_minor=payment.captured,
        hold_id=None if payment.hold is None else ids.show(Prefix.HOLD, payment.hold),
        transfer_id=None if transfer is None else ids.show(Prefix.TRANSFER, transfer),
        expires_at=None if payment.expires_at is None else rfc3339(payment.expires_at),
        reason=reason,
    )
    return Answer(201, _encode(body))
