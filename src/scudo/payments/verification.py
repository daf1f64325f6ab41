"""The payments room's witness: every movement is covered, every payment is as its events say."""

import struct
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from psycopg import Connection

from scudo.decisions import DecisionWitness, Outcome, Ruling
from scudo.decisions import events as decided
from scudo.fabric import Event, RowBroken, Seen, Stretch, first_int8, queries, read_images
from scudo.kernel import POSTGRES_EPOCH_US, Prefix, ids
from scudo.ledger import TRANSFER, AuthorityKind, LedgerWitness, Move, Product, TransferKind
from scudo.ledger import events as booked
from scudo.payments import events as told
from scudo.payments.authorise import CODE_CARD, CODE_TRANSFER
from scudo.payments.model import CARD_TOLERANCE_BPS, PaymentKind, PaymentStatus

_SQL: Final = queries("scudo.payments", "verification.sql")
_PAYMENT: Final = "payments.payment"
_FIXED: Final = struct.Struct(">2x" + "4xq" * 8 + "4xh" * 5)
#: The image of a payment that waits for nothing and never had a hold.
_PLAIN: Final = struct.Struct(">h" + "iq" * 8 + "ih" * 5 + "ii")
_NO_TEXT: Final = struct.Struct(">i").pack(-1)
_TEXT: Final = struct.Struct(">iq")
_INT4: Final = struct.Struct(">i")
_INT8: Final = struct.Struct(">q")
_COLUMNS: Final = (
    "id",
    "debit_account",
    "credit_account",
    "amount",
    "captured",
    "decision",
    "version",
    "ordered_at",
    "currency",
    "kind",
    "status",
    "outcome",
    "discharged",
    "hold",
    "expires_at",
    "text",
)
#: A ledger row without a gate's leave is one of these kinds: it acts on what a gate allowed.
_FOLLOWING: Final = frozenset({TransferKind.CAPTURE, TransferKind.RELEASE, TransferKind.EXPIRE})
_WAITING: Final = frozenset(
    {PaymentStatus.AUTHORISED, PaymentStatus.HELD, PaymentStatus.CHALLENGED}
)
_PAGE: Final = 10_000
_LAST: Final = (1 << 62) - 1


class _State(msgspec.Struct, gc=False):
    """A payment as its events seen so far make it."""

    id: int
    kind: int
    debit_account: int
    credit_account: int
    amount: int
    currency: int
    ordered_at: int
    status: int = PaymentStatus.REFUSED
    outcome: int = 0
    decision: int = 0
    captured: int = 0
    remaining: int = 0
    discharged: int = 0
    version: int = 0
    hold: int | None = None
    expires_at: int | None = None
    text: int | None = None
    #: Position of the entry that changed it last.
    changed: int = 0
    #: Position of the entry in which a gate judged all of it.
    judged: int = 0

    def image(self) -> bytes:
        """What must be stored of a payment that has ended and never had a hold."""
        plain = _PLAIN.pack(
            *(16, 8, self.id, 8, self.debit_account, 8, self.credit_account, 8, self.amount),
            *(8, self.captured, 8, self.decision, 8, self.version),
            *(8, self.ordered_at - POSTGRES_EPOCH_US, 2, self.currency, 2, self.kind),
            *(2, self.status, 2, self.outcome, 2, self.discharged, -1, -1),
        )
        return plain + (_NO_TEXT if self.text is None else _TEXT.pack(8, self.text))

    def row(self) -> tuple[int | bytes | None, ...]:
        """What must be stored, in the order of the columns."""
        waits = self.status in _WAITING
        return (
            self.id,
            self.debit_account,
            self.credit_account,
            self.amount,
            self.captured,
            self.decision,
            self.version,
            self.ordered_at,
            self.currency,
            self.kind,
            self.status,
            self.outcome,
            self.discharged,
            self.hold,
            self.expires_at if waits else None,
            self.text,
        )


class PaymentWitness:
    """Follows every payment through its events, and every transfer to its authority.

    Payments that wait for something stay in memory; others are compared as they end.

    Attributes:
        payments: how many were seen.
    """

    def __init__(self, ledger: LedgerWitness, decisions: DecisionWitness) -> None:
        """Rest on what the witnesses of the ledger and the gates saw before, in each stretch."""
        self._ledger = ledger
        self._decisions = decisions
        self._open: dict[int, _State] = {}
        self._ended: dict[int, _State] = {}
        self._current: _State | None = None
        self._last_hold: int | None = None
        self._last = 0
        self._steps: dict[type[Event], Callable[[Any, Seen], None]] = {
            told.PaymentInitiated: self._initiated,
            told.TextReceived: self._text_received,
            decided.DecisionMade: self._decided,
            booked.HoldPlaced: self._placed,
            told.PaymentAuthorised: self._authorised,
            told.PaymentCaptured: self._captured,
            told.PaymentSettled: self._settled,
            told.PaymentReversed: self._reversed,
            told.PaymentRefused: self._refused,
            told.PaymentDeclined: self._declined,
            told.PaymentHeld: self._held,
            told.PaymentChallenged: self._challenged,
            told.ChallengeAnswered: self._answered,
            told.PaymentReleased: self._released,
            told.PaymentCancelled: self._cancelled,
            told.PaymentExpired: self._expired,
            told.AuthorisationRaised: self._raised,
        }
        self.payments = 0

    # ---- along the log

    def see(self, stretch: Stretch, connection: Connection[Any]) -> None:
        """Check a stretch.

        Raises:
            RowBroken: at the first bad row.
        """
        self._ended.clear()
        steps = self._steps
        moves, rulings = self._ledger.moves, self._decisions.rulings
        move_at = ruling_at = 0
        move_end, ruling_end = len(moves), len(rulings)
        for entry in stretch.entries:
            for event in entry.events:
                step = steps.get(type(event))
                if step is not None:
                    step(event, entry)
            end = entry.position + entry.event_count
            start = ruling_at
            while ruling_at < ruling_end and rulings[ruling_at].id < end:
                ruling_at += 1
            if move_at < move_end and moves[move_at].id >> ids.LEGS_BITS < end:
                begin = move_at
                while move_at < move_end and moves[move_at].id >> ids.LEGS_BITS < end:
                    move_at += 1
                self._cover(moves[begin:move_at], rulings[start:ruling_at])
        self._current = None
        self._compare(connection, stretch.first, stretch.last)
        self._last = stretch.last

    def _cover(self, moves: Iterable[Move], rulings: Iterable[Ruling]) -> None:
        # A decision of the same entry covers what it allowed to move.
        left = {ruling.id: (ruling, ruling.amount) for ruling in rulings}
        for move in moves:
            if move.authority_kind == AuthorityKind.MANDATE:
                if move.authority in left:
                    raise _uncovered(move, "authority_kind", AuthorityKind.DECISION)
                continue
            if move.kind in _FOLLOWING:
                continue
            found = left.get(move.authority)
            if found is None:
                column = "authority" if left else None
                raise _uncovered(move, column, "a decision of the same entry")
            ruling, rest = found
            rest -= move.amount + move.held
            if rest < 0:
                raise _uncovered(move, None, f"at most {ruling.amount} under its decision")
            self._check_cover(move, ruling)
            left[move.authority] = (ruling, rest)

    def _check_cover(self, move: Move, ruling: Ruling) -> None:
        if ruling.account != move.debit_account:
            raise _uncovered(move, "debit_account", ids.show(Prefix.ACCOUNT, ruling.account))
        most = Outcome.HOLD if move.kind == TransferKind.HOLD else Outcome.REVIEW
        if ruling.outcome > most:
            raise _uncovered(move, "authority", "a decision that allows it")
        if ruling.currency != move.currency:
            raise _uncovered(move, "currency", ruling.currency)
        state = self._current
        if state is None or state.id != ruling.subject:
            state = self._find(ruling.subject)
        code = CODE_CARD if state.kind == PaymentKind.CARD else CODE_TRANSFER
        if move.code != code:
            raise _uncovered(move, "code", code)
        if move.credit_account != state.credit_account:
            payee = ids.show(Prefix.ACCOUNT, state.credit_account)
            raise _uncovered(move, "credit_account", payee)
        if move.kind == TransferKind.RAISE and move.hold != state.hold:
            raise _uncovered(move, "hold", state.hold)
        if move.kind == TransferKind.HOLD:
            self._check_tolerance(move, state, ruling)

    def _check_tolerance(self, move: Move, state: _State, ruling: Ruling) -> None:
        # A decision covers what is captured beyond a hold only as far as cards may exceed one.
        is_card = state.kind == PaymentKind.CARD and ruling.outcome <= Outcome.REVIEW
        most = CARD_TOLERANCE_BPS if is_card else 0
        tolerance = self._ledger.tolerance_of(move.id)
        if tolerance > most:
            expected = f"a tolerance of at most {most} bps under its decision, not {tolerance}"
            raise _uncovered(move, None, expected)

    def _find(self, number: int) -> _State:
        state = self._open.get(number) or self._ended.get(number)
        if state is None:
            raise RowBroken(
                _PAYMENT,
                ids.show(Prefix.PAYMENT, number),
                expected="a payment that was initiated and has not ended",
                found="an event that changes it",
            )
        return state

    def _changed(self, number: int, entry: Seen) -> _State:
        """Find a payment that an event changes; an entry raises its version once."""
        state = self._current
        if state is None or state.id != number:
            state = self._current = self._find(number)
        if state.changed != entry.position:
            state.changed = entry.position
            state.version += 1
        return state

    def _end(self, state: _State, status: PaymentStatus) -> None:
        state.status = status
        state.expires_at = None
        self._open.pop(state.id, None)
        self._ended[state.id] = state

    # ---- one step for each event

    def _initiated(self, event: told.PaymentInitiated, entry: Seen) -> None:
        self.payments += 1
        self._last_hold = None
        state = _State(
            event.payment,
            event.kind,
            event.debit_account,
            event.credit_account or 0,
            event.amount_minor,
            event.currency,
            entry.ordered_at,
            changed=entry.position,
        )
        self._open[event.payment] = self._current = state

    def _text_received(self, event: told.TextReceived, entry: Seen) -> None:  # noqa: ARG002 - the port asks for it
        self._find(event.payment).text = event.text

    def _decided(self, event: decided.DecisionMade, entry: Seen) -> None:
        state = self._changed(event.payment, entry)
        if state.status != PaymentStatus.AUTHORISED:
            state.decision = event.decision
            state.outcome = event.outcome
            state.judged = entry.position

    def _placed(self, event: booked.HoldPlaced, entry: Seen) -> None:  # noqa: ARG002 - the port asks for it
        self._last_hold = event.hold

    def _waits(self, state: _State, status: PaymentStatus, expires_at: int | None) -> None:
        state.status = status
        state.expires_at = expires_at

    def _authorised(self, event: told.PaymentAuthorised, entry: Seen) -> None:
        state = self._changed(event.payment, entry)
        self._settle_side(state)
        if event.hold is not None:
            state.hold = event.hold
            state.remaining = state.amount
            self._waits(state, PaymentStatus.AUTHORISED, self._ledger.expiry_of(event.hold))

    def _captured(self, event: told.PaymentCaptured, entry: Seen) -> None:
        state = self._changed(event.payment, entry)
        state.captured += event.amount_minor
        state.remaining = max(0, state.remaining - event.amount_minor)
        if event.is_final:
            self._end(state, PaymentStatus.CAPTURED)

    def _settled(self, event: told.PaymentSettled, entry: Seen) -> None:
        state = self._changed(event.payment, entry)
        state.captured = state.amount
        self._end(state, PaymentStatus.SETTLED)

    def _reversed(self, event: told.PaymentReversed, entry: Seen) -> None:
        state = self._changed(event.payment, entry)
        state.remaining -= event.amount_minor
        if not state.remaining:
            self._end(state, PaymentStatus.CAPTURED if state.captured else PaymentStatus.REVERSED)

    def _refused(self, event: told.PaymentRefused, entry: Seen) -> None:
        state = self._open.get(event.payment)
        if state is not None and state.judged == entry.position:
            # The gate allowed it and the ledger said no, after both sides were known.
            self._settle_side(state)
            self._end(state, PaymentStatus.REFUSED)

    def _declined(self, event: told.PaymentDeclined, entry: Seen) -> None:
        state = self._changed(event.payment, entry)
        blocked = event.outcome == Outcome.BLOCK
        self._end(state, PaymentStatus.BLOCKED if blocked else PaymentStatus.DECLINED)

    def _held(self, event: told.PaymentHeld, entry: Seen) -> None:
        state = self._changed(event.payment, entry)
        self._settle_side(state)
        state.hold = self._last_hold
        self._waits(state, PaymentStatus.HELD, event.expires_at)

    def _challenged(self, event: told.PaymentChallenged, entry: Seen) -> None:
        state = self._changed(event.payment, entry)
        self._waits(state, PaymentStatus.CHALLENGED, event.expires_at)

    def _answered(self, event: told.ChallengeAnswered, entry: Seen) -> None:
        state = self._changed(event.payment, entry)
        if event.has_passed:
            state.discharged |= 1 << Outcome.STEP_UP

    def _released(self, event: told.PaymentReleased, entry: Seen) -> None:
        state = self._changed(event.payment, entry)
        state.discharged |= 1 << Outcome.HOLD
        state.hold = None

    def _cancelled(self, event: told.PaymentCancelled, entry: Seen) -> None:
        state = self._changed(event.payment, entry)
        if state.status == PaymentStatus.HELD:
            state.hold = None
        self._end(state, PaymentStatus.CANCELLED)

    def _expired(self, event: told.PaymentExpired, entry: Seen) -> None:
        state = self._changed(event.payment, entry)
        self._end(state, PaymentStatus.CAPTURED if state.captured else PaymentStatus.EXPIRED)

    def _raised(self, event: told.AuthorisationRaised, entry: Seen) -> None:
        state = self._changed(event.payment, entry)
        state.amount += event.amount_minor
        state.remaining += event.amount_minor

    def _settle_side(self, state: _State) -> None:
        """A card payment to nobody of ours goes to the bank's settlement account."""
        if not state.credit_account:
            state.credit_account = self._ledger.house_account(
                Product.CARD_SETTLEMENT, state.currency
            )

    # ---- stored state

    def _compare(self, connection: Connection[Any], first: int, last: int) -> None:
        # Payments that ended have their rows, and every row has a payment that explains it.
        ended = self._ended
        images = read_images(connection, _SQL["payments"], {"first": first, "last": last})
        for image in images:
            number = first_int8(image)
            state = ended.pop(number, None)
            if state is not None:
                if (state.hold is not None or state.image() != image) and (
                    state.row() != _row(image)
                ):
                    raise _differs(state, _row(image))
            elif number not in self._open:
                raise RowBroken(
                    _PAYMENT,
                    ids.show(Prefix.PAYMENT, number),
                    expected="an event that initiated it",
                    found="none",
                )
        self._compare_these(connection, ended)

    def _compare_these(self, connection: Connection[Any], states: dict[int, _State]) -> None:
        numbers = sorted(states)
        for start in range(0, len(numbers), _PAGE):
            page = numbers[start : start + _PAGE]
            images = read_images(connection, _SQL["payments_of"], {"ids": page})
            rows = {row[0]: row for row in map(_row, images)}
            for number in page:
                state = states[number]
                if number not in rows:
                    raise RowBroken(
                        _PAYMENT,
                        ids.show(Prefix.PAYMENT, number),
                        expected="a row",
                        found="no row",
                    )
                if state.row() != rows[number]:
                    raise _differs(state, rows[number])

    def conclude(self, connection: Connection[Any]) -> None:
        """Compare the payments that wait for something.

        Raises:
            RowBroken: at the first bad row.
        """
        self._ended.clear()
        self._compare(connection, self._last + 1, _LAST)
        self._compare_these(connection, self._open)


def _row(image: bytes) -> tuple[int | bytes | None, ...]:
    fixed = _FIXED.unpack_from(image)
    at = _FIXED.size
    values: list[bytes | None] = []
    for _ in range(3):
        (size,) = _INT4.unpack_from(image, at)
        at += 4
        values.append(None if size < 0 else image[at : at + size])
        at += max(size, 0)
    hold, expires_at, text = values
    return (
        *fixed[:7],
        fixed[7] + POSTGRES_EPOCH_US,
        *fixed[8:],
        None if hold is None else _INT8.unpack(hold)[0],
        None if expires_at is None else _INT8.unpack(expires_at)[0] + POSTGRES_EPOCH_US,
        None if text is None else _INT8.unpack(text)[0],
    )


def _differs(state: _State, row: tuple[int | bytes | None, ...]) -> RowBroken:
    for column, expected, found in zip(_COLUMNS, state.row(), row, strict=True):
        if expected != found:
            return RowBroken(
                _PAYMENT,
                ids.show(Prefix.PAYMENT, state.id),
                column=column,
                expected=expected,
                found=found,
            )
    raise AssertionError("the rows are equal")


def _uncovered(move: Move, column: str | None, expected: object) -> RowBroken:
    return RowBroken(
        TRANSFER.name,
        ids.show(Prefix.TRANSFER, move.id),
        column=column,
        expected=expected,
        found=getattr(move, column) if column else move.amount + move.held,
    )
