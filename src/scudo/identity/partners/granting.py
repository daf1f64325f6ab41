"""The token endpoint: who proves to be a partner gets an access token of five minutes.

Nobody learns from an answer which partners there are: until a signature was good, or a
certificate was, everybody is told the same, after the same work. Whoever has shown to hold the
key is told what is wrong.

An assertion is used once: its `jti` is an idempotency key of the log, for ever, under which
another token is another request. So a replay is refused after a restart too.

Source:
    RFC 6749 (sections 4.4 and 5), RFC 7523, RFC 8705, FAPI 2.0 Security Profile.
"""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec

from scudo.fabric import Answer, Tokens, web
from scudo.governance import Act, Recorder
from scudo.identity.dpop import DeviceKey
from scudo.identity.errors import ProofNonceNeeded, ProofRefusal
from scudo.identity.partners.assertions import (
    ASSERTION_CHARS_MAX,
    ASSERTION_TYPE,
    demand_signed,
    demand_true,
    read_assertion,
)
from scudo.identity.partners.commands import IssuedBody, IssuePartnerToken
from scudo.identity.partners.errors import (
    AddressNotAllowed,
    AssertionReplayed,
    ClientUnauthenticated,
    EnvironmentMismatch,
    GrantUnsupported,
    KeyProofStale,
    KeyUnproven,
    PartnerSuspended,
    ScopeBeyond,
    SenderConstraintMissing,
    TokenRefusal,
    TokensTooMany,
)
from scudo.identity.partners.model import TOKEN_US, TOKENS_MAX, Environment, Method, Partner
from scudo.identity.partners.tokens import (
    Binding,
    Doorkeeper,
    Grant,
    bound_certificate,
    is_allowed,
)
from scudo.kernel import SECOND_US, Prefix, Refusal, ids

_TOKEN_BYTES: Final = 32
_ACT: Final = "identity.issue_token"
_REUSED: Final = "idempotency_key_reused"
_encode: Final = msgspec.json.Encoder().encode

ClientText = Annotated[str, msgspec.Meta(max_length=64)]
ScopeText = Annotated[str, msgspec.Meta(max_length=1024)]


class TokenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request for an access token, as a form; scopes have spaces between."""

    grant_type: Annotated[str, msgspec.Meta(max_length=64)]
    client_id: ClientText = ""
    client_assertion_type: Annotated[str, msgspec.Meta(max_length=128)] = ""
    client_assertion: Annotated[str, msgspec.Meta(max_length=ASSERTION_CHARS_MAX)] = ""
    scope: ScopeText = ""


class AccessToken(msgspec.Struct, frozen=True):
    """An access token; seconds until it ends, and scopes with spaces between."""

    access_token: str
    token_type: Literal["Bearer", "DPoP"]
    expires_in: int
    scope: str


class _Told(msgspec.Struct, frozen=True):
    """Of a refusal that the writer gave, what it is."""

    code: str


@dataclass(slots=True)
class _Attempt:
    """What is known so far of who asks.

    Attributes:
        client: the id that was claimed; not believed before `partner` is there.
        number: of the partner, shown; 0 before.
        reason: what was wrong, for the audit trail only.
    """

    client: str = ""
    number: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Shown:
    """A partner that has shown who it is."""

    number: int
    partner: Partner
    method: Method
    credential: str
    jti: str | None
    certificate: tuple[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenDesk:
    """Gives tokens.

    Attributes:
        doorkeeper: who lets them in.
        submit: hands commands to the writer.
        record: writes refusals to the audit trail.
        audience: what the installation is called in assertions.
        tokens: makes the keyed token of an address; an act is told without one if none is made.
    """

    doorkeeper: Doorkeeper
    submit: web.Submit
    record: Recorder
    audience: frozenset[str]
    tokens: Tokens

    async def issue_token(self, call: web.Call) -> web.Reply:
        """Give a token, or refuse, and have either recorded before anything is said."""
        attempt = _Attempt()
        try:
            return await self._issue(call, attempt)
        except TokenRefusal as refusal:
            self.doorkeeper.refused[refusal.code] += 1
            act = Act(
                attempt.number,
                web.PrincipalKind.PARTNER if attempt.number else web.PrincipalKind.NOBODY,
                _ACT,
                object=attempt.client,
                result=refusal.code,
                reason=attempt.reason,
                network=await self._network(call),
                trace=call.trace_id,
            )
            await self.record((act,))
            return web.Reply(refusal.status, _problem(refusal), refusal.headers)

    async def _issue(self, call: web.Call, attempt: _Attempt) -> web.Reply:
        """Give a token.

        Raises:
            GrantUnsupported: if another grant is asked for.
            TokensTooMany: if the partner has as many as it may.
            TokenRefusal: whatever else is wrong.
        """
        request: TokenRequest = call.body
        if request.grant_type != "client_credentials":
            message = "only client_credentials are granted here"
            raise GrantUnsupported(message, field="grant_type")
        now = self.doorkeeper.clock()
        shown = self._authenticate(request, call.arrival, attempt, now)
        attempt.number = shown.number
        self._demand_welcome(shown.partner, call.arrival)
        binding, bound_to = self._bind(shown, call.arrival, attempt)
        scopes = _scopes(request.scope, shown.partner)
        if self.doorkeeper.living(shown.number) >= TOKENS_MAX:
            message = f"this partner has {TOKENS_MAX} living tokens"
            raise TokensTooMany(message)
        token = self.doorkeeper.mark() + secrets.token_urlsafe(_TOKEN_BYTES)
        token_hash = hashlib.sha256(token.encode()).digest()
        answer = await self._note_issue(call, shown, binding, scopes, token_hash)
        if answer.status != 200:
            return _refused(answer)
        issued = msgspec.json.decode(answer.body, type=IssuedBody)
        self.doorkeeper.keep(
            token_hash,
            Grant(
                issued.token,
                shown.number,
                frozenset(scopes),
                shown.method,
                shown.credential,
                binding,
                bound_to,
                shown.certificate[0]
                if binding is Binding.CERTIFICATE and shown.certificate is not None
                else "",
                issued.expires_at,
            ),
        )
        return web.Reply(
            200,
            AccessToken(
                token,
                "DPoP" if binding is Binding.PROOF else "Bearer",
                max(0, (issued.expires_at - now) // SECOND_US),
                " ".join(scopes),
            ),
        )

    async def _note_issue(
        self,
        call: web.Call,
        shown: _Shown,
        binding: Binding,
        scopes: tuple[str, ...],
        token_hash: bytes,
    ) -> Answer:
        command = IssuePartnerToken(
            shown.number,
            shown.method,
            shown.credential,
            binding,
            scopes,
            token_hash,
            TOKEN_US,
            await self._network(call),
        )
        asker = web.Principal(shown.number, frozenset(), kind=web.PrincipalKind.PARTNER)
        # No client can send a key with a space.
        key = None if shown.jti is None else f"assertion {shown.jti}"
        own = msgspec.structs.replace(call, client=asker, key=key, ordered_at=None)
        return await self.submit(command, own)

    async def _network(self, call: web.Call) -> int | None:
        if not call.arrival.network:
            return None
        try:
            (network,) = await self.tokens.tokens((("ip", call.arrival.network),))
        except Refusal:
            return None
        return network

    # ---- who asks

    def _authenticate(
        self, request: TokenRequest, arrival: web.Arrival, attempt: _Attempt, now: int
    ) -> _Shown:
        """Find out which partner asks, and by what it shows that.

        Raises:
            ClientUnauthenticated: if it does not show it.
            AssertionInvalid: if it is shown by an assertion that says something wrong.
        """
        if request.client_assertion or request.client_assertion_type:
            return self._by_assertion(request, arrival, attempt, now)
        attempt.client = _claimed(request.client_id)
        number, partner = self._find(attempt.client)
        certificate = None if partner is None else bound_certificate(partner, arrival.certificate)
        if partner is None or certificate is None:
            attempt.reason = "no_certificate" if arrival.certificate is None else "certificate"
            message = "this client has not shown who it is"
            raise ClientUnauthenticated(message)
        return _Shown(number, partner, Method.CERTIFICATE, certificate[0], None, certificate)

    def _by_assertion(
        self, request: TokenRequest, arrival: web.Arrival, attempt: _Attempt, now: int
    ) -> _Shown:
        if request.client_assertion_type != ASSERTION_TYPE:
            attempt.reason = "assertion_type"
            message = f"client_assertion_type is not {ASSERTION_TYPE}"
            raise ClientUnauthenticated(message, field="client_assertion_type")
        attempt.reason = "assertion"
        assertion = read_assertion(request.client_assertion)
        attempt.client = _claimed(assertion.client)
        number, partner = self._find(attempt.client)
        key = None if partner is None else partner.key(assertion.kid)
        attempt.reason = "client" if partner is None else "key" if key is None else "signature"
        demand_signed(assertion, key, now=now)
        assert partner is not None, "only a partner has keys"
        attempt.number, attempt.reason = number, ""
        if request.client_id not in {"", assertion.client}:
            message = "client_id is another than the assertion's"
            raise ClientUnauthenticated(message, field="client_id")
        self._demand_environment(partner)
        jti = demand_true(assertion, audience=self.audience, now=now)
        certificate = bound_certificate(partner, arrival.certificate)
        return _Shown(number, partner, Method.PRIVATE_KEY, assertion.kid, jti, certificate)

    def _find(self, client: str) -> tuple[int, Partner | None]:
        number = ids.parse(Prefix.PARTNER, client) if client else 0
        return number, self.doorkeeper.partners.register.get(number)

    # ---- what it may

    def _demand_environment(self, partner: Partner) -> None:
        if partner.environment is not self.doorkeeper.environment:
            message = f"this partner is not one of the {self.doorkeeper.environment}"
            raise EnvironmentMismatch(message)

    def _demand_welcome(self, partner: Partner, arrival: web.Arrival) -> None:
        """See that a partner may ask at all, and from here.

        Raises:
            EnvironmentMismatch: if it is one of another environment.
            PartnerSuspended: if it is suspended.
            AddressNotAllowed: if its list does not hold the address.
        """
        self._demand_environment(partner)
        if partner.is_suspended:
            message = "this partner is suspended"
            raise PartnerSuspended(message)
        if not is_allowed(partner, arrival.network):
            message = "this partner may not ask from this address"
            raise AddressNotAllowed(message)

    def _bind(
        self, shown: _Shown, arrival: web.Arrival, attempt: _Attempt
    ) -> tuple[Binding, str | DeviceKey | None]:
        """Say what the token is bound to.

        Raises:
            SenderConstraintMissing: if it would be bound to nothing, in production.
            KeyUnproven, KeyProofStale.
        """
        if b"dpop" in arrival.headers:
            return Binding.PROOF, self._proven(arrival, attempt)
        if shown.certificate is not None:
            return Binding.CERTIFICATE, shown.certificate[1]
        if self.doorkeeper.environment is Environment.PRODUCTION:
            message = "a token of production is bound to a certificate or a key"
            raise SenderConstraintMissing(message)
        return Binding.NONE, None

    def _proven(self, arrival: web.Arrival, attempt: _Attempt) -> DeviceKey:
        """The key whose proof came with the request, used up with it.

        Raises:
            KeyUnproven: if the proof is not good.
            KeyProofStale: if it must name our nonce (RFC 9449, section 8).
        """
        try:
            return self.doorkeeper.proofs.check(arrival)
        except ProofRefusal as refusal:
            attempt.reason = refusal.code
            kind = KeyProofStale if isinstance(refusal, ProofNonceNeeded) else KeyUnproven
            # A token endpoint challenges nobody: of the headers it has the nonce.
            nonce = [header for header in refusal.headers if header[0] == b"dpop-nonce"]
            raise kind(refusal.message, field=refusal.field, headers=nonce) from refusal


def _claimed(client: str) -> str:
    """A client's id if it has the form of one; else nothing, which is what the log shall hold."""
    try:
        return ids.show(Prefix.PARTNER, ids.parse(Prefix.PARTNER, client))
    except ids.IdMalformed:
        return ""


def _scopes(asked: str, partner: Partner) -> tuple[str, ...]:
    """The scopes of a token: those asked for, all of them if none were.

    Raises:
        ScopeBeyond: for one that the partner does not have.
    """
    if not asked:
        return partner.scopes
    wanted = tuple(sorted(set(asked.split(" "))))
    if not set(wanted) <= set(partner.scopes):
        message = "the partner does not have all of these scopes"
        raise ScopeBeyond(message, field="scope")
    return wanted


def _refused(answer: Answer) -> web.Reply:
    """Say what the writer refused.

    Raises:
        AssertionReplayed: if the assertion was used before.
        PartnerSuspended: if the partner was suspended meanwhile.
        ClientUnauthenticated: if its credential was retired meanwhile.
    """
    code = msgspec.json.decode(answer.body, type=_Told).code
    message = "the assertion was used before"
    if code == _REUSED:
        raise AssertionReplayed(message, field="jti")
    for refusal in (PartnerSuspended, ClientUnauthenticated):
        if code == refusal.code:
            message = "this changed while the token was made"
            raise refusal(message)
    return web.Reply(answer.status, answer.body)


def _problem(refusal: TokenRefusal) -> bytes:
    """Write a refusal as a problem, with the two members by which OAuth's clients know it."""
    told = msgspec.to_builtins(web.problem_of(refusal))
    return _encode({**told, "error": refusal.error, "error_description": refusal.message})
