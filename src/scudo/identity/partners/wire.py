"""Partners as they stand on the wire."""

from typing import Annotated, Final, Literal

import msgspec

from scudo.fabric import web
from scudo.identity.partners.model import KEY_LIFE_DAYS_MAX, Kid, Partner
from scudo.kernel import Prefix, ids, rfc3339

_NETWORKS_MAX: Final = 64

PartnerIdText = Annotated[str, web.id_text(Prefix.PARTNER)]
PartnerName = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
TierName = Literal["trial", "standard", "high"]
Scopes = Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=32)]
Networks = Annotated[
    tuple[Annotated[str, msgspec.Meta(max_length=49)], ...], msgspec.Meta(max_length=_NETWORKS_MAX)
]
NameText = Annotated[str, msgspec.Meta(max_length=512)]
Member = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Days = Annotated[int, msgspec.Meta(ge=1, le=KEY_LIFE_DAYS_MAX)]
#: A day is long enough for a partner to roll its new key out.
OverlapSeconds = Annotated[int, msgspec.Meta(ge=0, le=86_400)]


class NewPartner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A partner to register; with `customer_id` it sees that customer's objects only."""

    name: PartnerName
    environment: Literal["sandbox", "production"]
    scopes: Scopes
    tier: TierName = "standard"
    networks: Networks = ()
    must_sign: bool = True
    customer_id: Annotated[str, web.id_text(Prefix.CUSTOMER)] | None = None


class NewLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a partner may from now on; no networks means from everywhere."""

    scopes: Scopes
    tier: TierName
    networks: Networks
    must_sign: bool


class PublicKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A public key as RFC 7517 writes it: OKP with Ed25519, or EC with P-256."""

    kid: Kid
    kty: Literal["OKP", "EC"]
    crv: Literal["Ed25519", "P-256"]
    x: Member
    y: Member | None = None
    use: Literal["sig"] = "sig"


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key to add, good from now or from a later time on, for so many days."""

    key: PublicKey
    valid_days: Days = 365
    starts_in_s: OverlapSeconds = 0


class Retirement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long what is retired is still good, in seconds."""

    after_s: OverlapSeconds = 0


class NewCertificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A certificate: its SHA-256 in base64url, or its subject and issuer (RFC 4514)."""

    thumbprint: Annotated[str, msgspec.Meta(max_length=64)] = ""
    subject: NameText = ""
    issuer: NameText = ""


class KeyView(msgspec.Struct, frozen=True):
    """A key of a partner."""

    kid: str
    algorithm: str
    valid_from: str
    valid_until: str


class CertificateView(msgspec.Struct, frozen=True):
    """A certificate that a partner may connect with."""

    id: str
    thumbprint: str
    subject: str
    issuer: str


class PartnerView(msgspec.Struct, frozen=True):
    """A partner."""

    id: PartnerIdText
    name: str
    environment: str
    tier: str
    scopes: tuple[str, ...]
    networks: tuple[str, ...]
    must_sign: bool
    is_suspended: bool
    customer_id: str | None
    registered_at: str
    keys: tuple[KeyView, ...]
    certificates: tuple[CertificateView, ...]


class PartnerPage(msgspec.Struct, frozen=True):
    """Partners, oldest first."""

    items: tuple[PartnerView, ...]
    next_cursor: str | None


class PartnerQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which partners."""

    cursor: web.CursorText | None = None
    limit: web.PageLimit = 50


def view_of(number: int, partner: Partner) -> PartnerView:
    """Show a partner."""
    return PartnerView(
        id=ids.show(Prefix.PARTNER, number),
        name=partner.name,
        environment=partner.environment,
        tier=partner.tier,
        scopes=partner.scopes,
        networks=partner.networks,
        must_sign=partner.signs,
        is_suspended=partner.is_suspended,
        customer_id=None
        if partner.customer is None
        else ids.show(Prefix.CUSTOMER, partner.customer),
        registered_at=rfc3339(partner.registered_at),
        keys=tuple(
            KeyView(key.kid, key.algorithm, rfc3339(key.valid_from), rfc3339(key.valid_until))
            for key in partner.keys
        ),
        certificates=tuple(
            CertificateView(one.id, one.thumbprint, one.subject, one.issuer)
            for one in partner.certificates
        ),
    )
