"""Breaking the glass: sealed shares give one operator the means to keep the bank going.

The secret is used for nothing but to prove that enough of its keepers agree, so that only its
SHA-256 is kept. It is good once.

Source:
    SatoshiLabs SLIP-0039: one group, no passphrase; the threshold is ours.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from shamir_mnemonic import MnemonicError, combine_mnemonics, generate_mnemonics

from scudo.fabric import Answer, Command, Entry, Reference, Register, refused
from scudo.governance import approvals
from scudo.identity.operators import events
from scudo.identity.operators.commands import Handler, demand_enrolled
from scudo.identity.operators.errors import BreakGlassUnfit, BreakGlassUnsealed, BreakGlassWrong
from scudo.identity.operators.kinds import elevate
from scudo.identity.operators.model import BREAK_GLASS_US, Elevation, Role, Seal
from scudo.identity.operators.staff import Staff
from scudo.kernel import Prefix, Refusal, ids, rfc3339

SHARES_MAX: Final = 16
THRESHOLD_MIN: Final = 2
_SECRET_BYTES: Final = 16
#: There is one glass.
_THE_SEAL: Final = 1
_encode: Final = msgspec.json.Encoder().encode


class SealBreakGlass(Command, frozen=True, tag=140):
    """Keep the SHA-256 of a new secret, in place of any before."""

    digest: bytes
    threshold: int
    shares: int


class OpenBreakGlass(Command, frozen=True, tag=141):
    """Break the glass; `digest` is empty if the shares gave no secret."""

    by: int
    digest: bytes
    reason: str


class OpenedBody(msgspec.Struct, frozen=True):
    """Answer to who broke the glass."""

    operator_id: str
    until: str


def make_shares(*, shares: int, threshold: int) -> tuple[bytes, tuple[str, ...]]:
    """Make a secret in shares; returns its SHA-256, and the shares, to be shown once.

    Raises:
        BreakGlassUnfit: if one person alone could open it, or nobody.
    """
    if not THRESHOLD_MIN <= threshold <= shares <= SHARES_MAX:
        message = f"{threshold} of {shares} shares cannot guard a secret"
        raise BreakGlassUnfit(message)
    secret = secrets.token_bytes(_SECRET_BYTES)
    (group,) = generate_mnemonics(1, [(threshold, shares)], secret)
    return hashlib.sha256(secret).digest(), tuple(group)


def digest_of_shares(shares: Iterable[str]) -> bytes:
    """SHA-256 of the secret that shares give together; empty if they give none.

    It takes a tenth of a second: not to be called where others wait.
    """
    try:
        secret: bytes = combine_mnemonics([" ".join(share.split()).lower() for share in shares])
    except (MnemonicError, ValueError):
        return b""
    return hashlib.sha256(secret).digest()


class Glass:
    """The seal, and who broke it: a keeper."""

    def __init__(self, staff: Staff, *, report: Callable[[Entry, int, str], None]) -> None:
        """Keep the seal; `report` opens a review of what an operator then held."""
        self._staff = staff
        self._report = report
        self.register: Register[Seal] = Register(122, Seal, resident=True)
        self.handlers: Mapping[type[Command], Handler] = {
            SealBreakGlass: self._seal,
            OpenBreakGlass: self._open,
        }

    @property
    def registers(self) -> Sequence[Register[Any]]:
        """Registers that it keeps."""
        return (self.register,)

    def refers_to(self, command: Command) -> Iterable[Reference]:
        """Everything is resident."""
        del command
        return ()

    def _seal(self, command: SealBreakGlass, entry: Entry) -> Answer:
        entry.emit(events.BreakGlassSealed(_THE_SEAL, command.threshold, command.shares))
        self.register.put(
            entry,
            _THE_SEAL,
            Seal(command.digest, command.threshold, command.shares, entry.recorded_at),
        )
        return Answer(200, b"{}")

    def _open(self, command: OpenBreakGlass, entry: Entry) -> Answer:
        demand_enrolled(self._staff, command.by)
        seal = self.register.get(_THE_SEAL)
        if seal is None or seal.opened_at:
            message = "no secret is sealed"
            return self._refuse(entry, command.by, seal, BreakGlassUnsealed(message))
        if command.digest != seal.digest:
            message = "these are not the shares, or too few"
            return self._refuse(entry, command.by, seal, BreakGlassWrong(message))
        now = entry.recorded_at
        until = now + BREAK_GLASS_US
        entry.emit(
            events.BreakGlassOpened(command.by, until, command.reason, approvals.Severity.PAGE)
        )
        elevation = Elevation(Role.BREAK_GLASS, now, until, command.reason, 0)
        elevate(self._staff, entry, command.by, elevation)
        opened = msgspec.structs.replace(seal, opened_at=now, opened_by=command.by)
        self.register.put(entry, _THE_SEAL, opened)
        self._report(entry, command.by, "break_glass")
        return Answer(
            200, _encode(OpenedBody(ids.show(Prefix.OPERATOR, command.by), rfc3339(until)))
        )

    def _refuse(self, entry: Entry, by: int, seal: Seal | None, refusal: Refusal) -> Answer:
        failures = 0
        if seal is not None:
            failures = seal.failures + 1
            self.register.put(entry, _THE_SEAL, msgspec.structs.replace(seal, failures=failures))
        entry.emit(events.BreakGlassRefused(by, refusal.code, failures, approvals.Severity.PAGE))
        return refused(refusal)
