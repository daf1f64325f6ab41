"""The handler that judges a session again before each sensitive act in it."""

from typing import Final

from scudo.fabric import Answer, Entry
from scudo.governance import Asked, Passage, Ruling
from scudo.identity.customers import events
from scudo.identity.customers.commands import JudgeAct
from scudo.identity.customers.errors import ActDeclined, ActUnusual, FreshProofNeeded, SessionOver
from scudo.identity.customers.logic import Scene, Verdict, has_stepped_up, judge_session
from scudo.identity.customers.model import Session, SessionAct
from scudo.identity.customers.store import CustomerStore, keep_refusal
from scudo.kernel import Refusal

_DONE: Final = Answer(204, b"")


class Judging:
    """Judges sessions: by device, place and age of the proof, and by how they behave."""

    def __init__(self, store: CustomerStore) -> None:
        """Judge the sessions of one store."""
        self._store = store

    def judge(self, command: JudgeAct, entry: Entry) -> Answer:
        """Let an act go on, ask for a proof first, or end the session.

        The gate is asked in any case, so that what is refused counts as behaviour too; its
        decision is kept with the refusal.

        Raises:
            SessionOver: if it is over already.
            GateShut: if nobody decides.
        """
        store = self._store
        session = store.live_session(command.session, entry)
        refusal = self._doubt(command, session, entry)
        if refusal is None:
            return _DONE
        if isinstance(refusal, SessionOver):
            store.end_session(entry, command.session, code="judged_unsafe")
        doubted = events.SessionDoubted(
            command.session, command.customer, command.act, refusal.code, command.network
        )
        return keep_refusal(entry, refusal, doubted)

    def _doubt(self, command: JudgeAct, session: Session, entry: Entry) -> Refusal | None:
        store, now = self._store, entry.ordered_at
        scene = Scene(session.thumbprint, command.network, command.country)
        verdict = judge_session(session, scene, now=now, terms=store.terms)
        is_proven = has_stepped_up(session, now=now, terms=store.terms)
        _, ruling = store.gates.pass_through(
            entry,
            Asked(
                Passage.SESSION_ACT,
                command.customer,
                session.token,
                command.network,
                command.country,
                act=command.act,
                session=command.session,
            ),
            discharged=frozenset({Ruling.STEP_UP}) if is_proven else frozenset(),
        )
        if verdict is Verdict.END or ruling is Ruling.BLOCK:
            return SessionOver("this session was ended, because it does not look like yours")
        if ruling in {Ruling.HOLD, Ruling.DECLINE}:
            return ActDeclined("the bank does not let you do this now")
        if ruling is Ruling.STEP_UP:
            return ActUnusual("this does not look like what you usually do")
        # What changes credentials asks for a much newer proof by itself.
        if verdict is Verdict.STEP_UP and command.act == SessionAct.PAY:
            return FreshProofNeeded("the last proof of who you are is too old for this")
        return None
