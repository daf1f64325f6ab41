"""Facts of persons, recorded once the vault has done its part.

The vault does first, then the log is told: a fact without its effect would be a lie, and an
effect whose fact is missing is made good when the request comes again, which it must, because
it was not answered.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from scudo.fabric import Answer, Command, Entry, Reference, Register
from scudo.identity.persons.events import CardKept, PersonErased, PersonKept

_ANSWER: Final = Answer(200, b"{}")


class RecordPersonKept(Command, frozen=True, tag=551):
    """The vault has kept fields of a customer's person."""

    customer: int
    fields: tuple[str, ...]
    age_band: str | None


class RecordPersonErased(Command, frozen=True, tag=552):
    """The vault has erased a customer's person."""

    customer: int
    erased_at: int
    reason: str


class RecordCardKept(Command, frozen=True, tag=553):
    """The vault has kept a card."""

    card: int
    customer: int | None


class PersonFacts:
    """Tells the log; keeps nothing itself."""

    registers: tuple[Register[Any], ...] = ()

    def __init__(self) -> None:
        """Say what each command becomes."""
        self.handlers: Final[Mapping[type[Command], Callable[[Any, Entry], Answer]]] = {
            RecordPersonKept: _kept,
            RecordPersonErased: _erased,
            RecordCardKept: _card_kept,
        }

    def refers_to(self, command: Command) -> Iterable[Reference]:
        """Nothing."""
        del command
        return ()


def _kept(command: RecordPersonKept, entry: Entry) -> Answer:
    entry.emit(PersonKept(command.customer, command.fields, command.age_band))
    return _ANSWER


def _erased(command: RecordPersonErased, entry: Entry) -> Answer:
    entry.emit(PersonErased(command.customer, command.erased_at, command.reason))
    return _ANSWER


def _card_kept(command: RecordCardKept, entry: Entry) -> Answer:
    entry.emit(CardKept(command.card, command.customer))
    return _ANSWER
