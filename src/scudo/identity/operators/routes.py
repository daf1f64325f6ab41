"""HTTP operations of operators: to come, to log in, to go, and to be seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from webauthn import base64url_to_bytes

from scudo.fabric import Answer, Tokens, web
from scudo.identity.operators.ceremonies import Challenges, Throttle
from scudo.identity.operators.commands import (
    EndSession,
    EnrolPasskey,
    InvitationBody,
    InviteOperator,
    LogIn,
    PasskeyBody,
    RecoverOperator,
    SessionBody,
    SuspendOperator,
)
from scudo.identity.operators.errors import (
    HandleTaken,
    InvitationInvalid,
    LogInThrottled,
    OperatorNotFound,
    OperatorStateConflict,
    PasskeyKnown,
    PasskeysFull,
    SelfAdministered,
    SessionNotFound,
)
from scudo.identity.operators.kinds import OperatorIdText
from scudo.identity.operators.model import Operator, Session
from scudo.identity.operators.staff import SELF_SCOPE, TOKEN_PREFIX, Now, Staff, user_handle
from scudo.identity.operators.wire import (
    Ceremony,
    ElevationView,
    Enrolment,
    FurtherPasskey,
    GivenAnswer,
    GivenInvitation,
    InvitationView,
    NewOperator,
    NewSession,
    OperatorList,
    OperatorReason,
    OperatorView,
    SessionIdText,
    SessionList,
    SessionView,
    hash_of,
    new_token,
    reason_of,
    show_operator,
)
from scudo.identity.passkeys import (
    AssertionInvalid,
    NewPasskey,
    PasskeyInvalid,
    answered_challenge,
    authentication_options,
    read_assertion,
    registration_options,
    verify_new,
)
from scudo.kernel import Prefix, Refusal, ids, rfc3339

TAG: Final = "operators"
_LOG_IN: Final = b"log in"


@dataclass(frozen=True, slots=True)
class _Desk:
    submit: web.Submit
    staff: Staff
    now: Now
    tokens: Tokens
    challenges: Challenges
    throttle: Throttle

    # ---- enrolment

    async def invite(self, call: web.Call) -> web.Reply:
        token, kept = new_token("scudo_inv_")
        command = InviteOperator(call.client.id, call.body.handle, kept)
        return _with_invitation(await self.submit(command, call), token)

    async def recover(self, call: web.Call) -> web.Reply:
        number = ids.parse(Prefix.OPERATOR, call.path["operator_id"], field="operator_id")
        token, kept = new_token("scudo_inv_")
        command = RecoverOperator(call.client.id, number, kept, reason_of(call))
        return _with_invitation(await self.submit(command, call), token)

    async def begin_enrolment(self, call: web.Call) -> web.Reply:
        """Say what to create; an unknown invitation gets an answer of the same form."""
        kept = hash_of(call.body.invitation)
        number = self.staff.by_invitation.get(kept, 0)
        known = self.staff.register.get(number)
        options = registration_options(
            self.staff.party,
            challenge=self.challenges.make(b"enrol" + kept, now=self.now()),
            user=user_handle(number),
            name="operator" if known is None else known.handle,
            known=(),
        )
        return web.Reply(200, Ceremony(create=dict(options)))

    async def enrol(self, call: web.Call) -> web.Reply:
        body: Enrolment = call.body
        kept = hash_of(body.invitation)
        self._throttle(call)
        challenge = _challenge_of_new(body.credential)
        self.challenges.take(challenge, b"enrol" + kept, now=self.now())
        passkey = verify_new(self.staff.party, body.credential, challenge=challenge)
        answer = await self.submit(EnrolPasskey(0, kept, passkey), call)
        self._count(call, answer)
        return web.Reply(answer.status, answer.body)

    async def begin_passkey(self, call: web.Call) -> web.Reply:
        number, operator = call.client.id, self.staff.find(call.client.id)
        known = [key.passkey for key in operator.keys]
        challenge = self.challenges.make(b"add" + user_handle(number), now=self.now())
        create = registration_options(
            self.staff.party,
            challenge=challenge,
            user=user_handle(number),
            name=operator.handle,
            known=known,
        )
        get = authentication_options(self.staff.party, challenge=challenge, allowed=known)
        return web.Reply(200, Ceremony(dict(create), dict(get)))

    async def add_passkey(self, call: web.Call) -> web.Reply:
        body: FurtherPasskey = call.body
        number = call.client.id
        challenge = _challenge_of_new(body.credential)
        self.challenges.take(challenge, b"add" + user_handle(number), now=self.now())
        passkey = verify_new(self.staff.party, body.credential, challenge=challenge)
        proof = read_assertion(body.proof)
        command = EnrolPasskey(number, b"", passkey, proof, challenge)
        return await web.submitted(self.submit, command, call)

    # ---- sessions

    async def begin_log_in(self, call: web.Call) -> web.Reply:
        """Say what to answer; nobody is named yet, so nobody is told who is known."""
        del call
        challenge = self.challenges.make(_LOG_IN, now=self.now())
        return web.Reply(
            200, Ceremony(get=dict(authentication_options(self.staff.party, challenge=challenge)))
        )

    async def log_in(self, call: web.Call) -> web.Reply:
        assertion = read_assertion(call.body.credential)
        network = call.arrival.network
        who = ((network,), (network, assertion.credential))
        self.throttle.demand(*who, now=self.now())
        challenge = answered_challenge(assertion.client_data)
        try:
            self.challenges.take(challenge, _LOG_IN, now=self.now())
        except AssertionInvalid:
            # The writer says no, and leaves the trace that every refused log-in leaves.
            challenge = b""
        token, kept = new_token(TOKEN_PREFIX)
        command = LogIn(
            assertion,
            challenge,
            kept,
            await self._token_of(network),
            call.trace_id,
        )
        answer = await self.submit(command, call)
        if answer.status != 201:
            self.throttle.failed(*who, now=self.now())
            return web.Reply(answer.status, answer.body)
        self.throttle.succeeded(*who)
        body = msgspec.json.decode(answer.body, type=SessionBody)
        return web.Reply(201, NewSession(body.id, body.operator_id, body.expires_at, token))

    async def _token_of(self, network: str) -> int | None:
        """A keyed token of an address; None where it cannot be made.

        Operators log in also while the vault is down: they are who brings it back.
        """
        if not network:
            return None
        try:
            (token,) = await self.tokens.tokens([("ip", network)])
        except Refusal:
            return None
        return token

    async def list_sessions(self, call: web.Call) -> web.Reply:
        now, operator = self.now(), self.staff.find(call.client.id)
        items = tuple(
            _session_view(session, this=call.client.session)
            for session in operator.sessions
            if not self.staff.is_over(session, now)
        )
        return web.Reply(200, SessionList(items))

    async def end_session(self, call: web.Call) -> web.Reply:
        session = ids.parse(Prefix.SESSION, call.path["session_id"], field="session_id")
        number = call.client.id
        answer = await self.submit(EndSession(number, number, session), call)
        return web.Reply(answer.status, answer.body or None)

    async def end_sessions_of(self, call: web.Call) -> web.Reply:
        number = ids.parse(Prefix.OPERATOR, call.path["operator_id"], field="operator_id")
        session = ids.parse(Prefix.SESSION, call.path["session_id"], field="session_id")
        answer = await self.submit(EndSession(call.client.id, number, session), call)
        return web.Reply(answer.status, answer.body or None)

    # ---- operators

    async def list_operators(self, call: web.Call) -> web.Reply:
        del call
        now = self.now()
        found = sorted(self.staff.register.items())
        return web.Reply(200, OperatorList(tuple(_view(n, o, now) for n, o in found)))

    async def get_operator(self, call: web.Call) -> web.Reply:
        number = ids.parse(Prefix.OPERATOR, call.path["operator_id"], field="operator_id")
        return web.Reply(200, _view(number, self.staff.find(number), self.now()))

    async def suspend(self, call: web.Call) -> web.Reply:
        number = ids.parse(Prefix.OPERATOR, call.path["operator_id"], field="operator_id")
        answer = await self.submit(SuspendOperator(call.client.id, number, reason_of(call)), call)
        if answer.status != 200:
            return web.Reply(answer.status, answer.body)
        return web.Reply(200, _view(number, self.staff.find(number), self.now()))

    # ---- throttling of what strangers try

    def _throttle(self, call: web.Call) -> None:
        self.throttle.demand((call.arrival.network,), now=self.now())

    def _count(self, call: web.Call, answer: Answer) -> None:
        if answer.status == 401:
            self.throttle.failed((call.arrival.network,), now=self.now())


def _with_invitation(answer: Answer, token: str) -> web.Reply:
    if answer.status != 201:
        return web.Reply(answer.status, answer.body)
    body = msgspec.json.decode(answer.body, type=InvitationBody)
    return web.Reply(201, InvitationView(body.id, body.handle, token, body.expires_at))


def _challenge_of_new(credential: NewPasskey) -> bytes:
    try:
        client_data = base64url_to_bytes(credential.response.client_data)
    except ValueError as error:
        message = "the passkey is not written in base64url"
        raise PasskeyInvalid(message, field="credential") from error
    return answered_challenge(client_data)


def _session_view(session: Session, *, this: int | None) -> SessionView:
    return SessionView(
        ids.show(Prefix.SESSION, session.number),
        rfc3339(session.began_at),
        rfc3339(session.expires_at),
        session.number == this,
    )


def _view(number: int, operator: Operator, now: int) -> OperatorView:
    state = "suspended" if operator.is_suspended else "active" if operator.keys else "invited"
    return OperatorView(
        id=show_operator(number),
        handle=operator.handle,
        state=state,
        passkeys=len(operator.keys),
        roles=tuple(sorted(operator.held())),
        elevations=tuple(
            ElevationView(e.role, rfc3339(e.until), e.reason, e.until <= now)
            for e in operator.elevations
        ),
        sessions=len(operator.sessions),
        logged_in_at=rfc3339(operator.logged_in_at) if operator.logged_in_at else None,
        invited_by=show_operator(operator.invited_by) if operator.invited_by else None,
    )


_OPERATOR_PATH: Final[Mapping[str, Any]] = {"operator_id": OperatorIdText}
_ADMINISTERING: Final[tuple[type[Refusal], ...]] = (
    ids.IdMalformed,
    OperatorNotFound,
    OperatorStateConflict,
    SelfAdministered,
    web.errors.ReferenceUnfit,
    *web.SUBMIT_REFUSALS,
)


def operations(
    *, submit: web.Submit, staff: Staff, now: Now, tokens: Tokens
) -> tuple[web.Operation, ...]:
    """List the operations of operators and their sessions."""
    desk = _Desk(submit, staff, now, tokens, Challenges(), Throttle())
    return (*_enrolments(desk), *_sessions(desk), *_operators(desk), *_administration(desk))


def _enrolments(desk: _Desk) -> tuple[web.Operation, ...]:
    return (
        web.Operation(
            method="POST",
            path="/v1/operator-enrolments/options",
            name="begin_operator_enrolment",
            summary="Ask what passkey to create for an invitation",
            tag=TAG,
            scope=None,
            handler=desk.begin_enrolment,
            answers={200: Ceremony},
            body=GivenInvitation,
        ),
        web.Operation(
            method="POST",
            path="/v1/operator-enrolments",
            name="enrol_operator",
            summary="Enrol the first passkey by an invitation",
            tag=TAG,
            scope=None,
            handler=desk.enrol,
            answers={201: PasskeyBody},
            body=Enrolment,
            refusals=(
                PasskeyInvalid,
                AssertionInvalid,
                InvitationInvalid,
                PasskeyKnown,
                LogInThrottled,
                *web.SUBMIT_REFUSALS,
            ),
        ),
        web.Operation(
            method="POST",
            path="/v1/operator-passkeys/options",
            name="begin_operator_passkey",
            summary="Ask what further passkey to create, and what a known one is to sign",
            tag=TAG,
            scope=SELF_SCOPE,
            handler=desk.begin_passkey,
            answers={200: Ceremony},
        ),
        web.Operation(
            method="POST",
            path="/v1/operator-passkeys",
            name="add_operator_passkey",
            summary="Enrol a further passkey, confirmed by a known one",
            tag=TAG,
            scope=SELF_SCOPE,
            handler=desk.add_passkey,
            answers={201: PasskeyBody},
            body=FurtherPasskey,
            refusals=(
                PasskeyInvalid,
                AssertionInvalid,
                InvitationInvalid,
                PasskeyKnown,
                PasskeysFull,
                *web.SUBMIT_REFUSALS,
            ),
        ),
    )


def _sessions(desk: _Desk) -> tuple[web.Operation, ...]:
    return (
        web.Operation(
            method="POST",
            path="/v1/operator-sessions/options",
            name="begin_operator_session",
            summary="Ask what a passkey is to sign to log in",
            tag=TAG,
            scope=None,
            handler=desk.begin_log_in,
            answers={200: Ceremony},
        ),
        web.Operation(
            method="POST",
            path="/v1/operator-sessions",
            name="log_operator_in",
            summary="Log in by a passkey",
            tag=TAG,
            scope=None,
            handler=desk.log_in,
            answers={201: NewSession},
            body=GivenAnswer,
            refusals=(AssertionInvalid, LogInThrottled, *web.SUBMIT_REFUSALS),
        ),
        web.Operation(
            method="GET",
            path="/v1/operator-sessions",
            name="list_operator_sessions",
            summary="List your sessions",
            tag=TAG,
            scope=SELF_SCOPE,
            handler=desk.list_sessions,
            answers={200: SessionList},
        ),
        web.Operation(
            method="DELETE",
            path="/v1/operator-sessions/{session_id}",
            name="end_operator_session",
            summary="End one of your sessions",
            tag=TAG,
            scope=SELF_SCOPE,
            handler=desk.end_session,
            answers={204: None},
            path_types={"session_id": SessionIdText},
            refusals=(ids.IdMalformed, SessionNotFound, *web.SUBMIT_REFUSALS),
        ),
    )


def _operators(desk: _Desk) -> tuple[web.Operation, ...]:
    return (
        web.Operation(
            method="POST",
            path="/v1/operators",
            name="invite_operator",
            summary="Invite somebody to run the bank",
            tag=TAG,
            scope="operators:write",
            handler=desk.invite,
            answers={201: InvitationView},
            body=NewOperator,
            refusals=(HandleTaken, *web.SUBMIT_REFUSALS),
            example=NewOperator("s4711"),
        ),
        web.Operation(
            method="GET",
            path="/v1/operators",
            name="list_operators",
            summary="List operators and what they hold",
            tag=TAG,
            scope="operators:read",
            handler=desk.list_operators,
            answers={200: OperatorList},
        ),
        web.Operation(
            method="GET",
            path="/v1/operators/{operator_id}",
            name="get_operator",
            summary="Show an operator",
            tag=TAG,
            scope="operators:read",
            handler=desk.get_operator,
            answers={200: OperatorView},
            path_types=_OPERATOR_PATH,
            refusals=(ids.IdMalformed, OperatorNotFound),
        ),
    )


def _administration(desk: _Desk) -> tuple[web.Operation, ...]:
    return (
        web.Operation(
            method="POST",
            path="/v1/operators/{operator_id}/suspension",
            name="suspend_operator",
            summary="Shut an operator out, at once",
            tag=TAG,
            scope="operators:write",
            handler=desk.suspend,
            answers={200: OperatorView},
            path_types=_OPERATOR_PATH,
            body=OperatorReason,
            refusals=_ADMINISTERING,
        ),
        web.Operation(
            method="POST",
            path="/v1/operators/{operator_id}/recovery",
            name="recover_operator",
            summary="Begin an operator's access anew, without passkeys, roles and sessions",
            tag=TAG,
            scope="operators:write",
            handler=desk.recover,
            answers={201: InvitationView},
            path_types=_OPERATOR_PATH,
            body=OperatorReason,
            refusals=_ADMINISTERING,
        ),
        web.Operation(
            method="DELETE",
            path="/v1/operators/{operator_id}/sessions/{session_id}",
            name="end_session_of_operator",
            summary="End a session of an operator",
            tag=TAG,
            scope="operators:write",
            handler=desk.end_sessions_of,
            answers={204: None},
            path_types={**_OPERATOR_PATH, "session_id": SessionIdText},
            refusals=(ids.IdMalformed, OperatorNotFound, SessionNotFound, *web.SUBMIT_REFUSALS),
        ),
    )
