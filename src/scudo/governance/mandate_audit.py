"""The mandates' witness: every mandate was approved, and what it allowed at any position."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from psycopg import Connection

from scudo.fabric import RECORD, RecordRow, RowBroken, Seen, Stretch, read_record
from scudo.governance.events import MandateApproved
from scudo.governance.mandates import (
    STANDING,
    TERMS_KIND,
    USAGE_KIND,
    Moved,
    Terms,
    Usage,
    digest_of,
)
from scudo.kernel import DAY_US, Prefix, ids

_decode_terms: Final = msgspec.json.Decoder(Terms).decode
_decode_usage: Final = msgspec.json.Decoder(Usage).decode


class MandateWitness:
    """Follows every mandate through its records, and says what each allowed where.

    The ledger's witness asks it for every transfer under a mandate. A standing mandate that was
    used before mandates were records allowed everything; its first record ends that.
    """

    def __init__(self) -> None:
        """Begin before the first mandate."""
        self._since: defaultdict[int, list[int]] = defaultdict(list)
        self._terms: defaultdict[int, list[Terms]] = defaultdict(list)
        self._used: dict[int, Usage] = {}
        self._told: dict[tuple[int, int], tuple[RecordRow, Usage]] = {}

    def see(self, stretch: Stretch, connection: Connection[Any]) -> None:  # noqa: ARG002 - the port asks for it
        """Learn the mandates of a stretch, each of which an event must tell of.

        Raises:
            RowBroken: at the first bad row.
        """
        approved = {
            (entry.position, event.mandate): event
            for entry in stretch.entries
            for event in entry.events
            if type(event) is MandateApproved
        }
        self._told.clear()
        for image in stretch.rows[RECORD.name]:
            row = read_record(image)
            if row.kind == TERMS_KIND:
                key = ids.entry_of(row.number), row.thing
                self._learn(row, approved.pop(key, None))
            elif row.kind == USAGE_KIND:
                self._told[ids.entry_of(row.number), row.thing] = row, _usage(row)
        _nothing_left(approved)

    def _learn(self, row: RecordRow, event: MandateApproved | None) -> None:
        try:
            terms = _decode_terms(row.body)
        except msgspec.MsgspecError as error:
            raise _broken(row, None, "the terms of a mandate", "other bytes") from error
        if event is None:
            if row.version != 1 or terms != STANDING.get(row.thing):
                raise _broken(row, None, "an event that tells of its approval", "none")
        elif (event.version, event.digest) != (row.version, digest_of(terms)):
            raise _broken(row, None, f"the terms {event.digest}", digest_of(terms))
        self._since[row.thing].append(ids.entry_of(row.number))
        self._terms[row.thing].append(terms)

    def conclude(self, connection: Connection[Any]) -> None:
        """Nothing is left to compare: records are all there is."""

    def terms_at(self, number: int, position: int) -> Terms | None:
        """What a mandate allowed in the entry at a position; None: there was none."""
        since = self._since.get(number)
        at = bisect_right(since, position) if since else 0
        return self._terms[number][at - 1] if at else STANDING.get(number)

    def take(self, number: int, terms: Terms, entry: Seen, amount: int) -> str | None:
        """Count a movement towards the bound of the day; what was expected, if it is beyond."""
        if terms.day_max is None or terms.currency is None or amount <= 0:
            return None
        day = entry.ordered_at // DAY_US
        used = Usage.on(self._used.get(number), day, terms.currency) + amount
        self._used[number] = Usage(day, terms.currency, used)
        if used > terms.day_max:
            return f"at most {terms.day_max} a day, {used} with this one"
        return None

    def settle(self, entry: Seen, numbers: set[int]) -> None:
        """Compare what an entry's record says is used of a day with what its transfers use.

        Args:
            entry: whose transfers were all counted.
            numbers: the mandates whose bound they used.

        Raises:
            RowBroken: the record is not there, or tells otherwise.
        """
        for number in numbers:
            self._settle(entry, number)

    def _settle(self, entry: Seen, number: int) -> None:
        told = self._told.pop((entry.position, number), None)
        if told is None:
            raise _missing(number, entry.position, "how much of a day is used")
        row, usage = told
        if usage != self._used[number]:
            raise _broken(row, "body", self._used[number], usage)

    def settled(self) -> None:
        """Every record of use in the stretch was explained by transfers; else it is named."""
        if self._told:
            row, _ = next(iter(self._told.values()))
            broken = _broken(row, None, "transfers that use the mandate", "none")
            raise broken


def objection(terms: Terms, entry: Seen, movement: Moved) -> str | None:
    """What a transfer does that its mandate does not allow, in words."""
    if not terms.is_valid_at(entry.ordered_at):
        return "a mandate that is valid at its time"
    found = terms.objection(movement) if terms.is_bounded else None
    return None if found is None else found[1]


def _usage(row: RecordRow) -> Usage:
    try:
        return _decode_usage(row.body)
    except msgspec.MsgspecError as error:
        raise _broken(row, None, "how much is used", "other bytes") from error


def _nothing_left(approved: Iterable[tuple[int, int]]) -> None:
    for position, number in approved:
        raise _missing(number, position, "the record of a mandate")


def _missing(number: int, position: int, expected: str) -> RowBroken:
    key = f"{ids.show(Prefix.MANDATE, number)} of position {position}"
    return RowBroken(RECORD.name, key, expected=expected, found="no row")


def _broken(row: RecordRow, column: str | None, expected: object, found: object) -> RowBroken:
    key = ids.show(Prefix.RECORD, row.number)
    return RowBroken(RECORD.name, key, column=column, expected=expected, found=found)
