"""The typed client: its methods are the operations, and its retries are safe."""

import asyncio
import importlib.util
import inspect
import pickle
import socket
import threading
import typing
from pathlib import Path

import pytest

from scudo.client import AsyncClient, BankUnreachable, Client, ClientRefusal, Retry, types
from scudo.interfaces.table import describe_without_bank

ROOT = Path(__file__).resolve().parents[2]
QUICK = Retry(attempts=3, first_wait_s=0.001, longest_wait_s=0.01)
NEW = types.NewPayment(
    debit_account_id="acc_0000000000000001",
    credit_account_id="acc_0000000000000002",
    amount_minor=1,
    currency="EUR",
)
PAID = b'{"id":"pay_1","status":"settled","amount_minor":1,"decision_id":"dec_1"}'


@pytest.fixture(scope="module")
def document():
    return describe_without_bank()


def _operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


class TestGeneratedFiles:
    def test_are_what_the_generator_makes(self, document):
        """Nobody has changed a generated file by hand, and no route without the client."""
        spec = importlib.util.spec_from_file_location(
            "generate_client", ROOT / "tools" / "generate_client.py"
        )
        generator = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(generator)

        for name, source in generator.generate(document).items():
            assert (generator.FOLDER / name).read_text() == source, name


class TestMethods:
    @pytest.mark.parametrize("client", [Client, AsyncClient])
    def test_are_the_operations_and_no_others(self, document, client):
        """Every operation has one method, and every method is an operation or its pages."""
        names = {operation["operationId"] for _, _, operation in _operations(document)}
        methods = {
            name
            for name, _ in inspect.getmembers(client, inspect.isfunction)
            if not name.startswith("_") and name != "close"
        }

        pages = {name for name in methods if name.startswith("iterate_")}
        assert methods - pages == names
        assert {name.replace("iterate_", "list_") for name in pages} <= names

    @pytest.mark.parametrize("client", [Client, AsyncClient])
    def test_take_what_the_operations_take(self, document, client):
        """Parameters, whether they may be left out, and types are those of the document."""
        plain = {"string": str, "integer": int}
        for _, _, operation in _operations(document):
            method = getattr(client, operation["operationId"])
            hints = typing.get_type_hints(method)
            taken = dict(list(inspect.signature(method).parameters.items())[1:])
            for parameter in operation["parameters"]:
                name = parameter["name"].lower().removeprefix("scudo-").replace("-", "_")
                given = taken.pop(name)
                assert hints[name] in {
                    plain.get(parameter["schema"].get("type")),
                    plain.get(parameter["schema"].get("type")) | None,
                    # The log's time is microseconds here and text on the wire.
                    (int | None) if name == "ordered_at" else str,
                }
                if parameter["in"] != "header":
                    assert (given.default is given.empty) == parameter["required"]
            if "requestBody" in operation:
                (described,) = operation["requestBody"]["content"].values()
                schema = described["schema"]
                assert hints["body"].__name__ == schema["$ref"].rpartition("/")[2]
                taken.pop("body")
            assert not taken, operation["operationId"]


class Script:
    """A server that gives one prepared answer per connection, and keeps what was asked."""

    def __init__(self, *answers):
        self.asked = []
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        for answer in self._answers:
            connection, _ = self._listener.accept()
            with connection:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += connection.recv(65536)
                self.asked.append(request.decode().lower())
                connection.sendall(answer)

    def close(self):
        self._listener.close()
        self._thread.join()

    def keys(self):
        return [
            line.partition(": ")[2]
            for request in self.asked
            for line in request.split("\r\n")
            if line.startswith("idempotency-key")
        ]


def _answer(status, body, *lines):
    head = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", "connection: close", *lines]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


BUSY = _answer(503, b'{"status":503,"code":"overloaded","detail":"d","retryable":true,'
               b'"next_step":"n"}', "retry-after: 0")  # fmt: skip
GONE = b""
DONE = _answer(201, PAID)


@pytest.fixture
def script():
    scripts = []

    def write(*answers):
        scripts.append(Script(*answers))
        return scripts[-1]

    yield write
    for each in scripts:
        each.close()


class TestAddresses:
    @pytest.mark.parametrize(
        ("name", "written"),
        [
            ("../health/live", "..%2fhealth%2flive"),
            ("a?b=c&d#e", "a%3fb%3dc%26d%23e"),
            ("//mallory.example/", "%2f%2fmallory.example%2f"),
            ("%2e%2e", "%252e%252e"),
            ("a b\r\nx: y", "a%20b%0d%0ax%3a%20y"),
        ],
    )
    def test_are_made_of_encoded_parts(self, script, name, written):
        """A name is one segment of the path, whatever is in it, and asks nobody else."""
        server = script(_answer(404, b"{}"))

        with (
            Client(server.url, token="t", retry=Retry(attempts=1)) as bank,
            pytest.raises(ClientRefusal),
        ):
            bank.revoke_client(name)

        assert server.asked[0].startswith(f"delete /v1/clients/{written} http/1.1\r\n")


class TestRetries:
    def test_keep_the_idempotency_key(self, script):
        """A connection that breaks and a busy bank are tried again, under one key."""
        server = script(GONE, BUSY, DONE)

        with Client(server.url, token="t", retry=QUICK) as bank:
            paid = bank.pay(NEW)

        assert paid.status == "settled"
        assert len(server.keys()) == 3
        assert len(set(server.keys())) == 1

    def test_of_the_awaiting_client_keep_it_too(self, script):
        """Both colours repeat alike, and a key of the caller's is used."""
        server = script(BUSY, GONE, DONE)

        async def pay():
            async with AsyncClient(server.url, token="t", retry=QUICK) as bank:
                return await bank.pay(NEW, idempotency_key="mine")

        assert asyncio.run(pay()).id == "pay_1"
        assert server.keys() == ["mine"] * 3

    def test_end(self, script):
        """When the last attempt is refused too, the refusal is raised as it came."""
        server = script(BUSY, BUSY, BUSY)

        with (
            Client(server.url, token="t", retry=QUICK) as bank,
            pytest.raises(ClientRefusal) as refused,
        ):
            bank.pay(NEW)

        assert (refused.value.code, refused.value.status) == ("overloaded", 503)
        assert refused.value.retryable

    def test_that_never_reach_the_bank_tell_the_key(self, script):
        """Without any answer the effect is unknown, and the key to ask by is told."""
        server = script(GONE, GONE, GONE)

        with (
            Client(server.url, token="t", retry=QUICK) as bank,
            pytest.raises(BankUnreachable) as lost,
        ):
            bank.pay(NEW)

        assert lost.value.key == server.keys()[0]

    def test_are_not_made_for_what_is_refused_for_good(self, script):
        """A refusal that time does not heal is raised at once."""
        body = (
            b'{"status":422,"code":"same_account","detail":"d","retryable":false,"next_step":"n"}'
        )
        server = script(_answer(422, body))

        with (
            Client(server.url, token="t", retry=QUICK) as bank,
            pytest.raises(ClientRefusal, match="same_account"),
        ):
            bank.pay(NEW)

    def test_tell_apart_what_is_not_the_banks_answer(self, script):
        """An error page of something in between is named as such."""
        server = script(_answer(404, b"<html>"))

        with (
            Client(server.url, token="t", retry=QUICK) as bank,
            pytest.raises(ClientRefusal) as refused,
        ):
            bank.get_payment("pay_0000000000000001")

        assert refused.value.code == "gateway"

    @pytest.mark.parametrize("attempt", range(1, 12))
    def test_wait_within_bounds(self, attempt):
        """Waits grow, heed Retry-After, and have an upper bound."""
        retry = Retry(attempts=20, first_wait_s=0.1, longest_wait_s=5)

        wait = retry.wait_s(attempt, None)
        assert min(5, 0.1 * 2 ** (attempt - 1)) / 2 <= wait <= 5
        assert 1 <= retry.wait_s(1, "2") <= 2
        assert retry.wait_s(1, "3600") <= 5


class TestClientRefusal:
    def test_travels_between_processes(self):
        """A refusal that is pickled comes out whole."""
        from scudo.client.errors import Problem  # noqa: PLC0415 - late: `--help` must not load the bank

        refusal = ClientRefusal(Problem(422, "c", "d", False, "n", field="f"))

        copy = pickle.loads(pickle.dumps(refusal))

        assert (copy.code, copy.field, copy.next_step) == ("c", "f", "n")
