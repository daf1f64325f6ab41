"""HTTP operations on payments: pay, look up, and act on those that wait."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from msgspec.structs import replace
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.fabric import Tokens, web
from scudo.identity import customers
from scudo.kernel import (
    MINOR_MAX,
    Prefix,
    Refusal,
    currency,
    currency_by_numeric,
    ids,
    micros,
    rfc3339,
)
from scudo.ledger import queries as ledger
from scudo.payments.authorise import PaymentBody
from scudo.payments.commands import (
    AnswerChallenge,
    CancelPayment,
    ConfirmPayment,
    Pay,
    PayWithText,
    ReleasePayment,
)
from scudo.payments.errors import PaymentNotFound
from scudo.payments.model import PaymentKind, PaymentStatus
from scudo.payments.queries import StoredPayment, is_payee_known, list_payments
from scudo.payments.routes.messages import KeepText, seen_payment, text_of, with_fate
from scudo.payments.routes.wire import (
    ACT_REFUSALS,
    MONEY_REFUSALS,
    PAYMENT_PATH,
    TAG,
    AccountIdText,
    ChannelName,
    Country,
    CurrencyText,
    Latitude,
    Longitude,
    Message,
    PaymentIdText,
    Reference,
    account_of,
    channel_of,
    coarse,
    occurred_of,
    payment_of,
    tokens_of,
)

_CURSOR: Final = "p"
#: Accounts of one customer whose payments are listed together.
_ACCOUNTS_MAX: Final = 500


class NewPayment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A payment from one account to another.

    Attributes:
        device, ip: references; they are kept as keyed tokens only.
        country: where, ISO 3166-1 numeric.
        latitude_e4, longitude_e4: ten-thousandths of a degree, WGS 84; rounded to hundredths of
            a degree, about a kilometre, before anything is done with them.
        occurred_at: when it was ordered as you know it.
        message: to whom is paid. The vault keeps it, unless it is sealed: the payment goes its way
            all the same, the header `scudo-message` of the answer says `not-kept`, and the same
            request, sent again later under its key, has it kept.
    """

    debit_account_id: AccountIdText
    credit_account_id: AccountIdText
    amount_minor: web.Int64
    currency: CurrencyText
    device: Reference | None = None
    ip: Reference | None = None
    country: Country | None = None
    latitude_e4: Latitude | None = None
    longitude_e4: Longitude | None = None
    channel: ChannelName | None = None
    occurred_at: str | None = None
    message: Message | None = None


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a held payment may go on, as a code of yours."""

    reason_code: Annotated[str, web.reference_text(shortest=1, longest=64)]


class ChallengeAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the customer passed."""

    has_passed: bool


class Confirmation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The step-up that the customer passed for this very payment."""

    step_up_id: Annotated[str, web.id_text(Prefix.STEP_UP)]


class PaymentQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which payments: of all accounts that the client may see, or of one."""

    account_id: AccountIdText | None = None
    cursor: web.CursorText | None = None
    limit: web.PageLimit = 50


class PaymentView(msgspec.Struct, frozen=True):
    """A payment as it stands; no credit account until one was needed.

    Attributes:
        has_message: whether the payer sent one with it.
    """

    id: PaymentIdText
    kind: str
    status: str
    amount_minor: int
    captured_minor: int
    currency: str
    debit_account_id: AccountIdText
    credit_account_id: AccountIdText | None
    decision_id: str
    hold_id: str | None
    expires_at: str | None
    ordered_at: str
    has_message: bool


class PaymentPage(msgspec.Struct, frozen=True):
    """Payments, newest first."""

    items: tuple[PaymentView, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class _Desk:
    submit: web.Submit
    reads: web.Reads
    clock: web.Clock
    tokeniser: Tokens
    guard: customers.Guard
    keep_text: KeepText

    async def pay(self, call: web.Call) -> web.Reply:
        body: NewPayment = call.body
        order = Pay(
            debit=account_of(body.debit_account_id, "debit_account_id"),
            credit=account_of(body.credit_account_id, "credit_account_id"),
            amount=body.amount_minor,
            currency=currency(body.currency, on=self.clock().date()).numeric,
            device=None,
            ip=None,
            country=body.country,
            latitude_e4=coarse(body.latitude_e4),
            longitude_e4=coarse(body.longitude_e4),
            channel=channel_of(body.channel),
            occurred_at=occurred_of(body.occurred_at),
        )
        known = functools.partial(self._is_payee_known, order.debit, order.credit)
        place = await self.guard(call, amount=order.amount, is_known=known)
        if place is not None:
            # Of a customer's session it is known, whatever the request says.
            country = order.country if place.country is None else place.country
            order = replace(order, device=place.device, ip=place.network, country=country)
        sent = {} if place is not None else {"device": body.device, "ip": body.ip}
        if body.message is None:
            command = replace(order, **await tokens_of(self.tokeniser, **sent))
            return await web.submitted(self.submit, command, call)
        return await self._pay_with_message(call, order, sent)

    async def _pay_with_message(
        self, call: web.Call, order: Pay, sent: dict[str, str | None]
    ) -> web.Reply:
        text = await text_of(call, self.reads, debit=order.debit)
        named = tuple((kind, value) for kind, value in sent.items() if value is not None)
        kept, made = await self.keep_text(text, named)
        tokens = dict(zip((kind for kind, _ in named), made, strict=True))
        members = msgspec.structs.asdict(order) | tokens
        command = PayWithText(**members, text=kept.claim, text_signals=kept.signals)
        return with_fate(await web.submitted(self.submit, command, call), kept)

    async def _is_payee_known(self, debit: int, credit: int, *, before: int) -> bool:
        async with self.reads() as connection:
            return await is_payee_known(connection, debit=debit, credit=credit, before=before)

    async def confirm(self, call: web.Call) -> web.Reply:
        step_up = ids.parse(Prefix.STEP_UP, call.body.step_up_id, field="step_up_id")
        command = ConfirmPayment(payment_of(call), step_up)
        return await web.submitted(self.submit, command, call)

    async def release(self, call: web.Call) -> web.Reply:
        reason = web.demand_reference(call.body.reason_code, field="reason_code")
        command = ReleasePayment(payment_of(call), reason)
        return await web.submitted(self.submit, command, call)

    async def cancel(self, call: web.Call) -> web.Reply:
        return await web.submitted(self.submit, CancelPayment(payment_of(call)), call)

    async def answer_challenge(self, call: web.Call) -> web.Reply:
        command = AnswerChallenge(payment_of(call), call.body.has_passed)
        return await web.submitted(self.submit, command, call)

    async def get_payment(self, call: web.Call) -> web.Reply:
        return web.Reply(200, payment_view(await seen_payment(call, self.reads)))

    async def list_payments(self, call: web.Call) -> web.Reply:
        query: PaymentQuery = call.query
        before = MINOR_MAX
        if query.cursor is not None:
            (before,) = web.decode_cursor(_CURSOR, query.cursor, count=1)
        async with self.reads() as connection:
            accounts = await _accounts(connection, query.account_id, call.client.customer)
            payments = await list_payments(
                connection, accounts=accounts, before=before, limit=query.limit
            )
        is_full = len(payments) == query.limit
        more = web.encode_cursor(_CURSOR, payments[-1].id) if is_full else None
        return web.Reply(200, PaymentPage(tuple(map(payment_view, payments)), more))


async def _accounts(
    connection: AsyncConnection[TupleRow], account_id: str | None, owner: int | None
) -> Sequence[int] | None:
    """Accounts whose payments are asked for and may be seen; None for all."""
    if account_id is None and owner is None:
        return None
    if account_id is not None:
        number = account_of(account_id, "account_id")
        found = await ledger.find_account(connection, number, owner=owner)
        return () if found is None else (number,)
    assert owner is not None
    own = await ledger.list_accounts(connection, owner=owner, after=0, limit=_ACCOUNTS_MAX)
    return [account.id for account in own]


def payment_view(payment: StoredPayment) -> PaymentView:
    """Show a payment as it stands."""
    credit, expires_at = payment.credit_account, payment.expires_at
    return PaymentView(
        id=ids.show(Prefix.PAYMENT, payment.id),
        kind=PaymentKind(payment.kind).name.lower(),
        status=PaymentStatus(payment.status).name.lower(),
        amount_minor=payment.amount,
        captured_minor=payment.captured,
        currency=currency_by_numeric(payment.currency).code,
        debit_account_id=ids.show(Prefix.ACCOUNT, payment.debit_account),
        credit_account_id=ids.show(Prefix.ACCOUNT, credit) if credit else None,
        decision_id=ids.show(Prefix.DECISION, payment.decision),
        hold_id=None if payment.hold is None else ids.show(Prefix.HOLD, payment.hold),
        expires_at=None if expires_at is None else rfc3339(micros(expires_at)),
        ordered_at=rfc3339(micros(payment.ordered_at)),
        has_message=payment.text is not None,
    )


def payment_operations(
    *,
    submit: web.Submit,
    reads: web.Reads,
    clock: web.Clock,
    tokeniser: Tokens,
    guard: customers.Guard,
    keep_text: KeepText,
) -> tuple[web.Operation, ...]:
    """List the operations on payments."""
    desk = _Desk(submit, reads, clock, tokeniser, guard, keep_text)
    pay = web.Operation(
        method="POST",
        path="/v1/payments",
        name="pay",
        summary="Pay from one account to another",
        tag=TAG,
        scope="payments:write",
        moves_money=True,
        handler=desk.pay,
        answers={201: PaymentBody},
        body=NewPayment,
        refusals=(*MONEY_REFUSALS, *customers.GUARD_REFUSALS, *web.SUBMIT_REFUSALS),
        example=NewPayment("acc_0000000000000001", "acc_0000000000000002", 12_50, "EUR"),
    )
    return (pay, *_views(desk), *_acts(desk))


def _views(desk: _Desk) -> tuple[web.Operation, ...]:
    refusals: tuple[type[Refusal], ...] = (ids.IdMalformed, *web.READ_REFUSALS)
    return (
        web.Operation(
            method="GET",
            path="/v1/payments",
            name="list_payments",
            summary="List payments, newest first",
            tag=TAG,
            scope="payments:read",
            handler=desk.list_payments,
            answers={200: PaymentPage},
            query=PaymentQuery,
            refusals=(web.errors.CursorMalformed, *refusals),
        ),
        web.Operation(
            method="GET",
            path="/v1/payments/{payment_id}",
            name="get_payment",
            summary="Show a payment",
            tag=TAG,
            scope="payments:read",
            handler=desk.get_payment,
            answers={200: PaymentView},
            path_types=PAYMENT_PATH,
            refusals=(PaymentNotFound, *refusals),
        ),
    )


def _acts(desk: _Desk) -> tuple[web.Operation, ...]:
    on_one: dict[str, Any] = {
        "method": "POST",
        "tag": TAG,
        "moves_money": True,
        "answers": {200: PaymentBody},
        "path_types": PAYMENT_PATH,
        "refusals": (*ACT_REFUSALS, *web.SUBMIT_REFUSALS),
    }
    return (
        web.Operation(
            path="/v1/payments/{payment_id}/release",
            name="release_payment",
            summary="Let a held payment go on; its gate decides again",
            scope="payments:operate",
            handler=desk.release,
            body=Release,
            example=Release("customer_called"),
            **on_one | {"refusals": (web.errors.ReferenceUnfit, *on_one["refusals"])},
        ),
        web.Operation(
            path="/v1/payments/{payment_id}/cancellation",
            name="cancel_payment",
            summary="End a payment that waits",
            scope="payments:write",
            handler=desk.cancel,
            **on_one,
        ),
        web.Operation(
            path="/v1/payments/{payment_id}/confirmation",
            name="confirm_payment",
            summary="Let a stepped-up payment go on by the step-up that was passed for it",
            scope="payments:confirm",
            handler=desk.confirm,
            body=Confirmation,
            example=Confirmation("stp_0000000000000011"),
            **on_one | {"refusals": (customers.errors.StepUpNeeded, *on_one["refusals"])},
        ),
        web.Operation(
            path="/v1/payments/{payment_id}/challenge",
            name="answer_challenge",
            summary="Say whether the customer passed the challenge of a payment",
            scope="payments:operate",
            handler=desk.answer_challenge,
            body=ChallengeAnswer,
            example=ChallengeAnswer(has_passed=True),
            **on_one,
        ),
    )
