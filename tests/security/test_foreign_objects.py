"""A foreign object, wherever a request can name one, is answered like one that never was."""

import contextlib
from collections.abc import Iterator

import pytest
from tests.security.conftest import Attacker
from tests.security.described import (
    GUARDED,
    MISSING,
    PREFIXES,
    Described,
    body_of,
    members,
    path_of,
    placed,
    prefix_of,
)

from scudo.identity import SCOPES
from scudo.kernel import Prefix, ids

#: Where a foreign object may be named: whoever pays may name whom.
MAY_BE_FOREIGN = {("pay", "credit_account_id"), ("authorise_card", "merchant_account_id")}

#: Kinds of things of which each of both has one.
OWNED = {"acc", "crf", "cus", "dec", "hld", "jnl", "pay"}
#: All other kinds: operations on them are closed to clients of customers. Whoever adds a kind
#: that is not makes one of it for each, below.
CLOSED = PREFIXES - OWNED
#: What the vault keeps of both.
PERSON = {"given_name": "Ada", "email": "ada@example.org"}
#: What would leave nothing to attack.
DESTROYS = {"erase_person"}
#: What a card authorisation has none of.
ABSENT = {"get_payment_message", "read_payment_message"}
#: Numbers that card schemes give to testers.
CARDS = ("5555555555554444", "4012888888881881")


def places(operation: Described) -> Iterator[tuple[str, tuple[str | int, ...], str]]:
    """Where an operation takes ids: in what, at which place, of which kind."""
    for name, (where, schema) in operation.parameters.items():
        if prefix := prefix_of(schema):
            yield where, (name,), prefix
    for at, schema in members(operation.body or {}):
        if prefix := prefix_of(schema):
            yield "body", at, prefix


PLACES = [
    pytest.param(operation, where, at, prefix, id=f"{operation}-{'.'.join(map(str, at))}")
    for operation in GUARDED
    for where, at, prefix in places(operation)
    if (operation.name, at[-1]) not in MAY_BE_FOREIGN
]


def objects_of(bank, customer: str, number: str) -> dict[str, str]:
    """What belongs to one customer, by the prefix of its id."""
    account = bank.account(customer, funds=10_000)
    order = {"account_id": account, "amount_minor": 10, "currency": "EUR"}
    payment = bank.post("/v1/card-authorisations", order).json()
    sides = {"debit_account_id": account, "credit_account_id": bank.account(customer)}
    worded = {"amount_minor": 10, "currency": "EUR", "message": "for the ferry", **sides}
    card = {"number": number, "expiry": "2030-01", "customer_id": customer}
    assert bank.http.put(f"/v1/customers/{customer}/person", json=PERSON).status_code == 200
    return {
        "cus": customer,
        "acc": account,
        "pay": _made(bank.post("/v1/payments", worded)),
        "dec": payment["decision_id"],
        "hld": payment["hold_id"],
        "jnl": bank.fund(account, 1).json()["id"],
        "crf": _made(bank.post("/v1/cards", card)),
        **{prefix: account.replace("acc", prefix) for prefix in CLOSED},
    }


def _made(answer) -> str:
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


@pytest.fixture(scope="module")
def world(served, banks_own):
    """Mallory with every scope but bound to herself, what is hers, and what is Bob's."""
    mallory, bob = banks_own.customer(), banks_own.customer()
    number = ids.parse(Prefix.CUSTOMER, mallory)
    token = served.token_for(*(SCOPES - {"clock:drive"}), customer=number)
    attacker = Attacker(served, token)
    with contextlib.closing(attacker.http):
        yield (
            attacker,
            objects_of(banks_own, mallory, CARDS[0]),
            objects_of(banks_own, bob, CARDS[1]),
        )


def ask(attacker, operation, own, where, at, named):
    """Ask with own objects everywhere but at one place; gives the answer without that id."""
    query, changed = None, {}
    if where == "path":
        changed["path"] = path_of(operation, {**own, named[:3]: named})
    elif where == "query":
        query = {at[0]: named}
    else:
        changed["body"] = placed(body_of(operation, own), at, named)
    answer = attacker.ask(operation, own, query=query, **changed)
    return answer.status_code, answer.text.replace(named, "it")


class TestEveryPlaceForAnId:
    def test_has_an_object_of_its_kind(self, world):
        """The suite below knows an object of every kind that a customer's request can name."""
        _, own, bobs = world

        assert set(own) == set(bobs) == OWNED | CLOSED
        assert OWNED <= PREFIXES

    @pytest.mark.fault(44)
    @pytest.mark.parametrize(("operation", "where", "at", "prefix"), PLACES)
    def test_answers_alike_for_foreign_and_missing(self, world, operation, where, at, prefix):
        """Bob's object and one that never was: the same status, the same words."""
        attacker, own, bobs = world

        foreign = ask(attacker, operation, own, where, at, bobs[prefix])
        missing = ask(attacker, operation, own, where, at, MISSING[prefix])

        assert foreign == missing
        assert foreign[0] in ({403} if prefix in CLOSED else {200, 403, 404})

    @pytest.mark.fault(44)
    @pytest.mark.parametrize(("operation", "where", "at", "prefix"), PLACES)
    def test_shows_nothing_of_bob(self, world, operation, where, at, prefix):
        """Whatever is answered, none of Bob's ids is in it but the one that was asked for."""
        attacker, own, bobs = world

        _, text = ask(attacker, operation, own, where, at, bobs[prefix])

        assert not [theirs for theirs in bobs.values() if theirs in text]

    @pytest.mark.parametrize(
        ("operation", "where", "at", "prefix"),
        [place for place in PLACES if place.values[0].name not in DESTROYS | ABSENT],
    )
    def test_finds_what_is_own(self, world, operation, where, at, prefix):
        """An own object is found, unless the operation is closed to customers altogether."""
        attacker, own, _ = world

        status, _ = ask(attacker, operation, own, where, at, own[prefix])

        assert status != 404 or prefix in CLOSED
