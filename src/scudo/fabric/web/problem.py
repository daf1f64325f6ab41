"""Problem details: the one shape in which refusals leave over HTTP.

Source:
    RFC 9457, with the extension members code, retryable, next_step and field.
"""

from typing import Final

import msgspec

from scudo.fabric.web.errors import status_of
from scudo.kernel import Refusal

#: Content type of every answer with a status of 400 or more.
PROBLEM_JSON: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:scudo:refusal:"
TRACE_PREFIX: Final = "urn:scudo:trace:"

_encode: Final = msgspec.json.Encoder().encode


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A refusal as clients see it.

    Attributes:
        type: stable URI of the refusal.
        title: when this refusal is given.
        status: of HTTP, repeated.
        detail: what was wrong this time.
        code: stable for ever; what programs branch on.
        retryable: whether the same request may succeed later, unchanged.
        next_step: what to do now.
        field: path of the offending member, or name of the parameter or header.
        instance: trace of a failure of ours, as its log line has it.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    next_step: str
    field: str | None = None
    instance: str | None = None


def problem_of(refusal: Refusal, *, trace_id: str | None = None) -> Problem:
    """Describe a refusal; equal refusals give equal problems, so that answers can be kept."""
    return Problem(
        type=TYPE_PREFIX + refusal.code,
        title=title_of(type(refusal)),
        status=status_of(type(refusal)),
        detail=refusal.message,
        code=refusal.code,
        retryable=refusal.retryable,
        next_step=refusal.next_step,
        field=refusal.field,
        instance=None if trace_id is None else TRACE_PREFIX + trace_id,
    )


def title_of(refusal: type[Refusal]) -> str:
    """Give the first line of a refusal's documentation: when it is given."""
    return (refusal.__doc__ or "Refused.").strip().partition("\n")[0]


def encode_problem(refusal: Refusal, *, trace_id: str | None = None) -> bytes:
    """Encode a refusal as the body of its answer."""
    return _encode(problem_of(refusal, trace_id=trace_id))
