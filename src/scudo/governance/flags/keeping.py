"""The values of flags: records that only an approval writes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Final

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo.fabric import Answer, Command, Entry, Reference, Register, list_records
from scudo.governance import approvals
from scudo.governance.flags.declaring import Flag, Value, load_flags
from scudo.governance.flags.events import FlagSet
from scudo.kernel import instant

_KIND: Final = 510
_WORD_MAX: Final = 63


class FlagSetting(msgspec.Struct, frozen=True):
    """What was approved for a flag.

    Attributes:
        value: None: the default.
        set_at: microseconds.
        approval: by which it was approved.
    """

    value: Value | None
    set_at: int
    approval: int


class FlagChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value that a flag gets; null gives it its default again."""

    flag: Annotated[str, msgspec.Meta(min_length=1, max_length=_WORD_MAX)]
    value: bool | int | Annotated[str, msgspec.Meta(max_length=_WORD_MAX)] | None


class Flags:
    """Keeps what was approved for each flag.

    Attributes:
        declared: all flags, by name.
    """

    def __init__(self, declared: Sequence[Flag] | None = None) -> None:
        """Begin with the shipped flags at their defaults."""
        flags = load_flags() if declared is None else declared
        self.declared = {flag.name: flag for flag in flags}
        self._settings = Register(_KIND, FlagSetting, resident=True)

    def set_value(self, flag: Flag) -> Value | None:
        """The value that was approved last; None: the default holds."""
        setting = self._settings.get(flag.number)
        return None if setting is None else setting.value

    def expired(self, day: date) -> list[str]:
        """Names of the flags that should be gone by a day (UTC)."""
        return [name for name, flag in self.declared.items() if flag.has_expired(day)]

    async def stored(self, connection: AsyncConnection[TupleRow]) -> dict[int, FlagSetting]:
        """What was approved and committed, by number of the flag."""
        return {n: setting for n, _, setting in await list_records(connection, self._settings)}

    @property
    def kinds(self) -> tuple[approvals.ApprovalKind[Any], ...]:
        """The kinds of change that need a second person."""
        return (
            approvals.ApprovalKind(
                name="set_flag",
                change=FlagChange,
                describe=self._describe,
                demand=self._demand,
                execute=self._set,
            ),
        )

    # ---- the keeper's port

    @property
    def registers(self) -> Sequence[Register[Any]]:
        """Registers that it keeps."""
        return (self._settings,)

    @property
    def handlers(self) -> Mapping[type[Command], Callable[[Any, Entry], Answer]]:
        """None: a flag is set by an approval only."""
        return {}

    def refers_to(self, command: Command) -> Iterable[Reference]:  # noqa: ARG002 - the port asks for it
        """Nothing: all of it is in memory."""
        return ()

    # ---- the kind of approval

    def _find(self, change: FlagChange) -> Flag:
        """Find a declared flag.

        Raises:
            ChangeInvalid: there is none of that name.
        """
        flag = self.declared.get(change.flag)
        if flag is None:
            message = "there is no such flag"
            raise approvals.errors.ChangeInvalid(message, field="change.flag")
        return flag

    def _describe(self, change: FlagChange) -> approvals.Description:
        flag = self._find(change)
        before = self.set_value(flag)
        held = flag.default if before is None else before
        holds = flag.default if change.value is None else change.value
        diff: dict[str, tuple[Any, Any]] = {"value": (before, change.value)}
        effect = f"{flag.name} was {_json(held)} and is {_json(holds)}: {flag.says}"
        return approvals.Description(diff, effect)

    def _demand(self, change: FlagChange, now: int) -> None:
        """Refuse what the flag cannot become.

        Raises:
            ChangeInvalid: the flag is not declared, is past its date, does not allow the value,
                or has it.
        """
        flag = self._find(change)
        if change.value is None or flag.allows(change.value):
            if self.set_value(flag) == change.value:
                message = "the flag is set so"
                raise approvals.errors.ChangeInvalid(message, field="change.value")
        else:
            message = "the flag does not allow this value; GET /v1/flags tells what it allows"
            raise approvals.errors.ChangeInvalid(message, field="change.value")
        # Back to its default a flag may always go.
        if change.value is not None and flag.has_expired(instant(now).date()):
            message = "the flag is past its date, and goes back to its default only"
            raise approvals.errors.ChangeInvalid(message, field="change.flag")

    def _set(self, change: FlagChange, entry: Entry, decided: approvals.Decided) -> None:
        flag = self._find(change)
        entry.emit(FlagSet(entry.next_position, flag.name, _json(change.value), decided.approval))
        setting = FlagSetting(change.value, decided.now, decided.approval)
        self._settings.put(entry, flag.number, setting)


def _json(value: Value | None) -> str:
    return msgspec.json.encode(value).decode()
