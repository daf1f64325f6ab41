"""HTTP operations on journals: movements that stand or fall together, under a mandate."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from scudo.fabric import web
from scudo.governance import MandateExceeded, MandateLapsed, MandateUnknown
from scudo.kernel import (
    AmountOutOfRange,
    CurrencyUnknown,
    InstantMalformed,
    Prefix,
    Refusal,
    currency,
    currency_by_numeric,
    ids,
    micros,
    parse_rfc3339,
    rfc3339,
)
from scudo.ledger.commands import JournalBody, Movement, PostJournal
from scudo.ledger.errors import (
    AccountClosed,
    AccountNotFound,
    BalanceOutOfRange,
    CaptureTooHigh,
    CurrencyMismatch,
    HoldEnded,
    HoldExpired,
    HoldNotFound,
    HoldOfPayment,
    InsufficientFunds,
    JournalMalformed,
    JournalNotFound,
    ReleaseTooHigh,
    SameAccount,
)
from scudo.ledger.model import BPS, TransferKind
from scudo.ledger.queries import Transfer, list_journal
from scudo.ledger.routes.accounts import TAG, AccountIdText, CurrencyText, show_authority
from scudo.ledger.routes.mandates import MandateText, mandate_number

HoldIdText = Annotated[str, web.id_text(Prefix.HOLD)]
JournalIdText = Annotated[str, web.id_text(Prefix.JOURNAL)]
KeyText = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=255, extra_json_schema={"pattern": "^[!-~]{1,255}$"}),
]
_MOVEMENTS_MAX: Final = ids.LEGS_MAX // 2
_BULK_MAX: Final = 1_000

#: What a journal may be refused with; `field` names the movement.
JOURNAL_REFUSALS: Final[tuple[type[Refusal], ...]] = (
    AccountClosed,
    AccountNotFound,
    AmountOutOfRange,
    BalanceOutOfRange,
    CaptureTooHigh,
    CurrencyMismatch,
    CurrencyUnknown,
    HoldEnded,
    HoldExpired,
    HoldNotFound,
    HoldOfPayment,
    InstantMalformed,
    InsufficientFunds,
    JournalMalformed,
    MandateExceeded,
    MandateLapsed,
    MandateUnknown,
    ReleaseTooHigh,
    SameAccount,
    ids.IdMalformed,
    web.errors.ReferenceUnfit,
)


class NewMovement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step of a journal.

    Attributes:
        amount_minor: positive; 0 for a release of all that is held.
        currency: of a post or a hold.
        debit_account_id, credit_account_id: of a post or a hold; absent stands for the
            bank's funding account.
        hold_id: the hold that is raised, captured or released.
        hold_of: instead of `hold_id`: index of the movement of this journal that placed it.
        is_final: whether a capture frees the rest.
        expires_at: of a hold.
        tolerance_bps: by how much a capture may exceed a hold.
        code: business code of yours, kept with the transfer.
    """

    kind: Literal["post", "hold", "raise", "capture", "release"]
    amount_minor: web.Int64 = 0
    currency: CurrencyText | None = None
    debit_account_id: AccountIdText | None = None
    credit_account_id: AccountIdText | None = None
    hold_id: HoldIdText | None = None
    hold_of: Annotated[int, msgspec.Meta(ge=0, lt=_MOVEMENTS_MAX)] | None = None
    is_final: bool = True
    expires_at: str | None = None
    tolerance_bps: Annotated[int, msgspec.Meta(ge=0, le=BPS)] = 0
    code: Annotated[int, msgspec.Meta(ge=0, le=32_767)] = 0


class NewJournal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Movements that stand or fall together; `reference` is a code of yours, and no prose."""

    mandate: MandateText
    movements: Annotated[tuple[NewMovement, ...], msgspec.Meta(max_length=_MOVEMENTS_MAX)]
    reference: Annotated[str, web.reference_text(shortest=0, longest=128)] = ""


class BulkItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One journal of a bulk, with the key that makes it happen once."""

    idempotency_key: KeyText
    journal: NewJournal


class NewBulk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Journals that stand or fall each for itself."""

    items: Annotated[tuple[BulkItem, ...], msgspec.Meta(min_length=1, max_length=_BULK_MAX)]


class BulkResult(msgspec.Struct, frozen=True):
    """What one journal of a bulk was answered: a journal, or a problem."""

    idempotency_key: str
    status: int
    body: msgspec.Raw


class BulkBody(msgspec.Struct, frozen=True):
    """One result for each item, in the order of the items."""

    results: tuple[BulkResult, ...]


class TransferView(msgspec.Struct, frozen=True):
    """One transfer as it was posted."""

    id: str
    kind: str
    debit_account_id: AccountIdText
    credit_account_id: AccountIdText
    amount_minor: int
    held_change_minor: int
    currency: str
    hold_id: str | None
    authority: str
    booked_on: str
    value_on: str
    recorded_at: str


class JournalView(msgspec.Struct, frozen=True):
    """The transfers of one journal, in order."""

    id: JournalIdText
    transfers: tuple[TransferView, ...]


@dataclass(frozen=True, slots=True)
class _Desk:
    submit: web.Submit
    reads: web.Reads
    clock: web.Clock

    async def post_journal(self, call: web.Call) -> web.Reply:
        return await web.submitted(self.submit, self._command(call.body), call)

    async def post_bulk(self, call: web.Call) -> web.Reply:
        items: tuple[BulkItem, ...] = call.body.items
        for index, item in enumerate(items):
            if not web.is_idempotency_key(item.idempotency_key):
                message = "an idempotency key is 1 to 255 visible ASCII characters"
                where = f"items[{index}].idempotency_key"
                raise web.errors.IdempotencyKeyMalformed(message, field=where)
        results = await asyncio.gather(*(self._one(call, item) for item in items))
        return web.Reply(200, BulkBody(tuple(results)))

    async def _one(self, call: web.Call, item: BulkItem) -> BulkResult:
        key = item.idempotency_key
        try:
            command = self._command(item.journal)
        except Refusal as refusal:
            return BulkResult(key, refusal.status, msgspec.Raw(web.encode_problem(refusal)))
        answer = await self.submit(command, msgspec.structs.replace(call, key=key))
        return BulkResult(key, answer.status, msgspec.Raw(answer.body))

    async def get_journal(self, call: web.Call) -> web.Reply:
        number = ids.parse(Prefix.JOURNAL, call.path["journal_id"], field="journal_id")
        # Transfer ids carry the position, so a larger number is the position of none.
        transfers: tuple[Transfer, ...] = ()
        if number <= ids.ID_MAX >> ids.LEGS_BITS:
            async with self.reads() as connection:
                transfers = tuple(await list_journal(connection, number))
        if not transfers:
            message = "there is no such journal"
            raise JournalNotFound(message, field="journal_id")
        return web.Reply(
            200, JournalView(call.path["journal_id"], tuple(map(_transfer, transfers)))
        )

    def _command(self, body: NewJournal) -> PostJournal:
        reference = web.demand_reference(body.reference, field="reference")
        movements = tuple(
            self._movement(movement, f"movements[{index}]")
            for index, movement in enumerate(body.movements)
        )
        return PostJournal(mandate_number(body.mandate), movements, reference)

    def _movement(self, body: NewMovement, where: str) -> Movement:
        has_sides = body.kind in {"post", "hold"}
        if body.kind == "hold" and body.expires_at is None:
            message = "a hold needs the time at which it expires"
            raise InstantMalformed(message, field=f"{where}.expires_at")
        return Movement(
            kind=TransferKind[body.kind.upper()],
            amount=body.amount_minor,
            currency=self._currency(body.currency or "", where) if has_sides else 0,
            debit=_number(Prefix.ACCOUNT, body.debit_account_id, f"{where}.debit_account_id"),
            credit=_number(Prefix.ACCOUNT, body.credit_account_id, f"{where}.credit_account_id"),
            hold=-body.hold_of - 1
            if body.hold_of is not None
            else _number(Prefix.HOLD, body.hold_id, f"{where}.hold_id"),
            final=body.is_final,
            expires_at=0
            if body.expires_at is None
            else parse_rfc3339(body.expires_at, field=f"{where}.expires_at"),
            tolerance_bps=body.tolerance_bps,
            code=body.code,
        )

    def _currency(self, code: str, where: str) -> int:
        try:
            return currency(code, on=self.clock().date()).numeric
        except CurrencyUnknown as refusal:
            refusal.field = f"{where}.currency"
            raise


def _number(prefix: Prefix, text: str | None, field: str) -> int:
    return 0 if text is None else ids.parse(prefix, text, field=field)


def _transfer(transfer: Transfer) -> TransferView:
    return TransferView(
        id=ids.show(Prefix.TRANSFER, transfer.id),
        kind=TransferKind(transfer.kind).name.lower(),
        debit_account_id=ids.show(Prefix.ACCOUNT, transfer.debit_account),
        credit_account_id=ids.show(Prefix.ACCOUNT, transfer.credit_account),
        amount_minor=transfer.amount,
        held_change_minor=transfer.held,
        currency=currency_by_numeric(transfer.currency).code,
        hold_id=None if transfer.hold is None else ids.show(Prefix.HOLD, transfer.hold),
        authority=show_authority(transfer.authority_kind, transfer.authority),
        booked_on=transfer.booked_on.isoformat(),
        value_on=transfer.value_on.isoformat(),
        recorded_at=rfc3339(micros(transfer.recorded_at)),
    )


def journal_operations(
    *, submit: web.Submit, reads: web.Reads, clock: web.Clock
) -> tuple[web.Operation, ...]:
    """List the operations on journals."""
    desk = _Desk(submit, reads, clock)
    example = NewJournal(
        "funding",
        (
            NewMovement(
                "post",
                amount_minor=100_00,
                currency="EUR",
                credit_account_id="acc_0000000000000001",
            ),
        ),
        "opening balance",
    )
    return (
        web.Operation(
            method="POST",
            path="/v1/journals",
            name="post_journal",
            summary="Post movements that stand or fall together, under a mandate of the bank",
            tag=TAG,
            scope="journals:write",
            moves_money=True,
            is_bank_wide=True,
            handler=desk.post_journal,
            answers={201: JournalBody},
            body=NewJournal,
            body_bytes_max=web.BULK_BODY_BYTES_MAX,
            refusals=(*JOURNAL_REFUSALS, *web.SUBMIT_REFUSALS),
            example=example,
        ),
        web.Operation(
            method="POST",
            path="/v1/journals/bulk",
            name="post_journals",
            summary="Post journals that stand or fall each for itself, each under its own key",
            tag=TAG,
            scope="journals:write",
            moves_money=True,
            is_bank_wide=True,
            handler=desk.post_bulk,
            answers={200: BulkBody},
            body=NewBulk,
            body_bytes_max=web.BULK_BODY_BYTES_MAX,
            example=NewBulk((BulkItem("funding-1", example),)),
        ),
        web.Operation(
            method="GET",
            path="/v1/journals/{journal_id}",
            name="get_journal",
            summary="Show the transfers of a journal",
            tag=TAG,
            scope="accounts:read",
            is_bank_wide=True,
            handler=desk.get_journal,
            answers={200: JournalView},
            path_types={"journal_id": JournalIdText},
            refusals=(ids.IdMalformed, JournalNotFound, *web.READ_REFUSALS),
        ),
    )
