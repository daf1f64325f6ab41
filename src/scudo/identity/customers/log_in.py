"""Handlers of sessions: beginning, going on, ending, and what changes how one begins."""

import msgspec

from scudo.fabric import Answer, Entry, web
from scudo.governance import Act as AuditedAct
from scudo.governance import Passage, RecordActs, record_acts
from scudo.identity.customers import events
from scudo.identity.customers.commands import (
    AddPasskey,
    ConfirmTotp,
    EndSessions,
    FailProof,
    LogIn,
    Refresh,
    RemovePasskey,
    ReportMisuse,
    SetPassword,
)
from scudo.identity.customers.errors import (
    CodeRefused,
    CoolingOff,
    CredentialLimit,
    CredentialTaken,
    CredentialUnknown,
    FreshProofNeeded,
    LogInDeclined,
    LogInRefused,
    RefreshRefused,
    SessionUnknown,
)
from scudo.identity.customers.logic import act_digest, is_fresh
from scudo.identity.customers.model import (
    PASSKEYS_MAX,
    Account,
    Act,
    Assurance,
    Purpose,
    StoredPasskey,
)
from scudo.identity.customers.step_ups import StepUps
from scudo.identity.customers.store import Begun, CustomerStore, keep_refusal, told

_DONE = Answer(204, b"")
_NOT_GOOD = "the refresh token is not good"
_NO_CODE = "the mailed code is not good"


class LogIns:
    """Works on sessions and credentials."""

    def __init__(self, store: CustomerStore, step_ups: StepUps) -> None:
        """Work on one store."""
        self._store = store
        self._step_ups = step_ups

    def log_in(self, command: LogIn, entry: Entry) -> Answer:
        """Begin a session by a proof that was verified and still stands.

        Raises:
            GateShut: if nobody decides on log-ins.
        """
        store, customer, bearing = self._store, command.customer, command.bearing
        account = store.accounts.get(customer)
        if account is not None and command.mailed and not self._redeem(command, account, entry):
            # Nothing else is used up: the code of the authenticator is good for another try.
            return store.decline(
                entry, customer, bearing, CodeRefused(_NO_CODE, field="mailed_code")
            )
        if account is None or not self._use_up(command, account, entry):
            # It was verified a moment ago: somebody was faster with the same proof.
            refusal = LogInRefused("the proof is used or was taken back")
            return store.decline(entry, customer, bearing, refusal)
        by_passkey = bool(command.passkey)
        # Who has a passkey is asked for that: it cannot be talked out of anybody.
        is_mailed = bool(command.mailed) and not account.passkeys
        try:
            store.pass_gates(
                entry, customer, bearing, Passage.LOG_IN, strong=by_passkey or is_mailed
            )
        except LogInDeclined as declined:
            return store.decline(entry, customer, bearing, declined)
        assurance = Assurance.PASSKEY if by_passkey else Assurance.PASSWORD
        return told(store.begin_session(entry, customer, bearing, assurance))

    def _redeem(self, command: LogIn, account: Account, entry: Entry) -> bool:
        redeemed = self._store.redeem(
            entry,
            command.mailed,
            address=account.address,
            digest=command.mailed_digest,
            purpose=Purpose.LOG_IN,
        )
        return redeemed is not None

    def _use_up(self, command: LogIn, account: Account, entry: Entry) -> bool:
        """Use the proofs up; whether all of them still stood."""
        if command.passkey:
            return self._step_ups.use_passkey(entry, account, command.passkey, command.answered)
        if not account.has_totp or account.password_digest != command.against:
            return False
        if command.recovery:
            if command.recovery not in account.recovery:
                return False
            left = tuple(c for c in account.recovery if c != command.recovery)
            self._store.change_account(entry, command.customer, recovery=left)
            return True
        if account.totp_digest != command.totp_digest:
            return False
        return self._step_ups.use_totp(entry, command.customer, account, command.totp_step)

    def refresh(self, command: Refresh, entry: Entry) -> Answer:
        """Give the next refresh token for one that was not used; a used one ends the session.

        Two holders of one token cannot be told apart, so both are out (RFC 9700 4.14.2).
        """
        store = self._store
        token = store.refreshes.get(command.old)
        refusal = RefreshRefused(_NOT_GOOD, field="refresh_token")
        if token is None or token.digest != command.old_digest:
            raise refusal
        session = store.sessions.get(token.session)
        assert session is not None, "a refresh token has a session"
        if session.thumbprint != command.thumbprint:
            return self._misused(entry, token.session, "key_mismatched", command.network)
        if token.spent_at:
            if not session.ended_at:
                store.end_session(entry, token.session, code="refresh_reused")
            return self._misused(entry, token.session, "refresh_reused", command.network)
        if token.expires_at < entry.ordered_at or store.is_over(session, entry.ordered_at):
            raise refusal
        store.change(entry, store.refreshes, command.old, spent_at=entry.ordered_at)
        store.add_refresh(entry, command.new, command.new_digest, token.session)
        store.change(entry, store.sessions, token.session, refreshed_at=entry.ordered_at)
        entry.emit(events.SessionRefreshed(token.session, session.customer))
        return told(Begun(session.customer, token.session))

    def _misused(self, entry: Entry, session: int, code: str, network: int) -> Answer:
        found = self._store.sessions.get(session)
        assert found is not None, "the caller has found it"
        return keep_refusal(
            entry,
            RefreshRefused(_NOT_GOOD, field="refresh_token"),
            events.SessionMisused(session, found.customer, code, events.SEVERITY_HIGH, network),
        )

    def end_sessions(self, command: EndSessions, entry: Entry) -> Answer:
        """End one session of the customer, or all of them.

        Raises:
            SessionUnknown: if the customer has no such session.
        """
        store = self._store
        account = store.account(command.customer)
        if command.which and command.which not in account.sessions:
            message = "there is no such session"
            raise SessionUnknown(message, field="session_id")
        for number in (command.which,) if command.which else account.sessions:
            store.end_session(entry, number, code=command.code)
        return _DONE

    def fail_proof(self, command: FailProof, entry: Entry) -> Answer:
        """Record a proof that did not hold, for the audit trail and for the gates."""
        act = AuditedAct(
            0,
            web.PrincipalKind.NOBODY,
            command.act,
            whose=command.customer or None,
            result=command.code,
            network=command.network,
            device=command.device,
            trace=command.trace,
        )
        record_acts(RecordActs((act,)), entry)
        self._store.count_failure(
            entry,
            command.customer,
            device=command.device,
            network=command.network,
            country=command.country,
        )
        return _DONE

    def report_misuse(self, command: ReportMisuse, entry: Entry) -> Answer:
        """Tell the log of a token in wrong hands."""
        entry.emit(
            events.SessionMisused(
                command.session,
                command.customer,
                command.code,
                events.SEVERITY_HIGH,
                command.network,
            )
        )
        return _DONE

    # ---- credentials

    def _may_change(
        self, command: AddPasskey | RemovePasskey | SetPassword | ConfirmTotp, entry: Entry
    ) -> Account:
        """Find the account, if its credentials may be changed from this session now.

        Raises:
            CoolingOff: if a recovery is young.
            FreshProofNeeded: if the session's proof is not enough.
            SessionOver, StepUpNeeded.
        """
        store = self._store
        session = store.live_session(command.session, entry)
        account = store.account(command.customer)
        if account.cooling_until > entry.ordered_at:
            message = "credentials do not change while a recovery cools off"
            raise CoolingOff(message)
        if command.step_up:
            self._step_ups.spend(
                entry,
                command.step_up,
                customer=command.customer,
                act=Act.CREDENTIALS,
                digest=act_digest(Act.CREDENTIALS),
            )
        elif not is_fresh(session, now=entry.ordered_at, terms=store.terms):
            message = "the last proof of who you are is too old for this"
            raise FreshProofNeeded(message)
        elif session.assurance == Assurance.MAIL and account.has_credential:
            message = "log in by a credential to change credentials"
            raise FreshProofNeeded(message)
        return account

    def add_passkey(self, command: AddPasskey, entry: Entry) -> Answer:
        """Add a passkey that was verified.

        Raises:
            SessionOver, CoolingOff, StepUpNeeded, FreshProofNeeded.
            CredentialTaken: if it is registered.
            CredentialLimit: if there are too many.
        """
        store = self._store
        account = self._may_change(command, entry)
        if store.passkeys.get(command.number) is not None:
            message = "this passkey is registered"
            raise CredentialTaken(message, field="credential")
        if len(account.passkeys) >= PASSKEYS_MAX:
            message = f"there are {PASSKEYS_MAX} passkeys already"
            raise CredentialLimit(message, field="credential")
        store.passkeys.put(
            entry,
            command.number,
            StoredPasskey(command.customer, command.passkey, entry.ordered_at),
        )
        store.change_account(entry, command.customer, passkeys=(*account.passkeys, command.number))
        entry.emit(events.CredentialAdded(command.customer, "passkey"))
        return _DONE

    def remove_passkey(self, command: RemovePasskey, entry: Entry) -> Answer:
        """Remove a passkey; other sessions end, for it may be the one that was stolen.

        Raises:
            SessionOver, CoolingOff, StepUpNeeded, FreshProofNeeded.
            CredentialUnknown: if the customer has no such passkey.
            CredentialLimit: if there would be no way left to log in.
        """
        store = self._store
        account = self._may_change(command, entry)
        if command.number not in account.passkeys:
            message = "there is no such passkey"
            raise CredentialUnknown(message, field="passkey_id")
        left = msgspec.structs.replace(
            account, passkeys=tuple(n for n in account.passkeys if n != command.number)
        )
        if not left.has_credential:
            message = "there would be no way left to log in"
            raise CredentialLimit(message, field="passkey_id")
        store.accounts.put(entry, command.customer, left)
        store.change(entry, store.passkeys, command.number, removed_at=entry.ordered_at)
        entry.emit(events.CredentialRemoved(command.customer, "passkey"))
        self._end_others(entry, command.customer, command.session, "passkey_removed")
        return _DONE

    def set_password(self, command: SetPassword, entry: Entry) -> Answer:
        """Set the password; other sessions end.

        Raises:
            SessionOver, CoolingOff, StepUpNeeded, FreshProofNeeded.
        """
        self._may_change(command, entry)
        self._store.change_account(entry, command.customer, password_digest=command.password_digest)
        entry.emit(events.CredentialAdded(command.customer, "password"))
        self._end_others(entry, command.customer, command.session, "password_changed")
        return _DONE

    def confirm_totp(self, command: ConfirmTotp, entry: Entry) -> Answer:
        """Ask for codes of this authenticator from now on; recovery codes are new too.

        Raises:
            SessionOver, CoolingOff, StepUpNeeded, FreshProofNeeded.
        """
        self._may_change(command, entry)
        self._store.change_account(
            entry,
            command.customer,
            has_totp=True,
            totp_step=command.step,
            totp_digest=command.totp_digest,
            recovery=command.recovery,
        )
        entry.emit(events.CredentialAdded(command.customer, "totp"))
        entry.emit(events.CredentialAdded(command.customer, "recovery_codes"))
        return _DONE

    def _end_others(self, entry: Entry, customer: int, session: int, code: str) -> None:
        for number in self._store.account(customer).sessions:
            if number != session:
                self._store.end_session(entry, number, code=code)
