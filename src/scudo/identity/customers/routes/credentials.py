"""HTTP operations of a customer's own credentials."""

import secrets
from base64 import b32encode
from typing import Final

from scudo.fabric import Command, web
from scudo.identity.customers.commands import AddPasskey, ConfirmTotp, RemovePasskey, SetPassword
from scudo.identity.customers.errors import (
    ChallengeUnknown,
    CodeRefused,
    CoolingOff,
    CredentialLimit,
    CredentialTaken,
    CredentialUnknown,
    PasswordsBusy,
    PasswordTooWeak,
    PasswordUnproven,
    StepUpNeeded,
    TooManyAttempts,
)
from scudo.identity.customers.logic import demand_strong, number_of
from scudo.identity.customers.model import RECOVERY_CODES, Assurance, SessionAct
from scudo.identity.customers.office import JUDGE_REFUSALS, Office, code_digest
from scudo.identity.customers.passwords import matching_step, new_seed, seed_uri
from scudo.identity.customers.persons import EMAIL, PASSWORD_HASH, TOTP_SEED
from scudo.identity.customers.routes.wire import (
    SELF,
    SESSION_REFUSALS,
    TAG,
    Challenge,
    NewPasskeyBody,
    NewPassword,
    PasskeyAdded,
    PasskeyIdText,
    RecoveryCodes,
    StepUpQuery,
    TotpProof,
    TotpSeed,
    optional_id,
)
from scudo.identity.customers.throttle import DEVICE
from scudo.identity.passkeys import PasskeyInvalid, registration_options, verify_new
from scudo.kernel import Prefix, Refusal, ids

_FIRST_REFUSAL: Final = 400
_STEP_UP: Final = "step_up_id"
#: 120 bits, so that a fast hash may keep them (ASVS 6.5.2), in groups that can be read out.
_RECOVERY_BYTES: Final = 15
_RECOVERY_GROUP: Final = 6
_CHANGED_TEXT: Final = """\
The way in which you log in was changed: {what}.

If it was not you, log in, end all sessions, and ask the bank.
"""


class _CredentialDesk:
    """Serves what a customer changes about logging in."""

    def __init__(self, office: Office) -> None:
        """Serve at one office."""
        self._office = office

    async def passkey_challenge(self, call: web.Call) -> web.Reply:
        office, customer = self._office, _customer(call)
        account = await office.account(customer)
        number, challenge = office.challenge(office.own_session(call))
        options = registration_options(
            office.ports.party,
            challenge=challenge,
            user=customer.to_bytes(8, "big"),
            name=ids.show(Prefix.CUSTOMER, customer),
            known=await office.passkeys(account),
        )
        return web.Reply(201, Challenge(ids.show(Prefix.CHALLENGE, number), dict(options)))

    async def add_passkey(self, call: web.Call) -> web.Reply:
        office = self._office
        body: NewPasskeyBody = call.body
        step_up = optional_id(Prefix.STEP_UP, body.step_up_id, _STEP_UP)
        challenge_id = ids.parse(Prefix.CHALLENGE, body.challenge_id, field="challenge_id")
        challenge = office.answered(challenge_id, office.own_session(call))
        passkey = verify_new(office.ports.party, body.credential, challenge=challenge)
        number = number_of(passkey.id)
        command = AddPasskey(office.own_session(call), _customer(call), number, passkey, step_up)
        added = PasskeyAdded(ids.show(Prefix.PASSKEY, number))
        reply = web.Reply(201, added)
        return await self._change(
            call, SessionAct.ADD_PASSKEY, command, reply, "a passkey was added"
        )

    async def remove_passkey(self, call: web.Call) -> web.Reply:
        query: StepUpQuery = call.query
        step_up = optional_id(Prefix.STEP_UP, query.step_up_id, _STEP_UP)
        number = ids.parse(Prefix.PASSKEY, call.path["passkey_id"], field="passkey_id")
        own = self._office.own_session(call)
        command = RemovePasskey(own, _customer(call), number, step_up)
        return await self._change(
            call, SessionAct.REMOVE_PASSKEY, command, web.Reply(204), "a passkey was removed"
        )

    async def set_password(self, call: web.Call) -> web.Reply:
        office = self._office
        body: NewPassword = call.body
        step_up = optional_id(Prefix.STEP_UP, body.step_up_id, _STEP_UP)
        if not step_up:
            await self._demand_current(call, body.current_password)
        address = await office.ports.persons.read(_customer(call), EMAIL)
        demand_strong(body.password, address=address)
        hashed = await office.passwords.hash(body.password)

        async def change(digest: int) -> web.Reply:
            command = SetPassword(office.own_session(call), _customer(call), digest, step_up)
            return await self._change(
                call, SessionAct.SET_PASSWORD, command, web.Reply(204), "the password was set"
            )

        return await office.secrets.exchange(_customer(call), PASSWORD_HASH, hashed, change)

    async def _demand_current(self, call: web.Call, current: str | None) -> None:
        """See that who changes a password knows the one before.

        There is none to know before the first, and nobody knows it after a recovery, whose
        cooling off stands in its place.

        Raises:
            PasswordUnproven: if it is not known.
            TooManyAttempts: if it was guessed at too often in this session.
        """
        office = self._office
        session = await office.session(call)
        account = await office.account(session.customer)
        if not account.password_digest or session.assurance == Assurance.RECOVERED:
            return
        keys = [(DEVICE, "password", office.own_session(call))]
        office.throttle.take(keys)
        if not await office.is_password(session.customer, account, current or ""):
            refusal = PasswordUnproven("the current password is not this", field="current_password")
            await office.failed(
                call,
                "identity.set_password",
                refusal,
                customer=session.customer,
                device=session.token,
                country=session.country,
            )
            raise refusal
        office.throttle.forgive(keys)

    async def begin_totp(self, call: web.Call) -> web.Reply:
        office = self._office
        seed = new_seed()
        number, _ = office.challenge(office.own_session(call), seed.encode())
        issuer = office.ports.party.name
        reply = TotpSeed(ids.show(Prefix.CHALLENGE, number), seed, seed_uri(seed, issuer=issuer))
        return web.Reply(201, reply)

    async def confirm_totp(self, call: web.Call) -> web.Reply:
        office, customer = self._office, _customer(call)
        body: TotpProof = call.body
        step_up = optional_id(Prefix.STEP_UP, body.step_up_id, _STEP_UP)
        challenge_id = ids.parse(Prefix.CHALLENGE, body.challenge_id, field="challenge_id")
        seed = office.answered(challenge_id, office.own_session(call)).decode()
        step = matching_step(seed, body.code, now=office.ports.now())
        if not step:
            message = "this is not a code of the authenticator that was fed; begin anew"
            raise CodeRefused(message, field="code")
        codes = tuple(_new_recovery_code() for _ in range(RECOVERY_CODES))
        digests = [
            await code_digest(office.ports.persons, "recovery", customer, code) for code in codes
        ]

        async def change(digest: int) -> web.Reply:
            own = office.own_session(call)
            command = ConfirmTotp(own, customer, step, tuple(digests), step_up, digest)
            shown = web.Reply(201, RecoveryCodes(codes))
            return await self._change(
                call, SessionAct.ADD_AUTHENTICATOR, command, shown, "an authenticator was added"
            )

        return await office.secrets.exchange(customer, TOTP_SEED, seed, change)

    async def _change(
        self, call: web.Call, act: SessionAct, command: Command, reply: web.Reply, what: str
    ) -> web.Reply:
        office = self._office
        await office.judge(call, act)
        answer = await office.submit(command, call)
        if answer.status >= _FIRST_REFUSAL:
            return web.Reply(answer.status, answer.body)
        text = _CHANGED_TEXT.format(what=what)
        await office.notify(_customer(call), "Your credentials were changed", text)
        return reply


def _customer(call: web.Call) -> int:
    assert call.client.customer is not None, "a session is a customer's"
    return call.client.customer


def _new_recovery_code() -> str:
    text = b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode("ascii")
    return "-".join(text[at : at + _RECOVERY_GROUP] for at in range(0, len(text), _RECOVERY_GROUP))


def credential_operations(office: Office) -> tuple[web.Operation, ...]:
    """List the operations of a customer's own credentials."""
    desk = _CredentialDesk(office)
    changing: tuple[type[Refusal], ...] = (
        ids.IdMalformed,
        *JUDGE_REFUSALS,
        CoolingOff,
        StepUpNeeded,
        *SESSION_REFUSALS,
        *web.SUBMIT_REFUSALS,
    )
    return (
        *_passkey_operations(desk, changing),
        web.Operation(
            method="PUT",
            path="/v1/password",
            name="set_password",
            summary="Set the password; other sessions end",
            tag=TAG,
            scope=SELF,
            handler=desk.set_password,
            answers={204: None},
            body=NewPassword,
            refusals=(PasswordTooWeak, PasswordUnproven, PasswordsBusy, TooManyAttempts, *changing),
        ),
        web.Operation(
            method="POST",
            path="/v1/totp",
            name="begin_totp",
            summary="Make the seed for an authenticator that gives codes",
            tag=TAG,
            scope=SELF,
            handler=desk.begin_totp,
            answers={201: TotpSeed},
            refusals=SESSION_REFUSALS,
        ),
        web.Operation(
            method="POST",
            path="/v1/totp/activation",
            name="confirm_totp",
            summary="Ask for codes from now on; gives recovery codes in place of any before",
            tag=TAG,
            scope=SELF,
            handler=desk.confirm_totp,
            answers={201: RecoveryCodes},
            body=TotpProof,
            refusals=(ChallengeUnknown, CodeRefused, *changing),
        ),
    )


def _passkey_operations(
    desk: _CredentialDesk, changing: tuple[type[Refusal], ...]
) -> tuple[web.Operation, ...]:
    return (
        web.Operation(
            method="POST",
            path="/v1/passkeys/challenges",
            name="begin_passkey",
            summary="Ask for what a new passkey is made for",
            tag=TAG,
            scope=SELF,
            handler=desk.passkey_challenge,
            answers={201: Challenge},
            refusals=(*SESSION_REFUSALS, *web.READ_REFUSALS),
        ),
        web.Operation(
            method="POST",
            path="/v1/passkeys",
            name="add_passkey",
            summary="Add a passkey that was made for a challenge",
            tag=TAG,
            scope=SELF,
            handler=desk.add_passkey,
            answers={201: PasskeyAdded},
            body=NewPasskeyBody,
            refusals=(
                ChallengeUnknown,
                PasskeyInvalid,
                CredentialTaken,
                CredentialLimit,
                *changing,
            ),
        ),
        web.Operation(
            method="DELETE",
            path="/v1/passkeys/{passkey_id}",
            name="remove_passkey",
            summary="Remove a passkey; other sessions end",
            tag=TAG,
            scope=SELF,
            handler=desk.remove_passkey,
            answers={204: None},
            path_types={"passkey_id": PasskeyIdText},
            query=StepUpQuery,
            refusals=(CredentialUnknown, CredentialLimit, *changing),
        ),
    )
