"""The numbers of docs/security.md are those of the code."""

from pathlib import Path

import pytest

from scudo.fabric.web import BULK_BODY_BYTES_MAX
from scudo.fabric.web.operation import BODY_BYTES_MAX
from scudo.identity import weak_passwords
from scudo.identity.customers import model, throttle
from scudo.identity.customers.passwords import Passwords
from scudo.identity.operators.model import IDLE_US, SESSION_US, SESSIONS_MAX
from scudo.identity.partners.model import TOKEN_US
from scudo.interfaces.http import Limits
from scudo.kernel import SECOND_US

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
TERMS = model.Terms()
MINUTE_US, DAY_US = 60 * SECOND_US, 86_400 * SECOND_US


class TestNumbers:
    @pytest.mark.parametrize(
        ("sentence", "number"),
        [
            ("| customer's access token | {} minutes |", TERMS.token_us // MINUTE_US),
            ("| customer's session, not refreshed | {} days |", TERMS.refresh_us // DAY_US),
            ("| customer's session | {} days |", TERMS.session_us // DAY_US),
            ("| operator's session, idle | {} minutes |", IDLE_US // MINUTE_US),
            ("| operator's session | {} hours |", SESSION_US // (60 * MINUTE_US)),
            ("| partner's token | {} minutes |", TOKEN_US // MINUTE_US),
            ("A customer has at most {} sessions", model.SESSIONS_MAX),
            ("an operator {};", SESSIONS_MAX),
            ("A mailed code has {} random\ndigits", model.CODE_DIGITS),
            ("lives {} minutes", TERMS.code_us // MINUTE_US),
            ("and is tried {} times;", TERMS.code_tries),
            ("a step-up is tried {} times.", TERMS.step_up_tries),
            ("| account, of devices that it does not know | {} |", throttle.ACCOUNT.free),
            ("| device that the account knows, by its key | {} |", throttle.DEVICE.free),
            ("| network | {} |", throttle.NETWORK.free),
            ("| mails to one address | {} |", throttle.MAIL.free),
            ("proof that is {} minutes old at most", TERMS.fresh_us // MINUTE_US),
            ("| body | {} KiB;", BODY_BYTES_MAX // 1024),
            ("KiB; {} MiB for journals |", BULK_BODY_BYTES_MAX // 1024**2),
            ("| head of a request | {} KiB |", Limits().head_bytes_max // 1024),
            ("| request to arrive | {} s |", Limits().request_s),
        ],
    )
    def test_are_those_of_the_code(self, sentence, number):
        """Every number that somebody may change in the code is the one that people read."""
        assert sentence.format(number) in PAGE

    def test_of_argon2_are_those_of_the_hasher(self):
        """Memory, passes and lanes."""
        hasher = Passwords()._hasher

        assert (hasher.memory_cost, hasher.time_cost, hasher.parallelism) == (19 * 1_024, 2, 1)
        assert "Argon2id with 19 MiB, two passes and one lane" in PAGE

    def test_words_that_no_password_may_be_are_all_there(self):
        """The list is the one that is compared with."""
        listed = PAGE.replace("\n", " ")

        assert ", ".join(weak_passwords.CONTEXT_WORDS) in listed
