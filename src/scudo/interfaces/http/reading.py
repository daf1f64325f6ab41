"""Reading a request strictly: head, query, body. One way to read it, or a refusal."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from scudo.fabric import web
from scudo.interfaces.http.routing import Route
from scudo.kernel import parse_rfc3339

Receive = Callable[[], Awaitable[Mapping[str, Any]]]

_ONCE: Final = (
    b"accept",
    b"authorization",
    b"content-encoding",
    b"content-length",
    b"content-type",
    b"dpop",
    b"host",
    b"idempotency-key",
    b"scudo-ordered-at",
    b"transfer-encoding",
)
#: RFC 6750, RFC 9449.
_SCHEMES: Final = frozenset({b"bearer", b"dpop"})
_LENGTH_DIGITS_MAX: Final = 18
_QUERY_FIELDS_MAX: Final = 32
#: Member names may be as long as the body; their echo is not.
_FIELD_MAX: Final = 200
_SENTENCE_MAX: Final = 300
_AT: Final = " - at `$"
_CLOSE: Final = ((b"connection", b"close"),)


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


def read_head(lines: web.Headers) -> dict[bytes, bytes]:
    """Collect the headers of a request by name.

    Raises:
        HeaderInvalid: if one that may come once is repeated; which of two values
            counts is a matter in which proxies differ.
    """
    head = dict(lines)
    if len(head) != len(lines):
        names = [name for name, _ in lines]
        for once in _ONCE:
            if names.count(once) > 1:
                message = "this header is repeated"
                raise web.errors.HeaderInvalid(message, field=once.decode("ascii"))
    return head


def read_arrival(scope: Mapping[str, Any], head: Mapping[bytes, bytes]) -> web.Arrival:
    """Collect what is known of a request before any of it is believed."""
    peer = scope.get("client")
    return web.Arrival(
        scope["method"],
        scope["path"],
        scope["query_string"],
        head,
        network="" if peer is None else peer[0],
    )


def read_credentials(head: Mapping[bytes, bytes]) -> tuple[str, str]:
    """Read the Authorization header: its scheme in lower case, and what follows it.

    Raises:
        TokenMissing: if there is none of a scheme that we know, with visible ASCII after it.
    """
    scheme, _, token = head.get(b"authorization", b"").partition(b" ")
    scheme = scheme.lower()
    if scheme not in _SCHEMES or not token or not token.isascii():
        message = "this operation needs a token"
        raise web.errors.TokenMissing(
            message, headers=((b"www-authenticate", b'Bearer realm="scudo"'),)
        )
    return scheme.decode("ascii"), token.decode("ascii")


def read_key(head: Mapping[bytes, bytes], *, needed: bool) -> str | None:
    """Read the idempotency key.

    Raises:
        IdempotencyKeyMissing: if it is needed and absent.
        IdempotencyKeyMalformed: if it is not 1 to 255 visible ASCII characters.
    """
    raw = head.get(b"idempotency-key")
    if raw is None:
        if needed:
            message = "a request that moves money needs an Idempotency-Key header"
            raise web.errors.IdempotencyKeyMissing(message, field="idempotency-key")
        return None
    key = raw.decode("latin-1")
    if web.is_idempotency_key(key):
        return key
    message = "the Idempotency-Key is not 1 to 255 visible ASCII characters"
    raise web.errors.IdempotencyKeyMalformed(message, field="idempotency-key")


def read_ordered_at(raw: bytes) -> int:
    """Read the time that a client which drives the clock gives, in microseconds.

    Raises:
        InstantMalformed: if it is not an RFC 3339 instant.
    """
    return parse_rfc3339(raw.decode("latin-1"), field="scudo-ordered-at")


def demand_accepted(accept: bytes) -> None:
    """Look whether the client takes JSON.

    Raises:
        AnswerNotAcceptable: if its Accept header names only other media types.
    """
    for choice in accept.lower().split(b","):
        media, _, parameters = choice.partition(b";")
        quality = parameters.replace(b" ", b"").strip(b"0.") == b"q="
        if media.strip() in {b"*/*", b"application/*", b"application/json"} and not quality:
            return
    message = "the answer is JSON, which the Accept header rules out"
    raise web.errors.AnswerNotAcceptable(message, field="accept")


def read_query(route: Route, raw: bytes) -> Any:  # noqa: ANN401 - any type that msgspec knows
    """Decode the query string into the operation's struct, or None if it has none.

    Raises:
        QueryInvalid: for unknown, repeated, mistyped or undecodable parameters.
    """
    wanted = route.operation.query
    found: dict[str, str] = {}
    if raw:
        try:
            pairs = parse_qsl(
                raw.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=True,
                errors="strict",
                max_num_fields=_QUERY_FIELDS_MAX,
            )
        except ValueError as error:
            message = "the query string cannot be read"
            raise web.errors.QueryInvalid(message) from error
        found = dict(pairs)
        if len(found) != len(pairs):
            message = "a parameter is repeated"
            raise web.errors.QueryInvalid(
                message, field=_repeated([name for name, _ in pairs])[:_FIELD_MAX]
            )
        if "%00" in raw.decode("ascii"):
            message = "a text holds the character NUL"
            raise web.errors.QueryInvalid(message)
    if wanted is None:
        for name in found:
            message = "this operation takes no such parameter"
            raise web.errors.QueryInvalid(message, field=name[:_FIELD_MAX])
        return None
    try:
        return msgspec.convert(found, wanted, strict=False)
    except msgspec.ValidationError as error:
        what, field = _explain(error)
        raise web.errors.QueryInvalid(what, field=field) from error


def _repeated(names: list[str]) -> str:
    return next(name for name in names if names.count(name) > 1)


async def read_body(route: Route, head: Mapping[bytes, bytes], receive: Receive) -> Any:  # noqa: ANN401 - any type that msgspec knows
    """Read and decode the body into the operation's struct, or None if it takes none.

    An operation that takes it raw is given its bytes.

    Raises:
        BodyUnexpected: if the operation takes none and one is announced.
        HeaderInvalid: if the client asks for another protocol at the same time.
        MediaTypeUnsupported: if it is announced as anything but JSON.
        BodyTooLarge: as soon as it is announced or grows too long; the rest stays unread.
        BodyMalformed: if it is not JSON in UTF-8.
        BodyInvalid: if a member is not as documented; `field` is its path.
        ClientGone: if the client leaves before the end.
    """
    length = head.get(b"content-length")
    if route.decode is None:
        if (length is not None and length != b"0") or b"transfer-encoding" in head:
            message = "this operation takes no body"
            raise web.errors.BodyUnexpected(message)
        return None
    if b"upgrade" in head:
        # The parser stops at the head of such a request and never gives its body.
        message = "this server does not upgrade connections; send the body without asking for it"
        raise web.errors.HeaderInvalid(message, field="upgrade")
    content_type = head.get(b"content-type", b"")
    if content_type != b"application/json" or b"content-encoding" in head:
        _demand_json(content_type, head.get(b"content-encoding", b"identity"))
    limit = route.operation.body_bytes_max
    # The parser admits digits only; so many of them are too large whatever they say.
    if length is not None and (len(length) > _LENGTH_DIGITS_MAX or int(length) > limit):
        raise web.errors.BodyTooLarge(_too_large(limit), headers=_CLOSE)
    chunk = await receive()
    body: bytes = chunk.get("body", b"")
    if chunk.get("more_body", False) or chunk["type"] == "http.disconnect":
        body = await _read_rest(chunk, receive, limit)
    if len(body) > limit:
        raise web.errors.BodyTooLarge(_too_large(limit), headers=_CLOSE)
    return body if route.operation.is_raw else decode_body(route, body)


async def _read_rest(chunk: Mapping[str, Any], receive: Receive, limit: int) -> bytes:
    body = bytearray()
    while True:
        if chunk["type"] == "http.disconnect":
            raise ClientGone
        body += chunk.get("body", b"")
        if len(body) > limit:
            raise web.errors.BodyTooLarge(_too_large(limit), headers=_CLOSE)
        if not chunk.get("more_body", False):
            return bytes(body)
        chunk = await receive()


def _too_large(limit: int) -> str:
    return f"the body is longer than {limit} bytes"


def _demand_json(content_type: bytes, encoding: bytes) -> None:
    media, _, parameters = content_type.lower().partition(b";")
    charset = parameters.replace(b" ", b"").replace(b'"', b"")
    if (
        media.strip() != b"application/json"
        or charset not in {b"", b"charset=utf-8"}
        or encoding.lower() != b"identity"
    ):
        message = "the body is not announced as JSON in UTF-8"
        raise web.errors.MediaTypeUnsupported(message, field="content-type")


def decode_body(route: Route, body: bytes) -> Any:  # noqa: ANN401 - any type that msgspec knows
    """Decode a complete body.

    Raises:
        BodyMalformed: if it is not JSON in UTF-8.
        BodyInvalid: if a member is not as documented, or a text holds NUL, which
            PostgreSQL cannot store.
    """
    assert route.decode is not None
    try:
        decoded = route.decode.decode(body)
    except msgspec.ValidationError as error:
        what, field = _explain(error)
        raise web.errors.BodyInvalid(what, field=field) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = "the body is not JSON in UTF-8"
        raise web.errors.BodyMalformed(message) from error
    if b"\\u0000" in body:
        message = "a text holds the character NUL"
        raise web.errors.BodyInvalid(message)
    return decoded


def _explain(error: msgspec.ValidationError) -> tuple[str, str | None]:
    what, at, where = str(error).rpartition(_AT)
    if not at:
        what, where = where, "`"
    field = where[:-1].removeprefix(".")
    _, named, name = what.rpartition(" field `")
    if named:
        field = f"{field}.{name[:-1]}" if field else name[:-1]
    sentence = what.replace("`", "")
    return f"{sentence[0].lower()}{sentence[1:_SENTENCE_MAX]}", field[:_FIELD_MAX] or None
