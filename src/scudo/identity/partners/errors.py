"""Refusals of partners, of their credentials, and of their tokens.

Refusal
├── PartnerNotFound, PartnerNameTaken                       of records
├── KeyUnfit, KeyNameTaken, KeyNotFound, CertificateUnfit, CertificateNotFound
├── CredentialsTooMany, PartnerScopeUnknown, NetworkUnfit, EnvironmentOther
├── TokenNotBound                                           of requests
└── TokenRefusal                                            of the token endpoint
    ├── ClientUnauthenticated          says nothing: nobody has shown to hold a key
    ├── AssertionInvalid, AssertionReplayed                 to whoever holds the key
    ├── PartnerSuspended, EnvironmentMismatch, AddressNotAllowed: of requests too
    └── GrantUnsupported, ScopeBeyond, SenderConstraintMissing, TokensTooMany
        KeyUnproven, KeyProofStale     of the proof of the key that a token is to be bound to
"""

from typing import ClassVar, Final

from scudo.fabric import web
from scudo.identity.errors import PROOF_REFUSALS, KeyMismatched
from scudo.kernel import Refusal


class PartnerNotFound(Refusal):
    """Raised when there is no such partner."""

    code = "partner_not_found"
    kind = "not_found"
    next_step = "Check the partner id; it is ptn_ and sixteen hex digits."


class PartnerNameTaken(Refusal):
    """Raised when another partner already has this name."""

    code = "partner_name_taken"
    kind = "conflict"
    next_step = "Use another name."


class KeyUnfit(Refusal):
    """Raised when a public key is not one of Ed25519 or P-256."""

    code = "key_unfit"
    kind = "unprocessable"
    next_step = "Send the public key as a JWK: OKP with Ed25519, or EC with P-256."


class KeyNameTaken(Refusal):
    """Raised when the partner already has a key of this `kid`, good or retired."""

    code = "key_name_taken"
    kind = "conflict"
    next_step = "Give the new key a kid of its own."


class KeyNotFound(Refusal):
    """Raised when the partner has no key of this `kid`."""

    code = "key_not_found"
    kind = "not_found"
    next_step = "Check the kid."


class CertificateUnfit(Refusal):
    """Raised when a certificate is named in no way by which it can be told."""

    code = "certificate_unfit"
    kind = "unprocessable"
    next_step = "Send either the certificate's SHA-256, or its subject and issuer (RFC 4514)."


class CertificateNotFound(Refusal):
    """Raised when the partner has no certificate of this name."""

    code = "certificate_not_found"
    kind = "not_found"
    next_step = "Check the certificate's id."


class CredentialsTooMany(Refusal):
    """Raised when a partner would have more keys or certificates than are kept at a time."""

    code = "credentials_too_many"
    kind = "conflict"
    next_step = "Retire one first."


class PartnerScopeUnknown(Refusal):
    """Raised when a partner would get a scope that does not exist, or is none for partners."""

    code = "partner_scope_unknown"
    kind = "unprocessable"
    next_step = "Use scopes that partners may have."


class NetworkUnfit(Refusal):
    """Raised when an entry of an allow-list is not a network."""

    code = "network_unfit"
    kind = "unprocessable"
    next_step = "Write networks as 192.0.2.0/24 or 2001:db8::/32, without bits beyond the mask."


class EnvironmentOther(Refusal):
    """Raised when a partner of another environment than the installation's would be made."""

    code = "environment_other"
    kind = "unprocessable"
    next_step = "Register the partner at an installation of its environment."


class TokenRefusal(Refusal):
    """Raised when no token is given.

    Attributes:
        error: how RFC 6749 (section 5.2) and its extensions call this.
        headers: that go with the answer.
    """

    code = "token_refused"
    error: ClassVar[str] = "invalid_request"

    def __init__(
        self, message: str, *, field: str | None = None, headers: web.errors.Headers = ()
    ) -> None:
        """Refuse with one sentence."""
        super().__init__(message, field=field)
        self.headers = headers


class ClientUnauthenticated(TokenRefusal):
    """Raised when a client has not shown who it is; the reason is in the bank's audit trail."""

    code = "client_unauthenticated"
    kind = "unauthenticated"
    error = "invalid_client"
    next_step = "Sign an assertion with a registered key, or connect with a registered certificate."


class AssertionInvalid(TokenRefusal):
    """Raised when an assertion is signed well, and says what is not, or no longer, true."""

    code = "client_assertion_invalid"
    kind = "unauthenticated"
    error = "invalid_client"
    next_step = "Correct the claim that `field` names, and sign a new assertion."


class AssertionReplayed(TokenRefusal):
    """Raised when an assertion was used before."""

    code = "assertion_replayed"
    kind = "unauthenticated"
    error = "invalid_client"
    next_step = "Sign a new assertion, with a jti of its own, for each token."


class PartnerSuspended(TokenRefusal):
    """Raised when a partner is suspended."""

    code = "partner_suspended"
    kind = "forbidden"
    error = "unauthorized_client"
    next_step = "Ask the bank."


class EnvironmentMismatch(TokenRefusal):
    """Raised when a credential of one environment is used in another."""

    code = "environment_mismatch"
    kind = "unauthenticated"
    error = "invalid_client"
    next_step = "Use sandbox credentials in the sandbox, and production credentials in production."


class AddressNotAllowed(TokenRefusal):
    """Raised when a partner asks from an address that its allow-list does not hold."""

    code = "address_not_allowed"
    kind = "forbidden"
    error = "unauthorized_client"
    next_step = "Ask from an address that was agreed upon, or have the list changed."


class GrantUnsupported(TokenRefusal):
    """Raised when another grant is asked for than client_credentials."""

    code = "grant_unsupported"
    error = "unsupported_grant_type"
    next_step = "Send grant_type=client_credentials."


class ScopeBeyond(TokenRefusal):
    """Raised when a token would have a scope that the partner does not have."""

    code = "scope_beyond"
    error = "invalid_scope"
    next_step = "Ask for scopes that the partner has, or for none to get all of them."


class SenderConstraintMissing(TokenRefusal):
    """Raised when a token of production would be good for whoever steals it."""

    code = "sender_constraint_missing"
    next_step = "Connect with a registered certificate, or send a DPoP proof."


class KeyUnproven(TokenRefusal):
    """Raised when the DPoP proof that comes with a request for a token is not good."""

    code = "token_key_unproven"
    error = "invalid_dpop_proof"
    next_step = "Sign a new proof for this very request with the key that the token is to be for."


class KeyProofStale(TokenRefusal):
    """Raised when that proof could be older than this server, and must name its nonce."""

    code = "token_key_nonce_needed"
    retryable = True
    error = "use_dpop_nonce"
    next_step = "Sign a new proof with the nonce of the header DPoP-Nonce; the assertion is unused."


class TokensTooMany(TokenRefusal):
    """Raised when a partner has as many living tokens as it may."""

    code = "tokens_too_many"
    kind = "limited"
    retryable = True
    error = "temporarily_unavailable"
    next_step = "Use the tokens that were given; each is good for five minutes."


class TokenNotBound(Refusal):
    """Raised when a token comes without the certificate or key that it was given to."""

    code = "token_not_bound"
    kind = "unauthenticated"
    next_step = "Connect with the certificate, or prove the key, that the token was given to."


#: What the door refuses a known token with, at any operation.
DOOR_REFUSALS: Final[tuple[type[Refusal], ...]] = (
    TokenNotBound,
    EnvironmentMismatch,
    PartnerSuspended,
    AddressNotAllowed,
    KeyMismatched,
    *PROOF_REFUSALS,
)
