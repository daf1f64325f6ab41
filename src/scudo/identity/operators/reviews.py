"""Access reviews: who holds what, when it was last used, and whether it stays."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from psycopg import Connection

from scudo.fabric import Answer, Command, Entry, Reference, Register, stored_records
from scudo.governance import approvals
from scudo.identity.operators import events
from scudo.identity.operators.commands import Handler, telling
from scudo.identity.operators.errors import (
    ReviewAnsweredBefore,
    ReviewNotFound,
    SelfAdministered,
)
from scudo.identity.operators.kinds import drop_role
from scudo.identity.operators.model import (
    HOUR_US,
    Line,
    Operator,
    Review,
    Role,
    Verdict,
)
from scudo.identity.operators.permissions import Rule
from scudo.identity.operators.staff import Staff
from scudo.kernel import Prefix, ids, rfc3339

KIND: Final = 123
#: A review is to be finished within so long; what was done by breaking the glass, sooner.
DUE_US: Final = 14 * 24 * HOUR_US
REPORT_DUE_US: Final = 72 * HOUR_US
_encode: Final = msgspec.json.Encoder().encode


class OpenReview(Command, frozen=True, tag=142):
    """Begin a review of all who hold a role."""

    by: int


class AnswerReview(Command, frozen=True, tag=143):
    """Confirm or drop one role of one operator."""

    by: int
    review: int
    operator: int
    role: Role
    verdict: Verdict


class EscalateReview(Command, frozen=True, tag=144):
    """Tell that a review is overdue."""

    review: int


class ReviewBody(msgspec.Struct, frozen=True):
    """Answer to who opened or answered a review."""

    id: str
    due_at: str
    is_open: bool


class Reviews:
    """All access reviews: a keeper."""

    def __init__(self, staff: Staff) -> None:
        """Review these operators."""
        self._staff = staff
        self.register: Register[Review] = Register(KIND, Review, resident=True)
        self.handlers: Mapping[type[Command], Handler] = {
            OpenReview: telling(self._open),
            AnswerReview: telling(self._answer),
            EscalateReview: self._escalate,
        }

    @property
    def registers(self) -> Sequence[Register[Any]]:
        """Registers that it keeps."""
        return (self.register,)

    def refers_to(self, command: Command) -> Iterable[Reference]:
        """Everything is resident."""
        del command
        return ()

    def due(self, now: int) -> Command | None:
        """The next review that is overdue untold."""
        for number in self.overdue(now):
            review = self.register.get(number)
            if review is not None and not review.is_escalated:
                return EscalateReview(number)
        return None

    def overdue(self, now: int) -> list[int]:
        """Reviews that lack answers after their day; `now` is in microseconds."""
        reviews = self.register.items()
        return [number for number, each in reviews if each.due_at <= now and each.is_open]

    @staticmethod
    def stored(connection: Connection[Any]) -> list[Review]:
        """All reviews as they are stored, for who looks from outside."""
        register = Register(KIND, Review, resident=True)
        return [review for _, review in stored_records(connection, register)]

    def report(self, entry: Entry, operator: int, cause: str) -> None:
        """Have what an operator holds looked at soon, because of something they did."""
        self._begin(entry, 0, cause, self._lines(frozenset({operator})), REPORT_DUE_US)

    def _open(self, command: OpenReview, entry: Entry) -> Answer:
        everybody = self._staff.everybody()
        lines = self._lines(everybody)
        number, review = self._begin(entry, command.by, "regular", lines, DUE_US)
        return _body(201, number, review)

    def _lines(self, operators: frozenset[int]) -> tuple[Line, ...]:
        found = []
        for number in sorted(operators):
            operator = self._staff.find(number)
            for grant in operator.grants:
                used = self._last_used(operator, grant.role)
                found.append(Line(number, grant.role, grant.since, used))
            for elevation in operator.elevations:
                if not elevation.is_ended:
                    used = self._last_used(operator, elevation.role)
                    found.append(Line(number, elevation.role, elevation.since, used))
        return tuple(found)

    def _last_used(self, operator: Operator, role: Role) -> int:
        """When an operator last did something that a role allows; 0: never."""
        permissions = self._staff.permissions
        groups = {a.group for a in permissions.acts if permissions.rule(role, a.name) != Rule.NEVER}
        return max((at for scope, at in operator.used.items() if scope in groups), default=0)

    def _begin(
        self, entry: Entry, by: int, cause: str, lines: tuple[Line, ...], due_us: int
    ) -> tuple[int, Review]:
        now = entry.recorded_at
        review = Review(by, now, now + due_us, cause, lines)
        number = entry.next_position
        entry.emit(events.ReviewOpened(number, by, cause, review.due_at, len(lines)))
        self.register.put(entry, number, review)
        return number, review

    def _answer(self, command: AnswerReview, entry: Entry) -> Answer:
        """Confirm or drop a role; what is dropped is gone at once.

        Raises:
            ReviewNotFound: if it has no such line.
            SelfAdministered: if it is the reviewer's own.
            ReviewAnsweredBefore: if it has an answer.
        """
        review = self.register.get(command.review)
        whose = (command.operator, command.role)
        lines = () if review is None else review.lines
        line = next((each for each in lines if (each.operator, each.role) == whose), None)
        if review is None or line is None:
            message = "there is no such line in a review"
            raise ReviewNotFound(message, field="review_id")
        if command.operator == command.by:
            message = "nobody reviews what they hold"
            raise SelfAdministered(message, field="operator_id")
        if line.verdict is not Verdict.OPEN:
            message = "this line has an answer"
            raise ReviewAnsweredBefore(message)
        entry.emit(
            events.ReviewAnswered(
                command.review, command.operator, command.role, command.verdict, command.by
            )
        )
        held = self._staff.find(command.operator).held()
        if command.verdict is Verdict.DROP and command.role in held:
            cause = ids.show(Prefix.RECORD, command.review)
            drop_role(self._staff, entry, command.operator, command.role, cause)
        answered = msgspec.structs.replace(line, verdict=command.verdict, by=command.by)
        lines = tuple(answered if other is line else other for other in review.lines)
        after = msgspec.structs.replace(review, lines=lines)
        self.register.put(entry, command.review, after)
        return _body(200, command.review, after)

    def _escalate(self, command: EscalateReview, entry: Entry) -> Answer:
        review = self.register.get(command.review)
        now = entry.recorded_at
        if review and review.is_open and review.due_at <= now and not review.is_escalated:
            missing = sum(1 for line in review.lines if line.verdict is Verdict.OPEN)
            severity = approvals.Severity.PAGE
            entry.emit(events.ReviewOverdue(command.review, missing, severity))
            after = msgspec.structs.replace(review, is_escalated=True)
            self.register.put(entry, command.review, after)
        return Answer(200, b"{}")


def _body(status: int, number: int, review: Review) -> Answer:
    body = ReviewBody(ids.show(Prefix.RECORD, number), rfc3339(review.due_at), review.is_open)
    return Answer(status, _encode(body))
