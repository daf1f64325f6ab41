"""Refusals of the identity room."""

from typing import ClassVar, Final

from scudo.fabric import web
from scudo.kernel import Refusal


class CustomerNotFound(Refusal):
    """Raised when there is no such customer, or not one that the caller may see."""

    code = "customer_not_found"
    kind = "not_found"
    next_step = "Check the customer id; it is cus_ and sixteen hex digits."


class RelationshipOver(Refusal):
    """Raised when somebody is a customer no more."""

    code = "relationship_over"
    kind = "conflict"
    next_step = "Register the person as a new customer."


class AccountsOpen(Refusal):
    """Raised when a relationship would end while the customer still has an account."""

    code = "accounts_open"
    kind = "conflict"
    next_step = "Close the customer's accounts first; GET /v1/accounts lists them."


class CustomerReferenceTaken(Refusal):
    """Raised when another customer already has this reference."""

    code = "customer_reference_taken"
    kind = "conflict"
    next_step = "Use another reference, or look the customer up by this one."


class ScopeUnknown(Refusal):
    """Raised when a client would get a scope that does not exist."""

    code = "scope_unknown"
    kind = "unprocessable"
    next_step = "Use scopes of the list in the API's description."


class ClientNotFound(Refusal):
    """Raised when no client of this name has a token."""

    code = "client_not_found"
    kind = "not_found"
    next_step = "Check the client's name."


class ProofRefusal(web.WebRefusal):
    """Raised when a request's DPoP proof does not hold."""

    code = "proof_refused"
    kind = "unauthenticated"
    next_step = "Sign a new proof for this very request with the key that the token is bound to."
    #: Word of the challenge (RFC 9449 section 7.1).
    error: ClassVar[str] = "invalid_dpop_proof"

    def __init__(self, message: str, *, nonce: str | None = None) -> None:
        """Refuse with one sentence; `nonce` is what the next proof must hold."""
        challenge = f'DPoP error="{self.error}", algs="ES256 EdDSA"'.encode("ascii")
        headers = [(b"www-authenticate", challenge)]
        if nonce is not None:
            headers.append((b"dpop-nonce", nonce.encode("ascii")))
        super().__init__(message, field="dpop", headers=headers)


class ProofMissing(ProofRefusal):
    """Raised when a request needs a DPoP proof and has none."""

    code = "proof_missing"


class ProofMalformed(ProofRefusal):
    """Raised when a DPoP proof is not a JWT as RFC 9449 wants it, or its signature is wrong."""

    code = "proof_malformed"


class ProofMismatched(ProofRefusal):
    """Raised when a DPoP proof was made for another method, URL or token."""

    code = "proof_mismatched"


class ProofExpired(ProofRefusal):
    """Raised when a DPoP proof was made too long ago, or in the future."""

    code = "proof_expired"
    retryable = True


class ProofReplayed(ProofRefusal):
    """Raised when a DPoP proof was used before."""

    code = "proof_replayed"


class ProofNonceNeeded(ProofRefusal):
    """Raised when a DPoP proof could be older than this server, and must name its nonce."""

    code = "proof_nonce_needed"
    retryable = True
    next_step = "Sign a new proof that holds the nonce of the header DPoP-Nonce."
    error = "use_dpop_nonce"


class KeyMismatched(ProofRefusal):
    """Raised when a token is used with another key than the one it is bound to."""

    code = "key_mismatched"
    error = "invalid_token"
    next_step = "Use the key that the token was given to, or ask for a token with this one."


#: What a request may be refused with because of its proof alone.
PROOF_REFUSALS: Final[tuple[type[Refusal], ...]] = (
    ProofMissing,
    ProofMalformed,
    ProofMismatched,
    ProofExpired,
    ProofReplayed,
    ProofNonceNeeded,
)
