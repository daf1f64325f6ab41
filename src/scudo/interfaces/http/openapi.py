"""The OpenAPI 3.1 document, made from the operation table and nothing else."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from scudo.fabric import web
from scudo.interfaces.http import filters, signatures
from scudo.kernel import InstantMalformed, Refusal

Json = dict[str, Any]

_REF: Final = "#/components/schemas/{name}"
_ERROR_NAMES: Final = (web.errors.RequestMalformed, web.errors.HeadTooLarge)
_HTTP_WORDS: Final[Mapping[int, str]] = {
    200: "Done",
    201: "Created",
    202: "Accepted",
    204: "Done, nothing to show",
}


def openapi_document(operations: Sequence[web.Operation], *, title: str, version: str) -> Json:
    """Describe the operations.

    Invariant:
        The same operations give the same document, key order included.
    """
    types = _types_of(operations)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    schema_of = dict(zip(map(_type_key, types), schemas, strict=True))
    paths: dict[str, Json] = defaultdict(dict)
    for operation in operations:
        paths[operation.path][operation.method.lower()] = _operation(
            operation, schema_of, components
        )
    for operation in operations:
        if operation.query is not None:
            # Its members are parameters by now; as an object it is never on the wire.
            components.pop(_name_of(schema_of[_type_key(operation.query)]), None)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in sorted({op.tag for op in operations})],
        "paths": dict(paths),
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Token of a client; its scopes say what it may do.",
                }
            },
        },
    }
    # Through JSON and back: what is returned is what is served, tuples and all.
    plain: Json = msgspec.json.decode(msgspec.json.encode(document))
    return plain


def refusals_of(operation: web.Operation) -> tuple[type[Refusal], ...]:
    """List all refusals that an operation can answer with, this layer's own included."""
    own: list[type[Refusal]] = [*_ERROR_NAMES, web.errors.HeaderInvalid, web.errors.QueryInvalid]
    own += filters.REFUSALS
    if operation.media == web.JSON:
        own.append(web.errors.AnswerNotAcceptable)
    if operation.scope is not None:
        own += [web.errors.TokenMissing, web.errors.TokenUnknown, web.errors.ScopeMissing]
        own += [web.errors.SessionOver, web.errors.PermissionMissing]
        own += [web.errors.ElevationLapsed, web.errors.SecondPasskeyMissing]
        own += [web.errors.RateLimited, web.errors.ServerBusy]
    if operation.body is not None:
        own += [web.errors.MediaTypeUnsupported, web.errors.BodyTooLarge]
        if not operation.is_raw:
            own += [web.errors.BodyMalformed, web.errors.BodyInvalid]
    else:
        own.append(web.errors.BodyUnexpected)
    if operation.method != "GET" and operation.scope is not None:
        own += [web.errors.IdempotencyKeyMalformed, InstantMalformed]
    if operation.moves_money:
        own += [web.errors.IdempotencyKeyMissing, *signatures.REFUSALS]
    if operation.network_per_s is not None or operation.network_limit is not None:
        own.append(web.errors.RateLimited)
    return tuple(dict.fromkeys([*own, *operation.refusals, web.errors.Unforeseen]))


def _types_of(operations: Iterable[web.Operation]) -> list[Any]:
    types: dict[str, Any] = {_type_key(web.Problem): web.Problem}
    for operation in operations:
        used = (operation.body, operation.query, *operation.answers.values())
        for type_ in (*used, *operation.path_types.values()):
            if type_ is not None:
                types[_type_key(type_)] = type_
    return list(types.values())


def _type_key(type_: Any) -> str:  # noqa: ANN401 - any type that msgspec knows
    # Annotated types are not always hashable (their Meta may hold dicts).
    return repr(type_)


def _operation(operation: web.Operation, schema_of: Mapping[str, Json], components: Json) -> Json:
    described: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": [
            *_path_parameters(operation, schema_of),
            *_query_parameters(operation, schema_of, components),
            *_header_parameters(operation),
        ],
        "responses": {
            **_successes(operation, schema_of),
            **_problems(refusals_of(operation)),
        },
    }
    if operation.body is not None:
        content: Json = {"schema": schema_of[_type_key(operation.body)]}
        if operation.example is not None:
            content["example"] = msgspec.to_builtins(operation.example)
        media = web.FORM if operation.is_form else web.JSON
        described["requestBody"] = {"required": True, "content": {media: content}}
    if operation.scope is not None:
        described["security"] = [{"bearer": [operation.scope]}]
        described["description"] = f"Needs the scope `{operation.scope}`."
    return described


def _path_parameters(operation: web.Operation, schema_of: Mapping[str, Json]) -> list[Json]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            # Ids are numbers inside; on the wire everything in a path is a text.
            "schema": {**schema_of[_type_key(operation.path_types[name])], "type": "string"},
        }
        for name in operation.templates
    ]


def _query_parameters(
    operation: web.Operation, schema_of: Mapping[str, Json], components: Json
) -> list[Json]:
    if operation.query is None:
        return []
    schema = components[_name_of(schema_of[_type_key(operation.query)])]
    return [
        {
            "name": member,
            "in": "query",
            "required": member in schema["required"],
            "schema": _without_null(described),
        }
        for member, described in schema["properties"].items()
    ]


def _name_of(reference: Json) -> str:
    name: str = reference["$ref"].rpartition("/")[2]
    return name


def _without_null(schema: Json) -> Json:
    # "May be absent" is a null default inside; in a query there is no null.
    choices: list[Json] = [
        choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}
    ]
    if len(choices) != 1:
        return schema
    return choices[0]


def _header_parameters(operation: web.Operation) -> list[Json]:
    # Strangers have no keys: whatever they send as one is not read.
    if operation.method == "GET" or operation.scope is None:
        return []
    return [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": operation.moves_money,
            "description": "Chosen by the caller; the same key and body give the same answer.",
            "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
        },
        {
            "name": "Scudo-Ordered-At",
            "in": "header",
            "required": False,
            "description": "Time that the log shall have; needs the scope clock:drive. Of one"
            " instant each event is a microsecond later; a minute before the log's is refused.",
            "schema": {"type": "string", "format": "date-time"},
        },
    ]


def _successes(operation: web.Operation, schema_of: Mapping[str, Json]) -> Json:
    responses: Json = {}
    for status, type_ in operation.answers.items():
        responses[str(status)] = {"description": _HTTP_WORDS[status]}
        if type_ is not None:
            media = operation.media.partition(";")[0]
            content = {media: {"schema": schema_of[_type_key(type_)]}}
            responses[str(status)]["content"] = content
    return responses


def _problems(refusals: Iterable[type[Refusal]]) -> Json:
    by_status: dict[int, list[type[Refusal]]] = defaultdict(list)
    for refusal in refusals:
        by_status[web.status_of(refusal)].append(refusal)
    return {str(status): _problem(by_status[status]) for status in sorted(by_status)}


def _problem(refusals: Sequence[type[Refusal]]) -> Json:
    described = sorted(refusals, key=lambda refusal: refusal.code)
    lines = [f"- `{refusal.code}`: {refusal.next_step}" for refusal in described]
    codes = {"properties": {"code": {"enum": [refusal.code for refusal in described]}}}
    schema = {"allOf": [{"$ref": _REF.format(name=web.Problem.__name__)}, codes]}
    return {
        "description": "Refused:\n" + "\n".join(lines),
        "content": {web.PROBLEM_JSON: {"schema": schema}},
    }
