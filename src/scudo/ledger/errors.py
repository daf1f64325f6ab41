"""Refusals of the ledger, in the order in which they are checked."""

from scudo.kernel import Refusal


class AccountNotFound(Refusal):
    """Raised when there is no such account, or not one that the caller may see."""

    code = "account_not_found"
    kind = "not_found"
    next_step = "Check the account id; it is acc_ and sixteen hex digits."


class SameAccount(Refusal):
    """Raised when debit and credit side are the same account."""

    code = "same_account"
    kind = "unprocessable"
    next_step = "Name two different accounts."


class AccountClosed(Refusal):
    """Raised when a closed account would be moved."""

    code = "account_closed"
    kind = "unprocessable"
    next_step = "Use an open account; a closed one takes no movements."


class AccountNotEmpty(Refusal):
    """Raised when an account that has a balance or a hold would be closed."""

    code = "account_not_empty"
    kind = "conflict"
    retryable = True
    next_step = "Move the balance away and wait for its holds to end, then close it."


class CurrencyMismatch(Refusal):
    """Raised when an account is of another currency than the movement."""

    code = "currency_mismatch"
    kind = "unprocessable"
    next_step = "Send the currency of both accounts; exchange is a journal of two legs."


class BalanceOutOfRange(Refusal):
    """Raised when a total of an account would no longer fit 64 bits."""

    code = "balance_out_of_range"
    kind = "unprocessable"
    next_step = "Send a smaller amount; totals of an account are 64-bit numbers."


class InsufficientFunds(Refusal):
    """Raised when the available balance, with the account's limit, does not cover it."""

    code = "insufficient_funds"
    kind = "unprocessable"
    retryable = True
    next_step = "Send a smaller amount, or fund the account first (with a new key)."


class HoldNotFound(Refusal):
    """Raised when there is no such hold."""

    code = "hold_not_found"
    kind = "not_found"
    next_step = "Check the id; it is hld_ and sixteen hex digits."


class HoldEnded(Refusal):
    """Raised when a hold was captured or released in whole."""

    code = "hold_ended"
    kind = "conflict"
    next_step = "Nothing is held any more; authorise again."


class HoldOfPayment(Refusal):
    """Raised when a journal would change a hold that a payment placed."""

    code = "hold_of_payment"
    kind = "conflict"
    next_step = "Capture, reverse, release or cancel the payment that placed the hold."


class HoldExpired(Refusal):
    """Raised when the time of a hold has passed."""

    code = "hold_expired"
    kind = "conflict"
    next_step = "The hold has expired; authorise again."


class CaptureTooHigh(Refusal):
    """Raised when more would be captured than was held and its tolerance allows."""

    code = "capture_too_high"
    kind = "unprocessable"
    next_step = "Capture at most what is still held plus the tolerance, or raise the hold first."


class ReleaseTooHigh(Refusal):
    """Raised when more would be released than is still held."""

    code = "release_too_high"
    kind = "unprocessable"
    next_step = "Release at most what is still held."


class JournalMalformed(Refusal):
    """Raised when a journal has no movement or more than its ids can say."""

    code = "journal_malformed"
    kind = "unprocessable"
    next_step = "Send 1 to 4096 movements."


class JournalNotFound(Refusal):
    """Raised when there is no such journal."""

    code = "journal_not_found"
    kind = "not_found"
    next_step = "Check the id; it is jnl_ and sixteen hex digits."
