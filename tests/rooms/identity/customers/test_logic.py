"""Pure decisions: what a session may still do, what is too weak, who must wait."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scudo.identity.customers.errors import (
    AddressMalformed,
    PasswordTooWeak,
    TooManyAttempts,
)
from scudo.identity.customers.logic import (
    Scene,
    Verdict,
    act_digest,
    demand_strong,
    judge_session,
    read_address,
)
from scudo.identity.customers.model import Act, Assurance, Session, Terms
from scudo.identity.customers.throttle import Allowance, Throttle

NOW = 1_800_000_000_000_000
TERMS = Terms()
SESSION = Session(
    customer=1,
    device=2,
    thumbprint="key",
    token=3,
    assurance=Assurance.PASSKEY,
    began_at=NOW,
    proven_at=NOW,
    network=4,
    country=756,
)
HOME = Scene("key", 4, 756)
AWAY = Scene("key", 5, 756)
ABROAD = Scene("key", 5, 392)


class TestSession:
    @pytest.mark.parametrize(
        ("changes", "scene", "verdict"),
        [
            ({}, HOME, Verdict.GO_ON),
            ({}, AWAY, Verdict.GO_ON),
            ({}, Scene("key", 5), Verdict.GO_ON),
            ({"country": None}, ABROAD, Verdict.GO_ON),
            ({"proven_at": NOW - TERMS.elsewhere_us}, AWAY, Verdict.GO_ON),
            ({"proven_at": NOW - TERMS.elsewhere_us - 1}, AWAY, Verdict.STEP_UP),
            ({"proven_at": NOW - TERMS.elsewhere_us - 1}, HOME, Verdict.GO_ON),
            ({"proven_at": NOW - TERMS.proof_us}, HOME, Verdict.GO_ON),
            ({"proven_at": NOW - TERMS.proof_us - 1}, HOME, Verdict.STEP_UP),
            ({}, Scene("key", 4, 392), Verdict.STEP_UP),
            ({}, ABROAD, Verdict.STEP_UP),
            ({}, Scene("other", 4, 756), Verdict.END),
            ({"ended_at": NOW}, HOME, Verdict.END),
            ({"began_at": NOW - TERMS.session_us}, HOME, Verdict.GO_ON),
            ({"began_at": NOW - TERMS.session_us - 1}, HOME, Verdict.END),
            ({"assurance": Assurance.MAIL}, HOME, Verdict.STEP_UP),
        ],
    )
    def test_is_judged_by_device_place_and_age(self, changes, scene, verdict):
        """Each of these scenes goes on, steps up or ends; thresholds are the terms'."""
        session = msgspec.structs.replace(SESSION, **changes)

        assert judge_session(session, scene, now=NOW, terms=TERMS) is verdict


class TestActDigest:
    @given(st.data())
    def test_differs_when_any_detail_does(self, data):
        """No other payment, amount, currency or payee has the digest of this act."""
        wide = st.integers(0, (1 << 63) - 1)
        details = st.tuples(wide, wide, st.integers(0, 999), wide)
        one, other = data.draw(details), data.draw(details)

        def digest(number, amount, currency, to):
            return act_digest(Act.PAYMENT, number=number, amount=amount, currency=currency, to=to)

        assert (digest(*one) == digest(*other)) is (one == other)
        assert digest(0, 0, 0, 0) != act_digest(Act.CREDENTIALS)


class TestAddress:
    @given(st.text())
    def test_that_is_read_has_one_form(self, text):
        """Whatever is read as an address is short, plain, and read again as it is."""
        try:
            address = read_address(text)
        except AddressMalformed:
            return
        assert read_address(address) == address
        assert address.isascii()
        assert not set(address) & set(' ,;:<>"\r\n')


class TestPassword:
    @pytest.mark.parametrize(
        "password",
        [
            "x" * 11,
            "elevenchars",
            "long " * 30,
            "ada@example.com",
            "Ada@Example.com!",
            "ada.lovelace2026!!",
            "aaaaaaaaaaaaa",
            "passwordpassword",
            "12341234123412341234",
            "abcdefghijklmn",
            "zyxwvutsrqponm",
        ],
    )
    def test_that_a_rule_guesses_is_too_weak(self, password):
        """Short, long, the address, its name, repeated or counted."""
        with pytest.raises(PasswordTooWeak):
            demand_strong(
                password,
                address="ada.lovelace@example.com" if "love" in password else "ada@example.com",
            )

    @pytest.mark.parametrize(
        "password",
        ["correct horse", "väderkvarnsgatan", "x9$kQ!mmPz72", "天地玄黃宇宙洪荒日月盈昃"],
    )
    def test_that_is_long_and_varied_is_taken(self, password):
        """Any characters do, and no class of them is demanded."""
        assert demand_strong(password, address="ada@example.com") is None


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


class TestThrottle:
    ALLOWANCE = Allowance(free=3, first_us=1_000_000, most_us=8_000_000, forgotten_us=60_000_000)

    def take(self, throttle, number=1):
        throttle.take([(self.ALLOWANCE, "test", number)])

    def wait(self, throttle, number=1):
        """Seconds that the next attempt must wait; 0: it was counted."""
        try:
            self.take(throttle, number)
        except TooManyAttempts as refusal:
            return int(dict(refusal.headers)[b"retry-after"])
        return 0

    def test_doubles_the_delay_up_to_its_most(self):
        """After the free attempts each further one waits twice as long."""
        clock = Clock()
        throttle, waits = Throttle(now=clock), []
        for _ in range(3):
            self.take(throttle)
        for _ in range(6):
            waits.append(self.wait(throttle))
            clock.now += waits[-1] * 1_000_000
            self.take(throttle)

        assert waits == [1, 2, 4, 8, 8, 8]

    def test_forgives_who_proves_who_it_is_and_forgets_in_time(self):
        """A good attempt takes the count back, and so does a long pause."""
        clock = Clock()
        throttle = Throttle(now=clock)
        for forget in (
            lambda: throttle.forgive([(self.ALLOWANCE, "test", 1)]),
            lambda: setattr(clock, "now", clock.now + 61_000_000),
        ):
            for _ in range(3):
                self.take(throttle)
            assert self.wait(throttle) == 1
            forget()
            assert [self.wait(throttle) for _ in range(3)] == [0, 0, 0]
            throttle.forgive([(self.ALLOWANCE, "test", 1)])

    def test_counts_each_key_alone_and_none_that_waits(self):
        """One key's failures are not another's; an attempt that is refused counts nowhere."""
        throttle = Throttle(now=Clock())
        for _ in range(3):
            self.take(throttle)
        both = [(self.ALLOWANCE, "test", 1), (self.ALLOWANCE, "test", 2)]
        for _ in range(5):
            with pytest.raises(TooManyAttempts):
                throttle.take(both)

        assert [self.wait(throttle, 2) for _ in range(4)] == [0, 0, 0, 1]

    def test_keeps_a_bounded_number_of_keys(self):
        """The stalest keys give way."""
        throttle = Throttle(now=Clock(), most=10)
        for number in range(100):
            self.take(throttle, number)

        assert len(throttle._counted) == 10
