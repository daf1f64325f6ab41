"""Cards: kept once, shown by halves, given whole to the network only."""

import pytest
from tests.rooms.vault.conftest import ADA, NETWORK, WHY, refused

from scudo import vault
from scudo.vault import (
    ErasePerson,
    FindCard,
    PutCard,
    PutPerson,
    ReadCard,
    ShowCard,
    Tokenise,
    Why,
)

NUMBER = "4111111111111111"
CARE = Why("customer_care", "operator:7", "case:12")


class TestKeeping:
    def test_gives_a_reference_and_the_token_of_events(self, home):
        """The same number gives the same card; its token is the one that events carry."""
        ask = home.opened().ask

        first = ask(PutCard(NUMBER, "2030-01"))
        again = ask(PutCard(NUMBER, "2031-02"))

        assert again == first
        assert (first.token,) == ask(Tokenise("card", (NUMBER,))).tokens
        assert ask(ReadCard(first.card, NETWORK)).expiry == "2031-02"

    def test_leaves_no_number_in_the_database(self, home):
        """Nothing of the schema holds more of it than the first six and the last four."""
        ask = home.opened().ask
        ask(PutCard("5555555555554444", "2030-01"))

        with home.as_admin() as admin:
            stored = str(admin.execute("SELECT c::text FROM vault.card AS c").fetchall())

        assert "5555555555554444" not in stored
        assert "55555555" not in stored
        assert b"5555555555554444".hex() not in stored
        assert "2030-01" not in stored

    @pytest.mark.parametrize("number", ["4111111111111112", "4111", "4111-1111-1111-1111"])
    def test_refuses_what_is_no_number(self, home, number):
        """A number with a wrong check digit is refused, and not repeated."""
        refusal = refused(home.opened().ask, PutCard(number, "2030-01"))

        assert refusal.code == "card_number_invalid"
        assert number not in refusal.message

    def test_is_for_one_person(self, home):
        """A number that is one person's is not taken over by another, nor by nobody."""
        ask = home.opened().ask
        ask(PutPerson(7, ADA))
        ask(PutPerson(8, ADA))
        ask(PutCard(NUMBER, "2030-01", 7))

        assert refused(ask, PutCard(NUMBER, "2030-01", 8)).code == "card_taken"
        assert refused(ask, PutCard(NUMBER, "2030-01")).code == "card_taken"
        unknown = refused(ask, PutCard("5555555555554444", "2030-01", 9))
        assert unknown.code == "vault_person_not_found"

    def test_ends_with_the_person(self, home):
        """An erased customer's card is gone: by reference, and by number."""
        ask = home.opened().ask
        ask(PutPerson(7, ADA))
        card = ask(PutCard(NUMBER, "2030-01", 7)).card

        ask(ErasePerson(7, "operator:7", "article-17"))

        assert refused(ask, ReadCard(card, NETWORK)).code == "card_not_found"
        assert ask(FindCard(NUMBER, CARE)).card is None


class TestShowing:
    def test_is_the_first_six_and_the_last_four(self, home):
        """A person sees halves; which half of whom and why is told."""
        ask = home.opened().ask
        card = ask(PutCard(NUMBER, "2030-01")).card

        shown = ask(ShowCard(card, CARE))

        assert (shown.first_six, shown.last_four) == ("411111", "1111")
        (fact,) = shown.facts
        told = (fact.operation, fact.subject_kind, fact.subject, fact.field, fact.result)
        assert told == ("show_card", "card", card, "card_number", "given")

    @pytest.mark.parametrize("purpose", ["screening", "statement", "authentication"])
    def test_needs_a_purpose_with_cards(self, home, purpose):
        """A purpose that has nothing to do with cards sees no half of one."""
        ask = home.opened().ask
        card = ask(PutCard(NUMBER, "2030-01")).card
        why = Why(purpose, "operator:7", "case:12")

        for request in (ShowCard(card, why), FindCard(NUMBER, why), ReadCard(card, why)):
            assert refused(ask, request).code == "vault_forbidden"

    def test_of_the_whole_is_for_the_network_within_its_quota(self, home):
        """The network is given full numbers, so many a second; nobody else is given one."""
        ask = home.opened(reads_per_second={"network": 3}).ask
        card = ask(PutCard(NUMBER, "2030-01")).card

        assert refused(ask, ReadCard(card, CARE)).code == "vault_forbidden"
        assert refused(ask, ReadCard(card, WHY)).code == "vault_forbidden"
        codes = set()
        for _ in range(20):
            try:
                assert ask(ReadCard(card, NETWORK)).number == NUMBER
            except vault.VaultRefusal as refusal:
                codes.add(refusal.code)
        assert codes == {"vault_quota"}
        assert ask(ShowCard(card, CARE)).last_four == "1111"

    def test_of_an_unknown_card_is_refused(self, home):
        """A reference that nobody was given leads nowhere, and leaves a fact."""
        refusal = refused(home.opened().ask, ShowCard(99, CARE))

        assert refusal.code == "card_not_found"
        assert [fact.result for fact in refusal.facts] == ["card_not_found"]
