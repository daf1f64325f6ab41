"""Approvals that are given now and used later, once: by what cannot be done inside an entry.

A token that is shown once, a root that is in no database: two people approve that it is done, and
whoever does it names the approval. It is good for a day, for exactly what it says, and once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from scudo.fabric import Answer, Command, Entry, Reference, Register
from scudo.governance.approvals.commands import Approvals, proposed_change
from scudo.governance.approvals.errors import ApprovalNotFound, ApprovalUnfit
from scudo.governance.approvals.events import ApprovalUsed
from scudo.governance.approvals.model import HOUR_US, State

_KIND: Final = 523
_DONE: Final = Answer(200, b"{}")
#: An approval is used within so long.
USABLE_US: Final = 24 * HOUR_US


class Use(msgspec.Struct, frozen=True):
    """When an approval was used (microseconds), and by whom: a sender's number; 0: the bank."""

    used_at: int
    by: int


class UseApproval(Command, frozen=True, tag=528):
    """Use an approval of a kind up; `change` is the canonical JSON of what is done under it."""

    approval: int
    kind: str
    change: str


class Uses:
    """Keeps which approvals were used."""

    def __init__(self, approvals: Approvals) -> None:
        """Look approvals up here."""
        self._approvals = approvals
        self._uses: Register[Use] = Register(_KIND, Use, resident=True)

    @property
    def registers(self) -> Sequence[Register[Any]]:
        """Registers that it keeps."""
        return (self._uses,)

    @property
    def handlers(self) -> Mapping[type[Command], Callable[[Any, Entry], Answer]]:
        """What works on each kind of command."""
        return {UseApproval: self._use}

    def refers_to(self, command: Command) -> Iterable[Reference]:
        """Everything is resident."""
        del command
        return ()

    def _use(self, command: UseApproval, entry: Entry) -> Answer:
        self.use_up(entry, command.approval, kind=command.kind, change=command.change)
        return _DONE

    def use_up(self, entry: Entry, number: int, *, kind: str, change: str) -> None:
        """Use an approval up for a change of a kind, in canonical JSON.

        Raises:
            ApprovalNotFound: there is no such approval.
            ApprovalUnfit: it was not given, is of something else, too old, or used.
        """
        approval = self._approvals.register.get(number)
        if approval is None:
            message = "there is no such approval"
            raise ApprovalNotFound(message, field="approval_id")
        fault = None
        if approval.kind != kind or approval.state is not State.DONE:
            fault = "this approval was not given, or is of another kind"
        elif proposed_change(approval).decode() != change:
            fault = "this approval is of something else"
        elif entry.recorded_at - approval.ended_at >= USABLE_US:
            fault = "this approval was given more than 24 hours ago"
        elif number in self._uses:
            fault = "this approval was used"
        if fault is not None:
            raise ApprovalUnfit(fault, field="approval_id")
        self.note(entry, number, kind=kind)

    def is_used(self, number: int) -> bool:
        """Whether an approval is good no more because it was used."""
        return number in self._uses

    def note(self, entry: Entry, number: int, *, kind: str) -> None:
        """Note that what an approval of a kind allows was done, by whom it is not asked of here."""
        entry.emit(ApprovalUsed(number, kind, entry.client))
        self._uses.put(entry, number, Use(entry.recorded_at, entry.client))
