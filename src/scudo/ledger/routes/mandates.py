"""HTTP operations on mandates: what the bank may move of its own accord."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Final, Literal

import msgspec

from scudo.fabric import web
from scudo.governance import (
    ApproveMandate,
    MandateBody,
    MandateMalformed,
    MandateUnknown,
    Terms,
    approvals,
    list_mandates,
)
from scudo.kernel import (
    CurrencyUnknown,
    InstantMalformed,
    Prefix,
    currency,
    currency_by_numeric,
    ids,
    parse_rfc3339,
    rfc3339,
)
from scudo.ledger.model import Mandate, Product
from scudo.ledger.routes.accounts import TAG, AccountIdText, CurrencyText, show_mandate

_NAMED_MAX: Final = 256
_NAMES: Final = "|".join(mandate.name.lower() for mandate in Mandate)
#: A standing mandate by name, any other by its id.
MandateText = Annotated[
    str,
    msgspec.Meta(
        max_length=64,
        extra_json_schema={"pattern": f"^({_NAMES}|{Prefix.MANDATE}_[0-7][0-9a-f]{{15}})$"},
    ),
]
ProductName = Literal[
    "funding",
    "card_settlement",
    "fee_income",
    "interest_expense",
    "suspense",
    "current",
    "merchant",
]
_Name = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=64, pattern="^[a-z][a-z0-9_]*$"),
]
_Bound = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class NewMandate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the bank may move of its own accord; an absent bound allows everything.

    Attributes:
        mandate: the mandate that is changed; absent: a new one.
        name, owner: codes: what it is called, and which function of the bank answers for it.
        debit_products, credit_products: what the accounts on either side may be.
        account_ids: customers' accounts that may be moved.
        currency: of the bounds.
        amount_max_minor: of one movement.
        day_max_minor: of all movements of one day.
        valid_from, valid_to: from the first on, and before the second.
    """

    name: _Name
    owner: _Name
    mandate: MandateText | None = None
    debit_products: Annotated[tuple[ProductName, ...], msgspec.Meta(max_length=16)] = ()
    credit_products: Annotated[tuple[ProductName, ...], msgspec.Meta(max_length=16)] = ()
    account_ids: Annotated[tuple[AccountIdText, ...], msgspec.Meta(max_length=_NAMED_MAX)] = ()
    currency: CurrencyText | None = None
    amount_max_minor: _Bound | None = None
    day_max_minor: _Bound | None = None
    valid_from: str | None = None
    valid_to: str | None = None


class MandateView(msgspec.Struct, frozen=True):
    """A mandate as it holds now; version 0: it came with the bank, and was not used yet."""

    id: str
    mandate: MandateText
    version: int
    name: str
    owner: str
    debit_products: tuple[str, ...]
    credit_products: tuple[str, ...]
    account_ids: tuple[AccountIdText, ...]
    currency: str | None
    amount_max_minor: int | None
    day_max_minor: int | None
    valid_from: str | None
    valid_to: str | None
    approved_by: str | None
    approval_id: str | None


class MandateList(msgspec.Struct, frozen=True):
    """Every mandate, the standing ones first."""

    mandates: tuple[MandateView, ...]


def mandate_number(text: str) -> int:
    """Read a mandate as clients name it.

    Raises:
        MandateUnknown: it is neither a standing one nor an id.
    """
    name = text.upper()
    if text.islower() and name in Mandate.__members__:
        return Mandate[name]
    try:
        return ids.parse(Prefix.MANDATE, text)
    except ids.IdMalformed:
        message = "there is no such mandate"
        raise MandateUnknown(message, field="mandate") from None


@dataclass(frozen=True, slots=True)
class _Desk:
    submit: web.Submit
    reads: web.Reads
    clock: web.Clock

    async def approve(self, call: web.Call) -> web.Reply:
        body: NewMandate = call.body
        number = 0 if body.mandate is None else mandate_number(body.mandate)
        terms = terms_of(body, on=self.clock().date())
        return await web.submitted(self.submit, ApproveMandate(number, terms), call)

    async def list(self, call: web.Call) -> web.Reply:
        del call
        async with self.reads() as connection:
            found = await list_mandates(connection)
        return web.Reply(200, MandateList(tuple(view_of(*mandate) for mandate in found)))


def terms_of(body: NewMandate, *, on: date) -> Terms:
    """Read what a mandate is to allow, on a day (UTC).

    Raises:
        CurrencyUnknown, InstantMalformed, IdMalformed.
    """
    return Terms(
        name=body.name,
        owner=body.owner,
        debit_products=tuple(Product[name.upper()] for name in body.debit_products),
        credit_products=tuple(Product[name.upper()] for name in body.credit_products),
        accounts=tuple(
            ids.parse(Prefix.ACCOUNT, text, field="account_ids") for text in body.account_ids
        ),
        currency=None if body.currency is None else currency(body.currency, on=on).numeric,
        amount_max=body.amount_max_minor,
        day_max=body.day_max_minor,
        valid_from=_instant(body.valid_from, "valid_from") or 0,
        valid_to=_instant(body.valid_to, "valid_to"),
    )


def _instant(text: str | None, field: str) -> int | None:
    return None if text is None else parse_rfc3339(text, field=field)


def view_of(number: int, version: int, terms: Terms) -> MandateView:
    """Show a mandate."""
    return MandateView(
        id=ids.show(Prefix.MANDATE, number),
        mandate=show_mandate(number),
        version=version,
        name=terms.name,
        owner=terms.owner,
        debit_products=_products(terms.debit_products),
        credit_products=_products(terms.credit_products),
        account_ids=tuple(ids.show(Prefix.ACCOUNT, account) for account in terms.accounts),
        currency=None if terms.currency is None else currency_by_numeric(terms.currency).code,
        amount_max_minor=terms.amount_max,
        day_max_minor=terms.day_max,
        valid_from=rfc3339(terms.valid_from) if terms.valid_from else None,
        valid_to=None if terms.valid_to is None else rfc3339(terms.valid_to),
        approved_by=ids.show(Prefix.CLIENT, terms.approved_by) if terms.approved_by else None,
        approval_id=ids.show(Prefix.APPROVAL, terms.approval) if terms.approval else None,
    )


def _products(numbers: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(Product(number).name.lower() for number in numbers)


def mandate_operations(
    *, submit: web.Submit, reads: web.Reads, clock: web.Clock
) -> tuple[web.Operation, ...]:
    """List the operations on mandates: the one place that says who may approve one."""
    desk = _Desk(submit, reads, clock)
    return (
        web.Operation(
            method="POST",
            path="/v1/mandates",
            name="approve_mandate",
            summary="Approve a mandate alone, until two people could (approve_mandate)",
            tag=TAG,
            scope="mandates:write",
            is_bank_wide=True,
            handler=desk.approve,
            answers={200: MandateBody, 201: MandateBody},
            body=NewMandate,
            refusals=(
                CurrencyUnknown,
                InstantMalformed,
                MandateMalformed,
                MandateUnknown,
                approvals.errors.SecondPersonNeeded,
                ids.IdMalformed,
                *web.SUBMIT_REFUSALS,
            ),
            example=NewMandate(
                "card_fees",
                "finance",
                debit_products=("current",),
                credit_products=("fee_income",),
                currency="EUR",
                amount_max_minor=50_00,
                day_max_minor=10_000_00,
            ),
        ),
        web.Operation(
            method="GET",
            path="/v1/mandates",
            name="list_mandates",
            summary="List the mandates under which the bank moves money of its own accord",
            tag=TAG,
            scope="accounts:read",
            is_bank_wide=True,
            handler=desk.list,
            answers={200: MandateList},
            refusals=web.READ_REFUSALS,
        ),
    )
