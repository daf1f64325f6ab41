"""HTTP operations on card authorisations: authorise, raise, capture, reverse."""

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from scudo.fabric import Tokens, web
from scudo.kernel import currency
from scudo.ledger import errors as ledger
from scudo.payments.authorise import PaymentBody
from scudo.payments.commands import AuthoriseCard, Capture, RaiseAuthorisation, Reverse
from scudo.payments.errors import CardNumberRefused, PaymentDeclinedByGate
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
    Reference,
    account_of,
    channel_of,
    coarse,
    occurred_of,
    payment_of,
    tokens_of,
)

#: Lengths of card numbers (ISO/IEC 7812-1).
_CARD_DIGITS_MIN: Final = 13
_CARD_DIGITS_MAX: Final = 19
_AUTHORISATION_S_MAX: Final = 31 * 86_400
_NINE: Final = 9


class NewAuthorisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A card payment to authorise.

    Attributes:
        card, merchant, device, ip: references; they are kept as keyed tokens only.
        merchant_account_id: of a merchant of ours; else the card settlement account.
        mcc: merchant category code (ISO 18245).
        country: where, ISO 3166-1 numeric.
        latitude_e4, longitude_e4: ten-thousandths of a degree, WGS 84; rounded to hundredths of
            a degree, about a kilometre, before anything is done with them.
        capture: whether it is posted at once.
        expires_in_s: how long it holds the money; 0 is the default of seven days.
        occurred_at: when it happened as you know it.
    """

    account_id: AccountIdText
    amount_minor: web.Int64
    currency: CurrencyText
    card: Reference | None = None
    merchant: Reference | None = None
    merchant_account_id: AccountIdText | None = None
    device: Reference | None = None
    ip: Reference | None = None
    mcc: Annotated[int, msgspec.Meta(ge=0, le=9_999)] | None = None
    country: Country | None = None
    latitude_e4: Latitude | None = None
    longitude_e4: Longitude | None = None
    channel: ChannelName | None = None
    capture: bool = False
    expires_in_s: Annotated[int, msgspec.Meta(ge=0, le=_AUTHORISATION_S_MAX)] = 0
    occurred_at: str | None = None


class NewCapture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part or all to post; the rest is freed if this is final."""

    amount_minor: web.Int64
    is_final: bool = True


class NewReversal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part to take back; without amount all that is not captured."""

    amount_minor: Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)] | None = None


class NewIncrement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An amount to authorise on top."""

    amount_minor: web.Int64


@dataclass(frozen=True, slots=True)
class _Desk:
    submit: web.Submit
    clock: web.Clock
    tokeniser: Tokens

    async def authorise(self, call: web.Call) -> web.Reply:
        body: NewAuthorisation = call.body
        if body.card is not None and is_card_number(body.card):
            message = "this looks like a card number"
            raise CardNumberRefused(message, field="card")
        merchant = body.merchant_account_id
        tokens = await tokens_of(
            self.tokeniser, card=body.card, merchant=body.merchant, device=body.device, ip=body.ip
        )
        command = AuthoriseCard(
            account=account_of(body.account_id, "account_id"),
            amount=body.amount_minor,
            currency=currency(body.currency, on=self.clock().date()).numeric,
            card=tokens["card"],
            merchant=tokens["merchant"],
            merchant_account=0 if merchant is None else account_of(merchant, "merchant_account_id"),
            device=tokens["device"],
            ip=tokens["ip"],
            mcc=body.mcc,
            country=body.country,
            latitude_e4=coarse(body.latitude_e4),
            longitude_e4=coarse(body.longitude_e4),
            channel=channel_of(body.channel),
            capture=body.capture,
            expires_in_s=body.expires_in_s,
            occurred_at=occurred_of(body.occurred_at),
        )
        return await web.submitted(self.submit, command, call)

    async def capture(self, call: web.Call) -> web.Reply:
        body: NewCapture = call.body
        command = Capture(payment_of(call), body.amount_minor, body.is_final)
        return await web.submitted(self.submit, command, call)

    async def reverse(self, call: web.Call) -> web.Reply:
        command = Reverse(payment_of(call), call.body.amount_minor or 0)
        return await web.submitted(self.submit, command, call)

    async def raise_(self, call: web.Call) -> web.Reply:
        command = RaiseAuthorisation(payment_of(call), call.body.amount_minor)
        return await web.submitted(self.submit, command, call)


def is_card_number(reference: str) -> bool:
    """Say whether a text looks like a card number, spaces and dashes apart.

    Source:
        ISO/IEC 7812-1: 13 to 19 digits whose check digit is right (Luhn).
    """
    digits = reference.replace(" ", "").replace("-", "")
    if not (
        _CARD_DIGITS_MIN <= len(digits) <= _CARD_DIGITS_MAX
        and digits.isascii()
        and digits.isdecimal()
    ):
        return False
    total = sum(map(int, digits[-1::-2]))
    for digit in map(int, digits[-2::-2]):
        doubled = 2 * digit
        total += doubled - _NINE if doubled > _NINE else doubled
    return total % 10 == 0


def card_operations(
    *, submit: web.Submit, clock: web.Clock, tokeniser: Tokens
) -> tuple[web.Operation, ...]:
    """List the operations on card authorisations."""
    desk = _Desk(submit, clock, tokeniser)
    authorise = web.Operation(
        method="POST",
        path="/v1/card-authorisations",
        name="authorise_card",
        summary="Authorise a card payment",
        tag=TAG,
        scope="payments:write",
        moves_money=True,
        is_of_networks=True,
        handler=desk.authorise,
        answers={201: PaymentBody},
        body=NewAuthorisation,
        refusals=(CardNumberRefused, *MONEY_REFUSALS, *web.SUBMIT_REFUSALS),
        example=NewAuthorisation("acc_0000000000000001", 12_50, "EUR", card="card-of-ann"),
    )
    return (authorise, *_acts(desk))


def _acts(desk: _Desk) -> tuple[web.Operation, ...]:
    refusals = (*ACT_REFUSALS, *web.SUBMIT_REFUSALS)
    of_one = "/v1/card-authorisations/{payment_id}"
    return (
        web.Operation(
            method="POST",
            path=f"{of_one}/captures",
            name="capture_authorisation",
            summary="Post a part or all of an authorisation",
            tag=TAG,
            scope="payments:write",
            moves_money=True,
            is_of_networks=True,
            handler=desk.capture,
            answers={200: PaymentBody},
            path_types=PAYMENT_PATH,
            body=NewCapture,
            example=NewCapture(12_50),
            refusals=(ledger.CaptureTooHigh, *refusals),
        ),
        web.Operation(
            method="POST",
            path=f"{of_one}/reversals",
            name="reverse_authorisation",
            summary="Take back what is authorised and not captured, or a part of it",
            tag=TAG,
            scope="payments:write",
            moves_money=True,
            is_of_networks=True,
            handler=desk.reverse,
            answers={200: PaymentBody},
            path_types=PAYMENT_PATH,
            body=NewReversal,
            example=NewReversal(),
            refusals=(ledger.ReleaseTooHigh, *refusals),
        ),
        web.Operation(
            method="POST",
            path=f"{of_one}/increments",
            name="raise_authorisation",
            summary="Authorise more on a card payment",
            tag=TAG,
            scope="payments:write",
            moves_money=True,
            is_of_networks=True,
            handler=desk.raise_,
            answers={200: PaymentBody},
            path_types=PAYMENT_PATH,
            body=NewIncrement,
            example=NewIncrement(2_00),
            refusals=(PaymentDeclinedByGate, *refusals),
        ),
    )
