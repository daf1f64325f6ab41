"""`scudo vault`, as its keepers use it, on an embedded bank of its own."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.certificates import Certificates
from tests.softhsm import PIN, soft_hsm

from scudo import vault
from scudo.fabric.postgres import EmbeddedServer
from scudo.fabric.settings import Settings
from scudo.interfaces import vaulting

#: Each test runs many commands, each of which begins a program.
pytestmark = pytest.mark.timeout(240)
SCUDO = str(Path(sys.executable).parent / "scudo")
COMMANDS = (
    "init",
    "serve",
    "unseal",
    "seal",
    "status",
    "rotate-root",
    "rotate-unit",
    "rotate-search",
    "rotate-seal",
    "rotate-signing",
    "rotate-token",
)


#: What a bank is told beside its home, by the home.
TOLD: dict[Path, dict[str, str]] = {}


def environment(home):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCUDO_")}
    return {**kept, **TOLD.get(home, {}), "SCUDO_HOME": str(home)}


def run(home, *arguments, said=""):
    return subprocess.run(
        [SCUDO, *map(str, arguments)],
        env=environment(home),
        input=said,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def told(home, *arguments, said=""):
    """The one JSON object that a command gives."""
    return json.loads(run(home, *arguments, "--json", said=said).stdout)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The folder of a bank without a vault's root."""
    folder = tmp_path_factory.mktemp("bank")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(parent.stat().st_mode | 0o011)
    home = folder / "home"
    assert run(home, "init").returncode == 0
    with EmbeddedServer(home):
        yield home


@pytest.fixture(scope="module")
def shares(home):
    """The shares of the root, of which two open the vault; made while no vault ran."""
    made = told(home, "vault", "init", "--shares", "3", "--threshold", "2", "--yes")
    return made["shares"]


@pytest.fixture
def served(home, shares):
    """A vault that is served, sealed as after every start; its socket."""
    process = subprocess.Popen(
        [SCUDO, "vault", "serve"], env=environment(home), stdout=subprocess.PIPE, text=True
    )
    yield Path(process.stdout.readline().strip())
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    process.stdout.close()


class TestHelp:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_teaches_every_command(self, tmp_path, command):
        """Every command says what it does, and shows how."""
        done = run(tmp_path, "vault", command, "--help")

        assert done.returncode == 0
        assert "Examples:" in done.stdout


class TestInit:
    def test_shows_every_share_once(self, home, shares):
        """As many shares as were asked for; a second run has none to show."""
        again = told(home, "vault", "init", "--yes")

        assert [len(share.split()) for share in shares] == [33, 33, 33]
        assert again["refused"] == "vault_root_present"
        found = [path for path in home.rglob("*") if path.is_file()]
        assert not [path for path in found if shares[0].encode() in path.read_bytes()]

    def test_uses_no_root_before_the_shares_are_written_down(self, tmp_path):
        """Whoever says no has a vault without a root, which may be made for development: loudly."""
        home = tmp_path / "home"
        # As long as somebody is attached, PostgreSQL does not stop after every command.
        with EmbeddedServer(home):
            assert run(home, "init").returncode == 0

            refused = run(home, "vault", "init", said="n\n")
            loud = run(home, "vault", "init", "--development")
            findings = {one["name"]: one for one in told(home, "doctor")["findings"]}

        assert refused.returncode == 1
        assert "worth nothing" in refused.stderr
        assert loud.returncode == 0
        assert "DEVELOPMENT VAULT" in loud.stderr
        assert "DEVELOPMENT" in findings["vault_root"]["found"]
        assert not findings["vault_root"]["ok"]
        assert not findings["vault_erasures"]["ok"]


class TestUnsealing:
    def test_takes_one_share_of_each_keeper(self, home, shares, served):
        """Sealed after the start; two keepers enter a share each, and it is open."""
        assert told(home, "vault", "status")["state"] == "sealed"

        first = told(home, "vault", "unseal", "--as", "ada", said=shares[0] + "\n")
        same = told(home, "vault", "unseal", "--as", "ada", said=shares[1] + "\n")
        second = told(home, "vault", "unseal", "--as", "grace", said=shares[2] + "\n")

        assert (first["entered"], first["needed"], first["is_open"]) == (1, 2, False)
        assert same["refused"] == "vault_keeper_repeated"
        assert second["is_open"]
        assert told(home, "vault", "rotate-unit")["unit"] == 2
        assert run(home, "vault", "seal").returncode == 0
        assert "sealed" in run(home, "vault", "status").stdout

    def test_refuses_what_is_no_share(self, home, served):
        """A slip of the hand is told from a share, without repeating it."""
        done = run(home, "vault", "unseal", said="correct horse battery staple\n")

        assert done.returncode == 3
        assert "vault_share_malformed" in done.stderr
        assert "battery" not in done.stderr + done.stdout

    def test_gives_new_shares_at_a_rotation(self, home, shares, served):
        """After a rotation the new shares open the vault; the last of the old do not."""
        for keeper, share in (("ada", shares[0]), ("grace", shares[1])):
            told(home, "vault", "unseal", "--as", keeper, said=share + "\n")

        made = told(home, "vault", "rotate-root", "--shares", "3", "--threshold", "2", "--yes")
        run(home, "vault", "seal")

        old = told(home, "vault", "unseal", "--as", "ada", said=shares[0] + "\n")
        assert old["refused"] == "vault_share_foreign"
        # The module's shares are these from here on.
        shares[:] = made["shares"]
        for keeper, share in (("ada", shares[0]), ("grace", shares[1])):
            last = told(home, "vault", "unseal", "--as", keeper, said=share + "\n")
        assert last["is_open"]


class TestRotating:
    def test_of_signing_keys_names_the_new_ones(self, home, served):
        """Both algorithms sign by another key afterwards, also while the vault is sealed."""
        before = told(home, "vault", "status")["signing"]

        after = told(home, "vault", "rotate-signing")["signing"]

        assert before.keys() == after.keys() == {"ed25519", "ml-dsa-65"}
        assert not set(before.values()) & set(after.values())
        assert told(home, "vault", "status")["signing"] == after

    def test_of_the_token_key_says_first_what_it_does(self, home, served):
        """Whoever says no has changed nothing; whoever says yes knows that counters begin anew."""
        refused = run(home, "vault", "rotate-token", said="n\n")
        before = told(home, "vault", "status")["token_version"]
        done = run(home, "vault", "rotate-token", "--yes")

        assert refused.returncode == 1
        assert "begin anew" in refused.stderr
        assert (before, told(home, "vault", "status")["token_version"]) == (1, 2)
        assert done.returncode == 0

    def test_of_the_search_key_names_the_new_one(self, home, shares, served):
        """Open, it is replaced at once, and status says how much is left; sealed, it is refused."""
        sealed = told(home, "vault", "rotate-search")
        for keeper, share in (("ada", shares[0]), ("grace", shares[1])):
            told(home, "vault", "unseal", "--as", keeper, said=share + "\n")

        assert sealed["refused"] == "vault_sealed"
        assert told(home, "vault", "rotate-search")["search"] == 2
        assert told(home, "vault", "status")["search"] == 2
        assert "key 2, 0 look-ups under older ones" in run(home, "vault", "status").stdout
        assert told(home, "vault", "rotate-seal")["refused"] == "vault_key_unknown"


@pytest.fixture
def tokened(tmp_path):
    """The folder of a bank that may use a token labelled `bank`, and the tokens."""
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(parent.stat().st_mode | 0o011)
    home = tmp_path / "home"
    with EmbeddedServer(home) as server:
        account = vaulting.account_of(server, Settings(home=home))
        with soft_hsm(user=account.user_id, group=account.group_id) as made:
            made.make("bank")
            TOLD[home] = {
                "SOFTHSM2_CONF": str(made.conf),
                "SCUDO_PKCS11_MODULE": str(made.module),
                "SCUDO_PKCS11_VARIABLES": "SOFTHSM2_CONF",
            }
            assert run(home, "init").returncode == 0
            yield home, made
            del TOLD[home]


class TestToken:
    def test_has_the_root_and_opens_the_vault_by_its_pin(self, tokened):
        """Made with a PIN from standard input or a file, opened by it, and left for shares."""
        home, hsm = tokened
        wrong = told(home, "vault", "init", "--root", "pkcs11:token=bank", said="0000\n")
        made = told(home, "vault", "init", "--root", "pkcs11:token=bank", said=f"{PIN}\n")
        findings = {one["name"]: one for one in told(home, "doctor")["findings"]}
        vault_process = subprocess.Popen(
            [SCUDO, "vault", "serve"], env=environment(home), stdout=subprocess.PIPE, text=True
        )
        vault_process.stdout.readline()

        sealed = told(home, "vault", "status")
        slip = told(home, "vault", "unseal", said="0000\n")
        opened = told(home, "vault", "unseal", said=f"{PIN}\n")
        shown = run(home, "vault", "status").stdout
        source = f"pkcs11:token=bank?pin-source={hsm.pin_file()}"
        again = told(home, "vault", "rotate-root", "--root", source)
        shares = told(home, "vault", "rotate-root", "--shares", "3", "--threshold", "2", "--yes")
        last = told(home, "vault", "status")
        vault_process.send_signal(signal.SIGTERM)
        assert vault_process.wait(20) == 0
        vault_process.stdout.close()

        assert wrong["refused"] == "vault_pin_wrong"
        assert made["hsm"].startswith("pkcs11:token=bank;serial=")
        assert findings["vault_root"]["ok"]
        assert (sealed["state"], sealed["root_kind"]) == ("sealed", "hsm")
        assert slip["refused"] == "vault_pin_wrong"
        assert opened["is_open"]
        assert made["hsm"] in shown.replace("\n", "")
        assert again["hsm"] == made["hsm"]
        assert len(shares["shares"]) == 3
        assert (last["state"], last["root_kind"], last["hsm"]) == ("open", "shared", "")


@pytest.fixture
def open_folder():
    """A folder that the vault's user may walk into, as the tests' own may not be."""
    with tempfile.TemporaryDirectory(prefix="scudo-vault-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


class TestServing:
    def test_answers_on_the_socket_that_it_names(self, home, served):
        """The first line is where clients find it."""
        with vault.VaultClient(served) as client:
            assert client.ask(vault.Tokenise("ip", ("::1",))).tokens

    def test_answers_the_network_where_it_is_told_to(self, home, shares, tmp_path, open_folder):
        """The second line is an address; a bank elsewhere asks there, and may not keep."""
        account = vaulting.account_of(EmbeddedServer(home), Settings(home=home))
        certificates = Certificates(open_folder / "tls", (account.user_id, account.group_id))
        certificates.certify("vault", "127.0.0.1")
        certificates.certify("bank", "bank.example", owner=(0, 0))
        callers = certificates.folder / "callers.toml"
        callers.write_text('[[caller]]\nname = "bank.example"\nmay = ["tokenise"]\n')
        callers.chmod(0o644)
        own = certificates.files("vault")
        process = subprocess.Popen(
            [
                *(SCUDO, "vault", "serve", "--listen", "127.0.0.1:0", "--cert", own["cert"]),
                *("--key", own["key"], "--ca", certificates.cas, "--callers", callers),
            ],
            env=environment(home),
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            path, address = (process.stdout.readline().strip() for _ in range(2))
            files = certificates.files("bank")
            elsewhere = environment(tmp_path) | {
                "SCUDO_VAULT": address,
                "SCUDO_VAULT_CERT": str(files["cert"]),
                "SCUDO_VAULT_KEY": str(files["key"]),
                "SCUDO_VAULT_CA": str(certificates.cas),
            }
            seen, sealed = (
                subprocess.run(
                    [SCUDO, "vault", command, "--json"],
                    env=elsewhere,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=60,
                )
                for command in ("status", "seal")
            )
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            process.stdout.close()

        assert Path(path).name == "vault"
        assert json.loads(seen.stdout)["state"] == "sealed", seen.stderr
        assert json.loads(sealed.stdout)["refused"] == "vault_forbidden"

    def test_is_needed_by_its_commands(self, home, shares):
        """Without a vault that runs, its commands say so."""
        done = run(home, "vault", "status")

        assert done.returncode == 3
        assert "vault_unavailable" in done.stderr

    def test_is_seen_by_doctor(self, home, shares):
        """Doctor says as whom it runs, and that its root is not on this disk."""
        findings = {one["name"]: one for one in told(home, "doctor")["findings"]}

        assert findings["vault_root"]["ok"]
        # Only root can start it as somebody else; anybody else is told plainly.
        assert findings["vault_user"]["ok"] == (os.geteuid() == 0)
