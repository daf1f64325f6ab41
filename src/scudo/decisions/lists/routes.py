"""HTTP operation of lists: they are looked at here, and changed by approvals only."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from scudo.decisions.lists.keeping import ListEntry, Lists, show_value
from scudo.fabric import web
from scudo.kernel import Prefix, ids, micros, rfc3339

_TAG: Final = "decisions"

ApprovalIdText = Annotated[str, web.id_text(Prefix.APPROVAL)]


class ListEntryView(msgspec.Struct, frozen=True):
    """Something that stands on a list, or did: who wanted it is in the approval."""

    listed: Literal["deny", "watch", "allow"]
    member: str
    value: str
    until: str
    is_over: bool
    reason: str
    set_at: str
    approval_id: ApprovalIdText


class ListEntries(msgspec.Struct, frozen=True):
    """All entries, by when they were set."""

    items: tuple[ListEntryView, ...]


@dataclass(frozen=True, slots=True)
class _Desk:
    lists: Lists
    reads: web.Reads
    clock: web.Clock

    async def list_entries(self, call: web.Call) -> web.Reply:
        del call
        async with self.reads() as connection:
            stored = await self.lists.stored(connection)
        found = sorted(stored, key=lambda entry: (entry.set_at, entry.approval))
        return web.Reply(200, ListEntries(tuple(map(self._view, found))))

    def _view(self, entry: ListEntry) -> ListEntryView:
        listed: Literal["deny", "watch", "allow"] = entry.listed.value
        return ListEntryView(
            listed=listed,
            member=entry.member,
            value=show_value(entry.member, entry.value),
            until=rfc3339(entry.until),
            is_over=entry.until <= micros(self.clock()),
            reason=entry.reason,
            set_at=rfc3339(entry.set_at),
            approval_id=ids.show(Prefix.APPROVAL, entry.approval),
        )


def operations(*, lists: Lists, reads: web.Reads, clock: web.Clock) -> tuple[web.Operation, ...]:
    """List the operations of lists."""
    desk = _Desk(lists, reads, clock)
    return (
        web.Operation(
            method="GET",
            path="/v1/lists",
            name="list_list_entries",
            summary="List what stands on the lists that rules ask",
            tag=_TAG,
            scope="decisions:read",
            is_bank_wide=True,
            handler=desk.list_entries,
            answers={200: ListEntries},
            refusals=web.READ_REFUSALS,
        ),
    )
