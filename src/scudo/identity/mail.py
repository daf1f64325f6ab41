"""Mail: handed over at once, delivered by a thread that tries again.

Nobody waits for a mail server, so that what is answered tells nothing of it. Without a server
(a laptop) mails become files in a folder.
"""

import contextlib
import queue
import secrets
import smtplib
import ssl
import threading
import time
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Final

import msgspec
import structlog

from scudo.kernel import Refusal

_log: Final = structlog.get_logger("scudo.mail")
#: Mails that wait at the most; more are dropped, which is told.
_QUEUE_MAX: Final = 1_000
_PATIENCE_S: Final = 10
#: Seconds between tries; after the last a mail is given up.
_RETRIES_S: Final = (1, 5, 30, 120)
_SENDER: Final = "Scudo <no-reply@scudo.invalid>"
_PORT_MAX: Final = 65_535


class MailServerInvalid(Refusal):
    """Raised when the setting of the mail server is not `host:port`."""

    code = "mail_server_invalid"
    next_step = "Set SCUDO_SMTP to host:port, or unset it, and start again."


class Mail(msgspec.Struct, frozen=True):
    """One mail: plain text to one address."""

    to: str
    subject: str
    text: str


#: Delivers one message, or raises.
Deliver = Callable[[EmailMessage], None]


def by_smtp(server: str, *, context: ssl.SSLContext | None = None) -> Deliver:
    """Deliver to a mail server, over TLS where it offers STARTTLS.

    Args:
        server: `host:port`.
        context: whose certificates are believed; those of the system by default.

    Raises:
        MailServerInvalid: if the setting cannot be read.
    """
    host, _, port = server.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) <= _PORT_MAX:
        message = f"{server!r} is not host:port"
        raise MailServerInvalid(message)

    def deliver(message: EmailMessage) -> None:
        with smtplib.SMTP(host, int(port), timeout=_PATIENCE_S) as connection:
            connection.ehlo()
            if connection.has_extn("starttls"):
                connection.starttls(context=context or ssl.create_default_context())
            connection.send_message(message)

    return deliver


def into_folder(folder: Path) -> Deliver:
    """Deliver into a folder, a file a mail, readable by its owner only."""

    def deliver(message: EmailMessage) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{time.time_ns()}-{secrets.token_hex(4)}.eml"
        path.touch(mode=0o600)
        path.write_bytes(message.as_bytes())

    return deliver


class Mailer:
    """Delivers mails one after the other, in a thread that starts with the first."""

    def __init__(self, deliver: Deliver, *, retries_s: tuple[float, ...] = _RETRIES_S) -> None:
        """Deliver by `deliver`."""
        self._deliver = deliver
        self._retries_s = retries_s
        self._queue: queue.Queue[EmailMessage | None] = queue.Queue(_QUEUE_MAX)
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        #: Mails that were given up or found no place.
        self.lost = 0

    def send(self, mail: Mail) -> None:
        """Hand a mail over; never waits, and never fails for whoever hands it over."""
        message = EmailMessage()
        message["From"] = _SENDER
        message["To"] = mail.to
        message["Subject"] = mail.subject
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain="scudo.invalid")
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(mail.text)
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            self.lost += 1
            _log.error("mail_dropped", waiting=_QUEUE_MAX)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="mail", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Deliver what waits, trying each mail once more, and stop."""
        self._stopping.set()
        if self._thread is not None:
            with contextlib.suppress(queue.Full):
                self._queue.put_nowait(None)
            self._thread.join(timeout=2 * _PATIENCE_S)

    def _run(self) -> None:
        while (message := self._queue.get()) is not None:
            for pause_s in (*self._retries_s, None):
                try:
                    self._deliver(message)
                except (OSError, smtplib.SMTPException) as error:
                    # The address is personal data: what failed is told, not for whom.
                    _log.warning("mail_failed", error=type(error).__name__)
                    if pause_s is None or self._stopping.wait(pause_s):
                        self.lost += 1
                        _log.error("mail_given_up")
                        break
                else:
                    break
