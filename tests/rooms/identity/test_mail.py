"""Mails leave without anybody waiting, by SMTP or into a folder."""

import smtplib
import socket
import ssl
import threading

import pytest
import trustme
from aiosmtpd.controller import Controller

from scudo.identity.mail import Mail, Mailer, MailServerInvalid, by_smtp, into_folder

MAIL = Mail("ada@example.com", "A subject", "One line.\n")


class Sink:
    """Takes mails in."""

    def __init__(self):
        self.mails = []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        self.mails.append((envelope.rcpt_tos, session.ssl is not None, envelope.content))
        return "250 taken"


class TestMailer:
    def test_tries_again_and_counts_what_it_gives_up(self):
        """Two failures are overcome; more than the retries are not, and are counted."""
        tries, done = [], threading.Event()

        def failing(message):
            tries.append(message["To"])
            if len(tries) in {3, 6}:
                done.set()
            if len(tries) == 3:
                return
            raise smtplib.SMTPServerDisconnected

        mailer = Mailer(failing, retries_s=(0, 0))
        mailer.send(MAIL)
        assert done.wait(10)
        done.clear()
        mailer.send(Mail("eve@example.com", "A subject", "x"))
        assert done.wait(10)
        mailer.close()

        assert tries == ["ada@example.com"] * 3 + ["eve@example.com"] * 3
        assert mailer.lost == 1

    def test_never_waits_and_drops_what_finds_no_place(self):
        """A thousand mails wait at the most; whoever sends more is not held up."""
        stuck = threading.Event()
        mailer = Mailer(lambda _message: stuck.wait(20) and None, retries_s=())
        for _ in range(1_010):
            mailer.send(MAIL)

        assert 8 <= mailer.lost <= 10
        stuck.set()
        mailer.close()

    def test_writes_into_a_folder_that_only_the_owner_reads(self, tmp_path):
        """Without a server a mail is a file."""
        mailer = Mailer(into_folder(tmp_path / "mail"))
        mailer.send(MAIL)
        mailer.close()
        (file,) = (tmp_path / "mail").iterdir()

        assert (file.suffix, file.stat().st_mode & 0o777) == (".eml", 0o600)
        assert (tmp_path / "mail").stat().st_mode & 0o777 == 0o700
        assert "To: ada@example.com" in file.read_text()

    def test_refuses_a_header_in_an_address(self):
        """What would add a header is no mail."""
        with pytest.raises(ValueError, match=r"newline|linefeed|carriage"):
            Mailer(print).send(Mail("ada@example.com\nBcc: eve@example.com", "s", "t"))


class TestSmtp:
    @pytest.mark.parametrize(
        "server", ["", "host", "host:", ":25", "host:0", "host:x", "host:65536"]
    )
    def test_is_refused_where_it_cannot_be_read(self, server):
        """A mail server is host:port."""
        with pytest.raises(MailServerInvalid):
            by_smtp(server)

    def test_is_encrypted_where_the_server_offers_it(self, unused_port):
        """With STARTTLS the mail goes over TLS, to a server whose certificate is believed."""
        authority = trustme.CA()
        theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(theirs)
        ours = ssl.create_default_context()
        authority.configure_trust(ours)
        sink = Sink()
        controller = Controller(sink, hostname="127.0.0.1", port=unused_port, tls_context=theirs)
        controller.start()
        try:
            mailer = Mailer(by_smtp(f"127.0.0.1:{unused_port}", context=ours), retries_s=())
            mailer.send(MAIL)
            mailer.close()
            stranger = Mailer(by_smtp(f"127.0.0.1:{unused_port}"), retries_s=())
            stranger.send(MAIL)
            stranger.close()
        finally:
            controller.stop()

        assert [(to, is_encrypted) for to, is_encrypted, _ in sink.mails] == [
            (["ada@example.com"], True)
        ]
        assert stranger.lost == 1


@pytest.fixture
def unused_port():
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
