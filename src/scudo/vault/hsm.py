"""Keys in a PKCS#11 token: they are made there, work there, and never leave it.

Everything that is asked of a token goes through one lock: a session is for one at a time. A
token that was away has to be logged in to again; nobody here remembers a PIN.

Source:
    PKCS #11 2.40; RFC 7512 (the URI of a token). What SoftHSM 2.6, and most modules, do in the
    token: CKM_AES_GCM with a nonce of 12 bytes of our making, which is what is used; an error
    of it may be any (SoftHSM: CKR_GENERAL_ERROR), so a text that does not open is told from
    a token that does not answer by asking for the key.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import quote, unquote

import pkcs11
from cryptography.exceptions import InvalidTag
from pkcs11 import exceptions as failures
from pkcs11.mechanisms import GCMParams

from scudo.vault.errors import (
    HsmAway,
    HsmForeign,
    HsmKeyGone,
    HsmUnfit,
    HsmUriUnfit,
    PinLocked,
    PinWrong,
    VaultRefusal,
)

if TYPE_CHECKING:
    from pkcs11 import _pkcs11

LABEL: Final = "scudo root"
_SCHEME: Final = "pkcs11:"
_KEY_BITS: Final = 256
_TAG_BITS: Final = 128
_CLOSES_WITHIN_S: Final = 1.0
_PATH: Final = ("token", "manufacturer", "model", "serial", "object")
_QUERY: Final = ("module-path", "pin-source")
_PIN_IN_URI: Final = (
    "a PIN does not belong into the URI, where every process of the machine sees it"
)
_LOGGED_OUT: Final = "the token was away, or was never logged in to"


@dataclass(frozen=True, slots=True)
class HsmUri:
    """Which token is meant (RFC 7512); empty: any.

    Attributes:
        object: label of a key that is made.
        module_path: library of the token's maker.
        pin_source: file that holds the PIN; never the PIN itself.
    """

    token: str = ""
    manufacturer: str = ""
    model: str = ""
    serial: str = ""
    object: str = ""
    module_path: str = ""
    pin_source: str = ""

    @classmethod
    def parse(cls, text: str) -> "HsmUri":
        """Read a URI.

        Raises:
            HsmUriUnfit: it is none, names nothing, holds a PIN, or says what is not understood.
        """
        path, _, query = text.removeprefix(_SCHEME).partition("?")
        if not text.startswith(_SCHEME) or not text.isascii() or not text.isprintable():
            message = "this is no URI of a token, as pkcs11:token=bank"
            raise HsmUriUnfit(message, field="root")
        found: dict[str, str] = {}
        for parts, known in ((path.split(";"), _PATH), (query.split("&"), _QUERY)):
            for name, _, value in (part.partition("=") for part in parts if part):
                if name == "pin-value":
                    raise HsmUriUnfit(_PIN_IN_URI, field="root")
                if name not in known or name in found or not value:
                    # The value is not repeated: people put secrets everywhere.
                    message = "the URI of the token says what is not understood, or says it twice"
                    raise HsmUriUnfit(message, field="root")
                found[name] = unquote(value)
        if not {"token", "serial"} & found.keys():
            message = "the URI names no token: token=… or serial=…"
            raise HsmUriUnfit(message, field="root")
        source = found.get("pin-source", "").removeprefix("file://").removeprefix("file:")
        if source and not source.startswith("/"):
            message = "pin-source is not the absolute path of a file"
            raise HsmUriUnfit(message, field="root")
        plain = {name: found.get(name, "") for name in _PATH}
        return cls(**plain, module_path=found.get("module-path", ""), pin_source=source)

    def __str__(self) -> str:
        """Write which token it is, and nothing of PIN and module."""
        named = [(name, getattr(self, name)) for name in _PATH]
        return _SCHEME + ";".join(f"{name}={quote(value)}" for name, value in named if value)


class Hsm:
    """The tokens of one PKCS#11 module."""

    def __init__(self, module: Path | None) -> None:
        """Name the module; it is loaded when it is needed.

        Args:
            module: library of the token's maker; none: there are no tokens here. It comes from
                the installation, never from who asks: it is code that this process runs.
        """
        self._module = module
        self._library: _pkcs11.lib | None = None
        self._sessions: dict[str, pkcs11.Session] = {}
        self._lock = threading.Lock()

    def make_key(self, uri: HsmUri, key: bytes, *, pin: str) -> "HsmKey":
        """Make a key in the one token that is meant, and stay logged in.

        Args:
            uri: of the token.
            key: id of the new key.
            pin: of the token's user.

        Raises:
            HsmAway: no such token answers.
            HsmForeign: another one than is meant is there.
            HsmUriUnfit: several are meant.
            HsmUnfit: it cannot do what is needed, or no module is configured.
            PinWrong: it is.
            PinLocked: the token takes no PIN any more.
        """
        with self._lock, _told():
            place = self._log_in(uri, pin)
            self._make(place, key)
        return HsmKey(self, place, key)

    def open_key(self, uri: HsmUri, key: bytes, *, pin: str) -> "HsmKey":
        """Find a key in its token, and stay logged in.

        Raises:
            HsmKeyGone: the token has no such key.
            VaultRefusal: as `make_key`.
        """
        with self._lock, _told():
            place = self._log_in(uri, pin)
            self._key(place, key)
        return HsmKey(self, place, key)

    @contextlib.contextmanager
    def visiting(self, uri: HsmUri, *, pin: str) -> Iterator[HsmUri]:
        """Be logged in to a token for a while, and leave it as it was found.

        Args:
            uri: of the token.
            pin: of the token's user; not tried while a login holds.

        Raises:
            VaultRefusal: as `make_key`.
        """
        with self._lock, _told():
            token = self._find(uri)
            session = self._sessions.get(_serial(token))
            is_held = session is not None and _stands(session)
            place = _place(token, uri) if is_held else self._log_in(uri, pin)
        try:
            yield place
        finally:
            if not is_held:
                self.log_out(place.serial)

    def make_another(self, place: HsmUri, key: bytes) -> None:
        """Make a key in a token that is logged in to.

        Raises:
            VaultRefusal: as `make_key`.
        """
        with self._lock, _told():
            self._make(place, key)

    def key(self, place: HsmUri, key: bytes) -> "HsmKey":
        """Name a key in a token that is logged in to."""
        return HsmKey(self, place, key)

    def log_out(self, serial: str) -> None:
        """Leave a token."""
        with self._lock:
            self._log_out(serial)

    def close(self) -> None:
        """Leave every token."""
        # A token that never answers holds the lock, and nobody waits for it to be left.
        if self._lock.acquire(timeout=_CLOSES_WITHIN_S):
            try:
                for serial in tuple(self._sessions):
                    self._log_out(serial)
            finally:
                self._lock.release()

    def with_key(
        self, place: HsmUri, key: bytes, use: Callable[["pkcs11.SecretKey"], bytes]
    ) -> bytes:
        """Use a key of a token that is logged in to.

        Raises:
            InvalidTag: the text does not open; the key is there.
            HsmAway: the token is not there, or must be logged in to again.
            HsmKeyGone: it has no such key any more.
        """
        with self._lock, _told():
            found = self._key(place, key)
            try:
                return use(found)
            except failures.PKCS11Error:
                self._key(place, key)
                raise InvalidTag from None

    def _make(self, place: HsmUri, key: bytes) -> None:
        session = self._sessions.get(place.serial)
        if session is None:
            raise HsmAway(_LOGGED_OUT)
        session.generate_key(
            pkcs11.KeyType.AES,
            _KEY_BITS,
            id=key,
            label=place.object or LABEL,
            store=True,
            capabilities=pkcs11.MechanismFlag.ENCRYPT | pkcs11.MechanismFlag.DECRYPT,
            template={
                pkcs11.Attribute.PRIVATE: True,
                pkcs11.Attribute.SENSITIVE: True,
                pkcs11.Attribute.EXTRACTABLE: False,
            },
        )

    def _key(self, place: HsmUri, key: bytes) -> "pkcs11.SecretKey":
        session = self._sessions.get(place.serial)
        if session is None:
            raise HsmAway(_LOGGED_OUT)
        found = session.get_key(object_class=pkcs11.ObjectClass.SECRET_KEY, id=key)
        return cast("pkcs11.SecretKey", found)

    def _demand_module(self, uri: HsmUri) -> None:
        """See that the module is the configured one.

        Raises:
            HsmUnfit: none is configured, or the URI names another.
        """
        if self._module is None:
            message = "no PKCS#11 module is configured"
            raise HsmUnfit(message)
        if uri.module_path and Path(uri.module_path) != self._module:
            message = "the URI names another module than the configured one"
            raise HsmUnfit(message)

    def _log_in(self, uri: HsmUri, pin: str) -> HsmUri:
        # A login that holds would let any PIN pass.
        self._log_out(_serial(self._find(uri)))
        if not self._sessions and self._library is not None:
            # Some modules take a token that was away for empty until they begin anew.
            self._library.reinitialize()
        token = self._find(uri)
        self._sessions[_serial(token)] = token.open(rw=True, user_pin=pin)
        return _place(token, uri)

    def _log_out(self, serial: str) -> None:
        session = self._sessions.pop(serial, None)
        if session is not None:
            # One that is away has forgotten us anyway.
            with contextlib.suppress(failures.PKCS11Error):
                session.close()

    def _find(self, uri: HsmUri) -> pkcs11.Token:
        """The one token that is meant.

        Raises:
            HsmAway: none of this label, or none at all, is there.
            HsmForeign: another one of this label is.
            HsmUriUnfit: several are meant.
            HsmUnfit: no module is configured, or the URI names another.
        """
        self._demand_module(uri)
        try:
            labelled = self._labelled(uri)
        except failures.PKCS11Error:
            # A token that went away may leave nothing that works.
            for serial in tuple(self._sessions):
                self._log_out(serial)
            labelled = []
        if not labelled and not self._sessions and self._library is not None:
            # Some modules look for tokens at their start only.
            self._library.reinitialize()
            labelled = self._labelled(uri)
        meant = [
            token
            for token in labelled
            if uri.serial in {"", _serial(token)}
            and uri.manufacturer in {"", token.manufacturer_id}
            and uri.model in {"", token.model}
        ]
        if len(meant) > 1:
            message = "several tokens are meant: name the serial number of one"
            raise HsmUriUnfit(message, field="root")
        if meant:
            return meant[0]
        if labelled and uri.token:
            message = "a token of this label is there, and it is another one"
            raise HsmForeign(message)
        message = "the token is not there"
        raise HsmAway(message)

    def _labelled(self, uri: HsmUri) -> list[pkcs11.Token]:
        return [token for token in self._tokens() if uri.token in {"", token.label}]

    def _tokens(self) -> list[pkcs11.Token]:
        if self._library is None:
            try:
                self._library = pkcs11.lib(str(self._module))
            except failures.PKCS11Error as error:
                if isinstance(error, failures.GeneralError | failures.DeviceError):
                    raise
                message = "the PKCS#11 module cannot be loaded"
                raise HsmUnfit(message) from None
        if not self._library.initialized:
            self._library.initialize()
        wanted = pkcs11.TokenFlag.TOKEN_INITIALIZED
        return list(self._library.get_tokens(token_flags=wanted))


@dataclass(frozen=True, slots=True)
class HsmKey:
    """A key in a token: AES-256-GCM that happens there.

    Attributes:
        place: of its token.
        id: of the key, as the token has it.
    """

    hsm: Hsm
    place: HsmUri
    id: bytes

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes:
        """Encrypt in the token.

        Raises:
            HsmAway: it is not there, or must be logged in to again.
            HsmKeyGone: it has no such key any more.
            HsmUnfit: it does not do it.
        """
        try:
            return self._with("encrypt", nonce, data, associated_data)
        except InvalidTag:
            message = "the token does not encrypt with AES-GCM"
            raise HsmUnfit(message) from None

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes:
        """Decrypt in the token.

        Raises:
            InvalidTag: it was changed, or is bound to something else.
            HsmAway: the token is not there, or must be logged in to again.
            HsmKeyGone: it has no such key any more.
        """
        return self._with("decrypt", nonce, data, associated_data)

    def _with(self, what: str, nonce: bytes, data: bytes, bound: bytes) -> bytes:
        parameters = GCMParams(nonce, bound, _TAG_BITS)

        def use(key: "pkcs11.SecretKey") -> bytes:
            done: bytes = getattr(key, what)(
                data, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=parameters
            )
            return done

        return self.hsm.with_key(self.place, self.id, use)


def _serial(token: pkcs11.Token) -> str:
    return token.serial.decode("ascii", "replace").strip()


def _place(token: pkcs11.Token, uri: HsmUri) -> HsmUri:
    """Which token it is, so that no other is taken for it."""
    return HsmUri(token=token.label, serial=_serial(token), object=uri.object)


def _stands(session: pkcs11.Session) -> bool:
    """Whether a session still answers."""
    try:
        next(iter(session.get_objects({pkcs11.Attribute.LABEL: ""})), None)
    except failures.PKCS11Error:
        return False
    return True


_REFUSALS: Final[tuple[tuple[tuple[type[Exception], ...], type[VaultRefusal], str], ...]] = (
    (
        (failures.PinIncorrect, failures.PinInvalid, failures.PinLenRange),
        PinWrong,
        "this is not the PIN of the token",
    ),
    (
        (failures.PinLocked, failures.PinExpired, failures.UserPinNotInitialized),
        PinLocked,
        "the token takes no PIN of its user any more",
    ),
    (
        (failures.NoSuchKey, failures.MultipleObjectsReturned, failures.ObjectHandleInvalid),
        HsmKeyGone,
        "the token does not have the key, or has it twice",
    ),
    (
        (
            failures.MechanismInvalid,
            failures.MechanismParamInvalid,
            failures.FunctionNotSupported,
            failures.KeySizeRange,
            failures.TemplateInconsistent,
            failures.TokenWriteProtected,
            failures.DeviceMemory,
        ),
        HsmUnfit,
        "the token cannot keep a key for AES-GCM",
    ),
)


def refusal_of(error: Exception) -> VaultRefusal:
    """What is told of an error of a token; its own words are not, they may name files."""
    for kinds, refusal, message in _REFUSALS:
        if isinstance(error, kinds):
            return refusal(message)
    return HsmAway("the token does not answer")


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Let a token's errors be refusals.

    Raises:
        VaultRefusal: as `refusal_of` says.
    """
    try:
        yield
    except failures.PKCS11Error as error:
        refusal = refusal_of(error)
        raise refusal from None
