"""HTTP operations of the decisions room: explanations and alerts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec

from scudo.decisions.errors import DecisionNotFound, PolicyMismatch
from scudo.decisions.explanation import Reason, explain
from scudo.decisions.lists import names_of
from scudo.decisions.model import PASSAGES, DecisionRecord, Gate, GateEvent, Outcome
from scudo.decisions.policy import Policy
from scudo.decisions.store import find_decision, list_alerts
from scudo.fabric import web
from scudo.kernel import (
    MINOR_MAX,
    Prefix,
    Refusal,
    currency_by_numeric,
    ids,
    micros,
    rfc3339,
)
from scudo.vault import TextSignal

_TAG: Final = "decisions"
_CURSOR: Final = "l"

DecisionIdText = Annotated[str, web.id_text(Prefix.DECISION)]
PaymentIdText = Annotated[str, web.id_text(Prefix.PAYMENT)]
#: Inputs that are ids or tokens, and how they are shown.
_SHOWN_AS: Final = {
    "customer": Prefix.CUSTOMER,
    "account": Prefix.ACCOUNT,
    "beneficiary": Prefix.ACCOUNT,
    "card": Prefix.CARD,
    "device": Prefix.DEVICE,
    "ip": Prefix.NETWORK,
    "merchant": Prefix.MERCHANT,
    "session": Prefix.SESSION,
}
_INSTANTS: Final = frozenset({"account_opened_at", "customer_since", "occurred_at"})

#: Finds the version of the policy that a decision names by 16 bytes of its hash.
PolicyOf = Callable[[bytes], Policy]


class AlertQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which page."""

    cursor: web.CursorText | None = None
    limit: web.PageLimit = 50


class ReasonView(msgspec.Struct, frozen=True):
    """One rule that took part in a decision, most important first."""

    rule: str
    code: str
    sentence: str
    raised: str
    is_certain: bool
    is_discharged: bool


class DecisionView(msgspec.Struct, frozen=True):
    """A decision with everything that it was made from; for the bank's own people.

    Attributes:
        payment_id: null for a decision on a log-in and the like.
        sentences: the explanation as an agent reads it out.
        inputs: what the gate was asked, persons and devices as tokens.
        features: values at that moment; null is empty, or unknown if listed there.
        log_position: the last position that the decision depended on.
        elapsed_us: for features, rules and outcome.
    """

    id: DecisionIdText
    payment_id: PaymentIdText | None
    outcome: str
    obligations: tuple[str, ...]
    public_reason: str
    sentences: tuple[str, ...]
    reasons: tuple[ReasonView, ...]
    inputs: dict[str, str | int | None]
    features: dict[str, int | None]
    unknown_features: tuple[str, ...]
    discharged: tuple[str, ...]
    degraded: str
    policy: str
    policy_hash: str
    ordered_at: str
    log_position: int
    elapsed_us: tuple[int, int, int]


class PublicReason(msgspec.Struct, frozen=True):
    """What a customer or partner may know: one code, the same for every refusal."""

    id: DecisionIdText
    payment_id: PaymentIdText | None
    reason: str


class AlertView(msgspec.Struct, frozen=True):
    """A decision that a person should look at."""

    id: str
    decision_id: DecisionIdText
    payment_id: PaymentIdText | None
    outcome: str
    opened_at: str


class AlertPage(msgspec.Struct, frozen=True):
    """Alerts, newest first."""

    items: tuple[AlertView, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class _Desk:
    reads: web.Reads
    policy_of: PolicyOf

    async def get_decision(self, call: web.Call) -> web.Reply:
        number, payment, record = await self._found(call)
        policy = self.policy_of(record.policy)
        return web.Reply(200, _view(number, payment, record, policy=policy))

    async def get_decision_reason(self, call: web.Call) -> web.Reply:
        number, payment, record = await self._found(call)
        told = explain(record, policy=self.policy_of(record.policy))
        reason = PublicReason(
            ids.show(Prefix.DECISION, number), _payment_id(payment), told.public_reason
        )
        return web.Reply(200, reason)

    async def list_alerts(self, call: web.Call) -> web.Reply:
        query: AlertQuery = call.query
        before = MINOR_MAX
        if query.cursor is not None:
            (before,) = web.decode_cursor(_CURSOR, query.cursor, count=1)
        async with self.reads() as connection:
            alerts = await list_alerts(connection, before=before, limit=query.limit)
        more = web.encode_cursor(_CURSOR, alerts[-1][0]) if len(alerts) == query.limit else None
        shown = (
            AlertView(
                id=ids.show(Prefix.ALERT, alert),
                decision_id=ids.show(Prefix.DECISION, decision),
                payment_id=_payment_id(payment),
                outcome=Outcome(outcome).name.lower(),
                opened_at=rfc3339(micros(opened_at)),
            )
            for alert, decision, payment, outcome, opened_at in alerts
        )
        return web.Reply(200, AlertPage(tuple(shown), more))

    async def _found(self, call: web.Call) -> tuple[int, int, DecisionRecord]:
        number = ids.parse(Prefix.DECISION, call.path["decision_id"], field="decision_id")
        async with self.reads() as connection:
            found = await find_decision(connection, number)
        if found is None or call.client.customer not in {None, found[1].event.customer}:
            message = "there is no such decision"
            raise DecisionNotFound(message, field="decision_id")
        return number, *found


def _payment_id(number: int) -> str | None:
    return ids.show(Prefix.PAYMENT, number) if number else None


def _view(number: int, payment: int, record: DecisionRecord, *, policy: Policy) -> DecisionView:
    told = explain(record, policy=policy)
    names = policy.features.names
    return DecisionView(
        id=ids.show(Prefix.DECISION, number),
        payment_id=_payment_id(payment),
        outcome=record.outcome.name.lower(),
        obligations=tuple(outcome.name.lower() for outcome in record.obligations),
        public_reason=told.public_reason,
        sentences=told.sentences,
        reasons=tuple(map(_reason, told.reasons)),
        inputs=_inputs(record.event),
        features=dict(zip(names, record.features, strict=True)),
        unknown_features=tuple(names[index] for index in record.unknown),
        discharged=tuple(outcome.name.lower() for outcome in record.discharged),
        degraded=record.degraded.name.lower(),
        policy=policy.name,
        policy_hash=record.policy.hex(),
        ordered_at=rfc3339(record.ordered_at),
        log_position=record.position,
        elapsed_us=record.elapsed_us,
    )


def _reason(reason: Reason) -> ReasonView:
    return ReasonView(
        reason.rule,
        reason.code,
        reason.sentence,
        reason.raised.name.lower(),
        reason.is_certain,
        reason.is_discharged,
    )


def _inputs(event: GateEvent) -> dict[str, str | int | None]:
    shown = {name: _input(name, getattr(event, name)) for name in event.__struct_fields__}
    if event.gate in PASSAGES:
        shown |= dict.fromkeys(("amount_minor", "currency", "account"))
    if event.gate is Gate.OPERATOR_ACT:
        shown["customer"] = ids.show(Prefix.OPERATOR, event.customer)
    elif event.customer == 0:
        shown["customer"] = None
    return shown


def _input(name: str, value: Any) -> str | int | None:  # noqa: ANN401 - any type that msgspec knows
    shown: str | int | None = value
    if value is None:
        shown = None
    elif name in _SHOWN_AS:
        shown = ids.show(_SHOWN_AS[name], value)
    elif name in _INSTANTS:
        shown = rfc3339(value)
    elif name == "currency":
        shown = currency_by_numeric(value).code if value else None
    elif name == "text_signals":
        shown = ", ".join(signal.name.lower() for signal in TextSignal(value) if signal.name)
    elif name == "listed":
        shown = ", ".join(names_of(value))
    elif name in {"gate", "channel"}:
        shown = value.name.lower()
    return shown


def operations(*, reads: web.Reads, policy_of: PolicyOf) -> tuple[web.Operation, ...]:
    """List the room's operations; `policy_of` finds the policy that a decision names."""
    desk = _Desk(reads, policy_of)
    path_types = {"decision_id": DecisionIdText}
    of_one: tuple[type[Refusal], ...] = (
        ids.IdMalformed,
        DecisionNotFound,
        PolicyMismatch,
        *web.READ_REFUSALS,
    )
    return (
        web.Operation(
            method="GET",
            path="/v1/decisions/{decision_id}",
            name="get_decision",
            summary="Explain a decision with all that it was made from",
            tag=_TAG,
            scope="decisions:read",
            is_bank_wide=True,
            handler=desk.get_decision,
            answers={200: DecisionView},
            path_types=path_types,
            refusals=of_one,
        ),
        web.Operation(
            method="GET",
            path="/v1/decisions/{decision_id}/reason",
            name="get_decision_reason",
            summary="Show the one coarse reason that a customer may know",
            tag=_TAG,
            scope="payments:read",
            handler=desk.get_decision_reason,
            answers={200: PublicReason},
            path_types=path_types,
            refusals=of_one,
        ),
        web.Operation(
            method="GET",
            path="/v1/alerts",
            name="list_alerts",
            summary="List alerts, newest first",
            tag=_TAG,
            scope="decisions:read",
            is_bank_wide=True,
            handler=desk.list_alerts,
            answers={200: AlertPage},
            query=AlertQuery,
            refusals=(web.errors.CursorMalformed, *web.READ_REFUSALS),
        ),
    )
