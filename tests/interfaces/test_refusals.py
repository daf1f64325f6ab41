"""What the HTTP layer refuses by itself, and the shape in which every refusal leaves."""

import json
import re
import string

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from scudo.interfaces.http import Check, Limits

JSON = {"content-type": "application/json"}
KEYED = {**JSON, "idempotency-key": "order-1"}
GOOD = b'{"title":"a","amount":1}'

# fmt: off
# name: method, path, token, headers, body, status, code, field
CASES = {
    "unknown path": ("GET", "/v1/nothing", None, {}, b"", 404, "route_unknown", None),
    "trailing slash": ("GET", "/v1/notes/", "reader", {}, b"", 404, "route_unknown", None),
    "empty segment": ("POST", "/v1/notes//wait", "writer", {}, b"", 404, "route_unknown", None),
    "root": ("GET", "/", None, {}, b"", 404, "route_unknown", None),
    "wrong method": ("DELETE", "/v1/notes", None, {}, b"", 405, "method_not_allowed", None),
    "odd method": ("BREW", "/v1/notes/x", None, {}, b"", 405, "method_not_allowed", None),
    "HEAD of a POST": ("HEAD", "/v1/bulk", None, {}, b"", 405, "method_not_allowed", None),
    "no token": ("GET", "/v1/notes", None, {}, b"", 401, "token_missing", None),
    "empty token": ("GET", "/v1/notes", "", {}, b"", 401, "token_missing", None),
    "basic": ("GET", "/v1/notes", None, {"authorization": "Basic eA=="}, b"", 401, "token_missing",
              None),
    "unknown token": ("GET", "/v1/notes", "guess", {}, b"", 401, "token_unknown", None),
    "no scope": ("POST", "/v1/notes", "reader", KEYED, GOOD, 403, "scope_missing", None),
    "no key": ("POST", "/v1/notes", "writer", JSON, GOOD, 400, "idempotency_key_missing",
               "idempotency-key"),
    "empty key": ("POST", "/v1/notes", "writer", {**JSON, "idempotency-key": ""}, GOOD, 400,
                  "idempotency_key_malformed", "idempotency-key"),
    "key with a space": ("POST", "/v1/notes", "writer", {**JSON, "idempotency-key": "a b"}, GOOD,
                         400, "idempotency_key_malformed", "idempotency-key"),
    "key with an umlaut": ("POST", "/v1/notes", "writer", {**JSON, "idempotency-key": "ä"}, GOOD,
                           400, "idempotency_key_malformed", "idempotency-key"),
    "long key": ("POST", "/v1/notes", "writer", {**JSON, "idempotency-key": "k" * 256}, GOOD, 400,
                 "idempotency_key_malformed", "idempotency-key"),
    "clock without scope": ("POST", "/v1/notes", "writer",
                            {**KEYED, "scudo-ordered-at": "2026-01-01T00:00:00Z"}, GOOD, 403,
                            "scope_missing", None),
    "clock without zone": ("POST", "/v1/notes", "driver",
                           {**KEYED, "scudo-ordered-at": "2026-01-01T00:00:00"}, GOOD, 400,
                           "instant_malformed", "scudo-ordered-at"),
    "xml wanted": ("GET", "/v1/notes", "reader", {"accept": "application/xml"}, b"", 406,
                   "answer_not_acceptable", "accept"),
    "json refused": ("GET", "/v1/notes", "reader", {"accept": "application/json;q=0"}, b"", 406,
                     "answer_not_acceptable", "accept"),
    "no type": ("POST", "/v1/notes", "writer", {"idempotency-key": "k"}, GOOD, 415,
                "media_type_unsupported", "content-type"),
    "upgrade": ("POST", "/v1/notes", "writer", {**KEYED, "upgrade": "h2c"}, GOOD, 400,
                "header_invalid", "upgrade"),
    "form": ("POST", "/v1/notes", "writer",
             {**KEYED, "content-type": "application/x-www-form-urlencoded"}, b"a=1", 415,
             "media_type_unsupported", "content-type"),
    "latin": ("POST", "/v1/notes", "writer",
              {**KEYED, "content-type": "application/json; charset=latin-1"}, GOOD, 415,
              "media_type_unsupported", "content-type"),
    "zipped": ("POST", "/v1/notes", "writer", {**KEYED, "content-encoding": "gzip"}, GOOD, 415,
               "media_type_unsupported", "content-type"),
    "announced too long": ("POST", "/v1/notes", "writer", {**KEYED, "content-length": "65537"},
                           GOOD, 413, "body_too_large", None),
    "announced absurdly": ("POST", "/v1/notes", "writer", {**KEYED, "content-length": "9" * 5000},
                           GOOD, 413, "body_too_large", None),
    "too long": ("POST", "/v1/notes", "writer", KEYED, b" " * 65537, 413, "body_too_large", None),
    "too long in pieces": ("POST", "/v1/notes", "writer", KEYED, [b" " * 40000] * 3, 413,
                           "body_too_large", None),
    "empty": ("POST", "/v1/notes", "writer", KEYED, b"", 400, "body_malformed", None),
    "cut": ("POST", "/v1/notes", "writer", KEYED, GOOD[:-1], 400, "body_malformed", None),
    "two objects": ("POST", "/v1/notes", "writer", KEYED, GOOD + GOOD, 400, "body_malformed", None),
    "not a number": ("POST", "/v1/notes", "writer", KEYED, b'{"title":"a","amount":NaN}', 400,
                     "body_malformed", None),
    "bad UTF-8": ("POST", "/v1/notes", "writer", KEYED, b'{"title":"\xff","amount":1}', 400,
                  "body_malformed", None),
    "lone surrogate": ("POST", "/v1/notes", "writer", KEYED, b'{"title":"\\ud800","amount":1}',
                       400, "body_malformed", None),
    "NUL": ("POST", "/v1/notes", "writer", KEYED, b'{"title":"\\u0000","amount":1}', 400,
            "body_invalid", None),
    "deep": ("POST", "/v1/notes", "writer", KEYED,
             b'{"title":"a","amount":1,"lines":' + b"[" * 60000, 400, "body_invalid", "lines[0]"),
    "an array": ("POST", "/v1/notes", "writer", KEYED, b"[]", 400, "body_invalid", None),
    "unknown member": ("POST", "/v1/notes", "writer", KEYED, b'{"title":"a","amount":1,"x":2}',
                       400, "body_invalid", "x"),
    "unknown inner member": ("POST", "/v1/notes", "writer", KEYED,
                             b'{"title":"a","amount":1,"lines":[{"text":"b","y":1}]}', 400,
                             "body_invalid", "lines[0].y"),
    "missing member": ("POST", "/v1/notes", "writer", KEYED, b'{"title":"a"}', 400,
                       "body_invalid", "amount"),
    "text for a number": ("POST", "/v1/notes", "writer", KEYED, b'{"title":"a","amount":"1"}', 400,
                          "body_invalid", "amount"),
    "fraction": ("POST", "/v1/notes", "writer", KEYED, b'{"title":"a","amount":1.5}', 400,
                 "body_invalid", "amount"),
    "beyond 64 bits": ("POST", "/v1/notes", "writer", KEYED,
                       b'{"title":"a","amount":9223372036854775808}', 400, "body_invalid",
                       "amount"),
    "far beyond 64 bits": ("POST", "/v1/notes", "writer", KEYED,
                           b'{"title":"a","amount":' + b"9" * 5000 + b"}", 400, "body_invalid",
                           "amount"),
    "body for a GET": ("GET", "/v1/notes", "reader", {"content-length": "2"}, b"{}", 400,
                       "body_unexpected", None),
    "pieces for a GET": ("GET", "/v1/notes", "reader", {"transfer-encoding": "chunked"}, b"{}",
                         400, "body_unexpected", None),
    "unknown parameter": ("GET", "/v1/notes?x=1", "reader", {}, b"", 400, "query_invalid", "x"),
    "parameter where none is": ("GET", "/v1/notes/pay_0000000000000001?x=1", "reader", {}, b"",
                                400, "query_invalid", "x"),
    "repeated parameter": ("GET", "/v1/notes?limit=1&limit=2", "reader", {}, b"", 400,
                           "query_invalid", "limit"),
    "word for a number": ("GET", "/v1/notes?after=x", "reader", {}, b"", 400, "query_invalid",
                          "after"),
    "negative": ("GET", "/v1/notes?after=-1", "reader", {}, b"", 400, "query_invalid", "after"),
    "over the page": ("GET", "/v1/notes?limit=501", "reader", {}, b"", 400, "query_invalid",
                      "limit"),
    "bad escape": ("GET", "/v1/notes?word=%ff", "reader", {}, b"", 400, "query_invalid", None),
    "NUL in a parameter": ("GET", "/v1/notes?word=%00", "reader", {}, b"", 400, "query_invalid",
                           None),
    "bad id": ("GET", "/v1/notes/7", "reader", {}, b"", 400, "id_malformed", "note_id"),
    "the handler's own": ("POST", "/v1/notes", "writer", KEYED, b'{"title":"locked","amount":1}',
                          409, "note_locked", "title"),
    "remembered": ("POST", "/v1/notes", "writer", KEYED, b'{"title":"remembered","amount":1}',
                   409, "note_locked", None),
    "unavailable": ("POST", "/v1/notes", "writer", KEYED, b'{"title":"away","amount":1}', 503,
                    "store_away", None),
}
# fmt: on
TOKEN = {
    "reader": "token-of-a-reader",
    "writer": "token-of-a-writer",
    "driver": "token-of-the-clock-driver",
}


#: Cases that reach an operation: neither its path nor its method is unknown.
MET = {name: case for name, case in CASES.items() if case[5] not in {404, 405}}

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
every_met_case = pytest.mark.parametrize("case", MET.values(), ids=MET.keys())


class TestRefusals:
    @every_case
    def test_carry_the_code_and_the_field(self, desk, case):
        """Each way of asking wrongly has its status, its code, and names what is at fault."""
        method, path, token, headers, body, status, code, field = case

        answer = desk.ask(method, path, token=TOKEN.get(token, token), headers=headers, body=body)

        assert answer.status == status
        if method != "HEAD":
            assert (answer.json["code"], answer.json.get("field")) == (code, field)

    @every_case
    def test_are_problem_details(self, desk, case):
        """Each refusal is a problem as RFC 9457 has it, with what to do next."""
        method, path, token, headers, body, *_ = case

        answer = desk.ask(method, path, token=TOKEN.get(token, token), headers=headers, body=body)

        assert answer.headers["content-type"] == "application/problem+json"
        if method != "HEAD":
            problem = answer.json
            assert problem["type"] == f"urn:scudo:refusal:{problem['code']}"
            assert problem["status"] == answer.status
            assert problem["title"]
            assert problem["detail"]
            assert problem["next_step"].endswith(".")
            assert isinstance(problem["retryable"], bool)

    @every_met_case
    def test_are_documented_where_they_happen(self, desk, case):
        """Each refusal of an existing operation stands in the OpenAPI document."""
        method, path, token, headers, body, status, code, _ = case

        desk.ask(method, path, token=TOKEN.get(token, token), headers=headers, body=body)

        operation = _documented(desk.document, method, path.partition("?")[0])
        content = operation["responses"][str(status)]["content"]["application/problem+json"]
        assert code in content["schema"]["allOf"][1]["properties"]["code"]["enum"]


def _documented(document, method, path):
    return next(
        methods[method.lower()]
        for template, methods in document["paths"].items()
        if re.fullmatch(re.sub("{[^}]*}", "[^/]+", template), path)
    )


class TestHeadersOfRefusals:
    def test_a_wrong_method_is_told_the_right_ones(self, desk):
        """405 carries Allow."""
        assert desk.ask("PUT", "/v1/notes").headers["allow"] == "GET, HEAD, OPTIONS, POST"

    def test_a_missing_token_is_challenged(self, desk):
        """401 carries WWW-Authenticate."""
        assert desk.ask("GET", "/v1/notes").headers["www-authenticate"].startswith("Bearer ")

    def test_a_missing_scope_is_named(self, desk):
        """403 names the scope in the challenge and in the detail."""
        answer = desk.ask("POST", "/v1/notes", token=TOKEN["reader"])

        assert 'scope="notes:write"' in answer.headers["www-authenticate"]
        assert "notes:write" in answer.json["detail"]

    def test_an_unavailable_part_says_when_to_come_again(self, desk):
        """A room's 503 carries Retry-After although the room knows no headers."""
        body = b'{"title":"away","amount":1}'

        answer = desk.ask("POST", "/v1/notes", token=TOKEN["writer"], headers=KEYED, body=body)

        assert answer.headers["retry-after"] == "1"

    def test_a_long_body_ends_the_connection(self, desk):
        """413 closes the connection, because the rest of the body is not read."""
        headers = {**KEYED, "content-length": "999999"}

        answer = desk.ask("POST", "/v1/notes", token=TOKEN["writer"], headers=headers)

        assert answer.headers["connection"] == "close"

    def test_no_answer_may_be_cached(self, desk):
        """Answers and refusals alike forbid caching and sniffing."""
        for path in ("/health/live", "/nothing"):
            headers = desk.ask("GET", path).headers
            assert headers["cache-control"] == "no-store"
            assert headers["x-content-type-options"] == "nosniff"


class TestRepeatedHeaders:
    @pytest.mark.parametrize(
        "name",
        ["authorization", "content-type", "content-length", "idempotency-key", "scudo-ordered-at"],
    )
    def test_are_refused_where_one_counts(self, desk, name):
        """A header on which the meaning hangs may come once."""
        twice = [(name.encode(), b"1"), (name.encode(), b"2")]

        answer = desk.ask("POST", "/v1/notes", raw=twice)

        assert (answer.status, answer.json["code"]) == (400, "header_invalid")
        assert answer.json["field"] == name

    def test_are_taken_where_they_mean_a_list(self, desk):
        """Other headers may be repeated."""
        twice = [(b"x-forwarded-for", b"1"), (b"x-forwarded-for", b"2")]

        assert desk.ask("GET", "/v1/notes", token=TOKEN["reader"], raw=twice).status == 200


class TestOrders:
    def test_that_are_refused_leave_a_trace_without_their_content(self, desk):
        """A malformed order is logged by code and operation; nothing of it is quoted."""
        body = b'{"title":"Ann Other","amount":1.5}'

        with structlog.testing.capture_logs() as lines:
            desk.ask("POST", "/v1/notes", token=TOKEN["writer"], headers=KEYED, body=body)
            desk.ask("POST", "/v1/notes", token="guess", headers=KEYED, body=body)
            desk.ask("GET", "/v1/notes?limit=0", token=TOKEN["reader"])

        (line,) = lines
        assert (line["event"], line["code"]) == ("order_refused", "body_invalid")
        assert line["operation"] == "write_note"
        assert "Ann" not in str(line)


class TestAccess:
    def test_that_is_refused_leaves_a_trace(self, desk):
        """Who asked for an operation without its scope is told to the log, without the request."""
        body = b'{"title":"Ann Other","amount":1}'

        with structlog.testing.capture_logs() as lines:
            desk.ask("POST", "/v1/notes", token=TOKEN["reader"], headers=KEYED, body=body)
            desk.ask("GET", "/v1/notes", token=TOKEN["reader"])

        (line,) = lines
        assert (line["event"], line["operation"]) == ("access_refused", "write_note")
        assert (line["client"], line["scope"]) == ("client:1", "notes:write")
        assert "Ann" not in str(line)


class TestFailures:
    def test_are_answered_with_a_trace_and_without_the_cause(self, desk):
        """A bug becomes a 500 that names its log line, quotes nothing, and says what to do."""
        body = b'{"title":"broken","amount":1}'

        answer = desk.ask("POST", "/v1/notes", token=TOKEN["writer"], headers=KEYED, body=body)

        assert (answer.status, answer.json["code"]) == (500, "internal")
        assert answer.json["instance"].startswith("urn:scudo:trace:")
        assert "same Idempotency-Key" in answer.json["next_step"]
        assert "broken" not in answer.body.decode()

    def test_leave_the_next_request_alone(self, desk):
        """After a bug in one request the next one is answered."""
        body = b'{"title":"broken","amount":1}'
        desk.ask("POST", "/v1/notes", token=TOKEN["writer"], headers=KEYED, body=body)

        assert desk.ask("GET", "/v1/notes", token=TOKEN["reader"]).status == 200


class TestRates:
    def test_are_limited_per_client_and_class(self, desk_of):
        """A client that reads too often is refused; its moves and other clients are not."""
        desk = desk_of(Limits(reads_per_s=3, moves_per_s=3))
        for _ in range(3):
            assert desk.ask("GET", "/v1/notes", token=TOKEN["writer"]).status == 200

        refused = desk.ask("GET", "/v1/notes", token=TOKEN["writer"])

        assert (refused.status, refused.json["code"]) == (429, "rate_limited")
        assert int(refused.headers["retry-after"]) >= 1
        assert "Nothing was changed" in refused.json["next_step"]
        assert desk.ask("GET", "/v1/notes", token=TOKEN["reader"]).status == 200
        moved = desk.ask("POST", "/v1/notes", token=TOKEN["writer"], headers=KEYED, body=GOOD)
        assert moved.status == 201

    def test_do_not_count_health(self, desk_of):
        """Operations without a client have no limit."""
        desk = desk_of(Limits(reads_per_s=1))

        assert {desk.ask("GET", "/health/live").status for _ in range(9)} == {200}

    def test_of_requests_under_way_are_limited(self, desk_of):
        """Beyond the number of requests that may wait, clients are told to come again."""
        desk = desk_of(Limits(under_way_max=0))

        answer = desk.ask("GET", "/v1/notes", token=TOKEN["reader"])

        assert (answer.status, answer.json["code"]) == (503, "server_busy")
        assert answer.json["retryable"] is True
        assert desk.ask("GET", "/health/live").status == 200


class TestHealth:
    def test_is_ready_when_every_check_is(self, desk):
        """Readiness lists what was looked at."""
        answer = desk.ask("GET", "/health/ready")

        assert answer.json == {
            "status": "ready",
            "checks": [{"name": "store", "is_ok": True, "is_vital": True}],
        }

    def test_names_what_is_not(self, desk):
        """A failing check makes it 503 and is named."""
        desk.checks.append(Check("writer", is_ok=False))

        answer = desk.ask("GET", "/health/ready")

        assert (answer.status, answer.json["code"]) == (503, "not_ready")
        assert "writer" in answer.json["detail"]

    def test_is_not_ready_while_draining(self, desk):
        """Once the end has begun, readiness says so while liveness stays."""
        desk.app.is_draining = True

        assert desk.ask("GET", "/health/ready").status == 503
        assert desk.ask("GET", "/health/live").status == 200


header_names = st.sampled_from(
    ["accept", "authorization", "content-type", "content-length", "content-encoding",
     "idempotency-key", "scudo-ordered-at", "transfer-encoding", "host", "expect", "x-any"]
)  # fmt: skip
header_values = st.one_of(
    st.sampled_from(["Bearer token-of-the-clock-driver", "application/json", "*/*", "12", "k"]),
    st.binary(max_size=40).map(lambda value: value.decode("latin-1")),
)
paths = st.one_of(
    st.sampled_from(["/v1/notes", "/v1/bulk", "/v1/notes/pay_0000000000000001", "/metrics"]),
    st.text(string.printable, max_size=30).map("/".__add__),
)


class TestFuzz:
    @settings(max_examples=300, deadline=None)
    @given(
        method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE", "get", "X"]),
        path=paths,
        headers=st.lists(st.tuples(header_names, header_values), max_size=8),
        body=st.one_of(
            st.binary(max_size=200),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner),
            ).map(lambda value: json.dumps(value).encode()),
        ),
    )
    def test_nothing_that_is_sent_is_a_failure_of_ours(
        self, fuzz_desk, method, path, headers, body
    ):
        """Whatever comes, the answer is a success or a refusal, never a 5xx."""
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]

        answer = fuzz_desk.ask(method, path, raw=raw, body=body)

        assert answer.status < 500
        if answer.status >= 400 and method != "HEAD":
            assert answer.json["status"] == answer.status
