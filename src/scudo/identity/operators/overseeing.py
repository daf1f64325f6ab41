"""HTTP operations of access reviews, and of the breaking of the glass."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from scudo.fabric import web
from scudo.identity.operators.breaking import OpenBreakGlass, OpenedBody, digest_of_shares
from scudo.identity.operators.ceremonies import Throttle
from scudo.identity.operators.errors import (
    BreakGlassUnsealed,
    BreakGlassWrong,
    LogInThrottled,
    OperatorNotFound,
    OperatorStateConflict,
    ReviewAnsweredBefore,
    ReviewNotFound,
    SelfAdministered,
)
from scudo.identity.operators.kinds import OperatorIdText
from scudo.identity.operators.model import Review, Role, Verdict
from scudo.identity.operators.reviews import AnswerReview, OpenReview, ReviewBody, Reviews
from scudo.identity.operators.staff import SELF_SCOPE, Now
from scudo.identity.operators.wire import Reason, reason_of, show_operator
from scudo.kernel import Prefix, ids, rfc3339

_TAG: Final = "operators"

ReviewIdText = Annotated[str, web.id_text(Prefix.RECORD)]
RoleName = Literal[
    "viewer",
    "analyst",
    "investigator",
    "compliance",
    "payments_operator",
    "security_officer",
    "engineer",
    "auditor",
    "break_glass",
]
Share = Annotated[str, msgspec.Meta(min_length=1, max_length=400)]


class GivenShares(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shares that were sealed, as many as are needed."""

    shares: Annotated[tuple[Share, ...], msgspec.Meta(min_length=1, max_length=16)]
    reason: Reason


class LineView(msgspec.Struct, frozen=True):
    """Who holds what since when, and what the reviewer says of it."""

    operator_id: OperatorIdText
    role: str
    since: str
    last_used_at: str | None
    verdict: str


class ReviewView(msgspec.Struct, frozen=True):
    """An access review."""

    id: ReviewIdText
    cause: str
    opened_at: str
    due_at: str
    is_open: bool
    lines: tuple[LineView, ...]


class ReviewList(msgspec.Struct, frozen=True):
    """Access reviews, oldest first."""

    items: tuple[ReviewView, ...]


class GivenVerdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the reviewer says of one line."""

    operator_id: OperatorIdText
    role: RoleName
    verdict: Literal["confirm", "drop"]


@dataclass(frozen=True, slots=True)
class _Desk:
    submit: web.Submit
    reviews: Reviews
    now: Now
    throttle: Throttle

    # ---- breaking the glass

    async def break_glass(self, call: web.Call) -> web.Reply:
        body: GivenShares = call.body
        who, reason = (call.client.id,), reason_of(call)
        self.throttle.demand(who, now=self.now())
        digest = await asyncio.to_thread(digest_of_shares, body.shares)
        answer = await self.submit(OpenBreakGlass(call.client.id, digest, reason), call)
        if answer.status != 200:
            self.throttle.failed(who, now=self.now())
        return web.Reply(answer.status, answer.body)

    # ---- reviews

    async def open_review(self, call: web.Call) -> web.Reply:
        return await web.submitted(self.submit, OpenReview(call.client.id), call)

    async def list_reviews(self, call: web.Call) -> web.Reply:
        del call
        found = sorted(self.reviews.register.items())
        return web.Reply(200, ReviewList(tuple(_review_view(n, r) for n, r in found)))

    async def answer_review(self, call: web.Call) -> web.Reply:
        body: GivenVerdict = call.body
        command = AnswerReview(
            call.client.id,
            ids.parse(Prefix.RECORD, call.path["review_id"], field="review_id"),
            ids.parse(Prefix.OPERATOR, body.operator_id, field="operator_id"),
            Role(body.role),
            Verdict(body.verdict),
        )
        return await web.submitted(self.submit, command, call)


def _review_view(number: int, review: Review) -> ReviewView:
    lines = tuple(
        LineView(
            show_operator(line.operator),
            line.role,
            rfc3339(line.since),
            rfc3339(line.last_used_at) if line.last_used_at else None,
            line.verdict,
        )
        for line in review.lines
    )
    return ReviewView(
        ids.show(Prefix.RECORD, number),
        review.cause,
        rfc3339(review.opened_at),
        rfc3339(review.due_at),
        review.is_open,
        lines,
    )


def operations(*, submit: web.Submit, reviews: Reviews, now: Now) -> tuple[web.Operation, ...]:
    """List the operations of reviews, and of the breaking of the glass."""
    desk = _Desk(submit, reviews, now, Throttle())
    return (*_glass(desk), *_reviews(desk))


def _glass(desk: _Desk) -> tuple[web.Operation, ...]:
    return (
        web.Operation(
            method="POST",
            path="/v1/operator-emergencies",
            name="break_glass",
            summary="Put sealed shares together, and have the role break_glass for 30 minutes",
            tag=_TAG,
            scope=SELF_SCOPE,
            handler=desk.break_glass,
            answers={200: OpenedBody},
            body=GivenShares,
            refusals=(
                BreakGlassUnsealed,
                BreakGlassWrong,
                LogInThrottled,
                OperatorNotFound,
                OperatorStateConflict,
                web.errors.ReferenceUnfit,
                *web.SUBMIT_REFUSALS,
            ),
        ),
    )


def _reviews(desk: _Desk) -> tuple[web.Operation, ...]:
    return (
        web.Operation(
            method="POST",
            path="/v1/access-reviews",
            name="open_access_review",
            summary="Have everybody's roles looked at",
            tag=_TAG,
            scope="operators:review",
            handler=desk.open_review,
            answers={201: ReviewBody},
            refusals=web.SUBMIT_REFUSALS,
        ),
        web.Operation(
            method="GET",
            path="/v1/access-reviews",
            name="list_access_reviews",
            summary="List access reviews",
            tag=_TAG,
            scope="operators:review",
            handler=desk.list_reviews,
            answers={200: ReviewList},
        ),
        web.Operation(
            method="POST",
            path="/v1/access-reviews/{review_id}/answers",
            name="answer_access_review",
            summary="Confirm or drop a role that somebody else holds",
            tag=_TAG,
            scope="operators:review",
            handler=desk.answer_review,
            answers={200: ReviewBody},
            path_types={"review_id": ReviewIdText},
            body=GivenVerdict,
            refusals=(
                ids.IdMalformed,
                OperatorNotFound,
                ReviewAnsweredBefore,
                ReviewNotFound,
                SelfAdministered,
                *web.SUBMIT_REFUSALS,
            ),
        ),
    )
