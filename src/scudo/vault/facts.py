"""What was read of whom, for whom and why: facts for the audit log; never the values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scudo.vault import answers, wire
from scudo.vault.model import CARD_NUMBER, FIELDS, PAYMENT_TEXT, TOKEN_KINDS
from scudo.vault.persons import Read


@dataclass(frozen=True, slots=True)
class Subject:
    """What a read asks for, as its facts say it."""

    operation: str
    kind: str
    number: int
    fields: tuple[str, ...]


def subject_of(request: wire.AnyRequest) -> Subject | None:
    """What a read that is refused asked for; only declared names are repeated."""
    match request:
        case wire.ReadFields() | wire.ListCards():
            return _of_person(request)
        case wire.FindPerson() | wire.FindToken():
            is_declared = request.kind in FIELDS or request.kind in TOKEN_KINDS
            return Subject("find", "person", 0, (request.kind if is_declared else "undeclared",))
        case wire.ReadText():
            return Subject("read", "person", request.person, (PAYMENT_TEXT,))
        case wire.ShowCard() | wire.ReadCard():
            operation = "show_card" if isinstance(request, wire.ShowCard) else "read_card"
            return Subject(operation, "card", request.card, (CARD_NUMBER,))
        case wire.FindCard():
            return Subject("find", "card", 0, (CARD_NUMBER,))
        case _:
            return None


def _of_person(request: wire.ReadFields | wire.ListCards) -> Subject:
    if isinstance(request, wire.ListCards):
        return Subject("list_cards", "person", request.person, (CARD_NUMBER,))
    names = tuple(name if name in FIELDS else "undeclared" for name in request.fields)
    return Subject("read", "person", request.person, names)


def found_facts(persons: Sequence[int], kind: str, read: Read) -> tuple[answers.Fact, ...]:
    """Facts of a look-up: one for each person that was found, or one that nobody was."""
    if not persons:
        absent = Subject("find", "person", 0, (kind,))
        return tuple(facts_of(absent, read, {kind: "absent"}))
    return tuple(
        fact
        for one in persons
        for fact in given_facts(Subject("find", "person", one, (kind,)), read)
    )


def given_facts(subject: Subject, read: Read) -> tuple[answers.Fact, ...]:
    """Facts of a read that gave all that was asked for."""
    return tuple(facts_of(subject, read, dict.fromkeys(subject.fields, "given")))


def facts_of(subject: Subject, read: Read, results: Mapping[str, str]) -> Sequence[answers.Fact]:
    """Facts of a read, with the result for each field."""
    why = read.why
    return [
        answers.Fact(
            at=read.at,
            operation=subject.operation,
            subject_kind=subject.kind,
            subject=subject.number,
            field=name,
            purpose=why.purpose,
            actor=why.actor,
            reason=why.reason,
            correlation=why.correlation,
            result=result,
        )
        for name, result in results.items()
    ]
