"""Handlers of mailed codes: what opens an account, and what gives one back."""

import msgspec

from scudo.fabric import Answer, Entry
from scudo.governance import Passage
from scudo.identity.commands import RegisterCustomer
from scudo.identity.customers import events
from scudo.identity.customers.commands import Activate, MailCode, Recover, StopRecovery
from scudo.identity.customers.errors import (
    CodeRefused,
    LogInDeclined,
    LogInRefused,
    RecoveryUnknown,
)
from scudo.identity.customers.model import (
    NOBODY,
    Account,
    Address,
    Assurance,
    MailedCode,
    Purpose,
)
from scudo.identity.customers.store import CustomerStore, keep_refusal, told
from scudo.identity.model import CustomerKind

_REFUSED = "the code is not good"


class Mailed(msgspec.Struct, frozen=True):
    """What a code that was made is answered inside the bank: whom to mail what."""

    customer: int
    is_decoy: bool


class SignUp:
    """Works on sign-ups and recoveries."""

    def __init__(self, store: CustomerStore) -> None:
        """Work on one store."""
        self._store = store

    def mail_code(self, command: MailCode, entry: Entry) -> Answer:
        """Make a code; for an address that it cannot be for, one that opens nothing.

        Both write the same, so that neither answer nor work tells them apart.
        """
        store = self._store
        known = store.addresses.get(command.address)
        customer = NOBODY if known is None else known.customer
        is_decoy = (command.purpose == Purpose.SIGN_UP) == bool(customer)
        store.codes.put(
            entry,
            command.code,
            MailedCode(
                command.purpose,
                command.address,
                command.digest,
                entry.ordered_at + store.terms.code_us,
                is_decoy,
            ),
        )
        entry.emit(events.CodeMailed(entry.next_position, command.purpose, command.network))
        return told(Mailed(customer, is_decoy))

    def activate(self, command: Activate, entry: Entry) -> Answer:
        """Register the customer whose code this is, and begin a session for enrolment.

        Raises:
            GateShut: if nobody decides on customers who sign up.
        """
        store, bearing = self._store, command.bearing
        code = self._redeem(command, entry, Purpose.SIGN_UP)
        known = store.addresses.get(command.address)
        if code is None or (known is not None and known.customer):
            return self._no(entry, Purpose.SIGN_UP, bearing.network)
        registered = RegisterCustomer(
            f"sign-up-{command.code:016x}", CustomerKind.PERSON, command.country
        )
        customer = entry.next_position
        store.registry.register(registered, entry)
        try:
            store.pass_gates(entry, customer, bearing, Passage.ONBOARDING, strong=True)
        except LogInDeclined as refusal:
            return store.decline(entry, customer, bearing, refusal)
        store.addresses.put(entry, command.address, Address(customer))
        store.accounts.put(entry, customer, Account(command.address))
        entry.emit(events.CustomerActivated(customer))
        return told(store.begin_session(entry, customer, bearing, Assurance.MAIL))

    def recover(self, command: Recover, entry: Entry) -> Answer:
        """Let a customer in who proved mail and a second thing; a cooling-off period begins.

        Sessions from before live on: one of them can stop this.

        Raises:
            GateShut: if nobody decides on recoveries.
        """
        store, bearing = self._store, command.bearing
        code = self._redeem(command, entry, Purpose.RECOVERY)
        account = store.accounts.get(command.customer)
        if code is None or account is None or account.address != command.address:
            return self._no(entry, Purpose.RECOVERY, bearing.network)
        customer = command.customer
        has_code = command.recovery != 0 and command.recovery in account.recovery
        has_passkey = command.passkey in account.passkeys and command.answered is not None
        if not (has_code or has_passkey):
            refusal = LogInRefused("the second proof does not hold")
            return store.decline(entry, customer, bearing, refusal)
        if has_code:
            left = tuple(c for c in account.recovery if c != command.recovery)
            store.change_account(entry, customer, recovery=left)
        try:
            store.pass_gates(entry, customer, bearing, Passage.RECOVERY, strong=True)
        except LogInDeclined as declined:
            return store.decline(entry, customer, bearing, declined)
        begun = store.begin_session(entry, customer, bearing, Assurance.RECOVERED)
        until = entry.ordered_at + store.terms.cooling_off_us
        store.change_account(entry, customer, cooling_until=until, recovered_in=begun.session)
        entry.emit(events.CustomerRecovered(customer, begun.session, until))
        return told(begun)

    def stop_recovery(self, command: StopRecovery, entry: Entry) -> Answer:
        """End what a recovery began, asked from a session that it did not begin.

        Raises:
            RecoveryUnknown: if there is none that this session could stop.
            SessionOver.
        """
        store = self._store
        session = store.live_session(command.session, entry)
        account = store.account(command.customer)
        recovered = store.sessions.get(account.recovered_in)
        if (
            account.cooling_until <= entry.ordered_at
            or recovered is None
            or session.began_at >= recovered.began_at
        ):
            message = "no recovery is under way that this session could stop"
            raise RecoveryUnknown(message)
        for number in account.sessions:
            begun = store.sessions.get(number)
            # What was let in since may be the same stranger.
            if begun is not None and begun.began_at >= recovered.began_at:
                store.end_session(entry, number, code="recovery_stopped")
        store.change_account(entry, command.customer, cooling_until=0, recovered_in=0)
        entry.emit(events.RecoveryStopped(command.customer, command.session))
        return Answer(204, b"")

    def _redeem(
        self, command: Activate | Recover, entry: Entry, purpose: Purpose
    ) -> MailedCode | None:
        return self._store.redeem(
            entry, command.code, address=command.address, digest=command.digest, purpose=purpose
        )

    @staticmethod
    def _no(entry: Entry, purpose: Purpose, network: int) -> Answer:
        return keep_refusal(
            entry,
            CodeRefused(_REFUSED, field="code"),
            events.CodeFailed(entry.next_position, purpose, network),
        )
