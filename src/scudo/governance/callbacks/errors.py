"""Refusals of what comes in from others' systems.

Refusal
├── CallbackUnsigned, CallbackStale, CallbackForged     who sent it is not proven: 401
├── CallbackUnreadable                                  signed, and not as agreed
├── CallbackUnexpected                                  signed, and contradicts our own state
└── CallbackUnknown, CallbackKeyUnknown, CallbackKeyMalformed     of those who keep the keys
"""

from scudo.kernel import InvariantBroken, Refusal


class CallbackUndeclared(InvariantBroken):
    """A callback was to be mounted that the inventory does not list."""


class CallbackUnsigned(Refusal):
    """Raised when a callback lacks a header of its signature, or one cannot be read."""

    code = "callback_unsigned"
    kind = "unauthenticated"
    next_step = "Send webhook-id, webhook-timestamp and webhook-signature as agreed."


class CallbackStale(Refusal):
    """Raised when a callback's time lies outside the window around ours."""

    code = "callback_stale"
    kind = "unauthenticated"
    next_step = "Sign each attempt anew with the time of the attempt, by a clock that is right."


class CallbackForged(Refusal):
    """Raised when no signature of a callback was made with a key that is good now."""

    code = "callback_forged"
    kind = "unauthenticated"
    next_step = "Sign the bytes of the body that are sent, with a key that has not been revoked."


class CallbackUnreadable(Refusal):
    """Raised when a signed callback's body is not as agreed."""

    code = "callback_unreadable"
    kind = "unprocessable"
    next_step = "Send the body that docs/callbacks.md describes. Nothing was changed."


class CallbackUnexpected(Refusal):
    """Raised when a signed callback contradicts what the bank's own state expects."""

    code = "callback_unexpected"
    kind = "conflict"
    next_step = "Compare your state with the bank's. Nothing was changed."


class CallbackUnknown(Refusal):
    """Raised when the inventory has no callback of this name."""

    code = "callback_unknown"
    kind = "not_found"
    next_step = "Use a name that GET /v1/callbacks lists."


class CallbackKeyUnknown(Refusal):
    """Raised when a callback has no such key that is good."""

    code = "callback_key_unknown"
    kind = "not_found"
    next_step = "Use an id that GET /v1/callbacks lists."


class CallbackKeyMalformed(Refusal):
    """Raised when a key is not one that this callback can be signed with."""

    code = "callback_key_malformed"
    next_step = "Send whpk_ and the Base64 of a 32-byte Ed25519 key, or none for an HMAC secret."
