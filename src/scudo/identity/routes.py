"""HTTP operations of the identity room: customers, and clients of the API."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from scudo.fabric import web
from scudo.governance import approvals
from scudo.identity.clients import ISSUE, ClientChange, ClientName
from scudo.identity.commands import CustomerBody, RegisterCustomer
from scudo.identity.errors import (
    AccountsOpen,
    ClientNotFound,
    CustomerNotFound,
    CustomerReferenceTaken,
    RelationshipOver,
    ScopeUnknown,
)
from scudo.identity.model import Customer, CustomerKind
from scudo.identity.queries import find_customer, list_customers
from scudo.identity.relationships import EndRelationship, RelationshipBody
from scudo.identity.store import Clients, issue_token, revoke_token
from scudo.kernel import Prefix, ids, rfc3339

_TAG: Final = "identity"
_CURSOR: Final = "c"
_FIRST_REFUSAL: Final = 400

ApprovalIdText = Annotated[str, web.id_text(Prefix.APPROVAL)]
CustomerIdText = Annotated[str, web.id_text(Prefix.CUSTOMER)]
NewReference = Annotated[str, web.reference_text(shortest=1, longest=64)]
#: What is looked up may be older than what is allowed today.
Reference = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
#: ISO 3166-1 numeric code.
Country = Annotated[int, msgspec.Meta(ge=1, le=999)]
Kind = Literal["person", "business"]


class NewCustomer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A customer to register; `reference` is a code of yours, and no personal data."""

    reference: NewReference
    kind: Kind
    country: Country | None = None


class Ending(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a relationship ends: a code, because it stands in the log for ever."""

    reason_code: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,47}\Z")]


class CustomerQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which customers."""

    reference: Reference | None = None
    cursor: web.CursorText | None = None
    limit: web.PageLimit = 50


class CustomerView(msgspec.Struct, frozen=True):
    """A customer."""

    id: CustomerIdText
    reference: str
    kind: Kind
    country: int | None
    registered_at: str


class CustomerPage(msgspec.Struct, frozen=True):
    """Customers, oldest first."""

    items: tuple[CustomerView, ...]
    next_cursor: str | None


class NewClient(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A client of the API; with `customer_id` it sees that customer's objects only.

    Operators name the approval by which two of them want it.
    """

    name: ClientName
    scopes: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=32)]
    customer_id: CustomerIdText | None = None
    approval_id: ApprovalIdText | None = None


class ClientToken(msgspec.Struct, frozen=True):
    """A client and its token, which is shown this once."""

    id: str
    name: str
    token: str


@dataclass(frozen=True, slots=True)
class _Desk:
    submit: web.Submit
    reads: web.Reads
    writes: web.Reads
    clients: Clients
    clock: web.Clock
    ways: approvals.OwnersWays

    async def register_customer(self, call: web.Call) -> web.Reply:
        body: NewCustomer = call.body
        kind = CustomerKind[body.kind.upper()]
        reference = web.demand_reference(body.reference, field="reference")
        return await web.submitted(
            self.submit, RegisterCustomer(reference, kind, body.country), call
        )

    async def get_customer(self, call: web.Call) -> web.Reply:
        number = ids.parse(Prefix.CUSTOMER, call.path["customer_id"], field="customer_id")
        async with self.reads() as connection:
            customer = await find_customer(connection, number)
        if customer is None or call.client.customer not in {None, number}:
            message = "there is no such customer"
            raise CustomerNotFound(message, field="customer_id")
        return web.Reply(200, customer_view(customer))

    async def end_relationship(self, call: web.Call) -> web.Reply:
        number = ids.parse(Prefix.CUSTOMER, call.path["customer_id"], field="customer_id")
        if call.client.customer not in {None, number}:
            message = "there is no such customer"
            raise CustomerNotFound(message, field="customer_id")
        command = EndRelationship(number, call.body.reason_code)
        return await web.submitted(self.submit, command, call)

    async def list_customers(self, call: web.Call) -> web.Reply:
        query: CustomerQuery = call.query
        after, limit = 0, query.limit
        if query.cursor is not None:
            (after,) = web.decode_cursor(_CURSOR, query.cursor, count=1)
        own = call.client.customer
        if own is not None:
            after, limit = own - 1, 1
        async with self.reads() as connection:
            customers = await list_customers(
                connection, after=after, limit=limit, reference=query.reference
            )
        shown = tuple(customer_view(c) for c in customers if own in {None, c.id})
        is_full = len(customers) == limit and own is None
        more = web.encode_cursor(_CURSOR, customers[-1].id) if is_full else None
        return web.Reply(200, CustomerPage(shown, more))

    async def issue_client(self, call: web.Call) -> web.Reply:
        body: NewClient = call.body
        customer = None
        if body.customer_id is not None:
            customer = ids.parse(Prefix.CUSTOMER, body.customer_id, field="customer_id")
        if body.approval_id is None:
            self._demand_alone(call, body)
        async with self.writes() as connection:
            if customer is not None and await find_customer(connection, customer) is None:
                message = "there is no such customer"
                raise CustomerNotFound(message, field="customer_id")
            if body.approval_id is not None:
                used = await self._use_approval(call, body, body.approval_id)
                if used.status >= _FIRST_REFUSAL:
                    return used
            number, token = await issue_token(
                connection,
                name=body.name,
                scopes=body.scopes,
                customer=customer,
                now=self.clock(),
            )
            await self.clients.refresh(connection)
        return web.Reply(201, ClientToken(ids.show(Prefix.CLIENT, number), body.name, token))

    def _demand_alone(self, call: web.Call, body: NewClient) -> None:
        """Refuse what a client may not give, and an operator does not do alone.

        Raises:
            SecondPersonNeeded: two people decide on clients by now.
            ScopeMissing: the client lacks what it would give.
        """
        self.ways.demand_open(ISSUE)
        beyond = sorted(set(body.scopes) - call.client.scopes)
        if beyond:
            message = f"a client may not give the scope {beyond[0][:64]}, which it lacks"
            raise web.errors.ScopeMissing(message, field="scopes")

    async def _use_approval(self, call: web.Call, body: NewClient, approval: str) -> web.Reply:
        number = ids.parse(Prefix.APPROVAL, approval, field="approval_id")
        sent = {"name": body.name, "scopes": body.scopes, "customer_id": body.customer_id}
        change = approvals.canonical(msgspec.convert(sent, ClientChange))
        return await web.submitted(self.submit, approvals.UseApproval(number, ISSUE, change), call)

    async def revoke_client(self, call: web.Call) -> web.Reply:
        async with self.writes() as connection:
            name = call.path["client_name"]
            was_there = await revoke_token(connection, name=name, now=self.clock())
            await self.clients.refresh(connection)
        if not was_there:
            message = "no client of this name has a token"
            raise ClientNotFound(message, field="client_name")
        return web.Reply(204)


def customer_view(customer: Customer) -> CustomerView:
    """Show a customer."""
    return CustomerView(
        id=ids.show(Prefix.CUSTOMER, customer.id),
        reference=customer.reference,
        kind="person" if customer.kind == CustomerKind.PERSON else "business",
        country=customer.country,
        registered_at=rfc3339(customer.registered_at),
    )


def operations(
    *,
    submit: web.Submit,
    reads: web.Reads,
    writes: web.Reads,
    clients: Clients,
    clock: web.Clock,
    ways: approvals.OwnersWays,
) -> tuple[web.Operation, ...]:
    """List the room's operations; `writes` opens connections that may write clients."""
    desk = _Desk(submit, reads, writes, clients, clock, ways)
    return (*_customer_operations(desk), *_client_operations(desk))


def _customer_operations(desk: _Desk) -> tuple[web.Operation, ...]:
    return (
        web.Operation(
            method="POST",
            path="/v1/customers",
            name="register_customer",
            summary="Register a customer",
            tag=_TAG,
            scope="customers:write",
            is_bank_wide=True,
            handler=desk.register_customer,
            answers={201: CustomerBody},
            body=NewCustomer,
            refusals=(CustomerReferenceTaken, web.errors.ReferenceUnfit, *web.SUBMIT_REFUSALS),
            example=NewCustomer("customer-4711", "person", 756),
        ),
        web.Operation(
            method="GET",
            path="/v1/customers",
            name="list_customers",
            summary="List customers, oldest first",
            tag=_TAG,
            scope="customers:read",
            handler=desk.list_customers,
            answers={200: CustomerPage},
            query=CustomerQuery,
            refusals=(web.errors.CursorMalformed, *web.READ_REFUSALS),
        ),
        web.Operation(
            method="GET",
            path="/v1/customers/{customer_id}",
            name="get_customer",
            summary="Show a customer",
            tag=_TAG,
            scope="customers:read",
            handler=desk.get_customer,
            answers={200: CustomerView},
            path_types={"customer_id": CustomerIdText},
            refusals=(ids.IdMalformed, CustomerNotFound, *web.READ_REFUSALS),
        ),
        web.Operation(
            method="POST",
            path="/v1/customers/{customer_id}/ending",
            name="end_relationship",
            summary="End the relationship with a customer whose accounts are closed",
            tag=_TAG,
            scope="customers:write",
            handler=desk.end_relationship,
            answers={200: RelationshipBody},
            path_types={"customer_id": CustomerIdText},
            body=Ending,
            refusals=(
                ids.IdMalformed,
                CustomerNotFound,
                RelationshipOver,
                AccountsOpen,
                *web.SUBMIT_REFUSALS,
            ),
            example=Ending("by_customer"),
        ),
    )


def _client_operations(desk: _Desk) -> tuple[web.Operation, ...]:
    return (
        web.Operation(
            method="POST",
            path="/v1/clients",
            name="issue_client",
            summary="Give a client a new token in place of any before",
            tag=_TAG,
            scope="clients:write",
            is_bank_wide=True,
            handler=desk.issue_client,
            answers={201: ClientToken},
            body=NewClient,
            refusals=(
                ids.IdMalformed,
                CustomerNotFound,
                ScopeUnknown,
                approvals.errors.ApprovalNotFound,
                approvals.errors.ApprovalUnfit,
                approvals.errors.SecondPersonNeeded,
                *web.SUBMIT_REFUSALS,
            ),
            example=NewClient("till-1", ("payments:write", "payments:read")),
        ),
        web.Operation(
            method="DELETE",
            path="/v1/clients/{client_name}",
            name="revoke_client",
            summary="End a client's token",
            tag=_TAG,
            scope="clients:write",
            is_bank_wide=True,
            handler=desk.revoke_client,
            answers={204: None},
            path_types={"client_name": ClientName},
            refusals=(ClientNotFound, *web.READ_REFUSALS),
        ),
    )
