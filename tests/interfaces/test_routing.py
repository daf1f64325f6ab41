"""From method and path to an operation."""

from typing import Annotated, Any

import msgspec
import pytest

from scudo.fabric.web import Call, Int64, Operation, Reply, errors
from scudo.interfaces.http.routing import Router


async def _nothing(_call: Call) -> Reply:
    return Reply(204)


def _operation(path: str, **changes: Any) -> Operation:
    given = {
        "method": "GET",
        "path": path,
        "name": "name",
        "summary": "Do it",
        "tag": "tag",
        "scope": None,
        "handler": _nothing,
        "answers": {204: None},
        **changes,
    }
    return Operation(**given)


class TestFind:
    def test_gives_the_values_of_the_templates(self):
        """The values of a path come under the names of its templates, whatever they hold."""
        router = Router([_operation("/a/{x}/b/{y}", path_types={"x": str, "y": str})])

        _, values = router.find("GET", "/a/1 %/b/ü")

        assert values == {"x": "1 %", "y": "ü"}

    def test_prefers_what_is_spelled_out(self):
        """A literal segment wins over a template at the same place."""
        router = Router(
            [
                _operation("/a/{x}", name="any", path_types={"x": str}),
                _operation("/a/special", name="special"),
            ]
        )

        assert router.find("GET", "/a/special")[0].operation.name == "special"
        assert router.find("GET", "/a/other")[0].operation.name == "any"

    def test_tells_operations_of_one_path_apart_by_method(self):
        """Two methods of one template may name it differently."""
        router = Router(
            [
                _operation("/a/{x}", name="read", path_types={"x": str}),
                _operation("/a/{y}", name="write", method="POST", path_types={"y": str}),
            ]
        )

        assert router.find("GET", "/a/1")[1] == {"x": "1"}
        assert router.find("POST", "/a/1")[1] == {"y": "1"}

    @pytest.mark.parametrize("path", ["", "/", "a", "/a", "/a/", "/a/1/", "/a/1/b", "//a/1"])
    def test_knows_no_other_path(self, path):
        """Anything but the template's own number of segments is unknown."""
        router = Router([_operation("/a/{x}", path_types={"x": str})])

        with pytest.raises(errors.RouteUnknown):
            router.find("GET", path)


class _Loose(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    inner: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]


class _Open(msgspec.Struct, frozen=True):
    number: Int64


class TestBugsInTheTable:
    @pytest.mark.parametrize(
        "operations",
        [
            [("/a", {}), ("/b", {})],
            [("/a", {}), ("/a", {"name": "other"})],
            [("/a/{x}", {"path_types": {"x": str}}),
             ("/a/{y}", {"name": "other", "path_types": {"y": str}})],
            [("/a", {"method": "POST", "body": _Loose})],
            [("/a", {"method": "POST", "body": _Open})],
            [("/a", {"query": _Loose})],
            [("/a/{x}", {})],
            [("/a", {"moves_money": True})],
        ],
        ids=["one name twice", "one place twice", "one template twice", "unbounded number",
             "unknown members allowed", "unbounded number in a query", "undescribed template",
             "money moved by GET"],
    )  # fmt: skip
    def test_stop_the_start(self, operations):
        """A table that contradicts itself, or lets anything in, never serves a request."""
        with pytest.raises(AssertionError):
            Router([_operation(path, **changes) for path, changes in operations])
