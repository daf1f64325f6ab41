"""What looks like personal or card data is found, and what only looks a little like it is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scudo.kernel import find_in_text, find_in_value, hide_cards

FOUND = [
    ("card", "4111111111111111"),
    ("card", "paid with 4111 1111 1111 1111 today"),
    ("card", "5555-5555-5555-4444"),
    ("card", "378282246310005"),
    ("card", "6011111111111117"),
    ("card", "2223003122003222"),
    ("iban", "CH93 0076 2011 6238 5295 7"),
    ("iban", "to IT60X0542811101000000123456."),
    ("iban", "CH93-0076-2011-6238-5295-7"),
    ("iban", "CH93 0076 2011 6238 5295 7 THANKS"),
    ("iban", "BE68 5390 0754 7034"),
    ("email", "write to anna.rossi@example.org"),
    ("phone", "+39 06 1234 5678"),
    ("phone", "+41791234567"),
]
NOT_FOUND = [
    "4111111111111112",
    "1700000000000000",
    "acc_4111111111111111",
    "pay_0000000000000123",
    "4444444444444444",
    "CH93 0076 2011 6238 5295 8",
    "anna at example",
    "IT60X054281110100000012345",
    "+1.5",
    "+12",
    "2026-11-23T10:00:00.000000Z",
    "548e07cd54b36a91548e07cd54b36a91",
    "4111111111111111.5",
]


class TestFindInText:
    @pytest.mark.parametrize(("kind", "text"), FOUND)
    def test_finds_what_has_the_form_and_the_check_digits(self, kind, text):
        """Spaces, hyphens and words around it hide nothing."""
        assert list(find_in_text(text)) == [kind]

    @pytest.mark.parametrize("text", NOT_FOUND)
    def test_leaves_ids_times_and_wrong_check_digits_alone(self, text):
        """A detector that cries wolf is switched off."""
        assert list(find_in_text(text)) == []

    @given(st.integers(0, 10**14 - 1))
    def test_finds_every_card_number_of_a_network(self, number):
        """Whatever the account is, with its check digit it is found, unless it is one digit."""
        digits = f"4{number:014}"
        total = sum(
            sum(divmod(int(digit) * (2 - index % 2), 10)) for index, digit in enumerate(digits)
        )
        card = f"{digits}{-total % 10}"

        assert list(find_in_text(f"card {card},")) == ["card"] * (len(set(card)) > 1)

    @given(st.uuids(), st.sampled_from(["", "payee-", "order:", "a/"]))
    def test_leaves_every_uuid_alone(self, number, before):
        """However it is written: what machines call things must not look like somebody's."""
        for text in (f"{before}{number}", f"{before}{number.hex}"):
            assert list(find_in_text(text)) == []
            assert list(find_in_text(text.upper())) == []


class TestHideCards:
    @pytest.mark.parametrize(
        ("text", "left"),
        [
            ("card 4111 1111 1111 1111, thanks", "card **** **** **** 1111, thanks"),
            ("378282246310005", "***********0005"),
            ("4111111111111112", "4111111111111112"),
            ("order 20261123-0001", "order 20261123-0001"),
        ],
    )
    def test_leaves_four_digits_of_a_card_and_all_else(self, text, left):
        """What is no card number stays as it is."""
        assert hide_cards(text) == left

    @given(st.text())
    def test_leaves_no_card_number(self, text):
        """Whatever a text is, its length stays, and no card is found in what comes out."""
        hidden = hide_cards(f"{text} 5555 5555 5555 4444 {text}")

        assert "card" not in list(find_in_text(hidden))
        assert len(hidden) == 2 * len(text) + 21


class TestFindInValue:
    @pytest.mark.parametrize(
        ("value", "where"),
        [
            ({"note": ["x", {"text": "mail a@b.example"}]}, ".note[1].text"),
            ([1, [4111111111111111]], "[1][0]"),
            ({"reference": b"\x01IT60X0542811101000000123456"}, ".reference"),
            ({"card": {"cvv": "123"}}, ".card.cvv"),
            ({"Password": "x"}, ".Password"),
        ],
    )
    def test_names_the_place_and_never_the_data(self, value, where):
        """In maps, lists, bytes and numbers, and by the name of a field."""
        ((path, kind),) = find_in_value(value)

        assert path == where
        assert kind in {"email", "card", "iban", "name"}

    @given(st.integers(-(2**63), 2**63 - 1).filter(lambda n: len(str(n)) not in {15, 16}))
    def test_leaves_numbers_alone_that_are_no_card(self, number):
        """Tokens and amounts are numbers too."""
        assert list(find_in_value([number, None, True, 1.5])) == []
