"""A new customer's way over the bank's API, from sign-up to a large payment; then three thefts.

Everything is said over HTTP as the customer's own phone says it, and every answer has to be the
right one: the way breaks off where the bank refuses what it should grant, or grants a theft.
"""

import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import httpx

from scudo.client import Client, types
from scudo.simulation.errors import JourneyBroken
from scudo.simulation.phone import DeviceKey, Phone

#: Minor units.
_FUNDS: Final = 20_000_00
_SMALL: Final = 10_00
_LARGE: Final = 1_000_00
_SMALL_PAYMENTS: Final = 3
_EURO: Final = "EUR"
_CODE: Final = re.compile(r"\b\d{8}\b")
#: For a mail, and between two looks for it.
_PATIENCE_S: Final = 20
_LOOK_S: Final = 0.01
#: What customers read of themselves.
_ME: Final = "/v1/me"


@dataclass(frozen=True, slots=True)
class Stage:
    """One thing that was done.

    Attributes:
        what: who did what.
        told: what the bank said, in words; of a theft the code of its refusal.
        seconds: from the first request to the last answer.
        is_theft: whether it was tried by somebody else, and refused.
    """

    what: str
    told: str
    seconds: float
    is_theft: bool = False


class Journey:
    """One customer's way."""

    def __init__(self, phone: Phone, *, clerk: Client, code_for: Callable[[str], str]) -> None:
        """Prepare it.

        Args:
            phone: new, connected to the bank; its address is the mailbox that signs up.
            clerk: of the bank, who may register customers, open accounts and post journals.
            code_for: waits for the mail with a code to an address, and reads it.
        """
        self._phone = phone
        self._clerk = clerk
        self._code_for = code_for
        self._address = phone.address or f"{uuid.uuid4().hex}@example.com"
        self._code_id = ""
        self._own = self._usual = self._stranger = ""
        self._large: dict[str, Any] = {}

    def run(self) -> Iterator[Stage]:
        """Go it, stage by stage.

        Raises:
            JourneyBroken: an answer was not the one that it had to be.
            ClientRefusal: the bank refused its own clerk.
        """
        stages: tuple[tuple[str, Callable[[], str]], ...] = (
            ("signs up by e-mail", self._sign_up),
            ("enters the code from the mail", self._activate),
            ("adds a passkey and logs in by it", self._use_passkey),
            ("gets an account", self._open_own),
            (f"pays 10.00 {_EURO} to a payee, {_SMALL_PAYMENTS} times", self._pay_small),
            (f"pays 1,000.00 {_EURO} to a new payee", self._pay_large),
            ("signs payment, amount and payee by passkey", self._step_up),
        )
        thefts: tuple[tuple[str, Callable[[], str]], ...] = (
            ("stolen token, without its key", self._steal_token),
            ("a proof that was used, sent again", self._repeat_proof),
            ("old refresh token, used again", self._reuse_refresh),
        )
        for is_theft, acts in ((False, stages), (True, thefts)):
            for what, act in acts:
                began = perf_counter()
                told = act()
                yield Stage(what, told, perf_counter() - began, is_theft)

    # ---- the bank

    def _open_payee(self) -> None:
        payee = self._clerk.register_customer(
            types.NewCustomer(reference=f"payee-{uuid.uuid4()}", kind="person")
        )
        self._usual, self._stranger = self._open(payee.id), self._open(payee.id)

    def _open(self, owner: str) -> str:
        return self._clerk.open_account(types.NewAccount(customer_id=owner, currency=_EURO)).id

    # ---- the customer

    def _sign_up(self) -> str:
        answer = self._phone.post("/v1/sign-ups", {"email": self._address})
        self._code_id = _body(answer, httpx.codes.ACCEPTED)["code_id"]
        return "a code is mailed"

    def _activate(self) -> str:
        code = self._code_for(self._address)
        opened = _body(
            self._phone.activate(self._address, self._code_id, code), httpx.codes.CREATED
        )
        return f"{opened['customer_id']}, bound to its phone"

    def _use_passkey(self) -> str:
        _body(self._phone.add_passkey(), httpx.codes.CREATED)
        entered = _body(self._phone.log_in(), httpx.codes.CREATED)
        return f"a session by {entered['assurance']}"

    def _open_own(self) -> str:
        assert self._phone.customer is not None, "the phone has logged in"
        self._open_payee()
        self._own = self._open(self._phone.customer)
        funding = types.NewMovement(
            kind="post", amount_minor=_FUNDS, currency=_EURO, credit_account_id=self._own
        )
        self._clerk.post_journal(types.NewJournal(mandate="funding", movements=(funding,)))
        return f"{_FUNDS / 100:,.2f} {_EURO} on it"

    def _pay_small(self) -> str:
        for _ in range(_SMALL_PAYMENTS):
            _expect(self._pay(_SMALL, self._usual), "settled")
        return "settled"

    def _pay_large(self) -> str:
        self._large = self._pay(_LARGE, self._stranger)
        _expect(self._large, "challenged")
        return "stepped up: the money waits"

    def _step_up(self) -> str:
        phone, large = self._phone, self._large["id"]
        details = {
            "payment_id": large,
            "amount_minor": _LARGE,
            "currency": _EURO,
            "payee_account_id": self._stranger,
        }
        asked = _body(
            phone.post("/v1/step-ups", {"act": "payment", "payment": details}),
            httpx.codes.CREATED,
        )
        proof = {"credential": phone.passkeys.get(asked["public_key"])}
        path = f"/v1/step-ups/{asked['step_up_id']}/proof"
        _body(phone.post(path, proof), httpx.codes.NO_CONTENT)
        confirming = f"/v1/payments/{large}/confirmation"
        passed = phone.order(confirming, {"step_up_id": asked["step_up_id"]})
        _expect(_body(passed, httpx.codes.OK), "settled")
        return "settled"

    def _pay(self, amount: int, payee: str) -> dict[str, Any]:
        body = {
            "debit_account_id": self._own,
            "credit_account_id": payee,
            "amount_minor": amount,
            "currency": _EURO,
        }
        answer = self._phone.order("/v1/payments", body)
        return _body(answer, answer.status_code if answer.is_success else httpx.codes.CREATED)

    # ---- thieves

    def _steal_token(self) -> str:
        owner = self._phone
        thief = Phone(
            owner.http, DeviceKey(), origin=owner.origin, access=owner.access, nonce=owner.nonce
        )
        code = _refused(thief.get(_ME), "key_mismatched")
        # A token that was shown by two is nobody's any more; its owner takes new ones.
        _refused(owner.get(_ME), "token_unknown")
        _body(owner.renew(), httpx.codes.CREATED)
        return f"{code}; the token is dead"

    def _repeat_proof(self) -> str:
        proof = self._phone.proof("GET", _ME)
        _body(self._phone.send_with(proof, "GET", _ME), httpx.codes.OK)
        code = _refused(self._phone.send_with(proof, "GET", _ME), "proof_replayed")
        _body(self._phone.get(_ME), httpx.codes.OK)
        return f"{code}; its owner goes on"

    def _reuse_refresh(self) -> str:
        phone = self._phone
        old = phone.refresh
        _body(phone.renew(), httpx.codes.CREATED)
        newest, phone.access = phone.access, None
        again = phone.post("/v1/tokens/refresh", {"refresh_token": old})
        code = _refused(again, "refresh_refused")
        phone.access = newest
        _refused(phone.get(_ME), "token_unknown")
        _refused(phone.renew(), "refresh_refused")
        return f"{code}; the session has ended"


def mailed_code(folder: Path, address: str, *, patience_s: float = _PATIENCE_S) -> str:
    """The code in the mail to an address, waited for as people do.

    Args:
        folder: where a bank without a mail server puts its mails.
        address: whose.
        patience_s: how long a mail may take.

    Raises:
        JourneyBroken: no such mail came.
    """
    over = perf_counter() + patience_s
    while perf_counter() < over:
        for path in folder.glob("*.eml"):
            mail = message_from_bytes(path.read_bytes(), policy=default)
            # A mail that is being written is looked at again.
            found = _CODE.search(mail.get_content()) if mail["To"] == address else None
            if found is not None:
                return found.group()
        time.sleep(_LOOK_S)
    message = f"no mail with a code came within {patience_s} seconds"
    raise JourneyBroken(message)


def _body(answer: httpx.Response, status: int) -> dict[str, Any]:
    """What an answer holds that has to have a status.

    Raises:
        JourneyBroken: it has another.
    """
    told: dict[str, Any] = answer.json() if answer.content else {}
    if answer.status_code != status:
        code = told.get("code", "no code")
        message = f"{_named(answer)} was answered {answer.status_code} ({code}), not {status}"
        raise JourneyBroken(message)
    return told


def _expect(payment: dict[str, Any], status: str) -> None:
    """See that a payment stands as it has to.

    Raises:
        JourneyBroken: it stands otherwise.
    """
    if payment["status"] != status:
        message = f"payment {payment['id']} is {payment['status']}, not {status}"
        raise JourneyBroken(message)


def _refused(answer: httpx.Response, code: str) -> str:
    """The code of the refusal that a theft has to get.

    Raises:
        JourneyBroken: it was let through, or refused for another reason.
    """
    found = "no refusal" if answer.is_success else answer.json()["code"]
    if found != code:
        message = f"{_named(answer)} was answered {answer.status_code} ({found}), not {code}"
        raise JourneyBroken(message)
    return code


def _named(answer: httpx.Response) -> str:
    return f"{answer.request.method} {answer.request.url.path}"
