"""The owner's way: what a client with the scope does alone, until two people could decide on it.

An installation begins with nobody but the owner's token. The way of each kind ends for good as
soon as there are two operators of whom one may propose it and another approve it: what is
suspended, dropped or recovered afterwards opens it no more.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from scudo.fabric import Answer, Command, Entry, Reference, Register, refused
from scudo.governance.approvals.commands import Approvals
from scudo.governance.approvals.errors import SecondPersonNeeded
from scudo.governance.approvals.events import OwnersWayClosed, OwnersWayRefused
from scudo.governance.approvals.model import Severity
from scudo.governance.approvals.using import Uses
from scudo.kernel import Refusal

_KIND: Final = 522
#: The one record of its kind.
_ONLY: Final = 1
_DONE: Final = Answer(200, b"{}")


class ClosedWays(msgspec.Struct, frozen=True):
    """The kinds of change that no client makes alone any more."""

    closed: tuple[str, ...]


class CloseOwnersWays(Command, frozen=True, tag=527):
    """Note that two people could decide on these kinds from now on."""

    closed: tuple[str, ...]


class OwnersWays:
    """Keeps which ways are closed, and guards the commands of each."""

    def __init__(self, approvals: Approvals, uses: Uses) -> None:
        """Guard the kinds of these approvals that have an owner's way."""
        self._approvals = approvals
        self._uses = uses
        self._closed: Register[ClosedWays] = Register(_KIND, ClosedWays, resident=True)

    @property
    def registers(self) -> Sequence[Register[Any]]:
        """Registers that it keeps."""
        return (self._closed,)

    @property
    def handlers(self) -> Mapping[type[Command], Callable[[Any, Entry], Answer]]:
        """What works on each kind of command."""
        return {CloseOwnersWays: self._close}

    def refers_to(self, command: Command) -> Iterable[Reference]:
        """Everything is resident."""
        del command
        return ()

    def due(self, now: int) -> Command | None:
        """The ways that have ended by the people there are, and that the log does not know of."""
        del now
        ended = tuple(name for name in self._open() if self._approvals.people.could_decide(name))
        return CloseOwnersWays(ended) if ended else None

    def _open(self) -> Iterable[str]:
        closed = self._known()
        kinds = self._approvals.kinds
        return (n for n, kind in kinds.items() if kind.has_owners_way and n not in closed)

    def _known(self) -> tuple[str, ...]:
        known = self._closed.get(_ONLY)
        return () if known is None else known.closed

    def is_closed(self, name: str) -> bool:
        """Whether the log knows that the way of a kind has ended."""
        return name in self._known()

    def demand_open(self, name: str) -> None:
        """Refuse what two people could decide on.

        Raises:
            SecondPersonNeeded: the way of this kind has ended.
        """
        if name in self._known() or self._approvals.people.could_decide(name):
            message = f"two people decide on this: propose {name}"
            raise SecondPersonNeeded(message)

    def guard(
        self,
        name: str,
        handler: Callable[[Any, Entry], Answer],
        *,
        applies: Callable[[Any, Entry], bool] = lambda _command, _entry: True,
        covered: Callable[[Any], tuple[int, str]] = lambda _command: (0, ""),
    ) -> Callable[[Any, Entry], Answer]:
        """Let a command's handler work while its way is open, and leave an event when it is not.

        Args:
            name: of the kind of approval that takes its place.
            handler: does what is asked.
            applies: whether a command needs a second person at all.
            covered: the approval that a command names, to be used up, and its canonical change;
                0: none.
        """
        assert self._approvals.kinds[name].has_owners_way, f"{name} has no owner's way"

        def handle(command: Any, entry: Entry) -> Answer:  # noqa: ANN401 - of its kind
            approval, change = covered(command)
            if approval:
                self._uses.use_up(entry, approval, kind=name, change=change)
            elif applies(command, entry):
                try:
                    self.demand_open(name)
                except Refusal as refusal:
                    entry.emit(
                        OwnersWayRefused(entry.next_position, name, entry.client, Severity.WARNING)
                    )
                    return refused(refusal)
            return handler(command, entry)

        return handle

    def _close(self, command: CloseOwnersWays, entry: Entry) -> Answer:
        new = tuple(name for name in command.closed if name not in self._known())
        if new:
            entry.emit(OwnersWayClosed(entry.next_position, new))
            self._closed.put(entry, _ONLY, ClosedWays((*self._known(), *new)))
        return _DONE
