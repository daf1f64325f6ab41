"""What customers send and are sent on the wire."""

from typing import Annotated, Any, Final, Literal

import msgspec

from scudo.fabric import web
from scudo.identity.customers.errors import TooManyAttempts
from scudo.identity.customers.model import Assurance, Session
from scudo.identity.customers.office import Office
from scudo.identity.errors import PROOF_REFUSALS, KeyMismatched
from scudo.identity.passkeys import NewPasskey, PasskeyAnswer
from scudo.kernel import Prefix, Refusal, ids

TAG: Final = "identity"
#: Of a session; no client can be given it.
SELF: Final = "self:manage"

CodeIdText = Annotated[str, web.id_text(Prefix.MAILED_CODE)]
ChallengeIdText = Annotated[str, web.id_text(Prefix.CHALLENGE)]
SessionIdText = Annotated[str, web.id_text(Prefix.SESSION)]
PasskeyIdText = Annotated[str, web.id_text(Prefix.PASSKEY)]
StepUpIdText = Annotated[str, web.id_text(Prefix.STEP_UP)]
CustomerIdText = Annotated[str, web.id_text(Prefix.CUSTOMER)]
Email = Annotated[str, msgspec.Meta(min_length=3, max_length=254)]
Password = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
MailedCodeText = Annotated[str, msgspec.Meta(pattern="^[0-9]{8}$", max_length=8)]
TotpText = Annotated[str, msgspec.Meta(pattern="^[0-9]{6}$", max_length=6)]
RecoveryText = Annotated[str, msgspec.Meta(pattern="^([A-Z2-7]{6}-){3}[A-Z2-7]{6}$", max_length=27)]
#: ISO 3166-1 numeric code.
Country = Annotated[int, msgspec.Meta(ge=1, le=999)]
AssuranceName = Literal["mail", "recovered", "password", "passkey"]

#: Of operations that need a session.
SESSION_REFUSALS: Final[tuple[type[Refusal], ...]] = (*PROOF_REFUSALS, KeyMismatched)
#: Of operations that strangers reach.
STRANGER_REFUSALS: Final[tuple[type[Refusal], ...]] = (*PROOF_REFUSALS, TooManyAttempts)


class NewSignUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody who wants to become a customer."""

    email: Email


class CodeSent(msgspec.Struct, frozen=True):
    """A code is on its way, whoever the address belongs to."""

    code_id: CodeIdText
    expires_in_s: int


class Activation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The code that was mailed, and the address again, which is not kept meanwhile."""

    email: Email
    code: MailedCodeText
    country: Country | None = None


class Tokens(msgspec.Struct, frozen=True):
    """Tokens of a session, bound to the key of the device; both are shown this once."""

    access_token: str
    token_type: Literal["DPoP"]
    refresh_token: str
    expires_in_s: int
    session_id: SessionIdText
    customer_id: CustomerIdText
    assurance: AssuranceName


class Challenge(msgspec.Struct, frozen=True):
    """What `navigator.credentials` is called with: `publicKey` in JSON."""

    challenge_id: ChallengeIdText
    public_key: dict[str, Any]


class PasskeyLogIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A passkey's answer to a challenge."""

    challenge_id: ChallengeIdText
    credential: PasskeyAnswer
    country: Country | None = None


class PasswordLogIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Address and password, and a code of the authenticator or a recovery code.

    Where that is not enough and there is no passkey: a mailed code too, and its id.
    """

    email: Email
    password: Password
    code: TotpText | None = None
    recovery_code: RecoveryText | None = None
    country: Country | None = None
    code_id: CodeIdText | None = None
    mailed_code: MailedCodeText | None = None


class TokenRefresh(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A refresh token, which is good once."""

    refresh_token: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class NewPasskeyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A passkey that was made for a challenge."""

    challenge_id: ChallengeIdText
    credential: NewPasskey
    step_up_id: StepUpIdText | None = None


class PasskeyAdded(msgspec.Struct, frozen=True):
    """A passkey of the customer."""

    passkey_id: PasskeyIdText


class StepUpQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The step-up that was passed for this, if the session's proof is not new enough."""

    step_up_id: StepUpIdText | None = None


class NewPassword(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The password from now on; `current_password` is the one before, if there is one.

    Instead of the one before a step-up for credentials may be named.
    """

    password: Password
    current_password: Password | None = None
    step_up_id: StepUpIdText | None = None


class TotpSeed(msgspec.Struct, frozen=True):
    """What an authenticator is fed with; shown this once."""

    challenge_id: ChallengeIdText
    seed: str
    uri: str


class TotpProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A code of the authenticator that was fed."""

    challenge_id: ChallengeIdText
    code: TotpText
    step_up_id: StepUpIdText | None = None


class RecoveryCodes(msgspec.Struct, frozen=True):
    """Codes that are each good once; shown this once."""

    recovery_codes: tuple[str, ...]


class RecoveryProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The mailed code, and a second proof: a recovery code, or a passkey's answer."""

    email: Email
    code: MailedCodeText
    recovery_code: RecoveryText | None = None
    challenge_id: ChallengeIdText | None = None
    credential: PasskeyAnswer | None = None
    country: Country | None = None


class OwnSession(msgspec.Struct, frozen=True):
    """A session that lives."""

    id: SessionIdText
    device: str
    assurance: AssuranceName
    began_at: str
    proven_at: str
    is_this: bool


class OwnSessions(msgspec.Struct, frozen=True):
    """All sessions of the customer that live."""

    items: tuple[OwnSession, ...]


class PasskeyView(msgspec.Struct, frozen=True):
    """A passkey of the customer."""

    id: PasskeyIdText
    added_at: str
    is_synced: bool


class Me(msgspec.Struct, frozen=True):
    """How the customer of this session proves who they are.

    Attributes:
        cooling_off_until: until then, after a recovery, large payments to new payees and
            changes of credentials wait.
        advice: what would make the next log-in safer; null where that is not shown.
    """

    customer_id: CustomerIdText
    session_id: SessionIdText
    assurance: AssuranceName
    passkeys: tuple[PasskeyView, ...]
    has_password: bool
    has_totp: bool
    recovery_codes_left: int
    cooling_off_until: str | None
    advice: str | None


def tokens_reply(office: Office, reply: tuple[Any, str, Session], refresh: str) -> web.Reply:
    """Reply with the tokens of a session."""
    begun, access, session = reply
    body = Tokens(
        access_token=access,
        token_type="DPoP",  # noqa: S106 - the name of a scheme
        refresh_token=refresh,
        expires_in_s=office.terms.token_us // 1_000_000,
        session_id=ids.show(Prefix.SESSION, begun.session),
        customer_id=ids.show(Prefix.CUSTOMER, begun.customer),
        assurance=assurance_name(session.assurance),
    )
    return web.Reply(201, body)


def assurance_name(assurance: Assurance) -> AssuranceName:
    """Name of an assurance on the wire."""
    names: dict[Assurance, AssuranceName] = {
        Assurance.MAIL: "mail",
        Assurance.RECOVERED: "recovered",
        Assurance.PASSWORD: "password",
        Assurance.PASSKEY: "passkey",
    }
    return names[assurance]


def optional_id(prefix: Prefix, text: str | None, field: str) -> int:
    """Read an id that may be absent; 0 then."""
    return 0 if text is None else ids.parse(prefix, text, field=field)
