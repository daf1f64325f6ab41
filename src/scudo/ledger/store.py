"""The only place that touches the ledger's tables."""

import struct
from collections.abc import Iterable, Sequence
from typing import Final

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.fabric import Guarded, Int8Array, Lookup, Residence, Table, Take, queries
from scudo.kernel import POSTGRES_EPOCH_US
from scudo.ledger.book import Book
from scudo.ledger.model import Account, Authority, AuthorityKind, Hold

_SQL: Final = queries("scudo.ledger")
#: State, not history: these rows change and are no leaves of the chain.
_ACCOUNT: Final = Table(
    "ledger.account",
    (
        "id",
        "owner",
        "nature",
        "currency",
        "product",
        "status",
        "opened_at",
        "hold_limit",
        "posting_limit",
        "debits_posted",
        "credits_posted",
        "debits_held",
        "credits_held",
        "version",
    ),
)
_HOLD: Final = Table(
    "ledger.hold",
    (
        "id",
        "debit_account",
        "credit_account",
        "held",
        "captured",
        "remaining",
        "authority",
        "expires_at",
        "version",
        "tolerance_bps",
        "authority_kind",
        "code",
        "status",
    ),
    sizes=(*(8,) * 9, 4, 2, 2, 2),
)
_ACCOUNT_HEAD: Final = struct.Struct(">hiqiqihihihihiq")
_ACCOUNT_TAIL: Final = struct.Struct(">" + "iq" * 5)
_HOLD_ROW: Final = struct.Struct(">h" + "iq" * 9 + "ii" + "ih" * 3)
_SIZED_INT8: Final = struct.Struct(">iq")
_NULL: Final = b"\xff\xff\xff\xff"


class LedgerStore:
    """Writes what a batch changed in the book, and loads what the book does not hold."""

    def __init__(self, book: Book) -> None:
        """Serve one book."""
        self._book = book
        self.holds = Residence(book.holds, book.touched_holds, book.expiries)

    # ---- within a batch

    def locks(self) -> Iterable[Guarded]:
        """Guarded updates of the accounts and holds that the batch touched, in id order."""
        accounts = self._book.touched.stored()
        if accounts:
            yield Guarded(_SQL["update_accounts"], _account_columns(accounts), len(accounts))
        holds = self._book.touched_holds.stored()
        if holds:
            yield Guarded(_SQL["update_holds"], _hold_columns(holds), len(holds))

    def copies(self) -> Iterable[tuple[Table, Sequence[bytes]]]:
        """Accounts and holds that are new in the batch, as they stand at its end."""
        yield _ACCOUNT, [_account_image(account) for account in self._book.touched.new()]
        yield _HOLD, [_hold_image(hold) for hold in self._book.touched_holds.new()]

    def begin(self) -> None:
        """A batch begins."""
        self._book.touched.begin()
        self._book.touched_holds.begin()

    def hand_over(self) -> None:
        """The batch goes to the database."""
        self._book.touched.hand_over()
        self._book.touched_holds.hand_over()

    def committed(self) -> None:
        """The oldest batch is stored."""
        self._book.touched.committed()
        self._book.touched_holds.committed()

    def aborted(self) -> None:
        """The newest batch was undone."""
        self._book.touched.aborted()
        self._book.touched_holds.aborted()

    # ---- between batches

    def forget(self) -> None:
        """Drop what can be loaded again: accounts and holds."""
        self._book.accounts.clear()
        self._book.owned.clear()
        self.holds.forget()

    async def load_house(self, connection: AsyncConnection[TupleRow]) -> None:
        """Load the bank's own accounts."""
        cursor = await connection.execute(_SQL["load_house"])
        book = self._book
        book.house = {
            (product, currency): number for number, product, currency in await cursor.fetchall()
        }
        cursor = await connection.execute(
            _SQL["load_accounts"], {"ids": list(book.house.values())}, binary=True
        )
        self._keep_accounts(await cursor.fetchall())

    async def load_newest(self, connection: AsyncConnection[TupleRow], *, limit: int) -> None:
        """Load the newest accounts: the first payments need not wait for theirs."""
        cursor = await connection.execute(_SQL["load_newest"], {"limit": limit}, binary=True)
        self._keep_accounts(await cursor.fetchall())

    def ask_accounts(self, lookup: Lookup, wanted: Iterable[int]) -> None:
        """Ask for accounts that memory does not hold; unknown ids stay unknown."""
        accounts = self._book.accounts
        missing = {number for number in wanted if number not in accounts}
        missing.update(number for number in self._book.house.values() if number not in accounts)
        if missing:
            lookup.ask(_SQL["load_accounts"], {"ids": Int8Array(missing)}, self._keep_accounts)

    def ask_accounts_of(self, lookup: Lookup, owners: Iterable[int]) -> None:
        """Ask for all open accounts of customers; what memory holds of them stays as it is."""
        wanted = Int8Array(owners)
        if wanted:
            lookup.ask(_SQL["load_open_of"], {"owners": wanted}, self._keep_owned)

    def ask_holds(self, lookup: Lookup, wanted: Iterable[int]) -> None:
        """Ask for holds that memory does not hold; unknown ids stay unknown."""
        missing = Int8Array(number for number in wanted if number not in self._book.holds)
        if missing:
            lookup.ask(_SQL["load_holds"], {"ids": missing}, self._keep_holds)

    def ask_expiring(
        self, lookup: Lookup, *, after: int, through: int, limit: int, take: Take
    ) -> None:
        """Ask for open holds that expire within a window: id and time, the earliest first.

        Of more than `limit`, those are given that expire first, all of the last moment.
        """
        window = {"after": after, "through": through, "limit": limit}
        lookup.ask(_SQL["find_expiring"], window, take)

    def _keep_owned(self, rows: Iterable[TupleRow]) -> None:
        found = list(rows)
        self._keep_accounts(found)
        for number, owner, *_ in found:
            known = self._book.owned.setdefault(owner, [])
            if number not in known:
                known.append(number)

    def _keep_accounts(self, rows: Iterable[TupleRow]) -> None:
        for row in rows:
            self._book.accounts.setdefault(row[0], _account(row))

    def _keep_holds(self, rows: Iterable[TupleRow]) -> None:
        for row in rows:
            self._book.holds.setdefault(row[0], _hold(row))


def _account(row: TupleRow) -> Account:
    return Account(
        id=row[0],
        owner=row[1],
        nature=row[2],
        currency=row[3],
        product=row[4],
        status=row[5],
        opened_at=row[6],
        hold_limit=row[7],
        posting_limit=row[8],
        debits_posted=row[9],
        credits_posted=row[10],
        debits_held=row[11],
        credits_held=row[12],
        version=row[13],
        stored_version=row[13],
    )


def _hold(row: TupleRow) -> Hold:
    return Hold(
        id=row[0],
        debit_account=row[1],
        credit_account=row[2],
        held=row[3],
        captured=row[4],
        remaining=row[5],
        tolerance_bps=row[6],
        expires_at=row[7],
        authority=Authority(AuthorityKind(row[9]), row[8]),
        code=row[10],
        status=row[11],
        version=row[12],
        stored_version=row[12],
    )


def _account_columns(accounts: Sequence[Account]) -> dict[str, Int8Array]:
    return {
        "ids": Int8Array([a.id for a in accounts]),
        "guards": Int8Array([a.stored_version for a in accounts]),
        "statuses": Int8Array([a.status for a in accounts]),
        "debits_posted": Int8Array([a.debits_posted for a in accounts]),
        "credits_posted": Int8Array([a.credits_posted for a in accounts]),
        "debits_held": Int8Array([a.debits_held for a in accounts]),
        "credits_held": Int8Array([a.credits_held for a in accounts]),
        "versions": Int8Array([a.version for a in accounts]),
    }


def _hold_columns(holds: Sequence[Hold]) -> dict[str, Int8Array]:
    return {
        "ids": Int8Array([h.id for h in holds]),
        "guards": Int8Array([h.stored_version for h in holds]),
        "held": Int8Array([h.held for h in holds]),
        "captured": Int8Array([h.captured for h in holds]),
        "remaining": Int8Array([h.remaining for h in holds]),
        "statuses": Int8Array([h.status for h in holds]),
        "versions": Int8Array([h.version for h in holds]),
    }


def _optional(value: int | None) -> bytes:
    return _NULL if value is None else _SIZED_INT8.pack(8, value)


def _account_image(account: Account) -> bytes:
    head = _ACCOUNT_HEAD.pack(
        14,
        *(8, account.id, 8, account.owner, 2, account.nature, 2, account.currency),
        *(2, account.product, 2, account.status, 8, account.opened_at - POSTGRES_EPOCH_US),
    )
    tail = _ACCOUNT_TAIL.pack(
        *(8, account.debits_posted, 8, account.credits_posted, 8, account.debits_held),
        *(8, account.credits_held, 8, account.version),
    )
    return head + _optional(account.hold_limit) + _optional(account.posting_limit) + tail


def _hold_image(hold: Hold) -> bytes:
    return _HOLD_ROW.pack(
        13,
        *(8, hold.id, 8, hold.debit_account, 8, hold.credit_account, 8, hold.held),
        *(8, hold.captured, 8, hold.remaining, 8, hold.authority.reference),
        *(8, hold.expires_at - POSTGRES_EPOCH_US, 8, hold.version),
        *(4, hold.tolerance_bps, 2, hold.authority.kind, 2, hold.code, 2, hold.status),
    )
