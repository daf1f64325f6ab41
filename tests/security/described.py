"""The bank's operations as its OpenAPI document describes them, and requests made from that.

Every suite of this folder asks every operation that the document has, so that an operation
which is added later is attacked without anybody writing a test for it.
"""

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from scudo.identity.customers.model import FULL_SCOPES
from scudo.interfaces.table import describe_without_bank

Json = dict[str, Any]

DOCUMENT: Final[Json] = describe_without_bank()
SCHEMAS: Final[Json] = DOCUMENT["components"]["schemas"]
#: Where the prefix of an id stands in the pattern of its text.
_ID: Final = re.compile(r"^\^([a-z]+)_\[0-7\]")


@dataclass(frozen=True, slots=True)
class Described:
    """One operation.

    Attributes:
        scope: what a token must have; None: anybody may ask.
        parameters: in path and query, by name: where, and the schema.
        needed: parameters of the query that must be there.
        body: schema of the body; None: it takes none.
        media: content type of the body.
    """

    name: str
    method: str
    path: str
    scope: str | None
    parameters: Mapping[str, tuple[str, Json]]
    needed: frozenset[str]
    body: Json | None
    example: Any
    media: str | None

    def __str__(self) -> str:
        """Its name, for the names of tests."""
        return self.name

    @property
    def takes_json(self) -> bool:
        """Whether its body is JSON."""
        return self.media == "application/json"


def _described(path: str, method: str, operation: Json) -> Described:
    content = operation.get("requestBody", {}).get("content", {})
    media = next(iter(content), None)
    security = operation.get("security")
    return Described(
        name=operation["operationId"],
        method=method.upper(),
        path=path,
        scope=next(iter(security[0].values()))[0] if security else None,
        parameters={
            parameter["name"]: (parameter["in"], parameter["schema"])
            for parameter in operation["parameters"]
            if parameter["in"] != "header"
        },
        needed=frozenset(
            parameter["name"]
            for parameter in operation["parameters"]
            if parameter["in"] == "query" and parameter.get("required")
        ),
        body=resolved(content[media]["schema"]) if media else None,
        example=content[media].get("example") if media else None,
        media=media,
    )


def resolved(schema: Json) -> Json:
    """Follow a reference, and leave "or null" out."""
    if "$ref" in schema:
        return resolved(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    choices = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return resolved(choices[0]) if len(choices) == 1 else schema


def prefix_of(schema: Json) -> str | None:
    """Whose id a text is, such as `acc`; None: it is no id."""
    found = _ID.match(resolved(schema).get("pattern", ""))
    return found and found.group(1)


def members(schema: Json, *at: str | int) -> Iterator[tuple[tuple[str | int, ...], Json]]:
    """List the members of a body and of what it holds; a list by its first item."""
    schema = resolved(schema)
    if at:
        yield at, schema
    for name, member in schema.get("properties", {}).items():
        yield from members(member, *at, name)
    items = schema.get("items")
    if isinstance(items, dict):
        yield from members(items, *at, 0)


def sample(schema: Json, ids: Mapping[str, str]) -> Any:
    """Make the least value that a schema allows, with ids from `ids` by their prefix."""
    schema = resolved(schema)
    kind = schema.get("type")
    if "enum" in schema:
        return schema["enum"][0]
    if kind == "object":
        wanted = schema.get("required", ())
        return {name: sample(schema["properties"][name], ids) for name in wanted}
    if kind == "array":
        return [sample(schema.get("items", {}), ids)] * max(schema.get("minItems", 0), 1)
    if kind == "string":
        return _text(schema, ids)
    return True if kind == "boolean" else max(schema.get("minimum", 1), 1)


def _text(schema: Json, ids: Mapping[str, str]) -> str:
    prefix = prefix_of(schema)
    if prefix:
        return ids[prefix]
    fits = re.compile(schema.get("pattern", "^E"))
    texts = ("E" * max(schema.get("minLength", 0), 1), "customer_care", "case:1")
    return next((text for text in texts if fits.search(text)), texts[0])


def placed(body: Any, at: tuple[str | int, ...], value: Any) -> Any:
    """Copy a body with one member set, the lists and objects on the way made if need be."""
    if not at:
        return value
    step, rest = at[0], at[1:]
    if isinstance(step, int):
        items = list(body) if body else [None]
        return [placed(items[0], rest, value), *items[1:]]
    return {**(body or {}), step: placed((body or {}).get(step), rest, value)}


def body_of(operation: Described, ids: Mapping[str, str]) -> Any:
    """Make a body that is allowed: the documented example, its ids replaced; else the least."""
    if operation.body is None:
        return None
    if operation.example is None:
        return sample(operation.body, ids)
    body = copy.deepcopy(operation.example)
    for at, schema in members(operation.body):
        prefix = prefix_of(schema)
        if prefix and _found(body, at) is not None:
            body = placed(body, at, ids[prefix])
    return body


def _found(body: Any, at: tuple[str | int, ...]) -> Any:
    for step in at:
        try:
            body = body[step]
        except (KeyError, IndexError, TypeError):
            return None
    return body


def query_of(operation: Described, ids: Mapping[str, str]) -> Json:
    """Give the parameters that a query must have the least value that they allow."""
    return {name: sample(operation.parameters[name][1], ids) for name in operation.needed}


def path_of(operation: Described, ids: Mapping[str, str]) -> str:
    """Fill the templates of a path: ids by their prefix, names by a name that nobody has."""
    path = operation.path
    for name, (where, schema) in operation.parameters.items():
        if where == "path":
            prefix = prefix_of(schema)
            path = path.replace(f"{{{name}}}", ids[prefix] if prefix else "nobody")
    return path


OPERATIONS: Final = tuple(
    _described(path, method, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
)
#: What needs a token.
GUARDED: Final = tuple(operation for operation in OPERATIONS if operation.scope is not None)
#: What is for sessions of customers only, whose every request their device signs.
OF_SESSIONS: Final = tuple(
    one for one in OPERATIONS if one.scope in {"self:manage", "payments:confirm"}
)
#: Callbacks: their bodies are read once their signature is good.
SIGNED: Final = tuple(one for one in OPERATIONS if one.path.startswith("/v1/inbound/"))
#: What the session of a customer may ask; what it may not of this is bank-wide, or a network's.
OF_CUSTOMERS: Final = tuple(one for one in OPERATIONS if one.scope in FULL_SCOPES)
#: What strangers, clients, operators and customers may ask.
WITHIN_REACH: Final = tuple(one for one in OPERATIONS if one not in SIGNED)
#: What takes JSON from them.
WITH_BODY: Final = tuple(one for one in WITHIN_REACH if one.takes_json)
#: Prefixes of all ids that any request names.
PREFIXES: Final = frozenset(
    prefix
    for operation in OPERATIONS
    for schema in (
        *(schema for _, schema in operation.parameters.values()),
        *(schema for _, schema in members(operation.body or {})),
    )
    if (prefix := prefix_of(schema))
)
#: Ids that have the right form and belong to nothing.
MISSING: Final[Mapping[str, str]] = {prefix: f"{prefix}_7{'f' * 15}" for prefix in PREFIXES}
