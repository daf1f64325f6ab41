"""What renewals, slowness and bad files do to the hop to the vault: nobody who may fails."""

import contextlib
import socket
import ssl
import struct
import threading
import time
from pathlib import Path
from typing import Self

import pytest
import trustme
from tests.rooms.vault.conftest import code_of
from tests.rooms.vault.hopping import ASK, BANK, Hopping, ask_raw, listed, said, until

from scudo import vault
from scudo.fabric import TlsUnfit
from scudo.vault import Tokenise
from scudo.vault.answers import Done
from scudo.vault.network import GREETED_OF_ONE_MAX
from scudo.vault.wire import frame_request


class _Asking:
    """Asks over and over in threads, with connections that stand and with new ones."""

    def __init__(self, hop: Hopping) -> None:
        self.answered, self.failed = 0, []
        self._hop, self._over = hop, threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(is_new,)) for is_new in (False, True)
        ]

    def _ask(self, is_new: bool) -> None:
        client = vault.VaultClient(self._hop.remote())
        while not self._over.wait(0.01):
            try:
                client.ask(Tokenise("ip", (f"::{self.answered}",)))
                self.answered += 1
            except vault.VaultRefusal as refusal:
                self.failed.append(refusal.code)
            if is_new:
                client.close()
        client.close()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


class TestRenewal:
    def test_fails_no_request(self, hop):
        """Both certificates and the CA are replaced while requests run: each is answered."""
        newer = trustme.CA()
        certificates = hop.certificates

        def shown() -> str:
            with hop.line() as line:
                return line.getpeercert()["serialNumber"]

        def renewed(before: str) -> bool:
            return shown() != before

        with _Asking(hop) as asking:
            before = shown()
            certificates.certify("vault", "127.0.0.1", "localhost")
            until(lambda: renewed(before))
            certificates.certify("bank", BANK, owner=(0, 0))
            # First both sides believe the new CA, then both are certified by it.
            certificates.trust(newer, "newer")
            until(lambda: _believes(hop, newer))
            before = shown()
            certificates.certify("vault", "127.0.0.1", "localhost", authority=newer)
            certificates.certify("bank", BANK, authority=newer, owner=(0, 0))
            until(lambda: renewed(before))
            (certificates.cas / "own.pem").unlink()
            until(lambda: not _believes(hop, certificates.authority))
            enough = asking.answered + 50
            until(lambda: asking.answered > enough)

        assert asking.failed == []
        certificates.authority = newer
        certificates.trust(newer)
        (certificates.cas / "newer.pem").unlink()

    def test_that_is_of_no_use_changes_nothing(self, hop):
        """Half a renewal, or a list with a slip in it, is told; the vault goes on as before."""
        good = (hop.folder / "vault.key").read_bytes()
        stranger = trustme.CA().issue_cert("x.example")
        hop.certificates._put(hop.folder / "vault.key", stranger.private_key_pem.bytes(), 0o600)
        hop.list_callers(text="[[caller]]\nname = 7\n")

        until(lambda: "certificate_not_renewed" in hop.log and "list of callers cannot" in hop.log)

        assert hop.client().ask(ASK).version == 1
        hop.certificates._put(hop.folder / "vault.key", good, 0o600)

    def test_of_a_list_ends_who_is_not_in_it(self, hop):
        """A caller that was taken off the list is cut off within moments; then it is unknown."""
        client = hop.client(patience_s=0)
        assert client.ask(ASK).version == 1

        listed(hop)

        assert until(lambda: code_of(client.ask, ASK)) == "vault_unavailable"
        assert hop.turned_away()["vault_caller_unknown"] >= 1

    def test_comes_before_the_end_of_a_certificate(self, hop):
        """A connection ends with its certificate, and goes on with the next: nobody fails."""
        before = hop.turned_away().get("certificate_expired", 0)
        hop.certificates.certify("bank", BANK, seconds=4, owner=(0, 0))

        with _Asking(hop) as asking:
            until(lambda: asking.answered > 5)
            hop.certificates.certify("bank", BANK, owner=(0, 0))
            until(lambda: hop.turned_away().get("certificate_expired", 0) > before)
            enough = asking.answered + 20
            until(lambda: asking.answered > enough)

        assert asking.failed == []


def _believes(hop: Hopping, authority: trustme.CA) -> bool:
    """Whether the vault lets in whom an authority vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([vault.PROTOCOL])
    authority.issue_cert(BANK).configure_cert(context)
    try:
        with hop.line(context) as line:
            return isinstance(said(line), Done)
    except (OSError, struct.error):
        return False


class TestSlowness:
    @pytest.mark.timeout(90)
    def test_of_strangers_delays_nobody(self, own):
        """Who connects and says nothing is cut off; more of them than a few at once at once."""
        own.start()
        with contextlib.ExitStack() as silent:
            lines = [
                silent.enter_context(socket.create_connection(("127.0.0.1", own.port), timeout=30))
                for _ in range(GREETED_OF_ONE_MAX + 5)
            ]
            # The machine's own socket has its own room.
            assert own.home.client().ask(ASK).version == 1
            assert {_rest(line) for line in lines} == {b""}

        counts = own.turned_away()
        assert counts["vault_busy"] >= 5
        assert counts["silent"] == GREETED_OF_ONE_MAX
        assert own.client().ask(ASK).version == 1

    @pytest.mark.timeout(90)
    @pytest.mark.parametrize("how", ["half a frame", "reads nothing"])
    def test_of_callers_ends_their_connection(self, hop, how):
        """Half a frame, and answers that nobody reads, are waited for for a while only."""
        before = hop.turned_away().get("too_slow", 0)
        with hop.line() as line:
            assert isinstance(said(line), Done)
            if how == "half a frame":
                line.sendall(struct.pack(">I", 100) + b"half")
            else:
                _send_for_ever(line)
            until(lambda: hop.turned_away().get("too_slow", 0) == before + 1, seconds=40)

        assert hop.client().ask(ASK).version == 1

    def test_of_nobody_is_taken_for_that(self, hop):
        """A connection that is merely quiet stays."""
        with hop.line() as line:
            assert isinstance(said(line), Done)
            time.sleep(3)
            assert ask_raw(line, ASK).version == 1


def _rest(line: socket.socket) -> bytes:
    with contextlib.suppress(ConnectionResetError):
        return line.recv(4_096)
    return b""


def _send_for_ever(line: ssl.SSLSocket) -> None:
    """Ask for more than anybody holds, and read none of it."""
    frame = frame_request(1, Tokenise("ip", tuple(f"::{n}" for n in range(1_000))))
    line.settimeout(1)
    with contextlib.suppress(TimeoutError, OSError):
        for _ in range(20_000):
            line.sendall(frame)


class TestAStart:
    @pytest.mark.parametrize(
        ("broken", "code"),
        [
            ("no key", TlsUnfit.code),
            ("other key", TlsUnfit.code),
            ("no CA", TlsUnfit.code),
            ("expired", TlsUnfit.code),
            ("no list", "vault_callers_unfit"),
            ("purpose", "vault_callers_unfit"),
            ("twice", "vault_callers_unfit"),
            ("address", "vault_address_unfit"),
        ],
    )
    def test_with_files_of_no_use_is_refused(self, own, broken, code):
        """A vault that could not let its callers in does not start, and says what is wrong."""
        own.listen()
        bank = {"name": BANK, "may": ["tokenise"]}
        match broken:
            case "no key":
                (own.folder / "vault.key").unlink()
            case "other key":
                other = trustme.CA().issue_cert("x.example").private_key_pem.bytes()
                own.certificates._put(own.folder / "vault.key", other, 0o600)
            case "no CA":
                (own.certificates.cas / "own.pem").unlink()
            case "expired":
                own.certificates.certify("vault", "127.0.0.1", seconds=-60)
            case "no list":
                (own.folder / "callers.toml").unlink()
            case "purpose":
                own.list_callers({"name": BANK, "may": ["gossip"]})
            case "twice":
                own.list_callers(bank, bank)
            case _:
                own.listen("192.0.2.1")

        with pytest.raises((vault.VaultRefusal, TlsUnfit)) as caught:
            own.home.start()

        assert caught.value.code == code
        assert Path(own.home.folder).exists()
