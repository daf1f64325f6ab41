"""What flags tell the log."""

from typing import ClassVar

from scudo.fabric import Event
from scudo.kernel import ids


class FlagSet(Event, frozen=True, tag=510):
    """Two people have given a flag a value.

    Attributes:
        notice: position of this event.
        flag: its name in `flags/flags.toml`.
        value: JSON of the value; `null`: the default holds again.
    """

    name: ClassVar[str] = "governance.flag.set.v1"

    notice: ids.EventId
    flag: str
    value: str
    approval: ids.ApprovalId
