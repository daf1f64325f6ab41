"""The table of all HTTP operations, put together from the rooms."""

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

from prometheus_client import CollectorRegistry
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

import scudo
from scudo import decisions, fabric, identity, ledger, payments
from scudo.bootstrap import CATALOGUE, Rooms
from scudo.decisions import FeatureState, Passages, Policy, load_access_policy, load_policy
from scudo.fabric import Answer, Command, Tokeniser, Tokens, web
from scudo.governance import Act, Recorder, callbacks, edge_limits, flags, retention, trail
from scudo.identity import AskVault, Clients, operators, partners, passkeys
from scudo.interfaces import exporting
from scudo.interfaces.http import Check, System, openapi_document
from scudo.kernel import micros

#: CloudEvents source of every event of this unit.
_SOURCE: Final = "urn:scudo:bank"
_TITLE: Final = "Scudo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What the operations of the rooms work with.

    Attributes:
        submit: hands commands to the writer.
        reads: connections for queries.
        writes: connections that may write the API's clients.
        clients: whose tokens are good.
        clock: what time it is.
        tokeniser: turns devices, cards and the like into tokens.
        vault: asks the vault for everything else.
        keep_text: has the vault keep the messages of payments.
        record: has acts in the log before it returns.
        policy_of: finds the policy that a decision names.
        callback_secrets: knows the shared secrets of inbound callbacks.
        callbacks: their keys and reactions.
        authority: the operators and their approvals.
        partner_tokens: gives partners their tokens.
        customers: serves customers themselves.
        flagged: what was approved for feature flags.
        flag_reader: evaluates them for requests.
        edge: what the edge accepts.
        lists: what rules ask.
        retention: rules for how long what is kept, and legal holds.
        relationships: who is no customer any more.
    """

    submit: web.Submit
    reads: web.Reads
    writes: web.Reads
    clients: Clients
    clock: web.Clock
    tokeniser: Tokens
    vault: AskVault
    keep_text: payments.routes.KeepText
    record: Recorder
    policy_of: Callable[[bytes], Policy]
    callback_secrets: callbacks.Secrets
    callbacks: callbacks.Callbacks
    authority: operators.Authority
    partner_tokens: partners.TokenDesk
    customers: identity.customers.Office
    flagged: flags.Flags
    flag_reader: flags.FlagReader
    edge: edge_limits.EdgeLimits
    lists: decisions.lists.Lists
    retention: retention.Retention
    relationships: identity.Relationships


def room_operations(ports: Ports) -> tuple[web.Operation, ...]:
    """List the operations of all rooms, the lowest room first."""
    submit, reads, clock = ports.submit, ports.reads, ports.clock
    listed = (
        *fabric.routes.operations(reads=reads, catalogue=CATALOGUE, source=_SOURCE),
        *_governance_operations(ports),
        *identity.routes.operations(
            submit=submit,
            reads=reads,
            writes=ports.writes,
            clients=ports.clients,
            clock=clock,
            ways=ports.authority.ways,
        ),
        *identity.persons.routes.operations(
            submit=submit,
            reads=reads,
            ask=ports.vault,
            record=ports.record,
            tokens=ports.tokeniser,
            held=lambda: ports.retention.held(micros(clock())),
        ),
        *_operator_operations(ports),
        *partners.routes.operations(submit=submit, reads=reads, tokens=ports.partner_tokens),
        *identity.customers.routes.operations(ports.customers, reader=ports.flag_reader),
        *ledger.routes.operations(
            submit=submit,
            reads=reads,
            clock=clock,
            owner_refusals=(identity.errors.CustomerNotFound, identity.errors.RelationshipOver),
        ),
        *decisions.routes.operations(reads=reads, policy_of=ports.policy_of),
        *decisions.lists.operations(lists=ports.lists, reads=reads, clock=clock),
        *payments.routes.operations(
            submit=submit,
            reads=reads,
            clock=clock,
            tokeniser=ports.tokeniser,
            guard=ports.customers.guard_payment,
            keep_text=ports.keep_text,
            recorded=identity.persons.RecordedReads(ports.vault, ports.record, ports.tokeniser),
        ),
        *exporting.operations(_exporter(ports)),
    )
    return tuple(_behind_the_door(operation) for operation in listed)


def _governance_operations(ports: Ports) -> tuple[web.Operation, ...]:
    return (
        *callbacks.operations(
            callbacks.CallbackDesk(
                callbacks=ports.callbacks,
                secrets=ports.callback_secrets,
                submit=ports.submit,
                record=ports.record,
                clock=ports.clock,
                tokeniser=ports.tokeniser,
            )
        ),
        *trail.operations(reads=ports.reads, record=ports.record),
        *flags.operations(flags=ports.flagged, reads=ports.reads, clock=ports.clock),
        *edge_limits.operations(limits=ports.edge, reads=ports.reads),
        *retention.operations(retention=ports.retention, clock=ports.clock),
    )


def _exporter(ports: Ports) -> exporting.Exporter:
    return exporting.Exporter(
        reads=ports.reads,
        ask=ports.vault,
        record=ports.record,
        tokens=ports.tokeniser,
        office=ports.customers,
        relationships=ports.relationships,
        clock=ports.clock,
    )


def _behind_the_door(operation: web.Operation) -> web.Operation:
    """An operation with what a known token may be refused with, wherever it is used."""
    if operation.scope is None:
        return operation
    refusals = (*operation.refusals, *partners.errors.DOOR_REFUSALS)
    return dataclasses.replace(operation, refusals=refusals)


def _operator_operations(ports: Ports) -> tuple[web.Operation, ...]:
    submit, authority = ports.submit, ports.authority

    def now() -> int:
        return micros(ports.clock())

    return (
        *operators.routes.operations(
            submit=submit, staff=authority.staff, now=now, tokens=ports.tokeniser
        ),
        *operators.overseeing.operations(submit=submit, reviews=authority.reviews, now=now),
        *operators.approving.operations(
            submit=submit, approved=authority.approvals, staff=authority.staff
        ),
    )


def describe(operations: tuple[web.Operation, ...]) -> dict[str, Any]:
    """Describe a whole table as OpenAPI."""
    return openapi_document(operations, title=_TITLE, version=scudo.__version__)


def describe_without_bank() -> dict[str, Any]:
    """Describe the table that every bank serves, without one: for clients and documents."""
    return describe(operations_without_bank())


def operations_without_bank() -> tuple[web.Operation, ...]:
    """List the operations that every bank serves, to be described and not called."""
    system = System(readiness=_no_checks, registry=CollectorRegistry(), asyncapi=b"{}")
    policy, access = load_policy(), load_access_policy()
    passages = Passages(access, FeatureState(access.features))
    rooms = Rooms(policy, FeatureState(policy.features), passages)
    office = _no_office()
    ports = Ports(
        submit=_no_writer,
        reads=_no_database,
        writes=_no_database,
        clients=Clients(),
        clock=lambda: datetime.now(UTC),
        tokeniser=Tokeniser(bytes(32)),
        vault=_no_vault,
        keep_text=payments.routes.keep_nothing,
        record=_no_record,
        policy_of=rooms.policy_of,
        callbacks=rooms.callbacks,
        callback_secrets=callbacks.HeldSecrets(bytes(32)),
        authority=rooms.authority,
        partner_tokens=partners.TokenDesk(
            doorkeeper=partners.Doorkeeper(
                rooms.partners,
                environment=partners.Environment.SANDBOX,
                clock=lambda: 0,
                note=lambda _act: None,
                proofs=office.proofs,
            ),
            submit=_no_writer,
            record=_no_record,
            audience=frozenset(),
            tokens=Tokeniser(bytes(32)),
        ),
        customers=office,
        flagged=rooms.flags,
        flag_reader=flags.FlagReader(flags.FlagProvider(rooms.flags)),
        edge=rooms.edge_limits,
        lists=rooms.lists,
        retention=rooms.retention,
        relationships=rooms.relationships,
    )
    return (*system.operations(), *room_operations(ports))


_ONLY_DESCRIBED: Final = "the table is described here, nothing of it is called"


def _no_office() -> identity.customers.Office:
    origin = "http://localhost:8420"
    ports = identity.customers.Ports(
        submit=_no_writer,
        tell=_nobody,
        record=_no_record,
        reads=_no_database,
        now=lambda: 0,
        persons=identity.customers.RememberedPersons(Tokeniser(bytes(32))),
        mailer=identity.mail.Mailer(_nobody),
        party=passkeys.RelyingParty("localhost", _TITLE, (origin,)),
        origins=(origin,),
    )
    keeper = identity.customers.CustomerKeeper(identity.Registry())
    return identity.customers.Office(keeper.store, ports)


def _nobody(_asked: object) -> NoReturn:
    raise AssertionError(_ONLY_DESCRIBED)


async def _no_checks() -> tuple[Check, ...]:
    return ()


def _no_writer(command: Command, call: web.Call) -> Awaitable[Answer]:
    del command, call
    raise AssertionError(_ONLY_DESCRIBED)


async def _no_vault(request: object) -> NoReturn:
    del request
    raise AssertionError(_ONLY_DESCRIBED)


async def _no_record(acts: Sequence[Act]) -> None:
    del acts
    raise AssertionError(_ONLY_DESCRIBED)


def _no_database() -> AbstractAsyncContextManager[AsyncConnection[TupleRow]]:
    raise AssertionError(_ONLY_DESCRIBED)
