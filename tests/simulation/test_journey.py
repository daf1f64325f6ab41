"""A customer's way over the API breaks off wherever the bank answers otherwise than it has to."""

from email.message import EmailMessage
from functools import partial

import httpx
import pytest
from tests.customers import serving

from scudo.client import Client
from scudo.governance import Passage, Ruling
from scudo.identity.mail import into_folder
from scudo.simulation import Journey, Phone, errors, mailed_code


@pytest.fixture
def bank(database, tmp_path):
    """Serve a bank of this test's own."""
    with serving(database.dsn, tmp_path) as bank:
        yield bank


@pytest.fixture
def journey(bank):
    """A customer's way at that bank, over a connection of one's choice."""
    token = bank.clerk().headers["authorization"].removeprefix("Bearer ")
    clerk = bank.stack.enter_context(Client(bank.url, token=token))

    def make(**connected):
        made = httpx.Client(base_url=bank.url, timeout=20, **connected)
        phone = Phone(bank.stack.enter_context(made))
        return Journey(phone, clerk=clerk, code_for=bank.mailbox.code)

    return make


class Forgiving(httpx.HTTPTransport):
    """A gateway before the bank, which takes one of its refusals for a success."""

    def __init__(self, code):
        super().__init__()
        self._code = f'"{code}"'

    def handle_request(self, request):
        answer = super().handle_request(request)
        if self._code in answer.read().decode():
            return httpx.Response(200, json={}, request=request)
        return answer


class TestWay:
    def test_leads_from_sign_up_to_a_large_payment_and_three_refused_thefts(self, journey):
        """Seven stages of the customer, three of thieves, each theft with its code."""
        stages = list(journey().run())

        assert [stage.is_theft for stage in stages] == [False] * 7 + [True] * 3
        assert [stage.told.partition(";")[0] for stage in stages if stage.is_theft] == [
            "key_mismatched",
            "proof_replayed",
            "refresh_refused",
        ]

    @pytest.mark.parametrize("code", ["key_mismatched", "proof_replayed", "refresh_refused"])
    def test_breaks_off_where_a_theft_is_let_through(self, journey, code):
        """A theft that comes back as a success is no line of the demo, but its end."""
        way = journey(transport=Forgiving(code))

        with pytest.raises(errors.JourneyBroken, match=rf"200 \(no refusal\), not {code}"):
            list(way.run())

    def test_breaks_off_where_the_customer_is_refused(self, journey, bank):
        """A gate that lets nobody sign up ends the way, which names request and code."""
        bank.gates.rulings[Passage.ONBOARDING] = Ruling.DECLINE
        stages = journey().run()

        with pytest.raises(errors.JourneyBroken, match=r"POST /v1/sign-ups/.* was answered 40"):
            list(stages)

    def test_breaks_off_where_no_payment_is_stepped_up(self, journey):
        """A large payment that does not wait for a proof is told by how it stands."""
        way = journey(transport=Hasty())

        with pytest.raises(errors.JourneyBroken, match="is settled, not challenged"):
            list(way.run())


class Hasty(httpx.HTTPTransport):
    """A gateway before the bank, which says of what waits that it is settled."""

    def handle_request(self, request):
        answer = super().handle_request(request)
        told = answer.read().replace(b'"challenged"', b'"settled"')
        return httpx.Response(answer.status_code, headers=answer.headers, content=told)


class TestMailedCode:
    def test_is_that_of_the_mail_to_the_address(self, tmp_path):
        """Of two mails the one to the address is read."""
        deliver = into_folder(tmp_path)
        for to, code in (("a@example.com", "11111111"), ("b@example.com", "22222222")):
            mail = EmailMessage()
            mail["To"] = to
            mail.set_content(f"Your code is {code}.")
            deliver(mail)

        read = partial(mailed_code, tmp_path)

        assert (read("a@example.com"), read("b@example.com")) == ("11111111", "22222222")

    def test_is_not_waited_for_for_ever(self, tmp_path):
        """Without a mail the way ends."""
        with pytest.raises(errors.JourneyBroken, match="no mail with a code came"):
            mailed_code(tmp_path, "a@example.com", patience_s=0)
