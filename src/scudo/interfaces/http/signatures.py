"""Signatures over requests that move money: nothing that is covered can be changed unseen.

A signature covers the method, the target, the idempotency key and the digest of the body, and
says when it was made. So what is replayed within its time has no second effect: the key that it
covers was answered before. A nonce makes even that answer to be had once.

Source:
    RFC 9421 (HTTP Message Signatures): components without parameters of requests; RFC 9530
    (Digest Fields): SHA-256 and SHA-512.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from scudo.fabric import web
from scudo.interfaces.http.structured import (
    InnerList,
    Item,
    Malformed,
    parse_dictionary,
    write_inner_list,
)
from scudo.kernel import SECOND_US

#: How old a signature may be: a retry is signed anew.
_LIFE_S: Final = 60
_SKEW_S: Final = 5
_NONCE: Final = re.compile(r"[!-~]{8,64}")
#: Nonces that are remembered; beyond, signed requests are refused until the oldest are too old.
_NONCES_MAX: Final = 1_000_000
_DIGESTS: Final = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
#: What every signature says; `alg` and `expires` it may say, and nothing else.
_NEEDED: Final = frozenset({"created", "keyid", "nonce"})
_ALLOWED: Final = _NEEDED | {"alg", "expires", "tag"}
_DEFAULT_PORT: Final = {"http": ":80", "https": ":443"}
_NO_BODY: Final = b""

_log = structlog.get_logger("scudo.http")


class SignatureMissing(web.WebRefusal):
    """Raised when a request that must be signed is not, or its signature covers too little."""

    code = "signature_missing"
    kind = "unauthenticated"
    next_step = (
        "Sign @method, @target-uri (or @path and @query), idempotency-key and, with a body,"
        " content-digest, by RFC 9421, with created, keyid and nonce."
    )


class SignatureInvalid(web.WebRefusal):
    """Raised when a signature cannot be read, or is not over what was sent."""

    code = "signature_invalid"
    kind = "unauthenticated"
    next_step = "Sign exactly what is sent, with a registered key that is good now."


class SignatureStale(web.WebRefusal):
    """Raised when a signature was made too long ago, in the future, or has ended."""

    code = "signature_stale"
    kind = "unauthenticated"
    next_step = "Set the clock, and sign the request again, with the same Idempotency-Key."


class SignatureReplayed(web.WebRefusal):
    """Raised when a nonce comes again: the request was sent before."""

    code = "signature_replayed"
    kind = "unauthenticated"
    next_step = "Sign the request again with a new nonce, and the same Idempotency-Key."


#: What a request that moves money may be refused with for its signature.
REFUSALS: Final = (SignatureMissing, SignatureInvalid, SignatureStale, SignatureReplayed)


@dataclass(frozen=True, slots=True)
class Message:
    """What a signature may cover.

    Attributes:
        derived: derived components (`@method` and the like) by name.
        fields: each header by name in lower case; several lines joined by a comma and a space.
    """

    derived: Mapping[str, str]
    fields: Mapping[str, str]

    def component(self, name: str) -> str | None:
        """Value of a component; None if the message has none of the name."""
        return (self.derived if name.startswith("@") else self.fields).get(name)


def message_of(scope: Mapping[str, Any]) -> Message:
    """Read the components of a request from its ASGI scope (RFC 9421, section 2.2)."""
    fields: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1").strip(" \t")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    scheme: str = scope.get("scheme", "http")
    authority = fields.get("host", "").lower().removesuffix(_DEFAULT_PORT.get(scheme, ":"))
    path = scope.get("raw_path", scope["path"].encode()).decode("latin-1") or "/"
    query = scope["query_string"].decode("latin-1")
    target = f"{path}?{query}" if query else path
    return Message(
        {
            "@method": scope["method"],
            "@scheme": scheme,
            "@authority": authority,
            "@path": path,
            "@query": f"?{query}",
            "@request-target": target,
            "@target-uri": f"{scheme}://{authority}{target}",
        },
        fields,
    )


def signature_base(message: Message, covered: InnerList) -> bytes:
    """Write what is signed (RFC 9421, section 2.5).

    Raises:
        SignatureInvalid: if something is covered twice, that is not there, or in a way (by
            parameters) that is not read here.
    """
    lines: dict[str, str] = {}
    for item in covered.items:
        name = item.value
        if type(name) is not str or item.parameters or name != name.lower() or name in lines:
            what = "a covered component is repeated, or is one that is not read here"
            raise SignatureInvalid(what, field="signature-input")
        value = message.component(name)
        if value is None:
            what = "a covered component is not there"
            raise SignatureInvalid(what, field="signature-input")
        lines[name] = value
    text = "".join(f'"{name}": {value}\n' for name, value in lines.items())
    # What is outside ASCII, or breaks a line, can be written in more ways than one.
    if not text.isascii() or text.count("\n") != len(lines) or "\r" in text:
        what = "a covered component is not ASCII"
        raise SignatureInvalid(what, field="signature-input")
    return f'{text}"@signature-params": {write_inner_list(covered)}'.encode("ascii")


def demand_digest(field: str, body: bytes) -> None:
    """See that a body is what Content-Digest says (RFC 9530, section 2).

    Raises:
        SignatureInvalid: if it is not by SHA-256 or SHA-512, or is another body.
    """
    try:
        digests = parse_dictionary(field)
    except Malformed as error:
        raise SignatureInvalid(f"{error}", field="content-digest") from error
    known = {name: member for name, member in digests.items() if name in _DIGESTS}
    for name, member in known.items():
        said = member.value if isinstance(member, Item) else None
        digest = _DIGESTS[name](body).digest()
        if not isinstance(said, bytes) or not hmac.compare_digest(said, digest):
            what = "the body has another digest"
            raise SignatureInvalid(what, field="content-digest")
    if not known:
        what = "there is no digest by SHA-256 or SHA-512"
        raise SignatureInvalid(what, field="content-digest")


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature that was read and is not believed yet."""

    covered: InnerList
    value: bytes
    created: int
    keyid: str
    nonce: str
    expires: int | None
    alg: str | None


def read_signature(message: Message) -> Signature:
    """Read the one signature of a message.

    Raises:
        SignatureMissing: if there is none, or it lacks a parameter that is needed.
        SignatureInvalid: if it cannot be read, or there are several.
    """
    inputs, values = (message.fields.get(name) for name in ("signature-input", "signature"))
    if inputs is None or values is None:
        what = "this request must be signed"
        raise SignatureMissing(what, field="signature-input")
    try:
        covered_by, value_by = parse_dictionary(inputs), parse_dictionary(values)
    except Malformed as error:
        raise SignatureInvalid(f"{error}", field="signature-input") from error
    if len(covered_by) != 1 or covered_by.keys() != value_by.keys():
        what = "there is not exactly one signature"
        raise SignatureInvalid(what, field="signature-input")
    (covered,), (value,) = covered_by.values(), value_by.values()
    if not isinstance(covered, InnerList) or not isinstance(value, Item) or value.parameters:
        what = "this is not a signature"
        raise SignatureInvalid(what, field="signature")
    said = covered.parameters
    if not said.keys() <= _ALLOWED:
        what = "the signature has a parameter that is not read here"
        raise SignatureInvalid(what, field="signature-input")
    if not said.keys() >= _NEEDED:
        what = "the signature says not all of created, keyid and nonce"
        raise SignatureMissing(what, field="signature-input")
    created, expires = said["created"], said.get("expires")
    keyid, nonce, alg = said["keyid"], said["nonce"], said.get("alg")
    if (
        type(created) is not int
        or (expires is not None and type(expires) is not int)
        or type(keyid) is not str
        or type(nonce) is not str
        or (alg is not None and type(alg) is not str)
        or not isinstance(value.value, bytes)
        or _NONCE.fullmatch(nonce) is None
    ):
        what = "a parameter of the signature is of another type, or its nonce is unfit"
        raise SignatureInvalid(what, field="signature-input")
    return Signature(covered, value.value, created, keyid, nonce, expires, alg)


def demand_covered(signature: Signature, message: Message, *, has_body: bool) -> None:
    """See that a signature covers all that decides what happens.

    Raises:
        SignatureMissing: naming what is not covered.
    """
    names = {item.value for item in signature.covered.items}
    needed = {"@method", "idempotency-key"}
    if has_body:
        needed.add("content-digest")
    if "@target-uri" not in names:
        needed.add("@path")
        if message.derived["@query"] != "?":
            needed.add("@query")
    lacking = sorted(needed - names)
    if lacking:
        what = f"the signature does not cover {lacking[0]}"
        raise SignatureMissing(what, field="signature-input")


class Nonces:
    """Nonces that were used, as long as a signature with one could still be good."""

    __slots__ = ("_newer", "_older", "_turned_at")

    def __init__(self) -> None:
        """Begin with none."""
        self._newer: set[tuple[int, str]] = set()
        self._older: set[tuple[int, str]] = set()
        self._turned_at = 0

    def use(self, owner: int, nonce: str, *, now_s: int) -> bool:
        """Use a nonce; False if it was used, or no more can be remembered."""
        if now_s - self._turned_at > _LIFE_S + 2 * _SKEW_S:
            is_stale = now_s - self._turned_at > 2 * (_LIFE_S + 2 * _SKEW_S)
            self._older = set() if is_stale else self._newer
            self._newer, self._turned_at = set(), now_s
        used = (owner, nonce)
        if used in self._newer or used in self._older or len(self._newer) >= _NONCES_MAX:
            return False
        self._newer.add(used)
        return True


#: Whether somebody's requests that move money must be signed.
MustSign = Callable[[web.Principal], bool]
#: By what algorithm a principal's key of a name signed a message; None: no good key of it did.
SignedBy = Callable[[web.Principal, str, bytes, bytes], str | None]


@dataclass(frozen=True, slots=True)
class SignatureCheck:
    """Looks at the signatures of those whose requests must have one.

    Attributes:
        clock: microseconds.
        nonces: of all principals; forgotten by a restart, after which a replay still has no
            second effect, because a signature covers the idempotency key.
    """

    must_sign: MustSign
    signed_by: SignedBy
    clock: Callable[[], int]
    nonces: Nonces

    def demand(self, client: web.Principal, scope: Mapping[str, Any], body: bytes | None) -> None:
        """See that a request is signed as it was sent, if its sender must sign.

        Args:
            client: who sent it, by its token.
            scope: of ASGI.
            body: as it was received.

        Raises:
            SignatureMissing: if it is not signed, or not all of it.
            SignatureInvalid: if the signature is not over this.
            SignatureStale: if it was made at another time.
            SignatureReplayed: if it was used.
        """
        if not self.must_sign(client):
            return
        message = message_of(scope)
        signature = read_signature(message)
        demand_covered(signature, message, has_body=bool(body))
        if "content-digest" in message.fields:
            demand_digest(message.fields["content-digest"], body or _NO_BODY)
        now_s = self.clock() // SECOND_US
        ends = signature.created + _LIFE_S
        if signature.expires is not None:
            ends = min(ends, signature.expires)
        if not signature.created - _SKEW_S <= now_s <= ends + _SKEW_S:
            what = "the signature was made at another time"
            raise SignatureStale(what, field="signature-input")
        base = signature_base(message, signature.covered)
        algorithm = self.signed_by(client, signature.keyid, signature.value, base)
        if algorithm is None or signature.alg not in {None, algorithm}:
            what = "no registered key that is good now signed this"
            raise SignatureInvalid(what, field="signature")
        if not self.nonces.use(client.id, signature.nonce, now_s=now_s):
            what = "this nonce was used before"
            raise SignatureReplayed(what, field="signature-input")
