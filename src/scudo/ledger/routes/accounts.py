"""HTTP operations on accounts: open, close, balances, what moved them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec

from scudo.fabric import web
from scudo.kernel import (
    MINOR_MAX,
    CurrencyUnknown,
    Prefix,
    Refusal,
    currency,
    currency_by_numeric,
    ids,
    micros,
    rfc3339,
)
from scudo.ledger.commands import AccountBody, CloseAccount, OpenAccount
from scudo.ledger.errors import AccountNotEmpty, AccountNotFound
from scudo.ledger.model import (
    Account,
    AccountStatus,
    AuthorityKind,
    Mandate,
    Nature,
    Product,
    TransferKind,
)
from scudo.ledger.queries import (
    AccountEntry,
    find_account,
    list_account_entries,
    list_accounts,
)

TAG: Final = "ledger"
_ACCOUNTS: Final = "a"
_ENTRIES: Final = "e"
_NONE: Final = "there is no such account"
_STANDING: Final = frozenset(Mandate)

AccountIdText = Annotated[str, web.id_text(Prefix.ACCOUNT)]
CustomerIdText = Annotated[str, web.id_text(Prefix.CUSTOMER)]
CurrencyText = Annotated[str, msgspec.Meta(min_length=3, max_length=3)]
Limit = Annotated[int, msgspec.Meta(ge=0, le=MINOR_MAX)]
ACCOUNT_PATH: Final[Mapping[str, Any]] = {"account_id": AccountIdText}


class NewAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account to open; limits say how far below zero holds and postings may go."""

    customer_id: CustomerIdText
    currency: CurrencyText
    product: Literal["current", "merchant"] = "current"
    hold_limit_minor: Limit = 0
    posting_limit_minor: Limit = 0


class AccountQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose accounts."""

    customer_id: CustomerIdText
    cursor: web.CursorText | None = None
    limit: web.PageLimit = 50


class TransactionQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which page."""

    cursor: web.CursorText | None = None
    limit: web.PageLimit = 50


class BalanceView(msgspec.Struct, frozen=True):
    """What an account holds, in minor units of its currency.

    Attributes:
        posted_minor: what was posted, positive on the account's own side.
        held_minor: what is set aside of it.
        available_minor: posted less held plus the posting limit; absent without limit.
    """

    account_id: AccountIdText
    currency: str
    posted_minor: int
    held_minor: int
    available_minor: int | None


class AccountView(msgspec.Struct, frozen=True):
    """An account; accounts of the bank itself have no customer."""

    id: AccountIdText
    customer_id: CustomerIdText | None
    currency: str
    product: str
    status: str
    opened_at: str
    hold_limit_minor: int | None
    posting_limit_minor: int | None
    balance: BalanceView


class AccountPage(msgspec.Struct, frozen=True):
    """Accounts, oldest first."""

    items: tuple[AccountView, ...]
    next_cursor: str | None


class TransactionView(msgspec.Struct, frozen=True):
    """One movement as the account sees it, with the balance that it left.

    Attributes:
        amount_minor: posted, negative when it left the account's debit side.
        held_change_minor: added to what is held; negative when it was freed.
        counterparty_account_id: the other side.
        authority: the decision or the mandate under which it was made.
    """

    transfer_id: str
    version: int
    kind: str
    amount_minor: int
    held_change_minor: int
    balance_minor: int
    held_minor: int
    currency: str
    counterparty_account_id: AccountIdText
    hold_id: str | None
    authority: str
    booked_on: str
    value_on: str
    recorded_at: str


class TransactionPage(msgspec.Struct, frozen=True):
    """Movements of an account, newest first; their versions have no gaps."""

    items: tuple[TransactionView, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class _Desk:
    submit: web.Submit
    reads: web.Reads
    clock: web.Clock

    async def open_account(self, call: web.Call) -> web.Reply:
        body: NewAccount = call.body
        command = OpenAccount(
            owner=ids.parse(Prefix.CUSTOMER, body.customer_id, field="customer_id"),
            currency=currency(body.currency, on=self.clock().date()).numeric,
            product=Product[body.product.upper()],
            nature=Nature.CREDIT,
            hold_limit=body.hold_limit_minor,
            posting_limit=body.posting_limit_minor,
        )
        return await web.submitted(self.submit, command, call)

    async def close_account(self, call: web.Call) -> web.Reply:
        number = ids.parse(Prefix.ACCOUNT, call.path["account_id"], field="account_id")
        return await web.submitted(self.submit, CloseAccount(number), call)

    async def get_account(self, call: web.Call) -> web.Reply:
        return web.Reply(200, account_view(await self._found(call)))

    async def get_balance(self, call: web.Call) -> web.Reply:
        return web.Reply(200, _balance(await self._found(call)))

    async def list_accounts(self, call: web.Call) -> web.Reply:
        query: AccountQuery = call.query
        owner = ids.parse(Prefix.CUSTOMER, query.customer_id, field="customer_id")
        after = 0
        if query.cursor is not None:
            (after,) = web.decode_cursor(_ACCOUNTS, query.cursor, count=1)
        if call.client.customer not in {None, owner}:
            return web.Reply(200, AccountPage((), None))
        async with self.reads() as connection:
            accounts = await list_accounts(connection, owner=owner, after=after, limit=query.limit)
        is_full = len(accounts) == query.limit
        more = web.encode_cursor(_ACCOUNTS, accounts[-1].id) if is_full else None
        return web.Reply(200, AccountPage(tuple(map(account_view, accounts)), more))

    async def list_transactions(self, call: web.Call) -> web.Reply:
        query: TransactionQuery = call.query
        before = MINOR_MAX
        if query.cursor is not None:
            (before,) = web.decode_cursor(_ENTRIES, query.cursor, count=1)
        account = await self._found(call)
        async with self.reads() as connection:
            entries = await list_account_entries(
                connection, account=account.id, before=before, limit=query.limit
            )
        is_full = len(entries) == query.limit
        more = web.encode_cursor(_ENTRIES, entries[-1].version) if is_full else None
        return web.Reply(200, TransactionPage(tuple(map(transaction_view, entries)), more))

    async def _found(self, call: web.Call) -> Account:
        number = ids.parse(Prefix.ACCOUNT, call.path["account_id"], field="account_id")
        async with self.reads() as connection:
            account = await find_account(connection, number, owner=call.client.customer)
        if account is None:
            raise AccountNotFound(_NONE, field="account_id")
        return account


def _balance(account: Account) -> BalanceView:
    return BalanceView(
        account_id=ids.show(Prefix.ACCOUNT, account.id),
        currency=currency_by_numeric(account.currency).code,
        posted_minor=account.posted,
        held_minor=account.held,
        available_minor=account.available,
    )


def account_view(account: Account) -> AccountView:
    """Show an account."""
    return AccountView(
        id=ids.show(Prefix.ACCOUNT, account.id),
        customer_id=ids.show(Prefix.CUSTOMER, account.owner) if account.owner else None,
        currency=currency_by_numeric(account.currency).code,
        product=Product(account.product).name.lower(),
        status=AccountStatus(account.status).name.lower(),
        opened_at=rfc3339(account.opened_at),
        hold_limit_minor=account.hold_limit,
        posting_limit_minor=account.posting_limit,
        balance=_balance(account),
    )


def show_authority(kind: int, reference: int) -> str:
    """Write an authority: a decision's id, or a mandate."""
    if kind == AuthorityKind.DECISION:
        return ids.show(Prefix.DECISION, reference)
    return show_mandate(reference)


def show_mandate(number: int) -> str:
    """Write a mandate: the name of a standing one, or an id."""
    if number in _STANDING:
        return Mandate(number).name.lower()
    return ids.show(Prefix.MANDATE, number)


def transaction_view(entry: AccountEntry) -> TransactionView:
    """Show a movement as its account sees it."""
    other = entry.credit_account if entry.is_debit else entry.debit_account
    return TransactionView(
        transfer_id=ids.show(Prefix.TRANSFER, entry.transfer),
        version=entry.version,
        kind=TransferKind(entry.kind).name.lower(),
        amount_minor=-entry.amount if entry.is_debit else entry.amount,
        held_change_minor=entry.held,
        balance_minor=entry.balance,
        held_minor=entry.held_after,
        currency=currency_by_numeric(entry.currency).code,
        counterparty_account_id=ids.show(Prefix.ACCOUNT, other),
        hold_id=None if entry.hold is None else ids.show(Prefix.HOLD, entry.hold),
        authority=show_authority(entry.authority_kind, entry.authority),
        booked_on=entry.booked_on.isoformat(),
        value_on=entry.value_on.isoformat(),
        recorded_at=rfc3339(micros(entry.recorded_at)),
    )


def account_operations(
    *,
    submit: web.Submit,
    reads: web.Reads,
    clock: web.Clock,
    owner_refusals: tuple[type[Refusal], ...],
) -> tuple[web.Operation, ...]:
    """List the operations on accounts."""
    desk = _Desk(submit, reads, clock)
    return (*_changes(desk, owner_refusals), *_views(desk))


def _changes(desk: _Desk, owner_refusals: tuple[type[Refusal], ...]) -> tuple[web.Operation, ...]:
    return (
        web.Operation(
            method="POST",
            path="/v1/accounts",
            name="open_account",
            summary="Open an account for a customer",
            tag=TAG,
            scope="accounts:write",
            is_bank_wide=True,
            handler=desk.open_account,
            answers={201: AccountBody},
            body=NewAccount,
            refusals=(ids.IdMalformed, CurrencyUnknown, *owner_refusals, *web.SUBMIT_REFUSALS),
            example=NewAccount("cus_0000000000000001", "EUR"),
        ),
        web.Operation(
            method="POST",
            path="/v1/accounts/{account_id}/closure",
            name="close_account",
            summary="Close an empty account",
            tag=TAG,
            scope="accounts:write",
            is_bank_wide=True,
            handler=desk.close_account,
            answers={200: AccountBody},
            path_types=ACCOUNT_PATH,
            refusals=(ids.IdMalformed, AccountNotFound, AccountNotEmpty, *web.SUBMIT_REFUSALS),
        ),
    )


def _views(desk: _Desk) -> tuple[web.Operation, ...]:
    of_one: tuple[type[Refusal], ...] = (ids.IdMalformed, AccountNotFound, *web.READ_REFUSALS)
    return (
        web.Operation(
            method="GET",
            path="/v1/accounts",
            name="list_accounts",
            summary="List a customer's accounts, oldest first",
            tag=TAG,
            scope="accounts:read",
            handler=desk.list_accounts,
            answers={200: AccountPage},
            query=AccountQuery,
            refusals=(ids.IdMalformed, web.errors.CursorMalformed, *web.READ_REFUSALS),
        ),
        web.Operation(
            method="GET",
            path="/v1/accounts/{account_id}",
            name="get_account",
            summary="Show an account",
            tag=TAG,
            scope="accounts:read",
            handler=desk.get_account,
            answers={200: AccountView},
            path_types=ACCOUNT_PATH,
            refusals=of_one,
        ),
        web.Operation(
            method="GET",
            path="/v1/accounts/{account_id}/balance",
            name="get_balance",
            summary="Show what an account holds: posted, held, available",
            tag=TAG,
            scope="accounts:read",
            handler=desk.get_balance,
            answers={200: BalanceView},
            path_types=ACCOUNT_PATH,
            refusals=of_one,
        ),
        web.Operation(
            method="GET",
            path="/v1/accounts/{account_id}/transactions",
            name="list_transactions",
            summary="List what moved an account, newest first",
            tag=TAG,
            scope="accounts:read",
            handler=desk.list_transactions,
            answers={200: TransactionPage},
            path_types=ACCOUNT_PATH,
            query=TransactionQuery,
            refusals=(web.errors.CursorMalformed, *of_one),
        ),
    )
