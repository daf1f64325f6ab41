"""Refusals of proofs, and what must never be."""

from scudo.kernel import InvariantBroken, Refusal


class EvidenceContradicted(InvariantBroken):
    """The log, its tree, its signed heads and their witness do not tell the same: a forgery."""


class ProofNotReady(Refusal):
    """Raised when no signed head covers yet what is to be proven."""

    code = "proof_not_ready"
    kind = "unavailable"
    retryable = True
    next_step = (
        "Start `scudo serve`, which signs every few seconds (ML-DSA-65: every hour), and ask again."
    )


class EntryUnknown(Refusal):
    """Raised when the log holds nothing under an id that is to be proven."""

    code = "entry_unknown"
    kind = "not_found"
    next_step = "Give the id of a payment as the bank gave it."


class HeadUnknown(Refusal):
    """Raised when no head was signed when the log had a size."""

    code = "head_unknown"
    kind = "not_found"
    next_step = "Give sizes of signed heads; the lines of the witness tell them."


class LogContradictsHead(Refusal):
    """Raised when what is stored does not lead to what was signed."""

    code = "log_contradicts_head"
    kind = "conflict"
    next_step = "Run `scudo verify`: it names the first row that is not as it was signed."


class GateShut(Refusal):
    """Raised when nobody decides at a gate that must be passed; nothing was done."""

    code = "gate_shut"
    kind = "unavailable"
    retryable = True
    next_step = "Nothing was changed. Ask the bank's operator to put its gates into service."


class MandateUnknown(Refusal):
    """Raised when money would be moved under a mandate that there is not."""

    code = "mandate_unknown"
    kind = "unprocessable"
    next_step = "Name a mandate of the list that GET /v1/mandates gives."


class MandateLapsed(Refusal):
    """Raised when a mandate is not valid yet, or not any more."""

    code = "mandate_lapsed"
    kind = "unprocessable"
    next_step = "Have the mandate approved for this time, then send the journal with a new key."


class MandateExceeded(Refusal):
    """Raised when a mandate does not cover the accounts or the amount of a movement."""

    code = "mandate_exceeded"
    kind = "unprocessable"
    next_step = "Keep within the mandate, use another one, or have a wider one approved."


class MandateMalformed(Refusal):
    """Raised when the terms of a mandate contradict each other."""

    code = "mandate_malformed"
    kind = "unprocessable"
    next_step = "Correct the field that is named."
