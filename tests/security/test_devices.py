"""Customers against each other, and thieves without their devices: every operation of sessions."""

import base64
import hashlib
import json
import time
import uuid
from dataclasses import dataclass, field

import pytest
from tests.security.conftest import TRAIL, DeviceAttacker
from tests.security.described import (
    MISSING,
    OF_CUSTOMERS,
    body_of,
    path_of,
    placed,
    query_of,
)
from tests.security.test_foreign_objects import places

from scudo.fabric.settings import ORIGIN_DEFAULT
from scudo.identity.dpop import AHEAD_S, WINDOW_S
from scudo.simulation import DeviceKey, Phone

#: Where the bank, a network or another person's purse stands: open to clients and no session.
CLOSED = {"authorise_card", "capture_authorisation", "reverse_authorisation"}
CLOSED |= {"raise_authorisation", "get_journal", "list_mandates", "list_refunds"}
#: Where somebody else's account may be named: whom money goes to.
PAYEES = {("pay", "credit_account_id"), ("begin_step_up", "payee_account_id")}
#: A payment without one has no message to read.
ABSENT = {"get_payment_message"}
#: What a payment of a step-up is, is found out when it is spent: nothing is looked up before.
UNREAD = {("begin_step_up", "payment_id")}
OPEN = [one for one in OF_CUSTOMERS if one.name not in CLOSED]


PLACES = [
    pytest.param(operation, where, at, prefix, id=f"{operation}-{'.'.join(map(str, at))}")
    for operation in OPEN
    for where, at, prefix in places(operation)
    if (operation.name, at[-1]) not in PAYEES | UNREAD
]


@dataclass
class Customer:
    """Somebody with a phone, and one of everything that a session can name."""

    attacker: DeviceAttacker
    own: dict[str, str] = field(default_factory=dict)

    @property
    def phone(self) -> Phone:
        return self.attacker.phone


def payment(phone, debit, credit, amount, **more):
    """Order one; gives the answer's body."""
    body = {
        "debit_account_id": debit,
        "credit_account_id": credit,
        "amount_minor": amount,
        "currency": "EUR",
    }
    return phone.order("/v1/payments", body | more).json()


def step_up(phone, large, amount, payee):
    """Begin one for a payment that waits; gives the answer's body."""
    details = {
        "payment_id": large,
        "amount_minor": amount,
        "currency": "EUR",
        "payee_account_id": payee,
    }
    asked = phone.post("/v1/step-ups", {"act": "payment", "payment": details})
    assert asked.status_code == 201, asked.text
    return asked.json()


def furnish(served, bank, customer):
    """Open accounts, pay, and leave a payment that waits with its step-up."""
    phone = customer.phone
    own = bank.account(phone.customer, funds=10_000_00)
    usual, stranger = bank.account(), bank.account()
    for _ in range(3):
        assert payment(phone, own, usual, 10_00)["status"] == "settled"
    large = payment(phone, own, stranger, 1_000_00, message="for the boat")
    assert large["status"] == "challenged", large
    asked = step_up(phone, large["id"], 1_000_00, stranger)
    me = phone.get("/v1/me").json()
    challenge = phone.post("/v1/passkeys/challenges").json()["challenge_id"]
    customer.own = {
        "cus": phone.customer,
        "ses": phone.session,
        "psk": me["passkeys"][0]["id"],
        "acc": own,
        "pay": large["id"],
        "dec": large["decision_id"],
        "jnl": bank.fund(own, 1).json()["id"],
        "stp": asked["step_up_id"],
        "chl": challenge,
        "payee": stranger,
    }


@pytest.fixture(scope="module")
def bob(served, banks_own, customer_with_phone):
    """The one who is attacked: what is his stands as it was when all is over."""
    attacker = DeviceAttacker(served, customer_with_phone())
    customer = Customer(attacker)
    furnish(served, banks_own, customer)
    before = standing(customer)
    yield customer
    assert standing(customer) == before
    attacker.http.close()


@pytest.fixture(scope="module")
def mal(served, banks_own, customer_with_phone):
    """The one who attacks, with one of everything as well."""
    attacker = DeviceAttacker(served, customer_with_phone())
    customer = Customer(attacker)
    furnish(served, banks_own, customer)
    yield customer
    attacker.http.close()


def standing(customer):
    """How somebody's things stand, by their own device."""
    phone, own = customer.phone, customer.own
    seen = [
        phone.get("/v1/me"),
        phone.get("/v1/sessions"),
        phone.get(f"/v1/payments/{own['pay']}"),
        phone.get(f"/v1/accounts/{own['acc']}/balance"),
        phone.get("/v1/payments"),
    ]
    assert {answer.status_code for answer in seen} == {200}, [answer.text for answer in seen]
    bodies = [answer.json() for answer in seen]
    # When a session was last used is not what it is.
    bodies[1] = [one["id"] for one in bodies[1]["items"]]
    return bodies


def ask(mal, operation, where, at, named):
    """Ask with own things everywhere but at one place; gives the answer without that id."""
    query, changed = None, {}
    if operation.name == "add_passkey" and at != ("challenge_id",):
        # One that was answered is used up, and that is all that would be said.
        mal.own["chl"] = mal.phone.post("/v1/passkeys/challenges").json()["challenge_id"]
    if where == "path":
        changed["path"] = path_of(operation, {**MISSING, **mal.own, named[:3]: named})
    elif where == "query":
        query = {at[0]: named}
    else:
        changed["body"] = placed(body_of(operation, {**MISSING, **mal.own}), at, named)
    answer = mal.attacker.ask(operation, {**MISSING, **mal.own}, query=query, **changed)
    return answer.status_code, answer.text.replace(named, "it")


def without_waiting(answer):
    """What was answered, but for how long to wait."""
    status, text = answer
    told = json.loads(text) if text else {}
    return status, {name: told.get(name) for name in ("code", "detail", "field", "items")}


class TestForeignThings:
    @pytest.mark.fault(44)
    @pytest.mark.parametrize(("operation", "where", "at", "prefix"), PLACES)
    def test_are_answered_like_missing_ones(self, mal, bob, operation, where, at, prefix):
        """Bob's thing and one that never was: the same status, the same words, nothing of his."""
        foreign = ask(mal, operation, where, at, bob.own[prefix])
        missing = ask(mal, operation, where, at, MISSING[prefix])

        assert without_waiting(foreign) == without_waiting(missing)
        theirs = [text for text in bob.own.values() if isinstance(text, str)]
        assert not [text for text in theirs if text in foreign[1]]

    @pytest.mark.parametrize(
        ("operation", "where", "at", "prefix"),
        [
            place
            for place in PLACES
            if place.values[0].method == "GET" and place.values[0].name not in ABSENT
        ],
    )
    def test_are_found_when_they_are_own(self, mal, operation, where, at, prefix):
        """The same request finds a thing of one's own, so the one above fails for its owner."""
        status, _ = ask(mal, operation, where, at, mal.own[prefix])

        assert status == 200

    @pytest.mark.fault(44)
    def test_of_a_step_up_open_no_payment(self, mal, bob):
        """A step-up is asked for Bob's payment, and passed: nothing of Bob's goes on by it."""
        phone, theirs = mal.phone, bob.own
        asked = step_up(phone, theirs["pay"], 1_000_00, theirs["payee"])
        proof = {"credential": phone.passkeys.get(asked["public_key"])}
        passed = phone.post(f"/v1/step-ups/{asked['step_up_id']}/proof", proof)
        assert passed.status_code == 204

        body = {"step_up_id": asked["step_up_id"]}
        answer = phone.order(f"/v1/payments/{theirs['pay']}/confirmation", body)

        assert (answer.status_code, answer.json()["code"]) == (404, "payment_not_found")

    @pytest.mark.fault(44)
    def test_of_a_step_up_are_not_proven_by_another_passkey(self, mal, bob):
        """Bob's challenge, answered by Mallory's passkey, and hers by his: neither is a proof."""
        for customer, other in ((mal, bob), (bob, mal)):
            own = customer.own
            asked = step_up(customer.phone, own["pay"], 1_000_00, own["payee"])
            challenge = {**asked["public_key"], "allowCredentials": []}
            proof = {"credential": other.phone.passkeys.get(challenge)}
            path = f"/v1/step-ups/{asked['step_up_id']}/proof"

            answer = mal.phone.post(path, proof)

            expected = "step_up_refused" if customer is mal else "step_up_not_found"
            assert answer.json()["code"] == expected

    @pytest.mark.fault(44)
    def test_of_one_act_open_no_other(self, mal, served, banks_own):
        """A passed step-up is good for its payment, amount and payee: not for a second payment."""
        phone, own = mal.phone, mal.own
        other = payment(phone, own["acc"], banks_own.account(), 1_000_00)
        assert other["status"] == "challenged"
        asked = step_up(phone, own["pay"], 1_000_00, own["payee"])
        proof = {"credential": phone.passkeys.get(asked["public_key"])}
        passed = phone.post(f"/v1/step-ups/{asked['step_up_id']}/proof", proof)
        assert passed.status_code == 204

        body = {"step_up_id": asked["step_up_id"]}
        answer = phone.order(f"/v1/payments/{other['id']}/confirmation", body)

        assert (answer.status_code, answer.json()["code"]) == (403, "step_up_needed")
        assert phone.get(f"/v1/payments/{other['id']}").json()["status"] == "challenged"


class TestClosedOperations:
    def test_are_those_that_were_meant_to_be(self):
        """What a session's scopes would open and sessions may not ask is on this list."""
        assert {one.name for one in OF_CUSTOMERS} >= CLOSED

    @pytest.mark.fault(46)
    @pytest.mark.parametrize(
        "operation", [one for one in OF_CUSTOMERS if one.name in CLOSED], ids=str
    )
    def test_refuse_sessions(self, mal, operation):
        """Card authorisations come from a network: a session gets around no step-up by one."""
        answer = mal.attacker.ask(operation, {**MISSING, **mal.own})

        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")

    @pytest.mark.fault(46)
    def test_lead_around_no_step_up(self, mal, banks_own):
        """What is too much for a payment is not sent as a card authorisation instead."""
        payee = banks_own.account()
        body = {
            "account_id": mal.own["acc"],
            "amount_minor": 1_000_00,
            "currency": "EUR",
            "merchant_account_id": payee,
            "device": "known for years",
            "capture": True,
        }

        answer = mal.phone.order("/v1/card-authorisations", body)

        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
        assert banks_own.balance(payee) == (0, 0, 0)


def unsigned(phone, method, path):
    """A proof that says it needs no signature."""
    header, claims, _ = phone.proof(method, path).split(".")
    told = json.loads(base64.urlsafe_b64decode(header + "=="))
    bare = base64.urlsafe_b64encode(json.dumps({**told, "alg": "none"}).encode()).rstrip(b"=")
    return f"{bare.decode()}.{claims}."


def bent(phone, method, path):
    """A proof whose claims were changed after it was signed."""
    header, claims, signature = phone.proof(method, path).split(".")
    told = json.loads(base64.urlsafe_b64decode(claims + "=="))
    other = json.dumps({**told, "jti": str(uuid.uuid4())}).encode()
    return f"{header}.{base64.urlsafe_b64encode(other).rstrip(b'=').decode()}.{signature}"


def of_another_key(phone, method, path):
    """A proof that is whole, by the key of another device."""
    return DeviceKey().proof(method, ORIGIN_DEFAULT + path, token=phone.access, nonce=phone.nonce)


def by_hmac(phone, method, path):
    """A proof that names the public key as a shared secret."""
    return phone.key.proof(
        method, ORIGIN_DEFAULT + path, token=phone.access, header={"alg": "HS256"}
    )


def elsewhere(origin):
    """A proof for the same path of another place."""
    return lambda phone, method, path: phone.key.proof(
        method, origin + path, token=phone.access, nonce=phone.nonce
    )


def hashed(token):
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()


#: Proofs that are no proof of the request that they come with, and what each is refused with.
PROOFS = {
    "none": (lambda *_: None, "proof_missing"),
    "not a proof": (lambda *_: "e30.e30.e30", "proof_malformed"),
    "endless": (lambda *_: "a" * 3_000, "proof_malformed"),
    "of another key": (of_another_key, "key_mismatched"),
    "unsigned": (unsigned, "proof_malformed"),
    "by another algorithm": (by_hmac, "proof_malformed"),
    "changed": (bent, "proof_malformed"),
    "of another type": (
        lambda phone, method, path: phone.key.proof(
            method, ORIGIN_DEFAULT + path, token=phone.access, header={"typ": "JWT"}
        ),
        "proof_malformed",
    ),
    "for another method": (
        lambda phone, method, path: phone.proof("PUT" if method != "PUT" else "POST", path),
        "proof_mismatched",
    ),
    "for another path": (
        lambda phone, method, path: phone.proof(method, path + "/more"),
        "proof_mismatched",
    ),
    "for another host": (elsewhere("https://mallory.example"), "proof_mismatched"),
    "for another scheme": (
        elsewhere(ORIGIN_DEFAULT.replace("http:", "https:")),
        "proof_mismatched",
    ),
    "for another token": (
        lambda phone, method, path: phone.proof(method, path, ath=hashed("at_another")),
        "proof_mismatched",
    ),
    "for no token": (
        lambda phone, method, path: phone.proof(method, path, ath=None),
        "proof_mismatched",
    ),
    "expired": (
        lambda phone, method, path: phone.proof(method, path, iat=int(time.time()) - WINDOW_S - 5),
        "proof_expired",
    ),
    "of the future": (
        lambda phone, method, path: phone.proof(method, path, iat=int(time.time()) + AHEAD_S + 30),
        "proof_expired",
    ),
    "of no time": (
        lambda phone, method, path: phone.proof(method, path, iat=None),
        "proof_malformed",
    ),
    "without name": (
        lambda phone, method, path: phone.proof(method, path, jti=""),
        "proof_malformed",
    ),
    "with the nonce of another bank": (
        lambda phone, method, path: phone.proof(method, path, nonce="of another bank"),
        "proof_nonce_needed",
    ),
}
#: Refusals after which the token is good no longer: only a thief sends such a request.
DEADLY = {"proof_missing", "key_mismatched"}


class TestThieves:
    @pytest.fixture
    def victim(self, mal):
        """A session whose tokens are new."""
        assert mal.phone.get("/v1/me").status_code == 200 or mal.phone.log_in().status_code == 201
        return mal

    @pytest.fixture
    def nothing_done(self, unchanged):
        """See that the log tells of refusals, log-ins and nothing else."""
        yield
        assert unchanged(allowed=TOLD)

    def request(self, victim, operation):
        """Method, path, and the rest of an honest request."""
        own = {**MISSING, **victim.own}
        given = {"params": query_of(operation, own)}
        if operation.takes_json:
            given["json"] = body_of(operation, own)
        return operation.method, path_of(operation, own), given

    def send(self, victim, operation, *, headers):
        method, path, given = self.request(victim, operation)
        headers = {"idempotency-key": str(uuid.uuid4())} | headers
        return victim.attacker.http.request(method, path, headers=headers, **given)

    @pytest.mark.fault(50)
    @pytest.mark.parametrize("operation", OF_CUSTOMERS, ids=str)
    def test_get_nowhere_by_a_proof_of_something_else(self, victim, nothing_done, operation):
        """Missing, bent, old, of the future, of another key, method, address or token: no proof."""
        phone = victim.phone
        method, path, _ = self.request(victim, operation)
        found = {}
        for name, (make, _) in PROOFS.items():
            if phone.access is None or found.get("last") in DEADLY:
                assert phone.log_in().status_code == 201
            proof = make(phone, method, path)
            headers = {"authorization": f"DPoP {phone.access}"}
            answer = self.send(
                victim, operation, headers=headers | ({"dpop": proof} if proof else {})
            )
            assert answer.status_code == 401, (name, answer.text)
            found[name] = found["last"] = answer.json()["code"]

        del found["last"]
        assert found == {name: code for name, (_, code) in PROOFS.items()}

    @pytest.mark.fault(50)
    @pytest.mark.parametrize("operation", OF_CUSTOMERS, ids=str)
    def test_get_nowhere_by_what_was_sent_before(self, victim, nothing_done, operation):
        """A proof that was used for the very request is no proof of it again."""
        phone = victim.phone
        method, path, _ = self.request(victim, operation)
        proof = phone.proof(method, path)
        # It is used by a request that is refused after that, for its query: nothing is done.
        first = victim.attacker.http.request(
            method,
            path,
            headers={
                "authorization": f"DPoP {phone.access}",
                "dpop": proof,
                "idempotency-key": str(uuid.uuid4()),
            },
            params={"no": "such"},
        )
        assert first.json()["code"] in {"query_invalid", "scope_missing"}, first.text

        again = self.send(
            victim, operation, headers={"authorization": f"DPoP {phone.access}", "dpop": proof}
        )

        assert (again.status_code, again.json()["code"]) == (401, "proof_replayed")

    @pytest.mark.fault(49)
    @pytest.mark.parametrize("operation", OF_CUSTOMERS, ids=str)
    def test_get_nowhere_by_a_token_of_another_audience(
        self, served, victim, nothing_done, operation
    ):
        """A refresh token, a client's, a cut one and none at all open nothing by a good proof."""
        phone = victim.phone
        method, path, _ = self.request(victim, operation)
        for token in (phone.refresh, served.token, phone.access[:-1]):
            proof = phone.key.proof(method, ORIGIN_DEFAULT + path, token=token, nonce=phone.nonce)
            answer = self.send(
                victim, operation, headers={"authorization": f"DPoP {token}", "dpop": proof}
            )
            assert (answer.status_code, answer.json()["code"]) == (401, "token_unknown")
        proof = phone.proof(method, path)
        answer = self.send(victim, operation, headers={"dpop": proof})
        assert (answer.status_code, answer.json()["code"]) == (401, "token_missing")

    @pytest.mark.fault(50)
    @pytest.mark.parametrize("operation", OF_CUSTOMERS, ids=str)
    def test_get_nowhere_by_the_token_alone(self, victim, nothing_done, operation):
        """As a bearer token it opens nothing, and is good for nobody from then on."""
        phone = victim.phone
        if phone.get("/v1/me").status_code != 200:
            assert phone.log_in().status_code == 201

        answer = self.send(victim, operation, headers={"authorization": f"Bearer {phone.access}"})

        assert (answer.status_code, answer.json()["code"]) == (401, "proof_missing")
        assert phone.get("/v1/me").json()["code"] == "token_unknown"


#: What thefts and their victims leave in the log.
TOLD = TRAIL | {
    "identity.session.misused.v1",
    "identity.session.ended.v1",
    "identity.session.refreshed.v1",
}
