"""The entries of lists: records that only an approval writes, asked at every decision."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.decisions.events import ListEntrySet
from scudo.decisions.lists.model import NOTHING, PREFIXES, ListName, Subject, bit_of
from scudo.decisions.model import GateEvent
from scudo.fabric import Answer, Command, Entry, Reference, Register, list_records
from scudo.governance import approvals
from scudo.kernel import DAY_US, InstantMalformed, ids, parse_rfc3339, rfc3339

_KIND: Final = 301
#: Nothing stands on a list for longer; then two people look again.
LIFE_US: Final = 366 * DAY_US
_COUNTRY_MAX: Final = 999


class ListEntry(msgspec.Struct, frozen=True):
    """Something that stands on a list.

    Attributes:
        listed: the list's name.
        member: which member of an event it is compared with.
        value: token, number or country.
        until: microseconds; at it, it stands there no more.
        set_at: microseconds.
    """

    listed: ListName
    member: Subject
    value: int
    until: int
    reason: str
    set_at: int
    approval: int


class ListChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What comes onto a list until a time, or with null leaves it now."""

    listed: ListName
    member: Subject
    value: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    until: Annotated[str, msgspec.Meta(max_length=40)] | None


class Lists:
    """Keeps what stands on the lists."""

    def __init__(self) -> None:
        """Begin with empty lists."""
        self._entries = Register(_KIND, ListEntry, resident=True, changed=self._changed)
        self._standing: dict[tuple[Subject, int], dict[ListName, tuple[int, int]]] = {}

    def _changed(self, number: int, before: ListEntry | None, now: ListEntry | None) -> None:
        if before is not None:
            self._standing.get((before.member, before.value), {}).pop(before.listed, None)
        if now is not None:
            on = self._standing.setdefault((now.member, now.value), {})
            on[now.listed] = (number, now.until)

    def listed(self, event: GateEvent, *, ordered_at: int) -> int:
        """Which members of an event stand on which list at a time, as a mask of bits."""
        mask, standing = NOTHING, self._standing
        if standing:
            for member in Subject:
                value = getattr(event, member.value)
                for name, (_, until) in standing.get((member, value), {}).items():
                    if ordered_at < until:
                        mask |= bit_of(name, member)
        return mask

    async def stored(self, connection: AsyncConnection[TupleRow]) -> list[ListEntry]:
        """Every entry as it was committed, ended ones too."""
        return [entry for _, _, entry in await list_records(connection, self._entries)]

    @property
    def kinds(self) -> tuple[approvals.ApprovalKind[Any], ...]:
        """The kinds of change that need a second person."""
        return (
            approvals.ApprovalKind(
                name="set_list_entry",
                change=ListChange,
                describe=self._describe,
                demand=self._demand,
                execute=self._set,
                refusals=(InstantMalformed, ids.IdMalformed),
                emergency_us=approvals.HOUR_US,
            ),
        )

    # ---- the keeper's port

    @property
    def registers(self) -> Sequence[Register[Any]]:
        """Registers that it keeps."""
        return (self._entries,)

    @property
    def handlers(self) -> Mapping[type[Command], Callable[[Any, Entry], Answer]]:
        """None: a list is changed by an approval only."""
        return {}

    def refers_to(self, command: Command) -> Iterable[Reference]:  # noqa: ARG002 - the port asks for it
        """Nothing: all of it is in memory."""
        return ()

    # ---- the kind of approval

    def _find(self, change: ListChange) -> tuple[int, ListEntry | None]:
        value = value_of(change.member, change.value)
        number, _ = self._standing.get((change.member, value), {}).get(change.listed, (0, 0))
        return number, self._entries.get(number)

    def _describe(self, change: ListChange) -> approvals.Description:
        _, known = self._find(change)
        before = None if known is None else rfc3339(known.until)
        after = None if change.until is None else rfc3339(_until(change.until))
        what = f"{change.listed}.{change.member}.{change.value}"
        effect = f"{change.member} {change.value} leaves the list {change.listed}"
        if after is not None:
            effect = f"{change.member} {change.value} stands on the list {change.listed} to {after}"
        return approvals.Description({what: (before, after)}, effect)

    def _demand(self, change: ListChange, now: int) -> None:
        """Refuse what changes nothing, and what would stand for ever.

        Raises:
            ChangeInvalid: the end has passed or is too far, or it does not stand there.
        """
        _, known = self._find(change)
        if change.until is None:
            if known is None or known.until <= now:
                message = "this does not stand on the list"
                raise approvals.errors.ChangeInvalid(message, field="change.value")
            return
        if not now < _until(change.until) <= now + LIFE_US:
            message = "an entry ends, within 366 days from now"
            raise approvals.errors.ChangeInvalid(message, field="change.until")

    def _set(self, change: ListChange, entry: Entry, decided: approvals.Decided) -> None:
        number, _ = self._find(change)
        value = value_of(change.member, change.value)
        # What is taken off ends now, and stays to be seen.
        until = decided.now if change.until is None else _until(change.until)
        notice = entry.emit(
            ListEntrySet(
                *(entry.next_position, change.listed, change.member, value, until),
                decided.approval,
            )
        )
        kept = ListEntry(
            *(change.listed, change.member, value, until),
            *(decided.reason, decided.now, decided.approval),
        )
        self._entries.put(entry, number or notice, kept)


def value_of(member: Subject, text: str) -> int:
    """Read what stands on a list, as decisions show it.

    Raises:
        ChangeInvalid: it is no country.
        IdMalformed: it is no token or id of its kind.
    """
    if member is not Subject.COUNTRY:
        return ids.parse(PREFIXES[member], text, field="change.value")
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _COUNTRY_MAX:
        message = "a country is its number in ISO 3166-1"
        raise approvals.errors.ChangeInvalid(message, field="change.value")
    return int(text)


def show_value(member: Subject, value: int) -> str:
    """Show what stands on a list, as it is read."""
    return str(value) if member is Subject.COUNTRY else ids.show(PREFIXES[member], value)


def _until(text: str) -> int:
    return parse_rfc3339(text, field="change.until")
