"""Refusals of retention."""

from scudo.kernel import Refusal


class LegalHoldInForce(Refusal):
    """Raised when something would be forgotten that an authority wants kept."""

    code = "legal_hold_in_force"
    kind = "conflict"
    next_step = "Nothing of this customer is erased while the hold is in force; see /v1/retention."


class RetentionSuspended(Refusal):
    """Raised when the log may not be the one that its witness knows, such as an older backup."""

    code = "retention_suspended"
    kind = "unavailable"
    retryable = True
    next_step = "Nothing is forgotten before log and witness agree; see `scudo verify`."
