"""The vault over the network: who is let in, what they may, and whom the bank believes."""

import asyncio
import contextlib
import hashlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import get_args

import pytest
import structlog
import trustme
from tests.certificates import Certificates
from tests.rooms.vault.conftest import ADA, WHY, code_of, refused
from tests.rooms.vault.hopping import ALL, ASK, BANK, PERSONS, Hopping, listed, said, until

from scudo import vault
from scudo.bootstrap import now_us
from scudo.fabric import HopTls, TlsFiles
from scudo.vault import PutPerson, ReadFields, Tokenise
from scudo.vault.answers import Refused
from scudo.vault.wire import AnyRequest, KeepTexts, NewText

TEXT = NewText(7, "0" * 64, "for the rent")
#: One of each that callers send.
EXAMPLES = (
    ASK,
    vault.TokeniseAll({"ip": ("::1",)}),
    vault.Sign("ed25519", b"x"),
    PutPerson(7, ADA),
    vault.LinkToken(7, "device", "d"),
    ReadFields(7, ("email",), WHY),
    vault.FindPerson("email", "a@b.example", WHY),
    vault.FindToken("device", 7, WHY),
    vault.ErasePerson(7, "a", "b"),
    KeepTexts((TEXT,)),
    vault.ReadText(7, 7, WHY),
    vault.PutCard("4012888888881881", "2030-01"),
    vault.ShowCard(7, WHY),
    vault.ReadCard(7, WHY),
    vault.FindCard("4012888888881881", WHY),
    vault.ListCards(7, WHY),
    vault.ForgetReads(1, (), 1),
    vault.ForgetCards(1, (), 1),
    vault.CountKept(1, 1, ()),
    vault.MatchCallback("partner-ping", (7,), b"x", (b"m" * 32,)),
    vault.ShareCallbackSecret("partner-ping", 7),
)


class TestACaller:
    def test_of_the_list_is_answered(self, hop):
        """A person put and read over the network is the person that the socket shows."""
        person = next(PERSONS)
        with contextlib.closing(hop.client()) as client:
            client.ask(PutPerson(person, ADA))
            read = client.ask(ReadFields(person, ("email",), WHY))

        assert read.values == {"email": ADA["email"]}
        assert read.facts[0].actor == WHY.actor
        assert hop.home.client().ask(ReadFields(person, ("email",), WHY)).values == read.values

    def test_asks_much_at_once(self, hop):
        """One connection carries many requests of an event loop, each with its own answer."""

        async def run() -> list[tuple[int, ...]]:
            async with vault.AsyncVaultClient(hop.remote()) as client:
                many = (client.ask(Tokenise("ip", (f"::{n}",))) for n in range(500))
                return [answer.tokens for answer in await asyncio.gather(*many)]

        over_network = asyncio.run(run())

        client = hop.home.client()
        assert over_network == [client.ask(Tokenise("ip", (f"::{n}",))).tokens for n in range(500)]

    def test_is_known_by_a_uri_too(self, hop):
        """A certificate whose only name is a URI is as good as one with a DNS name."""
        uri = "spiffe://bank.example/worker"
        hop.certificates.certify_uri("worker", uri)
        listed(hop, {"name": BANK, "may": ALL}, {"name": uri, "may": ["tokenise"]})

        with contextlib.closing(hop.client("worker")) as client:
            assert client.ask(ASK).version == 1

    @pytest.mark.parametrize(
        ("may", "request_", "code"),
        [
            (["sign"], ASK, "vault_forbidden"),
            (["sign"], vault.TokeniseAll({"ip": ("::1",)}), "vault_forbidden"),
            (["tokenise"], vault.Sign("ed25519", b"x"), "vault_forbidden"),
            (["tokenise"], PutPerson(7, ADA), "vault_forbidden"),
            (["write"], vault.ErasePerson(7, "a", "b"), "vault_forbidden"),
            (["write"], ReadFields(7, ("email",), WHY), "vault_forbidden"),
            (["tokenise"], KeepTexts((TEXT,)), "vault_forbidden"),
            (["write"], KeepTexts((TEXT,), (("ip", "::1"),)), "vault_forbidden"),
            (["customer_care"], vault.FindPerson("email", "a@b.example", WHY), "vault_forbidden"),
            (ALL, vault.Seal(), "vault_forbidden"),
            (ALL, vault.RotateUnit(), "vault_forbidden"),
            (ALL, vault.RotateOperational("token"), "vault_forbidden"),
            (ALL, vault.PrepareDevelopmentRoot(), "vault_forbidden"),
            (ALL, vault.Unseal("word " * 33, "ada"), "vault_forbidden"),
        ],
    )
    def test_may_ask_what_the_list_says(self, hop, may, request_, code):
        """What the list does not name is refused, and what is for keepers in any case."""
        listed(hop, {"name": BANK, "may": may})

        with contextlib.closing(hop.client()) as client:
            assert refused(client.ask, request_).code == code
            assert client.ask(vault.Status()).state == "open"

    def test_is_allowed_nothing_that_the_list_does_not_name(self, hop):
        """Of every request that there is, a caller with one right is refused all but its own."""
        listed(hop, {"name": BANK, "may": ["statement"]})
        known = {one for one in get_args(AnyRequest) if not one.is_for_keepers}
        always = {vault.Status, vault.ListSigningKeys}

        assert {type(one) for one in EXAMPLES} == known - always
        with contextlib.closing(hop.client()) as client:
            codes = {refused(client.ask, one).code for one in EXAMPLES}
            assert {client.ask(one()).__class__.__name__ for one in always} == {
                "StatusShown",
                "SigningKeys",
            }
        assert codes == {"vault_forbidden"}

    def test_has_quotas_of_its_own(self, hop):
        """A caller that asks for too much is refused; others, and the socket, are not."""
        other = "other.hop.example"
        hop.certificates.certify("other", other, owner=(0, 0))
        listed(
            hop,
            {"name": BANK, "may": ALL, "per_second": {"tokenise": 5}},
            {"name": other, "may": ALL},
        )
        many = Tokenise("ip", tuple(f"::{n}" for n in range(6)))

        with contextlib.closing(hop.client()) as client:
            assert refused(client.ask, many).code == "vault_quota"
            assert client.ask(ASK).version == 1
        with contextlib.closing(hop.client("other")) as client:
            assert client.ask(many).version == 1
        assert hop.home.client().ask(many).version == 1


def _raw(hop: Hopping, context: ssl.SSLContext) -> None:
    """Shake hands and read what the vault says; a refusal is an error."""
    with hop.line(context) as line:
        answer = said(line)
        assert isinstance(answer, Refused), answer
        raise ConnectionError(answer.code)


def _context(hop: Hopping) -> ssl.SSLContext:
    return hop.tls().context


def _uncertified(hop: Hopping) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    hop.certificates.authority.configure_trust(context)
    context.set_alpn_protocols([vault.PROTOCOL])
    return context


def _old(hop: Hopping) -> ssl.SSLContext:
    context = _context(hop)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def _certified_by(authority: trustme.CA, *names: str) -> Callable[[Hopping], ssl.SSLContext]:
    def make(hop: Hopping) -> ssl.SSLContext:
        context = _uncertified(hop)
        authority.issue_cert(*names).configure_cert(context)
        return context

    return make


class TestAStranger:
    @pytest.mark.parametrize(
        ("who", "make", "cause"),
        [
            ("without a certificate", _uncertified, "certificate_absent"),
            ("of another CA", _certified_by(trustme.CA(), BANK), "certificate_foreign"),
            ("of TLS 1.2", _old, "version_too_old"),
        ],
    )
    def test_is_cut_off_in_the_handshake(self, hop, who, make, cause):
        """Nobody comes in without TLS 1.3 and a certificate of the hop's CA; each is counted."""
        before = hop.turned_away().get(cause, 0)

        with pytest.raises((ssl.SSLError, ConnectionError)):
            _raw(hop, make(hop))

        until(lambda: hop.turned_away().get(cause, 0) == before + 1)
        assert f'"cause":"{cause}"' in hop.log, who
        assert hop.client().ask(ASK).version == 1

    def test_that_signs_its_own_certificate_is_cut_off(self, hop):
        """A certificate that vouches for itself is not believed, whatever name it has."""
        before = hop.turned_away().get("certificate_self_signed", 0)
        stranger = trustme.CA()
        context = _uncertified(hop)
        folder = hop.folder / "self"
        folder.mkdir()
        stranger.cert_pem.write_to_path(folder / "self.pem")
        stranger.private_key_pem.write_to_path(folder / "self.key")
        context.load_cert_chain(folder / "self.pem", folder / "self.key")

        with pytest.raises((ssl.SSLError, ConnectionError)):
            _raw(hop, context)

        until(lambda: hop.turned_away().get("certificate_self_signed", 0) == before + 1)

    def test_whose_time_is_over_is_cut_off(self, hop):
        """A certificate that has ended lets nobody in."""
        before = hop.turned_away().get("certificate_expired", 0)
        leaf = hop.certificates.certify("late", BANK, seconds=-60)
        context = _uncertified(hop)
        leaf.configure_cert(context)

        with pytest.raises((ssl.SSLError, ConnectionError)):
            _raw(hop, context)

        until(lambda: hop.turned_away().get("certificate_expired", 0) == before + 1)

    def test_in_plain_text_is_cut_off(self, hop):
        """Frames that nobody encrypted are not read."""
        before = hop.turned_away().get("handshake_failed", 0)
        with socket.create_connection(("127.0.0.1", hop.port), timeout=10) as plain:
            plain.sendall(struct.pack(">I", 5) + b"hello")
            with contextlib.suppress(ConnectionResetError):
                while plain.recv(4_096):
                    pass

        until(lambda: hop.turned_away().get("handshake_failed", 0) == before + 1)

    def test_of_another_protocol_is_cut_off(self, hop):
        """A connection that was meant for another service is not taken for a caller's."""
        before = hop.turned_away().get("protocol_of_others", 0)
        context = _uncertified(hop)
        hop.certificates.authority.issue_cert(BANK).configure_cert(context)
        context.set_alpn_protocols(["http/1.1"])

        with hop.line(context) as line:
            assert line.recv(4_096) == b""

        until(lambda: hop.turned_away().get("protocol_of_others", 0) == before + 1)

    @pytest.mark.parametrize(
        ("case", "cause"),
        [("foreign", "not_welcomed"), ("expired", "own_certificate_expired")],
    )
    def test_is_told_apart_in_the_log_of_the_bank(self, hop, case, cause):
        """A bank whose certificate is not believed is without its vault, and its log says why."""
        sync, remote = hop.client(patience_s=0), hop.remote()
        stranger = trustme.CA() if case == "foreign" else None
        seconds = -60 if case == "expired" else 600
        hop.certificates.certify("bank", BANK, authority=stranger, seconds=seconds, owner=(0, 0))

        async def ask() -> None:
            async with vault.AsyncVaultClient(remote, patience_s=0) as client:
                await client.ask(ASK)

        with structlog.testing.capture_logs() as told:
            assert refused(sync.ask, ASK).code == "vault_unavailable"
            with pytest.raises(vault.VaultUnavailable):
                asyncio.run(ask())

        assert [line["cause"] for line in told if "cause" in line] == [cause, cause]

    @pytest.mark.parametrize("name", ["unlisted.hop.example", "127.0.0.1", "hop.example"])
    def test_whose_name_is_not_listed_is_told_so(self, hop, name):
        """The hop's CA alone opens nothing: the name must be in the list, whole."""
        hop.certificates.certify("bank", name, owner=(0, 0))
        with structlog.testing.capture_logs() as told:
            refusal = refused(hop.client(patience_s=0).ask, ASK)

        assert refusal.code == "vault_unavailable"
        assert [line["cause"] for line in told if "cause" in line] == ["vault_caller_unknown"]
        assert hop.turned_away()["vault_caller_unknown"] >= 1

    def test_whose_certificate_is_revoked_is_told_so(self, hop):
        """A certificate on the list of revoked ones is refused, and its connections end."""
        client = hop.client(patience_s=0)
        assert client.ask(ASK).version == 1
        leaf = (hop.folder / "bank.pem").read_text()
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf)).hexdigest()

        listed(hop, {"name": BANK, "may": ALL}, revoked=[digest])
        with structlog.testing.capture_logs() as told:
            until(lambda: code_of(client.ask, ASK) == "vault_unavailable")
            assert refused(client.ask, ASK).code == "vault_unavailable"

        assert [line["cause"] for line in told if "cause" in line] == ["vault_caller_revoked"]
        hop.certificates.certify("bank", BANK, owner=(0, 0))
        assert hop.client().ask(ASK).version == 1


class TestTheBank:
    @pytest.mark.parametrize(
        ("case", "cause"),
        [
            ("another name", "certificate_of_other_name"),
            ("another CA", "certificate_foreign"),
            ("expired", "certificate_expired"),
            ("nobody", "nobody_listens"),
            ("silent", "silent"),
        ],
    )
    def test_believes_only_the_vault_of_its_name(self, tmp_path, case, cause):
        """Whatever else answers at the address is `vault_unavailable`, and the log says why."""
        certificates = Certificates(tmp_path / "hop")
        certificates.certify("bank", BANK)
        stranger = trustme.CA()
        leaf = {
            "another name": lambda: certificates.certify("x", "elsewhere.example"),
            "another CA": lambda: stranger.issue_cert("127.0.0.1"),
            "expired": lambda: certificates.certify("x", "127.0.0.1", seconds=-60),
        }.get(case, lambda: certificates.certify("x", "127.0.0.1"))()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf.configure_cert(context)
        files = certificates.files("bank")
        tls = HopTls(
            TlsFiles(files["cert"], files["key"], certificates.cas),
            side="client",
            protocol=vault.PROTOCOL,
            clock=now_us,
        )
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            if case == "nobody":
                listener.close()
            elif case != "silent":
                threading.Thread(target=_accept, args=(listener, context), daemon=True).start()
            remote = vault.RemoteVault("127.0.0.1", port, tls)

            async def ask() -> None:
                async with vault.AsyncVaultClient(remote, patience_s=0.5) as client:
                    asking = (client.ask(vault.Tokenise("ip", (f"::{n}",))) for n in range(50))
                    codes = await asyncio.gather(*asking, return_exceptions=True)
                assert {getattr(one, "code", one) for one in codes} == {"vault_unavailable"}

            with structlog.testing.capture_logs() as told:
                asyncio.run(ask())
                with vault.VaultClient(remote, patience_s=0) as client:
                    assert refused(client.ask, ASK).code == "vault_unavailable"

        # Each of the two clients tells it once.
        assert [line["cause"] for line in told if "cause" in line] == [cause, cause]

    def test_waits_for_a_vault_that_starts_again(self, own):
        """A request while the vault is away is answered when it is back within the patience."""
        own.start()
        client = own.client(patience_s=30)
        first = client.ask(ASK)
        own.home.running.kill()
        back = threading.Timer(0.5, own.start)
        back.start()

        assert client.ask(ASK) == first
        back.join()


def _accept(listener: socket.socket, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError):
        while True:
            plain, _ = listener.accept()
            with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as line:
                line.recv(1)
