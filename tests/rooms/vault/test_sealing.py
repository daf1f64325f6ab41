"""A vault without its root in memory: what goes on, what is refused, and how it opens."""

import threading
import time

import pytest
from tests.rooms.vault.conftest import ADA, NETWORK, WHY, refused

from scudo import vault
from scudo.vault import ErasePerson, PutCard, PutPerson, ReadCard, ReadFields, Tokenise

NO_LIMIT = {"sign": 1_000_000, "tokenise": 1_000_000}


class TestSealed:
    @pytest.mark.fault(52)
    def test_goes_on_with_tokens_and_signatures_only(self, home):
        """Restarted without shares: tokens and signatures as before, reads are refused."""
        client = shared_vault(home)
        client.ask(PutPerson(7, ADA))
        card = client.ask(PutCard("4111111111111111", "2030-01", 7)).card
        tokens = client.ask(Tokenise("card", ("4111111111111111",))).tokens
        home.running.kill()
        home.start()
        client = home.client()

        assert client.ask(vault.Status()).state == "sealed"
        assert client.ask(Tokenise("card", ("4111111111111111",))).tokens == tokens
        assert client.ask(vault.Sign("ed25519", b"head")).signature
        for request in (
            ReadFields(7, ("email",), WHY),
            vault.FindPerson("email", ADA["email"], WHY),
            vault.FindToken("email", tokens[0], WHY),
            vault.ShowCard(card, NETWORK),
            ReadCard(card, NETWORK),
            vault.FindCard("4111111111111111", NETWORK),
            PutPerson(8, ADA),
            PutCard("4111111111111111", "2030-01"),
            vault.RotateUnit(),
            vault.PrepareRoot(3, 2),
        ):
            assert refused(client.ask, request).code == "vault_sealed"

    @pytest.mark.fault(52)
    def test_fails_no_token_and_no_signature_under_load(self, home):
        """Killed under load and back without shares: payments' requests wait and are answered."""
        shared_vault(home, reads_per_second=NO_LIMIT)
        path, stop, failed, done = home.running.socket, threading.Event(), [], []

        def pay(number):
            client = vault.VaultClient(path, patience_s=20)
            wanted = client.ask(Tokenise("card", (f"card-{number}",))).tokens
            while not stop.is_set():
                try:
                    assert client.ask(vault.Sign("ed25519", b"event")).signature
                    done.append(client.ask(Tokenise("card", (f"card-{number}",))).tokens == wanted)
                except vault.VaultRefusal as refusal:
                    failed.append(refusal.code)
            client.close()

        threads = [threading.Thread(target=pay, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            home.running.kill()
            home.start(reads_per_second=NO_LIMIT)
            before = len(done)
            while len(done) < before + 100:
                time.sleep(0.01)
        stop.set()
        for thread in threads:
            thread.join()

        assert failed == []
        assert all(done)
        assert home.client().ask(vault.Status()).state == "sealed"

    def test_opens_again_with_enough_shares(self, home):
        """Two of three keepers open it; what was kept is there."""
        home.start()
        client = home.client()
        shares = client.ask(vault.PrepareRoot(3, 2)).shares
        client.ask(vault.CommitRoot())
        client.ask(PutPerson(7, ADA))
        client.ask(vault.Seal())
        assert refused(client.ask, ReadFields(7, ("email",), WHY)).code == "vault_sealed"

        first = client.ask(vault.Unseal(shares[2], "ada"))
        status = client.ask(vault.Status())
        same_keeper = refused(client.ask, vault.Unseal(shares[0], "ada"))
        second = client.ask(vault.Unseal(shares[0], "grace"))

        assert (first.entered, first.needed, first.is_open) == (1, 2, False)
        assert (status.shares_entered, status.shares_needed) == (1, 2)
        assert same_keeper.code == "vault_keeper_repeated"
        assert second.is_open
        assert client.ask(ReadFields(7, ("email",), WHY)).values["email"] == ADA["email"]
        assert refused(client.ask, vault.Unseal(shares[1], "eve")).code == "vault_not_sealed"

    def test_forgets_shares_at_a_restart(self, home):
        """Shares that were entered live in memory only."""
        home.start()
        client = home.client()
        shares = client.ask(vault.PrepareRoot(3, 2)).shares
        client.ask(vault.CommitRoot())
        client.ask(vault.Seal())
        client.ask(vault.Unseal(shares[0], "ada"))
        home.running.kill()
        home.start()

        assert not home.client().ask(vault.Unseal(shares[1], "grace")).is_open

    def test_still_forgets_persons(self, home):
        """An erasure needs no key."""
        client = shared_vault(home)
        client.ask(PutPerson(7, ADA))
        client.ask(vault.Seal())

        assert client.ask(ErasePerson(7, "operator:7", "article-17")).was_known

    def test_stays_so_whatever_becomes_of_the_database(self, home):
        """A vault that was told to seal itself stays sealed over new connections, until a restart.

        That holds even for the root of development, which lies in a file.
        """
        client = home.opened()
        client.ask(PutPerson(7, ADA))
        client.ask(vault.Seal())
        with home.as_admin() as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity"
                " WHERE usename = 'scudo_vault' AND datname = current_database()"
            )
        client.ask(ErasePerson(8, "operator:7", "article-17"))

        assert refused(client.ask, ReadFields(7, ("email",), WHY)).code == "vault_sealed"
        home.stop()
        home.start()
        assert home.client().ask(ReadFields(7, ("email",), WHY)).values

    def test_is_new_without_a_root(self, home):
        """Before its first root it keeps nothing."""
        home.start()

        code = refused(home.client().ask, PutPerson(7, ADA)).code

        assert code == "vault_not_initialised"

    @pytest.mark.fault(52)
    def test_answers_nobody_when_it_is_gone(self, home):
        """Without a vault the client says so; there is no other way to the data."""
        home.opened()
        client = home.client(patience_s=0.2)
        home.running.kill()

        assert refused(client.ask, ReadFields(7, ("email",), WHY)).code == "vault_unavailable"
        assert refused(client.ask, vault.RotateUnit()).code == "vault_unavailable"


def shared_vault(home, **more):
    """A new vault whose root is in shares, and a client of it."""
    home.start(**more)
    client = home.client()
    client.ask(vault.PrepareRoot(3, 2))
    client.ask(vault.CommitRoot())
    return client
