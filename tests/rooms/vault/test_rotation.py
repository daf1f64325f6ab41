"""New roots and new unit keys while everybody reads, and a vault that is killed meanwhile."""

import contextlib
import threading
import time
from dataclasses import dataclass, field

import psycopg
import pytest
from tests.rooms.vault.conftest import ADA, NETWORK, WHY, refused

from scudo import vault
from scudo.vault import PutCard, PutPerson, ReadCard, ReadFields

PERSONS = range(1, 301)
NO_LIMIT = {"screening": 1_000_000}


@dataclass
class Load:
    """Readers and a writer in threads of their own, and what went wrong for them."""

    socket: object
    stop: threading.Event = field(default_factory=threading.Event)
    done: int = 0
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def read(self, first: int, *, patience_s: float) -> None:
        client = vault.VaultClient(self.socket, patience_s=patience_s)
        person = first
        while not self.stop.is_set():
            person = person % len(PERSONS) + 1
            try:
                found = client.ask(ReadFields(person, ("email",), WHY)).values
            except vault.VaultRefusal as refusal:
                self.failed.append(refusal.code)
                continue
            if found["email"] != f"ada{person}@example.org":
                self.wrong.append(found["email"])
            self.done += 1
        client.close()

    def write(self, *, patience_s: float) -> None:
        client = vault.VaultClient(self.socket, patience_s=patience_s)
        person = 0
        while not self.stop.is_set():
            person = person % len(PERSONS) + 1
            try:
                client.ask(PutPerson(person, {"email": f"ada{person}@example.org"}))
                client.ask(PutPerson(1_000 + person, ADA))
            except vault.VaultRefusal as refusal:
                self.failed.append(refusal.code)
            time.sleep(0.002)
        client.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def start(self, *, patience_s=2.0):
        self.threads = [
            threading.Thread(target=self.read, args=(n,), kwargs={"patience_s": patience_s})
            for n in (1, 100, 200)
        ]
        self.threads.append(threading.Thread(target=self.write, kwargs={"patience_s": patience_s}))
        for thread in self.threads:
            thread.start()
        return self


@pytest.fixture
def populated(home):
    """A vault with persons and a card, and its client."""
    client = home.opened(reads_per_second=NO_LIMIT)
    for person in PERSONS:
        client.ask(PutPerson(person, {"email": f"ada{person}@example.org"}))
    client.ask(PutCard("4111111111111111", "2030-01"))
    return client


def wait_until_swept(client):
    deadline = time.monotonic() + 30
    while client.ask(vault.Status()).keys_left and time.monotonic() < deadline:
        time.sleep(0.02)
    return client.ask(vault.Status()).keys_left


def units_of(home):
    """Numbers of the unit keys that wrap anything, and of those that there are."""
    with home.as_admin() as admin:
        used = admin.execute(
            "SELECT DISTINCT number FROM vault.unit_key AS u WHERE u.purpose = 'person' AND"
            " (EXISTS (SELECT FROM vault.person_key AS k WHERE k.unit = u.id)"
            " OR EXISTS (SELECT FROM vault.card AS c WHERE c.unit = u.id))"
        ).fetchall()
        there = admin.execute("SELECT number FROM vault.unit_key WHERE purpose = 'person'")
        return {n for (n,) in used}, {n for (n,) in there.fetchall()}


def ciphertexts(home):
    with home.as_admin() as admin:
        return admin.execute(
            "SELECT person, name, sealed FROM vault.field ORDER BY 1, 2"
        ).fetchall()


class TestRotation:
    def test_of_roots_and_unit_keys_fails_nobody(self, home, populated):
        """Under readers and a writer, three new unit keys and three new roots: no request fails."""
        with Load(home.running.socket).start() as load:
            for _ in range(3):
                number = populated.ask(vault.RotateUnit()).unit
                populated.ask(vault.PrepareRoot(3, 2))
                populated.ask(vault.CommitRoot())
                left = wait_until_swept(populated)
                assert left == 0

        assert load.failed == []
        assert load.wrong == []
        assert load.done > 100
        assert number == 4
        deadline = time.monotonic() + 20
        while units_of(home)[1] != {4} and time.monotonic() < deadline:
            time.sleep(0.05)
        assert units_of(home) == ({4}, {4})
        assert populated.ask(ReadCard(1, NETWORK)).number == "4111111111111111"

    def test_of_a_unit_key_rewrites_no_field(self, home, populated):
        """Fields are the same bytes before and after; only wrapped keys change."""
        before = ciphertexts(home)

        populated.ask(vault.RotateUnit())
        wait_until_swept(populated)

        assert ciphertexts(home) == before
        assert len(before) == len(PERSONS)

    def test_sweeps_in_bounded_steps(self, home, populated):
        """One step moves no more than it was told to, and cards come last."""
        home.stop()
        home.start()
        client = home.client()
        client.ask(vault.RotateUnit())

        moved = [client.ask(vault.Sweep(70)).moved for _ in range(12)]

        assert max(moved) <= 70
        assert client.ask(vault.Status()).keys_left == 0

    def test_of_the_root_makes_old_shares_worthless(self, home):
        """After a rotation the old shares open nothing, and the new ones do."""
        home.start()
        client = home.client()
        old = client.ask(vault.PrepareRoot(3, 2)).shares
        client.ask(vault.CommitRoot())
        client.ask(PutPerson(7, ADA))
        new = client.ask(vault.PrepareRoot(4, 3)).shares
        client.ask(vault.CommitRoot())
        client.ask(vault.Seal())

        assert refused(client.ask, vault.Unseal(old[0], "ada")).code == "vault_share_foreign"
        for keeper, share in zip(("ada", "grace", "joan"), new[1:], strict=True):
            progress = client.ask(vault.Unseal(share, keeper))
        assert progress.is_open
        assert client.ask(ReadFields(7, ("email",), WHY)).values["email"] == ADA["email"]

    def test_uses_no_root_whose_shares_nobody_has(self, home):
        """A prepared root that is not committed changes nothing, and is gone at a restart."""
        home.start()
        client = home.client()
        shares = client.ask(vault.PrepareRoot(3, 2)).shares
        client.ask(vault.CommitRoot())
        client.ask(PutPerson(7, ADA))
        client.ask(vault.PrepareRoot(3, 2))
        home.running.kill()
        home.start()
        client = home.client()

        assert refused(client.ask, vault.CommitRoot()).code == "vault_root_not_prepared"
        client.ask(vault.Unseal(shares[0], "ada"))
        assert client.ask(vault.Unseal(shares[1], "grace")).is_open
        assert client.ask(ReadFields(7, ("email",), WHY)).values["email"] == ADA["email"]

    def test_out_of_development_takes_the_root_from_the_disk(self, home):
        """The file of the root goes when its place is taken by shares."""
        client = home.opened()
        (file,) = home.folder.rglob("development.root")
        assert file.stat().st_mode & 0o777 == 0o600
        assert client.ask(vault.Status()).is_development

        client.ask(vault.PrepareRoot(3, 2))
        client.ask(vault.CommitRoot())

        assert list(home.folder.rglob("development.root*")) == []
        assert not client.ask(vault.Status()).is_development


class TestKilling:
    def test_amid_rotation_and_sweep_loses_nothing(self, home, populated):
        """Killed again and again, readers are answered again, and every person reads as before."""
        dsn = home.database.dsn.vault
        with Load(home.running.socket).start(patience_s=20) as load:
            for round_ in range(5):
                client = home.client(patience_s=0)
                client.ask(vault.RotateUnit())
                client.ask(vault.PrepareDevelopmentRoot())
                # At another moment of the rotation or the sweep each time.
                racing = threading.Thread(target=_commit, args=(client,))
                racing.start()
                time.sleep(0.004 * round_)
                home.running.kill()
                racing.join()
                home.start(dsn=dsn, reads_per_second=NO_LIMIT)

        client = home.client()
        assert set(load.failed) <= {"vault_unavailable"}
        assert load.wrong == []
        assert wait_until_swept(client) == 0
        assert client.ask(vault.Status()).unit == 6
        for person in PERSONS:
            found = client.ask(ReadFields(person, ("email",), WHY)).values
            assert found == {"email": f"ada{person}@example.org"}

    def test_of_the_databases_connections_is_survived(self, home, populated):
        """When every connection is cut, the next request is answered over a new one."""
        populated.ask(ReadFields(1, ("email",), WHY))
        with psycopg.connect(home.database.dsn.admin, autocommit=True) as admin:
            for _ in range(3):
                admin.execute(
                    "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity"
                    " WHERE usename = 'scudo_vault' AND datname = current_database()"
                )

                assert populated.ask(ReadFields(1, ("email",), WHY)).values
                assert populated.ask(PutPerson(2, ADA)).tokens


def _commit(client):
    """Commit a root to a vault that may be killed meanwhile."""
    with contextlib.suppress(vault.VaultUnavailable):
        client.ask(vault.CommitRoot())
