"""The decisions room's witness: every decision is told once, as its record says."""

import struct
from typing import Any, Final

import msgspec
from psycopg import Connection

from scudo.decisions.events import DecisionMade, PassageDecided
from scudo.decisions.gate import DECISION
from scudo.decisions.model import PASSAGES, Gate
from scudo.fabric import Chained, RowBroken, Seen, Stretch, queries
from scudo.kernel import POSTGRES_EPOCH_US, Prefix, ids

_SQL: Final = queries("scudo.decisions", "verification.sql")
DECISIONS: Final = Chained(DECISION, 0, Prefix.DECISION, _SQL["decisions"])
_ROW: Final = struct.Struct(">2x4xq4xq4xq4xh4xh4xhi")


class _Asked(msgspec.Struct, array_like=True, gc=False):
    """The first members of a `GateEvent`; the others are skipped."""

    gate: int
    amount_minor: int
    currency: int
    customer: int
    account: int


class _Record(msgspec.Struct, array_like=True, gc=False):
    """The first members of a `DecisionRecord`; the others are skipped."""

    policy: msgspec.Raw
    event: _Asked
    ordered_at: int
    position: int
    outcome: int


_decode: Final = msgspec.msgpack.Decoder(_Record).decode


class Ruling(msgspec.Struct, gc=False):
    """A decision, as the auditor reads it."""

    id: int
    subject: int
    gate: int
    outcome: int
    account: int
    amount: int
    currency: int


class DecisionWitness:
    """Compares decisions with the events that tell of them.

    Attributes:
        rulings: decisions on payments of the stretch that was seen last; what else was decided
            is no authority to move money.
        decisions: how many were seen, of every kind.
    """

    def __init__(self) -> None:
        """Begin before the first decision."""
        self.rulings: list[Ruling] = []
        self.decisions = 0

    def see(self, stretch: Stretch, connection: Connection[Any]) -> None:  # noqa: ARG002 - the port asks for it
        """Check a stretch.

        Raises:
            RowBroken: at the first bad row.
        """
        self.rulings = self._match(stretch)
        self.decisions += len(stretch.rows[DECISION.name])

    def conclude(self, connection: Connection[Any]) -> None:
        """Nothing is left to compare: decisions have no state beside the log."""

    @staticmethod
    def _match(stretch: Stretch) -> list[Ruling]:
        rulings: list[Ruling] = []
        images = stretch.rows[DECISION.name]
        at, count = 0, len(images)
        for entry in stretch.entries:
            position = entry.position
            for event in entry.events:
                if type(event) is DecisionMade:
                    if at == count:
                        raise _lost(position)
                    rulings.append(_check(images[at], event, position, entry))
                    at += 1
                elif type(event) is PassageDecided:
                    if at == count:
                        raise _lost(position)
                    _check_passage(images[at], event, position, entry)
                    at += 1
                position += 1
        if at < count:
            number = _ROW.unpack_from(images[at])[0]
            raise _broken(number, None, "an event that tells of it", "none")
        return rulings


def _check(image: bytes, event: DecisionMade, position: int, entry: Seen) -> Ruling:
    told = (event.payment, entry.ordered_at, event.gate, event.outcome, event.degraded)
    if event.gate in PASSAGES:
        raise _broken(position, "gate", "a gate of payments", event.gate)
    asked = _compared(image, told, position)
    return Ruling(
        position,
        event.payment,
        event.gate,
        event.outcome,
        asked.account,
        asked.amount_minor,
        asked.currency,
    )


def _check_passage(image: bytes, event: PassageDecided, position: int, entry: Seen) -> None:
    ordered_at = entry.ordered_at + position - entry.position
    told = (0, ordered_at, event.gate, event.outcome, event.degraded)
    if event.gate not in PASSAGES:
        raise _broken(position, "gate", "a gate that no money moves through", event.gate)
    asked = _compared(image, told, position)
    who = event.operator if event.gate == Gate.OPERATOR_ACT else event.customer
    if asked.customer != (who or 0):
        raise _broken(position, "record", "who its event tells of", "somebody else")


def _compared(image: bytes, told: tuple[int, ...], position: int) -> _Asked:
    # A row, and the record in it, beside what its event tells; gives what was asked.
    number, subject, ordered_at, gate, outcome, degraded, _ = _ROW.unpack_from(image)
    if number != position:
        if number > position:
            raise _lost(position)
        raise _broken(number, None, "an event that tells of it", "none")
    stored = (subject, ordered_at + POSTGRES_EPOCH_US, gate, outcome, degraded)
    if stored != told:
        columns = DECISION.columns[1:6]
        raise next(
            _broken(number, column, expected, found)
            for column, expected, found in zip(columns, told, stored, strict=True)
            if expected != found
        )
    try:
        record = _decode(image[_ROW.size :])
    except msgspec.MsgspecError as error:
        raise _broken(number, "record", "a record of a decision", "other bytes") from error
    if (record.ordered_at, record.event.gate, record.outcome) != told[1:4]:
        raise _broken(number, "record", "what its event tells", "another decision")
    return record.event


def _broken(number: int, column: str | None, expected: object, found: object) -> RowBroken:
    key = ids.show(Prefix.DECISION, number)
    return RowBroken(DECISION.name, key, column=column, expected=expected, found=found)


def _lost(number: int) -> RowBroken:
    return _broken(number, None, "the record of a decision", "no row")
