"""Facts of persons, recorded once the vault has done its part.

The vault does first, then the log is told: a fact without its effect would be a lie, and an
effect whose fact is missing is made good when the request comes again, which it must, because
it was not answered.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from scudo.fabric import Answer, Command, Entry, Reference, Register
from scudo.identity.persons.events import CardKept, PersonErased, PersonKept
from scudo.identity.relationships import RELATIONSHIP_KIND, Relationships

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


class Credentials(Protocol):
    """How customers prove who they are; what of it is left when a person is forgotten goes too."""

    def all_of(self, customer: int) -> Iterable[Reference]:
        """Records of a customer's credentials and sessions, as far as memory can tell."""

    def take_back(self, entry: Entry, customer: int) -> None:
        """End a customer's sessions and credentials, which were looked up; none is no error."""


class PersonFacts:
    """Tells the log; keeps nothing itself."""

    registers: tuple[Register[Any], ...] = ()

    def __init__(self, relationships: Relationships, credentials: Credentials) -> None:
        """Say what each command becomes."""
        self._relationships = relationships
        self._credentials = credentials
        self.handlers: Final[Mapping[type[Command], Callable[[Any, Entry], Answer]]] = {
            RecordPersonKept: _kept,
            RecordPersonErased: self._erased,
            RecordCardKept: _card_kept,
        }

    def refers_to(self, command: Command) -> Iterable[Reference]:
        """Of a person who is erased, whether they are still a customer, and how they log in."""
        if isinstance(command, RecordPersonErased):
            yield RELATIONSHIP_KIND, command.customer
            if command.customer in self._relationships.register:
                yield from self._credentials.all_of(command.customer)

    def _erased(self, command: RecordPersonErased, entry: Entry) -> Answer:
        entry.emit(PersonErased(command.customer, command.erased_at, command.reason))
        # Who is still a customer goes on logging in by what the vault does not keep.
        if command.customer in self._relationships.register:
            self._relationships.forgotten(entry, command.customer)
            self._credentials.take_back(entry, command.customer)
        return _ANSWER


def _kept(command: RecordPersonKept, entry: Entry) -> Answer:
    entry.emit(PersonKept(command.customer, command.fields, command.age_band))
    return _ANSWER


def _card_kept(command: RecordCardKept, entry: Entry) -> Answer:
    entry.emit(CardKept(command.card, command.customer))
    return _ANSWER
