"""The only place that touches the payments room's tables."""

import functools
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from psycopg.rows import TupleRow

from scudo.decisions import DecisionRecord, ask_records
from scudo.fabric import (
    Guarded,
    Int8Array,
    Lookup,
    Residence,
    Table,
    Take,
    ask_commands,
    queries,
)
from scudo.kernel import POSTGRES_EPOCH_US
from scudo.payments.authorise import Payments, is_order, refund_request
from scudo.payments.model import WAITING, Payment, PaymentStatus

_SQL: Final = queries("scudo.payments")
_PAYMENT: Final = Table(
    "payments.payment",
    (
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
    ),
    sizes=(*(8,) * 8, *(2,) * 5, 0, 0, 0),
)
_FIXED: Final = struct.Struct(">h" + "iq" * 8 + "ih" * 5)
_SIZED_INT8: Final = struct.Struct(">iq")
_NULL: Final = b"\xff\xff\xff\xff"


class PaymentStore:
    """Writes the payments that a batch made or changed, and loads those memory lacks."""

    def __init__(self, payments: Payments) -> None:
        """Serve the payments that the writer sees."""
        self._payments = payments
        self.waiting = Residence(payments.payments, payments.touched, payments.expiries)

    def locks(self) -> Iterable[Guarded]:
        """Guarded update of the payments that the batch changed."""
        changed = self._payments.touched.stored()
        if changed:
            yield Guarded(_SQL["update_payments"], _columns(changed), len(changed))

    def copies(self) -> Iterable[tuple[Table, Sequence[bytes]]]:
        """Payments that are new in the batch, as they stand at its end."""
        yield _PAYMENT, [_image(payment) for payment in self._payments.touched.new()]

    def begin(self) -> None:
        """A batch begins."""
        self._payments.touched.begin()

    def hand_over(self) -> None:
        """The batch goes to the database."""
        self._payments.touched.hand_over()

    def committed(self) -> None:
        """The oldest batch is stored."""
        self._payments.touched.committed()

    def aborted(self) -> None:
        """The newest batch was undone."""
        self._payments.touched.aborted()

    def forget(self) -> None:
        """Drop what can be loaded again."""
        self.waiting.forget()

    def ask(self, lookup: Lookup, wanted: Iterable[int]) -> None:
        """Ask for payments that memory does not hold; unknown ids stay unknown.

        A look-up that broke off may have left a payment in memory, and not its request.
        """
        kept, numbers = self._payments.payments, set(wanted)
        missing = Int8Array(n for n in numbers if n not in kept)
        halves = [
            n for n in numbers if n in kept and kept[n].status in WAITING and not kept[n].request
        ]
        if halves:
            ask_commands(lookup, halves, self._keep_requests)
        if missing:
            take = functools.partial(self._keep, lookup)
            lookup.ask(_SQL["load_payments"], {"ids": missing}, take)

    def ask_expiring(
        self, lookup: Lookup, *, after: int, through: int, limit: int, take: Take
    ) -> None:
        """Ask for waiting payments that expire within a window: id and time, the earliest first.

        Of more than `limit`, those are given that expire first, all of the last moment.
        """
        window = {"after": after, "through": through, "limit": limit}
        lookup.ask(_SQL["find_expiring"], window, take)

    def _keep(self, lookup: Lookup, rows: Iterable[TupleRow]) -> None:
        kept = self._payments.payments
        loaded = [kept.setdefault(row[0], _payment(row)) for row in rows]
        # The log keeps what was asked: the command of the entry that gave birth to a payment.
        waiting = [payment.id for payment in loaded if payment.status in WAITING]
        if waiting:
            ask_commands(lookup, waiting, self._keep_requests)
        held = {p.decision: p for p in loaded if p.status == PaymentStatus.HELD}
        if held:
            ask_records(lookup, held, functools.partial(self._keep_reasons, held))

    def _keep_reasons(
        self, held: Mapping[int, Payment], number: int, record: DecisionRecord
    ) -> None:
        keeper = self._payments.gatekeeper
        held[number].reasons = keeper.reasons_of(record.policy, record.hits)

    def _keep_requests(self, requests: Iterable[tuple[int, bytes]]) -> None:
        for number, command in requests:
            payment = self._payments.payments[number]
            # A refund waits under a command that says which payment goes back, not how.
            payment.request = command if is_order(command) else refund_request(payment)


def _payment(row: TupleRow) -> Payment:
    return Payment(
        id=row[0],
        debit_account=row[1],
        credit_account=row[2],
        amount=row[3],
        captured=row[4],
        decision=row[5],
        version=row[6],
        ordered_at=row[7],
        currency=row[8],
        kind=row[9],
        status=row[10],
        outcome=row[11],
        discharged=row[12],
        hold=row[13],
        expires_at=row[14],
        text=row[15],
        stored_version=row[6],
    )


def _columns(payments: Sequence[Payment]) -> dict[str, Int8Array]:
    return {
        "ids": Int8Array([p.id for p in payments]),
        "guards": Int8Array([p.stored_version for p in payments]),
        "credits": Int8Array([p.credit_account for p in payments]),
        "amounts": Int8Array([p.amount for p in payments]),
        "captured": Int8Array([p.captured for p in payments]),
        "decisions": Int8Array([p.decision for p in payments]),
        "versions": Int8Array([p.version for p in payments]),
        "statuses": Int8Array([p.status for p in payments]),
        "outcomes": Int8Array([p.outcome for p in payments]),
        "discharged": Int8Array([p.discharged for p in payments]),
        "holds": Int8Array([p.hold or 0 for p in payments]),
        "expiries": Int8Array([p.expires_at or 0 for p in payments]),
    }


def _image(payment: Payment) -> bytes:
    fixed = _FIXED.pack(
        16,
        *(8, payment.id, 8, payment.debit_account, 8, payment.credit_account),
        *(8, payment.amount, 8, payment.captured, 8, payment.decision, 8, payment.version),
        *(8, payment.ordered_at - POSTGRES_EPOCH_US, 2, payment.currency, 2, payment.kind),
        *(2, payment.status, 2, payment.outcome, 2, payment.discharged),
    )
    hold = _NULL if payment.hold is None else _SIZED_INT8.pack(8, payment.hold)
    expires_at = (
        _NULL
        if payment.expires_at is None
        else _SIZED_INT8.pack(8, payment.expires_at - POSTGRES_EPOCH_US)
    )
    text = _NULL if payment.text is None else _SIZED_INT8.pack(8, payment.text)
    return fixed + hold + expires_at + text
