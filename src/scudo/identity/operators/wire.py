"""Operators as they are on the wire."""

import hashlib
import secrets
from typing import Annotated, Any, Final

import msgspec

from scudo.fabric import web
from scudo.identity.operators.kinds import OperatorIdText
from scudo.identity.passkeys import NewPasskey, PasskeyAnswer
from scudo.kernel import Prefix, ids

_TOKEN_BYTES: Final = 32

SessionIdText = Annotated[str, web.id_text(Prefix.SESSION)]
#: A code that colleagues know somebody by, such as a staff number; no name, no address.
Handle = Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9._-]{1,31}$", max_length=32)]
#: Why: a code or the number of a case; no free text, because it stands in the log for ever.
Reason = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._:/-]{1,63}$", max_length=64)]
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class NewOperator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody who shall run the bank with you."""

    handle: Handle


class OperatorReason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why something is done to an operator: a code or the number of a case."""

    reason: Reason


def reason_of(call: web.Call) -> str:
    """Why a call does it.

    Raises:
        ReferenceUnfit: it looks like somebody's data, which no code is.
    """
    return web.demand_reference(call.body.reason, field="reason")


class InvitationView(msgspec.Struct, frozen=True):
    """An invitation; its token is shown this once."""

    id: OperatorIdText
    handle: str
    invitation: str
    expires_at: str


class GivenInvitation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token of an invitation."""

    invitation: Token


class Enrolment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A first passkey, by an invitation."""

    invitation: Token
    credential: NewPasskey


class FurtherPasskey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another passkey; `proof` is what one that you have says to the same challenge."""

    credential: NewPasskey
    proof: PasskeyAnswer


class Ceremony(msgspec.Struct, frozen=True):
    """What a browser is to do: `create` a passkey, or `get` one's answer."""

    create: dict[str, Any] | None = None
    get: dict[str, Any] | None = None


class GivenAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a passkey says to a challenge."""

    credential: PasskeyAnswer


class NewSession(msgspec.Struct, frozen=True):
    """A session; its token is shown this once."""

    id: SessionIdText
    operator_id: OperatorIdText
    expires_at: str
    token: str


class SessionView(msgspec.Struct, frozen=True):
    """A session of yours that holds."""

    id: SessionIdText
    began_at: str
    expires_at: str
    is_this: bool


class SessionList(msgspec.Struct, frozen=True):
    """Your sessions, oldest first."""

    items: tuple[SessionView, ...]


class ElevationView(msgspec.Struct, frozen=True):
    """A role that somebody has, or had, for a time."""

    role: str
    until: str
    reason: str
    is_over: bool


class OperatorView(msgspec.Struct, frozen=True):
    """An operator: what they hold, and when they were last seen."""

    id: OperatorIdText
    handle: str
    state: str
    passkeys: int
    roles: tuple[str, ...]
    elevations: tuple[ElevationView, ...]
    sessions: int
    logged_in_at: str | None
    invited_by: OperatorIdText | None


class OperatorList(msgspec.Struct, frozen=True):
    """All operators, oldest first."""

    items: tuple[OperatorView, ...]


def new_token(prefix: str) -> tuple[str, bytes]:
    """Make a token, which is shown once, and its SHA-256, which is kept."""
    token = prefix + secrets.token_urlsafe(_TOKEN_BYTES)
    return token, hashlib.sha256(token.encode()).digest()


def hash_of(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


def show_operator(number: int) -> str:
    """An operator's id as clients see it."""
    return ids.show(Prefix.OPERATOR, number)
