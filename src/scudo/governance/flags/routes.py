"""HTTP operations of flags: they are looked at here, and set by approvals only."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from scudo.fabric import web
from scudo.governance.flags.declaring import Flag, Value
from scudo.governance.flags.keeping import Flags, FlagSetting
from scudo.kernel import Prefix, ids, rfc3339

_TAG: Final = "flags"

ApprovalIdText = Annotated[str, web.id_text(Prefix.APPROVAL)]


class FlagView(msgspec.Struct, frozen=True):
    """A flag, what it may be, and what it is.

    Attributes:
        is_expired: whether it should be gone by now; its owner is to remove it.
        set_at, approval_id: of the value; null: it was never set.
    """

    name: str
    type: Literal["bool", "int", "word"]
    kind: Literal["presentation", "rollout", "tuning"]
    value: Value
    default: Value
    least: int | None
    most: int | None
    words: tuple[str, ...]
    owner: str
    says: str
    expires_on: str
    is_expired: bool
    set_at: str | None
    approval_id: ApprovalIdText | None


class FlagList(msgspec.Struct, frozen=True):
    """All flags, by name."""

    items: tuple[FlagView, ...]


@dataclass(frozen=True, slots=True)
class _Desk:
    flags: Flags
    reads: web.Reads
    clock: web.Clock

    async def list_flags(self, call: web.Call) -> web.Reply:
        del call
        async with self.reads() as connection:
            stored = await self.flags.stored(connection)
        flags = sorted(self.flags.declared.values(), key=lambda flag: flag.name)
        views = tuple(self._view(flag, stored.get(flag.number)) for flag in flags)
        return web.Reply(200, FlagList(views))

    def _view(self, flag: Flag, setting: FlagSetting | None) -> FlagView:
        given = None if setting is None else setting.value
        return FlagView(
            name=flag.name,
            type=flag.type,
            kind=flag.kind.value,
            value=given if given is not None and flag.allows(given) else flag.default,
            default=flag.default,
            least=flag.least,
            most=flag.most,
            words=flag.words,
            owner=flag.owner,
            says=flag.says,
            expires_on=flag.expires_on.isoformat(),
            is_expired=flag.has_expired(self.clock().date()),
            set_at=None if setting is None else rfc3339(setting.set_at),
            approval_id=None if setting is None else ids.show(Prefix.APPROVAL, setting.approval),
        )


def operations(*, flags: Flags, reads: web.Reads, clock: web.Clock) -> tuple[web.Operation, ...]:
    """List the operations of flags."""
    desk = _Desk(flags, reads, clock)
    return (
        web.Operation(
            method="GET",
            path="/v1/flags",
            name="list_flags",
            summary="List feature flags with what they are now",
            tag=_TAG,
            scope="flags:read",
            handler=desk.list_flags,
            answers={200: FlagList},
            refusals=web.READ_REFUSALS,
        ),
    )
