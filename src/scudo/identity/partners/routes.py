"""HTTP operations of partners: their records, and the token endpoint."""

from dataclasses import dataclass
from typing import Annotated, Final

from scudo.fabric import find_record, web
from scudo.governance import approvals
from scudo.identity.errors import CustomerNotFound
from scudo.identity.partners import errors
from scudo.identity.partners.commands import (
    CertificateBody,
    ChangePartnerLimits,
    PartnerBody,
    RegisterPartner,
    RetirePartnerCertificate,
    RetirePartnerKey,
    SuspendPartner,
)
from scudo.identity.partners.granting import AccessToken, TokenDesk, TokenRequest
from scudo.identity.partners.kinds import certificate_command, key_command
from scudo.identity.partners.logic import canonical_limits
from scudo.identity.partners.model import Environment, Kid, Limits
from scudo.identity.partners.wire import (
    NewCertificate,
    NewKey,
    NewLimits,
    NewPartner,
    PartnerIdText,
    PartnerPage,
    PartnerQuery,
    PartnerView,
    Retirement,
    view_of,
)
from scudo.identity.queries import find_customer
from scudo.kernel import SECOND_US, Prefix, Refusal, ids

_TAG: Final = "partners"
_CURSOR: Final = "p"
#: How often one network may ask for tokens: what it costs to refuse one is small, and bounded.
TOKEN_REQUESTS_PER_S: Final = 50

_Refusals = tuple[type[Refusal], ...]
#: Of what widens a partner's reach, once there are two people to decide on it.
_BY_TWO: Final[_Refusals] = (approvals.errors.SecondPersonNeeded,)


@dataclass(frozen=True, slots=True)
class _Desk:
    submit: web.Submit
    reads: web.Reads
    tokens: TokenDesk

    async def register_partner(self, call: web.Call) -> web.Reply:
        body: NewPartner = call.body
        own = self.tokens.doorkeeper.environment
        if body.environment != own:
            message = f"this installation is of the {own}"
            raise errors.EnvironmentOther(message, field="environment")
        limits = _limits(call, body)
        customer = None
        if body.customer_id is not None:
            customer = ids.parse(Prefix.CUSTOMER, body.customer_id, field="customer_id")
            async with self.reads() as connection:
                if await find_customer(connection, customer) is None:
                    message = "there is no such customer"
                    raise CustomerNotFound(message, field="customer_id")
        command = RegisterPartner(body.name, Environment(body.environment), limits, customer)
        return await web.submitted(self.submit, command, call)

    async def change_limits(self, call: web.Call) -> web.Reply:
        command = ChangePartnerLimits(_partner(call), _limits(call, call.body))
        return await web.submitted(self.submit, command, call)

    async def add_key(self, call: web.Call) -> web.Reply:
        body: NewKey = call.body
        command = key_command(
            _partner(call),
            body.key,
            valid_days=body.valid_days,
            starts_in_s=body.starts_in_s,
            now=self.tokens.doorkeeper.clock(),
        )
        return await web.submitted(self.submit, command, call)

    async def retire_key(self, call: web.Call) -> web.Reply:
        body: Retirement = call.body
        command = RetirePartnerKey(_partner(call), call.path["kid"], body.after_s * SECOND_US)
        return await web.submitted(self.submit, command, call)

    async def add_certificate(self, call: web.Call) -> web.Reply:
        body: NewCertificate = call.body
        command = certificate_command(
            _partner(call), thumbprint=body.thumbprint, subject=body.subject, issuer=body.issuer
        )
        return await web.submitted(self.submit, command, call)

    async def retire_certificate(self, call: web.Call) -> web.Reply:
        command = RetirePartnerCertificate(_partner(call), call.path["certificate_id"])
        return await web.submitted(self.submit, command, call)

    async def suspend(self, call: web.Call) -> web.Reply:
        return await web.submitted(self.submit, SuspendPartner(_partner(call), True), call)  # noqa: FBT003 - a command's members

    async def resume(self, call: web.Call) -> web.Reply:
        return await web.submitted(self.submit, SuspendPartner(_partner(call), False), call)  # noqa: FBT003 - a command's members

    async def get_partner(self, call: web.Call) -> web.Reply:
        number = _partner(call)
        async with self.reads() as connection:
            register = self.tokens.doorkeeper.partners.register
            partner = await find_record(connection, register, number)
        if partner is None:
            message = "there is no such partner"
            raise errors.PartnerNotFound(message, field="partner_id")
        return web.Reply(200, view_of(number, partner))

    async def list_partners(self, call: web.Call) -> web.Reply:
        query: PartnerQuery = call.query
        after = 0
        if query.cursor is not None:
            (after,) = web.decode_cursor(_CURSOR, query.cursor, count=1)
        partners = self.tokens.doorkeeper.partners
        numbers = sorted(number for number in partners.by_name.values() if number > after)
        shown: list[PartnerView] = []
        async with self.reads() as connection:
            for number in numbers[: query.limit]:
                # Memory may be ahead of what is committed; the database is not.
                partner = await find_record(connection, partners.register, number)
                if partner is not None:
                    shown.append(view_of(number, partner))
        is_full = len(numbers) > query.limit
        more = web.encode_cursor(_CURSOR, numbers[query.limit - 1]) if is_full else None
        return web.Reply(200, PartnerPage(tuple(shown), more))


def _partner(call: web.Call) -> int:
    return ids.parse(Prefix.PARTNER, call.path["partner_id"], field="partner_id")


def _limits(call: web.Call, body: NewPartner | NewLimits) -> Limits:
    """Read what a partner shall be allowed, in canonical form.

    Raises:
        PartnerScopeUnknown: for a scope that no partner may have.
        ScopeMissing: for one that the asker lacks. Operators have no scopes; what they give is
            nothing until two of them have approved a credential.
        NetworkUnfit: for an entry that is not a network.
    """
    limits = canonical_limits(body)
    beyond = [scope for scope in limits.scopes if scope not in call.client.scopes]
    if beyond and call.client.kind is not web.PrincipalKind.OPERATOR:
        message = f"a client may not give the scope {beyond[0]}, which it lacks"
        raise web.errors.ScopeMissing(message, field="scopes")
    return limits


def operations(
    *, submit: web.Submit, reads: web.Reads, tokens: TokenDesk
) -> tuple[web.Operation, ...]:
    """List the operations of partners, the token endpoint first."""
    desk = _Desk(submit, reads, tokens)
    return (
        _token_operation(tokens),
        *_record_operations(desk),
        *_suspensions(desk),
        *_key_operations(desk),
        *_certificate_operations(desk),
    )


def _token_operation(tokens: TokenDesk) -> web.Operation:
    return web.Operation(
        method="POST",
        path="/v1/oauth/token",
        name="issue_token",
        summary="Give a partner an access token (RFC 6749, client_credentials)",
        tag=_TAG,
        scope=None,
        handler=tokens.issue_token,
        answers={200: AccessToken},
        body=TokenRequest,
        is_form=True,
        network_per_s=TOKEN_REQUESTS_PER_S,
        refusals=(
            *(
                errors.ClientUnauthenticated,
                errors.AssertionInvalid,
                errors.AssertionReplayed,
                errors.PartnerSuspended,
                errors.EnvironmentMismatch,
                errors.AddressNotAllowed,
                errors.GrantUnsupported,
                errors.ScopeBeyond,
                errors.SenderConstraintMissing,
                errors.KeyUnproven,
                errors.KeyProofStale,
                errors.TokensTooMany,
            ),
            *web.SUBMIT_REFUSALS,
        ),
    )


def _record_operations(desk: _Desk) -> tuple[web.Operation, ...]:
    given: _Refusals = (errors.PartnerScopeUnknown, errors.NetworkUnfit, *web.SUBMIT_REFUSALS)
    return (
        web.Operation(
            method="POST",
            path="/v1/partners",
            name="register_partner",
            summary="Register a partner",
            tag=_TAG,
            scope="partners:write",
            is_bank_wide=True,
            handler=desk.register_partner,
            answers={201: PartnerBody},
            body=NewPartner,
            refusals=(
                ids.IdMalformed,
                CustomerNotFound,
                errors.PartnerNameTaken,
                errors.EnvironmentOther,
                *given,
            ),
            example=NewPartner("acme-payouts", "sandbox", ("payments:write", "payments:read")),
        ),
        web.Operation(
            method="GET",
            path="/v1/partners",
            name="list_partners",
            summary="List partners, oldest first",
            tag=_TAG,
            scope="partners:read",
            is_bank_wide=True,
            handler=desk.list_partners,
            answers={200: PartnerPage},
            query=PartnerQuery,
            refusals=(web.errors.CursorMalformed, *web.READ_REFUSALS),
        ),
        web.Operation(
            method="GET",
            path="/v1/partners/{partner_id}",
            name="get_partner",
            summary="Show a partner",
            tag=_TAG,
            scope="partners:read",
            is_bank_wide=True,
            handler=desk.get_partner,
            answers={200: PartnerView},
            path_types={"partner_id": PartnerIdText},
            refusals=(ids.IdMalformed, errors.PartnerNotFound, *web.READ_REFUSALS),
        ),
        web.Operation(
            method="PUT",
            path="/v1/partners/{partner_id}/limits",
            name="change_partner_limits",
            summary="Narrow what a partner may; two people widen it (set_partner_limits)",
            tag=_TAG,
            scope="partners:write",
            is_bank_wide=True,
            handler=desk.change_limits,
            answers={200: PartnerBody},
            body=NewLimits,
            path_types={"partner_id": PartnerIdText},
            refusals=(
                ids.IdMalformed,
                *_BY_TWO,
                errors.PartnerNotFound,
                *given,
            ),
        ),
    )


def _suspensions(desk: _Desk) -> tuple[web.Operation, ...]:
    return tuple(
        web.Operation(
            method="POST",
            path=f"/v1/partners/{{partner_id}}/{act}",
            name=f"{act}_partner",
            summary=summary,
            tag=_TAG,
            scope="partners:write",
            is_bank_wide=True,
            handler=handler,
            answers={200: PartnerBody},
            path_types={"partner_id": PartnerIdText},
            refusals=(ids.IdMalformed, errors.PartnerNotFound, *needed, *web.SUBMIT_REFUSALS),
        )
        for act, summary, handler, needed in (
            ("suspend", "Let a partner in no more, at once", desk.suspend, ()),
            ("resume", "Let a suspended partner in again", desk.resume, _BY_TWO),
        )
    )


def _key_operations(desk: _Desk) -> tuple[web.Operation, ...]:
    own: _Refusals = (ids.IdMalformed, errors.PartnerNotFound, *web.SUBMIT_REFUSALS)
    return (
        web.Operation(
            method="POST",
            path="/v1/partners/{partner_id}/keys",
            name="add_partner_key",
            summary="Give a partner one more public key",
            tag=_TAG,
            scope="partners:write",
            is_bank_wide=True,
            handler=desk.add_key,
            answers={200: PartnerBody},
            body=NewKey,
            path_types={"partner_id": PartnerIdText},
            refusals=(
                errors.KeyUnfit,
                errors.KeyNameTaken,
                errors.CredentialsTooMany,
                *_BY_TWO,
                *own,
            ),
        ),
        web.Operation(
            method="POST",
            path="/v1/partners/{partner_id}/keys/{kid}/retire",
            name="retire_partner_key",
            summary="End a partner's key, now or within a day",
            tag=_TAG,
            scope="partners:write",
            is_bank_wide=True,
            handler=desk.retire_key,
            answers={200: PartnerBody},
            body=Retirement,
            path_types={"partner_id": PartnerIdText, "kid": Kid},
            refusals=(errors.KeyNotFound, *own),
        ),
    )


def _certificate_operations(desk: _Desk) -> tuple[web.Operation, ...]:
    own: _Refusals = (ids.IdMalformed, errors.PartnerNotFound, *web.SUBMIT_REFUSALS)
    return (
        web.Operation(
            method="POST",
            path="/v1/partners/{partner_id}/certificates",
            name="add_partner_certificate",
            summary="Let a partner connect with a certificate",
            tag=_TAG,
            scope="partners:write",
            is_bank_wide=True,
            handler=desk.add_certificate,
            answers={201: CertificateBody},
            body=NewCertificate,
            path_types={"partner_id": PartnerIdText},
            refusals=(errors.CertificateUnfit, errors.CredentialsTooMany, *_BY_TWO, *own),
        ),
        web.Operation(
            method="DELETE",
            path="/v1/partners/{partner_id}/certificates/{certificate_id}",
            name="retire_partner_certificate",
            summary="Let a partner connect no longer with a certificate",
            tag=_TAG,
            scope="partners:write",
            is_bank_wide=True,
            handler=desk.retire_certificate,
            answers={200: PartnerBody},
            path_types={
                "partner_id": PartnerIdText,
                "certificate_id": Annotated[str, web.id_text(Prefix.RECORD)],
            },
            refusals=(errors.CertificateNotFound, *own),
        ),
    )
