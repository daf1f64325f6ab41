"""Access tokens of partners: who asks, by which token, and whether it may be used here.

A token is 32 random bytes; memory keeps its SHA-256 for the five minutes that it lives. A
restart forgets all of them, and partners ask for new ones. What a token is good for is asked of
the partner's record at every request, so whatever is revoked is revoked with the commit that
revokes it.

Source:
    RFC 8705, section 3 (certificate-bound tokens), RFC 9449, section 7 (DPoP-bound tokens).
"""

import functools
import hashlib
import ipaddress
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Final, NoReturn

import msgspec

from scudo.fabric import web
from scudo.governance import Act
from scudo.identity.dpop import DeviceKey, Proofs
from scudo.identity.errors import ProofRefusal
from scudo.identity.partners.commands import Partners, good_until
from scudo.identity.partners.errors import (
    AddressNotAllowed,
    EnvironmentMismatch,
    PartnerSuspended,
    TokenNotBound,
)
from scudo.identity.partners.keys import find_certificate, is_signed, thumbprint
from scudo.identity.partners.model import Environment, Method, Partner, SigningKey
from scudo.kernel import SECOND_US, Refusal

#: What every partner's token begins with; no other token of ours has a full stop.
TOKEN_MARK: Final = "scudo."  # noqa: S105 - what is public of every token
_ADDRESSES_MAX: Final = 65_536
#: One refusal of a kind of one partner is noted in the log within so long; all are counted.
_NOTED_EVERY_US: Final = SECOND_US


class Binding(StrEnum):
    """To what a token is bound: it is of no use without that."""

    CERTIFICATE = "certificate"
    PROOF = "proof"
    NONE = "none"


class Grant(msgspec.Struct, frozen=True):
    """What a token stands for.

    Attributes:
        number: of the event that issued it.
        credential: by which the partner showed who it was.
        bound_to: thumbprint of the certificate; or the key that signs proofs, of which the
            thumbprint is what others call `cnf.jkt`; None if it is bound to neither.
        certificate: the id of that certificate in the partner's record; else empty.
        expires_at: microseconds.
    """

    number: int
    partner: int
    scopes: frozenset[str]
    method: Method
    credential: str
    binding: Binding
    bound_to: str | DeviceKey | None
    certificate: str
    expires_at: int


class _Admitted(msgspec.Struct, gc=False):
    """A grant, and what was worked out of it and a version of the partner's record."""

    grant: Grant
    version: int
    principal: web.Principal
    is_ended: bool
    is_suspended: bool
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


#: Tells the audit trail of an act, without waiting.
Note = Callable[[Act], None]


class Doorkeeper:
    """Knows the living tokens of partners; use it from the event loop's thread only."""

    def __init__(
        self,
        partners: Partners,
        *,
        environment: Environment,
        clock: Callable[[], int],
        note: Note,
        proofs: Proofs,
    ) -> None:
        """Guard one installation's door.

        Args:
            partners: their records.
            environment: of the installation.
            clock: microseconds.
            note: told what was refused.
            proofs: checks DPoP proofs; whoever else checks some for these URLs shares it.
        """
        self.partners = partners
        self.environment = environment
        self.clock = clock
        self.proofs = proofs
        #: Refusals of tokens that were known, by code; for metrics.
        self.refused: Counter[str] = Counter()
        self._note = note
        self._noted: dict[tuple[int, str], int] = {}
        #: All tokens live equally long, so what ends first comes first, but for those of keys
        #: that end early, which stay a little.
        self._by_hash: dict[bytes, _Admitted] = {}
        self._living: Counter[int] = Counter()

    # ---- giving

    def mark(self) -> str:
        """What a token of this installation begins with."""
        return f"{TOKEN_MARK}{self.environment}."

    def living(self, partner: int) -> int:
        """Count the tokens of a partner that live."""
        self._sweep()
        return self._living[partner]

    def keep(self, token_hash: bytes, grant: Grant) -> None:
        """Let a token in from now on."""
        self._sweep()
        self._by_hash[token_hash] = self._admitted(grant)
        self._living[grant.partner] += 1

    def _sweep(self) -> None:
        now = self.clock()
        while self._by_hash:
            oldest = next(iter(self._by_hash))
            grant = self._by_hash[oldest].grant
            if grant.expires_at > now:
                return
            del self._by_hash[oldest]
            self._living[grant.partner] -= 1
            if not self._living[grant.partner]:
                del self._living[grant.partner]

    # ---- letting in

    def authenticate(self, scheme: str, token: str, arrival: web.Arrival) -> web.Principal | None:
        """Whose token this is; None if it is nobody's, or has ended.

        Raises:
            EnvironmentMismatch: if it is one of another environment.
            PartnerSuspended: if the partner is suspended.
            TokenNotBound: if it comes without what it is bound to.
            ProofRefusal: if it is bound to a key, and the request's proof is not good.
            AddressNotAllowed: if it comes from where the partner may not ask.
        """
        if not token.startswith(TOKEN_MARK):
            return None
        if not token.startswith(self.mark()):
            self.refused[EnvironmentMismatch.code] += 1
            message = f"this token is not one of the {self.environment}"
            raise EnvironmentMismatch(message)
        token_hash = hashlib.sha256(token.encode()).digest()
        admitted = self._by_hash.get(token_hash)
        if admitted is None or admitted.grant.expires_at <= self.clock():
            return None
        grant = admitted.grant
        if admitted.version != self.partners.register.version(grant.partner):
            admitted = self._admitted(grant)
            self._by_hash[token_hash] = admitted
        if admitted.is_ended:
            return None
        if admitted.is_suspended:
            self._refuse(grant, arrival, PartnerSuspended("this partner is suspended"))
        self._demand_bound(grant, scheme, token, arrival)
        if admitted.networks and not _is_within(arrival.network, admitted.networks):
            message = "this partner may not ask from this address"
            self._refuse(grant, arrival, AddressNotAllowed(message))
        return admitted.principal

    def _admitted(self, grant: Grant) -> _Admitted:
        """Work out what a grant is worth by the partner's record as it is now."""
        version = self.partners.register.version(grant.partner)
        partner = self.partners.register.get(grant.partner)
        assert partner is not None, "a record is never taken away"
        is_good = good_until(partner, grant.method, grant.credential, now=self.clock())
        is_bound = not grant.certificate or partner.certificate(grant.certificate) is not None
        principal = web.Principal(
            grant.partner,
            grant.scopes & frozenset(partner.scopes),
            partner.customer,
            web.PrincipalKind.PARTNER,
            grant.number,
            partner.tier,
        )
        return _Admitted(
            grant,
            version,
            principal,
            is_good is None or not is_bound,
            partner.is_suspended,
            networks_of(partner),
        )

    def _demand_bound(self, grant: Grant, scheme: str, token: str, arrival: web.Arrival) -> None:
        if isinstance(grant.bound_to, DeviceKey):
            if scheme == "dpop":
                try:
                    self.proofs.check(arrival, token=token, key=grant.bound_to)
                except ProofRefusal as refusal:
                    self._refuse(grant, arrival, refusal)
                return
        elif scheme == "bearer" and (
            grant.binding is Binding.NONE
            or (
                arrival.certificate is not None
                and thumbprint(arrival.certificate) == grant.bound_to
            )
        ):
            return
        message = "this token was given to another certificate or key than this request shows"
        self._refuse(grant, arrival, TokenNotBound(message))

    def _refuse(self, grant: Grant, arrival: web.Arrival, refusal: Refusal) -> NoReturn:
        self.noted(grant.partner, "identity.use_token", arrival, refusal)
        raise refusal

    def noted(self, partner: int, act: str, arrival: web.Arrival, refusal: Refusal) -> None:
        """Count a refusal of a known partner, and tell the audit trail, once a second at most."""
        self.refused[refusal.code] += 1
        now, key = self.clock(), (partner, refusal.code)
        if now - self._noted.get(key, 0) >= _NOTED_EVERY_US:
            self._noted[key] = now
            self._note(
                Act(
                    partner,
                    web.PrincipalKind.PARTNER,
                    act,
                    object=arrival.path[:255],
                    result=refusal.code,
                )
            )

    # ---- signatures

    def must_sign(self, principal: web.Principal) -> bool:
        """Whether somebody's requests that move money must be signed."""
        if principal.kind is not web.PrincipalKind.PARTNER:
            return False
        partner = self.partners.register.get(principal.id)
        return partner is None or partner.signs

    def signed_by(
        self, principal: web.Principal, kid: str, signature: bytes, message: bytes
    ) -> str | None:
        """By what algorithm a partner's key signed a message; None: no good key of its did."""
        partner = self.partners.register.get(principal.id)
        key = None if partner is None else partner.key(kid)
        if key is None or not _is_good(key, self.clock()):
            return None
        return key.algorithm if is_signed(key, signature, message) else None


def _is_good(key: SigningKey, now: int) -> bool:
    return key.valid_from <= now < key.valid_until


def networks_of(
    partner: Partner,
) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Read the networks of a partner's record."""
    return tuple(ipaddress.ip_network(text) for text in partner.networks)


def is_allowed(partner: Partner, network: str) -> bool:
    """Whether a partner may ask from an address."""
    networks = networks_of(partner)
    return not networks or _is_within(network, networks)


def bound_certificate(partner: Partner, certificate: bytes | None) -> tuple[str, str] | None:
    """Id and thumbprint of the partner's certificate that a connection has; None: none of its."""
    if certificate is None:
        return None
    known = find_certificate(partner.certificates, certificate)
    return None if known is None else (known.id, thumbprint(certificate))


@functools.lru_cache(maxsize=_ADDRESSES_MAX)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # An IPv4 client of a socket that takes both.
    return getattr(address, "ipv4_mapped", None) or address


def _is_within(
    text: str, networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
) -> bool:
    address = _address(text)
    return address is not None and any(address in network for network in networks)
