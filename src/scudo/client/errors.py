"""What a client raises.

Exception
├── ClientRefusal      the bank said no; branch on `code`
└── BankUnreachable    no answer came; the effect is unknown until asked by key
"""

from typing import Any

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """A refusal as it comes over the wire (RFC 9457); unknown members are ignored."""

    status: int
    code: str
    detail: str
    retryable: bool
    next_step: str
    field: str | None = None
    instance: str | None = None


class ClientRefusal(Exception):
    """The bank refused a request.

    Attributes:
        code: stable for ever; what programs branch on.
        status: of HTTP.
        field: path of the member, parameter or header at fault, if there is one.
        next_step: what to do, in one sentence.
        retryable: whether the same request may succeed later, unchanged.
        instance: trace to report, where the fault is the bank's.
    """

    def __init__(self, problem: Problem) -> None:
        """Raise what a problem says."""
        super().__init__(f"{problem.code}: {problem.detail}")
        self.code = problem.code
        self.status = problem.status
        self.detail = problem.detail
        self.field = problem.field
        self.next_step = problem.next_step
        self.retryable = problem.retryable
        self.instance = problem.instance

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel between processes whole."""
        problem = Problem(
            self.status,
            self.code,
            self.detail,
            self.retryable,
            self.next_step,
            self.field,
            self.instance,
        )
        return type(self), (problem,)


class BankUnreachable(Exception):
    """No answer came, however often it was tried.

    Attributes:
        key: idempotency key of the request; the same request with it is done at most once.
    """

    def __init__(self, message: str, *, key: str | None) -> None:
        """Say why, and under which key the effect can be learnt."""
        super().__init__(message)
        self.key = key
