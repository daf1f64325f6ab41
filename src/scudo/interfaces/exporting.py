"""All that is kept about one person, as one document: what Article 15 GDPR gives them.

It is told in the log before anything is read. The document is for the person: it says of each
payment what the customer may know of why, and of rules, alerts, screening and investigations
nothing, because the bank must not (Directive (EU) 2015/849 article 39).

Source:
    Regulation (EU) 2016/679 articles 15 and 20; without the names of who works for the bank:
    Court of Justice, C-579/21, paragraph 83.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo import decisions, identity, ledger, payments, vault
from scudo.fabric import Tokens, web
from scudo.governance import Act, Recorder, trail
from scudo.identity import AskVault, customers, persons
from scudo.kernel import MINOR_MAX, Prefix, Refusal, ids, micros, rfc3339

_TAG: Final = "persons"
_PURPOSE: Final = "privacy_request"
#: Of texts there may be many: this purpose reads more of them in a second.
_OF_TEXTS: Final = "statement"
#: How often, and how long apart, to wait for a turn at the vault.
_TURNS: Final = 10
_TURN_S: Final = 0.5
_OWN: Final = "own:request"
_PAGE: Final = 500
#: Documents that are made at the same time; each reads a few tables to their end.
_AT_ONCE: Final = 2
#: What was read for these a customer may know; of others it may not be told that they happened.
_TOLD_PURPOSES: Final = frozenset(
    {"customer_care", "notification", "payment_message", "privacy_request", "statement"}
)
_FIELDS: Final = tuple(
    name for name, field in vault.FIELDS.items() if field.data_class is vault.DataClass.PERSONAL
)
_NOT_KEPT: Final = ("consents", "contacts", "location history")
T = TypeVar("T")
_F = TypeVar("_F", bound=persons.WithFacts)


class ExportQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which request of the person this answers."""

    reason: persons.Reason


class ExportedCard(msgspec.Struct, frozen=True):
    """A card number that is kept, as far as anybody is shown it."""

    id: str
    first_six: str
    last_four: str


class ExportedAccount(msgspec.Struct, frozen=True):
    """An account with all that moved it, newest first."""

    account: ledger.routes.AccountView
    transactions: tuple[ledger.routes.TransactionView, ...]


class ExportedPayment(msgspec.Struct, frozen=True):
    """A payment, what was decided of it (a code, and in words), and the text that went with it."""

    payment: payments.routes.PaymentView
    decision: str
    decision_in_words: str
    text: str | None


class ExportedSession(msgspec.Struct, frozen=True):
    """A session that goes on, and the device that it is on, by its public key's thumbprint."""

    id: str
    began_at: str
    proven_at: str
    assurance: str
    country: int | None
    device: str
    device_bound_at: str | None


class ExportedAct(msgspec.Struct, frozen=True):
    """Something that was done with the person's data, without who of the bank did it."""

    at: str
    act: str
    purpose: str
    result: str


class DataExport(msgspec.Struct, frozen=True):
    """All that is kept about one person.

    Attributes:
        fields: what the vault keeps, by name.
        relationship_ended_at: null for who is a customer.
        nothing_is_kept_of: what a person may ask for, and this bank does not keep.
    """

    made_at: str
    customer: identity.routes.CustomerView
    relationship_ended_at: str | None
    fields: dict[str, str]
    cards: tuple[ExportedCard, ...]
    accounts: tuple[ExportedAccount, ...]
    payments: tuple[ExportedPayment, ...]
    credentials: tuple[str, ...]
    sessions: tuple[ExportedSession, ...]
    acts: tuple[ExportedAct, ...]
    nothing_is_kept_of: tuple[str, ...]


class Exporter:
    """Makes the document."""

    def __init__(  # noqa: PLR0913 - one parameter per port
        self,
        *,
        reads: web.Reads,
        ask: AskVault,
        record: Recorder,
        tokens: Tokens,
        office: customers.Office,
        relationships: identity.Relationships,
        clock: web.Clock,
    ) -> None:
        """Read from the bank's rooms.

        Args:
            reads: opens connections for queries.
            ask: asks the vault.
            record: has acts in the log before it returns.
            tokens: makes the token of where a request came from.
            office: knows sessions and credentials.
            relationships: knows who is no customer any more.
            clock: what time it is.
        """
        self._reads = reads
        self._recorded = persons.RecordedReads(ask, record, tokens)
        self._record = record
        self._tokens = tokens
        self._office = office
        self._relationships = relationships
        self._clock = clock
        self._room = asyncio.Semaphore(_AT_ONCE)

    # ---- operations

    async def export_person(self, call: web.Call) -> web.Reply:
        """Answer for whoever may ask about others.

        Raises:
            CustomerNotFound: there is no such customer, or not one that the client may see.
        """
        number = ids.parse(Prefix.CUSTOMER, call.path["customer_id"], field="customer_id")
        if call.client.customer not in {None, number}:
            message = "there is no such customer"
            raise identity.errors.CustomerNotFound(message, field="customer_id")
        reason = web.demand_reference(call.query.reason, field="reason")
        return web.Reply(200, await self._export(number, call, reason))

    async def export_own(self, call: web.Call) -> web.Reply:
        """Answer customers themselves, once they have proven who they are a short while ago.

        Raises:
            SessionOver: the session has ended.
            FreshProofNeeded: its proof is not good enough.
            CoolingOff: a recovery is young: it may be somebody else's.
        """
        session = await self._office.judge(call, customers.SessionAct.READ)
        now, terms = self._office.ports.now(), self._office.terms
        is_fresh = now - session.proven_at <= terms.fresh_us
        if not is_fresh or session.assurance < customers.Assurance.PASSWORD:
            message = "the last proof of who you are is not good enough for this"
            raise customers.errors.FreshProofNeeded(message)
        account = await self._office.account(session.customer)
        if account.cooling_until > now:
            message = "this waits while a recovery cools off"
            raise customers.errors.CoolingOff(message)
        return web.Reply(200, await self._export(session.customer, call, _OWN))

    async def _export(self, customer: int, call: web.Call, reason: str) -> DataExport:
        """Make the document, told in the log first.

        Raises:
            CustomerNotFound: there is no such customer.
        """
        async with self._reads() as connection:
            found = await identity.queries.find_customer(connection, customer)
        if found is None:
            message = "there is no such customer"
            raise identity.errors.CustomerNotFound(message, field="customer_id")
        network = None
        if call.arrival.network:
            (network,) = await self._tokens.tokens([("ip", call.arrival.network)])
        await self._record(
            (
                Act(
                    call.client.id,
                    call.client.kind,
                    "persons.export",
                    ids.show(Prefix.CUSTOMER, customer),
                    customer,
                    reason=f"{_PURPOSE}:{reason}",
                    network=network,
                    trace=call.trace_id,
                ),
            )
        )
        async with self._room:
            return await self._document(found, call, reason)

    async def _document(self, found: identity.Customer, call: web.Call, reason: str) -> DataExport:
        customer = found.id
        fields, cards = await self._of_vault(customer, call, reason)
        over = await self._office.find(self._relationships.register, customer)
        accounts = await self._accounts(customer)
        credentials, sessions = await self._sessions(customer)
        return DataExport(
            made_at=rfc3339(micros(self._clock())),
            customer=identity.routes.customer_view(found),
            relationship_ended_at=None if over is None else rfc3339(over.ended_at),
            fields=fields,
            cards=cards,
            accounts=accounts,
            payments=await self._payments(customer, accounts, call, reason),
            credentials=credentials,
            sessions=sessions,
            acts=await self._acts(customer),
            nothing_is_kept_of=_NOT_KEPT,
        )

    # ---- parts

    async def _of_vault(
        self, customer: int, call: web.Call, reason: str
    ) -> tuple[dict[str, str], tuple[ExportedCard, ...]]:
        """Fields and cards; the reads are in the log before they are given."""
        why = persons.why_of(call, _PURPOSE, reason)
        try:
            read = await self._read(vault.ReadFields(customer, _FIELDS, why), call)
            listed = await self._read(vault.ListCards(customer, why), call)
        except vault.errors.PersonNotFound:
            return {}, ()
        cards = tuple(
            ExportedCard(ids.show(Prefix.CARD_REFERENCE, c.card), c.first_six, c.last_four)
            for c in listed.cards
        )
        return read.values, cards

    async def _accounts(self, customer: int) -> tuple[ExportedAccount, ...]:
        found = await self._all(
            lambda connection, after: ledger.queries.list_accounts(
                connection, owner=customer, after=after, limit=_PAGE
            ),
            first=0,
            key=lambda account: account.id,
        )
        return tuple(
            [
                ExportedAccount(
                    ledger.routes.account_view(account), await self._transactions(account.id)
                )
                for account in found
            ]
        )

    async def _transactions(self, account: int) -> tuple[ledger.routes.TransactionView, ...]:
        found = await self._all(
            lambda connection, before: ledger.queries.list_account_entries(
                connection, account=account, before=before, limit=_PAGE
            ),
            first=MINOR_MAX,
            key=lambda entry: entry.version,
        )
        return tuple(map(ledger.routes.transaction_view, found))

    async def _payments(
        self, customer: int, accounts: Sequence[ExportedAccount], call: web.Call, reason: str
    ) -> tuple[ExportedPayment, ...]:
        numbers = [ids.parse(Prefix.ACCOUNT, one.account.id) for one in accounts]
        found = await self._all(
            lambda connection, before: payments.queries.list_payments(
                connection, accounts=numbers, before=before, limit=_PAGE
            ),
            first=ids.ID_MAX,
            key=lambda payment: payment.id,
        )
        exported = []
        for payment in found:
            text = None
            if payment.text is not None:
                why = persons.why_of(call, _OF_TEXTS, reason, correlation=payment.id)
                request = vault.ReadText(customer, payment.text, why)
                text = await self._text(request, call, ids.show(Prefix.PAYMENT, payment.id))
            view = payments.routes.payment_view(payment)
            words = decisions.public_words(decisions.Outcome(payment.outcome))
            exported.append(ExportedPayment(view, *words, text))
        return tuple(exported)

    async def _text(self, request: vault.ReadText, call: web.Call, thing: str) -> str | None:
        """The text of a payment; None if it is gone with the person."""
        try:
            return (await self._read(request, call, thing=thing)).text
        except vault.errors.TextNotFound:
            return None

    async def _read(
        self, request: vault.Request[_F], call: web.Call, *, thing: str | None = None
    ) -> _F:
        """Read what leaves facts, once there is a turn for it.

        Raises:
            VaultRefusal: the vault refused, or others read so much that there was no turn.
        """
        for _ in range(_TURNS):
            with contextlib.suppress(vault.VaultQuota):
                return await self._recorded.read(request, call, thing=thing)
            await asyncio.sleep(_TURN_S)
        return await self._recorded.read(request, call, thing=thing)

    async def _sessions(self, customer: int) -> tuple[tuple[str, ...], tuple[ExportedSession, ...]]:
        """By what the customer logs in, and the sessions that go on."""
        store = self._office.store
        account = await self._office.find(store.accounts, customer)
        if account is None:
            return (), ()
        credentials = ("passkey",) * len(account.passkeys)
        credentials += ("password",) * bool(account.password_digest)
        credentials += ("authenticator",) * account.has_totp
        credentials += ("recovery code",) * len(account.recovery)
        sessions = []
        for number in account.sessions:
            session = await self._office.find(store.sessions, number)
            assert session is not None, "an account's sessions are stored"
            device = await self._office.find(store.devices, session.device)
            sessions.append(
                ExportedSession(
                    ids.show(Prefix.SESSION, number),
                    rfc3339(session.began_at),
                    rfc3339(session.proven_at),
                    customers.routes.assurance_name(session.assurance),
                    session.country,
                    session.thumbprint,
                    None if device is None else rfc3339(device.bound_at),
                )
            )
        return credentials, tuple(sessions)

    async def _acts(self, customer: int) -> tuple[ExportedAct, ...]:
        found = await self._all(
            lambda connection, before: trail.find_acts(
                connection, trail.Search(whose=customer, before=before, limit=_PAGE)
            ),
            first=MINOR_MAX,
            key=lambda row: row[0],
        )
        told = []
        for row in found:
            at, act, result, reason = row[1], row[4], row[7], row[8]
            purpose = reason.partition(":")[0]
            if purpose in _TOLD_PURPOSES:
                told.append(ExportedAct(rfc3339(micros(at)), act, purpose, result))
        return tuple(told)

    async def _all(
        self,
        page: Callable[[AsyncConnection[TupleRow], int], Awaitable[Sequence[T]]],
        *,
        first: int,
        key: Callable[[T], int],
    ) -> list[T]:
        """Every row of a list, a page and a connection at a time: others read between them."""
        found: list[T] = []
        at = first
        while True:
            async with self._reads() as connection:
                rows = await page(connection, at)
            found.extend(rows)
            if len(rows) < _PAGE:
                return found
            at = key(rows[-1])


def operations(exporter: Exporter) -> tuple[web.Operation, ...]:
    """List the operations."""
    common: tuple[type[Refusal], ...] = (
        identity.errors.CustomerNotFound,
        *persons.VAULT_REFUSALS,
        *web.SUBMIT_REFUSALS,
    )
    path: dict[str, Any] = {"customer_id": persons.CustomerIdText}
    return (
        web.Operation(
            method="GET",
            path="/v1/customers/{customer_id}/export",
            name="export_person",
            summary="Show all that is kept about a person, to be handed to them",
            tag=_TAG,
            scope="persons:export",
            handler=exporter.export_person,
            answers={200: DataExport},
            path_types=path,
            query=ExportQuery,
            refusals=(ids.IdMalformed, web.errors.ReferenceUnfit, *common),
        ),
        web.Operation(
            method="GET",
            path="/v1/me/export",
            name="export_own",
            summary="Show customers all that is kept about them",
            tag=_TAG,
            scope=customers.routes.SELF,
            handler=exporter.export_own,
            answers={200: DataExport},
            refusals=(
                *customers.GUARD_REFUSALS,
                *customers.routes.SESSION_REFUSALS,
                *common,
            ),
        ),
    )
