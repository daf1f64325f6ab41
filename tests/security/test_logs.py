"""What reaches the log when things go wrong: whole lines, and nothing that a caller sent."""

import json

import pytest
import structlog
from tests.security.conftest import MARK, findings
from tests.security.described import GUARDED, MISSING

#: A number that Mastercard gives to testers.
CARD = "5555555555554444"
KEY = "-----BEGIN PRIVATE KEY-----"
#: A line of the log as somebody else would like to write it.
FORGED = '{"event":"request_failed","level":"info"}'
PAYLOADS = [
    f"{MARK}\r\n{FORGED}\n\x1b[2K\x08\x00",
    f'{MARK} {CARD} {KEY}","level":"critical',
]


def send_everywhere(attacker, operation, payload):
    """Put one text everywhere in a request where a text can stand."""
    quoted = json.dumps(payload).encode()
    ways = [
        {"path": f"{operation.path.split('{')[0]}{payload.encode().hex()}/{MARK}"},
        {"path": f"/v1/{MARK}%0d%0a%7b{CARD}"},
        {"query": {payload: payload}},
        {"content": quoted},
        {"content": b"{" + quoted + b":" + quoted + b"}"},
        {"headers": {"content-type": f"{MARK}/{CARD}"}, "content": b"{}"},
        {"headers": {"idempotency-key": f"{MARK} {CARD}"}},
        {"headers": {"accept": f"{MARK}/{CARD}"}},
        {"headers": {"scudo-ordered-at": f"{MARK}{CARD}"}},
        {"headers": {"authorization": f"Bearer {MARK}{CARD}"}},
        {"headers": {"authorization": f"DPoP {MARK}{CARD}"}},
        {"headers": {"user-agent": f"{MARK} {CARD}", "x-forwarded-for": MARK, "referer": MARK}},
    ]
    return [attacker.ask(operation, MISSING, **way) for way in ways]


class TestTheLog:
    @pytest.mark.fault(56)
    @pytest.mark.parametrize("operation", GUARDED, ids=str)
    def test_repeats_nothing_of_what_is_refused(self, served, entitled, logged, operation):
        """Whatever is sent to an operation, every line stays whole and says nothing of it."""
        attacker = entitled(operation)

        for payload in PAYLOADS:
            for answer in send_everywhere(attacker, operation, payload):
                assert answer.status_code < 500

        assert findings(logged(), frozenset({served.token})) == []

    @pytest.mark.fault(56)
    def test_has_lines_to_look_at(self, served, attacker_for, logged):
        """An order that is refused leaves its line: operation, code and trace, and no more."""
        before = len(logged())
        attacker = attacker_for(served.token)
        operation = next(one for one in GUARDED if one.name == "authorise_card")

        attacker.ask(operation, MISSING, body={"card": f"{MARK} {CARD}"})

        line = json.loads(logged()[before:].splitlines()[-1])
        assert (line["event"], line["operation"]) == ("order_refused", "authorise_card")
        assert set(line) == {"event", "operation", "code", "trace_id", "level", "logger", "at"}

    @pytest.mark.fault(56)
    def test_names_a_fault_of_ours_without_what_it_quotes(self, served, logged):
        """An exception that quotes a token and a card is told by its class and place."""
        before = len(logged())

        served.run(fail(f"{served.token} {CARD} {MARK}"))

        (line,) = logged()[before:].splitlines()
        assert json.loads(line)["exception"][0]["type"] == "builtins.ValueError"
        assert findings(line, frozenset({served.token})) == []


async def fail(text):
    """Log an exception whose message quotes a text."""
    try:
        int(text)
    except ValueError:
        structlog.get_logger("scudo.test").exception("fault")


class TestTheScanner:
    @pytest.mark.parametrize(
        ("line", "what"),
        [
            ("not JSON", "no JSON object"),
            ('["a list"]', "no JSON object"),
            (f'{{"event":"{MARK}"}}', "a text of a request"),
            ('{"event":"the token"}', "a secret"),
            (f'{{"event":"scudo_{"a" * 43}"}}', "a secret"),
            (f'{{"event":"{KEY}"}}', "a secret"),
            ('{"event":"eyJhbGciOiJub25lIn0.e30."}', "a secret"),
            (f'{{"event":"{CARD}"}}', "card"),
            ('{"event":"mallory@bank.example"}', "email"),
        ],
    )
    def test_finds_what_may_not_be_there(self, line, what):
        """Each kind of leak is found when it is planted."""
        assert findings(line, frozenset({"the token"})) == [f"{what}: {line}"]

    def test_lets_pass_what_may(self):
        """Traces, numbers, codes and times are no leaks."""
        line = json.dumps(
            {
                "event": "order_refused",
                "trace_id": "7b84d85b715dd0880000000000000018",
                "position": 4_111_111_111_111_112,
                "at": "2026-11-23T15:43:17.757101Z",
            }
        )

        assert findings(line, frozenset({"the token"})) == []
