"""What may be asked of the operators: to come, to log in, to go."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from scudo.fabric import Answer, Command, Entry, Reference, Register, refused, web
from scudo.governance import Act as AuditAct
from scudo.governance import RecordActs, approvals, record_acts
from scudo.identity.operators import events
from scudo.identity.operators.errors import (
    HandleTaken,
    InvitationInvalid,
    OperatorsExist,
    OperatorStateConflict,
    PasskeyKnown,
    PasskeysFull,
    SelfAdministered,
    SessionNotFound,
)
from scudo.identity.operators.model import (
    INVITATION_US,
    PASSKEYS_MAX,
    PASSKEYS_NEEDED,
    SESSION_US,
    SESSIONS_MAX,
    USE_GRAIN_US,
    Grant,
    Invitation,
    Key,
    Operator,
    Role,
    Session,
)
from scudo.identity.operators.staff import Staff
from scudo.identity.passkeys import Assertion, AssertionInvalid, Passkey
from scudo.kernel import Prefix, Refusal, ids, rfc3339

_encode: Final = msgspec.json.Encoder().encode
_DONE: Final = Answer(200, b"{}")
_GONE: Final = Answer(204, b"")
#: Refusals that somebody must look at, whoever meets them.
ALARMING: Final[Mapping[str, approvals.Severity]] = {
    "self_administered": approvals.Severity.PAGE,
    "self_served": approvals.Severity.PAGE,
    "duties_conflict": approvals.Severity.WARNING,
    "elevation_lapsed": approvals.Severity.WARNING,
}


class EnrolFirst(Command, frozen=True, tag=130):
    """Invite the two people that a bank begins with; SHA-256 of an invitation each."""

    handles: tuple[str, str]
    invitations: tuple[bytes, bytes]


class InviteOperator(Command, frozen=True, tag=131):
    """Let somebody enrol; `invitation` is the SHA-256 of its token."""

    by: int
    handle: str
    invitation: bytes


class EnrolPasskey(Command, frozen=True, tag=132):
    """Give an operator a passkey, which the route has verified.

    Attributes:
        invitation: SHA-256 of the token that came with it; empty: `by` is logged in.
        proof, challenge: what one of the operator's other passkeys has signed.
    """

    by: int
    invitation: bytes
    passkey: Passkey
    proof: Assertion | None = None
    challenge: bytes = b""


class LogIn(Command, frozen=True, tag=133):
    """Begin a session for whose passkey has answered; `token` is the SHA-256 of its token."""

    assertion: Assertion
    challenge: bytes
    token: bytes
    network: int | None
    trace: str


class EndSession(Command, frozen=True, tag=134):
    """End a session of `operator`."""

    by: int
    operator: int
    session: int


class SuspendOperator(Command, frozen=True, tag=135):
    """Shut somebody out, at once."""

    by: int
    operator: int
    reason: str


class RecoverOperator(Command, frozen=True, tag=136):
    """Begin somebody's access anew: nothing is left of it but a new invitation."""

    by: int
    operator: int
    invitation: bytes
    reason: str


class NoteUse(Command, frozen=True, tag=137):
    """Remember that an operator did something of a scope."""

    operator: int
    scope: str


class TellRefused(Command, frozen=True, tag=138):
    """Tell the log that the edge refused an operator."""

    operator: int
    act: str
    code: str


class EndElevations(Command, frozen=True, tag=139):
    """Tell the log that elevations of an operator are over; they ended by themselves."""

    operator: int


class InvitationBody(msgspec.Struct, frozen=True):
    """Answer to an invitation, before the route adds its token."""

    id: str
    handle: str
    expires_at: str


class SessionBody(msgspec.Struct, frozen=True):
    """Answer to a log-in, before the route adds its token."""

    id: str
    operator_id: str
    expires_at: str


class PasskeyBody(msgspec.Struct, frozen=True):
    """Answer to a new passkey."""

    operator_id: str
    passkeys: int


Handler = Callable[[Any, Entry], Answer]


def telling(work: Handler) -> Handler:
    """Leave an event also of what is refused to an operator."""

    def handle(command: Any, entry: Entry) -> Answer:  # noqa: ANN401 - of its kind
        before = entry.savepoint()
        try:
            return work(command, entry)
        except Refusal as refusal:
            entry.take_back(before)
            tell_refused(entry, command.by, type(command).__name__, refusal.code)
            return refused(refusal)

    return handle


def demand_enrolled(staff: Staff, number: int) -> None:
    """Refuse an operator who is suspended, or has fewer passkeys than any act needs.

    Raises:
        OperatorStateConflict: if it is so.
    """
    operator = staff.find(number)
    if operator.is_suspended or len(operator.keys) < PASSKEYS_NEEDED:
        message = "this operator is suspended, or has one passkey only"
        raise OperatorStateConflict(message)


def tell_refused(entry: Entry, operator: int, act: str, code: str) -> None:
    """Emit that somebody was refused, and who must know."""
    severity = ALARMING.get(code, approvals.Severity.NOTICE)
    entry.emit(events.OperatorRefused(operator, act, code, severity))


class Desk:
    """Where operators come, log in, and go: a keeper."""

    def __init__(self, staff: Staff) -> None:
        """Serve these operators."""
        self._staff = staff
        self.handlers: Mapping[type[Command], Handler] = {
            EnrolFirst: self._enrol_first,
            InviteOperator: telling(self._invite),
            EnrolPasskey: telling(self._enrol_passkey),
            LogIn: self._log_in,
            EndSession: telling(self._end_session),
            SuspendOperator: telling(self._suspend),
            RecoverOperator: telling(self._recover),
            NoteUse: self._note_use,
            TellRefused: self._tell_refused,
            EndElevations: self._end_elevations,
        }

    @property
    def registers(self) -> Sequence[Register[Any]]:
        """Registers that it keeps."""
        return (self._staff.register,)

    def refers_to(self, command: Command) -> Iterable[Reference]:
        """Everything is resident."""
        del command
        return ()

    def due(self, now: int) -> Command | None:
        """The next operator of whom an elevation has lapsed untold."""
        for number, operator in self._staff.register.items():
            if any(e.until <= now and not e.is_ended for e in operator.elevations):
                return EndElevations(number)
        return None

    # ---- coming

    def _enrol_first(self, command: EnrolFirst, entry: Entry) -> Answer:
        """Invite the founders.

        Raises:
            OperatorsExist: if the bank has operators.
            HandleTaken: if the two are one.
        """
        if self._staff.everybody():
            message = "this bank has operators"
            raise OperatorsExist(message)
        bodies = []
        for handle, invitation in zip(command.handles, command.invitations, strict=True):
            number = self._add(entry, handle=handle, by=0, invitation=invitation)
            grant = Grant(Role.SECURITY_OFFICER, entry.recorded_at, 0)
            entry.emit(events.RoleGranted(number, grant.role, 0))
            operator = self._staff.change(entry, number, grants=(grant,))
            bodies.append(_invited(number, operator))
        return Answer(201, _encode(bodies))

    def _invite(self, command: InviteOperator, entry: Entry) -> Answer:
        number = self._add(
            entry, handle=command.handle, by=command.by, invitation=command.invitation
        )
        return Answer(201, _encode(_invited(number, self._staff.find(number))))

    def _add(self, entry: Entry, *, handle: str, by: int, invitation: bytes) -> int:
        if handle in self._staff.by_handle:
            message = "another operator has this handle"
            raise HandleTaken(message, field="handle")
        now = entry.recorded_at
        number = entry.emit(events.OperatorInvited(entry.next_position, by))
        operator = Operator(handle, by, now, invitation=Invitation(invitation, now + INVITATION_US))
        self._staff.register.put(entry, number, operator)
        return number

    def _enrol_passkey(self, command: EnrolPasskey, entry: Entry) -> Answer:
        """Add a passkey, by an invitation or beside another.

        Raises:
            InvitationInvalid: if it is unknown, used or too old.
            PasskeyKnown: if somebody has this passkey.
            PasskeysFull: if the operator has enough.
            AssertionInvalid: if no other passkey has signed.
        """
        staff, now = self._staff, entry.recorded_at
        number = command.by
        operator = staff.register.get(number)
        if command.invitation:
            number = staff.by_invitation.get(command.invitation, 0)
            operator = staff.register.get(number)
            invitation = None if operator is None else operator.invitation
            if invitation is None or invitation.expires_at <= now:
                operator = None
        if operator is None or operator.is_suspended:
            message = "this invitation is unknown, used or too old"
            raise InvitationInvalid(message, field="invitation")
        if command.passkey.id in staff.by_credential:
            message = "this passkey is enrolled already"
            raise PasskeyKnown(message, field="credential")
        if len(operator.keys) >= PASSKEYS_MAX:
            message = f"an operator has {PASSKEYS_MAX} passkeys at the most"
            raise PasskeysFull(message)
        keys = operator.keys
        if not command.invitation:
            if command.proof is None:
                message = "one of the other passkeys has to sign"
                raise AssertionInvalid(message, field="proof")
            whose, after = staff.verify_log_in(command.proof, command.challenge)
            if whose != number:
                message = "another's passkey has signed"
                raise AssertionInvalid(message, field="proof")
            keys = staff.keys_with(number, after)
        changed = staff.change(
            entry,
            number,
            keys=(*keys, Key(command.passkey, now)),
            enrolled_at=operator.enrolled_at or now,
            invitation=None,
        )
        entry.emit(events.PasskeyEnrolled(number, len(changed.keys)))
        body = PasskeyBody(ids.show(Prefix.OPERATOR, number), len(changed.keys))
        return Answer(201, _encode(body))

    # ---- logging in and out

    def _log_in(self, command: LogIn, entry: Entry) -> Answer:
        staff, now = self._staff, entry.recorded_at
        try:
            number, passkey = staff.verify_log_in(command.assertion, command.challenge)
        except AssertionInvalid as refusal:
            act = AuditAct(
                staff.by_credential.get(command.assertion.credential, 0),
                web.PrincipalKind.OPERATOR,
                "identity.log_in",
                result=refusal.code,
                network=command.network,
                trace=command.trace,
            )
            record_acts(RecordActs((act,)), entry)
            return refused(refusal)
        session = Session(
            entry.position, command.token, now, now + SESSION_US, network=command.network
        )
        lasting = [s for s in staff.find(number).sessions if not staff.is_over(s, now)]
        for oldest in lasting[: max(0, len(lasting) + 1 - SESSIONS_MAX)]:
            lasting.remove(oldest)
            entry.emit(events.OperatorSessionEnded(number, oldest.number, number))
        entry.emit(
            events.OperatorLoggedIn(number, session.number, session.expires_at, session.network)
        )
        staff.change(
            entry,
            number,
            keys=staff.keys_with(number, passkey),
            sessions=(*lasting, session),
            logged_in_at=now,
        )
        body = SessionBody(
            ids.show(Prefix.SESSION, session.number),
            ids.show(Prefix.OPERATOR, number),
            rfc3339(session.expires_at),
        )
        return Answer(201, _encode(body))

    def _end_session(self, command: EndSession, entry: Entry) -> Answer:
        """End a session.

        Raises:
            SessionNotFound: if the operator has none of this number.
        """
        operator = self._staff.find(command.operator)
        left = tuple(s for s in operator.sessions if s.number != command.session)
        if len(left) == len(operator.sessions):
            message = "there is no such session"
            raise SessionNotFound(message, field="session_id")
        entry.emit(events.OperatorSessionEnded(command.operator, command.session, command.by))
        self._staff.change(entry, command.operator, sessions=left)
        return _GONE

    # ---- going

    def _suspend(self, command: SuspendOperator, entry: Entry) -> Answer:
        """Shut somebody out; sessions and invitation end.

        Raises:
            SelfAdministered: if they would shut out themselves.
            OperatorStateConflict: if they are shut out.
        """
        operator = self._other(command.by, command.operator)
        if operator.is_suspended:
            message = "this operator is suspended"
            raise OperatorStateConflict(message)
        entry.emit(events.OperatorSuspended(command.operator, command.by, command.reason))
        self._staff.change(entry, command.operator, is_suspended=True, sessions=(), invitation=None)
        return _DONE

    def _recover(self, command: RecoverOperator, entry: Entry) -> Answer:
        """Begin somebody's access anew.

        Raises:
            SelfAdministered: if it is their own.
            OperatorStateConflict: if they are suspended.
        """
        operator = self._other(command.by, command.operator)
        if operator.is_suspended:
            message = "a suspended operator is reinstated first"
            raise OperatorStateConflict(message)
        now = entry.recorded_at
        entry.emit(
            events.OperatorRecovered(
                command.operator, command.by, command.reason, approvals.Severity.WARNING
            )
        )
        for grant in operator.grants:
            entry.emit(events.RoleDropped(command.operator, grant.role, "recovery"))
        changed = self._staff.change(
            entry,
            command.operator,
            keys=(),
            grants=(),
            elevations=(),
            sessions=(),
            invitation=Invitation(command.invitation, now + INVITATION_US),
            recovered_at=now,
            recovered_by=command.by,
        )
        return Answer(201, _encode(_invited(command.operator, changed)))

    def _other(self, by: int, number: int) -> Operator:
        if by == number:
            message = "nobody changes their own access"
            raise SelfAdministered(message, field="operator_id")
        return self._staff.find(number)

    # ---- what the edge tells

    def _note_use(self, command: NoteUse, entry: Entry) -> Answer:
        now, operator = entry.recorded_at, self._staff.register.get(command.operator)
        if operator is not None and now - operator.used.get(command.scope, 0) >= USE_GRAIN_US:
            entry.emit(events.ScopeUsed(command.operator, command.scope))
            used = {**operator.used, command.scope: now}
            self._staff.change(entry, command.operator, used=used)
        return _DONE

    def _tell_refused(self, command: TellRefused, entry: Entry) -> Answer:
        tell_refused(entry, command.operator, command.act, command.code)
        return _DONE

    def _end_elevations(self, command: EndElevations, entry: Entry) -> Answer:
        now = entry.recorded_at
        operator = self._staff.find(command.operator)
        after = []
        for elevation in operator.elevations:
            is_over = elevation.until <= now and not elevation.is_ended
            if is_over:
                entry.emit(events.ElevationLapsed(command.operator, elevation.role))
            after.append(
                msgspec.structs.replace(elevation, is_ended=True) if is_over else elevation
            )
        if entry.events:
            self._staff.change(entry, command.operator, elevations=tuple(after))
        return _DONE


def _invited(number: int, operator: Operator) -> InvitationBody:
    assert operator.invitation is not None, "it was just made"
    return InvitationBody(
        ids.show(Prefix.OPERATOR, number),
        operator.handle,
        rfc3339(operator.invitation.expires_at),
    )
