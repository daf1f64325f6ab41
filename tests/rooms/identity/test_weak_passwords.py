"""Passwords that guessers try first."""

import secrets

import pytest

from scudo.identity import weak_passwords
from scudo.identity.weak_passwords import KEPT_BYTES, is_about_the_bank, is_common


class TestCommonPasswords:
    @pytest.mark.parametrize(
        "password",
        ["1qaz2wsx3edc", "123456qwerty", "leavemealone", "LeaveMeAlone", "unbelievable"],
    )
    def test_are_known_however_they_are_capitalised(self, password):
        """What many people had is common, in small letters and in capitals."""
        assert is_common(password)

    def test_are_few_among_all(self):
        """No random password is taken for a common one, and no neighbour of one."""
        others = [secrets.token_urlsafe(12) for _ in range(2_000)]

        assert not [password for password in others if is_common(password)]
        assert not is_common("1qaz2wsx3edc-")
        assert not is_common("")

    def test_are_more_than_the_three_thousand_that_must_be(self):
        """The list has far more than 3000 passwords of the length that ours have, each once."""
        kept = weak_passwords._digests()
        each = [kept[at : at + KEPT_BYTES] for at in range(0, len(kept), KEPT_BYTES)]

        assert len(kept) % KEPT_BYTES == 0
        assert len(each) > 40_000
        assert each == sorted(set(each))


class TestPasswordsAboutTheBank:
    @pytest.mark.parametrize(
        "password",
        [
            "scudo-scudo-2026",
            "ScudoBank2026!",
            "mybankpassword1",
            "P4ssw0rd!P4ssw0rd!",
            "5cud0-b4nk-acc0unt",
            "welcome2scudo",
            "admin1234567890",
        ],
    )
    def test_are_those_that_say_little_else(self, password):
        """Words of the bank with digits, signs and a letter or two around are no secret."""
        assert is_about_the_bank(password)

    @pytest.mark.parametrize(
        "password",
        [
            "correct horse battery staple",
            "the bank of the river is green",
            "vD8#mQ2!xR7&",
            "123-456-789-012",
            "embankment walk at noon",
        ],
    )
    def test_are_not_those_that_say_more(self, password):
        """A sentence may hold such a word, and a password without one is none of these."""
        assert not is_about_the_bank(password)
