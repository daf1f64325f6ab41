"""Callbacks over HTTP, as a partner's system sends them: cases 38 to 41 of the fault matrix."""

import dataclasses
import hmac
import json
import time
import uuid
from base64 import b64decode, b64encode
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scudo.bootstrap import CATALOGUE
from scudo.fabric import read_log
from scudo.governance import events
from scudo.governance.callbacks import INVENTORY, CallbackDesk, CallbackUndeclared
from scudo.governance.callbacks.keeping import TakePing
from scudo.interfaces.table import describe_without_bank

PATH = "/v1/inbound/partner-ping"
KEYS = "/v1/callbacks/partner_ping/keys"


def told(served: Any, *kinds: type, after: int) -> list[Any]:
    """Events of some kinds after a position."""

    async def read() -> list[Any]:
        async with served.bank.reads() as connection:
            found, _ = await read_log(connection, CATALOGUE, after=after, limit=1_000)
        return [recorded.event for recorded in found if isinstance(recorded.event, kinds)]

    return served.run(read())


class Partner:
    """Somebody who signs pings; counts up by the clock, as all tests share one bank."""

    def __init__(self, served: Any, secret: str) -> None:
        self.served = served
        self.secret = b64decode(secret.removeprefix("whsec_"))

    def body(self, **changed: Any) -> bytes:
        data = {"sequence": time.time_ns() // 1_000}
        ping = {"type": "ping", "timestamp": "2026-01-15T09:30:00Z", "data": data} | changed
        return json.dumps(ping).encode()

    def signed(self, body: bytes, *, message: str | None = None, at: int | None = None) -> Any:
        message = message or f"msg_{uuid.uuid4()}"
        stamp = str(int(time.time()) if at is None else at)
        digest = hmac.digest(self.secret, f"{message}.{stamp}.".encode() + body, "sha256")
        return {
            "webhook-id": message,
            "webhook-timestamp": stamp,
            "webhook-signature": "v1," + b64encode(digest).decode(),
            "content-type": "application/json",
        }

    def send(self, body: bytes, headers: dict[str, Any]) -> httpx.Response:
        return httpx.post(self.served.url + PATH, content=body, headers=headers, timeout=20)

    def ping(self) -> httpx.Response:
        body = self.body()
        return self.send(body, self.signed(body))


def new_key(teller: Any, overlap_s: int = 0) -> dict[str, Any]:
    """Have a shared secret made; the vault tells few of them a second, so it is asked again."""
    key = f"{uuid.uuid4()}"
    while (made := teller.post(KEYS, {"overlap_s": overlap_s}, key=key)).status_code == 429:
        time.sleep(0.25)
    assert made.status_code == 201, made.text
    return made.json()


@pytest.fixture
def partner(served, teller):
    """A partner with a key of its own; the keys before it end at once."""
    return Partner(served, new_key(teller)["secret"])


def code(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal."""
    return answer.status_code, answer.json()["code"]


class TestPing:
    """The one callback that is declared so far, with everything that every other one has."""

    def test_is_taken_and_told(self, served, partner):
        """A signed ping is an event of the log."""
        before = served.bank.conveyor.head.position

        answer = partner.ping()

        assert answer.status_code == 200
        (pinged,) = told(served, events.CallbackPinged, after=before)
        assert answer.json() == {"sequence": pinged.sequence}

    def test_case_38_sent_again_it_acts_once(self, served, partner):
        """The same id within the window, and with the time of a later attempt."""
        before = served.bank.conveyor.head.position
        body = partner.body()
        headers = partner.signed(body, message="msg_38_" + str(before))
        later = partner.signed(body, message=headers["webhook-id"], at=int(time.time()) + 5)

        answers = [partner.send(body, given) for given in (headers, headers, later)]

        assert [answer.status_code for answer in answers] == [200] * 3
        assert len({answer.content for answer in answers}) == 1
        assert len(told(served, events.CallbackPinged, after=before)) == 1

    def test_an_id_that_was_taken_before_callbacks_had_a_sender_is_known(self, served, partner):
        """A message of an old log, sent again, is answered as it was and acts no second time."""
        message, body = f"msg_{uuid.uuid4()}", partner.body()
        ping = TakePing(json.loads(body)["data"]["sequence"])
        key = f"callback:partner_ping:{message}"
        first = served.run(served.bank.submit(ping, key=key))
        before = served.bank.conveyor.head.position

        again = partner.send(body, partner.signed(body, message=message))

        assert (again.status_code, again.content) == (first.status, first.body)
        assert told(served, events.CallbackPinged, after=before) == []

    def test_an_id_cannot_carry_another_body(self, served, partner):
        """Signed and fresh, but its id was taken with something else."""
        before = served.bank.conveyor.head.position
        message = f"msg_{uuid.uuid4()}"
        first, second = partner.body(), partner.body()

        assert partner.send(first, partner.signed(first, message=message)).status_code == 200
        answer = partner.send(second, partner.signed(second, message=message))

        assert code(answer)[1] == "idempotency_key_reused"
        assert len(told(served, events.CallbackPinged, after=before)) == 1

    @pytest.mark.parametrize("seconds", [-400, 400, 10**9, -(10**9)])
    def test_case_39_another_time_is_refused(self, partner, seconds):
        """Replayed after the window, or from the future."""
        body = partner.body()

        answer = partner.send(body, partner.signed(body, at=int(time.time()) + seconds))

        assert code(answer) == (401, "callback_stale")

    @pytest.mark.parametrize("stamp", ["soon", "", "1e10", "-5", "9" * 40, "NaN", "Infinity"])
    def test_case_39_a_time_that_is_no_number_is_refused(self, partner, stamp):
        """And it is a refusal, not a fault."""
        body = partner.body()

        answer = partner.send(body, partner.signed(body) | {"webhook-timestamp": stamp})

        assert code(answer) == (401, "callback_unsigned")

    def test_case_40_a_body_that_was_written_anew_is_refused(self, partner):
        """What is signed are bytes."""
        body = partner.body()

        answer = partner.send(json.dumps(json.loads(body), indent=1).encode(), partner.signed(body))

        assert code(answer) == (401, "callback_forged")

    @pytest.mark.parametrize(
        ("signature", "refusal"),
        [
            ("v1,\u00e9\u00e8".encode(), "callback_forged"),
            (b"\xff\xfe\xfd", "callback_forged"),
            (b"", "callback_unsigned"),
            (b"v1,", "callback_forged"),
            (b"v1", "callback_forged"),
            (b"[]", "callback_forged"),
            (b"v1,AAAA v1a,AAAA", "callback_forged"),
        ],
    )
    def test_case_40_a_signature_that_is_none_is_refused(self, partner, signature, refusal):
        """Non-ASCII, empty, cut: 401 and never 500."""
        body = partner.body()

        answer = partner.send(body, partner.signed(body) | {"webhook-signature": signature})

        assert code(answer) == (401, refusal)

    @pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
    def test_a_header_that_is_missing_is_refused(self, partner, name):
        """All three are needed."""
        body = partner.body()
        headers = partner.signed(body)
        del headers[name]

        assert code(partner.send(body, headers)) == (401, "callback_unsigned")

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"no json",
            b'"\xff"',
            b"[" * 5_000,
            b'{"type": "ping"}',
            b'{"type": "pong", "timestamp": "2026-01-15T09:30:00Z", "data": {"sequence": 1}}',
            b'{"type": "ping", "timestamp": "2026-01-15T09:30:00Z", "data": {"sequence": -1}}',
            b'{"type":"ping","timestamp":"2026-01-15T09:30:00Z","data":{"sequence":1},"x":1}',
        ],
    )
    def test_a_signed_body_that_was_not_agreed_is_refused(self, partner, body):
        """The sender is known and says something else."""
        assert code(partner.send(body, partner.signed(body))) == (422, "callback_unreadable")

    def test_what_our_own_state_does_not_expect_is_refused(self, served, partner):
        """A sequence that does not count up moves nothing."""
        body = partner.body()
        assert partner.send(body, partner.signed(body)).status_code == 200
        before = served.bank.conveyor.head.position

        answer = partner.send(body, partner.signed(body))

        assert code(answer) == (409, "callback_unexpected")
        assert told(served, events.CallbackPinged, after=before) == []

    def test_nobody_who_is_unknown_learns_whether_a_body_is_right(self, partner):
        """A forged callback is refused before its body is looked at."""
        headers = partner.signed(b"{}") | {"webhook-signature": "v1,AAAA"}

        assert code(partner.send(b"nonsense", headers)) == (401, "callback_forged")


class TestKeys:
    """Keys change without a gap, and end when they are revoked."""

    def test_case_41_old_both_new_then_the_old_one_is_revoked(self, served, teller, partner):
        """No delivery fails while both are good; a revoked key is refused at once."""
        made = new_key(teller, 600)
        newer = Partner(served, made["secret"])
        body = partner.body()
        message = f"msg_{uuid.uuid4()}"
        old, new = (one.signed(body, message=message) for one in (partner, newer))
        both = old | {"webhook-signature": f"{new['webhook-signature']} {old['webhook-signature']}"}

        assert [partner.send(body, headers).status_code for headers in (old, both, new)] == [
            200
        ] * 3
        keys = teller.get("/v1/callbacks").json()["items"][0]["keys"]
        older = next(key["id"] for key in keys if key["until"] is not None)
        assert teller.http.delete(f"{KEYS}/{older}").status_code == 200
        assert code(partner.ping()) == (401, "callback_forged")
        assert newer.ping().status_code == 200

    def test_a_key_without_overlap_ends_the_others(self, served, teller, partner):
        """Where a secret may be known to others, nothing overlaps."""
        newer = Partner(served, new_key(teller)["secret"])

        assert code(partner.ping()) == (401, "callback_forged")
        assert newer.ping().status_code == 200

    def test_a_partner_may_sign_with_a_key_pair(self, served, teller, partner):
        """The bank knows the public half only."""
        private = Ed25519PrivateKey.generate()
        public = "whpk_" + b64encode(private.public_key().public_bytes_raw()).decode()
        made = teller.post(KEYS, {"overlap_s": 0, "public_key": public}).json()
        body = partner.body()
        headers = partner.signed(body)
        content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        signature = "v1a," + b64encode(private.sign(content)).decode()

        assert made["secret"] is None
        assert partner.send(body, headers | {"webhook-signature": signature}).status_code == 200

    @pytest.mark.parametrize(
        "public", ["", "whpk_", "whpk_AAAA", "AAAA", "whpk_\u00e9", "whsec_AAAA"]
    )
    def test_a_key_that_is_none_is_refused(self, teller, public):
        """What is no Ed25519 key cannot be added."""
        answer = teller.post(KEYS, {"overlap_s": 0, "public_key": public})

        assert code(answer) == (400, "callback_key_malformed")

    def test_what_is_not_there_is_refused(self, teller):
        """Keys and callbacks."""
        # Not the first: that may be the key of another test, made before anything else.
        missing = f"{KEYS}/evt_7fffffffffffffff"

        assert code(teller.http.delete(missing)) == (404, "callback_key_unknown")
        assert code(teller.post("/v1/callbacks/nothing/keys", {"overlap_s": 0})) == (
            404,
            "callback_unknown",
        )

    def test_a_secret_stands_nowhere_in_the_database(self, served, teller):
        """Not in the log, nor in the records: it is derived."""
        secret = new_key(teller)["secret"].removeprefix("whsec_")
        raw = b64decode(secret)

        async def everything() -> bytes:
            async with served.bank.reads() as connection:
                rows = await connection.execute(
                    "SELECT command || events || answer FROM fabric.log_entry"
                    " UNION ALL SELECT body FROM fabric.record",
                    binary=True,
                )
                return b"".join([row[0] async for row in rows])

        stored = served.run(everything())
        assert b'"v1"' in stored
        assert raw not in stored
        assert secret.encode() not in stored

    @pytest.mark.parametrize("scope", ["callbacks:read", "decisions:read"])
    def test_only_who_may_keeps_keys(self, teller_for, scope):
        """Reading is not writing."""
        assert code(teller_for(scope).post(KEYS, {"overlap_s": 0})) == (403, "scope_missing")


class TestEvidence:
    """Every refusal is counted and can be found."""

    def test_a_refusal_is_counted_and_recorded(self, served, partner):
        """The metric names callback and code; the act says what, from where, with what result.

        All are counted; of one minute sixty at the most are recorded, so this one comes first.
        """
        before = served.bank.conveyor.head.position
        line = 'scudo_callback_refusals_total{callback="partner_ping",code="callback_forged"}'

        def count() -> float:
            text = httpx.get(served.url + "/metrics").text
            return sum(float(row.split()[-1]) for row in text.splitlines() if row.startswith(line))

        counted = count()
        body = partner.body()
        partner.send(body, partner.signed(body) | {"webhook-signature": "v1,AAAA"})

        assert count() == counted + 1
        recorded = told(served, events.ActRecorded, after=before)
        act = next(act for act in recorded if act.result == "callback_forged")
        assert (act.act, act.object, act.actor, act.actor_kind) == (
            "callbacks.take",
            "partner_ping",
            0,
            0,
        )
        assert act.network is not None
        assert act.trace

        before = served.bank.conveyor.head.position
        headers = partner.signed(body) | {"webhook-signature": "v1,AAAA"}
        refused = served.bank.rooms.callbacks.refused
        counted = refused.get(("partner_ping", "callback_forged"), 0)

        with httpx.Client(base_url=served.url) as client:
            for _ in range(150):
                assert client.post(PATH, content=body, headers=headers).status_code == 401

        assert refused["partner_ping", "callback_forged"] == counted + 150
        # A minute may end while they are sent.
        assert len(told(served, events.ActRecorded, after=before)) <= 120


class TestInventory:
    """What is not declared is not there."""

    def test_what_is_not_declared_cannot_be_mounted(self, served):
        """Neither a new callback, nor a declared one that was changed on the way."""
        desk = CallbackDesk(
            callbacks=served.bank.rooms.callbacks,
            secrets=None,
            submit=None,
            record=None,
            clock=None,
            tokeniser=None,
        )
        for change in ({"name": "something_else"}, {"window_s": 10**9}):
            with pytest.raises(CallbackUndeclared):
                desk.mount(dataclasses.replace(INVENTORY[0], **change))

    def test_every_open_way_in_that_changes_something_is_declared(self):
        """Of the operations that strangers may call, those under /v1/inbound are the inventory."""
        document = describe_without_bank()
        inbound = {path for path in document["paths"] if path.startswith("/v1/inbound/")}

        assert inbound == {callback.path for callback in INVENTORY}
        for path in inbound:
            assert set(document["paths"][path]) == {"post"}

    def test_names_and_numbers_are_those_of_one_callback(self):
        """Records and addresses are told apart by them."""
        assert len({c.number for c in INVENTORY}) == len({c.name for c in INVENTORY})
        assert len({c.path for c in INVENTORY}) == len(INVENTORY)
