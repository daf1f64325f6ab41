"""Refusals that any HTTP request may meet before a room sees it.

Refusal
└── WebRefusal           may carry headers and a status that no kind has
    ├── RequestMalformed, HeadTooLarge         not HTTP as we read it
    ├── RouteUnknown, MethodNotAllowed         nothing there
    ├── AnswerNotAcceptable, MediaTypeUnsupported, BodyTooLarge
    ├── BodyMalformed, BodyInvalid, BodyUnexpected, QueryInvalid, HeaderInvalid, ReferenceUnfit
    ├── IdempotencyKeyMissing, IdempotencyKeyMalformed, CursorMalformed
    ├── TokenMissing, TokenUnknown, ScopeMissing
    ├── SessionOver, PermissionMissing, ElevationLapsed, SecondPasskeyMissing   operators
    ├── RateLimited, ServerBusy, NotReady                before acceptance: no effect
    └── Unforeseen                             a bug of ours: effect unknown
"""

from collections.abc import Sequence
from typing import ClassVar

from scudo.kernel import STATUS, Refusal

Headers = Sequence[tuple[bytes, bytes]]


class WebRefusal(Refusal):
    """Raised when a request is refused by the HTTP layer itself."""

    code = "request_refused"
    http_status: ClassVar[int | None] = None

    def __init__(self, message: str, *, field: str | None = None, headers: Headers = ()) -> None:
        """Refuse with one sentence; `headers` go with the answer."""
        super().__init__(message, field=field)
        self.headers = headers

    @property
    def status(self) -> int:
        """HTTP status: the class's own, or that of its kind."""
        return status_of(type(self))


def status_of(refusal: type[Refusal]) -> int:
    """HTTP status that every instance of a refusal class is shown with."""
    own = refusal.http_status if issubclass(refusal, WebRefusal) else None
    return STATUS[refusal.kind] if own is None else own


class RequestMalformed(WebRefusal):
    """Raised when the bytes are not an HTTP/1.1 request that can be read in one way only."""

    code = "request_malformed"
    next_step = "Send a well-formed HTTP/1.1 request. Nothing was changed."


class HeadTooLarge(WebRefusal):
    """Raised when request line and headers together are longer than is read."""

    code = "head_too_large"
    http_status = 431
    next_step = "Send fewer or shorter headers. Nothing was changed."


class RouteUnknown(WebRefusal):
    """Raised when no operation has this path."""

    code = "route_unknown"
    kind = "not_found"
    next_step = "Look the path up in /openapi.json."


class MethodNotAllowed(WebRefusal):
    """Raised when the path exists but not with this method."""

    code = "method_not_allowed"
    http_status = 405
    next_step = "Use one of the methods in the Allow header."


class AnswerNotAcceptable(WebRefusal):
    """Raised when the Accept header rules out the form that the answer has."""

    code = "answer_not_acceptable"
    http_status = 406
    next_step = "Accept application/json, or send no Accept header."


class MediaTypeUnsupported(WebRefusal):
    """Raised when a body is sent in another form than the operation reads (JSON in UTF-8)."""

    code = "media_type_unsupported"
    http_status = 415
    next_step = "Send the body in UTF-8 as the documented media type, without content coding."


class BodyTooLarge(WebRefusal):
    """Raised when the body is longer than the operation reads."""

    code = "body_too_large"
    http_status = 413
    next_step = "Send less at once. Nothing was changed."


class BodyMalformed(WebRefusal):
    """Raised when the body is not well formed, or not in UTF-8."""

    code = "body_malformed"
    next_step = "Send one well-formed JSON object. Nothing was changed."


class BodyInvalid(WebRefusal):
    """Raised when a member of the body is missing, unknown, mistyped or out of range."""

    code = "body_invalid"
    next_step = "Correct the member that `field` names. Nothing was changed."


class BodyUnexpected(WebRefusal):
    """Raised when a body is sent to an operation that takes none."""

    code = "body_unexpected"
    next_step = "Send the request without a body. Nothing was changed."


class QueryInvalid(WebRefusal):
    """Raised when a query parameter is unknown, repeated, mistyped or out of range."""

    code = "query_invalid"
    next_step = "Correct the parameter that `field` names."


class HeaderInvalid(WebRefusal):
    """Raised when a header that may come once is repeated, or its value cannot be read."""

    code = "header_invalid"
    next_step = "Send the header that `field` names once, in its documented form."


class ReferenceUnfit(WebRefusal):
    """Raised when a text that goes into the log for ever is no code, or is somebody's data."""

    code = "reference_unfit"
    http_status = 422
    next_step = "Send a code of your own: letters, digits and -_:/. without card, IBAN or mail."


class IdempotencyKeyMissing(WebRefusal):
    """Raised when a request that moves money has no Idempotency-Key header."""

    code = "idempotency_key_missing"
    next_step = "Send an Idempotency-Key of your own that is unique for this order."


class IdempotencyKeyMalformed(WebRefusal):
    """Raised when an idempotency key is empty, too long or not visible ASCII."""

    code = "idempotency_key_malformed"
    next_step = "Send 1 to 255 visible ASCII characters, such as a UUID."


class CursorMalformed(WebRefusal):
    """Raised when a cursor is not one that this list gave."""

    code = "cursor_malformed"
    next_step = "Send next_cursor of the page before unchanged, or none for the first page."


class TokenMissing(WebRefusal):
    """Raised when an operation that needs a client is called without a bearer token."""

    code = "token_missing"
    kind = "unauthenticated"
    next_step = "Send Authorization: Bearer and the client's token."


class TokenUnknown(WebRefusal):
    """Raised when a bearer token belongs to no client, or no longer does."""

    code = "token_unknown"
    kind = "unauthenticated"
    next_step = "Send a token that was issued here and not revoked."


class ScopeMissing(WebRefusal):
    """Raised when the client's token lacks the scope that the operation needs."""

    code = "scope_missing"
    kind = "forbidden"
    next_step = "Use a token with the scope that is named."


class SessionOver(WebRefusal):
    """Raised when the session of a token is over: too old, or unused for too long."""

    code = "operator_session_over"
    kind = "unauthenticated"
    next_step = "Log in again."


class PermissionMissing(WebRefusal):
    """Raised when no role that an operator holds now may do this."""

    code = "permission_missing"
    kind = "forbidden"
    next_step = "Ask a colleague whose role allows it, or propose an elevation."


class ElevationLapsed(WebRefusal):
    """Raised when an operator would need an elevation that is over."""

    code = "elevation_lapsed"
    kind = "forbidden"
    next_step = "Propose another elevation, and have it approved."


class SecondPasskeyMissing(WebRefusal):
    """Raised when an operator with one passkey wants anything but to enrol the second."""

    code = "second_passkey_missing"
    kind = "forbidden"
    next_step = "Enrol a second passkey first."


class RateLimited(WebRefusal):
    """Raised when a client asks more often than its limit; nothing was done."""

    code = "rate_limited"
    kind = "limited"
    retryable = True
    next_step = "Nothing was changed. Send the same request again after Retry-After seconds."


class ServerBusy(WebRefusal):
    """Raised when more requests are under way than can be held; nothing was done."""

    code = "server_busy"
    kind = "unavailable"
    retryable = True
    next_step = "Nothing was changed. Send the same request again after Retry-After seconds."


class NotReady(WebRefusal):
    """Raised when the bank cannot take work: it starts, ends, or lacks a part it needs."""

    code = "not_ready"
    kind = "unavailable"
    retryable = True
    next_step = "Send traffic elsewhere, and ask again in a moment."


class Unforeseen(WebRefusal):
    """Raised when Scudo itself failed; whether anything was done is unknown."""

    code = "internal"
    kind = "internal"
    retryable = True
    next_step = (
        "The effect is unknown: send the same request with the same Idempotency-Key to learn "
        "it, and report `instance` if it persists."
    )
