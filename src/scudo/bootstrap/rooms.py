"""The rooms put together as the one application that the conveyor carries to."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo import decisions, governance, identity, ledger, payments, vault
from scudo.bootstrap.changing import APPROVING, Changed
from scudo.decisions import PASSAGES, FeatureState, Gatekeeper, Passages, Policy, Rescore
from scudo.fabric import (
    Answer,
    Command,
    Entry,
    Event,
    EventCatalogue,
    Keeper,
    Lookup,
    Records,
    Reference,
    Store,
)
from scudo.governance import Mandates, RecordActs, anomalies, record_acts
from scudo.identity import (
    RELATIONSHIP_KIND,
    EndRelationship,
    IdentityStore,
    RegisterCustomer,
    Registry,
    Relationships,
    operators,
    passkeys,
)
from scudo.kernel import SECOND_US, Refusal
from scudo.ledger import (
    Book,
    CloseAccount,
    ExpireHold,
    Ledger,
    LedgerStore,
    Movement,
    OpenAccount,
    PostBulk,
    PostJournal,
)
from scudo.payments import (
    ON_PAYMENT,
    REFUNDS_KIND,
    Acts,
    AnswerChallenge,
    AuthoriseCard,
    CancelPayment,
    Capture,
    ConfirmPayment,
    ExpirePayment,
    Overrides,
    Pay,
    Payments,
    PaymentStore,
    PayWithText,
    RaiseAuthorisation,
    Refunding,
    ReleasePayment,
    Reverse,
)

#: Rooms that have a schema, in the order in which they are migrated and locked.
ROOMS: Final = (
    "fabric",
    "vault",
    "governance",
    "identity",
    "ledger",
    "decisions",
    "payments",
)


def _events(*modules: ModuleType) -> Iterable[type[Event]]:
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Event) and value is not Event:
                yield value


#: So many accounts and customers are in memory from the start; the others come when needed.
WARM: Final = 200_000
#: What expires within so long is in memory, ready to be carried out on time.
_SOON_US: Final = 10 * SECOND_US
#: What expires is looked up for so long at once, but no more of each kind than this; after a
#: long stop the rest comes when that is done.
_WINDOW_US: Final = 3_600 * SECOND_US
_EXPIRING_MAX: Final = 256
#: Every event of the bank.
CATALOGUE: Final = EventCatalogue(
    set(
        _events(
            vault.events,
            governance.events,
            identity.events,
            identity.partners.events,
            identity.customers.events,
            identity.persons.events,
            governance.approvals.events,
            governance.flags.events,
            governance.edge_limits.events,
            governance.retention.events,
            operators.events,
            ledger.events,
            decisions.events,
            payments.events,
        )
    )
)


@dataclass(slots=True)
class _References:
    """What the commands of a batch refer to."""

    accounts: set[int] = field(default_factory=set)
    holds: set[int] = field(default_factory=set)
    payments: set[int] = field(default_factory=set)
    customers: set[int] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    owners: set[int] = field(default_factory=set)

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(
            self.accounts
            or self.holds
            or self.payments
            or self.customers
            or self.names
            or self.owners
        )

    def collect(self, command: Command) -> None:  # noqa: C901, PLR0912 - one case per kind
        """Add what one command refers to."""
        match command:
            case AuthoriseCard():
                self.accounts.add(command.account)
                self.accounts.add(command.merchant_account)
            case Pay():
                self.accounts.update((command.debit, command.credit))
            case PostJournal():
                for movement in command.movements:
                    self._collect_movement(movement)
            case PostBulk():
                for group in command.groups:
                    for movement in group:
                        self._collect_movement(movement)
            case OpenAccount():
                self.customers.add(command.owner)
            case EndRelationship():
                self.customers.add(command.customer)
                self.owners.add(command.customer)
            case CloseAccount():
                self.accounts.add(command.account)
            case RegisterCustomer():
                self.names.add(command.reference)
            case ExpireHold():
                self.holds.add(command.hold)
            case _ if isinstance(command, ON_PAYMENT):
                self.payments.add(command.payment)
            case _:
                # Rescore and the like refer to nothing that must be loaded.
                pass

    def _collect_movement(self, movement: Movement) -> None:
        self.accounts.update((movement.debit, movement.credit))
        if movement.hold > 0:
            self.holds.add(movement.hold)


@dataclass(slots=True)
class _Expiring:
    """What was found to expire up to a time: ids and times, the earliest first."""

    through: int
    payments: list[tuple[int, int]] = field(default_factory=list)
    holds: list[tuple[int, int]] = field(default_factory=list)


class Rooms:
    """The rooms as the conveyor sees them: one application over one state in memory."""

    def __init__(
        self,
        policy: Policy,
        state: FeatureState,
        passages: Passages,
        *,
        party: passkeys.RelyingParty = passkeys.LOCAL_PARTY,
    ) -> None:
        """Put the rooms together on an empty cache and rebuilt states of features.

        Args:
            policy: what decides on payments.
            state: features of payments.
            passages: the gates of everything else; keepers are given them.
            party: whom passkeys are made for.
        """
        self.book = Book()
        self.registry = Registry()
        self.gatekeeper = Gatekeeper(policy, state)
        self.passages = passages
        self.lists = decisions.lists.Lists()
        self.payments = Payments(
            book=self.book,
            registry=self.registry,
            gatekeeper=self.gatekeeper,
            lists=self.lists,
        )
        self.customers = identity.customers.CustomerKeeper(self.registry, gates=passages)
        self._acts = Acts(self.payments, self.customers.step_ups)
        self.refunding = Refunding(self.payments)
        self.mandates = Mandates()
        self.partners = identity.partners.Partners()
        self._ledger = Ledger(self.book, self.mandates)
        self._identity_store = IdentityStore(self.registry)
        self._ledger_store = LedgerStore(self.book)
        self._payment_store = PaymentStore(self.payments)
        self.callbacks = governance.callbacks.Callbacks()
        self.controls = governance.controls.Controls()
        self.vault_keys = vault.KeyKeeper()
        self.flags = governance.flags.Flags()
        self.edge_limits = governance.edge_limits.EdgeLimits()
        self.retention = governance.retention.Retention(is_customer=self.registry.is_known)
        self.relationships = Relationships(self.registry, self.book.has_open_account)
        changed = Changed(
            mandates=self.mandates,
            partners=self.partners,
            overrides=Overrides(self.payments, self._acts.release),
            refunding=self.refunding,
            roots=governance.Roots(self.vault_keys),
            others=(self.flags, self.edge_limits, self.lists, self.retention),
        )
        self.authority = changed.authority(party=party, gates=passages)
        self._keepers = self._hire()
        self._records = Records(r for keeper in self._keepers for r in keeper.registers)
        own = (self._identity_store, self._ledger_store, self._payment_store)
        self._stores = (self._records, *own)
        self._prepared = _References()
        self._decided = _References()
        self.known_until = 0
        self._is_behind = False
        self._handlers = self._work()
        for keeper in self._keepers:
            self._handlers.update(keeper.handlers)
        changed.guard(self.authority, self._handlers)
        changed.notice(self.authority, self._handlers)

    def _work(self) -> dict[type[Command], Callable[[Any, Entry], Answer]]:
        """What works on the commands of rooms whose state is tables."""
        acts = self._acts
        return {
            RegisterCustomer: self.registry.register,
            OpenAccount: self._open_account,
            CloseAccount: self._ledger.close_account,
            PostJournal: self._ledger.post_journal,
            PostBulk: self._ledger.post_bulk,
            ExpireHold: self._ledger.expire_hold,
            AuthoriseCard: self.payments.authorise_card,
            Pay: self.payments.pay,
            PayWithText: self.payments.pay,
            Capture: acts.capture,
            Reverse: acts.reverse,
            RaiseAuthorisation: acts.raise_authorisation,
            ReleasePayment: acts.release,
            CancelPayment: acts.cancel,
            AnswerChallenge: acts.answer_challenge,
            ConfirmPayment: acts.confirm,
            ExpirePayment: acts.expire,
            Rescore: self._rescore,
            RecordActs: record_acts,
            anomalies.TellAnomaly: anomalies.tell_anomaly,
        }

    def _hire(self) -> tuple[Keeper, ...]:
        """The parts of rooms whose state is records."""
        mine = (self.mandates, self.callbacks, self.controls, self.vault_keys, self.retention)
        facts = identity.PersonFacts(self.relationships, self.customers)
        own = (self.customers, self.partners, self.relationships, facts)
        set_by_two = (self.flags, self.edge_limits, self.refunding, self.lists)
        return (*mine, *own, *set_by_two, *self.authority.keepers)

    def policy_of(self, digest: bytes) -> Policy:
        """The policy that a decision names; that for payments if it names none of the two."""
        passages = self.passages.policy
        return passages if digest == passages.hash else self.gatekeeper.policy

    @property
    def stores(self) -> Sequence[Store]:
        """Writes of the rooms, in lock order."""
        return self._stores

    @property
    def record_types(self) -> tuple[type[Any], ...]:
        """The structs of all kinds of records."""
        return tuple(register.type for register in self._records.registers.values())

    async def load(self, connection: AsyncConnection[TupleRow]) -> None:
        """Load what must be in memory: what is the bank's own."""
        # It is found by an index, whatever statistics say of a table that has just grown.
        await connection.execute("SET enable_seqscan = off")
        await self._ledger_store.load_house(connection)
        await self._records.load(connection)

    async def warm(self, connection: AsyncConnection[TupleRow]) -> None:
        """Load the newest accounts and customers, so that first payments need not wait for them."""
        await self._ledger_store.load_newest(connection, limit=WARM)
        await self._identity_store.load_newest(connection, limit=WARM)

    def prepare(self, lookup: Lookup, commands: Sequence[Command], *, until: int) -> Iterator[None]:
        """Ask for what these commands refer to, and what expires soon, and memory does not hold."""
        # What was prepared before has not been decided yet, and finds in memory what it found.
        earlier, decided = self._prepared, self._decided
        self._ledger_store.holds.tidy(needed=earlier.holds, seen=decided.holds)
        self._payment_store.waiting.tidy(needed=earlier.payments, seen=decided.payments)
        self._decided = earlier
        self._records.prepare()
        wanted = prepared = self._prepared = _References()
        find_approval = self.authority.approvals.register.get
        for command in commands:
            wanted.collect(command)
            if isinstance(command, APPROVING):
                wanted.payments.update(self.authority.approvals.concerns(command))
            wanted.customers.update(self.retention.customers_of(command, find_approval))
        expiring, known_until = self._ask_expiring(lookup, until), self.known_until
        # A few times: a payment has a command and a hold, a hold its accounts, these an owner.
        while self._records.ask(lookup, self._recorded(commands)) or wanted or expiring is not None:
            self._payment_store.ask(lookup, wanted.payments)
            self._ledger_store.ask_holds(lookup, wanted.holds)
            self._ledger_store.ask_accounts(lookup, wanted.accounts)
            self._ledger_store.ask_accounts_of(lookup, wanted.owners)
            self._identity_store.ask(lookup, numbers=wanted.customers, references=wanted.names)
            prepared.holds |= wanted.holds
            prepared.payments |= wanted.payments
            yield
            wanted = self._behind(wanted)
            if expiring is not None:
                wanted.payments.update(number for number, _ in expiring.payments)
                wanted.holds.update(number for number, _ in expiring.holds)
                known_until, expiring = self._keep_expiring(expiring), None
        self.known_until = known_until

    def _recorded(self, commands: Sequence[Command]) -> Iterator[Reference]:
        """The records that commands refer to, as far as memory can tell."""
        for keeper in self._keepers:
            for command in commands:
                if type(command) in keeper.handlers:
                    yield from keeper.refers_to(command)
        for command in commands:
            if isinstance(command, ConfirmPayment):
                yield from self.customers.step_up(command.step_up)
            elif isinstance(command, APPROVING):
                for number in self.authority.approvals.concerns(command):
                    yield REFUNDS_KIND, number
            elif isinstance(command, OpenAccount):
                yield RELATIONSHIP_KIND, command.owner

    def _ask_expiring(self, lookup: Lookup, until: int) -> "_Expiring | None":
        """Ask for what expires next, unless all that does soon after `until` is known."""
        known = self.known_until
        if until + _SOON_US <= known:
            return None
        if self._is_behind and until > known and self.has_due(known):
            # What was loaded is done first, so that memory does not fill after a long stop.
            return None
        expiring = _Expiring(until + _WINDOW_US)
        for residence in (self._payment_store.waiting, self._ledger_store.holds):
            residence.reach_to(expiring.through)
        window = {"after": known, "through": expiring.through, "limit": _EXPIRING_MAX}
        self._payment_store.ask_expiring(lookup, **window, take=expiring.payments.extend)
        self._ledger_store.ask_expiring(lookup, **window, take=expiring.holds.extend)
        return expiring

    def _keep_expiring(self, expiring: "_Expiring") -> int:
        """Keep the deadlines that were found; up to what time nothing is missing."""
        cut = [
            found[-1][1]
            for found in (expiring.payments, expiring.holds)
            if len(found) >= _EXPIRING_MAX
        ]
        self._is_behind, known_until = bool(cut), min(cut, default=expiring.through)
        self._payment_store.waiting.found(expiring.payments, known_until=known_until)
        self._ledger_store.holds.found(expiring.holds, known_until=known_until)
        return known_until

    def _behind(self, found: _References) -> _References:
        """What those refer to that have been found."""
        behind = _References()
        for number in found.payments:
            behind.payments.update(self.refunding.orders_of(number))
            payment = self.payments.payments.get(number)
            if payment is not None:
                behind.accounts.update((payment.debit_account, payment.credit_account))
                if payment.hold is not None:
                    behind.holds.add(payment.hold)
        for number in found.holds:
            hold = self.book.holds.get(number)
            if hold is not None:
                behind.accounts.update(hold.sides)
        for number in found.accounts:
            account = self.book.accounts.get(number)
            if account is not None and account.owner:
                behind.customers.add(account.owner)
        return behind

    def apply(self, command: Command, entry: Entry) -> Answer:
        """Work on one command in the room that it is for."""
        return self._handlers[type(command)](command, entry)

    def _rescore(self, command: Rescore, entry: Entry) -> Answer:
        if command.event.gate in PASSAGES:
            return self.passages.rescore(command, entry)
        return self.gatekeeper.rescore(command, entry)

    def _open_account(self, command: OpenAccount, entry: Entry) -> Answer:
        self.registry.customer(command.owner)
        self.relationships.demand(command.owner)
        return self._ledger.open_account(command, entry)

    def refuse(self, command: Command, refusal: Refusal, entry: Entry) -> None:
        """Record a refusal where it concerns money."""
        if isinstance(command, (PostJournal, PostBulk)):
            self._ledger.refuse_journal(refusal, entry)
        elif isinstance(command, (AuthoriseCard, Pay)):
            self.payments.refuse(entry, entry.position, refusal)
        elif isinstance(command, ON_PAYMENT):
            self.payments.refuse(entry, command.payment, refusal)

    def has_due(self, now: int) -> bool:
        """Whether time has made something due."""
        return self.due(now) is not None

    def due(self, now: int) -> Command | None:
        """The next expiry: of a payment with its hold, or of a hold that stands alone."""
        payment = self.payments.next_expiry(now)
        if payment is not None:
            return ExpirePayment(payment.id)
        hold = self.book.next_expiry(now)
        return None if hold is None else ExpireHold(hold.id)

    def begin(self) -> None:
        """A batch begins."""
        self.gatekeeper.state.begin()
        self.passages.state.begin()
        for store in self._stores:
            store.begin()

    def hand_over(self) -> None:
        """The newest batch goes to the database; another may begin on top of it."""
        for store in self._stores:
            store.hand_over()

    def committed(self) -> None:
        """The oldest batch is in the database."""
        self.gatekeeper.state.commit()
        self.passages.state.commit()
        for store in self._stores:
            store.committed()

    def aborted(self) -> None:
        """The newest batch was undone."""
        self.gatekeeper.state.abort()
        self.passages.state.abort()
        for store in self._stores:
            store.aborted()

    async def reload(self, connection: AsyncConnection[TupleRow]) -> None:
        """Drop every cache of stored state, and load again what must be in memory."""
        for store in self._stores:
            store.forget()
        self.known_until = 0
        await self.load(connection)
