"""What may be asked of the ledger: open and close accounts, post journals under a mandate."""

from typing import Final

import msgspec

from scudo.fabric import Answer, Command, Entry
from scudo.governance import Leave, Mandates, Moved
from scudo.kernel import Prefix, Refusal, ids, positive_amount
from scudo.ledger.book import Book
from scudo.ledger.errors import (
    AccountNotEmpty,
    AccountNotFound,
    CurrencyMismatch,
    HoldOfPayment,
    JournalMalformed,
)
from scudo.ledger.events import (
    AccountClosed,
    HoldExpired,
    HoldPlaced,
    HoldRaised,
    HoldReleased,
    JournalPosted,
    JournalRefused,
)
from scudo.ledger.model import (
    Account,
    AccountStatus,
    Authority,
    AuthorityKind,
    Nature,
    Product,
    TransferKind,
    side,
)

_encode: Final = msgspec.json.Encoder().encode
CREATED: Final = 201
OK: Final = 200


class OpenAccount(Command, frozen=True, tag=201):
    """Open a customer's account.

    Attributes:
        owner: customer, who exists.
        currency: ISO 4217 number.
        hold_limit, posting_limit: how far below zero holds and postings may go, minor units.
    """

    owner: int
    currency: int
    product: Product
    nature: Nature
    hold_limit: int
    posting_limit: int


class CloseAccount(Command, frozen=True, tag=202):
    """Close an account that is empty."""

    account: int


class Movement(msgspec.Struct, frozen=True, array_like=True):
    """One step of a journal.

    Attributes:
        kind: POST, HOLD, RAISE, CAPTURE or RELEASE.
        amount: minor units; for RELEASE 0 means all that is held.
        debit, credit: accounts of a POST or HOLD; 0 stands for the bank's funding account.
        hold: id for RAISE, CAPTURE and RELEASE; negative: the hold that the movement of this
            index (-1 is the first) of the same journal placed.
        final: whether a CAPTURE releases the rest.
        expires_at, tolerance_bps: of a HOLD.
    """

    kind: TransferKind
    amount: int
    currency: int
    debit: int = 0
    credit: int = 0
    hold: int = 0
    final: bool = True
    expires_at: int = 0
    tolerance_bps: int = 0
    code: int = 0


class PostJournal(Command, frozen=True, tag=203):
    """Post movements that stand or fall together, under a mandate of the bank."""

    mandate: int
    movements: tuple[Movement, ...]
    reference: str


class PostBulk(Command, frozen=True, tag=205):
    """Post groups of movements under a mandate; each group stands or falls alone."""

    mandate: int
    groups: tuple[tuple[Movement, ...], ...]
    reference: str


class ExpireHold(Command, frozen=True, tag=204):
    """End a hold whose time has passed."""

    hold: int


class AccountBody(msgspec.Struct, frozen=True):
    """Answer to an account that was opened or closed."""

    id: str
    status: str


class JournalBody(msgspec.Struct, frozen=True):
    """Answer to a journal: one transfer or hold for each movement, in order."""

    id: str
    transfers: list[str]


class GroupBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """Result of one group of a bulk: its transfers and holds, or why it was refused."""

    transfers: list[str] = []
    code: str | None = None
    field: str | None = None
    detail: str | None = None


class BulkBody(msgspec.Struct, frozen=True):
    """Answer to a bulk: one result for each group, in order."""

    id: str
    posted: int
    refused: int
    results: list[GroupBody]


class Ledger:
    """Works on the ledger's commands, for the conveyor."""

    def __init__(self, book: Book, mandates: Mandates) -> None:
        """Work on one book, under the bank's mandates."""
        self.book = book
        self._mandates = mandates

    def open_account(self, command: OpenAccount, entry: Entry) -> Answer:
        """Open a customer's account; existence of the customer is the caller's to check."""
        account = self.book.open(
            entry,
            owner=command.owner,
            nature=command.nature,
            currency=command.currency,
            product=command.product,
            hold_limit=command.hold_limit,
            posting_limit=command.posting_limit,
        )
        entry.correlation = account.id
        body = AccountBody(ids.show(Prefix.ACCOUNT, account.id), "open")
        return Answer(CREATED, _encode(body))

    def close_account(self, command: CloseAccount, entry: Entry) -> Answer:
        """Close an account; closing a closed one changes nothing.

        Raises:
            AccountNotFound: if there is none, or it is the bank's own.
            AccountNotEmpty: if it has a balance or holds.
        """
        account = self.book.account(command.account, field="account_id")
        if account.owner == 0:
            message = "there is no such account"
            raise AccountNotFound(message, field="account_id")
        if account.posted or account.debits_held or account.credits_held:
            message = "the account still has a balance or holds"
            raise AccountNotEmpty(message)
        if account.status == AccountStatus.OPEN:
            entry.undo(account.restore_status, account.status)
            account.status = AccountStatus.CLOSED
            self.book.touched.add(account)
            entry.emit(AccountClosed(account.id))
        body = AccountBody(ids.show(Prefix.ACCOUNT, account.id), "closed")
        return Answer(OK, _encode(body))

    def post_journal(self, command: PostJournal, entry: Entry) -> Answer:
        """Post a journal; all movements or none.

        Raises:
            JournalMalformed: without movements, or with too many.
            MandateUnknown, MandateLapsed: nothing may be moved under the mandate.
            Refusal: of the first movement that cannot be posted; `field` names it.
        """
        _check_count(len(command.movements))
        journal = entry.position
        leave = self._mandates.open(entry, command.mandate)
        shown = self._post_group(entry, command.movements, leave)
        self._mandates.close(entry, leave)
        entry.emit(JournalPosted(journal, command.mandate, entry.legs, command.reference))
        return Answer(CREATED, _encode(JournalBody(ids.show(Prefix.JOURNAL, journal), shown)))

    def post_bulk(self, command: PostBulk, entry: Entry) -> Answer:
        """Post groups of movements, each all or nothing, with a result for each.

        Raises:
            JournalMalformed: without groups, with an empty one, or with too many movements.
            MandateUnknown, MandateLapsed: nothing may be moved under the mandate.
        """
        for group in command.groups:
            _check_count(len(group))
        _check_count(sum(len(group) for group in command.groups))
        journal = entry.position
        leave = self._mandates.open(entry, command.mandate)
        results: list[GroupBody] = []
        refused = 0
        for group in command.groups:
            savepoint, used = entry.savepoint(), leave.used
            try:
                results.append(GroupBody(self._post_group(entry, group, leave)))
            except Refusal as refusal:
                entry.take_back(savepoint)
                leave.used = used
                refused += 1
                results.append(
                    GroupBody(code=refusal.code, field=refusal.field, detail=refusal.message)
                )
        self._mandates.close(entry, leave)
        entry.emit(JournalPosted(journal, command.mandate, entry.legs, command.reference))
        body = BulkBody(ids.show(Prefix.JOURNAL, journal), len(results) - refused, refused, results)
        return Answer(CREATED, _encode(body))

    def _post_group(self, entry: Entry, movements: tuple[Movement, ...], leave: Leave) -> list[str]:
        authority = Authority.mandate(leave.number)
        done: list[int] = []
        shown: list[str] = []
        for index, movement in enumerate(movements):
            try:
                if leave.is_bounded:
                    self._take_leave(entry, movement, leave, done)
                number = self._move(entry, movement, authority, done)
            except Refusal as refusal:
                refusal.field = f"movements[{index}].{refusal.field or 'kind'}"
                raise
            done.append(number)
            shown.append(_shown(movement.kind, number))
            if movement.kind != TransferKind.POST:
                self._tell(entry, movement, number, done)
        return shown

    def _take_leave(self, entry: Entry, movement: Movement, leave: Leave, done: list[int]) -> None:
        """Ask the mandate about what a movement posts or holds; letting go needs no leave."""
        book, amount = self.book, movement.amount
        if movement.kind == TransferKind.RELEASE:
            return
        positive_amount(amount)
        if movement.kind in (TransferKind.POST, TransferKind.HOLD):
            debit = self._side(entry, movement.debit, movement.currency, "debit_account_id")
            credit = self._side(entry, movement.credit, movement.currency, "credit_account_id")
        else:
            hold = book.hold(_hold_of(movement, done))
            debit, credit = (book.accounts[number] for number in hold.sides)
            if movement.kind == TransferKind.CAPTURE:
                amount -= min(amount, hold.remaining)
        leave.take(Moved(side(debit), side(credit), debit.currency, amount))

    def refuse_journal(self, refusal: Refusal, entry: Entry) -> None:
        """Record that a journal was refused."""
        entry.emit(JournalRefused(entry.next_position, refusal.code, refusal.field))

    def expire_hold(self, command: ExpireHold, entry: Entry) -> Answer:
        """End a hold whose time has passed."""
        hold = self.book.hold(command.hold)
        freed = self.book.expire(entry, hold)
        entry.emit(HoldExpired(hold.id, hold.debit_account, freed))
        return Answer(OK, b"{}")

    def _move(self, entry: Entry, movement: Movement, authority: Authority, done: list[int]) -> int:
        book, amount = self.book, movement.amount
        if movement.kind != TransferKind.RELEASE or amount:
            positive_amount(amount)
        if movement.kind in (TransferKind.POST, TransferKind.HOLD):
            debit = self._side(entry, movement.debit, movement.currency, "debit_account_id")
            credit = self._side(entry, movement.credit, movement.currency, "credit_account_id")
            if movement.kind == TransferKind.POST:
                return book.post(
                    entry,
                    debit=debit,
                    credit=credit,
                    amount=amount,
                    authority=authority,
                    code=movement.code,
                )
            return book.place(
                entry,
                debit=debit,
                credit=credit,
                amount=amount,
                tolerance_bps=movement.tolerance_bps,
                expires_at=movement.expires_at,
                authority=authority,
                code=movement.code,
            ).id
        hold = book.hold(_hold_of(movement, done))
        if hold.authority.kind != AuthorityKind.MANDATE:
            message = "a payment placed this hold, and alone decides about it"
            raise HoldOfPayment(message, field="hold_id")
        if movement.kind == TransferKind.RAISE:
            return book.raise_hold(entry, hold, amount=amount, authority=authority)
        if movement.kind == TransferKind.CAPTURE:
            return book.capture(
                entry, hold, amount=amount, final=movement.final, authority=authority
            )
        freed = book.release(entry, hold, amount=amount or None)
        entry.emit(HoldReleased(hold.id, hold.debit_account, freed))
        return ids.transfer_id(entry.position, entry.legs - 1)

    def _side(self, entry: Entry, number: int, currency: int, field: str) -> Account:
        if number == 0:
            return self.book.house_account(entry, Product.FUNDING, currency)
        account = self.book.account(number, field=field)
        if account.currency != currency:
            message = "the account is of another currency"
            raise CurrencyMismatch(message, field="currency")
        return account

    def _tell(self, entry: Entry, movement: Movement, number: int, done: list[int]) -> None:
        placed = movement.kind == TransferKind.HOLD
        hold = self.book.hold(number if placed else _hold_of(movement, done))
        if placed:
            entry.emit(
                HoldPlaced(
                    hold.id,
                    hold.debit_account,
                    movement.amount,
                    hold.expires_at,
                    hold.tolerance_bps,
                )
            )
        elif movement.kind == TransferKind.RAISE:
            entry.emit(HoldRaised(hold.id, hold.debit_account, movement.amount))


def _check_count(movements: int) -> None:
    # A capture that releases the rest makes two transfers.
    if not 0 < movements <= ids.LEGS_MAX // 2:
        message = f"a journal or bulk has 1 to {ids.LEGS_MAX // 2} movements"
        raise JournalMalformed(message, field="movements")


def _hold_of(movement: Movement, done: list[int]) -> int:
    if movement.hold >= 0:
        return movement.hold
    index = -movement.hold - 1
    return done[index] if index < len(done) else 0


def _shown(kind: TransferKind, number: int) -> str:
    return ids.show(Prefix.HOLD if kind == TransferKind.HOLD else Prefix.TRANSFER, number)
