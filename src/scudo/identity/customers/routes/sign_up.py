"""HTTP operations that begin with a mailed code: sign-up, and recovery of an account."""

import secrets
from typing import Final

import msgspec

from scudo.fabric import web
from scudo.governance import GateShut
from scudo.identity.customers.commands import Activate, MailCode, Recover, StopRecovery
from scudo.identity.customers.errors import (
    AddressMalformed,
    ChallengeUnknown,
    CodeRefused,
    LogInDeclined,
    LogInRefused,
    RecoveryUnknown,
    SessionOver,
)
from scudo.identity.customers.logic import read_address
from scudo.identity.customers.model import CODE_DIGITS, NOBODY, Purpose
from scudo.identity.customers.office import Office, code_digest, new_number
from scudo.identity.customers.persons import EMAIL
from scudo.identity.customers.routes.wire import (
    SELF,
    SESSION_REFUSALS,
    STRANGER_REFUSALS,
    TAG,
    Activation,
    CodeIdText,
    CodeSent,
    NewSignUp,
    RecoveryProof,
    Tokens,
    tokens_reply,
)
from scudo.identity.customers.sign_up import Mailed
from scudo.identity.customers.throttle import ACCOUNT, MAIL, NETWORK
from scudo.identity.mail import Mail
from scudo.identity.passkeys import AssertionInvalid, Passkey, read_assertion, verify_answer
from scudo.kernel import Prefix, Refusal, ids

_mailed: Final = msgspec.json.Decoder(Mailed).decode
_RECOVERY: Final = "recovery"
_FIRST_REFUSAL: Final = 400

_CODE_TEXT: Final = """\
Your code is {code}. It is good for ten minutes and once.

Nobody of the bank ever asks you for it. If you did not ask for it, somebody else typed your
address; you need do nothing.
"""
_KNOWN_TEXT: Final = """\
Somebody tried to sign up with this address, which has an account already.

If it was you, log in instead. If not, you need do nothing.
"""
_STRANGE_TEXT: Final = """\
Somebody tried to log in with this address, which has no account.

If it was you, sign up, or try the address that you signed up with.
"""
_UNKNOWN_TEXT: Final = """\
Somebody asked to recover an account with this address, which has none.

If it was you, sign up, or try the address that you signed up with.
"""


#: What is mailed where there is nothing that a code could open.
_INSTEAD: Final = {
    Purpose.SIGN_UP: ("You have an account", _KNOWN_TEXT),
    Purpose.RECOVERY: ("There is no account", _UNKNOWN_TEXT),
    Purpose.LOG_IN: ("There is no account", _STRANGE_TEXT),
}


class _SignUpDesk:
    """Serves sign-ups and recoveries, and mails codes for log-ins."""

    def __init__(self, office: Office) -> None:
        """Serve at one office."""
        self._office = office

    async def sign_up(self, call: web.Call) -> web.Reply:
        return await self._mail_code(call, Purpose.SIGN_UP)

    async def begin_recovery(self, call: web.Call) -> web.Reply:
        return await self._mail_code(call, Purpose.RECOVERY)

    async def begin_log_in(self, call: web.Call) -> web.Reply:
        return await self._mail_code(call, Purpose.LOG_IN)

    async def _mail_code(self, call: web.Call, purpose: Purpose) -> web.Reply:
        """Mail a code, or why there is none: the answer is the same, and so is the work."""
        office, persons = self._office, self._office.ports.persons
        address = read_address(call.body.email)
        token, network = await persons.token(EMAIL, address), await office.network(call)
        office.throttle.take([(MAIL, "mail", token), (NETWORK, "mail", network)])
        number = new_number()
        code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
        digest = await code_digest(persons, number, code)
        answer = await office.submit(MailCode(number, purpose, token, digest, network), call)
        if answer.status >= _FIRST_REFUSAL:
            return web.Reply(answer.status, answer.body)
        if not _mailed(answer.body).is_decoy:
            mail = Mail(address, f"{code} is your code", _CODE_TEXT.format(code=code))
        else:
            mail = Mail(address, *_INSTEAD[purpose])
        office.ports.mailer.send(mail)
        sent = CodeSent(ids.show(Prefix.MAILED_CODE, number), office.terms.code_us // 1_000_000)
        return web.Reply(202, sent)

    async def activate(self, call: web.Call) -> web.Reply:
        office, persons = self._office, self._office.ports.persons
        body: Activation = call.body
        key = office.proofs.check(call.arrival)
        number = ids.parse(Prefix.MAILED_CODE, call.path["code_id"], field="code_id")
        address = read_address(body.email)
        token = await persons.token(EMAIL, address)
        bearing, refresh = await office.bearing(call, key, body.country)
        network = [(NETWORK, "code", bearing.network)]
        office.throttle.take(network)
        digest = await code_digest(persons, number, body.code)
        command = Activate(number, token, digest, body.country, bearing)
        answer = await office.submit(command, call)
        if answer.status >= _FIRST_REFUSAL:
            return web.Reply(answer.status, answer.body)
        office.throttle.forgive(network)
        begun = office.begun(answer, key)
        await persons.keep(begun[0].customer, {EMAIL: address})
        return tokens_reply(office, begun, refresh)

    async def recover(self, call: web.Call) -> web.Reply:
        office, persons = self._office, self._office.ports.persons
        body: RecoveryProof = call.body
        key = office.proofs.check(call.arrival)
        number = ids.parse(Prefix.MAILED_CODE, call.path["code_id"], field="code_id")
        address = read_address(body.email)
        token = await persons.token(EMAIL, address)
        bearing, refresh = await office.bearing(call, key, body.country)
        keys = [(ACCOUNT, _RECOVERY, token), (NETWORK, "code", bearing.network)]
        office.throttle.take(keys)
        found = await office.find(office.store.addresses, token)
        customer = NOBODY if found is None else found.customer
        try:
            passkey, answered = await self._passkey(body, customer)
        except AssertionInvalid as refusal:
            await office.failed(
                call,
                "identity.recover",
                refusal,
                customer=customer,
                device=bearing.token,
                country=bearing.country,
            )
            raise
        recovery = 0
        if body.recovery_code is not None:
            recovery = await code_digest(persons, _RECOVERY, customer, body.recovery_code)
        digest = await code_digest(persons, number, body.code)
        command = Recover(number, token, digest, customer, recovery, passkey, answered, bearing)
        answer = await office.submit(command, call)
        if answer.status >= _FIRST_REFUSAL:
            return web.Reply(answer.status, answer.body)
        office.throttle.forgive(keys)
        begun = office.begun(answer, key)
        await persons.keep(customer, {EMAIL: address})
        await office.notify(customer, "Your account was recovered", _recovered_text(office))
        return tokens_reply(office, begun, refresh)

    async def _passkey(self, body: RecoveryProof, customer: int) -> tuple[int, Passkey | None]:
        """Verify the passkey's answer, if there is one.

        Raises:
            AssertionInvalid: if it does not hold.
            ChallengeUnknown.
        """
        if body.credential is None or body.challenge_id is None:
            return 0, None
        office = self._office
        challenge_id = ids.parse(Prefix.CHALLENGE, body.challenge_id, field="challenge_id")
        challenge = office.answered(challenge_id, None)
        assertion = read_assertion(body.credential)
        number, stored = await office.passkey(assertion.credential)
        if stored is None or stored.customer != customer:
            message = "the passkey's answer does not hold"
            raise AssertionInvalid(message, field="credential")
        return number, verify_answer(
            office.ports.party, assertion, challenge=challenge, passkey=stored.passkey
        )

    async def stop_recovery(self, call: web.Call) -> web.Reply:
        office = self._office
        assert call.client.customer is not None, "a session is a customer's"
        command = StopRecovery(office.own_session(call), call.client.customer)
        answer = await office.submit(command, call)
        if answer.status < _FIRST_REFUSAL:
            text = "The recovery of your account was stopped from a session of yours.\n"
            await office.notify(call.client.customer, "A recovery was stopped", text)
            return web.Reply(204)
        return web.Reply(answer.status, answer.body)


def _recovered_text(office: Office) -> str:
    hours = office.terms.cooling_off_us // 3_600_000_000
    return (
        "Somebody with a code from this mailbox and a second proof is in your account again.\n\n"
        f"For {hours} hours credentials cannot be changed, and large payments to new payees wait.\n"
        "If it was not you, stop it from a device on which you are logged in.\n"
    )


def sign_up_operations(office: Office) -> tuple[web.Operation, ...]:
    """List the operations that begin with a mailed code."""
    desk = _SignUpDesk(office)
    mailing: tuple[type[Refusal], ...] = (
        AddressMalformed,
        *STRANGER_REFUSALS,
        *web.SUBMIT_REFUSALS,
    )
    opening: tuple[type[Refusal], ...] = (
        ids.IdMalformed,
        AddressMalformed,
        CodeRefused,
        LogInDeclined,
        SessionOver,
        GateShut,
        *STRANGER_REFUSALS,
        *web.SUBMIT_REFUSALS,
    )
    return (
        *_sign_ups(desk, mailing, opening),
        web.Operation(
            method="POST",
            path="/v1/log-ins/codes",
            name="begin_log_in_by_mail",
            summary="Ask for the code that a log-in by password needs too; it is mailed",
            tag=TAG,
            scope=None,
            handler=desk.begin_log_in,
            answers={202: CodeSent},
            body=NewSignUp,
            refusals=mailing,
        ),
        *_recoveries(desk, mailing, opening),
    )


def _sign_ups(
    desk: _SignUpDesk, mailing: tuple[type[Refusal], ...], opening: tuple[type[Refusal], ...]
) -> tuple[web.Operation, ...]:
    return (
        web.Operation(
            method="POST",
            path="/v1/sign-ups",
            name="sign_up",
            summary="Ask for the code that opens an account; it is mailed",
            tag=TAG,
            scope=None,
            handler=desk.sign_up,
            answers={202: CodeSent},
            body=NewSignUp,
            refusals=mailing,
            example=NewSignUp("ada@example.com"),
        ),
        web.Operation(
            method="POST",
            path="/v1/sign-ups/{code_id}/activation",
            name="activate",
            summary="Open an account by its code, on the device whose key proves this request",
            tag=TAG,
            scope=None,
            handler=desk.activate,
            answers={201: Tokens},
            path_types={"code_id": CodeIdText},
            body=Activation,
            refusals=opening,
            example=Activation("ada@example.com", "12345678", 756),
        ),
    )


def _recoveries(
    desk: _SignUpDesk, mailing: tuple[type[Refusal], ...], opening: tuple[type[Refusal], ...]
) -> tuple[web.Operation, ...]:
    return (
        web.Operation(
            method="POST",
            path="/v1/recoveries",
            name="begin_recovery",
            summary="Ask for the code that begins a recovery; it is mailed",
            tag=TAG,
            scope=None,
            handler=desk.begin_recovery,
            answers={202: CodeSent},
            body=NewSignUp,
            refusals=mailing,
        ),
        web.Operation(
            method="POST",
            path="/v1/recoveries/{code_id}/proof",
            name="recover",
            summary="Recover an account by its code and a second proof; it cools off then",
            tag=TAG,
            scope=None,
            handler=desk.recover,
            answers={201: Tokens},
            path_types={"code_id": CodeIdText},
            body=RecoveryProof,
            refusals=(LogInRefused, ChallengeUnknown, AssertionInvalid, *opening),
        ),
        web.Operation(
            method="DELETE",
            path="/v1/recoveries",
            name="stop_recovery",
            summary="Stop a recovery that was not yours, from a session of before",
            tag=TAG,
            scope=SELF,
            handler=desk.stop_recovery,
            answers={204: None},
            refusals=(SessionOver, RecoveryUnknown, *SESSION_REFUSALS, *web.SUBMIT_REFUSALS),
        ),
    )
