"""Refusals of the log and its writer."""

from scudo.kernel import Refusal


class IdempotencyKeyReused(Refusal):
    """Raised when a key that was answered comes again with another request."""

    code = "idempotency_key_reused"
    kind = "unprocessable"
    next_step = "Use a new Idempotency-Key for a new request; the field named differs."


class Overloaded(Refusal):
    """Raised when the queue before the writer is full; nothing was done."""

    code = "overloaded"
    kind = "unavailable"
    retryable = True
    next_step = "Nothing was done. Wait a moment and send the same request again."


class BankUnavailable(Refusal):
    """Raised when the database cannot take the request now; nothing was done."""

    code = "bank_unavailable"
    kind = "unavailable"
    retryable = True
    next_step = "Nothing was done. Send the same request again in a few seconds."


class OutcomeUnknown(Refusal):
    """Raised when it is not known whether the request was committed."""

    code = "outcome_unknown"
    kind = "unavailable"
    retryable = True
    next_step = "Send the same request with the same Idempotency-Key: it is done at most once."


class WriterFenced(Refusal):
    """Raised when another writer has taken over the log; nothing was done by this one."""

    code = "writer_fenced"
    kind = "unavailable"
    retryable = True
    next_step = "Nothing was done. Send the same request to the writer that has taken over."


class WriterAlive(Refusal):
    """Raised at start when another writer holds the log and is alive."""

    code = "writer_alive"
    kind = "conflict"
    retryable = True
    next_step = "Use the running server (replay has --url), or stop it first."


class RequestPoisoned(Refusal):
    """Raised when a request cannot be worked on because of a fault on our side."""

    code = "request_poisoned"
    kind = "internal"
    next_step = "Nothing was done. Report the trace id; other requests are not affected."


class ClockIsLive(Refusal):
    """Raised when a file would drive the log's clock after live traffic has run."""

    code = "clock_is_live"
    kind = "conflict"
    next_step = "Replay files into a bank of its own (another SCUDO_HOME)."


class LogPastTime(Refusal):
    """Raised when a file asks for a time that the log has passed by more than a minute."""

    code = "log_past_time"
    kind = "conflict"
    next_step = "Send what a file holds in its order, or replay it into a bank of its own."


class AnswerNotFound(Refusal):
    """Raised when nothing has been answered under an idempotency key of the caller's."""

    code = "answer_not_found"
    kind = "not_found"
    retryable = True
    next_step = "Nothing was done under this key so far; the request may be sent with it."
