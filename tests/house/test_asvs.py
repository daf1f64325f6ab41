"""House rules of the security checklist: whole, true, and open only where it says so."""

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache

import pytest
from tools.write_asvs import PAGE, ROOT, Item, chapter_of, page, read

#: Items of level 1, 2 and 3 in each chapter: the standard's own, and six of level 3 by choice.
COUNTS = {
    1: (8, 19, 0),
    2: (4, 7, 1),
    3: (8, 11, 0),
    4: (2, 8, 0),
    5: (4, 5, 0),
    6: (13, 22, 0),
    7: (6, 12, 0),
    8: (4, 3, 2),
    9: (4, 3, 0),
    10: (5, 24, 0),
    11: (3, 11, 1),
    12: (3, 6, 0),
    13: (1, 12, 0),
    14: (2, 7, 0),
    15: (3, 10, 1),
    16: (0, 16, 1),
}
#: Level 3, all the same.
BEYOND = {"2.3.5", "8.2.4", "8.4.2", "11.1.4", "15.4.2", "16.5.4"}
#: Where nothing may stay open: authentication, sessions, authorisation, cryptography, logging.
CLOSED = {6, 7, 8, 11, 16}
#: What is open now. Whoever closes one takes it out.
OPEN: set[str] = set()
VERDICTS = ({"shown"}, {"documented"}, {"shown", "documented"}, {"not_applicable"}, {"open"})


@cache
def declared_in(file: str) -> frozenset[str]:
    """Name the tests of one file, and the classes that hold some."""
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            inner = {f"{node.name}::{name}" for name in functions(node)}
            found |= inner | ({node.name} if inner else set())
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
    return frozenset(name for name in found if "test_" in name or name.startswith("Test"))


def functions(node: ast.ClassDef) -> Iterator[str]:
    """Name the tests of one class."""
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from [inner.name] if inner.name.startswith("test_") else []


def is_there(test: str) -> bool:
    """Whether a test, a class of tests, or a file of tests exists."""
    file, _, name = test.partition("::")
    return name in declared_in(file) if name else bool(declared_in(file))


def has_section(place: str) -> bool:
    """Whether a document has a section of this title."""
    file, _, title = place.partition("#")
    path = ROOT / file
    return path.is_file() and f"\n## {title}\n" in path.read_text()


def untrue(items: dict[str, Item]) -> list[str]:
    """Name what the items say and what is not so."""
    return [
        *(
            f"{number}: {test}"
            for number, item in items.items()
            for test in item.get("shown", ())
            if not is_there(test)
        ),
        *(
            f"{number}: {place}"
            for number, item in items.items()
            for place in item.get("documented", ())
            if not has_section(place)
        ),
        *(
            f"{number}: {sorted(item)}"
            for number, item in items.items()
            if set(item) - {"level", "asks"} not in VERDICTS
            or not all(item[key] for key in set(item) - {"level"})
        ),
    ]


class TestChecklist:
    def test_has_every_item(self) -> None:
        """Every item of levels 1 and 2 is there, and six of level 3; TOML has each once."""
        items = read()
        counted = Counter((chapter_of(number), item["level"]) for number, item in items.items())

        assert {c: tuple(counted[c, level] for level in (1, 2, 3)) for c in COUNTS} == COUNTS
        assert {number for number, item in items.items() if item["level"] == 3} == BEYOND
        assert {chapter_of(number) for number in items} == set(COUNTS)

    def test_names_only_what_is_there(self) -> None:
        """Every test and every section that shows an item exists, and every item has an answer."""
        assert untrue(read()) == []

    def test_is_open_only_where_it_is_known(self) -> None:
        """The open items are these, so that closing one, or opening one, is seen."""
        assert {number for number, item in read().items() if "open" in item} == OPEN

    def test_is_closed_where_nothing_may_be_open(self) -> None:
        """Nothing is open in authentication, sessions, authorisation, cryptography, logging."""
        found = {number for number, item in read().items() if "open" in item}

        assert {number for number in found if chapter_of(number) in CLOSED} == set()

    def test_is_the_page(self) -> None:
        """`python tools/write_asvs.py` was run."""
        assert PAGE.read_text() == page(read())

    @pytest.mark.parametrize(
        "item",
        [
            {"shown": ["tests/house/test_asvs.py::TestChecklist::test_is_nowhere"]},
            {"shown": ["tests/house/test_nowhere.py::TestChecklist::test_is_the_page"]},
            {"shown": ["tests/house/conftest.py"]},
            {"documented": ["docs/security.md#Nowhere"]},
            {"documented": ["docs/nowhere.md#Input"]},
            {"shown": ["tests/house/test_asvs.py"], "open": "something"},
            {"open": ""},
            {"shown": []},
            {},
        ],
    )
    def test_is_found_untrue(self, item: Item) -> None:
        """What does not exist, says two things, or says nothing, is named."""
        assert len(untrue({"1.1.1": {"level": 1, "asks": "something", **item}})) == 1

    @pytest.mark.parametrize(
        "item",
        [
            {"shown": ["tests/house/test_asvs.py::TestChecklist::test_is_the_page"]},
            {"shown": ["tests/house/test_asvs.py::TestChecklist"]},
            {"shown": ["tests/house/test_asvs.py"], "documented": ["docs/security.md#Input"]},
            {"not_applicable": "there is none"},
            {"open": "it is not built"},
        ],
    )
    def test_is_found_true(self, item: Item) -> None:
        """A test, a class, a file, a section, a reason and a gap are answers."""
        assert untrue({"1.1.1": {"level": 1, "asks": "something", **item}}) == []
