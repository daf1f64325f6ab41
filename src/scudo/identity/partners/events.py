"""What partners tell the log."""

from typing import ClassVar

from scudo.fabric import Event
from scudo.kernel import ids


class PartnerRegistered(Event, frozen=True, tag=150):
    """A partner was registered."""

    name: ClassVar[str] = "identity.partner.registered.v1"

    partner: ids.PartnerId
    environment: str
    tier: str
    scopes: tuple[str, ...]
    customer: ids.CustomerId | None


class PartnerKeyAdded(Event, frozen=True, tag=151):
    """A partner has one more key; instants are microseconds."""

    name: ClassVar[str] = "identity.partner.key_added.v1"

    partner: ids.PartnerId
    kid: str
    algorithm: str
    valid_from: int
    valid_until: int


class PartnerKeyRetired(Event, frozen=True, tag=152):
    """A partner's key ends earlier than it would have; microseconds."""

    name: ClassVar[str] = "identity.partner.key_retired.v1"

    partner: ids.PartnerId
    kid: str
    valid_until: int


class PartnerCertificateAdded(Event, frozen=True, tag=153):
    """A partner may connect with one more certificate, or with those of one more subject."""

    name: ClassVar[str] = "identity.partner.certificate_added.v1"

    partner: ids.PartnerId
    certificate: str
    thumbprint: str


class PartnerCertificateRetired(Event, frozen=True, tag=154):
    """A partner may no longer connect with a certificate."""

    name: ClassVar[str] = "identity.partner.certificate_retired.v1"

    partner: ids.PartnerId
    certificate: str


class PartnerLimitsChanged(Event, frozen=True, tag=155):
    """What a partner may was changed; the whole of it, as it is from now on."""

    name: ClassVar[str] = "identity.partner.limits_changed.v1"

    partner: ids.PartnerId
    tier: str
    scopes: tuple[str, ...]
    networks: int
    signs: bool


class PartnerSuspensionChanged(Event, frozen=True, tag=156):
    """A partner was suspended, or let in again."""

    name: ClassVar[str] = "identity.partner.suspension_changed.v1"

    partner: ids.PartnerId
    is_suspended: bool


class PartnerTokenIssued(Event, frozen=True, tag=157):
    """A partner was given an access token.

    Attributes:
        token: position of this event; requests by the token name it as their session.
        method: how the partner showed who it is, and `credential` the key or certificate.
        binding: to what the token is bound: `certificate`, `proof`, or `none`.
        expires_at: microseconds.
        network: keyed token of the address it went to.
    """

    name: ClassVar[str] = "identity.partner.token_issued.v1"

    token: ids.SessionId
    partner: ids.PartnerId
    method: str
    credential: str
    binding: str
    scopes: tuple[str, ...]
    expires_at: int
    network: ids.NetworkToken | None
