"""House rule of tests: each can fail, because it asserts something, or calls what does."""

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
#: Names of what a library asserts by.
ASSERTING = {"raises", "warns", "fail", "run_state_machine_as_test", "call_and_validate"}


class Function(NamedTuple):
    """A function of a file: where it begins, what it is called, what it calls by name."""

    line: int
    name: str
    calls: frozenset[str]
    asserts: bool


@cache
def functions_of(text: str) -> list[Function]:
    """Every function of a file, whatever it stands in."""
    return [described(n) for n in ast.walk(ast.parse(text)) if isinstance(n, FUNCTIONS)]


def described(function: FUNCTIONS) -> Function:
    """Say what a function calls, with or without an object before it, and whether it asserts."""
    inside = list(ast.walk(function))
    called = [node.func for node in inside if isinstance(node, ast.Call)]
    calls = {str(getattr(call, "id", getattr(call, "attr", ""))) for call in called}
    says = any(isinstance(node, ast.Assert) for node in inside) or bool(calls & ASSERTING)
    return Function(function.lineno, function.name, frozenset(calls), says)


def idle_tests(text: str, *, shared: Iterable[str] = ()) -> list[str]:
    """Name the tests of a file that assert nothing.

    Args:
        text: of the file.
        shared: texts of files that it takes functions and fixtures from.
    """
    own = functions_of(text)
    known = [*own, *(function for other in shared for function in functions_of(other))]
    claiming = {function.name for function in known if function.asserts}
    while more := {f.name for f in known if f.name not in claiming and f.calls & claiming}:
        claiming |= more
    tests = [function for function in own if function.name.startswith("test_")]
    return [f"{test.line} {test.name}" for test in tests if test.name not in claiming]


def shared_with(path: Path) -> list[str]:
    """Files of the tests whose functions a file may call: what it imports, and conftests."""
    modules = re.findall(r"^from (tests\.[\w.]+) import", path.read_text(), re.MULTILINE)
    imported = [ROOT.parent.joinpath(*name.split(".")).with_suffix(".py") for name in modules]
    around = [folder / "conftest.py" for folder in path.parents if folder.is_relative_to(ROOT)]
    return [file.read_text() for file in {*imported, *around} if file.is_file()]


class TestTests:
    def test_can_all_fail(self) -> None:
        """Every test asserts something, or calls what does in its own file or beside it."""
        found = {
            f"{path.relative_to(ROOT)}: {idle}"
            for path in ROOT.rglob("test_*.py")
            for idle in idle_tests(path.read_text(), shared=shared_with(path))
        }

        assert found == set()

    @pytest.mark.parametrize(
        "body",
        [
            "    pay()",
            "    result = pay() == 1",
            "    try:\n        pay()\n    except ValueError:\n        return",
            "    check.demand(1)",
        ],
    )
    def test_are_found_when_they_cannot(self, body: str) -> None:
        """One that only calls the product shows that it does not raise, and should say so."""
        assert idle_tests(f"def test_it():\n{body}\n") == ["1 test_it"]

    @pytest.mark.parametrize(
        "text",
        [
            "def test_it():\n    assert pay()\n",
            "def test_it():\n    with pytest.raises(ValueError):\n        pay()\n",
            "def seen():\n    assert pay()\n\ndef test_it():\n    seen()\n",
            "async def seen():\n    assert pay()\n\ndef test_it():\n    asyncio.run(seen())\n",
            "def test_it(office):\n    office.paid()\n",
        ],
    )
    def test_are_not_found_when_they_can(self, text: str) -> None:
        """An assertion may stand in the test, in a function of the file, or in one beside it."""
        assert idle_tests(text, shared=["def paid():\n    assert 1\n"]) == []
