"""HTTP as rooms see it: operations, calls, replies, problems. No server, no banking word."""

from scudo.fabric.web import errors
from scudo.fabric.web.errors import Headers, WebRefusal, status_of
from scudo.fabric.web.operation import (
    BODY_BYTES_MAX,
    BULK_BODY_BYTES_MAX,
    CLOCK_SCOPE,
    JSON,
    NOBODY,
    Authenticator,
    Call,
    Handler,
    Method,
    Operation,
    Principal,
    Reply,
)
from scudo.fabric.web.ports import (
    READ_REFUSALS,
    SUBMIT_REFUSALS,
    Clock,
    Reads,
    Submit,
    submitted,
)
from scudo.fabric.web.problem import (
    PROBLEM_JSON,
    Problem,
    encode_problem,
    problem_of,
    title_of,
)
from scudo.fabric.web.wire import (
    CursorText,
    Int64,
    PageLimit,
    decode_cursor,
    encode_cursor,
    id_text,
    is_idempotency_key,
)

__all__ = [
    "BODY_BYTES_MAX",
    "BULK_BODY_BYTES_MAX",
    "CLOCK_SCOPE",
    "JSON",
    "NOBODY",
    "PROBLEM_JSON",
    "READ_REFUSALS",
    "SUBMIT_REFUSALS",
    "Authenticator",
    "Call",
    "Clock",
    "CursorText",
    "Handler",
    "Headers",
    "Int64",
    "Method",
    "Operation",
    "PageLimit",
    "Principal",
    "Problem",
    "Reads",
    "Reply",
    "Submit",
    "WebRefusal",
    "decode_cursor",
    "encode_cursor",
    "encode_problem",
    "errors",
    "id_text",
    "is_idempotency_key",
    "problem_of",
    "status_of",
    "submitted",
    "title_of",
]
