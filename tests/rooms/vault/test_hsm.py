"""A root in a PKCS#11 token: SoftHSM2's, through its real module."""

import contextlib
import threading
import time
from pathlib import Path

import pkcs11.exceptions
import pytest
from tests.rooms.vault.conftest import ADA, WHY, refused
from tests.softhsm import PIN, soft_hsm

from scudo import vault
from scudo.vault import FindPerson, PutPerson, ReadFields, Tokenise, UnsealByPin
from scudo.vault.errors import HsmUriUnfit
from scudo.vault.hsm import HsmUri, refusal_of
from scudo.vault.keystore import OPERATIONAL_FILE
from scudo.vault.wire import PrepareHsmRoot

URI = "pkcs11:token=bank"


@pytest.fixture
def hsm(home, monkeypatch):
    """Tokens for the vault of a home: one, labelled `bank`."""
    account = home.account
    with soft_hsm(user=account.user_id, group=account.group_id) as made:
        made.make("bank")
        monkeypatch.setenv("SOFTHSM2_CONF", str(made.conf))
        home.more = {"pkcs11_module": made.module, "pkcs11_variables": ("SOFTHSM2_CONF",)}
        yield made
        home.stop()


def rooted(home, **more):
    """A new vault whose root is in the token, with a person, and a client of it."""
    home.start(**more)
    client = home.client()
    client.ask(PrepareHsmRoot(URI, PIN))
    client.ask(vault.CommitRoot())
    client.ask(PutPerson(7, ADA))
    return client


def restarted(home, **more):
    """The vault after a power cut."""
    home.running.kill()
    home.start(**more)
    return home.client()


def reads(client) -> bool:
    return client.ask(ReadFields(7, ("email",), WHY)).values == {"email": ADA["email"]}


class TestRoot:
    def test_is_made_in_the_token_and_leaves_it_never(self, home, hsm):
        """The token says so itself: sensitive, and not extractable; status says which token."""
        client = rooted(home)

        assert hsm.keys("bank") == ["True False scudo root"]
        status = client.ask(vault.Status())
        assert (status.state, status.root_kind) == ("open", "hsm")
        assert status.hsm.startswith("pkcs11:token=bank;serial=")
        assert not status.is_development
        assert reads(client)
        assert list(home.folder.rglob("development.root*")) == []

    @pytest.mark.fault(52)
    def test_opens_with_the_pin_after_a_restart(self, home, hsm):
        """Sealed until then: tokens and signatures go on, reads are refused."""
        tokens = rooted(home).ask(Tokenise("card", ("4711",))).tokens
        client = restarted(home)

        assert client.ask(vault.Status()).state == "sealed"
        assert client.ask(Tokenise("card", ("4711",))).tokens == tokens
        assert client.ask(vault.Sign("ed25519", b"head")).signature
        assert refused(client.ask, ReadFields(7, ("email",), WHY)).code == "vault_sealed"
        assert client.ask(UnsealByPin(PIN)).is_open
        assert reads(client)
        assert client.ask(vault.RotateUnit()).unit == 2

    @pytest.mark.parametrize(
        ("uri", "pin", "code"),
        [
            (URI, "0000", "vault_pin_wrong"),
            ("pkcs11:token=nobodys", PIN, "vault_hsm_away"),
            ("pkcs11:token=bank;serial=0000", PIN, "vault_hsm_foreign"),
            ("pkcs11:token=bank?module-path=/lib/evil.so", PIN, "vault_hsm_unfit"),
            ("pkcs11:token=bank?pin-value=1234", PIN, "vault_hsm_uri_unfit"),
            ("pkcs11:object=root", PIN, "vault_hsm_uri_unfit"),
            ("https://bank.example", PIN, "vault_hsm_uri_unfit"),
        ],
    )
    def test_is_not_made_where_it_cannot_be(self, home, hsm, uri, pin, code):
        """Each cause has a code and a next step, and leaves the vault as it was."""
        home.start()
        client = home.client()

        refusal = refused(client.ask, PrepareHsmRoot(uri, pin))

        assert refusal.code == code
        assert refusal.next_step
        assert refused(client.ask, vault.CommitRoot()).code == "vault_root_not_prepared"
        assert client.ask(vault.Status()).state == "new"
        assert hsm.keys("bank") == []

    def test_is_not_made_where_several_tokens_are_meant(self, home, hsm):
        """Two tokens of one label: the serial number says which."""
        hsm.make("bank")
        home.start()

        code = refused(home.client().ask, PrepareHsmRoot(URI, PIN)).code

        assert code == "vault_hsm_uri_unfit"

    @pytest.mark.parametrize("module", [None, Path("/nowhere/module.so"), Path("/etc/passwd")])
    def test_needs_a_module(self, home, module):
        """Without one, or with a file that is none, the vault works on and says what it lacks."""
        home.more = {"pkcs11_module": module}
        client = home.opened()

        assert refused(client.ask, PrepareHsmRoot(URI, PIN)).code == "vault_hsm_unfit"
        client.ask(PutPerson(7, ADA))
        assert reads(client)


class TestRefusals:
    """What keeps a vault whose root is in a token shut."""

    def test_of_a_wrong_pin_spends_one_attempt(self, home, hsm):
        """A wrong PIN is told, and the right one opens."""
        rooted(home)
        client = restarted(home)

        assert refused(client.ask, UnsealByPin("1234")).code == "vault_pin_wrong"
        assert client.ask(vault.Status()).state == "sealed"
        assert client.ask(UnsealByPin(PIN)).is_open

    def test_of_a_wrong_pin_hold_while_a_login_stands(self, home, hsm):
        """An open vault is logged in to its token; even then no other PIN passes."""
        client = rooted(home)

        assert refused(client.ask, UnsealByPin("1234")).code == "vault_pin_wrong"
        assert refused(client.ask, PrepareHsmRoot(URI, "1234")).code == "vault_pin_wrong"
        assert reads(client)
        assert client.ask(UnsealByPin(PIN)).is_open
        assert client.ask(vault.RotateUnit()).unit == 2

    def test_of_a_locked_pin_say_who_can_help(self, home, hsm):
        """After three wrong PINs the token takes none, not even the right one."""
        home.more["pkcs11_module"] = hsm.lock()
        rooted(home)
        client = restarted(home)

        codes = [refused(client.ask, UnsealByPin(f"wrong-{n}")).code for n in range(3)]
        locked = refused(client.ask, UnsealByPin(PIN))

        assert codes == ["vault_pin_wrong"] * 3
        assert locked.code == "vault_pin_locked"
        assert "security officer" in locked.next_step

    def test_of_a_token_that_is_away_end_when_it_is_back(self, home, hsm):
        """Not there: unavailable, to be tried again; there again: it opens, without a restart."""
        rooted(home)
        home.running.kill()
        with hsm.away():
            home.start()
            client = home.client()
            refusal = refused(client.ask, UnsealByPin(PIN))
            assert client.ask(Tokenise("card", ("4711",))).tokens

        assert (refusal.code, refusal.retryable) == ("vault_hsm_away", True)
        assert client.ask(UnsealByPin(PIN)).is_open
        assert reads(client)

    def test_of_a_token_that_goes_away_while_open_meet_new_keys_only(self, home, hsm):
        """Reads and writes go on; what needs the root is refused until its PIN is entered again."""
        client = rooted(home)
        with hsm.away():
            code = refused(client.ask, vault.RotateUnit()).code
            with home.as_admin() as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity"
                    " WHERE usename = 'scudo_vault' AND datname = current_database()"
                )
            client.ask(PutPerson(8, ADA))
            assert reads(client)

        # SoftHSM forgets the keys of a token that is away, and does not say that it is.
        assert code in {"vault_hsm_away", "vault_hsm_key_gone"}
        assert client.ask(UnsealByPin(PIN)).is_open
        assert client.ask(vault.RotateUnit()).unit == 2

    def test_of_another_token_of_the_same_label(self, home, hsm):
        """Somebody else's token under our token's name is told from it."""
        rooted(home)
        home.running.kill()
        hsm.delete("bank")
        hsm.make("bank")
        home.start()

        assert refused(home.client().ask, UnsealByPin(PIN)).code == "vault_hsm_foreign"

    @pytest.mark.parametrize(
        ("act", "code"), [("destroy", "vault_hsm_key_gone"), ("replace", "vault_hsm_foreign")]
    )
    def test_of_a_key_that_was_destroyed_or_replaced(self, home, hsm, act, code):
        """Without the key nothing opens; another key of its id is not taken for it."""
        rooted(home)
        home.running.kill()
        hsm.keys("bank", act)
        home.start()
        client = home.client()

        assert refused(client.ask, UnsealByPin(PIN)).code == code
        assert client.ask(vault.Status()).state == "sealed"

    def test_of_what_opens_another_kind_of_root(self, home, hsm):
        """A share where a PIN is needed, and a PIN where shares are."""
        home.start()
        client = home.client()
        shares = client.ask(vault.PrepareRoot(3, 2)).shares
        client.ask(vault.CommitRoot())
        by_pin = refused(client.ask, UnsealByPin(PIN)).code
        client.ask(PrepareHsmRoot(URI, PIN))
        client.ask(vault.CommitRoot())
        client.ask(vault.Seal())

        assert by_pin == "vault_root_opens_otherwise"
        by_share = refused(client.ask, vault.Unseal(shares[0], "ada")).code
        assert by_share == "vault_root_opens_otherwise"

    @pytest.mark.parametrize(
        "error",
        [
            one
            for one in vars(pkcs11.exceptions).values()
            if isinstance(one, type) and issubclass(one, pkcs11.exceptions.PKCS11Error)
        ],
        ids=lambda one: one.__name__,
    )
    def test_exist_for_every_error_of_a_token(self, error):
        """Whatever a module says becomes a refusal of ours, and its own words stay inside."""
        refusal = refusal_of(error("token 4711 says"))

        assert refusal.code in vault.REFUSALS
        assert "4711" not in refusal.message


class TestRotation:
    def test_goes_from_shares_to_tokens_and_back(self, home, hsm):
        """Every kind of root follows every other; after each, a restart opens by it alone."""
        client = home.opened()
        client.ask(PutPerson(7, ADA))
        for step in ("hsm", "hsm", "shares", "hsm", "development", "hsm"):
            if step == "hsm":
                client.ask(PrepareHsmRoot(URI, PIN))
            elif step == "shares":
                shares = client.ask(vault.PrepareRoot(3, 2)).shares
            else:
                client.ask(vault.PrepareDevelopmentRoot())
            client.ask(vault.CommitRoot())
            assert reads(client)
            client = restarted(home)
            if step == "hsm":
                assert client.ask(UnsealByPin(PIN)).is_open
            elif step == "shares":
                client.ask(vault.Unseal(shares[0], "ada"))
                assert client.ask(vault.Unseal(shares[2], "grace")).is_open
            assert reads(client)
            assert client.ask(FindPerson("email", ADA["email"], WHY)).persons == (7,)
            assert len(list(home.folder.rglob("development.root"))) == (step == "development")
        assert len(hsm.keys("bank")) == 4

    def test_to_another_token_leaves_the_old_one(self, home, hsm):
        """Afterwards the vault opens while the old token is gone for good."""
        client = rooted(home)
        hsm.make("vault2")
        # SoftHSM shows a running process the tokens that there were at its start.
        client = restarted(home)
        client.ask(UnsealByPin(PIN))
        client.ask(PrepareHsmRoot("pkcs11:token=vault2;object=the%20root", PIN))
        client.ask(vault.CommitRoot())
        home.running.kill()
        hsm.delete("bank")
        home.start()
        client = home.client()

        assert client.ask(UnsealByPin(PIN)).is_open
        assert reads(client)
        assert hsm.keys("vault2") == ["True False the root"]

    def test_that_is_killed_leaves_one_root_that_opens(self, home, hsm):
        """Killed at several moments of the second step, the PIN opens what there is."""
        client = rooted(home)
        for round_ in range(5):
            client.ask(PrepareHsmRoot(URI, PIN))
            racing = threading.Thread(target=_commit, args=(home.client(patience_s=0),))
            racing.start()
            time.sleep(0.005 * round_)
            client = restarted(home)
            racing.join()
            assert client.ask(UnsealByPin(PIN)).is_open
            assert reads(client)

    def test_of_unit_and_search_keys_needs_no_pin_again(self, home, hsm):
        """An open vault stays logged in to its token."""
        client = rooted(home)

        assert client.ask(vault.RotateUnit()).unit == 2
        assert client.ask(vault.RotateSearch()).search == 2
        assert reads(client)


class TestPins:
    def test_are_nowhere(self, capfd, home, hsm):
        """Neither the right PIN nor a wrong one is in a log, a refusal or a file of the vault."""
        client = rooted(home)
        wrong = "planted-wrong-pin-8361"
        for request in (UnsealByPin(wrong), PrepareHsmRoot(URI, wrong)):
            refusal = refused(client.ask, request)
            assert "8361" not in repr(request) + refusal.message + refusal.next_step
        client.ask(UnsealByPin(PIN))
        home.stop()

        said = "".join(capfd.readouterr())
        files = [path.read_bytes() for path in home.folder.rglob("*") if path.is_file()]
        assert "the token of the root was logged in to" in said
        assert "8361" not in said
        assert files
        assert not [content for content in files if b"8361" in content]


class TestUris:
    @pytest.mark.parametrize(
        ("text", "token", "pin_source"),
        [
            ("pkcs11:token=bank", "bank", ""),
            ("pkcs11:serial=1;token=my%20bank;object=r?pin-source=/p", "my bank", "/p"),
            ("pkcs11:token=a?pin-source=file:///run/pin", "a", "/run/pin"),
            ("pkcs11:token=a?pin-source=file:/run/pin&module-path=/m.so", "a", "/run/pin"),
        ],
    )
    def test_name_a_token(self, text, token, pin_source):
        """Read as RFC 7512 says; written again they say nothing of PIN and module."""
        uri = HsmUri.parse(text)

        assert (uri.token, uri.pin_source) == (token, pin_source)
        assert HsmUri.parse(str(uri)).token == token
        assert "?" not in str(uri)

    @pytest.mark.parametrize(
        "text",
        [
            *("", "pkcs11:", "bank", "pkcs11:token=", "pkcs11:object=x", "pkcs11:token=a;token=b"),
            *("pkcs11:token=a?pin-value=1234", "pkcs11:token=a;pin-value=1234"),
            *("pkcs11:token=a?pin-source=|rm", "pkcs11:token=a?pin-source=relative"),
            *("pkcs11:token=a;colour=red", "pkcs11:token=a\n", "pkcs11:token=\u00e4"),
        ],
    )
    def test_are_refused_when_they_are_none(self, text):
        """What is not understood is not guessed, and not repeated."""
        with pytest.raises(HsmUriUnfit) as caught:
            HsmUri.parse(text)

        assert "1234" not in str(caught.value)


class TestSafe:
    """The operational keys, sealed on the disk by a key of a token."""

    @pytest.fixture
    def sealed(self, home, hsm):
        """A home whose operational keys are sealed."""
        home.more["vault_sealed_by"] = f"{URI}?pin-source={hsm.pin_file()}"
        return home

    def file(self, home) -> Path:
        return home.folder / "vault" / OPERATIONAL_FILE

    def test_goes_on_after_a_restart_by_itself(self, sealed, hsm):
        """Tokens and signatures are as before, and nobody was asked for a PIN."""
        sealed.start()
        client = sealed.client()
        before = client.ask(Tokenise("card", ("4711",))).tokens
        keys = client.ask(vault.ListSigningKeys()).keys
        client = restarted(sealed)

        assert client.ask(Tokenise("card", ("4711",))).tokens == before
        assert client.ask(vault.ListSigningKeys()).keys == keys
        assert self.file(sealed).read_bytes().startswith(b"scudo sealed file 1")
        assert hsm.keys("bank") == ["True False scudo operational"]

    def test_takes_the_keys_that_lie_open(self, home, hsm):
        """Configured later, the next start seals what there was; no key changes."""
        home.start()
        client = home.client()
        before = client.ask(vault.ListSigningKeys()).keys
        assert not self.file(home).read_bytes().startswith(b"scudo sealed file 1")
        home.more["vault_sealed_by"] = f"{URI}?pin-source={hsm.pin_file()}"
        client = restarted(home)

        assert client.ask(vault.ListSigningKeys()).keys == before
        assert self.file(home).read_bytes().startswith(b"scudo sealed file 1")

    def test_is_sealed_anew_with_every_change_and_by_a_new_key(self, sealed, hsm):
        """New token, signing and sealing keys: each time the file is another, and opens."""
        sealed.start()
        client = sealed.client()
        seen = {self.file(sealed).read_bytes()}
        for number, which in enumerate(("token", "ed25519", "seal"), start=2):
            client.ask(vault.RotateOperational(which))
            seen.add(self.file(sealed).read_bytes())
            assert len(seen) == number
        keys = client.ask(vault.ListSigningKeys()).keys
        client = restarted(sealed)

        assert client.ask(vault.ListSigningKeys()).keys == keys
        assert client.ask(vault.Status()).token_version == 2
        assert len(hsm.keys("bank")) == 2

    def test_shares_a_token_with_the_root(self, sealed, hsm):
        """One token for both: an open root's login is used, and left as it was."""
        client = rooted(sealed)
        client.ask(vault.RotateOperational("token"))
        assert client.ask(vault.RotateUnit()).unit == 2
        client = restarted(sealed)

        assert client.ask(vault.Status()).state == "sealed"
        assert refused(client.ask, UnsealByPin("1234")).code == "vault_pin_wrong"
        assert client.ask(UnsealByPin(PIN)).is_open
        assert reads(client)

    def test_without_its_token_no_vault_starts(self, sealed, hsm):
        """Token away, PIN wrong, its file open to others or gone, no setting: each is told."""
        sealed.start()
        sealed.stop()
        content = self.file(sealed).read_bytes()

        with hsm.away():
            self.is_refused(sealed, "vault_hsm_away")
        hsm.pin_file("0000")
        self.is_refused(sealed, "vault_pin_wrong")
        hsm.pin_file(mode=0o444)
        self.is_refused(sealed, "vault_folder_unfit")
        hsm.pin_file().unlink()
        self.is_refused(sealed, "vault_folder_unfit")
        hsm.pin_file()
        setting = sealed.more.pop("vault_sealed_by")
        self.is_refused(sealed, "vault_folder_unfit")
        sealed.more["vault_sealed_by"] = URI
        self.is_refused(sealed, "vault_hsm_uri_unfit")
        sealed.more["vault_sealed_by"] = setting
        self.file(sealed).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        self.is_refused(sealed, "vault_ciphertext_broken")
        self.file(sealed).write_bytes(content)
        sealed.start()
        assert sealed.client().ask(vault.Sign("ed25519", b"head")).signature

    def is_refused(self, home, code):
        with pytest.raises(vault.VaultRefusal) as caught:
            home.start()
        assert caught.value.code == code

    def test_is_not_renewed_where_there_is_none(self, home):
        """Without a token there is no such key."""
        home.start()

        code = refused(home.client().ask, vault.RotateOperational("seal")).code

        assert code == "vault_key_unknown"


def _commit(client):
    """Commit a root to a vault that may be killed meanwhile."""
    with contextlib.suppress(vault.VaultUnavailable):
        client.ask(vault.CommitRoot())
