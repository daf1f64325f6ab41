"""The OpenAPI document."""

import pytest


def _references(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _resolved(document, reference):
    node = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


class TestDocument:
    def test_is_served_as_it_was_made(self, desk):
        """What is served is the document of the table that is served."""
        assert desk.ask("GET", "/openapi.json").json == desk.document

    def test_has_every_operation_once(self, desk):
        """Each operation of the table stands at its place under its name."""
        names = [
            operation["operationId"]
            for methods in desk.document["paths"].values()
            for operation in methods.values()
        ]

        assert sorted(names) == sorted(r.operation.name for r in desk.app.router.routes)

    def test_refers_to_nothing_that_is_missing(self, desk):
        """Every reference inside the document leads somewhere."""
        references = set(_references(desk.document))

        assert references
        assert all(_resolved(desk.document, reference) for reference in references)

    def test_says_what_each_operation_needs(self, desk):
        """Scope, idempotency key, query and path are documented with their types."""
        write = desk.document["paths"]["/v1/notes"]["post"]
        read = desk.document["paths"]["/v1/notes"]["get"]
        show = desk.document["paths"]["/v1/notes/{note_id}"]["get"]

        assert write["security"] == [{"bearer": ["notes:write"]}]
        key = next(p for p in write["parameters"] if p["name"] == "Idempotency-Key")
        assert key["required"] is True
        limit = next(p for p in read["parameters"] if p["name"] == "limit")
        assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}
        word = next(p for p in read["parameters"] if p["name"] == "word")
        assert (word["required"], word["schema"]) == (False, {"type": "string"})
        assert show["parameters"] == [
            {
                "name": "note_id",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "pattern": "^pay_[0-7][0-9a-f]{15}$"},
            }
        ]

    def test_has_an_example_where_there_is_one(self, desk):
        """A declared example is a body that the operation takes."""
        content = desk.document["paths"]["/v1/notes"]["post"]["requestBody"]["content"]
        assert content["application/json"]["example"] == {"title": "a", "amount": 1, "lines": []}

    @pytest.mark.parametrize("path", ["/health/live", "/metrics", "/openapi.json"])
    def test_leaves_the_system_open(self, desk, path):
        """Health, metrics and documents ask for no token."""
        assert "security" not in desk.document["paths"][path]["get"]
