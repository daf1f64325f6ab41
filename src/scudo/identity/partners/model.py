"""Partners: programs of other firms, what they prove themselves by, and what they may."""

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from scudo.kernel import SECOND_US

#: What a partner can be allowed to do: nothing that changes the bank itself.
PARTNER_SCOPES: Final = frozenset(
    {
        "customers:read",
        "customers:write",
        "accounts:read",
        "accounts:write",
        "payments:read",
        "payments:write",
        "decisions:read",
        "events:read",
    }
)
#: A token's life.
TOKEN_US: Final = 300 * SECOND_US
#: How far ahead an assertion's end may be, and how old one may be.
ASSERTION_US: Final = 60 * SECOND_US
#: How far two honest clocks may be apart.
SKEW_US: Final = 5 * SECOND_US
#: Keys, and certificates, that a partner has at a time: rotation needs two.
CREDENTIALS_MAX: Final = 8
#: A key is good for so long at most.
KEY_LIFE_DAYS_MAX: Final = 400
#: Tokens of a partner that live at the same time.
TOKENS_MAX: Final = 1_000


class Environment(StrEnum):
    """For whom an installation works; credentials of one are good in that one only."""

    SANDBOX = "sandbox"
    PRODUCTION = "production"


class Tier(StrEnum):
    """How much a partner may ask; the numbers are limits of the edge."""

    TRIAL = "trial"
    STANDARD = "standard"
    HIGH = "high"


class Algorithm(StrEnum):
    """What a key signs with, as RFC 9421 names it."""

    ED25519 = "ed25519"
    ECDSA_P256 = "ecdsa-p256-sha256"


class Method(StrEnum):
    """How a partner shows who it is, as OAuth's registries name it."""

    PRIVATE_KEY = "private_key_jwt"
    CERTIFICATE = "tls_client_auth"


class SigningKey(msgspec.Struct, frozen=True):
    """A public key of a partner.

    Attributes:
        kid: its name among the partner's keys; taken as long as the record keeps the key.
        public: 32 bytes of Ed25519, or the 65 of an uncompressed point of P-256; base64url.
        valid_from, valid_until: microseconds; it is good at the first, and not at the second.
    """

    kid: str
    algorithm: Algorithm
    public: str
    valid_from: int
    valid_until: int


class Certificate(msgspec.Struct, frozen=True):
    """A certificate that a partner may connect with.

    Either one certificate by its thumbprint, or all that a trusted CA issued to a subject.

    Attributes:
        id: names it towards clients.
        thumbprint: SHA-256 over the DER, base64url; empty if it is told by its names.
        subject, issuer: distinguished names as RFC 4514 writes them; empty with a thumbprint.
    """

    id: str
    thumbprint: str = ""
    subject: str = ""
    issuer: str = ""


class Partner(msgspec.Struct, frozen=True):
    """A partner as it is recorded.

    Attributes:
        scopes: sorted.
        networks: from which it may ask; none: from everywhere.
        signs: whether its requests that move money must be signed (RFC 9421).
        customer: the one customer whose objects it may see; None sees all.
        registered_at: microseconds.
    """

    name: str
    environment: Environment
    tier: Tier
    scopes: tuple[str, ...]
    registered_at: int
    networks: tuple[str, ...] = ()
    signs: bool = False
    customer: int | None = None
    keys: tuple[SigningKey, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    is_suspended: bool = False

    def key(self, kid: str) -> SigningKey | None:
        """Find a key, good or not."""
        return next((key for key in self.keys if key.kid == kid), None)

    def certificate(self, name: str) -> Certificate | None:
        """Find a certificate by its id."""
        return next((known for known in self.certificates if known.id == name), None)


class Limits(msgspec.Struct, frozen=True, array_like=True):
    """What may be changed of a partner, all of it at a time."""

    tier: Tier
    scopes: tuple[str, ...]
    networks: tuple[str, ...]
    signs: bool


Kid = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern="^[A-Za-z0-9._-]+$")]
