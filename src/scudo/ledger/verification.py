"""The ledger's witness: recomputes every balance, version and hold from the transfers."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from psycopg import Connection

from scudo.fabric import Chained, Event, RowBroken, Seen, Stretch, queries, read_images
from scudo.governance import MandateWitness, Moved, Side, objection
from scudo.kernel import (
    DAY_US,
    MINOR_MAX,
    POSTGRES_EPOCH_DAY,
    Prefix,
    currency,
    ids,
)
from scudo.ledger.book import TRANSFER
from scudo.ledger.events import AccountClosed, AccountOpened, HoldPlaced
from scudo.ledger.model import (
    BPS,
    AccountStatus,
    AuthorityKind,
    HoldStatus,
    Nature,
    TransferKind,
)
from scudo.ledger.sheets import (
    ACCOUNT_COLUMNS,
    HOLD_COLUMNS,
    Held,
    Move,
    Sheet,
    read_account,
    read_hold,
    read_move,
)

_SQL: Final = queries("scudo.ledger", "verification.sql")
TRANSFERS: Final = Chained(TRANSFER, ids.LEGS_BITS, Prefix.TRANSFER, _SQL["transfers"])

_ACCOUNT: Final = "ledger.account"
_HOLD: Final = "ledger.hold"
_LEARNED: Final = frozenset({AccountOpened, AccountClosed, HoldPlaced})
#: What gives back needs no leave of its mandate.
_GIVING_BACK: Final = frozenset({TransferKind.RELEASE, TransferKind.EXPIRE})
_PAGE: Final = 10_000


class LedgerWitness:
    """Folds the transfers into accounts and holds, and compares.

    Open holds and the totals of every account stay in memory; all else is compared as it
    goes by.

    Attributes:
        moves: transfers of the stretch that was seen last.
        transfers: how many were seen.
    """

    def __init__(self, mandates: MandateWitness) -> None:
        """Begin with an empty book; rest on the mandates that were seen before each stretch."""
        self._mandates = mandates
        self._bounded: set[int] = set()
        self.moves: list[Move] = []
        self.transfers = 0
        self._accounts: dict[int, Sheet] = {}
        self._house: dict[tuple[int, int], int] = {}
        self._holds: dict[int, Held] = {}
        self._ended: dict[int, Held] = {}
        self._terms: dict[int, tuple[int, int]] = {}
        self._last = 0

    @property
    def accounts(self) -> int:
        """How many accounts were opened."""
        return len(self._accounts)

    def house_account(self, product: int, numeric: int) -> int:
        """The bank's own account of a product and currency; 0 if it was never opened."""
        return self._house.get((product, numeric), 0)

    def expiry_of(self, hold: int) -> int | None:
        """When a hold that was placed in the stretch seen last expires."""
        terms = self._terms.get(hold)
        return terms[0] if terms is not None else None

    def tolerance_of(self, hold: int) -> int:
        """By how much a hold that was placed in the stretch seen last may be exceeded, in bps."""
        return self._terms[hold][1]

    # ---- along the log

    def see(self, stretch: Stretch, connection: Connection[Any]) -> None:
        """Fold a stretch, and compare the holds that ended in it.

        Raises:
            RowBroken: at the first bad row.
        """
        self.moves = moves = [read_move(image) for image in stretch.rows[TRANSFER.name]]
        self._terms.clear()
        self._ended.clear()
        at, count = 0, len(moves)
        for entry in stretch.entries:
            for event in entry.events:
                if type(event) in _LEARNED:
                    self._learn(event, entry)
            end = entry.position + 1 << ids.LEGS_BITS
            while at < count and moves[at].id < end:
                self._fold(moves[at], entry)
                at += 1
            if self._bounded:
                self._mandates.settle(entry, self._bounded)
                self._bounded.clear()
        self._mandates.settled()
        self.transfers += count
        self._compare_holds(
            connection, stretch.first << ids.LEGS_BITS, (stretch.last + 1 << ids.LEGS_BITS) - 1
        )
        self._last = stretch.last

    def _learn(self, event: Event, entry: Seen) -> None:
        if isinstance(event, HoldPlaced):
            self._terms[event.hold] = (event.expires_at, event.tolerance_bps)
        elif isinstance(event, AccountOpened):
            numeric = currency(event.currency).numeric
            if event.owner is None:
                self._house[event.product, numeric] = event.account
            self._accounts[event.account] = Sheet(
                event.owner or 0,
                event.nature,
                numeric,
                event.product,
                entry.ordered_at,
                event.hold_limit_minor,
                event.posting_limit_minor,
            )
        elif isinstance(event, AccountClosed):
            self._accounts[event.account].status = AccountStatus.CLOSED

    def _fold(self, move: Move, entry: Seen) -> None:
        debit = self._accounts.get(move.debit_account)
        credit = self._accounts.get(move.credit_account)
        if debit is None or credit is None:
            column = "credit_account" if debit is not None else "debit_account"
            raise _broken(move, column, "an account", getattr(move, column))
        if debit is credit or not _fits_kind(move):
            raise _broken(move, None, "accounts and amounts that fit its kind", move.kind)
        amount, held = move.amount, move.held
        debit.debits_posted += amount
        credit.credits_posted += amount
        debit.debits_held += held
        credit.credits_held += held
        debit.version += 1
        credit.version += 1
        if (
            move.debit_version != debit.version
            or move.credit_version != credit.version
            or move.debit_balance != debit.credits_posted - debit.debits_posted
            or move.credit_balance != credit.credits_posted - credit.debits_posted
            or move.debit_held != debit.debits_held
            or move.credit_held != credit.credits_held
        ):
            _explain(move, debit, credit)
        booked = entry.ordered_at // DAY_US - POSTGRES_EPOCH_DAY
        if move.booked_on != booked or move.value_on != booked:
            column = "booked_on" if move.booked_on != booked else "value_on"
            raise _broken(move, column, booked, getattr(move, column))
        if move.currency != debit.currency or move.currency != credit.currency:
            raise _broken(move, "currency", debit.currency, move.currency)
        self._check_limits(move, debit, credit)
        if move.authority_kind == AuthorityKind.MANDATE and move.kind not in _GIVING_BACK:
            self._check_mandate(move, entry, debit, credit)
        if move.hold is not None:
            self._fold_hold(move)

    def _check_mandate(self, move: Move, entry: Seen, debit: Sheet, credit: Sheet) -> None:
        terms = self._mandates.terms_at(move.authority, entry.position)
        if terms is None:
            raise _broken(move, None, "the authority of a mandate", move.authority)
        if terms.is_standing:
            return
        amount = max(0, move.amount + move.held)
        moved = Moved(
            Side(move.debit_account, debit.product, debit.owner),
            Side(move.credit_account, credit.product, credit.owner),
            move.currency,
            amount,
        )
        expected = objection(terms, entry, moved)
        if expected is None and terms.day_max is not None and amount:
            expected = self._mandates.take(move.authority, terms, entry, amount)
            self._bounded.add(move.authority)
        if expected is not None:
            raise _broken(move, None, expected, amount)

    @staticmethod
    def _check_limits(move: Move, debit: Sheet, credit: Sheet) -> None:
        kind = move.kind
        if kind >= TransferKind.RELEASE:
            return
        if AccountStatus.CLOSED in (debit.status, credit.status):
            raise _broken(move, None, "two open accounts", "a closed one")
        if (
            debit.debits_posted + debit.debits_held > MINOR_MAX
            or credit.credits_posted + credit.credits_held > MINOR_MAX
        ):
            raise _broken(move, "amount", "totals within 64 bits", move.amount)
        if kind == TransferKind.CAPTURE and move.amount + move.held == 0:
            return
        posts = kind in (TransferKind.POST, TransferKind.CAPTURE)
        limit = debit.posting_limit if posts else debit.hold_limit
        if debit.nature == Nature.CREDIT and limit is not None:
            left = debit.credits_posted - debit.debits_posted - debit.debits_held + limit
            if left < 0:
                raise _broken(move, None, "a debit account within its limit", left)
        limit = credit.posting_limit if posts else credit.hold_limit
        if credit.nature == Nature.DEBIT and limit is not None:
            left = credit.debits_posted - credit.credits_posted - credit.credits_held + limit
            if left < 0:
                raise _broken(move, None, "a credit account within its limit", left)

    def _fold_hold(self, move: Move) -> None:
        number, kind = move.hold, move.kind
        assert number is not None, "the caller has looked"
        if kind == TransferKind.HOLD:
            terms = self._terms.get(number)
            if number != move.id or terms is None:
                raise _broken(move, None, "a hold that an event tells of", number)
            self._holds[number] = Held(
                move.debit_account,
                move.credit_account,
                move.held,
                0,
                move.held,
                move.authority,
                move.authority_kind,
                move.code,
                *terms,
            )
            return
        hold = self._holds.get(number)
        if hold is None:
            column = "hold" if number != move.id else None
            raise _broken(move, column, "an open hold", ids.show(Prefix.HOLD, number))
        if (hold.debit_account, hold.credit_account) != (move.debit_account, move.credit_account):
            raise _broken(move, "hold", "a hold of these accounts", ids.show(Prefix.HOLD, number))
        _check_authority(move, hold)
        hold.version += 1
        hold.captured += move.amount
        hold.remaining += move.held
        if kind == TransferKind.RAISE:
            hold.held += move.held
        elif kind == TransferKind.CAPTURE:
            _check_capture(move, hold)
        if hold.remaining < 0 or (kind == TransferKind.EXPIRE and hold.remaining):
            raise _broken(move, None, "what is still held", -move.held)
        if not hold.remaining:
            self._end(number, hold, kind)

    def _end(self, number: int, hold: Held, kind: int) -> None:
        if kind == TransferKind.EXPIRE:
            hold.status = HoldStatus.EXPIRED
        else:
            hold.status = HoldStatus.CAPTURED if hold.captured else HoldStatus.RELEASED
        del self._holds[number]
        self._ended[number] = hold

    # ---- stored state

    def _compare_holds(self, connection: Connection[Any], first: int, last: int) -> None:
        ended = self._ended
        images = read_images(connection, _SQL["holds"], {"first": first, "last": last})
        for row in map(read_hold, images):
            number = row[0]
            hold = ended.pop(number, None)
            if hold is not None:
                _compare(_HOLD, Prefix.HOLD, HOLD_COLUMNS, hold.row(number), row)
            elif number not in self._holds:
                raise RowBroken(
                    _HOLD,
                    ids.show(Prefix.HOLD, number),
                    expected="a transfer that placed it",
                    found="none",
                )
        self._compare_these(connection, ended)
        ended.clear()

    def _compare_these(self, connection: Connection[Any], holds: dict[int, Held]) -> None:
        numbers = sorted(holds)
        for start in range(0, len(numbers), _PAGE):
            page = numbers[start : start + _PAGE]
            images = read_images(connection, _SQL["holds_of"], {"ids": page})
            rows = {row[0]: row for row in map(read_hold, images)}
            for number in page:
                if number not in rows:
                    raise _lost(_HOLD, Prefix.HOLD, number)
                wanted = holds[number].row(number)
                _compare(_HOLD, Prefix.HOLD, HOLD_COLUMNS, wanted, rows[number])

    def conclude(self, connection: Connection[Any]) -> None:
        """Compare every account and open hold; check sums over the whole book.

        Raises:
            RowBroken: at the first bad row.
        """
        self._ended.clear()
        self._compare_holds(connection, self._last + 1 << ids.LEGS_BITS, (1 << 62))
        self._compare_these(connection, self._holds)
        held: defaultdict[tuple[int, str], int] = defaultdict(int)
        for hold in self._holds.values():
            held[hold.debit_account, "debits_held"] += hold.remaining
            held[hold.credit_account, "credits_held"] += hold.remaining
        sums: defaultdict[int, int] = defaultdict(int)
        for number, sheet in self._accounts.items():
            sums[sheet.currency] += sheet.credits_posted - sheet.debits_posted
            for column, stored in (
                ("debits_held", sheet.debits_held),
                ("credits_held", sheet.credits_held),
            ):
                if held.get((number, column), 0) != stored:
                    raise RowBroken(
                        _ACCOUNT,
                        ids.show(Prefix.ACCOUNT, number),
                        column=column,
                        expected=f"{held[number, column]}, the sum of its open holds",
                        found=stored,
                    )
        for numeric, total in sums.items():
            if total:
                raise RowBroken(
                    _ACCOUNT, str(numeric), expected="debits equal to credits", found=total
                )
        self._compare_accounts(read_images(connection, _SQL["accounts"], {}))

    def _compare_accounts(self, images: Iterable[bytes]) -> None:
        left = dict.fromkeys(self._accounts)
        for row in map(read_account, images):
            number = row[0]
            assert number is not None, "the first column is the key"
            sheet = self._accounts.get(number)
            if sheet is None:
                raise RowBroken(
                    _ACCOUNT,
                    ids.show(Prefix.ACCOUNT, number),
                    expected="an event that opened it",
                    found="none",
                )
            del left[number]
            _compare(_ACCOUNT, Prefix.ACCOUNT, ACCOUNT_COLUMNS, sheet.row(number), row)
        for number in left:
            raise _lost(_ACCOUNT, Prefix.ACCOUNT, number)


def _broken(move: Move, column: str | None, expected: object, found: object) -> RowBroken:
    key = ids.show(Prefix.TRANSFER, move.id)
    return RowBroken(TRANSFER.name, key, column=column, expected=expected, found=found)


def _lost(table: str, prefix: Prefix, number: int) -> RowBroken:
    return RowBroken(table, ids.show(prefix, number), expected="a row", found="no row")


def _compare(
    table: str,
    prefix: Prefix,
    columns: tuple[str, ...],
    wanted: tuple[int | None, ...],
    row: tuple[int | None, ...],
) -> None:
    if wanted == row:
        return
    for column, expected, found in zip(columns, wanted, row, strict=True):
        if expected != found:
            key = ids.show(prefix, wanted[0] or 0)
            raise RowBroken(table, key, column=column, expected=expected, found=found)


def _fits_kind(move: Move) -> bool:
    amount, held, kind = move.amount, move.held, move.kind
    if kind == TransferKind.POST:
        return amount > 0 and held == 0 and move.hold is None
    if move.hold is None:
        return False
    if kind in (TransferKind.HOLD, TransferKind.RAISE):
        return amount == 0 and held > 0
    if kind == TransferKind.CAPTURE:
        return amount > 0 and held <= 0
    return amount == 0 and held < 0 and kind in (TransferKind.RELEASE, TransferKind.EXPIRE)


def _check_authority(move: Move, hold: Held) -> None:
    if move.code != hold.code:
        raise _broken(move, "code", hold.code, move.code)
    if move.kind == TransferKind.RAISE:
        # It has an authority of its own.
        return
    # Less is held, or posted from what was held, by the authority that held it.
    if move.authority_kind != hold.authority_kind:
        raise _broken(move, "authority_kind", hold.authority_kind, move.authority_kind)
    by_mandate = move.authority_kind == AuthorityKind.MANDATE
    if move.authority != hold.authority and not (by_mandate and move.kind == TransferKind.CAPTURE):
        raise _broken(move, "authority", hold.authority, move.authority)


def _check_capture(move: Move, hold: Held) -> None:
    most = hold.held + hold.held * hold.tolerance_bps // BPS
    if hold.captured > most:
        raise _broken(move, "amount", f"at most {most} captured", hold.captured)
    before = hold.remaining - move.held
    if -move.held != min(move.amount, before):
        raise _broken(move, "held", -min(move.amount, before), move.held)


def _explain(move: Move, debit: Sheet, credit: Sheet) -> None:
    # Raises for the column that explains best why versions and balances do not follow.
    debit_balance = debit.credits_posted - debit.debits_posted
    credit_balance = credit.credits_posted - credit.debits_posted
    less, more = debit_balance - move.debit_balance, move.credit_balance - credit_balance
    if less == more and less:
        raise _broken(move, "amount", move.amount + less, move.amount)
    less, more = move.debit_held - debit.debits_held, move.credit_held - credit.credits_held
    if less == more and less:
        raise _broken(move, "held", move.held + less, move.held)
    for side, sheet, balance, held in (
        ("debit", debit, debit_balance, debit.debits_held),
        ("credit", credit, credit_balance, credit.credits_held),
    ):
        wrong = [
            (column, expected, found)
            for column, expected, found in (
                (f"{side}_version", sheet.version, getattr(move, f"{side}_version")),
                (f"{side}_balance", balance, getattr(move, f"{side}_balance")),
                (f"{side}_held", held, getattr(move, f"{side}_held")),
            )
            if expected != found
        ]
        if len(wrong) > 1:
            column = f"{side}_account"
            raise _broken(move, column, "the account of these balances", getattr(move, column))
        if wrong:
            raise _broken(move, wrong[0][0], wrong[0][1], wrong[0][2])
