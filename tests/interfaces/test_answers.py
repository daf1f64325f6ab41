"""Answers that are no refusals."""

import pytest

from scudo.fabric.web import errors
from scudo.fabric.web.wire import decode_cursor, encode_cursor

WRITER = "token-of-a-writer"
READER = "token-of-a-reader"
DRIVER = "token-of-the-clock-driver"
KEYED = {"content-type": "application/json", "idempotency-key": "order-1"}
GOOD = b'{"title":"a","amount":1}'


class TestCalls:
    def test_bring_what_was_sent(self, desk):
        """Client, key and body reach the handler; status and headers of its reply go out."""
        answer = desk.ask("POST", "/v1/notes", token=WRITER, headers=KEYED, body=GOOD)

        assert answer.status == 201
        assert answer.headers["location"] == "/v1/notes/7"
        assert answer.headers["content-type"] == "application/json"
        assert int(answer.headers["content-length"]) == len(answer.body)
        assert answer.json == {
            "note_id": "pay_0000000000000007",
            "seen": {"client": 2, "key": "order-1", "ordered_at": None, "amount": 1},
        }

    def test_bring_the_time_of_those_who_drive_the_clock(self, desk):
        """The header Scudo-Ordered-At arrives in microseconds."""
        headers = {**KEYED, "scudo-ordered-at": "1970-01-01T01:00:00.000001+01:00"}

        answer = desk.ask("POST", "/v1/notes", token=DRIVER, headers=headers, body=GOOD)

        assert answer.json["seen"]["ordered_at"] == 1

    def test_bring_bodies_that_come_in_pieces(self, desk):
        """A body may arrive in any number of pieces."""
        pieces = [GOOD[i : i + 1] for i in range(len(GOOD))]

        assert desk.ask("POST", "/v1/notes", token=WRITER, headers=KEYED, body=pieces).status == 201

    def test_may_be_larger_where_the_operation_says_so(self, desk):
        """A bulk operation takes more than the others."""
        body = b'{"title":"%s","amount":1}' % (b"a" * 100_000)
        headers = {"content-type": "application/json"}

        answer = desk.ask("POST", "/v1/bulk", token=WRITER, headers=headers, body=body)

        assert answer.json["seen"]["amount"] == 100_000

    def test_bring_query_parameters_decoded(self, desk):
        """Numbers come as numbers, texts decoded, the rest by default."""
        answer = desk.ask("GET", "/v1/notes?after=7&word=a%20%C3%BC+null", token=READER)

        seen = answer.json["items"][0]["seen"]
        assert (seen["after"], seen["limit"], seen["word"]) == (7, 50, "a ü null")

    @pytest.mark.parametrize(
        "content_type",
        ["application/json; charset=utf-8", "Application/JSON", 'application/json;charset="UTF-8"'],
    )
    def test_may_announce_json_in_every_correct_way(self, desk, content_type):
        """Letter case, charset and quotes do not matter."""
        headers = {**KEYED, "content-type": content_type}

        assert desk.ask("POST", "/v1/notes", token=WRITER, headers=headers, body=GOOD).status == 201

    @pytest.mark.parametrize(
        "accept",
        ["*/*", "application/json", "text/html, application/*;q=0.5", "text/a,*/*;q=0.001"],
    )
    def test_may_accept_json_in_every_correct_way(self, desk, accept):
        """Ranges and qualities that admit JSON are enough."""
        assert desk.ask("GET", "/v1/notes", token=READER, headers={"accept": accept}).status == 200


class TestMethods:
    def test_head_is_get_without_the_body(self, desk):
        """HEAD answers what GET would, with the length of the body that is left out."""
        asked = desk.ask("GET", "/v1/notes", token=READER)

        headed = desk.ask("HEAD", "/v1/notes", token=READER)

        assert headed.status == 200
        own = {"scudo-trace-id"}
        assert headed.headers.keys() == asked.headers.keys()
        assert {n: v for n, v in headed.headers.items() if n not in own} == {
            n: v for n, v in asked.headers.items() if n not in own
        }
        assert headed.body == b""

    def test_options_names_the_methods(self, desk):
        """OPTIONS needs no token."""
        answer = desk.ask("OPTIONS", "/v1/notes")

        assert (answer.status, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")

    def test_documents_are_served(self, desk):
        """The AsyncAPI document goes out as it was given."""
        assert desk.ask("GET", "/asyncapi.json").json == {"asyncapi": "3.0.0"}


class TestCursors:
    def test_come_back_as_they_went(self):
        """What was written is read, negative and large numbers too."""
        numbers = (-1, 0, (1 << 63) - 1)

        assert decode_cursor("t", encode_cursor("t", *numbers), count=3) == numbers

    @pytest.mark.parametrize(
        "text",
        ["", "x", "ü", "====", encode_cursor("u", 1), encode_cursor("t", 1, 2),
         encode_cursor("t", 1) + "A", encode_cursor("t", 1) + "=", encode_cursor("t", 1) + "\n"],
    )  # fmt: skip
    def test_of_another_list_or_none_are_refused(self, text):
        """Only the one text that the list itself gave is a cursor of it."""
        with pytest.raises(errors.CursorMalformed):
            decode_cursor("t", text, count=1)
