"""Refusals of operators: who they are, what they may, and what they want of each other."""

from scudo.kernel import Refusal


class OperatorNotFound(Refusal):
    """Raised when there is no such operator."""

    code = "operator_not_found"
    kind = "not_found"
    next_step = "Check the operator id; it is opr_ and sixteen hex digits."


class OperatorsExist(Refusal):
    """Raised when the first operators are enrolled and the bank has some."""

    code = "operators_exist"
    kind = "conflict"
    next_step = "Ask one of the bank's security officers for an invitation."


class HandleTaken(Refusal):
    """Raised when another operator has this handle."""

    code = "handle_taken"
    kind = "conflict"
    next_step = "Use another handle."


class InvitationInvalid(Refusal):
    """Raised when an invitation is unknown, used or too old."""

    code = "invitation_invalid"
    kind = "unauthenticated"
    next_step = "Ask whoever invited you for a new invitation."


class PasskeyKnown(Refusal):
    """Raised when a passkey is enrolled already."""

    code = "passkey_known"
    kind = "conflict"
    next_step = "Use another authenticator."


class PasskeysFull(Refusal):
    """Raised when an operator has as many passkeys as one may have."""

    code = "passkeys_full"
    kind = "conflict"
    next_step = "Ask a security officer to recover your access: it begins with none."


class LogInThrottled(Refusal):
    """Raised when too many log-ins failed a moment ago; nothing was looked at."""

    code = "log_in_throttled"
    kind = "limited"
    retryable = True
    next_step = "Wait a minute and log in again."


class SessionNotFound(Refusal):
    """Raised when there is no such session, or not one that the caller may end."""

    code = "operator_session_not_found"
    kind = "not_found"
    next_step = "Look your sessions up."


class OperatorStateConflict(Refusal):
    """Raised when an operator is not in the state that an act needs."""

    code = "operator_state_conflict"
    kind = "conflict"
    next_step = "Look the operator up."


class SelfAdministered(Refusal):
    """Raised when somebody changes their own access."""

    code = "self_administered"
    kind = "forbidden"
    next_step = "Somebody else has to do this."


class RoleUnknown(Refusal):
    """Raised when there is no such role, or not one that can be granted so."""

    code = "role_unknown"
    kind = "unprocessable"
    next_step = "Name one of the roles of docs/access-matrix.md."


class RoleHeld(Refusal):
    """Raised when an operator has a role that is granted, or lacks one that is dropped."""

    code = "role_held"
    kind = "conflict"
    next_step = "Look the operator up."


class DutiesConflict(Refusal):
    """Raised when one person would move money and change what controls it."""

    code = "duties_conflict"
    kind = "forbidden"
    next_step = "Another person has to do this, or the same person after 72 hours."


class BreakGlassUnsealed(Refusal):
    """Raised when there is no sealed secret that could be opened."""

    code = "break_glass_unsealed"
    kind = "conflict"
    next_step = "Seal one: `scudo operator seal-break-glass`, on the bank's machine."


class BreakGlassUnfit(Refusal):
    """Raised when a secret is split so that one person alone opens it, or nobody."""

    code = "break_glass_unfit"
    kind = "unprocessable"
    next_step = "Make 2 to 16 shares, and have at least 2 of them needed."


class BreakGlassWrong(Refusal):
    """Raised when shares are not those of the sealed secret, or too few."""

    code = "break_glass_wrong"
    kind = "forbidden"
    next_step = "Enter as many shares as were said when they were made, each whole and once."


class ReviewNotFound(Refusal):
    """Raised when there is no such review, or nothing in it of this operator and role."""

    code = "review_not_found"
    kind = "not_found"
    next_step = "Look the review up."


class ReviewAnsweredBefore(Refusal):
    """Raised when a line of a review has an answer."""

    code = "review_answered"
    kind = "conflict"
    next_step = "Look the review up."
