"""HTTP operations on persons and cards: put, read for a purpose, find, erase.

Whatever is read stands in the log before it is shown: who read what of whom, what for, why,
from where. A read that is refused stands there too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from scudo import vault
from scudo.fabric import Answer, BankUnavailable, Command, Tokens, web
from scudo.governance import Act, Recorder, retention
from scudo.identity.errors import CustomerNotFound
from scudo.identity.persons.commands import RecordCardKept, RecordPersonErased, RecordPersonKept
from scudo.identity.persons.reading import (
    VAULT_REFUSALS,
    AskVault,
    PurposeName,
    Reason,
    RecordedReads,
    actor_of,
    why_of,
)
from scudo.identity.queries import find_customer
from scudo.kernel import Prefix, Refusal, ids, rfc3339

_TAG: Final = "persons"
_OK: Final = 200

CustomerIdText = Annotated[str, web.id_text(Prefix.CUSTOMER)]
CardIdText = Annotated[str, web.id_text(Prefix.CARD_REFERENCE)]
CardTokenText = Annotated[str, web.id_text(Prefix.CARD)]
Value = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]
FieldName = Literal[
    "given_name",
    "family_name",
    "birth_date",
    "birth_place",
    "nationality",
    "address",
    "email",
    "phone",
    "alias",
    "document_number",
    "tax_number",
]
SearchedName = Literal["email", "phone", "alias", "document_number", "tax_number"]


class NewPerson(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is to be kept of a person; what is not named stays as it is.

    Attributes:
        birth_date: year, month and day, `1815-12-10`.
        nationality: as you write it everywhere, such as an ISO 3166-1 code.
    """

    given_name: Value | None = None
    family_name: Value | None = None
    birth_date: Value | None = None
    birth_place: Value | None = None
    nationality: Value | None = None
    address: Value | None = None
    email: Value | None = None
    phone: Value | None = None
    alias: Value | None = None
    document_number: Value | None = None
    tax_number: Value | None = None


class PersonSummary(msgspec.Struct, frozen=True):
    """What was kept, by name, and what rules may know of it."""

    customer_id: CustomerIdText
    fields: tuple[str, ...]
    age_band: str | None


class PersonRead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which fields of a person, what for, and why."""

    fields: Annotated[tuple[FieldName, ...], msgspec.Meta(min_length=1, max_length=11)]
    purpose: PurposeName
    reason: Reason


class PersonView(msgspec.Struct, frozen=True):
    """Those of the fields that are kept."""

    customer_id: CustomerIdText
    fields: dict[str, str]


class PersonSearch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who has this value in this field, what for, and why."""

    field: SearchedName
    value: Value
    purpose: PurposeName
    reason: Reason


class PersonMatches(msgspec.Struct, frozen=True):
    """Customers with that value, at most a hundred; none is an answer like any other."""

    customer_ids: tuple[CustomerIdText, ...]


class Erasing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a person is erased."""

    reason: Reason


class Erasure(msgspec.Struct, frozen=True):
    """A person is erased: since when, and what this request destroyed.

    Attributes:
        destroyed: how many keys, fields, look-ups, links of tokens, and cards; none of them
            if the person was erased before, or nothing was kept.
    """

    customer_id: CustomerIdText
    erased_at: str
    destroyed: dict[str, int]


class NewCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A card number to keep, never with its CVV or PIN; `expiry` is year and month, `2030-01`."""

    number: Annotated[str, msgspec.Meta(min_length=13, max_length=19)]
    expiry: Annotated[str, msgspec.Meta(min_length=7, max_length=7)]
    customer_id: CustomerIdText | None = None


class CardKept(msgspec.Struct, frozen=True):
    """A card's reference, the same for the same number, and the token that events have."""

    id: CardIdText
    token: CardTokenText


class CardQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a card is looked at for, and why."""

    purpose: Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,32}\Z")]
    reason: Reason


class CardView(msgspec.Struct, frozen=True):
    """As much of a card as a person may see."""

    id: CardIdText
    first_six: str
    last_four: str


#: Customers of whom nothing may be erased now.
Held = Callable[[], frozenset[int]]


@dataclass(frozen=True, slots=True)
class _Desk:
    submit: web.Submit
    reads: web.Reads
    ask: AskVault
    record: Recorder
    recorded: RecordedReads
    held: Held

    async def put_person(self, call: web.Call) -> web.Reply:
        customer = await self._customer_of(call)
        fields = {name: value for name, value in msgspec.structs.asdict(call.body).items() if value}
        if not fields:
            message = "no field is named"
            raise vault.errors.FieldUndeclared(message, field="body")
        put = await self.ask(vault.PutPerson(customer, fields))
        names = tuple(fields)
        await self._tell(RecordPersonKept(customer, names, put.age_band), call)
        shown = ids.show(Prefix.CUSTOMER, customer)
        return web.Reply(200, PersonSummary(shown, names, put.age_band))

    async def read_person(self, call: web.Call) -> web.Reply:
        customer, body = await self._customer_of(call), call.body
        why = why_of(call, body.purpose, body.reason)
        fields = tuple(dict.fromkeys(body.fields))
        found = await self.recorded.read(vault.ReadFields(customer, fields, why), call)
        return web.Reply(200, PersonView(ids.show(Prefix.CUSTOMER, customer), found.values))

    async def find_persons(self, call: web.Call) -> web.Reply:
        body: PersonSearch = call.body
        why = why_of(call, body.purpose, body.reason)
        found = await self.recorded.read(vault.FindPerson(body.field, body.value, why), call)
        shown = tuple(ids.show(Prefix.CUSTOMER, number) for number in found.persons)
        return web.Reply(200, PersonMatches(shown))

    async def erase_person(self, call: web.Call) -> web.Reply:
        reason = web.demand_reference(call.query.reason, field="reason")
        customer = await self._customer_of(call)
        # Last before the vault is asked: a hold that was placed until now holds.
        if customer in self.held():
            refusal = retention.errors.LegalHoldInForce("a legal hold is on this customer")
            await self._tell_refused(refusal, customer, call)
            raise refusal
        erased = await self.ask(vault.ErasePerson(customer, actor_of(call), reason))
        await self._tell(RecordPersonErased(customer, erased.at, reason), call)
        shown = ids.show(Prefix.CUSTOMER, customer)
        return web.Reply(200, Erasure(shown, rfc3339(erased.at), erased.destroyed))

    async def put_card(self, call: web.Call) -> web.Reply:
        body: NewCard = call.body
        customer = call.client.customer
        if body.customer_id is not None:
            number = ids.parse(Prefix.CUSTOMER, body.customer_id, field="customer_id")
            customer = await self._demand_customer(number, call)
        kept = await self.ask(vault.PutCard(body.number, body.expiry, customer))
        await self._tell(RecordCardKept(kept.card, customer), call)
        reference = ids.show(Prefix.CARD_REFERENCE, kept.card)
        return web.Reply(201, CardKept(reference, ids.show(Prefix.CARD, kept.token)))

    async def get_card(self, call: web.Call) -> web.Reply:
        query: CardQuery = call.query
        number = ids.parse(Prefix.CARD_REFERENCE, call.path["card_id"], field="card_id")
        # Whose it is stands in the request: a card of somebody else is like one that is not.
        owner = call.client.customer or 0
        why = why_of(call, query.purpose, query.reason)
        shown = await self.recorded.read(vault.ShowCard(number, why, owner), call)
        reference = ids.show(Prefix.CARD_REFERENCE, number)
        return web.Reply(200, CardView(reference, shown.first_six, shown.last_four))

    async def _tell_refused(self, refusal: Refusal, customer: int, call: web.Call) -> None:
        act = Act(
            call.client.id,
            call.client.kind,
            "persons.erase",
            ids.show(Prefix.CUSTOMER, customer),
            customer,
            refusal.code,
            call.query.reason,
            trace=call.trace_id,
        )
        await self.record([act])

    # ---- what they have in common

    async def _customer_of(self, call: web.Call) -> int:
        number = ids.parse(Prefix.CUSTOMER, call.path["customer_id"], field="customer_id")
        return await self._demand_customer(number, call)

    async def _demand_customer(self, number: int, call: web.Call) -> int:
        """See that there is a customer, and that the client may see it.

        Raises:
            CustomerNotFound: one of both is not so; the answer does not tell which.
        """
        async with self.reads() as connection:
            customer = await find_customer(connection, number)
        if customer is None or call.client.customer not in {None, number}:
            message = "there is no such customer"
            raise CustomerNotFound(message, field="customer_id")
        return number

    async def _tell(self, command: Command, call: web.Call) -> None:
        """Have a fact in the log; the request's own key is not used up by it.

        Raises:
            BankUnavailable: it is not there; the request comes again and finds all done.
        """
        answer: Answer = await self.submit(command, msgspec.structs.replace(call, key=None))
        if answer.status != _OK:
            message = "it is done, and could not be recorded yet"
            raise BankUnavailable(message)


_OF_CUSTOMER: Final = (ids.IdMalformed, CustomerNotFound)
_PATH: Final = {"customer_id": CustomerIdText}


def operations(
    *,
    submit: web.Submit,
    reads: web.Reads,
    ask: AskVault,
    record: Recorder,
    tokens: Tokens,
    held: Held,
) -> tuple[web.Operation, ...]:
    """List the operations on persons and cards.

    Args:
        submit: hands commands to the writer.
        reads: opens connections for queries.
        ask: asks the vault.
        record: has acts in the log before it returns.
        tokens: makes the token of where a request came from.
        held: customers on whom a legal hold is.
    """
    desk = _Desk(submit, reads, ask, record, RecordedReads(ask, record, tokens), held)
    return (*_person_operations(desk), *_card_operations(desk))


def _person_operations(desk: _Desk) -> tuple[web.Operation, ...]:
    common: tuple[type[Refusal], ...] = (*VAULT_REFUSALS, *web.SUBMIT_REFUSALS)
    return (
        web.Operation(
            method="PUT",
            path="/v1/customers/{customer_id}/person",
            name="put_person",
            summary="Keep personal data of a customer in the vault",
            tag=_TAG,
            scope="persons:write",
            handler=desk.put_person,
            answers={200: PersonSummary},
            path_types=_PATH,
            body=NewPerson,
            refusals=(
                *_OF_CUSTOMER,
                vault.errors.FieldUndeclared,
                vault.errors.FieldValueUnfit,
                vault.errors.PersonErased,
                *common,
            ),
            example=NewPerson(given_name="Ada", birth_date="1815-12-10", email="ada@example.org"),
        ),
        web.Operation(
            method="POST",
            path="/v1/customers/{customer_id}/person/read",
            name="read_person",
            summary="Read personal data of a customer for a purpose, which is recorded",
            tag=_TAG,
            scope="persons:read",
            handler=desk.read_person,
            answers={200: PersonView},
            path_types=_PATH,
            body=PersonRead,
            refusals=(*_OF_CUSTOMER, vault.errors.PersonNotFound, *common),
            example=PersonRead(("email",), "customer_care", "case:4711"),
        ),
        web.Operation(
            method="POST",
            path="/v1/persons/search",
            name="find_persons",
            summary="Find the customers who have a value, for a purpose, which is recorded",
            tag=_TAG,
            scope="persons:read",
            is_bank_wide=True,
            handler=desk.find_persons,
            answers={200: PersonMatches},
            body=PersonSearch,
            refusals=common,
            example=PersonSearch("email", "ada@example.org", "investigation", "case:4711"),
        ),
        web.Operation(
            method="DELETE",
            path="/v1/customers/{customer_id}/person",
            name="erase_person",
            summary="Destroy what is kept of a customer's person, for ever",
            tag=_TAG,
            scope="persons:erase",
            handler=desk.erase_person,
            answers={200: Erasure},
            path_types=_PATH,
            query=Erasing,
            refusals=(
                *_OF_CUSTOMER,
                vault.errors.ErasureNotExported,
                retention.errors.LegalHoldInForce,
                *common,
            ),
        ),
    )


def _card_operations(desk: _Desk) -> tuple[web.Operation, ...]:
    common: tuple[type[Refusal], ...] = (*VAULT_REFUSALS, *web.SUBMIT_REFUSALS)
    return (
        web.Operation(
            method="POST",
            path="/v1/cards",
            name="put_card",
            summary="Keep a card number in the vault",
            tag=_TAG,
            scope="cards:write",
            handler=desk.put_card,
            answers={201: CardKept},
            body=NewCard,
            refusals=(
                *_OF_CUSTOMER,
                vault.errors.CardNumberInvalid,
                vault.errors.CardTaken,
                vault.errors.PersonErased,
                vault.errors.PersonNotFound,
                *common,
            ),
            example=NewCard("4111111111111111", "2030-01"),
        ),
        web.Operation(
            method="GET",
            path="/v1/cards/{card_id}",
            name="get_card",
            summary="Show the first six and last four digits of a card, which is recorded",
            tag=_TAG,
            scope="cards:read",
            handler=desk.get_card,
            answers={200: CardView},
            path_types={"card_id": CardIdText},
            query=CardQuery,
            refusals=(
                ids.IdMalformed,
                vault.errors.CardNotFound,
                vault.errors.FieldUndeclared,
                vault.errors.VaultForbidden,
                *common,
            ),
        ),
    )
