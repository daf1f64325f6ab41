"""Access tokens: five minutes, in memory, bound to the key of a device.

Only the SHA-256 of a token is kept. After a restart of the server all are gone, and devices
take new ones for their refresh tokens.
"""

import hashlib
import secrets
from collections import deque
from collections.abc import Callable
from typing import Final

from scudo.fabric import web
from scudo.identity.customers.logic import first_63
from scudo.identity.customers.model import Session, principal_of
from scudo.identity.customers.store import CustomerStore
from scudo.identity.dpop import DeviceKey, Proofs
from scudo.identity.errors import KeyMismatched, ProofMissing, ProofReplayed

_TOKEN_BYTES: Final = 32
#: So many reads in a session are told at once.
READS_TOLD: Final = 100
#: Tells a thief's use of a token: number of session and customer, code of the refusal, network.
Misused = Callable[[int, int, str, str], None]
#: Tells that much was read: number of session and customer, network.
ReadMuch = Callable[[int, int, str], None]


class Grant:
    """What one access token is good for."""

    __slots__ = ("digest", "expires_at", "key", "principal", "session")

    def __init__(
        self,
        principal: web.Principal,
        *,
        session: int,
        key: DeviceKey,
        digest: bytes,
        expires_at: int,
    ) -> None:
        """Bind a principal to a key until `expires_at`, microseconds."""
        self.principal = principal
        self.session = session
        self.key = key
        self.digest = digest
        self.expires_at = expires_at


class AccessTokens:
    """All access tokens of customers that are good now."""

    def __init__(
        self,
        proofs: Proofs,
        store: CustomerStore,
        *,
        now: Callable[[], int],
        misused: Misused,
        read_much: ReadMuch,
    ) -> None:
        """Give tokens for the sessions of a store, and check them with their proofs."""
        self._proofs = proofs
        self._now = now
        self._store = store
        self._misused = misused
        self._read_much = read_much
        #: Reads by session, since they were told.
        self._reads: dict[int, int] = {}
        self._by_digest: dict[bytes, Grant] = {}
        self._by_session: dict[int, list[Grant]] = {}
        #: In the order in which they expire, which is that in which they were given.
        self._expiring: deque[Grant] = deque()

    def give(self, number: int, session: Session, key: DeviceKey) -> str:
        """Make a token for a session; it is told this once."""
        token = "at_" + secrets.token_urlsafe(_TOKEN_BYTES)
        now = self._now()
        grant = Grant(
            principal_of(number, session),
            session=number,
            key=key,
            digest=hashlib.sha256(token.encode()).digest(),
            expires_at=now + self._store.terms.token_us,
        )
        self._by_digest[grant.digest] = grant
        self._by_session.setdefault(number, []).append(grant)
        self._expiring.append(grant)
        while self._expiring and self._expiring[0].expires_at <= now:
            self._drop(self._expiring.popleft())
        return token

    def authenticate(self, scheme: str, token: str, arrival: web.Arrival) -> web.Principal | None:
        """Whose token this is, if its key proves the request.

        Raises:
            KeyMismatched: if another key proves it; the token is good no longer.
            ProofMissing: if nothing does; the token is good no longer.
            ProofReplayed: if the proof was used before.
        """
        grant = self._by_digest.get(hashlib.sha256(token.encode()).digest())
        if grant is None or grant.expires_at <= self._now():
            return None
        try:
            self._demand_proof(scheme, token, arrival, grant)
        except (KeyMismatched, ProofMissing, ProofReplayed) as refusal:
            # Only a thief does this: it is told, and a token that is out is good no longer.
            if not isinstance(refusal, ProofReplayed):
                self._drop(grant)
            self._misused(grant.session, grant.principal.id, refusal.code, arrival.network)
            raise
        if arrival.method == "GET":
            self._count_read(grant, arrival)
        return grant.principal

    def _count_read(self, grant: Grant, arrival: web.Arrival) -> None:
        reads = self._reads.get(grant.session, 0) + 1
        if reads >= READS_TOLD:
            reads = 0
            self._read_much(grant.session, grant.principal.id, arrival.network)
        self._reads[grant.session] = reads

    def _demand_proof(self, scheme: str, token: str, arrival: web.Arrival, grant: Grant) -> None:
        """Look whether a request is proven by the key of its token.

        Raises:
            ProofMissing: if the token came as if it needed none.
        """
        if scheme != "dpop":
            message = "this token is good with the proof of its key only"
            raise ProofMissing(message)
        self._proofs.check(arrival, token=token, key=grant.key)

    def end(self, session: int) -> None:
        """Let no token of a session be good any more."""
        self._reads.pop(session, None)
        for grant in self._by_session.pop(session, ()):
            self._by_digest.pop(grant.digest, None)

    def _drop(self, grant: Grant) -> None:
        self._by_digest.pop(grant.digest, None)
        others = [g for g in self._by_session.get(grant.session, ()) if g is not grant]
        if others:
            self._by_session[grant.session] = others
        else:
            self._by_session.pop(grant.session, None)
            # Who let the last token end has not read lately.
            self._reads.pop(grant.session, None)


def new_refresh_token() -> tuple[str, int, bytes]:
    """Make a refresh token: its text, the number of its record, and its SHA-256."""
    token = "rt_" + secrets.token_urlsafe(_TOKEN_BYTES)
    return (token, *refresh_digest(token))


def refresh_digest(token: str) -> tuple[int, bytes]:
    """The number of a refresh token's record, and its SHA-256."""
    digest = hashlib.sha256(token.encode()).digest()
    return first_63(digest), digest
