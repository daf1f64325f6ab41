"""A new key of look-ups while everybody writes and looks up, in a vault that is killed too."""

import contextlib
import threading
import time
from dataclasses import dataclass, field

import pytest
from tests.rooms.vault.conftest import ADA, NETWORK, WHY

from scudo import vault
from scudo.vault import ErasePerson, FindCard, FindPerson, PutCard, PutPerson

PERSONS = range(1, 201)
NO_LIMIT = {"screening": 1_000_000, "network": 1_000_000}
#: Numbers with a right check digit, of which the last three digits before it count up.
CARDS = [f"400000000{n:06}" for n in range(40)]


def with_check_digit(digits: str) -> str:
    """A card number whose last digit checks the others (ISO/IEC 7812-1, annex B)."""
    doubled = [int(d) * (2 if place % 2 == 0 else 1) for place, d in enumerate(reversed(digits))]
    return digits + str(-sum(d - 9 if d > 9 else d for d in doubled) % 10)


NUMBERS = [with_check_digit(digits) for digits in CARDS]


def email(person: int) -> str:
    return f"ada{person}@example.org"


@pytest.fixture
def populated(home):
    """A vault with persons and cards that are looked up, and its client."""
    client = home.opened(reads_per_second=NO_LIMIT)
    for person in PERSONS:
        client.ask(PutPerson(person, {"email": email(person), "tax_number": f"T{person}"}))
    for number in NUMBERS[:20]:
        client.ask(PutCard(number, "2030-01"))
    return client


def until_swept(client) -> None:
    """Wait until nothing is hashed under older keys, and these are destroyed."""
    deadline = time.monotonic() + 30
    while client.ask(vault.Status()).hashes_left:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def search_keys(home, *, wanted: int = 0) -> list[tuple[int, str]]:
    """Search keys that are there: number and state, once there are as many as are wanted."""
    deadline = time.monotonic() + 20
    while True:
        with home.as_admin() as admin:
            found = admin.execute(
                "SELECT number, state FROM vault.unit_key WHERE purpose = 'search' ORDER BY 1"
            ).fetchall()
        if not wanted or len(found) == wanted or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def hashes(home) -> set[bytes]:
    """Every hash that somebody is looked up by."""
    with home.as_admin() as admin:
        rows = admin.execute("SELECT digest FROM vault.search UNION SELECT digest FROM vault.card")
        return {digest for (digest,) in rows}


@dataclass
class Load:
    """Threads that look up, write and put cards, and what went wrong for them."""

    socket: object
    patience_s: float = 2.0
    stop: threading.Event = field(default_factory=threading.Event)
    done: int = 0
    failed: list[str] = field(default_factory=list)
    wrong: list[object] = field(default_factory=list)
    cards: dict[str, set[int]] = field(default_factory=dict)

    def __enter__(self):
        works = (self.find, self.find, self.write, self.put_cards, self.put_cards)
        self.threads = [threading.Thread(target=self.repeat, args=(work,)) for work in works]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def repeat(self, work):
        with vault.VaultClient(self.socket, patience_s=self.patience_s) as client:
            count = 0
            while not self.stop.is_set():
                count += 1
                try:
                    work(client.ask, count)
                    self.done += 1
                except vault.VaultRefusal as refusal:
                    self.failed.append(refusal.code)

    def find(self, ask, count):
        person = count % len(PERSONS) + 1
        found = ask(FindPerson("email", email(person), WHY)).persons
        if found != (person,):
            self.wrong.append((person, found))
        number = NUMBERS[count % 20]
        if ask(FindCard(number, NETWORK)).card is None:
            self.wrong.append(number)

    def write(self, ask, count):
        person = count % len(PERSONS) + 1
        ask(PutPerson(person, {"email": email(person)}))
        ask(PutPerson(1_000 + person, {"tax_number": f"X{person}"}))
        # What is written can be found at once, whatever becomes of the keys.
        if ask(FindPerson("tax_number", f"x{person}", WHY)).persons != (1_000 + person,):
            self.wrong.append(f"X{person}")

    def put_cards(self, ask, count):
        number = NUMBERS[count % len(NUMBERS)]
        self.cards.setdefault(number, set()).add(ask(PutCard(number, "2031-05")).card)


class TestRotation:
    def test_fails_nobody_and_finds_everybody(self, home, populated):
        """Under look-ups and writes, three new keys: no request fails, nobody is missed."""
        before = hashes(home)
        with Load(home.running.socket) as load:
            for number in (2, 3, 4):
                assert populated.ask(vault.RotateSearch()).search == number
                done = load.done
                until_swept(populated)
                while load.done < done + 50:
                    time.sleep(0.01)

        assert load.failed == []
        assert load.wrong == []
        # The same number was always the same card.
        assert {len(cards) for cards in load.cards.values()} == {1}
        assert search_keys(home, wanted=1) == [(4, "active")]
        assert populated.ask(vault.Status()).search == 4
        assert not before & hashes(home)

    def test_twice_before_the_first_is_swept_finds_everybody(self, home, populated):
        """With three keys at once, values are looked up under each of them."""
        for _ in range(2):
            populated.ask(vault.RotateSearch())

        for person in PERSONS:
            assert populated.ask(FindPerson("email", email(person), WHY)).persons == (person,)
        until_swept(populated)
        assert search_keys(home, wanted=1) == [(3, "active")]

    def test_waits_while_the_vault_is_sealed(self, home):
        """What is hashed anew must be opened first: sealed, nothing moves; opened, it goes on."""
        home.start()
        client = home.client()
        shares = client.ask(vault.PrepareRoot(3, 2)).shares
        client.ask(vault.CommitRoot())
        client.ask(PutPerson(7, ADA))
        client.ask(vault.RotateSearch())
        client.ask(vault.Seal())
        with home.as_admin() as admin:
            # As if the sweep had not come to it before.
            admin.execute("DELETE FROM vault.search")
        time.sleep(1.1)

        assert search_keys(home)[-1] == (2, "active")
        for keeper, share in (("ada", shares[0]), ("grace", shares[1])):
            client.ask(vault.Unseal(share, keeper))
        client.ask(PutPerson(7, ADA))
        until_swept(client)
        assert search_keys(home, wanted=1) == [(2, "active")]
        assert client.ask(FindPerson("email", ADA["email"], WHY)).persons == (7,)

    def test_brings_nobody_back_who_is_erased_meanwhile(self, home, populated):
        """Erasures race the sweep: afterwards there is no hash of anybody who was erased."""
        populated.ask(vault.RotateSearch())
        for person in PERSONS:
            populated.ask(ErasePerson(person, "operator:7", "article-17"))
        until_swept(populated)

        with home.as_admin() as admin:
            left = admin.execute("SELECT count(*) FROM vault.search").fetchone()
        assert left == (0,)
        assert populated.ask(FindPerson("email", email(1), WHY)).persons == ()

    def test_keeps_the_old_key_while_a_value_does_not_open(self, home, populated):
        """A value that was changed keeps its hash and the old key; put anew, it lets them go."""
        with home.as_admin() as admin:
            admin.execute(
                "UPDATE vault.field SET sealed = set_byte(sealed, 50, get_byte(sealed, 50) # 1)"
                " WHERE person = 7"
            )
        populated.ask(vault.RotateSearch())
        # The sweep comes every second; a right value would be long gone from the old key.
        time.sleep(4)

        assert search_keys(home) == [(1, "retiring"), (2, "active")]
        assert populated.ask(FindPerson("email", email(7), WHY)).persons == (7,)
        assert populated.ask(vault.Status()).hashes_left
        populated.ask(PutPerson(7, {"email": email(7), "tax_number": "T7"}))
        until_swept(populated)
        assert search_keys(home, wanted=1) == [(2, "active")]


class TestKilling:
    def test_amid_the_sweep_loses_nothing(self, home, populated):
        """Killed again and again amid rotation and sweep, everybody is found, under one key."""
        dsn = home.database.dsn.vault
        with Load(home.running.socket, patience_s=20) as load:
            for round_ in range(4):
                client = home.client(patience_s=0)
                racing = threading.Thread(target=_rotate, args=(client,))
                racing.start()
                time.sleep(0.01 * round_)
                home.running.kill()
                racing.join()
                home.start(dsn=dsn, reads_per_second=NO_LIMIT)

        client = home.client()
        assert set(load.failed) <= {"vault_unavailable"}
        assert load.wrong == []
        assert {len(cards) for cards in load.cards.values()} == {1}
        until_swept(client)
        assert len(search_keys(home, wanted=1)) == 1
        for person in PERSONS:
            assert client.ask(FindPerson("email", email(person), WHY)).persons == (person,)
        for number in NUMBERS[:20]:
            assert client.ask(FindCard(number, NETWORK)).card


def _rotate(client):
    """Rotate the search key of a vault that may be killed meanwhile."""
    with contextlib.suppress(vault.VaultUnavailable):
        client.ask(vault.RotateSearch())
