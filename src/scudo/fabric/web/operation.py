"""One definition per HTTP operation: what routing, checks, OpenAPI and client are made from."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final, Literal

import msgspec

from scudo.fabric.web.errors import Headers
from scudo.kernel import Prefix, Refusal, ids

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
BODY_BYTES_MAX: Final = 64 * 1024
BULK_BODY_BYTES_MAX: Final = 4 * 1024 * 1024

#: The scope whose holders may say, by the header Scudo-Ordered-At, what time the log has.
CLOCK_SCOPE: Final = "clock:drive"


class PrincipalKind(IntEnum):
    """Who asks: the number stands in the log."""

    NOBODY = 0
    CLIENT = 1
    CUSTOMER = 2
    OPERATOR = 3
    PARTNER = 4


_SENDERS: Final = {
    PrincipalKind.CLIENT: Prefix.CLIENT,
    PrincipalKind.CUSTOMER: Prefix.CUSTOMER,
    PrincipalKind.OPERATOR: Prefix.OPERATOR,
    PrincipalKind.PARTNER: Prefix.PARTNER,
}
#: Positions of the log are far below it; the highest kind fits into the 63 bits of a number.
_KIND_SHIFT: Final = 60
#: The number of all whom the bank does not know; its own is 0.
STRANGERS: Final = 7 << _KIND_SHIFT


class Principal(msgspec.Struct, frozen=True):
    """On whose behalf a request is made.

    Attributes:
        id: number of the client, customer, operator or partner; 0 is nobody, on operations
            without scope.
        scopes: what it may do.
        customer: the one customer whose objects it may see; None sees all.
        session: number of the session that the token belongs to; None: it has none.
        tier: name of its rate limits; empty: those of the installation.
    """

    id: int
    scopes: frozenset[str]
    customer: int | None = None
    kind: PrincipalKind = PrincipalKind.CLIENT
    session: int | None = None
    tier: str = ""

    @property
    def sender(self) -> int:
        """Their number in the log, where idempotency keys are kept by it.

        Of clients it is their own. Numbers of the others are positions of the log, of which one
        may equal a client's: so their kind stands above them, and no two share keys.
        """
        if self.kind is PrincipalKind.CLIENT:
            return self.id
        if self.kind is PrincipalKind.NOBODY:
            return STRANGERS
        return self.kind << _KIND_SHIFT | self.id


def sender_of(number: int) -> tuple[PrincipalKind, int]:
    """Of what kind who sent an entry of the log is, and their own number."""
    if number in {0, STRANGERS}:
        return PrincipalKind.NOBODY, 0
    kind = PrincipalKind(number >> _KIND_SHIFT or PrincipalKind.CLIENT)
    return kind, number & (1 << _KIND_SHIFT) - 1


def show_sender(number: int) -> str | None:
    """Who sent an entry of the log, as clients see it; None: the bank itself, or a stranger."""
    kind, own = sender_of(number)
    return None if kind is PrincipalKind.NOBODY else ids.show(_SENDERS[kind], own)


NOBODY: Final = Principal(id=0, scopes=frozenset(), kind=PrincipalKind.NOBODY)


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """A request as it came in, before anything of it is believed.

    Attributes:
        method: as sent.
        path: percent-decoded.
        query: raw query string.
        headers: by name in lower case; those that count have come once.
        network: address of the peer, as text; empty if there is none (a Unix socket).
        certificate: the certificate that the peer has proven to hold the key of, DER; None
            without mutual TLS.
    """

    method: str
    path: str
    query: bytes
    headers: Mapping[bytes, bytes]
    network: str = ""
    certificate: bytes | None = None


NOWHERE: Final = Arrival(method="", path="", query=b"", headers={})

#: Finds out who asks, from memory: given the scheme of the Authorization header in lower case,
#: its credentials, and the request. None: nobody is known by these. May refuse with reasons.
Authenticator = Callable[[str, str, Arrival], Principal | None]


class Call(msgspec.Struct, frozen=True, gc=False):
    """One request as its handler sees it.

    Attributes:
        client: whose token came with it.
        path: values of the path's templates, by name, percent-decoded.
        body: an instance of the operation's `body`, or None; the bytes that came if it is raw.
        query: an instance of the operation's `query`, or None.
        key: the idempotency key; never None where the operation moves money.
        ordered_at: microseconds since 1970 that the log shall have; only from
            clients that may drive the clock.
        trace_id: names this request in logs.
        arrival: the request as it came in.
        flags: feature flags that were evaluated for this request, by name; what was found
            first holds until it is answered.
    """

    client: Principal
    path: Mapping[str, str]
    body: Any
    query: Any
    key: str | None
    ordered_at: int | None
    trace_id: str
    arrival: Arrival = NOWHERE
    flags: dict[str, bool | int | str] = msgspec.field(default_factory=dict)


class Reply(msgspec.Struct, frozen=True, gc=False):
    """One answer.

    Attributes:
        status: HTTP status; from 400 on the body is a problem.
        body: bytes go out as they are, a struct as its JSON.
        headers: beside those that every answer has; names in lower case.
    """

    status: int
    body: bytes | msgspec.Struct | None = None
    headers: Headers = ()


Handler = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One HTTP operation.

    Attributes:
        method: HTTP method; GET answers HEAD too.
        path: `/v1/things/{thing_id}`; a template is one whole segment.
        name: operationId and name of the client's method, `snake_case`, unique.
        summary: one sentence without full stop.
        tag: group in the documentation; the room's name.
        scope: what the client's token must have; None is open to everybody.
        handler: does it.
        answers: type of the body per status of success; None is an empty body.
        path_types: schema of each template of the path (ids say their pattern).
        body: a struct that forbids unknown fields.
        query: a struct that forbids unknown fields, its members strings or whole numbers.
        refusals: what the handler may raise, beside what this layer refuses itself.
        moves_money: whether it must carry an idempotency key.
        is_bank_wide: whether it keeps clients out that are bound to one customer.
        is_of_networks: whether it keeps customers' own sessions out, because it is said by a
            network that stands between them and the bank.
        body_bytes_max: longer bodies are refused unread.
        media: content type of a success.
        example: a body that is documented as an example.
        is_raw: whether the handler is given the body's bytes as they came, undecoded: for
            signatures over them.
        is_form: whether the body is a form instead of JSON, as OAuth demands.
        network_per_s: how often one network may ask, where strangers may; None: not limited.
        network_limit: the same, as the limits of the edge say it under this name.
    """

    method: Method
    path: str
    name: str
    summary: str
    tag: str
    scope: str | None
    handler: Handler
    answers: Mapping[int, Any]
    path_types: Mapping[str, Any] = field(default_factory=dict)
    body: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    refusals: tuple[type[Refusal], ...] = ()
    moves_money: bool = False
    is_bank_wide: bool = False
    is_of_networks: bool = False
    body_bytes_max: int = BODY_BYTES_MAX
    media: str = JSON
    example: msgspec.Struct | None = None
    is_raw: bool = False
    is_form: bool = False
    network_per_s: int | None = None
    network_limit: str | None = None

    def __post_init__(self) -> None:
        """Hold the definition to what the documentation above says (a bug if not)."""
        assert self.path.startswith("/"), self.path
        assert self.name.isidentifier(), self.name
        assert set(self.templates) == set(self.path_types), f"{self.name}: path_types"
        for taken in (self.body, self.query):
            assert taken is None or taken.__struct_config__.forbid_unknown_fields, self.name
        assert self.body is None or self.method != "GET", f"{self.name}: GET has no body"
        assert not self.is_raw or self.body is not None, f"{self.name}: raw is a kind of body"
        assert not self.moves_money or self.method == "POST", f"{self.name}: moves by POST"
        assert self.network_per_s is None or self.network_limit is None, f"{self.name}: one limit"

    @property
    def templates(self) -> tuple[str, ...]:
        """Names of the path's templates, in order."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))


#: Refuses an operator who may not do an operation: asked with no call before the request is read,
#: and with it afterwards.
Authorise = Callable[[Principal, Operation, Call | None], None]
