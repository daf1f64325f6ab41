"""The audit trail: acts that change nothing in the books, and must be known all the same.

Commands leave their events in the log anyway. What happens beside them (a person's data was
read, a token was refused, somebody was not let in) becomes an event here.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from scudo.fabric import Answer, Command, Entry
from scudo.governance.events import ActRecorded

DONE: Final = "done"
_ANSWER: Final = Answer(200, b"{}")
#: So many acts at most are recorded by one command.
ACTS_MAX: Final = 256


class Act(msgspec.Struct, frozen=True, array_like=True):
    """One act, as `ActRecorded` tells of it; no personal data."""

    actor: int
    actor_kind: int
    act: str
    object: str = ""
    whose: int | None = None
    result: str = DONE
    reason: str = ""
    network: int | None = None
    device: int | None = None
    trace: str = ""


class RecordActs(Command, frozen=True, tag=501):
    """Record acts; from 1 to `ACTS_MAX` of them."""

    acts: tuple[Act, ...]


#: Records acts, and returns when they are committed.
Recorder = Callable[[Sequence[Act]], Awaitable[None]]


def record_acts(command: RecordActs, entry: Entry) -> Answer:
    """Tell the log of acts, an event each."""
    assert 0 < len(command.acts) <= ACTS_MAX, "acts are recorded a page at a time"
    for act in command.acts:
        entry.emit(
            ActRecorded(
                entry.next_position,
                act.actor,
                act.actor_kind,
                act.act,
                act.object,
                act.whose,
                act.result,
                act.reason,
                act.network,
                act.device,
                act.trace,
            )
        )
    return _ANSWER
