"""HTTP operations of step-ups: a proof for one act, its amount and its payee."""

from typing import Annotated, Any, Final, Literal

import msgspec

from scudo.fabric import web
from scudo.identity.customers.commands import BeginStepUp, ProveStepUp
from scudo.identity.customers.errors import (
    ActIncomplete,
    PasswordsBusy,
    SessionOver,
    StepUpRefused,
    StepUpUnknown,
    TooManyAttempts,
)
from scudo.identity.customers.logic import act_digest, step_up_challenge
from scudo.identity.customers.model import Act, StepUp
from scudo.identity.customers.office import Office, new_number
from scudo.identity.customers.passwords import matching_step
from scudo.identity.customers.persons import TOTP_SEED
from scudo.identity.customers.routes.wire import (
    SELF,
    SESSION_REFUSALS,
    TAG,
    Password,
    StepUpIdText,
    TotpText,
)
from scudo.identity.customers.throttle import DEVICE
from scudo.identity.passkeys import (
    AssertionInvalid,
    PasskeyAnswer,
    authentication_options,
    read_assertion,
    verify_answer,
)
from scudo.kernel import CurrencyUnknown, Prefix, Refusal, currency, ids, instant

_FIRST_REFUSAL: Final = 400
_Amount = Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)]


class PaymentStepUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The payment that is to be confirmed: what its payer is shown, and signs."""

    payment_id: Annotated[str, web.id_text(Prefix.PAYMENT)]
    amount_minor: _Amount
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$", max_length=3)]
    payee_account_id: Annotated[str, web.id_text(Prefix.ACCOUNT)]


class NewStepUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The act that a proof is wanted for; `payment` tells the details of one."""

    act: Literal["payment", "credentials"]
    payment: PaymentStepUp | None = None


class StepUpBody(msgspec.Struct, frozen=True):
    """A step-up that waits for its proof; `public_key` is for `navigator.credentials.get`."""

    step_up_id: StepUpIdText
    expires_in_s: int
    public_key: dict[str, Any]


class StepUpProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A passkey's answer, or the password with a code of the authenticator."""

    credential: PasskeyAnswer | None = None
    password: Password | None = None
    code: TotpText | None = None


class _StepUpDesk:
    """Serves step-ups."""

    def __init__(self, office: Office) -> None:
        """Serve at one office."""
        self._office = office

    async def begin(self, call: web.Call) -> web.Reply:
        office = self._office
        body: NewStepUp = call.body
        session = await office.session(call)
        act, digest = self._act(body)
        number = new_number()
        challenge = step_up_challenge(number, digest)
        account = await office.account(session.customer)
        command = BeginStepUp(
            number, office.own_session(call), session.customer, act, digest, challenge
        )
        answer = await office.submit(command, call)
        if answer.status >= _FIRST_REFUSAL:
            return web.Reply(answer.status, answer.body)
        options = authentication_options(
            office.ports.party, challenge=challenge, allowed=await office.passkeys(account)
        )
        return web.Reply(
            201,
            StepUpBody(
                ids.show(Prefix.STEP_UP, number),
                office.terms.step_up_us // 1_000_000,
                dict(options),
            ),
        )

    def _act(self, body: NewStepUp) -> tuple[Act, bytes]:
        """Read the act and hash its details.

        Raises:
            ActIncomplete: if the details are not those of the act.
            IdMalformed, CurrencyUnknown.
        """
        payment = body.payment
        if (body.act == "payment") != (payment is not None):
            message = "an act of this kind has other details"
            raise ActIncomplete(message, field="payment")
        if payment is None:
            return Act.CREDENTIALS, act_digest(Act.CREDENTIALS)
        today = instant(self._office.ports.now()).date()
        digest = act_digest(
            Act.PAYMENT,
            number=ids.parse(Prefix.PAYMENT, payment.payment_id, field="payment.payment_id"),
            amount=payment.amount_minor,
            currency=currency(payment.currency, on=today).numeric,
            to=ids.parse(
                Prefix.ACCOUNT, payment.payee_account_id, field="payment.payee_account_id"
            ),
        )
        return Act.PAYMENT, digest

    async def prove(self, call: web.Call) -> web.Reply:
        office = self._office
        session = await office.session(call)
        own = office.own_session(call)
        number = ids.parse(Prefix.STEP_UP, call.path["step_up_id"], field="step_up_id")
        keys = [(DEVICE, "step_up", own)]
        office.throttle.take(keys)
        step_up = await office.find(office.store.step_ups, number)
        if step_up is None or step_up.session != own:
            message = "there is no such step-up that waits for a proof"
            raise StepUpUnknown(message, field="step_up_id")
        verified = await self._verified(call.body, number, step_up)
        command = msgspec.structs.replace(
            verified, network=await office.network(call), country=office.country(call)
        )
        answer = await office.submit(command, call)
        if answer.status >= _FIRST_REFUSAL:
            return web.Reply(answer.status, answer.body)
        office.throttle.forgive(keys)
        assert session.customer == step_up.customer, "a session is one customer's"
        return web.Reply(204)

    async def _verified(self, body: StepUpProof, number: int, step_up: StepUp) -> ProveStepUp:
        """Verify a proof; one that does not hold is a try that counts."""
        office = self._office
        failed = ProveStepUp(number, step_up.session, step_up.customer, 0, None, 0, 0)
        if body.credential is not None:
            try:
                assertion = read_assertion(body.credential)
                passkey, stored = await office.passkey(assertion.credential)
                if stored is None or stored.customer != step_up.customer:
                    return failed
                answered = verify_answer(
                    office.ports.party,
                    assertion,
                    challenge=step_up.challenge,
                    passkey=stored.passkey,
                )
            except AssertionInvalid:
                return failed
            return msgspec.structs.replace(failed, passkey=passkey, answered=answered)
        account = await office.account(step_up.customer)
        is_right = await office.is_password(step_up.customer, account, body.password or "")
        seed = await office.secrets.read(step_up.customer, account, TOTP_SEED)
        if not is_right or not seed:
            return failed
        step = matching_step(seed, body.code or "", now=office.ports.now())
        against = account.password_digest
        return msgspec.structs.replace(
            failed, against=against, totp_step=step, totp_digest=account.totp_digest
        )


def step_up_operations(office: Office) -> tuple[web.Operation, ...]:
    """List the operations of step-ups."""
    desk = _StepUpDesk(office)
    shared: tuple[type[Refusal], ...] = (
        ids.IdMalformed,
        SessionOver,
        *SESSION_REFUSALS,
        *web.SUBMIT_REFUSALS,
    )
    return (
        web.Operation(
            method="POST",
            path="/v1/step-ups",
            name="begin_step_up",
            summary="Ask for a proof that is good for one act, its amount and its payee",
            tag=TAG,
            scope=SELF,
            handler=desk.begin,
            answers={201: StepUpBody},
            body=NewStepUp,
            refusals=(ActIncomplete, CurrencyUnknown, *shared),
            example=NewStepUp(
                "payment",
                PaymentStepUp("pay_0000000000000009", 9_000_00, "EUR", "acc_0000000000000002"),
            ),
        ),
        web.Operation(
            method="POST",
            path="/v1/step-ups/{step_up_id}/proof",
            name="prove_step_up",
            summary="Give the proof of a step-up",
            tag=TAG,
            scope=SELF,
            handler=desk.prove,
            answers={204: None},
            path_types={"step_up_id": StepUpIdText},
            body=StepUpProof,
            refusals=(StepUpUnknown, StepUpRefused, PasswordsBusy, TooManyAttempts, *shared),
        ),
    )
