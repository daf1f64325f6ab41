"""The vault's process: who may ask, what it reads, what it does sealed, and what it lets out."""

import contextlib
import os
import re
import shutil
import socket
import struct
import subprocess
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rooms.vault.conftest import NETWORK, WHY, refused

from scudo import vault
from scudo.fabric.settings import SettingInvalid
from scudo.vault import PutCard, PutPerson, ReadCard, ReadFields, Tokenise
from scudo.vault.answers import Refused
from scudo.vault.wire import FRAME_BYTES_MAX, LENGTH, frame_request, read_answered

ROOT = os.geteuid() == 0
SETPRIV = shutil.which("setpriv") and Path("/usr/bin/python3").exists()


def talk(path, sent, *, ends=True):
    """Send bytes to a socket, and read all that comes back until it is closed."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(5)
        line.connect(str(path))
        received = b""
        # Who is refused at the door may be told so before all is sent.
        with contextlib.suppress(BrokenPipeError):
            line.sendall(sent)
            if ends:
                line.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while chunk := line.recv(65_536):
                received += chunk
    return received


def answers(received):
    """Read every answer of what came back."""
    found = []
    while received:
        (size,) = LENGTH.unpack_from(received)
        found.append(read_answered(received[4 : 4 + size]))
        received = received[4 + size :]
    return found


def as_mail(path, sent):
    """Send bytes as the user `mail`, and say what came back first."""
    code = (
        "import os, socket, sys; line = socket.socket(socket.AF_UNIX); line.connect(sys.argv[1]);"
        " sys.argv[2] and line.sendall(bytes.fromhex(sys.argv[2])); os.write(1, line.recv(4096))"
    )
    return subprocess.run(
        [
            *("setpriv", "--reuid=mail", "--regid=mail", "--clear-groups"),
            *("/usr/bin/python3", "-c", code, str(path), sent.hex()),
        ],
        capture_output=True,
        check=False,
        cwd="/",
    )


class TestPeers:
    @pytest.mark.skipif(
        not ROOT or not SETPRIV, reason="only root can ask as somebody else, with setpriv"
    )
    def test_of_other_users_are_refused(self, shared):
        """The kernel says who asks; a user who is not named is refused and told so."""
        path = shared.running.socket
        assert b"Permission denied" in as_mail(path, b"").stderr
        # With this they come as far as the door.
        path.parent.chmod(0o711)
        try:
            said = as_mail(path, b"")
        finally:
            path.parent.chmod(0o700)

        (answered,) = answers(said.stdout)
        assert (answered.number, answered.answer.code) == (0, "vault_forbidden")

    @pytest.mark.skipif(
        not ROOT or not SETPRIV, reason="only root can ask as somebody else, with setpriv"
    )
    def test_who_are_named_may_ask_and_not_keep(self, home):
        """A user of the list is answered; what is the keepers' is refused them."""
        home.peers = ("mail",)
        home.start()
        path = home.running.socket

        asked = as_mail(path, frame_request(1, Tokenise("ip", ("::1",))))
        sealing = as_mail(path, frame_request(1, vault.PrepareDevelopmentRoot()))

        assert answers(asked.stdout)[0].answer.version == 1
        assert answers(sealing.stdout)[0].answer.code == "vault_forbidden"
        assert path.parent.stat().st_mode & 0o777 == 0o710
        assert home.client().ask(vault.Status()).state == "new"

    def test_who_do_not_exist_are_named(self, home):
        """A list of users with a slip in it starts nothing."""
        home.peers = ("nobody-of-this-name",)

        with pytest.raises(SettingInvalid, match="nobody-of-this-name"):
            home.start()

    def test_are_told_by_the_kernel(self, home):
        """A caller who is not in the list is refused, whatever they send, and changes nothing."""
        home.start()
        path = home.running.socket
        home.running.stop()
        account = home.account
        home.running = None
        with pytest.MonkeyPatch.context() as patched:
            real = os.geteuid()
            patched.setattr("scudo.interfaces.vaulting.os.geteuid", lambda: real + 1_000)
            patched.setattr(type(home), "account", account)
            home.start()

        (answered,) = answers(talk(path, frame_request(1, vault.PrepareDevelopmentRoot())))

        assert (answered.number, answered.answer.code) == (0, "vault_forbidden")
        assert refused(home.client().ask, vault.Status()).code == "vault_forbidden"

    def test_find_the_socket_in_a_closed_folder(self, shared):
        """The folder of the socket is its owner's alone."""
        folder = shared.running.socket.parent.stat()

        assert folder.st_mode & 0o777 == 0o700
        assert folder.st_uid == shared.running.user


class TestUser:
    @pytest.mark.skipif(not ROOT, reason="only root can start it as somebody else")
    def test_is_nobody_else_here(self, shared, ask):
        """Started by root, it runs neither as root nor as PostgreSQL's user, for good."""
        with shared.as_admin() as admin:
            (data,) = admin.execute("SHOW data_directory").fetchone()
        status = _status_of(shared.running.pid)

        users = {int(user) for user in status["Uid"].split()}

        assert users == {shared.running.user} == {ask(vault.Status()).user}
        assert users.isdisjoint({0, Path(data).stat().st_uid})
        assert status["Groups"] == ""
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0

    def test_writes_no_core_and_gains_no_rights(self, shared):
        """The kernel keeps its memory from cores and from other processes of its user."""
        limits = Path(f"/proc/{shared.running.pid}/limits").read_text()

        assert re.search(r"Max core file size\s+0\s+0\s", limits)
        assert _status_of(shared.running.pid)["NoNewPrivs"] == "1"
        # What may not be dumped belongs to root in /proc.
        assert Path(f"/proc/{shared.running.pid}/environ").stat().st_uid == 0

    def test_is_told_nothing_on_the_command_line(self, shared):
        """Neither its arguments nor its environment say anything but where Python is."""
        arguments = Path(f"/proc/{shared.running.pid}/cmdline").read_text().split("\0")

        assert arguments[1:4] == ["-I", "-m", "scudo.interfaces.vaulting"]
        assert arguments[4:] == [""]

    def test_is_the_only_one_of_its_folder(self, home):
        """A second vault on the same folder is refused; the first goes on."""
        home.opened()
        first = home.running

        with pytest.raises(vault.VaultRefusal) as caught:
            home.start()

        assert caught.value.code == "vault_running"
        home.running = first
        assert home.client().ask(vault.Tokenise("ip", ("::1",))).version == 1

    def test_ends_with_whoever_started_it(self, home):
        """When its standard input ends, so does it."""
        home.start()

        home.running.process.stdin.close()

        assert home.running.process.wait(10) == 0


class TestFrames:
    @given(sent=st.binary(max_size=300))
    @settings(max_examples=60, deadline=None)
    def test_of_any_bytes_end_the_connection_and_nothing_else(self, shared, sent):
        """Whatever comes, the vault refuses or closes, and answers the next who asks."""
        received = talk(shared.running.socket, sent)

        assert all(isinstance(one.answer, Refused) for one in answers(received))
        assert shared.client().ask(Tokenise("ip", ("::1",))).version == 1

    @given(
        body=st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(2**63), 2**64 - 1)
            | st.text(max_size=8)
            | st.binary(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["number", "request", "type", "person", "fields"]),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=8,
        )
    )
    @settings(max_examples=60, deadline=None)
    def test_of_any_message_are_refused(self, shared, body):
        """Well-formed MessagePack that is no request of ours is refused, never carried out."""
        packed = msgspec.msgpack.encode(body)

        received = talk(shared.running.socket, LENGTH.pack(len(packed)) + packed)

        assert [one.answer.code for one in answers(received)] == ["vault_request_malformed"]

    @pytest.mark.parametrize("size", [0, FRAME_BYTES_MAX + 1, 2**32 - 1])
    def test_of_an_impossible_length_are_refused_unread(self, shared, size):
        """A length that no frame has is refused before anything of it is read."""
        received = talk(shared.running.socket, LENGTH.pack(size), ends=False)

        assert [one.answer.code for one in answers(received)] == ["vault_request_malformed"]

    @pytest.mark.parametrize("extra", ["cvv", "pin", "track", "cvv2"])
    def test_with_what_may_never_be_kept_are_refused(self, shared, extra):
        """A card that comes with its CVV or PIN is refused by its shape, and is not kept."""
        request = {"type": "PutCard", "number": "4012888888881881", "expiry": "2030-01"}
        packed = msgspec.msgpack.encode({"number": 1, "request": {**request, extra: "123"}})

        received = talk(shared.running.socket, LENGTH.pack(len(packed)) + packed)

        (answered,) = answers(received)
        assert answered.answer.code == "vault_request_malformed"
        why = vault.Why("network", "acquirer", "authorisation")
        assert shared.client().ask(vault.FindCard("4012888888881881", why)).card is None

    def test_are_answered_however_they_are_cut(self, shared):
        """Frames that come byte by byte, or many in one piece, are answered each."""
        frames = b"".join(
            frame_request(number, Tokenise("ip", (f"::{number}",))) for number in range(1, 101)
        )

        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(5)
            line.connect(str(shared.running.socket))
            for size in (7, len(frames)):
                for at in range(0, len(frames), size):
                    line.sendall(frames[at : at + size])
                received = b""
                while len(numbers := _numbers(received)) < 100:
                    received += line.recv(65_536)
                assert sorted(numbers) == list(range(1, 101))

    def test_of_one_who_does_not_read_stop_nobody(self, shared):
        """Who sends for ever and reads nothing is not read any more; others are answered."""
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(shared.running.socket))
            line.setblocking(False)
            frame = frame_request(1, Tokenise("ip", tuple(f"::{n}" for n in range(1_000))))
            sent = 0
            try:
                while sent < 200_000_000:
                    sent += line.send(frame)
            except BlockingIOError:
                pass

            assert sent < 200_000_000
            assert shared.client().ask(Tokenise("ip", ("::1",))).version == 1


class TestSigning:
    def test_is_by_keys_that_anybody_can_check(self, home):
        """Both algorithms sign, under a key whose public half is told; a new key replaces it."""
        home.start()
        ask = home.client().ask
        before = ask(vault.ListSigningKeys()).keys
        ask(vault.RotateOperational("ml-dsa-65"))

        keys = {key.key_id: key for key in ask(vault.ListSigningKeys()).keys}
        for algorithm, public in (
            ("ed25519", Ed25519PublicKey),
            ("ml-dsa-65", MLDSA65PublicKey),
        ):
            made = ask(vault.Sign(algorithm, b"head"))
            assert keys[made.key_id].is_active
            public.from_public_bytes(keys[made.key_id].public).verify(made.signature, b"head")

        assert len(before) == 2
        assert {key.key_id for key in before} < set(keys)
        assert sum(key.is_active for key in keys.values()) == 2
        assert refused(ask, vault.Sign("rsa", b"head")).code == "vault_key_unknown"


class TestSilence:
    def test_is_kept_on_every_value_and_key(self, home, capfd):
        """A whole scenario with mistakes in it writes none of its values, shares or keys."""
        home.start()
        client = home.client()
        ask = client.ask
        shares = ask(vault.PrepareRoot(3, 2)).shares
        ask(vault.CommitRoot())
        planted = {"given_name": "Plantedname", "email": "planted@example.org"}
        number = "4111111111111111"
        ask(PutPerson(7, planted))
        card = ask(PutCard(number, "2030-01", 7)).card
        ask(ReadFields(7, ("email",), WHY))
        ask(ReadCard(card, NETWORK))
        refused(ask, PutPerson(7, {"Plantedname": "planted@example.org"}))
        refused(ask, PutCard("4111111111111112", "2030-01"))
        refused(ask, vault.FindPerson("plantedkind", "Plantedname", WHY))
        with home.as_admin() as admin:
            admin.execute("UPDATE vault.field SET sealed = sealed || '\\x00'")
        refused(ask, ReadFields(7, ("email",), WHY))
        ask(vault.Seal())
        refused(ask, vault.Unseal(shares[0] + " academic", "ada"))
        ask(vault.Unseal(shares[0], "ada"))
        refused(ask, vault.Unseal(shares[0], "grace"))
        keys = (home.folder / "vault" / "operational.keys").read_bytes()
        home.stop()

        said = "".join(capfd.readouterr())
        secrets = ["Plantedname", "planted@", number, "411111111111", *shares[0].split()[4:9]]
        seeds = [keys[at : at + 32] for at in range(len(keys) - 32)]
        assert "the vault answers" in said
        assert "a ciphertext does not open" in said
        assert [secret for secret in secrets if secret in said] == []
        assert not [seed for seed in seeds if seed.hex() in said or repr(seed)[2:-1] in said]


def _numbers(received):
    """Numbers of the whole answers in what came back."""
    numbers = []
    while len(received) >= 4:
        (size,) = struct.unpack_from(">I", received)
        if len(received) < 4 + size:
            break
        numbers.append(read_answered(received[4 : 4 + size]).number)
        received = received[4 + size :]
    return numbers


def _status_of(pid):
    """The kernel's word on a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
