"""A whole served bank for those who mean it harm, and a scanner over all that it logs."""

import contextlib
import io
import json
import logging
import re
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import structlog
from tests.bureau import Bureau
from tests.conftest import lend_database
from tests.interfaces.bank.conftest import Served
from tests.journeys.conftest import Vaulted, serving
from tests.security.described import OF_SESSIONS, Described, body_of, path_of, query_of

from scudo.fabric.settings import Settings
from scudo.fabric.telemetry import configure_logging
from scudo.identity import SCOPES
from scudo.kernel import find_in_text
from scudo.simulation import Phone, mailed_code

#: Stands in every text that these suites send: no line of the log may hold it.
MARK: Final = "Mallory"
#: Events that tell of requests and not of their effects; a customer whose token is over logs in.
TRAIL: Final = frozenset(
    {
        "governance.act.recorded.v1",
        "governance.anomaly.found.v1",
        "identity.operator.refused.v1",
        "identity.operator.scope_used.v1",
        "identity.session.began.v1",
        "decisions.passage.decided.v1",
    }
)
_SECRETS: Final = re.compile(
    r"scudo_[\w-]{20,}|\b[ar]t_[\w-]{20,}|PRIVATE KEY|Bearer |DPoP |eyJ[\w-]{8,}"
)
Scan = Callable[[str], list[str]]


def findings(log: str, secrets: frozenset[str]) -> list[str]:
    """Name the lines of a log that are not one JSON object, or hold what no log may hold."""
    found = []
    for line in log.splitlines():
        try:
            is_whole = isinstance(json.loads(line), dict)
        except ValueError:
            is_whole = False
        what = [
            *(["no JSON object"] if not is_whole else []),
            *(["a text of a request"] if MARK in line else []),
            *(["a secret"] if _SECRETS.search(line) or any(s in line for s in secrets) else []),
            *find_in_text(line),
        ]
        found += [f"{', '.join(what)}: {line}"] if what else []
    return found


@pytest.fixture(scope="session")
def served(server: Any, template: str) -> Iterator[Served]:
    """One bank with its vault for all suites here; what they attack is their own."""
    lending = lend_database(server, template=template)
    with tempfile.TemporaryDirectory(prefix="scudo-attacked-") as folder:
        settings = Settings(home=Path(folder) / "home")
        settings.home.mkdir()
        with serving(next(lending), settings, has_customers=True) as bank:
            yield bank
    next(lending, None)


@pytest.fixture(scope="session")
def officer(served: Served) -> Iterator[str]:
    """Token of an operator: a security officer, who may ask what no client may."""
    bureau = Bureau(served)
    with closing(bureau.http):
        token = bureau.founders()[0].token
        # What clients did alone before ends in a moment, and is told once.
        while served.bank.rooms.authority.ways.due(0) is not None:
            time.sleep(0.05)
        yield token


@pytest.fixture(scope="module")
def logged(served: Served) -> Iterator[Callable[[], str]]:
    """What the bank logs while a module runs, in the form that a process writes."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging(level="INFO", stream=stream)
    # The client's own lines are not the bank's.
    for client in ("httpx", "httpcore", "hypothesis"):
        logging.getLogger(client).setLevel(logging.CRITICAL)
    yield stream.getvalue
    root.handlers, _ = handlers, root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope="module", autouse=True)
def nothing_leaks(logged: Callable[[], str], served: Served) -> Iterator[None]:
    """After each module: no line of its log holds a secret, a card number or a request's text."""
    yield
    assert findings(logged(), frozenset({served.token})) == []


class Attacker:
    """Sends requests to operations as they are described, over one connection."""

    def __init__(self, served: Served, token: str | None) -> None:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        # Nothing here is TLS; to read the system's certificates takes longer than to ask.
        self.http = httpx.Client(base_url=served.url, headers=headers, timeout=20, verify=False)
        self._keys = 0

    def ask(
        self, operation: Described, ids: dict[str, str], *, query: Any = None, **changed: Any
    ) -> httpx.Response:
        """Ask an operation; `path`, `body`, `content` and `headers` stand for what is usual."""
        self._keys += 1
        headers = {"idempotency-key": f"{MARK}-{id(self)}-{self._keys}"}
        if operation.method == "GET":
            headers = {}
        given: dict[str, Any] = {"headers": {**headers, **changed.get("headers", {})}}
        if "content" in changed:
            given["content"] = changed["content"]
            given["headers"].setdefault("content-type", operation.media or "application/json")
        elif operation.takes_json:
            given["json"] = changed["body"] if "body" in changed else body_of(operation, ids)
        path = changed.get("path") or path_of(operation, ids)
        method = changed.get("method") or operation.method
        if query is None or isinstance(query, dict):
            query = {**query_of(operation, ids), **(query or {})}
        return self.send(method, path, params=query, **given)

    def send(self, method: str, path: str, **given: Any) -> httpx.Response:
        """Send what was put together."""
        return self.http.request(method, path, **given)


class DeviceAttacker(Attacker):
    """A customer whose phone proves every request, and who sends what no phone would."""

    def __init__(self, served: Served, phone: Phone) -> None:
        super().__init__(served, None)
        self.phone = phone

    def send(self, method: str, path: str, **given: Any) -> httpx.Response:
        """Send it with a fresh proof, unless it brings one; with another token if that is over."""
        phone, headers = self.phone, given.pop("headers", {})
        # What is sent in pieces can be sent once: its proof has to be good at once.
        is_once = not isinstance(given.get("content", b""), bytes)
        for _ in range(3):
            own = {
                "authorization": f"DPoP {phone.access}",
                "dpop": phone.proof(method, httpx.URL(path).path),
            }
            answer = self.http.request(method, path, headers={**own, **headers}, **given)
            if is_once or answer.status_code != httpx.codes.UNAUTHORIZED or set(own) & set(headers):
                return answer
            self._mend(answer)
        return answer

    def _mend(self, answer: httpx.Response) -> None:
        """Take the bank's nonce, or log in anew: an attack may have ended the session."""
        if "dpop-nonce" in answer.headers:
            self.phone.nonce = answer.headers["dpop-nonce"]
        else:
            entered = self.phone.log_in()
            assert entered.status_code == httpx.codes.CREATED, entered.text


@pytest.fixture(scope="module")
def attacker_for(served: Served) -> Iterator[Callable[..., Attacker]]:
    """Make attackers, one for each token; they are kept for the module."""
    made: dict[str | None, Attacker] = {}

    def make(token: str | None) -> Attacker:
        if token not in made:
            made[token] = Attacker(served, token)
        return made[token]

    yield make
    for attacker in made.values():
        attacker.http.close()


@pytest.fixture(scope="session")
def customer_with_phone(served: Vaulted) -> Iterator[Callable[[], Phone]]:
    """Make customers: signed up by mail, with a passkey and a session by it."""
    with contextlib.ExitStack() as stack:

        def make() -> Phone:
            http = httpx.Client(base_url=served.url, timeout=20, verify=False)
            phone = Phone(stack.enter_context(http), address=f"{uuid.uuid4().hex}@example.com")
            sent = phone.post("/v1/sign-ups", {"email": phone.address}).json()
            code = mailed_code(served.settings.home / "mail", phone.address)
            assert phone.activate(phone.address, sent["code_id"], code).status_code == 201
            assert phone.add_passkey().status_code == 201
            assert phone.log_in().status_code == 201
            return phone

        yield make


@pytest.fixture(scope="session")
def mallory(served: Vaulted, customer_with_phone: Callable[[], Phone]) -> Iterator[DeviceAttacker]:
    """A customer with a phone who attacks the operations of sessions."""
    attacker = DeviceAttacker(served, customer_with_phone())
    with closing(attacker.http):
        yield attacker


@pytest.fixture(scope="module")
def entitled(
    served: Served,
    officer: str,
    attacker_for: Callable[..., Attacker],
    mallory: DeviceAttacker,
) -> Callable[[Described], Attacker]:
    """Whoever may ask an operation: a client with every scope, an operator, or a customer."""

    def one(operation: Described) -> Attacker:
        if operation in OF_SESSIONS:
            return mallory
        is_clients = operation.scope is None or operation.scope in SCOPES
        return attacker_for(served.token if is_clients else officer)

    return one


@pytest.fixture
def unchanged(served: Served, banks_own: Any) -> Callable[..., bool]:
    """Whether the log tells of nothing since the test began but of who was refused."""
    before = served.bank.conveyor.head.position

    def is_so(allowed: frozenset[str] = TRAIL) -> bool:
        events = banks_own.get("/v1/events", after=before, limit=500).json()["items"]
        return {event["type"] for event in events} <= allowed

    return is_so


@pytest.fixture(scope="module")
def banks_own(served: Served) -> Iterator[Any]:
    """Somebody of the bank's own, who makes what others attack."""
    own = served.teller(served.token)
    with closing(own.http):
        yield own
