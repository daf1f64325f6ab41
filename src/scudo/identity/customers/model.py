"""What is kept of customers to know them again; every value is a record of the log.

No personal data: an address is its keyed token, a code or a token is its hash, a key is public.

Source:
    Argon2id with 19 MiB, two passes, one lane: OWASP Password Storage Cheat Sheet. Length of
    passwords: NIST SP 800-63B-4 section 3.1.1. TOTP with 30 s steps: RFC 6238 section 5.2.
"""

from enum import IntEnum
from typing import Final

import msgspec

from scudo.fabric import web
from scudo.identity.passkeys import Passkey
from scudo.kernel import SECOND_US

#: Numbers of the kinds of records; 101 to 119 are the customers'.
ADDRESS_KIND: Final = 101
ACCOUNT_KIND: Final = 102
PASSKEY_KIND: Final = 103
CODE_KIND: Final = 104
DEVICE_KIND: Final = 105
SESSION_KIND: Final = 106
REFRESH_KIND: Final = 107
STEP_UP_KIND: Final = 108

PASSKEYS_MAX: Final = 10
#: Sessions that live at the same time; a further one ends the oldest.
SESSIONS_MAX: Final = 20
RECOVERY_CODES: Final = 10
CODE_DIGITS: Final = 8
#: What no record can have as its number, and no customer is.
NOBODY: Final = 0

#: What a session may do; `payments:confirm` and `self:manage` no client can be given.
FULL_SCOPES: Final = frozenset(
    {
        "customers:read",
        "accounts:read",
        "payments:read",
        "payments:write",
        "payments:confirm",
        "self:manage",
    }
)
#: Before there is a credential, a session is good for adding the first, and nothing else.
ENROLMENT_SCOPES: Final = frozenset({"self:manage"})


class Terms(msgspec.Struct, frozen=True):
    """Times and thresholds; microseconds where the name ends in `_us`.

    Attributes:
        code_us, code_tries: how long a mailed code is good, and how often it may be tried.
        token_us: life of an access token.
        refresh_us: a session that is not refreshed for so long is over.
        session_us: no session lives longer.
        challenge_us: how long a challenge may be answered.
        step_up_us, step_up_tries: how long a step-up is good, and how often it may be tried.
        cooling_off_us: after a recovery.
        cooling_off_limit: largest payment to a new payee meanwhile, minor units.
        fresh_us: what changes credentials needs a proof that is no older.
        proof_us: an act that moves money needs a proof of the session that is no older.
        elsewhere_us: the same, when the network changed since that proof.
    """

    code_us: int = 600 * SECOND_US
    code_tries: int = 5
    token_us: int = 300 * SECOND_US
    refresh_us: int = 30 * 86_400 * SECOND_US
    session_us: int = 90 * 86_400 * SECOND_US
    challenge_us: int = 300 * SECOND_US
    step_up_us: int = 300 * SECOND_US
    step_up_tries: int = 5
    cooling_off_us: int = 72 * 3_600 * SECOND_US
    cooling_off_limit: int = 100_00
    fresh_us: int = 600 * SECOND_US
    proof_us: int = 30 * 86_400 * SECOND_US
    elsewhere_us: int = 3_600 * SECOND_US


class Assurance(IntEnum):
    """How well it is known whose session this is; the number stands in the log."""

    MAIL = 1
    RECOVERED = 2
    PASSWORD = 3
    PASSKEY = 4


class Purpose(IntEnum):
    """What a mailed code is for."""

    SIGN_UP = 1
    RECOVERY = 2
    LOG_IN = 3


class Act(IntEnum):
    """Acts that a step-up can be for."""

    PAYMENT = 1
    CREDENTIALS = 2


class SessionAct(IntEnum):
    """What is sensitive in a session; the gate of `SESSION_ACT` knows acts by these numbers.

    `READ` stands for so many reads of the customer's own data as `tokens.READS_TOLD`.
    """

    PAY = 1
    ADD_PASSKEY = 2
    REMOVE_PASSKEY = 3
    SET_PASSWORD = 4
    ADD_AUTHENTICATOR = 5
    READ = 6


class Address(msgspec.Struct, frozen=True):
    """Whose an address is, or `NOBODY`'s any more; the record's number is its keyed token."""

    customer: int


class Account(msgspec.Struct, frozen=True):
    """How one customer proves who they are; the record's number is the customer's.

    Attributes:
        address: keyed token.
        passkeys: numbers of their records.
        password_digest: first 63 bits of the SHA-256 of the password's hash, which has a random
            salt and is the vault's alone. 0: there is no password.
        has_totp: whether codes of an authenticator are asked for; the seed is not here.
        totp_step: newest 30-second step whose code was used; none is good at or before it.
        recovery: keyed hashes of the recovery codes that are left.
        sessions: numbers of those that live, the oldest first.
        cooling_until: microseconds; 0: no recovery.
        recovered_in: session that the recovery began.
        totp_digest: first 63 bits of the SHA-256 of the authenticator's seed, 160 random bits that
            are the vault's alone. 0: there is none, or it was confirmed before this was kept.
    """

    address: int
    passkeys: tuple[int, ...] = ()
    password_digest: int = 0
    has_totp: bool = False
    totp_step: int = 0
    recovery: tuple[int, ...] = ()
    sessions: tuple[int, ...] = ()
    cooling_until: int = 0
    recovered_in: int = 0
    totp_digest: int = 0

    @property
    def has_credential(self) -> bool:
        """Whether there is a way to log in."""
        return bool(self.passkeys or (self.password_digest and self.has_totp))


class StoredPasskey(msgspec.Struct, frozen=True):
    """A passkey; the record's number is the first 63 bits of SHA-256 of its id."""

    customer: int
    passkey: Passkey
    added_at: int
    removed_at: int = 0


class MailedCode(msgspec.Struct, frozen=True):
    """A code that was mailed; the record's number is random.

    Attributes:
        address: keyed token of where it was sent.
        digest: keyed hash of number and code.
        is_decoy: it opens nothing: the address was not what it was asked for.
    """

    purpose: Purpose
    address: int
    digest: int
    expires_at: int
    is_decoy: bool
    tries: int = 0
    is_spent: bool = False


class Device(msgspec.Struct, frozen=True):
    """A device of a customer: its public key; the record's number is hashed of both.

    Attributes:
        thumbprint: RFC 7638, base64url: what the device is known by.
        token: keyed token by which events and features know it.
        key: the JWK.
    """

    customer: int
    thumbprint: str
    token: int
    key: str
    bound_at: int


class Session(msgspec.Struct, frozen=True):
    """A customer on a device; the record's number is the position of its beginning.

    Attributes:
        device: number of the device's record.
        token: keyed token of the device.
        network: keyed token of where the newest proof came from.
        country: where that was said to be, ISO 3166-1 number.
        proven_at: microseconds of the newest proof of who it is.
        end_code: why it ended.
    """

    customer: int
    device: int
    thumbprint: str
    token: int
    assurance: Assurance
    began_at: int
    proven_at: int
    network: int
    country: int | None = None
    refreshed_at: int = 0
    ended_at: int = 0
    end_code: str = ""


class RefreshToken(msgspec.Struct, frozen=True):
    """A refresh token; the record's number is the first 63 bits of its SHA-256."""

    session: int
    digest: bytes
    expires_at: int
    spent_at: int = 0


class StepUp(msgspec.Struct, frozen=True):
    """A proof for one act; the record's number is random.

    Attributes:
        digest: SHA-256 of the act's canonical details.
        challenge: what a passkey signs: hash of the number and the digest.
    """

    customer: int
    session: int
    act: Act
    digest: bytes
    challenge: bytes
    expires_at: int
    tries: int = 0
    proven_at: int = 0
    spent_at: int = 0


def principal_of(number: int, session: Session) -> web.Principal:
    """Who asks with a token of a session, and what they may do."""
    is_enrolling = session.assurance == Assurance.MAIL
    return web.Principal(
        session.customer,
        ENROLMENT_SCOPES if is_enrolling else FULL_SCOPES,
        session.customer,
        web.PrincipalKind.CUSTOMER,
        number,
    )
