"""The one way of saying no.

A refusal is an expected "no" that ends a request. It carries a stable code that
clients may branch on, says whether trying again can help, and what to do next.
It is never a bug: bugs are assertions and `InvariantBroken`.

    Refusal
    ├── (one subclass per reason, beside the code that raises it)
    InvariantBroken      stored data contradicts itself; never caught, always alerted
"""

from typing import ClassVar, Final, Literal

Kind = Literal[
    "invalid",
    "unauthenticated",
    "forbidden",
    "not_found",
    "conflict",
    "unprocessable",
    "limited",
    "unavailable",
    "internal",
]

#: HTTP status of each kind (RFC 9110); the only place where they meet.
STATUS: Final[dict[Kind, int]] = {
    "invalid": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "unprocessable": 422,
    "limited": 429,
    "unavailable": 503,
    "internal": 500,
}


class Refusal(Exception):
    """An expected "no"; the class docstring says when it is raised.

    Attributes:
        code: stable for ever, `snake_case`, unique in the whole bank.
        kind: decides the HTTP status.
        retryable: whether the same request may succeed later, unchanged.
        next_step: one sentence that tells the caller what to do.
    """

    code: ClassVar[str] = "refused"
    kind: ClassVar[Kind] = "invalid"
    retryable: ClassVar[bool] = False
    next_step: ClassVar[str] = "Correct the request and send it again."

    def __init__(self, message: str, *, field: str | None = None) -> None:
        """Refuse with one sentence; `field` names the offending member, as a path."""
        super().__init__(message)
        self.message = message
        self.field = field

    @property
    def status(self) -> int:
        """HTTP status that this refusal is shown with."""
        return STATUS[self.kind]


class InvariantBroken(Exception):
    """Stored data contradicts itself, or a promise between rooms was broken."""
