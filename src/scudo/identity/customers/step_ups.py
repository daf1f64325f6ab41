"""Handlers of step-ups: a proof that is good for one act, its amount and its payee, once."""

from scudo.fabric import Answer, Entry
from scudo.identity.customers import events
from scudo.identity.customers.commands import BeginStepUp, ProveStepUp
from scudo.identity.customers.errors import StepUpNeeded, StepUpRefused, StepUpUnknown
from scudo.identity.customers.model import Account, Act, StepUp
from scudo.identity.customers.store import CustomerStore, keep_refusal
from scudo.identity.passkeys import Passkey

_DONE = Answer(204, b"")


class StepUps:
    """Works on step-ups; other rooms spend them inside the entry of the act."""

    def __init__(self, store: CustomerStore) -> None:
        """Work on one store."""
        self._store = store

    def begin(self, command: BeginStepUp, entry: Entry) -> Answer:
        """Ask for a proof.

        Raises:
            SessionOver: if the session that asks has ended.
        """
        store = self._store
        store.live_session(command.session, entry)
        store.step_ups.put(
            entry,
            command.number,
            StepUp(
                command.customer,
                command.session,
                command.act,
                command.digest,
                command.challenge,
                entry.ordered_at + store.terms.step_up_us,
            ),
        )
        entry.emit(events.StepUpBegun(command.session, command.customer, command.act))
        return _DONE

    def prove(self, command: ProveStepUp, entry: Entry) -> Answer:
        """Take a proof, or count the try.

        Raises:
            SessionOver: if the session that asks has ended.
            StepUpUnknown: if there is no such step-up of this session that waits for a proof.
        """
        store = self._store
        store.live_session(command.session, entry)
        step_up = store.step_ups.get(command.number)
        if (
            step_up is None
            or step_up.session != command.session
            or step_up.proven_at
            or step_up.tries >= store.terms.step_up_tries
            or step_up.expires_at < entry.ordered_at
        ):
            message = "there is no such step-up that waits for a proof"
            raise StepUpUnknown(message, field="step_up_id")
        account = store.account(command.customer)
        if command.passkey:
            has_passed = self.use_passkey(entry, account, command.passkey, command.answered)
        else:
            has_passed = (
                command.totp_step > 0
                and account.password_digest == command.against
                and account.totp_digest == command.totp_digest
                and self.use_totp(entry, command.customer, account, command.totp_step)
            )
        if not has_passed:
            store.change(entry, store.step_ups, command.number, tries=step_up.tries + 1)
            session = store.live_session(command.session, entry)
            store.count_failure(
                entry,
                command.customer,
                device=session.token,
                network=command.network or session.network,
                country=command.country,
            )
            return keep_refusal(
                entry,
                StepUpRefused("the proof does not hold"),
                events.StepUpFailed(step_up.session, step_up.customer, step_up.act),
            )
        store.change(entry, store.step_ups, command.number, proven_at=entry.ordered_at)
        session = store.live_session(command.session, entry)
        store.change(
            entry,
            store.sessions,
            command.session,
            proven_at=entry.ordered_at,
            network=command.network or session.network,
            country=session.country if command.country is None else command.country,
        )
        entry.emit(events.StepUpPassed(step_up.session, step_up.customer, step_up.act))
        return _DONE

    def spend(self, entry: Entry, number: int, *, customer: int, act: Act, digest: bytes) -> None:
        """Use a proof up for the act that it was given for.

        Args:
            entry: of the act.
            number: of the step-up.
            customer: who acts.
            act: what is done.
            digest: of its details, from what is about to be done, not from what was asked.

        Raises:
            StepUpNeeded: unless it was passed by this customer, for exactly this, is not too
                old, and was not used.
        """
        store = self._store
        step_up = store.step_ups.get(number)
        session = None if step_up is None else store.sessions.get(step_up.session)
        if (
            step_up is None
            or step_up.customer != customer
            or (step_up.act, step_up.digest) != (act, digest)
            or not step_up.proven_at
            or step_up.spent_at
            or step_up.expires_at < entry.ordered_at
            or session is None
            or session.ended_at
        ):
            message = "no step-up was passed for exactly this"
            raise StepUpNeeded(message, field="step_up_id")
        store.change(entry, store.step_ups, number, spent_at=entry.ordered_at)
        entry.emit(events.StepUpSpent(step_up.session, customer, act))

    # ---- proofs that are used up, by log-ins too

    def use_passkey(
        self, entry: Entry, account: Account, number: int, answered: Passkey | None
    ) -> bool:
        """Keep a passkey as it is after its answer; whether the answer still counts.

        A counter that does not grow was copied, or two answers came in another order
        (WebAuthn 6.1.1); zero is an authenticator that does not count.
        """
        stored = self._store.passkeys.get(number)
        if number not in account.passkeys or stored is None or answered is None:
            return False
        before = stored.passkey
        if answered.id != before.id:
            return False
        if answered.sign_count <= before.sign_count and (answered.sign_count or before.sign_count):
            return False
        self._store.change(entry, self._store.passkeys, number, passkey=answered)
        return True

    def use_totp(self, entry: Entry, customer: int, account: Account, step: int) -> bool:
        """Use the code of a 30-second step up; whether none at or after it was used before."""
        if not account.has_totp or step <= account.totp_step:
            return False
        self._store.change_account(entry, customer, totp_step=step)
        return True
