"""What goes from the vault by its age: cards that have expired, records of reads; never persons."""

import psycopg
import pytest
from tests.rooms.vault.conftest import ADA, NETWORK, WHY, refused

from scudo import vault
from scudo.bootstrap import now_us
from scudo.kernel import DAY_US
from scudo.vault import (
    CountKept,
    ForgetCards,
    ForgetReads,
    ListCards,
    PutCard,
    PutPerson,
    ReadCard,
    ReadFields,
    Seal,
)

YEAR_US = 366 * DAY_US
EXPIRED, GOOD = "4111111111111111", "5555555555554444"
CARE = vault.Why("privacy_request", "operator:7", "case:12")


def age_reads(home, days):
    """Have all records of reads be older."""
    with home.as_admin() as admin:
        admin.execute("UPDATE vault.read_record SET at = at - %s * interval '1 day'", (days,))


class TestCards:
    def test_go_once_they_have_expired_for_long_enough(self, home):
        """Counted from the end of the year in which they expire; one that may be good stays."""
        ask, now = home.opened().ask, now_us()
        gone = ask(PutCard(EXPIRED, "2020-03")).card
        ask(PutCard(GOOD, "2099-03"))

        early = ask(ForgetCards(now - 20 * YEAR_US, (), 10)).count
        before = ask(CountKept(0, now, ())).cards
        done = ask(ForgetCards(now, (), 10)).count
        again = ask(ForgetCards(now, (), 10)).count

        assert (early, done, again) == (0, 1, 0)
        assert (before.kept, before.due) == (2, 1)
        assert refused(ask, ReadCard(gone, NETWORK)).code == "card_not_found"
        assert ask(CountKept(0, now, ())).cards.kept == 1

    def test_that_may_be_good_go_for_no_clock(self, home):
        """Whoever asks from a hundred years ahead is given nothing that expires from today on."""
        ask = home.opened().ask
        ask(PutCard(GOOD, "2099-03"))

        assert ask(ForgetCards(now_us() + 100 * YEAR_US, (), 10)).count == 0

    def test_of_a_person_who_is_held_stay(self, home):
        """And are counted as held; nobody's cards go beside them."""
        ask, now = home.opened().ask, now_us()
        ask(PutPerson(7, ADA))
        ask(PutCard(EXPIRED, "2020-03", 7))
        ask(PutCard(GOOD, "2020-03"))

        done = ask(ForgetCards(now, (7,), 10)).count
        left = ask(CountKept(0, now, (7,))).cards

        assert (done, left.kept, left.due, left.held) == (1, 1, 0, 1)

    def test_that_are_renewed_count_from_their_new_expiry(self, home):
        """The same number with another expiry is the same card, and a good one."""
        ask, now = home.opened().ask, now_us()
        ask(PutCard(EXPIRED, "2020-03"))
        ask(PutCard(EXPIRED, "2099-03"))

        assert ask(ForgetCards(now, (), 10)).count == 0

    def test_leave_no_month_outside_their_seal(self, home):
        """Of the expiry the table says the end of its year, and no more."""
        home.opened().ask(PutCard(GOOD, "2031-04"))

        with home.as_admin() as admin:
            (stored,) = admin.execute("SELECT c::text FROM vault.card AS c").fetchone()

        assert "2031-12-31" in stored
        assert "2031-04" not in stored


class TestReads:
    @pytest.fixture
    def read(self, home):
        """A vault whose persons 7 and 8 were read two years ago, and 7 a moment ago."""
        ask = home.opened().ask
        for person in (7, 8):
            ask(PutPerson(person, ADA))
            ask(ReadFields(person, ("email",), WHY))
        age_reads(home, 732)
        ask(ReadFields(7, ("email",), WHY))
        return ask

    def test_are_forgotten_when_they_are_due(self, read):
        """What is younger stays; what was read itself is not touched."""
        before = now_us() - YEAR_US

        counted = read(CountKept(before, 0, ())).reads
        done = read(ForgetReads(before, (), 10)).count

        assert (counted.kept, counted.due, done) == (3, 2, 2)
        assert read(CountKept(before, 0, ())).persons == 2
        assert read(ReadFields(8, ("email",), WHY)).values == {"email": ADA["email"]}

    def test_of_a_person_who_is_held_stay(self, read):
        """Of their cards too."""
        done = read(ForgetReads(now_us(), (7,), 10)).count

        left = read(CountKept(now_us(), 0, (7,))).reads
        assert (done, left.due, left.held) == (1, 0, 1)

    def test_of_the_last_year_go_for_no_clock(self, read):
        """A slip in a rule, or a clock that is set forward, does not take the evidence."""
        done = read(ForgetReads(now_us() + 100 * YEAR_US, (), 10)).count

        assert (done, read(CountKept(0, 0, ())).reads.kept) == (2, 1)

    def test_go_some_at_a_time(self, read):
        """So that nobody waits for a long statement."""
        before = now_us()

        assert [read(ForgetReads(before, (), 1)).count for _ in range(3)] == [1, 1, 0]

    def test_are_deleted_by_that_function_only(self, home):
        """The vault's own role has no right to delete them."""
        home.opened()
        with (
            psycopg.connect(home.database.dsn.vault, autocommit=True) as own,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            own.execute("DELETE FROM vault.read_record")


class TestWhileSealed:
    def test_what_is_due_goes_all_the_same(self, home):
        """Nothing is opened for it, so nobody has to come with shares."""
        ask = home.opened().ask
        ask(PutCard(EXPIRED, "2020-03"))
        ask(Seal())

        assert ask(ForgetCards(now_us(), (), 10)).count == 1


class TestListCards:
    def test_shows_a_persons_cards_by_halves(self, home):
        """Theirs, oldest first, and nobody else's; the read is a fact."""
        ask = home.opened().ask
        ask(PutPerson(7, ADA))
        first = ask(PutCard(EXPIRED, "2030-03", 7)).card
        ask(PutCard(GOOD, "2030-03"))

        listed = ask(ListCards(7, CARE))

        assert [(c.card, c.first_six, c.last_four) for c in listed.cards] == [
            (first, "411111", "1111")
        ]
        assert [(f.operation, f.subject, f.result) for f in listed.facts] == [
            ("list_cards", 7, "given")
        ]

    def test_is_refused_for_a_purpose_that_sees_no_cards(self, home):
        """And the refusal is a fact too."""
        ask = home.opened().ask
        refusal = refused(ask, ListCards(7, WHY))

        assert refusal.code == "vault_forbidden"
        assert [fact.result for fact in refusal.facts] == ["vault_forbidden"]
