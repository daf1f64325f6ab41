"""How each control is: noticed by a clock, told by events, once each, whatever restarts."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog
from psycopg import Connection

from scudo.fabric import Answer, Command, Entry, Reference, Register, stored_records
from scudo.governance.controls.ownership import Control, load_controls
from scudo.governance.events import ControlDegraded, ControlEscalated, ControlRestored
from scudo.kernel import Refusal

_KIND: Final = 541
_DONE: Final = Answer(200, b"{}")
_log = structlog.get_logger("scudo.controls")
_LOOK_EVERY_S: Final = 0.5

#: Says whether a control works, now; quick, and from memory.
IsOk = Callable[[], bool]
Submit = Callable[[Command], Awaitable[Answer]]


class ControlUnchanged(Refusal):
    """Raised when a control is as it was noted; nothing is written twice."""

    code = "control_unchanged"
    kind = "conflict"
    next_step = "Nothing needs to be done."


class ControlState(msgspec.Struct, frozen=True):
    """How a control is.

    Attributes:
        since: microseconds of our clock since when it is degraded; None: it works.
        level: of escalation that was told.
    """

    since: int | None
    level: int = 0


class NoteControl(Command, frozen=True, tag=541):
    """Note how a control is, if that is news."""

    control: int
    is_ok: bool


class Controls:
    """Keeps how every control is, and has it noted when that changes.

    Attributes:
        declared: all controls, by number.
        checks: what says whether each watched control works; bootstrap fills it.
    """

    def __init__(self, declared: Sequence[Control] | None = None) -> None:
        """Begin with the shipped controls, and nothing that watches them."""
        controls = load_controls() if declared is None else declared
        self.declared = {control.number: control for control in controls}
        self.checks: dict[str, IsOk] = {}
        self._states = Register(_KIND, ControlState, resident=True)

    def degraded(self) -> dict[str, int]:
        """Controls that were noted as degraded, with the level that was told."""
        return {
            self.declared[number].name: state.level
            for number, state in self._states.items()
            if state.since is not None and number in self.declared
        }

    def noted(self, connection: Connection[Any]) -> dict[str, ControlState]:
        """Controls that were noted as degraded, as it is stored: for who looks from outside."""
        return {
            self.declared[number].name: state
            for number, state in stored_records(connection, self._states)
            if state.since is not None and number in self.declared
        }

    def news(self, now: int) -> list[NoteControl]:
        """What is to be noted at a time in microseconds of our clock."""
        found = []
        for control in self.declared.values():
            is_ok = self._looks_ok(control)
            if is_ok is not None and self._is_news(control, is_ok=is_ok, now=now):
                found.append(NoteControl(control.number, is_ok))
        return found

    def _looks_ok(self, control: Control) -> bool | None:
        check = self.checks.get(control.name)
        if check is None or not control.is_watched:
            return None
        try:
            return check()
        except Exception as error:  # noqa: BLE001 - the edge: a check that fails is no control that works
            _log.error("control_check_failed", control=control.name, exc_info=error)
            return False

    def _is_news(self, control: Control, *, is_ok: bool, now: int) -> bool:
        state = self._states.get(control.number) or ControlState(None)
        if state.since is None or is_ok:
            return is_ok is not (state.since is None)
        return control.level(now - state.since) > state.level

    async def watch(self, submit: Submit, now: Callable[[], int]) -> None:
        """Look now and then until cancelled; what cannot be written is tried again."""
        while True:
            # The writer itself may be what does not work.
            with contextlib.suppress(Refusal):
                for command in self.news(now()):
                    await submit(command)
            await asyncio.sleep(_LOOK_EVERY_S)

    # ---- the keeper's port

    @property
    def registers(self) -> Sequence[Register[Any]]:
        """Registers that it keeps."""
        return (self._states,)

    @property
    def handlers(self) -> Mapping[type[Command], Callable[[Any, Entry], Answer]]:
        """What works on each kind of command, inside its entry."""
        return {NoteControl: self._note}

    def refers_to(self, command: Command) -> Iterable[Reference]:  # noqa: ARG002 - the port asks for it
        """Nothing: all of it is in memory."""
        return ()

    def _note(self, command: NoteControl, entry: Entry) -> Answer:
        number, now = command.control, entry.recorded_at
        control = self.declared[number]
        state = self._states.get(number) or ControlState(None)
        if not self._is_news(control, is_ok=command.is_ok, now=now):
            message = f"{control.name} is as it was noted"
            raise ControlUnchanged(message)
        if command.is_ok:
            entry.emit(ControlRestored(entry.next_position, control.name, state.since or now))
            after = ControlState(None)
        elif state.since is None:
            entry.emit(
                ControlDegraded(
                    entry.next_position, control.name, control.technical_owner, control.pages
                )
            )
            after = ControlState(now)
        else:
            level = control.level(now - state.since)
            entry.emit(
                ControlEscalated(
                    entry.next_position,
                    control.name,
                    level,
                    state.since,
                    control.security_partner,
                    control.emergency_approver,
                )
            )
            after = ControlState(state.since, level)
        self._states.put(entry, number, after)
        return _DONE
