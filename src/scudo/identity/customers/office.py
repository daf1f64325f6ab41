"""What the customers' routes work with: ports, and the steps that several of them share.

Whatever waits or draws lots is done here, before a command is made: tokens, codes, hashes,
signatures. The handlers then only look whether it still stands.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Final, Protocol, TypeVar

import msgspec
import structlog

from scudo.fabric import Answer, BankUnavailable, Command, Register, find_record, web
from scudo.governance import GateShut, Recorder
from scudo.identity.customers.commands import Bearing, FailProof, JudgeAct, ReportMisuse
from scudo.identity.customers.errors import (
    ActDeclined,
    ActUnusual,
    ChallengeUnknown,
    CoolingOff,
    FreshProofNeeded,
    SessionOver,
)
from scudo.identity.customers.kept import KeptSecrets
from scudo.identity.customers.logic import number_of
from scudo.identity.customers.model import Account, Session, SessionAct, StoredPasskey, Terms
from scudo.identity.customers.passwords import Passwords
from scudo.identity.customers.persons import EMAIL, PASSWORD_HASH, Persons
from scudo.identity.customers.store import Begun, CustomerStore
from scudo.identity.customers.throttle import Throttle
from scudo.identity.customers.tokens import AccessTokens, new_refresh_token
from scudo.identity.dpop import DeviceKey, Proofs
from scudo.identity.mail import Mail, Mailer
from scudo.identity.passkeys import Passkey, RelyingParty
from scudo.kernel import SECOND_US, Refusal, ids

T = TypeVar("T", bound=msgspec.Struct)
_log: Final = structlog.get_logger("scudo.identity")
_begun: Final = msgspec.json.Decoder(Begun).decode
_CHALLENGE_BYTES: Final = 32
_FIRST_REFUSAL: Final = 400
_CHALLENGES_MAX: Final = 100_000
#: The same misuse of the same session is told once in so long.
_TOLD_US: Final = 60 * SECOND_US
_TOLD_MAX: Final = 10_000


class KnownPayee(Protocol):
    """Says whether a payee was paid before a time."""

    def __call__(self, *, before: int) -> Awaitable[bool]:
        """Look it up; `before` is in microseconds."""


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a customer's session acts from: keyed tokens of device and network, country."""

    device: int
    network: int
    country: int | None


class Guard(Protocol):
    """Judges the session of a customer who is about to pay."""

    def __call__(
        self, call: web.Call, *, amount: int, is_known: KnownPayee
    ) -> Awaitable[Place | None]:
        """Refuse, or say where the session acts from; None: it is no customer's session."""


#: What a session that is judged may be refused with.
JUDGE_REFUSALS: Final[tuple[type[Refusal], ...]] = (
    SessionOver,
    FreshProofNeeded,
    ActUnusual,
    ActDeclined,
    GateShut,
)
_DOUBTS: Final = {refusal.code: refusal for refusal in JUDGE_REFUSALS}
#: What a guard may refuse with.
GUARD_REFUSALS: Final[tuple[type[Refusal], ...]] = (*JUDGE_REFUSALS, CoolingOff)


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """What the process gives.

    Attributes:
        submit: hands a command to the writer, on behalf of a call.
        tell: hands a command of the bank's own to the writer.
        record: records acts that change nothing.
        now: our wall clock, microseconds.
        origins: as clients see us.
        country: the ISO 3166-1 number of an address's country; None: nobody knows any.
    """

    submit: web.Submit
    tell: Callable[[Command], Awaitable[Answer]]
    record: Recorder
    reads: web.Reads
    now: Callable[[], int]
    persons: Persons
    mailer: Mailer
    party: RelyingParty
    origins: tuple[str, ...]
    country: Callable[[str], int | None] | None = None


class _Refused(msgspec.Struct, frozen=True):
    """Of a refusal that the writer gave, what it is."""

    code: str
    detail: str


class _Pending(msgspec.Struct, frozen=True, gc=False):
    """A challenge that waits for its answer, or a seed for the code that proves it."""

    session: int | None
    secret: bytes
    expires_at: int


_refused: Final = msgspec.json.Decoder(_Refused).decode


class Office:
    """Serves customers: knows what is under way, and what tokens are good.

    Attributes:
        secrets: password hashes and seeds.
        tokens: access tokens; `tokens.authenticate` finds out who asks.
    """

    def __init__(self, store: CustomerStore, ports: Ports) -> None:
        """Open for the customers of one store."""
        self.store = store
        self.ports = ports
        self.passwords = Passwords()
        self.secrets = KeptSecrets(ports.persons, self.account)
        self.throttle = Throttle(now=ports.now)
        self.proofs = Proofs(origins=ports.origins, now=ports.now)
        self.tokens = AccessTokens(
            self.proofs, store, now=ports.now, misused=self._misused, read_much=self._read_much
        )
        store.session_ended = self.tokens.end
        self._pending: dict[int, _Pending] = {}
        self._told: dict[tuple[int, str], int] = {}
        self._telling: set[asyncio.Task[None]] = set()

    @property
    def terms(self) -> Terms:
        """Times and thresholds."""
        return self.store.terms

    def close(self) -> None:
        """Send the mails that wait."""
        self.ports.mailer.close()

    # ---- the writer, and what is stored

    async def submit(self, command: Command, call: web.Call) -> Answer:
        """Hand a command over; what is random in it makes each one new, so no key is kept."""
        return await self.ports.submit(command, msgspec.structs.replace(call, key=None))

    async def find(self, register: Register[T], number: int) -> T | None:
        """Find a record as it is stored."""
        async with self.ports.reads() as connection:
            return await find_record(connection, register, number)

    async def account(self, customer: int) -> Account:
        """The account of a customer who has a session."""
        account = await self.find(self.store.accounts, customer)
        assert account is not None, "a customer with a session has an account"
        return account

    async def is_password(self, customer: int, account: Account, password: str) -> bool:
        """Whether a password is an account's; as much work where there is none, or nobody.

        Raises:
            PasswordsBusy: if too many wait.
        """
        kept = await self.secrets.read(customer, account, PASSWORD_HASH)
        return await self.passwords.verify(kept, password)

    async def session(self, call: web.Call) -> Session:
        """The session that a call was made in.

        Raises:
            SessionOver: if it has ended since the token was given.
        """
        number = self.own_session(call)
        session = self.store.sessions.get(number)
        if session is None:
            session = await self.find(self.store.sessions, number)
        if session is None or self.store.is_over(session, self.ports.now()):
            message = "this session has ended"
            raise SessionOver(message)
        return session

    @staticmethod
    def own_session(call: web.Call) -> int:
        """Number of the session that a call was made in."""
        assert call.client.session is not None, "the scope is given to sessions only"
        return call.client.session

    # ---- where a request comes from

    async def network(self, call: web.Call) -> int:
        """Keyed token of the network that a call came from."""
        return await self.ports.persons.token("ip", call.arrival.network or "local")

    def country(self, call: web.Call, *, claimed: int | None = None) -> int | None:
        """The country that a call came from; what is claimed counts where nobody knows any."""
        if self.ports.country is None:
            return claimed
        return self.ports.country(call.arrival.network)

    async def bearing(
        self, call: web.Call, key: DeviceKey, claimed: int | None
    ) -> tuple[Bearing, str]:
        """The device and place that a session begins on, and its first refresh token."""
        country = self.country(call, claimed=claimed)
        refresh, number, digest = new_refresh_token()
        token = await self.ports.persons.token("device", key.thumbprint)
        network = await self.network(call)
        return Bearing(key.thumbprint, token, key.jwk, network, country, number, digest), refresh

    # ---- challenges

    def challenge(self, session: int | None, secret: bytes | None = None) -> tuple[int, bytes]:
        """Make a challenge for a session, or for whoever logs in; it is used once.

        Args:
            session: that must answer it; None: anybody.
            secret: what is remembered in its place.
        """
        now = self.ports.now()
        while self._pending:
            oldest = next(iter(self._pending))
            is_over = self._pending[oldest].expires_at < now
            if not is_over and len(self._pending) < _CHALLENGES_MAX:
                break
            del self._pending[oldest]
        number = new_number()
        secret = secret or secrets.token_bytes(_CHALLENGE_BYTES)
        self._pending[number] = _Pending(session, secret, now + self.terms.challenge_us)
        return number, secret

    def answered(self, number: int, session: int | None) -> bytes:
        """Use a challenge up.

        Raises:
            ChallengeUnknown: if it was not given to this session, was used, or is too old.
        """
        pending = self._pending.pop(number, None)
        if pending is None or pending.session != session or pending.expires_at < self.ports.now():
            message = "this challenge was not given, was used, or is too old"
            raise ChallengeUnknown(message, field="challenge_id")
        return pending.secret

    async def passkey(self, credential: bytes) -> tuple[int, StoredPasskey | None]:
        """Find a passkey by its id: its number, and it, if it is registered."""
        number = number_of(credential)
        found = await self.find(self.store.passkeys, number)
        is_it = found is not None and found.passkey.id == credential and not found.removed_at
        return number, found if is_it else None

    async def passkeys(self, account: Account) -> list[Passkey]:
        """The passkeys of an account."""
        found = [await self.find(self.store.passkeys, number) for number in account.passkeys]
        return [stored.passkey for stored in found if stored is not None]

    # ---- tokens

    def begun(self, answer: Answer, key: DeviceKey) -> tuple[Begun, str, Session]:
        """Give the access token of a session that a command began or went on with.

        Raises:
            SessionOver: if it ended in the same moment.
        """
        begun = _begun(answer.body)
        session = self.store.sessions.get(begun.session)
        if session is None or session.ended_at:
            message = "this session has ended"
            raise SessionOver(message)
        return begun, self.tokens.give(begun.session, session, key), session

    # ---- judging

    async def judge(self, call: web.Call, act: SessionAct) -> Session:
        """Judge the session of a call again, before something sensitive.

        Raises:
            SessionOver: if it is ended by this.
            FreshProofNeeded: if a step-up or a new log-in is needed first.
            ActUnusual, ActDeclined: if this is not like its customer.
            GateShut: if nobody decides.
            BankUnavailable: if it cannot be judged now.
        """
        session = await self.session(call)
        judged = JudgeAct(
            self.own_session(call),
            session.customer,
            act,
            await self.network(call),
            self.country(call),
        )
        answer = await self.submit(judged, call)
        if answer.status >= _FIRST_REFUSAL:
            told = _refused(answer.body)
            raise _DOUBTS.get(told.code, BankUnavailable)(told.detail)
        return session

    async def guard_payment(
        self, call: web.Call, *, amount: int, is_known: KnownPayee
    ) -> Place | None:
        """Judge a customer's session before a payment, and what a recovery keeps back.

        Args:
            call: of anybody; of a customer's session it is judged.
            amount: minor units.
            is_known: whether the payee was paid before.

        Returns:
            where the session acts from; None if the call is not made in one.

        Raises:
            SessionOver, FreshProofNeeded, ActUnusual, ActDeclined, GateShut, BankUnavailable.
            CoolingOff: if a recovery is young, and the payment large, to somebody new.
        """
        customer = call.client.customer
        if call.client.kind is not web.PrincipalKind.CUSTOMER or customer is None:
            return None
        session = await self.judge(call, SessionAct.PAY)
        account = await self.account(customer)
        if account.cooling_until > self.ports.now() and amount > self.terms.cooling_off_limit:
            recovered_at = account.cooling_until - self.terms.cooling_off_us
            if not await is_known(before=recovered_at):
                message = "large payments to new payees wait after a recovery"
                raise CoolingOff(message)
        return Place(session.token, await self.network(call), self.country(call))

    # ---- telling

    async def failed(
        self,
        call: web.Call,
        act: str,
        refusal: Refusal,
        *,
        customer: int,
        device: int,
        country: int | None = None,
    ) -> None:
        """Record a proof that did not hold; for unknown names the same as for known ones.

        Raises:
            BankUnavailable: if it cannot be recorded.
        """
        network = await self.network(call)
        failed = FailProof(customer, act, refusal.code, device, network, country, call.trace_id)
        answer = await self.ports.tell(failed)
        if answer.status >= _FIRST_REFUSAL:
            message = "what fails cannot be recorded now, so nothing is tried"
            raise BankUnavailable(message)

    async def notify(self, customer: int, subject: str, text: str) -> None:
        """Mail a customer whose address is known."""
        address = await self.ports.persons.read(customer, EMAIL)
        if address is not None:
            self.ports.mailer.send(Mail(address, subject, text))

    def _misused(self, session: int, customer: int, code: str, network: str) -> None:
        """Tell the log that a token was used as only a thief would, without waiting for it."""
        now = self.ports.now()
        if now - self._told.get((session, code), -_TOLD_US) < _TOLD_US:
            return
        if len(self._told) >= _TOLD_MAX:
            self._told.clear()
        self._told[session, code] = now
        _log.warning("session_misused", session=ids.show(ids.Prefix.SESSION, session), code=code)
        self._aside(self._tell_misuse(session, customer, code, network))

    def _aside(self, telling: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(telling)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def _read_much(self, session: int, customer: int, network: str) -> None:
        """Have a session judged that has read much, without waiting for it."""
        self._aside(self._tell_reads(session, customer, network))

    async def _tell_reads(self, session: int, customer: int, network: str) -> None:
        token = await self.ports.persons.token("ip", network or "local")
        # What comes of it is in the log; the session ends by it, or goes on.
        country = None if self.ports.country is None else self.ports.country(network)
        await self.ports.tell(JudgeAct(session, customer, SessionAct.READ, token, country))

    async def _tell_misuse(self, session: int, customer: int, code: str, network: str) -> None:
        token = await self.ports.persons.token("ip", network or "local")
        answer = await self.ports.tell(ReportMisuse(session, customer, code, token))
        if answer.status >= _FIRST_REFUSAL:
            _log.error("misuse_not_recorded", code=code)


def new_number() -> int:
    """A random number that nobody guesses: 63 bits, never zero."""
    return secrets.randbits(63) or 1


async def code_digest(persons: Persons, *parts: object) -> int:
    """Keyed hash of a code and of what it is for."""
    joined = "\x00".join(str(part) for part in parts)
    return await persons.token("code", hashlib.sha256(joined.encode()).hexdigest())


#: Options for the browser, as JSON.
Options = Mapping[str, object]
