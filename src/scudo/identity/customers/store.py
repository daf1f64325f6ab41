"""The customers' records as the one writer sees them, and the steps that several acts share."""

from typing import Any, Final, TypeVar

import msgspec

from scudo.fabric import Answer, Entry, Event, Register, refused
from scudo.governance import Asked, Gates, Passage, Ruling
from scudo.identity.commands import Registry
from scudo.identity.customers import events
from scudo.identity.customers.commands import Bearing
from scudo.identity.customers.errors import LogInCodeNeeded, LogInDeclined, SessionOver
from scudo.identity.customers.logic import device_number
from scudo.identity.customers.model import (
    ACCOUNT_KIND,
    ADDRESS_KIND,
    CODE_KIND,
    DEVICE_KIND,
    NOBODY,
    PASSKEY_KIND,
    REFRESH_KIND,
    SESSION_KIND,
    SESSIONS_MAX,
    STEP_UP_KIND,
    Account,
    Address,
    Assurance,
    Device,
    MailedCode,
    Purpose,
    RefreshToken,
    Session,
    StepUp,
    StoredPasskey,
    Terms,
)
from scudo.kernel import Refusal

T = TypeVar("T", bound=msgspec.Struct)
_encode: Final = msgspec.json.Encoder().encode
#: Rulings at which a person is let through; what is to be reviewed is reviewed afterwards.
_OPEN: Final = frozenset({Ruling.ALLOW, Ruling.REVIEW})


class Begun(msgspec.Struct, frozen=True):
    """What a command that begins or goes on with a session is answered, inside the bank."""

    customer: int
    session: int
    is_new_device: bool = False


class CustomerStore:
    """Registers of all kinds of the customers' records.

    Attributes:
        gates: decide on sign-ups, log-ins, new devices and recoveries.
    """

    def __init__(self, registry: Registry, gates: Gates, terms: Terms) -> None:
        """Keep records of the customers of one registry."""
        self.registry = registry
        self.terms = terms
        self.gates = gates
        self.addresses = Register(ADDRESS_KIND, Address, resident=False)
        self.accounts = Register(ACCOUNT_KIND, Account, resident=False)
        self.passkeys = Register(PASSKEY_KIND, StoredPasskey, resident=False)
        self.codes = Register(CODE_KIND, MailedCode, resident=False)
        self.devices = Register(DEVICE_KIND, Device, resident=False)
        self.sessions = Register(SESSION_KIND, Session, resident=False, changed=self._changed)
        self.refreshes = Register(REFRESH_KIND, RefreshToken, resident=False)
        self.step_ups = Register(STEP_UP_KIND, StepUp, resident=False)
        #: Told the number of each session that ends; what its tokens could do ends with it.
        self.session_ended: Any = lambda _number: None

    @property
    def registers(self) -> tuple[Register[Any], ...]:
        """All of them."""
        return (
            self.addresses,
            self.accounts,
            self.passkeys,
            self.codes,
            self.devices,
            self.sessions,
            self.refreshes,
            self.step_ups,
        )

    def _changed(self, number: int, _before: Session | None, after: Session | None) -> None:
        if after is not None and after.ended_at:
            self.session_ended(number)

    # ---- steps that several acts share

    def live_session(self, number: int, entry: Entry) -> Session:
        """Find a session that is not over.

        Raises:
            SessionOver: if it is, or never was.
        """
        session = self.sessions.get(number)
        if session is None or self.is_over(session, entry.ordered_at):
            message = "this session has ended"
            raise SessionOver(message)
        return session

    def is_over(self, session: Session, now: int) -> bool:
        """Whether a session has ended, by itself or by somebody."""
        idle = now - (session.refreshed_at or session.began_at)
        lasts = now - session.began_at
        return bool(
            session.ended_at or idle > self.terms.refresh_us or lasts > self.terms.session_us
        )

    def customer_at(self, address: int) -> int:
        """Whose an address is; `NOBODY` if nobody's."""
        known = self.addresses.get(address)
        return NOBODY if known is None else known.customer

    def account(self, customer: int) -> Account:
        """Find a customer's account, which whoever has a session has."""
        account = self.accounts.get(customer)
        assert account is not None, "a customer with a session has an account"
        return account

    def change_account(self, entry: Entry, customer: int, **changes: Any) -> Account:  # noqa: ANN401 - members of Account
        """Write members of an account."""
        account = msgspec.structs.replace(self.account(customer), **changes)
        self.accounts.put(entry, customer, account)
        return account

    def change(self, entry: Entry, register: Register[T], number: int, **changes: Any) -> T:  # noqa: ANN401 - members of the thing
        """Write members of a thing that is in memory."""
        thing = register.get(number)
        assert thing is not None, "what is changed was found before"
        changed = msgspec.structs.replace(thing, **changes)
        register.put(entry, number, changed)
        return changed

    def end_session(self, entry: Entry, number: int, *, code: str) -> None:
        """End a session that memory holds; nothing if it is over already."""
        session = self.sessions.get(number)
        if session is None or session.ended_at:
            return
        self.change(entry, self.sessions, number, ended_at=entry.ordered_at, end_code=code)
        entry.emit(events.SessionEnded(number, session.customer, code))
        account = self.account(session.customer)
        left = tuple(n for n in account.sessions if n != number)
        self.change_account(entry, session.customer, sessions=left)

    def take_back(self, entry: Entry, customer: int) -> None:
        """End every session and credential of a customer who is one no more.

        The account stays and opens nothing; its address is nobody's, so that the person can
        become a customer again, another one.
        """
        account = self.accounts.get(customer)
        if account is None:
            return
        for number in account.sessions:
            self.end_session(entry, number, code="forgotten")
        for number in account.passkeys:
            self.change(entry, self.passkeys, number, removed_at=entry.ordered_at)
        known = self.addresses.get(account.address)
        if known is not None and known.customer == customer:
            self.addresses.put(entry, account.address, Address(NOBODY))
        self.accounts.put(entry, customer, Account(account.address))

    def begin_session(
        self, entry: Entry, customer: int, bearing: Bearing, assurance: Assurance
    ) -> Begun:
        """Begin a session of a customer who has passed the gates; the oldest gives way."""
        device = device_number(customer, bearing.thumbprint)
        is_new = self.devices.get(device) is None
        if is_new:
            self.devices.put(
                entry,
                device,
                Device(customer, bearing.thumbprint, bearing.token, bearing.key, entry.ordered_at),
            )
            entry.emit(events.DeviceBound(customer, bearing.token))
        number = entry.next_position
        entry.emit(events.SessionBegan(number, customer, bearing.token, bearing.network, assurance))
        self.sessions.put(
            entry,
            number,
            Session(
                customer,
                device,
                bearing.thumbprint,
                bearing.token,
                assurance,
                entry.ordered_at,
                entry.ordered_at,
                bearing.network,
                bearing.country,
            ),
        )
        self.add_refresh(entry, bearing.refresh, bearing.digest, number)
        account = self.account(customer)
        beyond = max(0, len(account.sessions) + 1 - SESSIONS_MAX)
        for oldest in account.sessions[:beyond]:
            self.end_session(entry, oldest, code="too_many_sessions")
        self.change_account(entry, customer, sessions=(*self.account(customer).sessions, number))
        return Begun(customer, number, is_new)

    def add_refresh(self, entry: Entry, number: int, digest: bytes, session: int) -> None:
        """Keep the hash of a new refresh token."""
        expires_at = entry.ordered_at + self.terms.refresh_us
        self.refreshes.put(entry, number, RefreshToken(session, digest, expires_at))

    def pass_gates(
        self, entry: Entry, customer: int, bearing: Bearing, *passages: Passage, strong: bool
    ) -> None:
        """Ask the gates whether a customer may come in this way.

        Args:
            entry: of the log-in; decisions and their events belong to it.
            customer: who comes in.
            bearing: on which device, from where.
            passages: in their order; a device that is not known yet is asked about too.
            strong: whether a proof was given that discharges a step-up: one that nobody can
                be talked out of (a passkey), or two proofs.

        Raises:
            LogInDeclined: if a gate says no; `decline` keeps its decisions.
            LogInCodeNeeded: if it asks for more, and a mailed code is all that can be given.
            GateShut: if nobody decides.
        """
        asked = [*passages]
        is_new = self.devices.get(device_number(customer, bearing.thumbprint)) is None
        if is_new and Passage.ONBOARDING not in passages:
            asked.append(Passage.NEW_DEVICE)
        for passage in asked:
            _, ruling = self.gates.pass_through(
                entry,
                Asked(passage, customer, bearing.token, bearing.network, bearing.country),
                discharged=frozenset({Ruling.STEP_UP}) if strong else frozenset(),
            )
            if ruling is Ruling.STEP_UP and not self.account(customer).passkeys:
                message = "a code that is mailed to you is needed too"
                raise LogInCodeNeeded(message)
            if ruling not in _OPEN:
                message = "the bank does not let you in this way now"
                raise LogInDeclined(message)

    def redeem(
        self, entry: Entry, number: int, *, address: int, digest: int, purpose: Purpose
    ) -> MailedCode | None:
        """Use a mailed code up if it is right, count a try if not; None: it is not good.

        Args:
            entry: of what it is given for.
            number: of the code.
            address: keyed token of where it must have been sent.
            digest: keyed hash of number and code.
            purpose: what it must be for.
        """
        code = self.codes.get(number)
        if code is None:
            return None
        is_open = not code.is_spent and code.tries < self.terms.code_tries
        is_due = entry.ordered_at <= code.expires_at and code.purpose == purpose
        is_right = code.digest == digest and code.address == address
        if is_open and is_due and is_right and not code.is_decoy:
            self.change(entry, self.codes, number, is_spent=True)
            return code
        if is_open:
            self.change(entry, self.codes, number, tries=code.tries + 1)
        return None

    def count_failure(
        self, entry: Entry, customer: int, *, device: int, network: int, country: int | None
    ) -> None:
        """Tell the gates of a proof that did not hold; what they answer changes nothing now."""
        asked = Asked(Passage.FAILED_PROOF, customer, device, network, country)
        self.gates.pass_through(entry, asked)

    def decline(self, entry: Entry, customer: int, bearing: Bearing, refusal: Refusal) -> Answer:
        """Refuse a log-in and keep what the entry did: decisions, used codes, and an event."""
        if not isinstance(refusal, LogInDeclined):
            self.count_failure(
                entry,
                customer,
                device=bearing.token,
                network=bearing.network,
                country=bearing.country,
            )
        return keep_refusal(
            entry,
            refusal,
            events.LogInFailed(customer, refusal.code, bearing.token, bearing.network),
        )


def keep_refusal(entry: Entry, refusal: Refusal, event: Event) -> Answer:
    """Refuse, and keep what the entry did: a try that was counted, and an event."""
    entry.emit(event)
    return refused(refusal.with_traceback(None))


def told(answer: msgspec.Struct) -> Answer:
    """Answer inside the bank; the route makes of it what the customer is told."""
    return Answer(200, _encode(answer))
