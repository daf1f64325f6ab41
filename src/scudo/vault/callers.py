"""Who may ask over the network, and for what: a list of callers by the names of certificates.

    [[caller]]
    name = "spiffe://bank.example/bank"     # a URI or DNS name of the certificate
    may = ["tokenise", "sign", "callback", "write", "authentication", "notification"]
    per_second = { notification = 100 }     # less than the vault allows at most

    revoked = ["3f5a…"]                     # SHA-256 of certificates that are good no more

A list that changes counts within a second, for connections that stand too. What only keepers
may do is done on the vault's own machine, whatever the list says.
"""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import msgspec
import structlog
from msgspec import Meta

from scudo.vault import wire
from scudo.vault.errors import VaultCallersUnfit, VaultForbidden
from scudo.vault.model import PURPOSES
from scudo.vault.quotas import Quotas

_log = structlog.get_logger("scudo.vault")

TOKENISE: Final = "tokenise"
SIGN: Final = "sign"
#: Prove the senders of callbacks, and have a new shared secret told.
CALLBACK: Final = "callback"
#: Put persons, cards, links and texts; destroy them, and forget what is due.
WRITE: Final = "write"
ERASE: Final = "erase"
#: What a caller may be allowed: to read for a purpose, and these.
ALLOWED: Final = frozenset({*PURPOSES, TOKENISE, SIGN, CALLBACK, WRITE, ERASE})

_Stamp = tuple[int, int, int]


#: Of what the list knows nothing, nobody of it may ask.
_UNKNOWN: Final = "unknown"


def uses_of(request: wire.AnyRequest) -> tuple[tuple[str, int], ...]:
    """What a request makes use of, and how many values of each; nothing: how the vault is."""
    match request:
        case wire.Status() | wire.ListSigningKeys():
            return ()
        case wire.Tokenise():
            used = (TOKENISE, len(request.values))
        case wire.TokeniseAll():
            used = (TOKENISE, sum(map(len, request.named.values())))
        case wire.Sign() | wire.MatchCallback() | wire.ShareCallbackSecret():
            used = (SIGN if isinstance(request, wire.Sign) else CALLBACK, 1)
        case wire.KeepTexts():
            kept = (WRITE, len(request.texts))
            return (kept, (TOKENISE, len(request.named))) if request.named else (kept,)
        case wire.PutPerson() | wire.LinkToken() | wire.PutCard():
            used = (WRITE, 1)
        case wire.ErasePerson() | wire.ForgetReads() | wire.ForgetCards() | wire.CountKept():
            used = (ERASE, 1)
        case wire.ReadFields():
            used = (request.why.purpose, len(request.fields))
        case (
            wire.FindPerson()
            | wire.FindToken()
            | wire.ReadText()
            | wire.ShowCard()
            | wire.ReadCard()
            | wire.FindCard()
            | wire.ListCards()
        ):
            used = (request.why.purpose, 1)
        case _:
            used = (_UNKNOWN, 1)
    return (used,)


class Asker:
    """Who asks over one connection: a user of this machine, whom only the quotas of all bind."""

    def __init__(self, *, is_keeper: bool) -> None:
        """Know whether it is a keeper of the vault."""
        self.is_keeper: Final = is_keeper

    def demand(self, request: wire.AnyRequest, *, now: int) -> None:
        """See that this may be asked; `now` is microseconds of a monotonic clock.

        Raises:
            VaultForbidden: it is for keepers.
        """
        del now
        if request.is_for_keepers and not self.is_keeper:
            raise VaultForbidden("only keepers of the vault may do this")


class Caller(Asker):
    """A caller of the list, on whatever connection.

    Attributes:
        name: as the list has it.
    """

    def __init__(self, entry: "Entry") -> None:
        """Know what the list says."""
        super().__init__(is_keeper=False)
        self.entry: Final = entry
        self.name: Final = entry.name
        self._quotas = Quotas(entry.per_second)

    def demand(self, request: wire.AnyRequest, *, now: int) -> None:
        """See that this caller may ask this, and so much of it.

        Raises:
            VaultForbidden: it is for keepers, or not for this caller.
            VaultQuota: this caller asked for too much lately.
        """
        super().demand(request, now=now)
        for what, values in uses_of(request):
            if what not in self.entry.may:
                raise VaultForbidden("the list of callers does not let this caller ask for this")
            if what in self.entry.per_second:
                self._quotas.take(what, values, now=now)


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the list says of one caller.

    Attributes:
        name: a URI or DNS name, as it stands in the certificate.
        may: purposes that it reads for, and `tokenise`, `sign`, `callback`, `write`, `erase`.
        per_second: how much of these, where that is less than of all callers together.
    """

    name: Annotated[str, Meta(min_length=1, max_length=255)]
    may: Annotated[frozenset[str], Meta(min_length=1)]
    per_second: dict[str, Annotated[int, Meta(ge=1, le=1_000_000)]] = {}


class _Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    caller: tuple[Entry, ...]
    revoked: frozenset[Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]] = frozenset()


class CallerList:
    """The list as it is now.

    Attributes:
        revoked: SHA-256, in hex, of certificates that are good no more.
        failed: whether the newest list could not be used.
    """

    def __init__(self, path: Path) -> None:
        """Read the list.

        Raises:
            VaultCallersUnfit: it cannot be used.
        """
        self._path = path
        self._callers: dict[str, Caller] = {}
        self.revoked: frozenset[str] = frozenset()
        self.failed = False
        self._stamp = self._stamp_now()
        self._take(_read(path))

    def renew(self) -> None:
        """Read the list again if it has changed; one that cannot be used is told."""
        try:
            stamp = self._stamp_now()
            if stamp == self._stamp:
                return
            self._take(_read(self._path))
            self._stamp, self.failed = stamp, False
            _log.warning("the list of callers was renewed", callers=len(self._callers))
        except VaultCallersUnfit as unfit:
            if not self.failed:
                _log.error("the list of callers cannot be used", reason=unfit.message)
            self.failed = True

    def find(self, names: Iterable[str]) -> Caller | None:
        """The caller of one of these names, if one is listed."""
        return next((self._callers[name] for name in names if name in self._callers), None)

    def _stamp_now(self) -> _Stamp:
        try:
            status = self._path.stat()
        except OSError as error:
            raise VaultCallersUnfit(f"{self._path} cannot be read: {error.strerror}") from error
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _take(self, written: _Written) -> None:
        before = self._callers
        # Who is listed as before keeps its quotas as they are used.
        self._callers = {
            entry.name: (
                before[entry.name]
                if entry.name in before and before[entry.name].entry == entry
                else Caller(entry)
            )
            for entry in written.caller
        }
        self.revoked = written.revoked


def _read(path: Path) -> _Written:
    """Read a list.

    Raises:
        VaultCallersUnfit: it cannot be used.
    """
    try:
        found = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _Written)
    except (OSError, UnicodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise VaultCallersUnfit(f"{path}: {error}") from error
    names = [entry.name for entry in found.caller]
    if len(set(names)) < len(names):
        raise VaultCallersUnfit(f"{path} names a caller twice")
    for entry in found.caller:
        if unknown := sorted((entry.may | entry.per_second.keys()) - ALLOWED):
            raise VaultCallersUnfit(f"{path} allows what there is not: {', '.join(unknown)}")
    return found
