"""TLS of the server: version 1.3 only, certificates of clients, renewal without a restart."""

import http.client
import json
import socket
import ssl
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from scudo.fabric import ServerTls, TlsFiles, TlsUnfit
from scudo.fabric.settings import SettingInvalid, settings_from
from scudo.interfaces import serving
from scudo.kernel import instant

DAY_US = 86_400 * 1_000_000


@dataclass
class Certified:
    """A folder of certificates, and its CA."""

    folder: Path
    authority: trustme.CA
    now: int = time.time_ns() // 1_000

    def __post_init__(self) -> None:
        (self.folder / "ca").mkdir()
        self.authority.cert_pem.write_to_path(self.folder / "ca" / "own.pem")
        self.certify(self.authority)

    @property
    def files(self) -> TlsFiles:
        return TlsFiles(self.folder / "server.pem", self.folder / "server.key", self.folder / "ca")

    def certify(self, authority: trustme.CA, *, days: int = 365) -> trustme.LeafCert:
        """Give the server another certificate and key."""
        ends = instant(time.time_ns() // 1_000) + timedelta(days=days)
        leaf = authority.issue_cert("127.0.0.1", not_after=ends)
        leaf.private_key_pem.write_to_path(self.folder / "server.key")
        (self.folder / "server.pem").write_bytes(
            b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        )
        return leaf

    def tls(self) -> ServerTls:
        return ServerTls(self.files, clock=lambda: self.now)

    def context(self, leaf: trustme.LeafCert | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if leaf is not None:
            leaf.configure_cert(context)
        return context


@pytest.fixture
def certified(tmp_path):
    """A server's certificate of a CA of its own."""
    return Certified(tmp_path, trustme.CA())


@pytest.fixture
def port(certified, serve, desk):
    """Serve the small table over TLS."""
    return serve(desk, tls=certified.tls()).port


def get(port: int, context: ssl.SSLContext) -> int:
    """Ask over one connection, and close it."""
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    try:
        connection.request("GET", "/health/live")
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def served_serial(port: int, context: ssl.SSLContext) -> str:
    """Which certificate a new connection is shown."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        found = secure.getpeercert()
        assert found is not None
        return str(found["serialNumber"])


class TestConnections:
    def test_speak_tls_1_3(self, certified, port):
        """A client of today gets version 1.3 and its answer."""
        context = certified.context()
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            assert secure.version() == "TLSv1.3"
            assert not secure.session_reused

        assert get(port, context) == 200

    def test_speak_nothing_older(self, certified, port):
        """A client that stops at 1.2 is not served."""
        context = certified.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2

        with pytest.raises(ssl.SSLError):
            get(port, context)

    def test_are_not_made_in_plain_text(self, port):
        """Plain HTTP on the port of TLS is cut off, and the next client is served."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/health/live")
        with pytest.raises((ConnectionError, http.client.BadStatusLine)):
            connection.getresponse()
        connection.close()

    @pytest.mark.parametrize("who", ["nobody", "known", "stranger", "ended", "server only"])
    def test_take_certificates_of_trusted_authorities_only(self, certified, port, who):
        """None is needed; one that is sent is proven, or the connection ends."""
        other = trustme.CA()
        past = instant(time.time_ns() // 1_000) - timedelta(days=1)
        leaf = {
            "nobody": None,
            "known": certified.authority.issue_cert("partner.example"),
            "stranger": other.issue_cert("partner.example"),
            "ended": certified.authority.issue_cert("partner.example", not_after=past),
            "server only": other.issue_cert("127.0.0.1"),
        }[who]

        if who in {"nobody", "known"}:
            assert get(port, certified.context(leaf)) == 200
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                get(port, certified.context(leaf))

    def test_end_with_a_refusal_like_plain_ones(self, certified, port):
        """What no parser reads is answered and cut off, over TLS too."""
        context = certified.context()
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            secure.sendall(b"NOT HTTP\r\n\r\n")
            received = b""
            while chunk := secure.recv(65_536):
                received += chunk

        assert received.startswith(b"HTTP/1.1 400")
        assert json.loads(received.partition(b"\r\n\r\n")[2])["code"] == "request_malformed"


class TestACertificate:
    def test_is_renewed_without_a_restart(self, certified, serve, desk):
        """New handshakes show the new certificate; open connections go on with the old one."""
        tls = certified.tls()
        port = serve(desk, tls=tls).port
        context = certified.context()
        before = served_serial(port, context)
        kept = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
        kept.request("GET", "/health/live")
        assert kept.getresponse().read()

        certified.certify(certified.authority)
        until = time.monotonic() + 10
        while tls.renewals == 0:
            assert time.monotonic() < until, "the new files were not seen"
            time.sleep(0.05)

        assert served_serial(port, context) != before
        kept.request("GET", "/health/live")
        assert kept.getresponse().status == 200
        kept.close()

    def test_that_does_not_fit_its_key_is_not_taken(self, certified):
        """Half of a renewal changes nothing but the alarm, which its other half ends."""
        tls = certified.tls()
        before = tls.expires_at
        other = certified.authority.issue_cert("127.0.0.1")
        (certified.folder / "server.pem").write_bytes(other.cert_chain_pems[0].bytes())

        tls.renew()
        assert (tls.renewals, tls.is_alarming, tls.expires_at) == (0, True, before)
        _shake_hands(tls.context, certified.context())

        other.private_key_pem.write_to_path(certified.folder / "server.key")
        tls.renew()
        assert (tls.renewals, tls.is_alarming) == (1, False)
        _shake_hands(tls.context, certified.context())

    @pytest.mark.fault(51)
    def test_alarms_days_before_it_ends(self, certified):
        """The alarm begins a fortnight before; the server is ready until the very end."""
        tls = certified.tls()

        certified.now = tls.expires_at - 15 * DAY_US
        assert (tls.is_alarming, tls.is_good) == (False, True)
        certified.now = tls.expires_at - 13 * DAY_US
        assert (tls.is_alarming, tls.is_good) == (True, True)
        certified.now = tls.expires_at
        assert (tls.is_alarming, tls.is_good) == (True, False)

    def test_of_a_new_authority_lets_its_clients_in(self, certified):
        """A CA that is added to the folder counts from the next handshake on."""
        tls, newer = certified.tls(), trustme.CA()
        client = certified.context(newer.issue_cert("partner.example"))
        with pytest.raises(ssl.SSLError):
            _shake_hands(tls.context, client)

        newer.cert_pem.write_to_path(certified.folder / "ca" / "newer.pem")
        tls.renew()

        _shake_hands(tls.context, client)

    @pytest.mark.parametrize("broken", ["no certificate", "no key", "other key", "no CA", "ended"])
    def test_that_cannot_be_used_is_refused_at_the_start(self, certified, broken):
        """The server does not start with files that would not let it serve."""
        folder = certified.folder
        match broken:
            case "no certificate":
                (folder / "server.pem").write_text("nothing")
            case "no key":
                (folder / "server.key").unlink()
            case "other key":
                other = certified.authority.issue_cert("127.0.0.1")
                other.private_key_pem.write_to_path(folder / "server.key")
            case "no CA":
                (folder / "ca" / "own.pem").unlink()
            case _:
                certified.now += 366 * DAY_US

        with pytest.raises(TlsUnfit):
            certified.tls()


class TestSettings:
    @pytest.mark.parametrize(
        "environment",
        [
            {"SCUDO_TLS_CERT": "/a"},
            {"SCUDO_TLS_KEY": "/a"},
            {"SCUDO_CLIENT_CA": "/a"},
            {"SCUDO_ENVIRONMENT": "test"},
        ],
    )
    def test_of_tls_come_together(self, environment):
        """Half a setting, and an environment that there is not, are refused by name."""
        with pytest.raises(SettingInvalid):
            settings_from(environment | {"SCUDO_HOME": "/bank"}, is_root=True)

    def test_tell_environments_apart(self):
        """What partners call the bank differs by environment, unless it is named."""
        home = {"SCUDO_HOME": "/bank"}
        sandbox = settings_from(home, is_root=True)
        production = settings_from(home | {"SCUDO_ENVIRONMENT": "production"}, is_root=True)
        named = settings_from(home | {"SCUDO_ISSUER": "https://bank.example"}, is_root=True)

        assert sandbox.issuer_name == "urn:scudo:sandbox"
        assert production.issuer_name == "urn:scudo:production"
        assert named.issuer_name == "https://bank.example"

    def test_of_production_do_not_serve_other_machines_in_plain_text(self, tmp_path):
        """Without a certificate production listens on loopback only, or not at all."""
        settings = settings_from(
            {"SCUDO_HOME": str(tmp_path), "SCUDO_ENVIRONMENT": "production"}, is_root=True
        )

        with pytest.raises(SettingInvalid, match="TLS"):
            serving.serve(settings, announce=lambda _: None, host="0.0.0.0")

        assert list(tmp_path.iterdir()) == []


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """Make one TLS connection in memory, and send a byte through it, as a server with proof."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(back, there, server_hostname="127.0.0.1")
    serving = server.wrap_bio(there, back, server_side=True)
    pending = [asking, serving]
    for _ in range(8):
        for side in tuple(pending):
            try:
                side.do_handshake()
                pending.remove(side)
            except ssl.SSLWantReadError:
                continue
        if not pending:
            break
    asking.write(b"x")
    assert serving.read(1) == b"x"
