"""What payments tell the log."""

from typing import Annotated, ClassVar

from scudo.fabric import INSTANT, Event
from scudo.kernel import ids

Instant = Annotated[int, INSTANT]


class PaymentInitiated(Event, frozen=True, tag=401):
    """A payment was asked for; its gate decides in the same entry."""

    name: ClassVar[str] = "payments.payment.initiated.v1"

    payment: ids.PaymentId
    kind: int
    debit_account: ids.AccountId
    credit_account: ids.AccountId | None
    amount_minor: int
    currency: int


class PaymentAuthorised(Event, frozen=True, tag=402):
    """A card payment may be captured: the amount is held, or goes out at once."""

    name: ClassVar[str] = "payments.payment.authorised.v1"

    payment: ids.PaymentId
    decision: ids.DecisionId
    hold: ids.HoldId | None


class PaymentCaptured(Event, frozen=True, tag=403):
    """Money of a card payment was posted."""

    name: ClassVar[str] = "payments.payment.captured.v1"

    payment: ids.PaymentId
    amount_minor: int
    transfer: ids.TransferId
    is_final: bool


class PaymentSettled(Event, frozen=True, tag=404):
    """Money of a payment between accounts was posted."""

    name: ClassVar[str] = "payments.payment.settled.v1"

    payment: ids.PaymentId
    transfer: ids.TransferId


class PaymentReversed(Event, frozen=True, tag=405):
    """An authorisation was taken back; what was held and not captured is available again."""

    name: ClassVar[str] = "payments.payment.reversed.v1"

    payment: ids.PaymentId
    amount_minor: int


class PaymentRefused(Event, frozen=True, tag=406):
    """A payment, or an act on one, was refused; nothing moved.

    `payment` is the payment acted on; if the refusal came before there was one, the
    number that it would have had.
    """

    name: ClassVar[str] = "payments.payment.refused.v1"

    payment: ids.PaymentId
    code: str
    field: str | None


class PaymentDeclined(Event, frozen=True, tag=407):
    """A gate said no to a payment."""

    name: ClassVar[str] = "payments.payment.declined.v1"

    payment: ids.PaymentId
    decision: ids.DecisionId
    outcome: int


class PaymentHeld(Event, frozen=True, tag=408):
    """A payment waits for a person; its amount is set aside until then or until it expires."""

    name: ClassVar[str] = "payments.payment.held.v1"

    payment: ids.PaymentId
    decision: ids.DecisionId
    expires_at: Instant


class PaymentChallenged(Event, frozen=True, tag=409):
    """A payment waits for the customer to prove who they are."""

    name: ClassVar[str] = "payments.payment.challenged.v1"

    payment: ids.PaymentId
    decision: ids.DecisionId
    expires_at: Instant


class ChallengeAnswered(Event, frozen=True, tag=410):
    """The customer passed or failed the challenge of a payment."""

    name: ClassVar[str] = "payments.challenge.answered.v1"

    payment: ids.PaymentId
    has_passed: bool


class PaymentReleased(Event, frozen=True, tag=411):
    """A person let a held payment go on; its gate decides again in the same entry."""

    name: ClassVar[str] = "payments.payment.released.v1"

    payment: ids.PaymentId
    reason_code: str


class PaymentCancelled(Event, frozen=True, tag=412):
    """A payment that waited was cancelled."""

    name: ClassVar[str] = "payments.payment.cancelled.v1"

    payment: ids.PaymentId


class PaymentExpired(Event, frozen=True, tag=413):
    """The time of a payment that waited, or of its authorisation, passed."""

    name: ClassVar[str] = "payments.payment.expired.v1"

    payment: ids.PaymentId


class TextReceived(Event, frozen=True, tag=415):
    """A text came with a payment: the vault keeps it, unless it is sealed.

    Attributes:
        text: its claim, which leads to it through the vault alone.
        signals: bits of the vault's `TextSignal`.
    """

    name: ClassVar[str] = "payments.text.received.v1"

    payment: ids.PaymentId
    text: int
    signals: int


class AuthorisationRaised(Event, frozen=True, tag=414):
    """More was authorised on a card payment."""

    name: ClassVar[str] = "payments.authorisation.raised.v1"

    payment: ids.PaymentId
    decision: ids.DecisionId
    amount_minor: int


class PaymentRefunded(Event, frozen=True, tag=441):
    """Money of a payment goes back by a payment of its own, which moved it or waits for a gate."""

    name: ClassVar[str] = "payments.payment.refunded.v1"

    payment: ids.PaymentId
    refund: ids.PaymentId
    amount_minor: int
    reason_code: str
