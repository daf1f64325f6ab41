"""TLS: version 1.3 only, certificates of both sides, renewal while it runs.

A changed file counts from the next handshake on; one that cannot be used is told and changes
nothing. Sessions are not resumed: each connection proves its certificate anew. The edge
(`ServerTls`) takes clients with and without a certificate; a hop between processes of the bank
(`HopTls`) has one on both sides, of a CA of its own.

Source:
    RFC 8446 (TLS 1.3), RFC 8705 (certificates of clients), RFC 9325 (recommendations).
"""

import abc
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import structlog
from cryptography import x509

from scudo.kernel import SECOND_US, Refusal, micros

#: The alarm begins so long before a certificate ends: enough for people to act, twice.
ALARM_BEFORE_US: Final = 14 * 86_400 * SECOND_US
_KINDS: Final = ("*.pem", "*.crt")
_log = structlog.get_logger("scudo.tls")

_Stamp = tuple[tuple[str, int, int, int], ...]


class TlsUnfit(Refusal):
    """Raised when certificate, key or CAs cannot be used."""

    code = "tls_unfit"
    next_step = "Name a PEM chain, its PEM key, and PEM CAs that this process's user can read."


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What we prove ourselves with, and by whom the other side may be vouched for.

    Attributes:
        ca: a file of CAs, or a folder of such files; None: nobody is vouched for.
    """

    certificate: Path
    key: Path
    ca: Path | None = None

    def authorities(self) -> tuple[Path, ...]:
        """The files of the CAs."""
        if self.ca is None:
            return ()
        if not self.ca.is_dir():
            return (self.ca,)
        return tuple(sorted(path for kind in _KINDS for path in self.ca.glob(kind)))

    def authorities_end(self) -> int | None:
        """When the first of the CAs ends, microseconds; None without CAs.

        Raises:
            TlsUnfit: if one cannot be read.
        """
        try:
            ends = [
                micros(certificate.not_valid_after_utc)
                for path in self.authorities()
                for certificate in x509.load_pem_x509_certificates(path.read_bytes())
            ]
        except (OSError, ValueError) as error:
            raise TlsUnfit("a file of a CA cannot be read") from error
        return min(ends, default=None)

    def stamp(self) -> _Stamp:
        """What changes when a file does; files that are replaced have another number."""
        found = []
        for path in (self.certificate, self.key, *self.authorities()):
            status = path.stat()
            found.append((str(path), status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(found)


class _RenewedTls(abc.ABC):
    """TLS of one side, kept fresh by `renew`.

    Attributes:
        context: for the next connection.
        expires_at: when our certificate ends, microseconds.
        renewals: how often files were read again.
        failed: whether the newest files could not be used.
    """

    def __init__(self, files: TlsFiles, *, clock: Callable[[], int]) -> None:
        """Read the files.

        Args:
            files: of this side.
            clock: microseconds.

        Raises:
            TlsUnfit: if they cannot be used, or the certificate has ended.
        """
        self._files = files
        self._clock = clock
        self._told_at = 0
        try:
            self._stamp = files.stamp()
        except OSError as error:
            raise TlsUnfit(f"{error.filename} cannot be read: {error.strerror}") from error
        self.expires_at = _examine(files)
        if self.expires_at <= clock():
            message = f"the certificate of {files.certificate} has ended"
            raise TlsUnfit(message)
        self.context = self._made()
        self.renewals = 0
        self.failed = False

    @abc.abstractmethod
    def _made(self) -> ssl.SSLContext:
        """A context of the files as they are now.

        Raises:
            TlsUnfit: if they cannot be used.
        """

    @abc.abstractmethod
    def _take(self, fresh: ssl.SSLContext) -> None:
        """Use what a new context was made of."""

    def renew(self) -> None:
        """Read the files again if they have changed; tell of a certificate that ends soon."""
        now = self._clock()
        try:
            stamp = self._files.stamp()
            if stamp != self._stamp:
                # First on a context of its own: a key that does not fit spoils one in use.
                expires_at = _examine(self._files)
                self._take(self._made())
                self._stamp, self.expires_at = stamp, expires_at
                self.renewals += 1
                self.failed = False
                _log.info("certificate_renewed", expires_at=expires_at)
        except (OSError, TlsUnfit) as error:
            if not self.failed:
                _log.error("certificate_not_renewed", reason=str(error))
            self.failed = True
        if self.is_alarming and now - self._told_at > 86_400 * SECOND_US:
            self._told_at = now
            _log.warning("certificate_ends_soon", expires_at=self.expires_at)

    @property
    def is_alarming(self) -> bool:
        """Whether somebody must act: it ends soon, or newer files are of no use."""
        return self.failed or self.expires_at - self._clock() <= ALARM_BEFORE_US

    @property
    def is_good(self) -> bool:
        """Whether others still believe the certificate."""
        return self.expires_at > self._clock()


class ServerTls(_RenewedTls):
    """TLS of the edge. Its context stays the same object, which the server holds."""

    def _made(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _harden(context, protocol="http/1.1")
        if self._files.ca is not None:
            # Who sends none is no partner by certificate; who sends one proves it or is cut off.
            context.verify_mode = ssl.CERT_OPTIONAL
            context.verify_flags |= ssl.VERIFY_X509_STRICT
        _load(context, self._files)
        return context

    def _take(self, fresh: ssl.SSLContext) -> None:
        """Read the files into the context in use; a CA that was taken away stays until a restart.

        Raises:
            TlsUnfit: if they cannot be used.
        """
        del fresh
        _load(self.context, self._files)


class HopTls(_RenewedTls):
    """Mutual TLS between two processes of the bank: one CA, a certificate on each side.

    Every renewal makes another context, so a CA that was taken away counts for nothing more.
    """

    def __init__(
        self,
        files: TlsFiles,
        *,
        side: Literal["server", "client"],
        protocol: str,
        clock: Callable[[], int],
    ) -> None:
        """Read the files.

        Args:
            files: of this side; the CAs are those of the hop.
            side: who waits for connections, and who makes them.
            protocol: what is spoken, as both sides name it in the handshake (ALPN).
            clock: microseconds.

        Raises:
            TlsUnfit: if the files cannot be used, or the certificate has ended.
        """
        self._side = side
        self.protocol: Final = protocol
        super().__init__(files, clock=clock)

    def _made(self) -> ssl.SSLContext:
        is_server = self._side == "server"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
        _harden(context, protocol=self.protocol)
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        _load(context, self._files)
        return context

    def _take(self, fresh: ssl.SSLContext) -> None:
        self.context = fresh


def _harden(context: ssl.SSLContext, *, protocol: str) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([protocol])
    if context.protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0


#: Why a certificate is not believed, by OpenSSL's code (x509_vfy.h).
_UNBELIEVED: Final = {
    2: "certificate_foreign",
    9: "certificate_not_yet_valid",
    10: "certificate_expired",
    18: "certificate_self_signed",
    19: "certificate_foreign",
    20: "certificate_foreign",
    21: "certificate_foreign",
    26: "certificate_of_other_use",
    62: "certificate_of_other_name",
    64: "certificate_of_other_name",
}
#: Why a handshake failed, by words in OpenSSL's reason: ours, and what the other side says.
_REASONS: Final = (
    ("DID_NOT_RETURN_A_CERTIFICATE", "certificate_absent"),
    ("UNSUPPORTED_PROTOCOL", "version_too_old"),
    ("PROTOCOL_VERSION", "version_too_old"),
    ("CERTIFICATE_REQUIRED", "refused_certificate_absent"),
    ("ALERT_CERTIFICATE_EXPIRED", "refused_certificate_expired"),
    ("ALERT_UNKNOWN_CA", "refused_certificate_foreign"),
    ("ALERT_BAD_CERTIFICATE", "refused_certificate"),
    ("ALERT_CERTIFICATE", "refused_certificate"),
    ("ALERT_UNSUPPORTED_CERTIFICATE", "refused_certificate"),
)


def cause_of(error: BaseException | None) -> str:
    """Why a connection was not made or has ended, as a code for logs and counts."""
    match error:
        case ssl.SSLCertVerificationError():
            cause = _UNBELIEVED.get(error.verify_code, "certificate_not_believed")
        case ssl.SSLError() if not isinstance(error, ssl.SSLEOFError):
            reason = error.reason or ""
            cause = next((cause for word, cause in _REASONS if word in reason), "handshake_failed")
        # An event loop that waits no longer for a handshake aborts the connection.
        case TimeoutError() | ConnectionAbortedError():
            cause = "silent"
        case ConnectionRefusedError():
            cause = "nobody_listens"
        case None | ConnectionError() | ssl.SSLEOFError():
            cause = "connection_ended"
        case _:
            cause = "not_reached"
    return cause


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Read the files into a context.

    Raises:
        TlsUnfit: if they cannot be used.
    """
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
        authorities = files.authorities()
        if files.ca is not None and not authorities:
            message = f"{files.ca} holds no CA (*.pem, *.crt)"
            raise TlsUnfit(message)
        for path in authorities:
            context.load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError, ValueError) as error:
        message = f"certificate, key or CAs cannot be used: {error}"
        raise TlsUnfit(message) from error


def _no_password() -> str:
    """Refuse keys with a passphrase, for which OpenSSL would ask at the terminal.

    Raises:
        TlsUnfit: always.
    """
    message = "the key has a passphrase; keep it in a file that only the bank's user can read"
    raise TlsUnfit(message)


def _examine(files: TlsFiles) -> int:
    """When the certificate ends, the first of a chain that does; microseconds.

    Raises:
        TlsUnfit: if there is none.
    """
    try:
        chain = x509.load_pem_x509_certificates(files.certificate.read_bytes())
    except (OSError, ValueError) as error:
        message = f"{files.certificate} holds no certificates"
        raise TlsUnfit(message) from error
    return micros(min(one.not_valid_after_utc for one in chain))
