"""Bodies that hold more than they should: hidden fields, endless texts, deep and huge JSON."""

import json
import socket

import pytest
from tests.security.conftest import MARK
from tests.security.described import (
    MISSING,
    OPERATIONS,
    SCHEMAS,
    SIGNED,
    WITH_BODY,
    WITHIN_REACH,
    body_of,
    members,
    path_of,
    placed,
    resolved,
    sample,
)

#: Names that languages know, and those that attackers try first.
KNOWN = {"__class__", "__dict__", "__proto__", "constructor", "prototype", "is_admin", "role", "id"}
#: Every name that any model of the interface gives a member.
NAMES = {name for schema in SCHEMAS.values() for name in schema.get("properties", {})}
#: The longest body of any operation, and one byte more than that of all others.
BULK = 4 * 1024 * 1024
PLAIN = 64 * 1024
#: What those cases ask that are not about one operation.
PLAINEST = next(one for one in OPERATIONS if one.name == "register_customer")
#: Operations whose bodies may be long.
LONG = {"post_journal", "post_journals"}

BOMBS = {
    "deep lists": b"[" * 30_000 + b"]" * 30_000,
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "unfinished lists": b"[" * 60_000,
    "a number of many digits": b"9" * 60_000,
    "a number with a huge exponent": b"1e999999999",
    "a fraction of many digits": b"0." + b"1" * 60_000,
    "no number": b"NaN",
    "an infinite number": b"Infinity",
    "one more than 64 bits": b"9223372036854775808",
    "a fraction": b"1.5",
    "a number as text": b'"1"',
    "half of a character": b'"\\ud800"',
    "a character that cannot be stored": b'"\\u0000"',
    "no character": b'"\xff\xfe"',
    "another encoding": '{"a":1}'.encode("utf-16"),
    "a mark of the byte order": b'\xef\xbb\xbf{"a":1}',
    "two values": b"{}{}",
    "a comment": b'{/**/"a":1}',
    "nothing": b"",
    "only null": b"null",
    "an entity": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
}


@pytest.fixture
def attacker(entitled, request):
    """Somebody who may ask the operation: only the body stands between him and the bank."""
    asked = getattr(request.node, "callspec", None)
    return entitled(
        asked.params["operation"] if asked and "operation" in asked.params else PLAINEST
    )


def objects(operation):
    """Where a body has objects: at its root and below."""
    yield ()
    for at, schema in members(operation.body):
        if schema.get("type") == "object":
            yield at


def texts(operation):
    """Where a body takes texts."""
    return [at for at, schema in members(operation.body) if schema.get("type") == "string"]


def numbers(operation):
    """Where a body takes whole numbers."""
    return [at for at, schema in members(operation.body) if schema.get("type") == "integer"]


class TestHiddenFields:
    @pytest.mark.fault(45)
    @pytest.mark.parametrize("operation", WITH_BODY, ids=str)
    def test_are_refused_whatever_their_name(self, attacker, operation, unchanged):
        """A member of any other model, anywhere in the body, is refused; nothing is done."""
        usual = body_of(operation, MISSING)
        answered = {}
        for at in objects(operation):
            schema = _schema_at(operation, at)
            if schema.get("additionalProperties", True) is not False:
                # What browsers make grows with them; what is proposed is read by its kind.
                assert at[0] in {"credential", "proof", "change"}
                continue
            own = set(schema.get("properties", {}))
            around = set(operation.body["properties"])
            for name in (KNOWN | (around if at else NAMES)) - own:
                answer = attacker.ask(operation, MISSING, body=placed(usual, (*at, name), MARK))
                answered[*at, name] = (answer.status_code, answer.json()["code"])

        assert set(answered.values()) == {(400, "body_invalid")}
        assert unchanged()

    @pytest.mark.fault(45)
    @pytest.mark.parametrize("operation", WITHIN_REACH, ids=str)
    def test_are_refused_in_queries_too(self, attacker, operation, unchanged):
        """A parameter of any other operation, and the members of the body, are refused."""
        other = {name for one in OPERATIONS for name in one.parameters} | {"scope", "access_token"}
        own = {name for name, (where, _) in operation.parameters.items() if where == "query"}

        answers = [
            attacker.ask(operation, MISSING, query={name: MARK}) for name in sorted(other - own)
        ]

        assert {(a.status_code, a.json()["code"]) for a in answers} == {(400, "query_invalid")}
        assert unchanged()


def _statuses(answer):
    """Statuses of what was asked: of each item, where many were asked at once."""
    if answer.status_code != 200:
        return {answer.status_code}
    return {one["status"] for one in answer.json()["results"]}


def _schema_at(operation, at):
    if not at:
        return operation.body
    return next(schema for place, schema in members(operation.body) if place == at)


class TestSizes:
    def test_are_bounded_in_the_description(self):
        """Every number and list of every request has a bound that clients can read."""
        unbounded = [
            f"{operation}: {'.'.join(map(str, at))}"
            for operation in OPERATIONS
            for at, schema in [
                *(((name,), resolved(s)) for name, (_, s) in operation.parameters.items()),
                *members(operation.body or {}),
            ]
            if (schema.get("type") == "array" and "maxItems" not in schema)
            or (
                schema.get("type") == "integer"
                and not {"maximum", "exclusiveMaximum"} & set(schema)
            )
        ]

        assert unbounded == []

    @pytest.mark.parametrize("operation", WITH_BODY, ids=str)
    def test_of_bodies_are_refused_beyond_the_bound(self, attacker, operation, unchanged):
        """A body of one byte more than the operation reads is refused, announced or not."""
        limit = BULK if operation.name in LONG else PLAIN
        body = b'{"' + b"a" * (limit - 1)

        whole = attacker.ask(operation, MISSING, content=body)
        pieces = attacker.ask(operation, MISSING, content=iter([body[:100], body[100:]]))

        assert [(a.status_code, a.json()["code"]) for a in (whole, pieces)] == [
            (413, "body_too_large")
        ] * 2
        assert unchanged()

    @pytest.mark.parametrize("operation", WITH_BODY, ids=str)
    def test_of_texts_are_refused_and_not_echoed(self, attacker, operation):
        """A text as long as the body may be is refused with a short answer, wherever it stands."""
        usual = body_of(operation, MISSING)
        endless = MARK * 6_000

        answers = [
            attacker.ask(operation, MISSING, body=placed(usual, at, endless))
            for at in texts(operation)
        ]

        for answer in answers:
            assert all(400 <= status < 500 for status in _statuses(answer))
            assert len(answer.content) < 2_000
            assert endless not in answer.text

    def test_of_heads_are_refused_beyond_the_bound(self, attacker):
        """A long header, many headers and a long path end the connection with a reason."""
        longer = "x" * 40_000
        many = {f"x-{number}": "x" * 900 for number in range(50)}
        ask = attacker.http.get

        assert ask("/v1/customers", headers={"x-long": longer}).status_code == 431
        assert ask("/v1/customers", headers=many).status_code == 431
        assert ask(f"/v1/customers/{longer}").status_code in {404, 414, 431}

    @pytest.mark.parametrize("limit", ["0", "-1", "501", "1e9", "9" * 30, "true", "", "٣"])
    @pytest.mark.parametrize(
        "operation", [one for one in WITHIN_REACH if "limit" in one.parameters], ids=str
    )
    def test_of_pages_are_refused_beyond_the_bound(self, attacker, operation, limit):
        """Nobody gets a page of nothing, of everything, or of what is no number."""
        answer = attacker.ask(operation, MISSING, query={"limit": limit})

        assert (answer.status_code, answer.json()["code"]) == (400, "query_invalid")


class TestBombs:
    @pytest.mark.fault(57)
    @pytest.mark.parametrize("operation", WITH_BODY, ids=str)
    def test_as_bodies_are_refused(self, attacker, operation, unchanged):
        """Deep, huge or broken JSON is no body: refused by a short answer, nothing is done."""
        for name, bomb in BOMBS.items():
            answer = attacker.ask(operation, MISSING, content=bomb)

            assert answer.status_code == 400, name
            assert answer.json()["code"] in {"body_malformed", "body_invalid"}, name
            assert len(answer.content) < 2_000, name
        assert unchanged()

    @pytest.mark.fault(57)
    @pytest.mark.parametrize("operation", SIGNED, ids=str)
    def test_in_callbacks_are_refused_unread(self, attacker, operation):
        """What nobody has signed is refused before it is read."""
        for name, bomb in BOMBS.items():
            answer = attacker.ask(operation, MISSING, content=bomb)

            assert (answer.status_code, answer.json()["code"]) == (401, "callback_unsigned"), name

    @pytest.mark.fault(57)
    @pytest.mark.parametrize("operation", [one for one in WITH_BODY if numbers(one)], ids=str)
    def test_as_amounts_are_refused(self, attacker, operation, unchanged):
        """In the place of a whole number nothing else is taken for one."""
        body = placed(body_of(operation, MISSING), numbers(operation)[0], "(here)")
        around = json.dumps(body).encode()

        # Where a number may be absent, null says so.
        for name in set(BOMBS) - {"only null"}:
            content = around.replace(b'"(here)"', BOMBS[name])
            answer = attacker.ask(operation, MISSING, content=content)

            assert answer.status_code == 400, name
        assert unchanged()

    @pytest.mark.fault(57)
    @pytest.mark.parametrize("operation", WITH_BODY, ids=str)
    def test_of_repeated_members_never_count_twice(self, attacker, operation, unchanged):
        """A body that says its first member twice, wrong then right, is no way around a check."""
        name = next(iter(operation.body["properties"]))
        usual = json.dumps({name: sample(operation.body["properties"][name], MISSING)})
        hidden = usual[:-1] + f', "{name}": {{"{MARK}": 1}}}}'

        answer = attacker.ask(operation, MISSING, content=hidden.encode())

        assert (answer.status_code, answer.json()["code"]) == (400, "body_invalid")
        assert unchanged()

    @pytest.mark.fault(57)
    def test_leave_the_bank_alive(self, attacker, served):
        """After a connection that sends bombs one after the other, others are served."""
        host, port = served.url.removeprefix("http://").split(":")
        head = f"POST {path_of(PLAINEST, MISSING)} HTTP/1.1\r\nhost: x\r\n"
        with socket.create_connection((host, int(port)), timeout=20) as wire:
            for bomb in BOMBS.values():
                wire.sendall(f"{head}content-length: {len(bomb)}\r\n\r\n".encode() + bomb)

        assert attacker.http.get("/health/ready").status_code == 200


class TestTexts:
    @pytest.mark.fault(57)
    @pytest.mark.parametrize(
        "text",
        [
            "'; DROP TABLE ledger.account; --",
            '" OR 1=1 --',
            "$(reboot)",
            "`id`",
            "{{7*7}}",
            "${jndi:ldap://localhost/a}",
            "../../../../etc/passwd",
            "=cmd|'/c calc'!A1",
            "%s%s%n{0.__class__}",
            "<script>alert(1)</script>",
            "a\r\nset-cookie: b=c",
            "\x1b[31mred",
            "\u202ebackwards",
        ],
    )
    def test_that_mean_something_elsewhere_are_only_texts_here(self, attacker, banks_own, text):
        """What a language would obey is kept and shown as it came, in JSON."""
        message = f"{text} {MARK}"
        order = {"amount_minor": 1, "currency": "EUR", "message": message}
        order["debit_account_id"] = banks_own.account(funds=1)
        order["credit_account_id"] = banks_own.account()
        made = banks_own.post("/v1/payments", order)
        why = {"purpose": "investigation", "reason": "case:1"}

        found = banks_own.post(f"/v1/payments/{made.json()['id']}/message/read", why)

        assert made.status_code == 201
        assert found.json()["message"] == message
        assert found.headers["content-type"] == "application/json"
        assert "set-cookie" not in found.headers
        code = {"reference": message, "kind": "person"}
        refused = attacker.http.post("/v1/customers", json=code)
        assert (refused.status_code, refused.json()["code"]) == (422, "reference_unfit")
        assert text not in refused.json()["detail"]
