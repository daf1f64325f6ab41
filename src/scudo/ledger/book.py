"""The book: accounts and holds in memory, and the movements that change them.

Everything here is in memory and undoable by the entry that does it; rows go to the
database with the batch. Memory is a cache: the guarded updates of the store refuse a batch
that rests on anything else than what is stored.
"""

import struct
from typing import Final

from scudo.fabric import Deadlines, Entry, Table, Touched
from scudo.kernel import (
    POSTGRES_EPOCH_DAY,
    POSTGRES_EPOCH_US,
    currency_by_numeric,
    day,
    ids,
)
from scudo.ledger.errors import (
    AccountNotFound,
    CaptureTooHigh,
    HoldEnded,
    HoldNotFound,
    ReleaseTooHigh,
)
from scudo.ledger.events import AccountOpened
from scudo.ledger.logic import check_limit, check_open, check_room, check_sides
from scudo.ledger.model import (
    HOUSE_NATURE,
    Account,
    AccountStatus,
    Authority,
    Hold,
    HoldStatus,
    Nature,
    Product,
    TransferKind,
)

TRANSFER: Final = Table(
    "ledger.transfer",
    (
        "id",
        "debit_account",
        "credit_account",
        "amount",
        "held",
        "hold",
        "debit_version",
        "debit_balance",
        "debit_held",
        "credit_version",
        "credit_balance",
        "credit_held",
        "authority",
        "recorded_at",
        "booked_on",
        "value_on",
        "kind",
        "authority_kind",
        "code",
        "currency",
    ),
    b"T1",
    (*(8,) * 5, 0, *(8,) * 8, 4, 4, 2, 2, 2, 2),
)
#: Rank of transfers among the leaves of an entry (decisions come before).
TRANSFER_ORDER: Final = 20

_POST: Final = struct.Struct(">h" + "iq" * 5 + "i" + "iq" * 8 + "ii" * 2 + "ih" * 4)
_HELD: Final = struct.Struct(">h" + "iq" * 14 + "ii" * 2 + "ih" * 4)


class Book:
    """Accounts and holds of one unit, as the one writer sees them."""

    def __init__(self) -> None:
        """Start with an empty cache."""
        self.accounts: dict[int, Account] = {}
        #: Customers' accounts that were opened by this process, or looked up by their owner.
        self.owned: dict[int, list[int]] = {}
        self.holds: dict[int, Hold] = {}
        self.house: dict[tuple[int, int], int] = {}
        self.touched: Touched[Account] = Touched()
        self.touched_holds: Touched[Hold] = Touched()
        self.expiries = Deadlines()

    # ---- looking up

    def account(self, number: int, *, field: str) -> Account:
        """Find an account that was prepared.

        Raises:
            AccountNotFound: if there is none.
        """
        found = self.accounts.get(number)
        if found is None:
            message = "there is no such account"
            raise AccountNotFound(message, field=field)
        return found

    def hold(self, number: int) -> Hold:
        """Find a hold that was prepared.

        Raises:
            HoldNotFound: if there is none.
        """
        found = self.holds.get(number)
        if found is None:
            message = "there is no such hold"
            raise HoldNotFound(message)
        return found

    # ---- accounts

    def has_open_account(self, owner: int) -> bool:
        """Whether a customer, whose open accounts were looked up, has one that is open."""
        numbers = self.owned.get(owner, ())
        return any(self.accounts[number].status == AccountStatus.OPEN for number in numbers)

    def open(  # noqa: PLR0913 - one parameter per property
        self,
        entry: Entry,
        *,
        owner: int,
        nature: Nature,
        currency: int,
        product: Product,
        hold_limit: int | None,
        posting_limit: int | None,
    ) -> Account:
        """Open an account; its id is the position of the event that says so."""
        number = entry.emit(
            AccountOpened(
                account=entry.next_position,
                owner=owner or None,
                nature=nature,
                currency=currency_by_numeric(currency).code,
                product=product,
                hold_limit_minor=hold_limit,
                posting_limit_minor=posting_limit,
            )
        )
        account = Account(
            id=number,
            owner=owner,
            nature=nature,
            currency=currency,
            product=product,
            status=AccountStatus.OPEN,
            opened_at=entry.ordered_at,
            hold_limit=hold_limit,
            posting_limit=posting_limit,
        )
        self.accounts[number] = account
        if owner:
            self.owned.setdefault(owner, []).append(number)
        self.touched.add(account)
        entry.undo(self._unopen, number)
        return account

    def _unopen(self, number: int) -> None:
        account = self.accounts.pop(number)
        if account.owner:
            self.owned[account.owner].remove(number)
        self.touched.discard(number)

    def house_account(self, entry: Entry, product: Product, currency: int) -> Account:
        """The bank's own account of a product and currency, opened on first use."""
        number = self.house.get((product, currency))
        if number is not None:
            return self.accounts[number]
        account = self.open(
            entry,
            owner=0,
            nature=HOUSE_NATURE[product],
            currency=currency,
            product=product,
            hold_limit=None,
            posting_limit=None,
        )
        self.house[product, currency] = account.id
        entry.undo(self.house.pop, (product, currency))
        return account

    # ---- movements

    def post(
        self,
        entry: Entry,
        *,
        debit: Account,
        credit: Account,
        amount: int,
        authority: Authority,
        code: int,
    ) -> int:
        """Post an amount from the debit to the credit account; returns the transfer's id.

        Raises:
            SameAccount, AccountClosed, CurrencyMismatch, BalanceOutOfRange, InsufficientFunds.
        """
        check_sides(debit, credit)
        check_room(debit, credit, amount)
        check_limit(debit, credit, amount, debit.posting_limit, credit.posting_limit)
        return self._move(
            entry,
            TransferKind.POST,
            debit=debit,
            credit=credit,
            amount=amount,
            held=0,
            hold=None,
            authority=authority,
            code=code,
        )

    def place(  # noqa: PLR0913 - one parameter per property
        self,
        entry: Entry,
        *,
        debit: Account,
        credit: Account,
        amount: int,
        tolerance_bps: int,
        expires_at: int,
        authority: Authority,
        code: int,
    ) -> Hold:
        """Set an amount aside on the debit account in favour of the credit account.

        Raises:
            SameAccount, AccountClosed, CurrencyMismatch, BalanceOutOfRange, InsufficientFunds.
        """
        check_sides(debit, credit)
        check_room(debit, credit, amount)
        check_limit(debit, credit, amount, debit.hold_limit, credit.hold_limit)
        hold = Hold(
            id=ids.transfer_id(entry.position, entry.legs),
            debit_account=debit.id,
            credit_account=credit.id,
            held=amount,
            tolerance_bps=tolerance_bps,
            expires_at=expires_at,
            authority=authority,
            code=code,
        )
        self._move(
            entry,
            TransferKind.HOLD,
            debit=debit,
            credit=credit,
            amount=0,
            held=amount,
            hold=hold,
            authority=authority,
            code=code,
        )
        self.holds[hold.id] = hold
        self.touched_holds.add(hold)
        entry.undo(self._unplace, hold.id)
        self.expiries.add(expires_at, hold.id)
        return hold

    def _unplace(self, number: int) -> None:
        del self.holds[number]
        self.touched_holds.discard(number)

    def raise_hold(self, entry: Entry, hold: Hold, *, amount: int, authority: Authority) -> int:
        """Set more aside by an open hold; returns the transfer's id.

        Raises:
            HoldEnded, HoldExpired, AccountClosed, BalanceOutOfRange, InsufficientFunds.
        """
        check_open(hold, entry.ordered_at)
        debit, credit = self._sides(hold)
        check_sides(debit, credit)
        check_room(debit, credit, amount)
        check_limit(debit, credit, amount, debit.hold_limit, credit.hold_limit)
        self._change(entry, hold, held=hold.held + amount, remaining=hold.remaining + amount)
        return self._move(
            entry,
            TransferKind.RAISE,
            debit=debit,
            credit=credit,
            amount=0,
            held=amount,
            hold=hold,
            authority=authority,
            code=hold.code,
        )

    def capture(
        self, entry: Entry, hold: Hold, *, amount: int, final: bool, authority: Authority
    ) -> int:
        """Post part of what is held; `final` releases the rest; returns the transfer's id.

        What goes beyond the held amount, within the tolerance, must be covered like any
        posting.

        Raises:
            CaptureTooHigh: if it is more than can still be captured.
            HoldEnded, HoldExpired, AccountClosed, BalanceOutOfRange, InsufficientFunds.
        """
        check_open(hold, entry.ordered_at)
        debit, credit = self._sides(hold)
        check_sides(debit, credit)
        if amount > hold.capturable:
            message = f"at most {hold.capturable} can still be captured"
            raise CaptureTooHigh(message, field="amount_minor")
        check_room(debit, credit, amount)
        freed = min(amount, hold.remaining)
        over = amount - freed
        if over:
            check_limit(debit, credit, over, debit.posting_limit, credit.posting_limit)
        remaining = hold.remaining - freed
        self._change(
            entry,
            hold,
            captured=hold.captured + amount,
            remaining=remaining,
            status=HoldStatus.OPEN if remaining else HoldStatus.CAPTURED,
        )
        transfer = self._move(
            entry,
            TransferKind.CAPTURE,
            debit=debit,
            credit=credit,
            amount=amount,
            held=-freed,
            hold=hold,
            authority=authority,
            code=hold.code,
        )
        if final and remaining:
            self._let_go(entry, hold, remaining, TransferKind.RELEASE, HoldStatus.CAPTURED)
        return transfer

    def release(self, entry: Entry, hold: Hold, *, amount: int | None = None) -> int:
        """Release what is still held, or a part of it; returns how much.

        Raises:
            HoldEnded: if nothing is held any more.
            ReleaseTooHigh: if `amount` is more than is held.
        """
        if hold.status != HoldStatus.OPEN:
            message = "nothing is held any more"
            raise HoldEnded(message)
        freed = hold.remaining if amount is None else amount
        if freed > hold.remaining:
            message = f"only {hold.remaining} is still held"
            raise ReleaseTooHigh(message, field="amount_minor")
        if freed == hold.remaining:
            ended = HoldStatus.CAPTURED if hold.captured else HoldStatus.RELEASED
        else:
            ended = HoldStatus.OPEN
        self._let_go(entry, hold, freed, TransferKind.RELEASE, ended)
        return freed

    def expire(self, entry: Entry, hold: Hold) -> int:
        """End a hold whose time has passed; returns how much was still held."""
        freed = hold.remaining
        self._let_go(entry, hold, freed, TransferKind.EXPIRE, HoldStatus.EXPIRED)
        return freed

    def next_expiry(self, now: int) -> Hold | None:
        """The open hold whose time passed first, at or before `now`."""
        return self.expiries.first(now, self.holds)

    # ---- the one place that changes balances

    def _sides(self, hold: Hold) -> tuple[Account, Account]:
        return self.accounts[hold.debit_account], self.accounts[hold.credit_account]

    def _let_go(
        self, entry: Entry, hold: Hold, freed: int, kind: TransferKind, status: HoldStatus
    ) -> None:
        debit, credit = self._sides(hold)
        self._change(entry, hold, remaining=hold.remaining - freed, status=status)
        self._move(
            entry,
            kind,
            debit=debit,
            credit=credit,
            amount=0,
            held=-freed,
            hold=hold,
            authority=hold.authority,
            code=hold.code,
        )

    def _change(
        self,
        entry: Entry,
        hold: Hold,
        *,
        held: int | None = None,
        captured: int | None = None,
        remaining: int,
        status: int = HoldStatus.OPEN,
    ) -> None:
        if status != HoldStatus.OPEN:
            # `next_expiry` drops the date of an ended hold; one that is open again needs it.
            entry.undo(self.expiries.add, hold.expires_at, hold.id)
        entry.undo(
            hold.restore, hold.held, hold.captured, hold.remaining, hold.status, hold.version
        )
        hold.held = hold.held if held is None else held
        hold.captured = hold.captured if captured is None else captured
        hold.remaining = remaining
        hold.status = status
        hold.version += 1
        self.touched_holds.add(hold)

    def _move(  # noqa: PLR0913 - one parameter per property
        self,
        entry: Entry,
        kind: TransferKind,
        *,
        debit: Account,
        credit: Account,
        amount: int,
        held: int,
        hold: Hold | None,
        authority: Authority,
        code: int,
    ) -> int:
        for account in (debit, credit):
            entry.undo(
                account.restore,
                account.debits_posted,
                account.credits_posted,
                (account.debits_held, account.credits_held),
                account.version,
            )
            account.version += 1
            self.touched.add(account)
        debit.debits_posted += amount
        credit.credits_posted += amount
        debit.debits_held += held
        credit.credits_held += held
        number = ids.transfer_id(entry.position, entry.legs)
        entry.legs += 1
        booked = day(entry.ordered_at) - POSTGRES_EPOCH_DAY
        head = (20, 8, number, 8, debit.id, 8, credit.id, 8, amount, 8, held)
        tail = (
            *(8, debit.version, 8, debit.credits_posted - debit.debits_posted),
            *(8, debit.debits_held, 8, credit.version),
            *(8, credit.credits_posted - credit.debits_posted, 8, credit.credits_held),
            *(8, authority.reference, 8, entry.recorded_at - POSTGRES_EPOCH_US),
            *(4, booked, 4, booked, 2, kind, 2, authority.kind, 2, code, 2, debit.currency),
        )
        if hold is None:
            image = _POST.pack(*head, -1, *tail)
        else:
            image = _HELD.pack(*head, 8, hold.id, *tail)
        entry.add(TRANSFER, image, order=TRANSFER_ORDER)
        return number
