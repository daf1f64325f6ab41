"""TLS of the server: version 1.3 only, certificates of clients, renewal while it runs.

A changed file is read again within a second, and counts from the next handshake on; one that
cannot be used is told and changes nothing. Sessions are not resumed: each connection proves its
certificate anew.

Source:
    RFC 8446 (TLS 1.3), RFC 8705 (certificates of clients), RFC 9325 (recommendations).
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509

from scudo.kernel import SECOND_US, Refusal, micros

#: The alarm begins so long before a certificate ends: enough for people to act, twice.
ALARM_BEFORE_US: Final = 14 * 86_400 * SECOND_US
_KINDS: Final = ("*.pem", "*.crt")
_log = structlog.get_logger("scudo.tls")

_Stamp = tuple[tuple[str, int, int, int], ...]


class TlsUnfit(Refusal):
    """Raised when certificate, key or CAs cannot be used to serve."""

    code = "tls_unfit"
    next_step = "Name a PEM chain, its PEM key, and a folder of PEM CAs that this user can read."


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What the server proves itself with, and by whom clients may be vouched for."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def authorities(self) -> tuple[Path, ...]:
        """The files of the CAs."""
        if self.client_ca is None:
            return ()
        return tuple(sorted(path for kind in _KINDS for path in self.client_ca.glob(kind)))

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


class ServerTls:
    """The server's TLS, kept fresh by `renew`.

    Attributes:
        context: for every connection of the server.
        expires_at: when the certificate that is served ends, microseconds.
        renewals: how often files were read again.
        failed: whether the newest files could not be used.
    """

    def __init__(self, files: TlsFiles, *, clock: Callable[[], int]) -> None:
        """Read the files.

        Args:
            files: what to serve with.
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
            raise TlsUnfit(f"a file cannot be read: {error.strerror}") from error
        self.expires_at = _examine(files)
        if self.expires_at <= clock():
            message = f"the certificate of {files.certificate} has ended"
            raise TlsUnfit(message)
        self.context = _context(files)
        self.renewals = 0
        self.failed = False

    def renew(self) -> None:
        """Read the files again if they have changed; tell of a certificate that ends soon."""
        now = self._clock()
        try:
            stamp = self._files.stamp()
            if stamp != self._stamp:
                # First on a context of its own: a key that does not fit spoils one in use.
                expires_at = _examine(self._files)
                _load(_context(self._files), self._files)
                _load(self.context, self._files)
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
        """Whether clients still believe the certificate."""
        return self.expires_at > self._clock()


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    context.num_tickets = 0
    if files.client_ca is not None:
        # Who sends none is no partner by certificate; who sends one proves it or is cut off.
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    _load(context, files)
    return context


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Read the files into a context; a CA that was taken away stays until a restart.

    Raises:
        TlsUnfit: if they cannot be used.
    """
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
        authorities = files.authorities()
        if files.client_ca is not None and not authorities:
            message = f"{files.client_ca} holds no CA (*.pem, *.crt)"
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
