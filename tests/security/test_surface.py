"""Every route of the document, attacked in the ways that the document itself suggests.

OWASP API Security Top 10 (2023): object level (1), property level (3), resources (4), function
level (5). A route that is added is attacked from then on.
"""

import io
import json
import re
import uuid

import pytest

from scudo.governance import find_in_text
from scudo.identity import SCOPES
from scudo.interfaces.table import describe_without_bank
from scudo.kernel import Prefix, ids

DOCUMENT = describe_without_bank()
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
SCOPE_OF = {
    name: next(iter(operation["security"][0].values()))[0]
    for name, (_, _, operation) in OPERATIONS.items()
    if operation.get("security") and next(iter(operation["security"][0].values()))
}
#: What a token of a client may hold; others are given in other ways.
SCOPED = sorted(name for name, scope in SCOPE_OF.items() if scope in SCOPES)
TAKING = sorted(name for name in SCOPED if "requestBody" in OPERATIONS[name][2])
EVERY_FIELD = sorted({field for s in SCHEMAS.values() for field in s.get("properties", ())})
ALL = SCOPES - {"clock:drive"}
PAN = "4111111111111111"


def example_of(name):
    """A body that is documented as an example; None for an operation that has none."""
    content = OPERATIONS[name][2].get("requestBody", {}).get("content", {})
    return content.get("application/json", {}).get("example")


def properties_of(name):
    schema = OPERATIONS[name][2]["requestBody"]["content"]["application/json"]["schema"]
    return SCHEMAS[schema["$ref"].rpartition("/")[2]]["properties"]


def fill(path, value):
    """A path whose templates all have ids of one number, each with the prefix it documents."""
    return re.sub(r"{(\w+)}", lambda match: value(match.group(1)), path)


def absent(name):
    _, path, operation = OPERATIONS[name]
    patterns = {p["name"]: p["schema"].get("pattern", "") for p in operation["parameters"]}

    def one(template):
        prefix = re.match(r"\^(\w+)_", patterns[template])
        return f"{prefix.group(1)}_7fffffffffffffff" if prefix else f"absent-{uuid.uuid4().hex}"

    return fill(path, one)


def ask(teller, name, path, *, body=None):
    method = OPERATIONS[name][0]
    headers = {} if method == "GET" else {"idempotency-key": uuid.uuid4().hex}
    if "requestBody" in OPERATIONS[name][2] and body is None:
        body = example_of(name) or {}
    parameters = OPERATIONS[name][2]["parameters"]
    query = {
        p["name"]: p["schema"].get("enum", ["case_1"])[0]
        for p in parameters
        if p["in"] == "query" and p.get("required")
    }
    return teller.http.request(method, path, json=body, params=query, headers=headers)


@pytest.fixture(scope="module")
def world(served):
    """Ann's own client, and one object of Bob of each kind."""
    everybody = served.teller(served.token)
    ann, bob = everybody.customer(), everybody.customer()
    account = everybody.account(bob, funds=1_000)
    body = {"account_id": account, "amount_minor": 10, "currency": "EUR"}
    payment = everybody.post("/v1/card-authorisations", body).json()
    journal = everybody.fund(account, 1).json()["id"]
    number = ids.parse(Prefix.CUSTOMER, ann)
    client = served.teller(served.token_for(*ALL, customer=number))
    yield {
        "client": client,
        "customer_id": bob,
        "account_id": account,
        "payment_id": payment["id"],
        "decision_id": payment["decision_id"],
        "journal_id": journal,
    }
    client.http.close()
    everybody.http.close()


def owned(name):
    templates = re.findall(r"{(\w+)}", OPERATIONS[name][1])
    known = {"customer_id", "account_id", "payment_id", "decision_id", "journal_id"}
    return bool(templates) and known.issuperset(templates)


class TestObjects:
    @pytest.mark.parametrize("name", [name for name in SCOPED if owned(name)])
    def test_of_others_look_as_if_they_were_none(self, world, name):
        """Same status, code, field and length of the answer; nothing of it is done."""
        foreign = ask(world["client"], name, fill(OPERATIONS[name][1], world.__getitem__))
        none = ask(world["client"], name, absent(name))

        assert foreign.status_code == none.status_code
        # A bank without its vault answers neither about a person.
        assert foreign.status_code in {403, 404, 503}
        assert foreign.content == none.content


class TestFunctions:
    @pytest.mark.parametrize("name", SCOPED)
    def test_are_for_those_who_have_the_scope(self, teller_for, name):
        """A client with every other scope is refused, before anything of the request is read."""
        answer = ask(teller_for(*(ALL - {SCOPE_OF[name]})), name, absent(name))

        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")

    @pytest.mark.parametrize("name", SCOPED)
    def test_are_for_nobody_without_a_token(self, served, name):
        """Without a token, and with one that nobody was given."""
        method, _, _ = OPERATIONS[name]
        for token in ("", "Bearer", f"Bearer {'x' * 43}", "Basic YTpi"):
            teller = served.teller("unused")
            teller.http.headers["authorization"] = token
            with teller.http as http:
                answer = http.request(method, absent(name))
            assert answer.status_code == 401, token

    def test_are_all_behind_a_scope_that_is_known_or_open_on_purpose(self):
        """What strangers may call is a list that is read here."""
        opened = {name for name in OPERATIONS if name not in SCOPE_OF}

        assert {"get_liveness", "get_readiness", "get_openapi"} <= opened
        assert not any(name.startswith(("post_", "approve_", "issue_")) for name in opened)


class TestProperties:
    @pytest.mark.parametrize("name", TAKING)
    def test_that_are_not_documented_are_refused(self, teller, name):
        """Every field of every model is sent along with a body that is well."""
        example = example_of(name)
        if example is None:
            pytest.skip(f"{name} documents no example of its body")
        path = absent(name)
        for field in sorted(set(EVERY_FIELD) - set(properties_of(name))):
            answer = ask(teller, name, path, body=example | {field: None})
            assert answer.status_code in {400, 422}, field
            assert answer.json()["code"] == "body_invalid", field


#: Bodies that no parser should take apart, each with what it tries.
BOMBS = {
    "deep arrays": b"[" * 30_000,
    "deep objects": b'{"a":' * 10_000,
    "closed deep arrays": b"[" * 15_000 + b"]" * 15_000,
    "a number without end": b"1" * 60_000,
    "a number beyond all": b"1e999999999",
    "not a number": b"NaN",
    "half a pair": b'"\\ud800"',
    "not UTF-8": b'"\xff\xfe"',
    "nothing": b"",
    "two documents": b"{}{}",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "an XML entity": b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
}


class TestBodies:
    @pytest.mark.parametrize("bomb", BOMBS)
    @pytest.mark.parametrize("name", TAKING)
    def test_that_are_bombs_are_refused(self, teller, name, bomb):
        """Four hundred and something, and the bank answers the next request."""
        headers = {"content-type": "application/json", "idempotency-key": uuid.uuid4().hex}
        answer = teller.http.request(
            OPERATIONS[name][0], absent(name), content=BOMBS[bomb], headers=headers
        )

        assert 400 <= answer.status_code < 500
        assert teller.get("/v1/customers").status_code == 200

    @pytest.mark.parametrize("name", TAKING)
    def test_that_are_too_long_are_refused_unread(self, teller, name):
        """More than the most that any operation takes."""
        headers = {"content-type": "application/json", "idempotency-key": uuid.uuid4().hex}
        answer = teller.http.request(
            OPERATIONS[name][0], absent(name), content=b" " * (5 << 20), headers=headers
        )

        assert answer.status_code == 413


class TestSizes:
    @pytest.mark.parametrize("limit", ["0", "-1", "501", "99999999999999999999", "1e9", "٣"])
    def test_of_pages_are_bounded(self, teller, limit):
        """Every list refuses a page that is too large, or no number."""
        lists = [
            name
            for name in SCOPED
            if any(p["name"] == "limit" for p in OPERATIONS[name][2]["parameters"])
        ]
        assert len(lists) >= 3
        for name in lists:
            answer = teller.http.get(absent(name), params={"limit": limit})
            assert answer.status_code in {400, 404, 422}, name

    def test_of_headers_and_paths_are_bounded(self, teller):
        """A head that is too large is refused, whatever it is made of."""
        long = "x" * 40_000
        assert teller.http.get("/v1/customers", headers={"x-long": long}).status_code == 431
        many = {f"x-{number}": "x" * 900 for number in range(50)}
        assert teller.http.get("/v1/customers", headers=many).status_code == 431
        assert teller.http.get(f"/v1/customers/{long}").status_code in {404, 414, 431}


INJECTIONS = [
    'x\r\n{"event":"forged","level":"info"}',
    "\x1b[2J\x1b[1;31mforged\x07",
    "${jndi:ldap://127.0.0.1/forged}",
    "{0.__class__.__mro__}",
    "'; DROP TABLE forged; --",
]


class TestLogs:
    def test_hold_no_secret_and_no_line_of_somebody_else(self, served, captured):
        """Payloads, the token and a card number are sent wherever a request has room for them."""
        teller = served.teller(served.token)
        with teller.http as http:
            for payload in (*INJECTIONS, PAN):
                clean = re.sub(r"[^ -~]", "", payload)
                for path in (f"/v1/customers/{clean}", f"/{clean}", f"/v1/payments?cursor={clean}"):
                    http.get(path, headers={"user-agent": clean, "traceparent": clean})
                for token in (clean, served.token):
                    http.get("/v1/customers", headers={"authorization": f"Bearer {token}{clean}"})
                http.post("/v1/customers", content=payload.encode(), headers={"x": clean})
                http.post(
                    "/v1/customers",
                    json={"reference": payload, "kind": payload, "country": 756},
                    headers={"idempotency-key": clean.replace(" ", "") or "k"},
                )
        served.run(_log_a_fault(served.token))

        lines = captured.getvalue().splitlines()
        assert lines, "something was logged"
        assert problems(lines, secrets=[served.token]) == []

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            ("forged", "no JSON"),
            ('{"event":"x"} forged', "no JSON"),
            ('{"event":"a","token":"s3cr3t-of-somebody"}', "secret"),
            ('{"event":"a","text":"4111 1111 1111 1111"}', "card"),
            ('{"event":"a","text":"a@b.example"}', "email"),
            ('{"event":"a","text":"forged"}', "forged"),
        ],
    )
    def test_are_looked_through_by_a_scanner_that_finds_what_is_planted(self, line, problem):
        """The scanner of the test above can fail."""
        assert problems([line], secrets=["s3cr3t-of-somebody"])[0][0] == problem


async def _log_a_fault(token):
    """Log an exception whose message quotes what must not be told."""
    import structlog  # noqa: PLC0415 - configured by the fixture just now

    try:
        int(f"{token} {PAN}")
    except ValueError:
        structlog.get_logger("scudo.test").exception("fault")


def problems(lines, *, secrets):
    """What is wrong with lines of a log: what it is, and the line's number."""
    found = []
    for number, line in enumerate(lines):
        try:
            json.loads(line)
        except ValueError:
            found.append(("no JSON", number))
        if any(secret in line for secret in secrets):
            found.append(("secret", number))
        if "forged" in line:
            found.append(("forged", number))
        found += [(kind, number) for kind in find_in_text(line)]
    return found


def test_the_scanner_reads_what_the_fixture_captures(captured: io.StringIO):
    """A line that is logged arrives."""
    import structlog  # noqa: PLC0415 - configured by the fixture just now

    structlog.get_logger("scudo.test").info("said", number=7)

    assert json.loads(captured.getvalue())["number"] == 7
