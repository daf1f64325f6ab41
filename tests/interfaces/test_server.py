"""The running server, over real sockets: HTTP/1.1 as strangers speak it."""

import json
import socket
import threading
import time

import pytest

from scudo.interfaces.http import Limits

KEYED = (
    "authorization: Bearer token-of-a-writer\r\n"
    "content-type: application/json\r\nidempotency-key: k\r\n"
)
GOOD = b'{"title":"a","amount":1}'
READ = b"GET /v1/notes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer token-of-a-reader\r\n\r\n"
WAIT = (
    b"POST /v1/notes/pay_0000000000000001/wait HTTP/1.1\r\nhost: x\r\n"
    b"authorization: Bearer token-of-a-writer\r\n\r\n"
)


def _post(body, *lines):
    head = f"POST /v1/notes HTTP/1.1\r\nhost: x\r\n{KEYED}" + "".join(
        f"{line}\r\n" for line in lines
    )
    return head.encode() + b"\r\n" + body


class Wire:
    """One connection of a client that reads answers one by one."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._received = b""

    def send(self, data):
        self.socket.sendall(data)

    def answer(self, *, has_body=True):
        head = self._until(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        body = self._exactly(int(headers.get("content-length", 0))) if has_body else b""
        return int(lines[0].split()[1]), headers, body

    def is_closed(self):
        return not self._received and self.socket.recv(1) == b""

    def _until(self, mark):
        while mark not in self._received:
            self._receive()
        head, _, self._received = self._received.partition(mark)
        return head

    def _exactly(self, count):
        while len(self._received) < count:
            self._receive()
        body, self._received = self._received[:count], self._received[count:]
        return body

    def _receive(self):
        data = self.socket.recv(65536)
        assert data, "the connection ended in the middle of an answer"
        self._received += data


@pytest.fixture
def connect(serve, desk_of):
    """Serve with short limits and connect to it, as often as called."""
    served = []
    wires = []

    def connect_(**limits):
        if not served:
            served.append(serve(desk_of(Limits(**{"request_s": 1, **limits}))))
        wires.append(Wire(served[0].port))
        return wires[-1]

    connect_.stop = lambda: [server.stop() for server in served]
    yield connect_
    for wire in wires:
        wire.socket.close()


class TestConnections:
    def test_are_kept_for_the_next_request(self, connect):
        """Requests of all kinds follow each other on one connection, refusals included."""
        wire = connect()
        statuses = []
        write = _post(GOOD, f"content-length: {len(GOOD)}")
        for request in (write, READ, b"GET /x HTTP/1.1\r\n\r\n", READ):
            wire.send(request)
            statuses.append(wire.answer()[0])

        assert statuses == [201, 200, 404, 200]

    def test_answer_requests_in_order_when_they_come_at_once(self, connect):
        """Pipelined requests are answered one after the other, the slow one first."""
        wire = connect()

        wire.send(WAIT + READ + b"HEAD /health/live HTTP/1.1\r\n\r\n" + READ)

        assert wire.answer()[0] == 204
        assert wire.answer()[0] == 200
        status, headers, _ = wire.answer(has_body=False)
        assert (status, headers["content-length"]) == (200, "17")
        assert wire.answer()[0] == 200

    def test_take_bodies_byte_by_byte(self, connect):
        """Where packets are cut does not matter."""
        wire = connect()
        for byte in _post(GOOD, f"content-length: {len(GOOD)}"):
            wire.send(bytes([byte]))

        assert wire.answer()[0] == 201

    def test_take_bodies_in_chunks(self, connect):
        """A chunked body is read like any other."""
        wire = connect()

        wire.send(_post(b"5\r\n%b\r\n" % GOOD[:5], "transfer-encoding: chunked"))
        wire.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(GOOD[5:]), GOOD[5:]))

        assert wire.answer()[0] == 201

    def test_ask_for_a_body_that_waits_to_be_asked(self, connect):
        """A client that expects 100-continue gets it before it sends its body."""
        wire = connect()

        wire.send(_post(b"", f"content-length: {len(GOOD)}", "expect: 100-continue"))

        assert wire.answer(has_body=False)[0] == 100
        wire.send(GOOD)
        assert wire.answer()[0] == 201


class TestDishonestClients:
    def test_with_a_long_body_are_cut_off(self, connect):
        """A body that is announced too long is refused before it is sent."""
        wire = connect()

        wire.send(_post(b"", "content-length: 99999999", "expect: 100-continue"))

        status, headers, body = wire.answer()
        assert (status, headers["connection"]) == (413, "close")
        assert json.loads(body)["code"] == "body_too_large"
        assert wire.is_closed()

    def test_with_an_endless_body_are_cut_off(self, connect):
        """A chunked body is refused when it grows too long, not when it ends."""
        wire = connect()
        wire.send(_post(b"", "transfer-encoding: chunked"))

        chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
        wire.send(chunk * 5)

        assert wire.answer()[0] == 413

    def test_that_never_finish_are_given_up(self, connect):
        """A request must have arrived whole in time, wherever it stops, else it ends there."""
        half_body = _post(GOOD[:5], f"content-length: {len(GOOD)}")
        wires = [connect() for _ in range(4)]
        for wire, began in zip(wires, (b"", b"GET /v1/no", READ[:-2], half_body), strict=True):
            wire.send(began)

        for wire in wires:
            with pytest.raises((ConnectionResetError, AssertionError)):
                wire.answer()

    def test_that_announce_less_than_they_send_gain_nothing(self, connect):
        """What follows a body is no request: the one before is answered, then it ends."""
        wire = connect()

        wire.send(_post(GOOD + b"}}}}", f"content-length: {len(GOOD)}"))

        status, headers, _ = wire.answer()
        assert (status, headers["connection"]) == (201, "close")
        assert wire.is_closed()

    @pytest.mark.parametrize(
        "bytes_",
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"GET /v1/notes HTTP/9.9\r\n\r\n",
            b"GET /v1/n\xffotes HTTP/1.1\r\nhost: x\r\n\r\n",
            b"GET /v1/notes HTTP/1.1\r\nhost\r\n\r\n",
            b"GET /v1/notes HTTP/1.1\r\nbad name: x\r\n\r\n",
            b"GET /v1/notes HTTP/1.1\r\nx: a\x00b\r\n\r\n",
            _post(GOOD, f"content-length: {len(GOOD)}", "content-length: 5"),
            _post(GOOD, "content-length: -1"),
            _post(GOOD, "content-length: 1e3"),
            _post(GOOD, f"content-length: {len(GOOD)}", "transfer-encoding: chunked"),
            _post(b"zz\r\n", "transfer-encoding: chunked"),
        ],
        ids=["TLS", "version", "path", "no colon", "header name", "NUL", "two lengths",
             "negative", "no number", "length and chunks", "chunk size"],
    )  # fmt: skip
    def test_that_speak_no_http_are_told_so(self, connect, bytes_):
        """What can be read in more than one way, or in none, is refused and cut off."""
        wire = connect()

        wire.send(bytes_)

        status, headers, body = wire.answer()
        assert (status, headers["connection"]) == (400, "close")
        assert json.loads(body)["code"] == "request_malformed"
        assert wire.is_closed()

    def test_with_a_long_head_are_cut_off(self, connect):
        """Request line and headers have a limit together."""
        wire = connect(head_bytes_max=2000)

        wire.send(
            b"GET / HTTP/1.1\r\n" + b"".join(b"x%d: %s\r\n" % (i, b"a" * 90) for i in range(30))
        )

        status, headers, body = wire.answer()
        assert (status, headers["connection"]) == (431, "close")
        assert json.loads(body)["code"] == "head_too_large"

    def test_do_not_trouble_the_others(self, connect):
        """After all of that the server answers."""
        for bytes_ in (b"\x00" * 100, b"GET / HTTP/1.1\r\n", _post(b"", "content-length: 10")):
            connect().send(bytes_)
        wire = connect()

        wire.send(READ)

        assert wire.answer()[0] == 200


class TestTheEnd:
    def test_lets_requests_under_way_finish(self, connect):
        """A request that is being worked on when the end begins gets its answer."""
        wire = connect()
        wire.send(WAIT)
        time.sleep(0.1)

        connect.stop()

        status, headers, _ = wire.answer()
        assert (status, headers["connection"]) == (204, "close")

    def test_turns_readiness_first(self, connect):
        """While the last requests are answered, readiness is already 503."""
        slow, asking = connect(), connect()
        slow.send(WAIT)
        time.sleep(0.1)
        asking.send(b"GET /health/ready HTTP/1.1\r\n")
        ending = threading.Thread(target=connect.stop)
        ending.start()
        time.sleep(0.05)
        asking.send(b"\r\n")

        try:
            assert asking.answer()[0] == 503
        finally:
            ending.join()

    def test_takes_no_new_connection(self, connect):
        """After the end nobody listens."""
        connect()
        connect.stop()

        with pytest.raises(ConnectionRefusedError):
            connect()
