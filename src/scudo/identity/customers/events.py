"""What customers' sign-ups, log-ins and proofs tell the log: ids, tokens and codes only."""

from typing import Annotated, ClassVar

from scudo.fabric import INSTANT, Event
from scudo.kernel import ids

Instant = Annotated[int, INSTANT]
#: Of `SessionMisused`: somebody is paged.
SEVERITY_HIGH = 3


class CodeMailed(Event, frozen=True, tag=110):
    """A code was made for an address, known or not.

    `purpose` is 1 sign-up, 2 recovery, 3 log-in.
    """

    name: ClassVar[str] = "identity.code.mailed.v1"

    code: ids.EventId
    purpose: int
    network: ids.NetworkToken


class CodeFailed(Event, frozen=True, tag=111):
    """A mailed code was refused."""

    name: ClassVar[str] = "identity.code.failed.v1"

    code: ids.EventId
    purpose: int
    network: ids.NetworkToken


class CustomerActivated(Event, frozen=True, tag=112):
    """A customer who signed up has proven the address."""

    name: ClassVar[str] = "identity.customer.activated.v1"

    customer: ids.CustomerId


class CredentialAdded(Event, frozen=True, tag=113):
    """A customer has a new credential: `passkey`, `password`, `totp` or `recovery_codes`."""

    name: ClassVar[str] = "identity.credential.added.v1"

    customer: ids.CustomerId
    kind: str


class CredentialRemoved(Event, frozen=True, tag=114):
    """A credential of a customer is good no longer."""

    name: ClassVar[str] = "identity.credential.removed.v1"

    customer: ids.CustomerId
    kind: str


class DeviceBound(Event, frozen=True, tag=115):
    """A customer uses a device for the first time: its key was proven."""

    name: ClassVar[str] = "identity.device.bound.v1"

    customer: ids.CustomerId
    device: ids.DeviceToken


class SessionBegan(Event, frozen=True, tag=116):
    """A customer is logged in on a device; `assurance` says how well that is known."""

    name: ClassVar[str] = "identity.session.began.v1"

    session: ids.SessionId
    customer: ids.CustomerId
    device: ids.DeviceToken
    network: ids.NetworkToken
    assurance: int


class SessionRefreshed(Event, frozen=True, tag=117):
    """A session goes on with new tokens."""

    name: ClassVar[str] = "identity.session.refreshed.v1"

    session: ids.SessionId
    customer: ids.CustomerId


class SessionEnded(Event, frozen=True, tag=118):
    """A session is over, and all of its tokens with it."""

    name: ClassVar[str] = "identity.session.ended.v1"

    session: ids.SessionId
    customer: ids.CustomerId
    code: str


class SessionMisused(Event, frozen=True, tag=119):
    """Somebody used a token of a session as only a thief would: an alarm.

    `code` is the refusal that they met; severity 3 pages somebody.
    """

    name: ClassVar[str] = "identity.session.misused.v1"

    session: ids.SessionId
    customer: ids.CustomerId
    code: str
    severity: int
    network: ids.NetworkToken


class LogInFailed(Event, frozen=True, tag=120):
    """A log-in was refused after its proofs were found good in themselves: by gate or reuse."""

    name: ClassVar[str] = "identity.log_in.failed.v1"

    customer: ids.CustomerId
    code: str
    device: ids.DeviceToken
    network: ids.NetworkToken


class StepUpBegun(Event, frozen=True, tag=121):
    """A customer was asked for a proof for one act; `act` is 1 payment, 2 credentials."""

    name: ClassVar[str] = "identity.step_up.begun.v1"

    session: ids.SessionId
    customer: ids.CustomerId
    act: int


class StepUpPassed(Event, frozen=True, tag=122):
    """The proof for one act was given."""

    name: ClassVar[str] = "identity.step_up.passed.v1"

    session: ids.SessionId
    customer: ids.CustomerId
    act: int


class StepUpFailed(Event, frozen=True, tag=123):
    """A proof for one act did not hold."""

    name: ClassVar[str] = "identity.step_up.failed.v1"

    session: ids.SessionId
    customer: ids.CustomerId
    act: int


class StepUpSpent(Event, frozen=True, tag=124):
    """The proof for one act was used, for that act."""

    name: ClassVar[str] = "identity.step_up.spent.v1"

    session: ids.SessionId
    customer: ids.CustomerId
    act: int


class SessionDoubted(Event, frozen=True, tag=127):
    """A sensitive act was refused, because of how or where the session acts.

    `act` is 1 paying, 2 adding and 3 removing a passkey, 4 setting the password, 5 adding an
    authenticator, 6 reading much; `code` is the refusal: that a proof is needed first, or that
    the session is over by this.
    """

    name: ClassVar[str] = "identity.session.doubted.v1"

    session: ids.SessionId
    customer: ids.CustomerId
    act: int
    code: str
    network: ids.NetworkToken


class CustomerRecovered(Event, frozen=True, tag=125):
    """A customer who had lost access is in again, and cools off until a time."""

    name: ClassVar[str] = "identity.customer.recovered.v1"

    customer: ids.CustomerId
    session: ids.SessionId
    cooling_until: Instant


class RecoveryStopped(Event, frozen=True, tag=126):
    """A recovery was stopped from a session that was there before; what it began is over."""

    name: ClassVar[str] = "identity.recovery.stopped.v1"

    customer: ids.CustomerId
    session: ids.SessionId
