"""Credentials that are almost right, and what the edge believes of a request."""

import base64
import hashlib
import json
import socket

import psycopg
import pytest
from tests.security.described import GUARDED, MISSING, OPERATIONS

OPERATION = next(one for one in GUARDED if one.name == "list_customers")


def jwt(**header):
    """A token that vouches for itself."""
    parts = [header, {"sub": "1", "scope": "customers:read", "exp": 4_102_444_800}]
    text = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=") for p in parts]
    return b".".join([*text, b"c2lnbmF0dXJl"]).decode()


#: What becomes of a good token that opens nothing.
BENT = {
    "as a proof": lambda token: f"DPoP {token}",
    "as a password": lambda token: f"Basic {base64.b64encode(token.encode()).decode()}",
    "of another scheme": lambda token: f"Token {token}",
    "without scheme": lambda token: token,
    "without space": lambda token: f"Bearer{token}",
    "twice": lambda token: f"Bearer {token} {token}",
    "twice, as a list": lambda token: f"Bearer {token},{token}",
    "padded": lambda token: f"Bearer {token}=",
    "cut": lambda token: f"Bearer {token[:-1]}",
    "in capitals": lambda token: f"Bearer {token.upper()}",
    "without prefix": lambda token: f"Bearer {token.removeprefix('scudo_')}",
    "as its hash": lambda token: f"Bearer {hashlib.sha256(token.encode()).hexdigest()}",
    "as nothing": lambda _: "Bearer",
    "as null": lambda _: "Bearer null",
    "vouching for itself": lambda _: f"Bearer {jwt(alg='none')}",
    "signed by a file": lambda _: f"Bearer {jwt(alg='HS256', kid='../../token.key')}",
    "signed by its sender": lambda _: f"Bearer {jwt(alg='RS256', jku='http://localhost/keys')}",
}


@pytest.fixture(scope="module")
def stranger(attacker_for):
    """Somebody without a token."""
    return attacker_for(None)


def with_header(stranger, value, **more):
    return stranger.ask(OPERATION, MISSING, headers={"authorization": value, **more})


class TestTokens:
    def test_are_good_as_bearer_tokens(self, served, stranger):
        """The token that the cases below bend is good as it is, in either case of the scheme."""
        for scheme in ("Bearer", "bearer", "BEARER"):
            assert with_header(stranger, f"{scheme} {served.token}").status_code == 200

    @pytest.mark.fault(49)
    @pytest.mark.parametrize("bend", BENT.values(), ids=BENT)
    def test_are_not_good_when_bent(self, served, stranger, bend):
        """Other schemes, parts, hashes and self-made tokens open nothing."""
        answer = with_header(stranger, bend(served.token))

        assert answer.status_code == 401
        assert answer.json()["code"] in {"token_missing", "token_unknown"}

    @pytest.mark.fault(49)
    def test_are_not_good_as_what_the_database_holds(self, served, stranger):
        """Whoever reads the database finds nothing that is a token, or gives one away."""
        with psycopg.connect(served.bank.dsn.owner, autocommit=True) as connection:
            rows = connection.execute("SELECT token_hash FROM identity.client").fetchall()

        assert rows
        for (stored,) in rows:
            kept = bytes(stored)
            assert len(kept) == 32
            for text in (kept.hex(), base64.b64encode(kept).decode()):
                assert with_header(stranger, f"Bearer {text}").status_code == 401
            assert served.token.encode() not in kept

    @pytest.mark.parametrize("name", ["access_token", "token", "authorization", "api_key"])
    def test_are_not_taken_from_the_address(self, served, stranger, name):
        """A token in a query is no token: addresses are kept in too many places."""
        assert stranger.ask(OPERATION, MISSING, query={name: served.token}).status_code == 401

    def test_are_not_taken_from_cookies(self, served, stranger):
        """Nothing that a browser sends by itself opens anything."""
        cookie = f"authorization={served.token}; token={served.token}"

        assert stranger.ask(OPERATION, MISSING, headers={"cookie": cookie}).status_code == 401

    @pytest.mark.fault(49)
    def test_end_when_another_is_given(self, served, attacker_for):
        """A client's older token is not good any more once it has a newer one."""
        older = attacker_for(served.token_for("customers:read", name="rotated"))
        assert older.ask(OPERATION, MISSING).status_code == 200

        newer = attacker_for(served.token_for("customers:read", name="rotated"))

        assert newer.ask(OPERATION, MISSING).status_code == 200
        assert older.ask(OPERATION, MISSING).status_code == 401

    def test_are_long_and_never_alike(self, served):
        """Tokens are 32 random bytes behind their prefix, in base64url."""
        tokens = {served.token_for("customers:read") for _ in range(20)}

        assert len(tokens) == 20
        for token in tokens:
            assert len(base64.urlsafe_b64decode(token.removeprefix("scudo_") + "=")) == 32


class TestTheEdge:
    @pytest.mark.parametrize(
        "headers",
        [
            {"x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1", "forwarded": "for=1.1.1.1"},
            {"x-user-id": "1", "x-client-cert": "MIIB", "x-ssl-client-verify": "SUCCESS"},
            {"x-http-method-override": "DELETE", "x-original-url": "/health/live"},
            {"host": "localhost", "origin": "http://localhost", "referer": "http://localhost/"},
        ],
    )
    def test_believes_no_header_of_a_proxy(self, stranger, headers):
        """Headers in which proxies say who came do not open anything."""
        answer = stranger.ask(OPERATION, MISSING, headers=headers)

        assert (answer.status_code, answer.json()["code"]) == (401, "token_missing")

    def test_repeats_no_origin(self, served, attacker_for):
        """No page of another origin may read an answer, nor send what a form cannot."""
        attacker = attacker_for(served.token)
        origin = {"origin": "https://mallory.example", "access-control-request-method": "POST"}
        operation = next(one for one in GUARDED if one.name == "register_customer")

        answers = [
            attacker.ask(operation, MISSING, headers=origin, method="OPTIONS"),
            attacker.ask(OPERATION, MISSING, headers=origin),
        ]

        for answer in answers:
            assert not [name for name in answer.headers if name.startswith("access-control-")]

    @pytest.mark.parametrize("media", ["text/plain", "multipart/form-data; boundary=a", ""])
    def test_reads_no_body_that_a_form_can_send(self, served, attacker_for, media):
        """What a page may send without being asked is not read as JSON."""
        operation = next(one for one in GUARDED if one.name == "register_customer")
        body = b'{"reference":"Mallory","kind":"person"}'

        answer = attacker_for(served.token).ask(
            operation, MISSING, content=body, headers={"content-type": media}
        )

        assert (answer.status_code, answer.json()["code"]) == (415, "media_type_unsupported")

    def test_takes_no_parameter_from_the_wrong_place(self, served, attacker_for):
        """What belongs into the body is refused in the query, and the same name twice as well."""
        attacker = attacker_for(served.token)
        operation = next(one for one in GUARDED if one.name == "register_customer")

        moved = attacker.ask(operation, MISSING, query={"kind": "business"})
        twice = attacker.ask(OPERATION, MISSING, query=[("limit", "1"), ("limit", "500")])

        for answer in (moved, twice):
            assert (answer.status_code, answer.json()["code"]) == (400, "query_invalid")

    @pytest.mark.parametrize(
        "path",
        ["/.git/config", "/.env", "/v1", "/v1/", "/static/../pyproject.toml", "/%2e%2e/etc/passwd"],
    )
    def test_serves_no_folder_and_no_file(self, stranger, path):
        """There is nothing at paths that servers show by mistake."""
        answer = stranger.ask(OPERATION, MISSING, path=path)

        assert (answer.status_code, answer.json()["code"]) == (404, "route_unknown")

    @pytest.mark.parametrize("operation", OPERATIONS, ids=str)
    def test_tells_browsers_to_make_nothing_of_an_answer(self, served, attacker_for, operation):
        """Answers and refusals say their type, and forbid keeping, framing, running, referring."""
        answers = [attacker_for(token).ask(operation, MISSING) for token in (None, served.token)]

        for answer in answers:
            policy = answer.headers["content-security-policy"].split("; ")
            assert {"object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"} <= set(policy)
            assert {"default-src 'none'", "default-src 'self'"} & set(policy)
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["strict-transport-security"].endswith("; includeSubDomains")
            assert answer.headers["content-type"].startswith(("application/", "text/"))
            assert answer.headers["content-type"].startswith("application/") or (
                "charset=utf-8" in answer.headers["content-type"]
            )

    def test_tells_them_so_before_a_request_is_read_too(self, served):
        """What is refused by the parser, and what methods a path has, is told as safely."""
        host, port = served.url.removeprefix("http://").split(":")
        for request in (b"NONSENSE\r\n\r\n", b"OPTIONS /v1/customers HTTP/1.1\r\nhost: x\r\n\r\n"):
            with socket.create_connection((host, int(port)), timeout=20) as wire:
                wire.sendall(request)
                answer = wire.recv(4_096)

            assert b"\r\nx-content-type-options: nosniff\r\n" in answer
            assert b"frame-ancestors 'none'" in answer

    @pytest.mark.parametrize("operation", OPERATIONS, ids=str)
    def test_answers_without_cookies_redirects_and_names_of_its_parts(self, stranger, operation):
        """No answer sets a cookie, sends elsewhere, or says what the server is made of."""
        answer = stranger.ask(operation, MISSING)

        told = {"set-cookie", "location", "server", "x-powered-by", "refresh"}
        assert answer.status_code not in range(300, 400)
        assert not told & set(answer.headers)
