"""Refusals of payments."""

from scudo.kernel import Refusal


class PaymentNotFound(Refusal):
    """Raised when there is no such payment, or not one that the caller may see."""

    code = "payment_not_found"
    kind = "not_found"
    next_step = "Check the payment id; it is pay_ and sixteen hex digits."


class PaymentStateConflict(Refusal):
    """Raised when a payment is not in a state in which this can be done."""

    code = "payment_state_conflict"
    kind = "conflict"
    next_step = "Read the payment; its status says what can still be done."


class PaymentDeclinedByGate(Refusal):
    """Raised when a gate says no to raising an authorisation."""

    code = "payment_declined"
    kind = "unprocessable"
    next_step = "The payment stands as it was; ask the customer to contact the bank."


class CardNumberRefused(Refusal):
    """Raised when a card reference looks like a card number."""

    code = "card_number_refused"
    kind = "unprocessable"
    next_step = "Send a reference of your own for the card, never its number."


class RefundTooHigh(Refusal):
    """Raised when more of a payment would go back than came, or in too many parts."""

    code = "refund_too_high"
    kind = "unprocessable"
    next_step = "Look up the payment's refunds; ask for what is left."


class RefundOutside(Refusal):
    """Raised when the payee of a payment has no account here from which it could go back."""

    code = "refund_outside"
    kind = "unprocessable"
    next_step = "Have the payee's bank or the card's network send the money back."
