"""Refusals of what customers do to sign up, log in, and prove who they are.

What a stranger is told never says whether somebody is known: one refusal stands for an unknown
name, a wrong proof and one that is used up.
"""

from scudo.fabric import web
from scudo.kernel import Refusal


class CodeRefused(Refusal):
    """Raised when a mailed code is wrong, used, expired or tried too often."""

    code = "code_refused"
    kind = "unauthenticated"
    next_step = "Check the code; after five tries or ten minutes ask for a new one."


class LogInRefused(Refusal):
    """Raised when a log-in's name and proofs do not go together."""

    code = "log_in_refused"
    kind = "unauthenticated"
    next_step = "Check name, password and code, or use a passkey; a used code is not good again."


class LogInDeclined(Refusal):
    """Raised when the bank's gate lets nobody in this way now."""

    code = "log_in_declined"
    kind = "forbidden"
    next_step = "Log in by a passkey on a device that you have used before, or ask the bank."


class LogInCodeNeeded(LogInDeclined):
    """Raised when a log-in by password needs more, and its customer has no passkey."""

    code = "log_in_code_needed"
    next_step = "Ask for a code by `POST /v1/log-ins/codes`, and log in again with it and its id."


class TooManyAttempts(web.WebRefusal):
    """Raised when too many attempts came before this one; nothing was looked at."""

    code = "too_many_attempts"
    kind = "limited"
    retryable = True
    next_step = "Wait for Retry-After seconds; each further failure makes it longer."


class RefreshRefused(Refusal):
    """Raised when a refresh token is not good, or not with this key."""

    code = "refresh_refused"
    kind = "unauthenticated"
    next_step = "Log in anew."


class SessionOver(Refusal):
    """Raised when a session has ended."""

    code = "session_over"
    kind = "unauthenticated"
    next_step = "Log in anew."


class SessionUnknown(Refusal):
    """Raised when the customer has no such session."""

    code = "session_not_found"
    kind = "not_found"
    next_step = "List the sessions; ses_ and sixteen hex digits name one."


class FreshProofNeeded(Refusal):
    """Raised when an act needs a proof of who asks that is newer than the session's."""

    code = "fresh_proof_needed"
    kind = "forbidden"
    next_step = "Log in again on this device, or pass a step-up, and ask again."


class ActUnusual(Refusal):
    """Raised when an act is not like its customer, and this session has not been proven anew."""

    code = "act_unusual"
    kind = "forbidden"
    next_step = "Begin a step-up, pass it in this session, and ask again within ten minutes."


class ActDeclined(Refusal):
    """Raised when the bank's gate does not let a session do something now."""

    code = "act_declined"
    kind = "forbidden"
    next_step = "Ask the bank."


class ChallengeUnknown(Refusal):
    """Raised when a challenge was not given, was used, or is too old."""

    code = "challenge_unknown"
    kind = "conflict"
    next_step = "Ask for a new challenge and answer it within five minutes."


class PasswordUnproven(Refusal):
    """Raised when a password is to be changed without the one before, or a step-up."""

    code = "password_unproven"
    kind = "unauthenticated"
    next_step = "Send the current password, or pass a step-up for credentials and name it."


class PasswordTooWeak(Refusal):
    """Raised when a password is too short, too long, or easy to guess."""

    code = "password_too_weak"
    kind = "unprocessable"
    next_step = "Choose 12 to 128 characters that say something nobody else would think of."


class CredentialLimit(Refusal):
    """Raised when a customer has as many passkeys as can be kept, or would have none left."""

    code = "credential_limit"
    kind = "conflict"
    next_step = "Remove a passkey before adding one; add one before removing the last."


class CredentialUnknown(Refusal):
    """Raised when the customer has no such credential."""

    code = "credential_not_found"
    kind = "not_found"
    next_step = "List the credentials."


class CredentialTaken(Refusal):
    """Raised when a passkey is registered already."""

    code = "credential_taken"
    kind = "conflict"
    next_step = "Make a new passkey."


class CoolingOff(Refusal):
    """Raised when something must wait because the account was recovered a short time ago."""

    code = "cooling_off"
    kind = "forbidden"
    next_step = "Wait until the time that `GET /v1/me` names; a session from before can stop it."


class StepUpUnknown(Refusal):
    """Raised when there is no such step-up of this session, or it cannot be used any more."""

    code = "step_up_not_found"
    kind = "not_found"
    next_step = "Begin a new step-up."


class StepUpRefused(Refusal):
    """Raised when the proof of a step-up does not hold."""

    code = "step_up_refused"
    kind = "unauthenticated"
    next_step = "Answer the challenge again; after five tries begin a new step-up."


class StepUpNeeded(Refusal):
    """Raised when an act is not covered by a step-up that was passed for exactly it."""

    code = "step_up_needed"
    kind = "forbidden"
    next_step = "Begin a step-up that names the act, its amount and its payee, and pass it."


class RecoveryUnknown(Refusal):
    """Raised when no recovery is under way that could be stopped."""

    code = "recovery_not_found"
    kind = "not_found"
    next_step = "There is nothing to stop."


class PasswordsBusy(Refusal):
    """Raised when more passwords are being checked than can wait; nothing was done."""

    code = "passwords_busy"
    kind = "unavailable"
    retryable = True
    next_step = "Nothing was changed. Send the same request again after Retry-After seconds."


class AddressMalformed(Refusal):
    """Raised when a text is not an e-mail address that mail can be sent to."""

    code = "address_malformed"
    kind = "unprocessable"
    next_step = "Send an address such as ada@example.com."


class ActIncomplete(Refusal):
    """Raised when a step-up for a payment does not say which, how much and to whom."""

    code = "act_incomplete"
    next_step = "Send the payment's id, amount, currency and payee with the act `payment` only."
