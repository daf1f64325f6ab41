"""What is asked of the writer for customers, in canonical form: hashes, tokens, public keys.

Proofs are verified before a command is made; the handler looks whether what they were verified
against still stands, and whether they can be used up.
"""

import msgspec

from scudo.fabric import Command
from scudo.identity.customers.model import Act, Purpose, SessionAct
from scudo.identity.passkeys import Passkey


class Bearing(msgspec.Struct, frozen=True, array_like=True):
    """The device that a session begins on, where, and the session's first refresh token.

    Attributes:
        token: keyed token of the device.
        key: JWK of the device.
        refresh: first 63 bits of the refresh token's SHA-256, which is `digest`.
    """

    thumbprint: str
    token: int
    key: str
    network: int
    country: int | None
    refresh: int
    digest: bytes


class MailCode(Command, frozen=True, tag=110):
    """Make a code for an address; the mail is sent afterwards."""

    code: int
    purpose: Purpose
    address: int
    digest: int
    network: int


class Activate(Command, frozen=True, tag=111):
    """Redeem a code of a sign-up: register the customer and begin a session."""

    code: int
    address: int
    digest: int
    country: int | None
    bearing: Bearing


class AddPasskey(Command, frozen=True, tag=112):
    """Add a passkey that was verified."""

    session: int
    customer: int
    number: int
    passkey: Passkey
    step_up: int


class RemovePasskey(Command, frozen=True, tag=113):
    """Remove a passkey."""

    session: int
    customer: int
    number: int
    step_up: int


class SetPassword(Command, frozen=True, tag=114):
    """Set or change the password; other sessions end.

    Attributes:
        password_digest: as `Account` has it; the hash itself is with the vault already.
    """

    session: int
    customer: int
    password_digest: int
    step_up: int


class ConfirmTotp(Command, frozen=True, tag=115):
    """From now on ask for codes of the authenticator that gave one of `step`.

    Attributes:
        totp_digest: as `Account` has it; the seed itself is with the vault already.
    """

    session: int
    customer: int
    step: int
    recovery: tuple[int, ...]
    step_up: int
    totp_digest: int = 0


class LogIn(Command, frozen=True, tag=116):
    """Begin a session by proofs that were verified.

    Attributes:
        passkey: number of its record; 0: by password.
        answered: the passkey after its answer.
        against: `password_digest` of the password that was verified; 0: none.
        totp_step, recovery: what was given beside the password; 0: not this.
        mailed: number of a mailed code that was given beside both; 0: none.
        mailed_digest: keyed hash of that number and the code.
        totp_digest: of the seed that the code was verified with.
    """

    customer: int
    passkey: int
    answered: Passkey | None
    against: int
    totp_step: int
    recovery: int
    bearing: Bearing
    mailed: int = 0
    mailed_digest: int = 0
    totp_digest: int = 0


class Refresh(Command, frozen=True, tag=117):
    """Take a refresh token in exchange for the next one.

    Attributes:
        old, old_digest: number and SHA-256 of the token that came.
        new, new_digest: of the one that will be given.
    """

    old: int
    old_digest: bytes
    new: int
    new_digest: bytes
    thumbprint: str
    network: int


class EndSessions(Command, frozen=True, tag=118):
    """End one session of a customer (`which`), or all (0); `code` says why."""

    session: int
    customer: int
    which: int
    code: str


class BeginStepUp(Command, frozen=True, tag=119):
    """Ask for a proof for one act."""

    number: int
    session: int
    customer: int
    act: Act
    digest: bytes
    challenge: bytes


class ProveStepUp(Command, frozen=True, tag=120):
    """Give the proof for one act; a `passkey` of 0 and a `totp_step` of 0: it does not hold.

    Attributes:
        network, country: where the proof came from; 0, None: not known.
        totp_digest: of the seed that the code was verified with.
    """

    number: int
    session: int
    customer: int
    passkey: int
    answered: Passkey | None
    against: int
    totp_step: int
    network: int = 0
    country: int | None = None
    totp_digest: int = 0


class Recover(Command, frozen=True, tag=121):
    """Begin a session by a mailed code and a second proof: recovery code or passkey."""

    code: int
    address: int
    digest: int
    customer: int
    recovery: int
    passkey: int
    answered: Passkey | None
    bearing: Bearing


class StopRecovery(Command, frozen=True, tag=122):
    """Stop a recovery from a session that was there before."""

    session: int
    customer: int


class FailProof(Command, frozen=True, tag=124):
    """Have it in the log, and before the gates, that a proof of who somebody is did not hold.

    Attributes:
        customer: who it was said to be; 0: nobody is known by that name.
        act: what was tried, and `code` how it was refused.
    """

    customer: int
    act: str
    code: str
    device: int
    network: int
    country: int | None
    trace: str


class JudgeAct(Command, frozen=True, tag=125):
    """Judge a session again: something sensitive is about to be done in it."""

    session: int
    customer: int
    act: SessionAct
    network: int
    country: int | None


class ReportMisuse(Command, frozen=True, tag=123):
    """Tell the log that a session's token was used as only a thief would."""

    session: int
    customer: int
    code: str
    network: int
