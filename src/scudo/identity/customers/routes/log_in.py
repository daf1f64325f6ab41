"""HTTP operations of sessions: log-in, refresh, list, end."""

from typing import Final

from scudo.fabric import Answer, web
from scudo.governance import GateShut
from scudo.identity.customers.commands import Bearing, EndSessions, LogIn, Refresh
from scudo.identity.customers.errors import (
    AddressMalformed,
    ChallengeUnknown,
    CodeRefused,
    LogInCodeNeeded,
    LogInDeclined,
    LogInRefused,
    PasswordsBusy,
    RefreshRefused,
    SessionOver,
    SessionUnknown,
)
from scudo.identity.customers.logic import device_number, read_address
from scudo.identity.customers.model import NOBODY, Account, StoredPasskey
from scudo.identity.customers.office import Office, code_digest
from scudo.identity.customers.passwords import matching_step
from scudo.identity.customers.persons import EMAIL, TOTP_SEED
from scudo.identity.customers.recalling import LOG_IN
from scudo.identity.customers.routes.wire import (
    SELF,
    SESSION_REFUSALS,
    STRANGER_REFUSALS,
    TAG,
    Challenge,
    CustomerIdText,
    OwnSession,
    OwnSessions,
    PasskeyLogIn,
    PasswordLogIn,
    SessionIdText,
    TokenRefresh,
    Tokens,
    assurance_name,
    optional_id,
    tokens_reply,
)
from scudo.identity.customers.throttle import ACCOUNT, DEVICE, NETWORK, Key, known_device
from scudo.identity.customers.tokens import new_refresh_token, refresh_digest
from scudo.identity.dpop import DeviceKey
from scudo.identity.errors import CustomerNotFound
from scudo.identity.passkeys import (
    Assertion,
    AssertionInvalid,
    Passkey,
    authentication_options,
    read_assertion,
    verify_answer,
)
from scudo.kernel import Prefix, Refusal, ids, rfc3339

_FIRST_REFUSAL: Final = 400
#: Of one network: what waits for an answer is in memory.
_CHALLENGES_PER_S: Final = 50
#: Base32; nobody's codes are made from it, as work for names that nobody has.
_NOBODYS_SEED: Final = "A" * 32


class _LogInDesk:
    """Serves log-ins and sessions."""

    def __init__(self, office: Office) -> None:
        """Serve at one office."""
        self._office = office

    async def challenge(self, call: web.Call) -> web.Reply:
        del call
        number, challenge = self._office.challenge(None)
        options = authentication_options(self._office.ports.party, challenge=challenge)
        return web.Reply(201, Challenge(ids.show(Prefix.CHALLENGE, number), dict(options)))

    async def by_passkey(self, call: web.Call) -> web.Reply:
        office = self._office
        body: PasskeyLogIn = call.body
        key = office.proofs.check(call.arrival)
        keys: list[Key] = [(NETWORK, LOG_IN, await office.network(call))]
        office.throttle.take(keys)
        number = ids.parse(Prefix.CHALLENGE, body.challenge_id, field="challenge_id")
        challenge = office.answered(number, None)
        bearing, refresh = await office.bearing(call, key, body.country)
        stored: StoredPasskey | None = None
        try:
            assertion = read_assertion(body.credential)
            passkey, stored = await office.passkey(assertion.credential)
            answered = _answered(office, assertion, challenge, stored)
        except AssertionInvalid as refusal:
            await self._failed(
                call, refusal, bearing, NOBODY if stored is None else stored.customer
            )
            raise
        assert stored is not None, "nobody's passkey answers nothing"
        command = LogIn(stored.customer, passkey, answered, 0, 0, 0, bearing)
        return await self._begin(call, command, key, refresh, keys)

    async def _failed(
        self, call: web.Call, refusal: Refusal, bearing: Bearing, customer: int
    ) -> None:
        await self._office.failed(
            call,
            "identity.log_in",
            refusal,
            customer=customer,
            device=bearing.token,
            country=bearing.country,
        )

    async def by_password(self, call: web.Call) -> web.Reply:
        """Log in by password and code; for an unknown name the same work is done in vain."""
        office, persons = self._office, self._office.ports.persons
        body: PasswordLogIn = call.body
        key = office.proofs.check(call.arrival)
        address = read_address(body.email)
        mailed = optional_id(Prefix.MAILED_CODE, body.code_id, "code_id")
        token = await persons.token(EMAIL, address)
        bearing, refresh = await office.bearing(call, key, body.country)
        found = await office.find(office.store.addresses, token)
        customer = NOBODY if found is None else found.customer
        account = await office.find(office.store.accounts, customer) or Account(token)
        device = device_number(customer, key.thumbprint)
        is_known = await office.find(office.store.devices, device) is not None
        own = known_device(customer, bearing.token)
        keys = _allowances(token, own, bearing.network, is_known=is_known)
        office.throttle.take(keys)
        is_right = await office.is_password(customer, account, body.password)
        seed = await office.secrets.read(customer, account, TOTP_SEED)
        step = matching_step(seed or _NOBODYS_SEED, body.code or "", now=office.ports.now())
        given = body.recovery_code or ""
        recovery = await code_digest(persons, "recovery", customer, given)
        has_second = (seed != "" and step > account.totp_step) or recovery in account.recovery
        if not (is_right and has_second and account.has_totp):
            message = "name and proofs do not go together"
            refusal = LogInRefused(message)
            await self._failed(call, refusal, bearing, customer)
            raise refusal
        command = LogIn(
            customer,
            0,
            None,
            account.password_digest,
            0 if given else step,
            recovery if given else 0,
            bearing,
            mailed,
            await code_digest(persons, mailed, body.mailed_code) if mailed else 0,
            account.totp_digest,
        )
        reply = await self._begin(call, command, key, refresh, keys)
        if reply.status < _FIRST_REFUSAL:
            await persons.keep(customer, {EMAIL: address})
        return reply

    async def _begin(
        self, call: web.Call, command: LogIn, key: DeviceKey, refresh: str, keys: list[Key]
    ) -> web.Reply:
        office = self._office
        answer = await office.submit(command, call)
        if answer.status >= _FIRST_REFUSAL:
            return web.Reply(answer.status, answer.body)
        office.throttle.forgive(keys)
        begun = office.begun(answer, key)
        if begun[0].is_new_device:
            text = "Your account was used on a device that it was not used on before.\n"
            await office.notify(command.customer, "A new device", text)
        return tokens_reply(office, begun, refresh)

    async def refresh(self, call: web.Call) -> web.Reply:
        office = self._office
        key = office.proofs.check(call.arrival)
        old, old_digest = refresh_digest(call.body.refresh_token)
        refresh, new, new_digest = new_refresh_token()
        network = await office.network(call)
        keys: list[Key] = [(NETWORK, "refresh", network)]
        office.throttle.take(keys)
        answer: Answer = await office.submit(
            Refresh(old, old_digest, new, new_digest, key.thumbprint, network), call
        )
        if answer.status >= _FIRST_REFUSAL:
            return web.Reply(answer.status, answer.body)
        office.throttle.forgive(keys)
        return tokens_reply(office, office.begun(answer, key), refresh)

    async def list_sessions(self, call: web.Call) -> web.Reply:
        office = self._office
        assert call.client.customer is not None, "a session is a customer's"
        account = await office.account(call.client.customer)
        own, views = office.own_session(call), []
        for number in account.sessions:
            session = await office.find(office.store.sessions, number)
            if session is None or office.store.is_over(session, office.ports.now()):
                continue
            views.append(
                OwnSession(
                    ids.show(Prefix.SESSION, number),
                    ids.show(Prefix.DEVICE, session.token),
                    assurance_name(session.assurance),
                    rfc3339(session.began_at),
                    rfc3339(session.proven_at),
                    number == own,
                )
            )
        return web.Reply(200, OwnSessions(tuple(views)))

    async def end_session(self, call: web.Call) -> web.Reply:
        which = ids.parse(Prefix.SESSION, call.path["session_id"], field="session_id")
        return await self._end(call, which)

    async def end_all(self, call: web.Call) -> web.Reply:
        return await self._end(call, 0)

    async def end_all_of(self, call: web.Call) -> web.Reply:
        """End all sessions of a customer for the bank: of one who calls, or is in danger.

        Raises:
            CustomerNotFound: if there is none who ever logged in.
        """
        office = self._office
        number = ids.parse(Prefix.CUSTOMER, call.path["customer_id"], field="customer_id")
        if await office.find(office.store.accounts, number) is None:
            message = "there is no customer with sessions of this number"
            raise CustomerNotFound(message, field="customer_id")
        command = EndSessions(NOBODY, number, 0, "ended_by_bank")
        answer = await office.submit(command, call)
        return web.Reply(answer.status, answer.body or None)

    async def _end(self, call: web.Call, which: int) -> web.Reply:
        office = self._office
        assert call.client.customer is not None, "a session is a customer's"
        own = office.own_session(call)
        command = EndSessions(own, call.client.customer, which, "ended_by_customer")
        answer = await office.submit(command, call)
        return web.Reply(answer.status, answer.body or None)


def _answered(
    office: Office, assertion: Assertion, challenge: bytes, stored: StoredPasskey | None
) -> Passkey:
    """Verify a passkey's answer; gives the passkey after it.

    Raises:
        AssertionInvalid: if it does not hold, or nobody has this passkey.
    """
    if stored is None:
        message = "the passkey's answer does not hold"
        raise AssertionInvalid(message, field="credential")
    return verify_answer(office.ports.party, assertion, challenge=challenge, passkey=stored.passkey)


def _allowances(account: int, device: int, network: int, *, is_known: bool) -> list[Key]:
    """Whose attempts a log-in counts among: a known device's own, or those of strangers."""
    if is_known:
        return [(DEVICE, LOG_IN, device)]
    return [(ACCOUNT, LOG_IN, account), (NETWORK, LOG_IN, network)]


def log_in_operations(office: Office) -> tuple[web.Operation, ...]:
    """List the operations of log-ins and sessions."""
    desk = _LogInDesk(office)
    return (*_entering(desk), *_sessions(desk))


def _entering(desk: _LogInDesk) -> tuple[web.Operation, ...]:
    entering: tuple[type[Refusal], ...] = (
        ids.IdMalformed,
        LogInDeclined,
        SessionOver,
        GateShut,
        *STRANGER_REFUSALS,
        *web.SUBMIT_REFUSALS,
    )
    return (
        web.Operation(
            method="POST",
            path="/v1/log-ins/challenges",
            name="begin_log_in",
            summary="Ask for a challenge that any passkey of the bank may answer",
            tag=TAG,
            scope=None,
            handler=desk.challenge,
            answers={201: Challenge},
            network_per_s=_CHALLENGES_PER_S,
        ),
        web.Operation(
            method="POST",
            path="/v1/log-ins/passkey",
            name="log_in_by_passkey",
            summary="Log in by a passkey, on the device whose key proves this request",
            tag=TAG,
            scope=None,
            handler=desk.by_passkey,
            answers={201: Tokens},
            body=PasskeyLogIn,
            refusals=(ChallengeUnknown, AssertionInvalid, LogInRefused, *entering),
        ),
        web.Operation(
            method="POST",
            path="/v1/log-ins/password",
            name="log_in_by_password",
            summary="Log in by password and a second code, on the device that proves this request",
            tag=TAG,
            scope=None,
            handler=desk.by_password,
            answers={201: Tokens},
            body=PasswordLogIn,
            refusals=(
                AddressMalformed,
                LogInRefused,
                LogInCodeNeeded,
                CodeRefused,
                PasswordsBusy,
                *entering,
            ),
        ),
        web.Operation(
            method="POST",
            path="/v1/tokens/refresh",
            name="refresh_tokens",
            summary="Take new tokens for a refresh token, which is good once",
            tag=TAG,
            scope=None,
            handler=desk.refresh,
            answers={201: Tokens},
            body=TokenRefresh,
            refusals=(RefreshRefused, SessionOver, *STRANGER_REFUSALS, *web.SUBMIT_REFUSALS),
        ),
    )


def _sessions(desk: _LogInDesk) -> tuple[web.Operation, ...]:
    ending: tuple[type[Refusal], ...] = (SessionOver, *SESSION_REFUSALS, *web.SUBMIT_REFUSALS)
    return (
        web.Operation(
            method="GET",
            path="/v1/sessions",
            name="list_sessions",
            summary="List the sessions of this customer that live",
            tag=TAG,
            scope=SELF,
            handler=desk.list_sessions,
            answers={200: OwnSessions},
            refusals=(*SESSION_REFUSALS, *web.READ_REFUSALS),
        ),
        web.Operation(
            method="DELETE",
            path="/v1/sessions/{session_id}",
            name="end_session",
            summary="End one session; its tokens are good no longer at once",
            tag=TAG,
            scope=SELF,
            handler=desk.end_session,
            answers={204: None},
            path_types={"session_id": SessionIdText},
            refusals=(ids.IdMalformed, SessionUnknown, *ending),
        ),
        web.Operation(
            method="DELETE",
            path="/v1/sessions",
            name="end_all_sessions",
            summary="End all sessions of this customer, this one too",
            tag=TAG,
            scope=SELF,
            handler=desk.end_all,
            answers={204: None},
            refusals=ending,
        ),
        web.Operation(
            method="DELETE",
            path="/v1/customers/{customer_id}/sessions",
            name="end_customer_sessions",
            summary="End all sessions of a customer, for the bank",
            tag=TAG,
            scope="customers:write",
            is_bank_wide=True,
            handler=desk.end_all_of,
            answers={204: None},
            path_types={"customer_id": CustomerIdText},
            refusals=(ids.IdMalformed, CustomerNotFound, *web.READ_REFUSALS, *web.SUBMIT_REFUSALS),
        ),
    )
