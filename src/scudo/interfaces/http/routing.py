"""From method and path to an operation: a tree of segments, no regular expression."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect

from scudo.fabric import web

_WRONG_METHOD: Final = "this path does not take this method"
_FIELDS_MAX: Final = 32
_NO_VALUES: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Route:
    """One operation, prepared for requests.

    Attributes:
        index: its place in the table; metrics count by it.
        decode: turns a body into the operation's struct.
        content_type: header line of a success.
        is_read: whether it counts against the limit of reads.
    """

    operation: web.Operation
    index: int
    decode: "msgspec.json.Decoder[Any] | FormDecoder | None"
    templates: tuple[str, ...]
    content_type: tuple[bytes, bytes]
    is_json: bool
    is_read: bool


class _Node:
    """One segment of the paths: literal children, one template, and what ends here."""

    __slots__ = ("allow", "literals", "routes", "template")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.template: _Node | None = None
        self.routes: dict[str, Route] = {}
        self.allow = b""


class Router:
    """All operations, found by method and path."""

    __slots__ = ("_fixed", "_root", "routes")

    def __init__(self, operations: Iterable[web.Operation]) -> None:
        """Prepare the table; two operations of one name, or one place, are a bug."""
        self.routes = tuple(
            _prepare(operation, index) for index, operation in enumerate(operations)
        )
        names = [route.operation.name for route in self.routes]
        assert len(set(names)) == len(names), "two operations have one name"
        self._root = _Node()
        self._fixed: dict[str, _Node] = {}
        for route in self.routes:
            self._place(route)

    def _place(self, route: Route) -> None:
        operation = route.operation
        node = self._root
        for segment in operation.path.split("/")[1:]:
            if segment.startswith("{"):
                node.template = node.template or _Node()
                node = node.template
            else:
                node = node.literals.setdefault(segment, _Node())
        assert operation.method not in node.routes, f"{operation.name}: its place is taken"
        node.routes[operation.method] = route
        if operation.method == "GET":
            node.routes["HEAD"] = route
        node.allow = ", ".join(sorted({*node.routes, "OPTIONS"})).encode("ascii")
        if not route.templates:
            self._fixed[operation.path] = node

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """Find the route of a request and the values of its path's templates.

        Raises:
            RouteUnknown: if no operation has this path.
            MethodNotAllowed: if none of those that have it has this method.
        """
        node = self._fixed.get(path)
        if node is not None:
            route = node.routes.get(method)
            if route is not None:
                return route, _NO_VALUES
            raise web.errors.MethodNotAllowed(_WRONG_METHOD, headers=((b"allow", node.allow),))
        node, values = self._walk(path)
        route = node.routes.get(method)
        if route is None:
            raise web.errors.MethodNotAllowed(_WRONG_METHOD, headers=((b"allow", node.allow),))
        return route, dict(zip(route.templates, values, strict=True))

    def allowed(self, path: str) -> bytes:
        """Methods of a path, as the Allow header has them.

        Raises:
            RouteUnknown: if no operation has this path.
        """
        return (self._fixed.get(path) or self._walk(path)[0]).allow

    def _walk(self, path: str) -> tuple[_Node, list[str]]:
        node: _Node | None = self._root
        values: list[str] = []
        for segment in path.split("/")[1:]:
            assert node is not None
            child = node.literals.get(segment)
            if child is None and segment:
                child = node.template
                values.append(segment)
            node = child
            if node is None:
                break
        # PostgreSQL cannot compare a text with NUL, so no path with one leads anywhere.
        if node is None or not node.routes or "\x00" in path:
            message = "there is nothing at this path"
            raise web.errors.RouteUnknown(message)
        return node, values


def _prepare(operation: web.Operation, index: int) -> Route:
    for taken in (operation.body, operation.query):
        if taken is not None:
            _demand_bounded(inspect.type_info(taken), operation.name)
    return Route(
        operation=operation,
        index=index,
        decode=_decoder(operation),
        templates=operation.templates,
        content_type=(b"content-type", operation.media.encode("ascii")),
        is_json=operation.media == web.JSON,
        is_read=operation.method == "GET",
    )


def _decoder(operation: web.Operation) -> "msgspec.json.Decoder[Any] | FormDecoder | None":
    if operation.body is None:
        return None
    if operation.is_form:
        return FormDecoder(operation.body)
    return msgspec.json.Decoder(operation.body)


class FormDecoder:
    """Turns a form into a struct; no member may come twice (RFC 6749, section 3.2)."""

    __slots__ = ("_type",)

    def __init__(self, type_: type[msgspec.Struct]) -> None:
        """Decode into one type."""
        self._type = type_

    def decode(self, body: bytes) -> Any:  # noqa: ANN401 - any type that msgspec knows
        """Decode a form.

        Raises:
            msgspec.DecodeError: if it is none, or not in ASCII and percent-encoded UTF-8.
            msgspec.ValidationError: if a member is repeated, unknown, or not as it must be.
        """
        try:
            pairs = parse_qsl(
                body.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=bool(body),
                errors="strict",
                max_num_fields=_FIELDS_MAX,
            )
        except ValueError as error:
            raise msgspec.DecodeError(str(error)) from error
        found = dict(pairs)
        for name, _ in pairs if len(found) != len(pairs) else ():
            if sum(name == other for other, _ in pairs) > 1:
                message = f"a member is repeated - at `$.{name}`"
                raise msgspec.ValidationError(message)
        for name, value in pairs:
            if "\x00" in value:
                message = f"a text holds the character NUL - at `$.{name}`"
                raise msgspec.ValidationError(message)
        return msgspec.convert(found, self._type, strict=False)


def _demand_bounded(type_: inspect.Type, where: str) -> None:
    # An unbounded `int` would let a request carry numbers that no column holds.
    match type_:
        case inspect.IntType(ge=low, gt=above, le=high, lt=below):
            bounded = (low, above) != (None, None) and (high, below) != (None, None)
            assert bounded, f"{where}: an int without bounds"
        case inspect.StructType(fields=fields):
            for field in fields:
                _demand_bounded(field.type, f"{where}.{field.name}")
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            _demand_bounded(item, where)
        case inspect.UnionType(types=types):
            for member in types:
                _demand_bounded(member, where)
        case inspect.Metadata(type=inner):
            _demand_bounded(inner, where)
        case _:
            assert not isinstance(type_, inspect.AnyType | inspect.FloatType), where
