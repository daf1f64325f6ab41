"""House rules of shape: short files, short functions, telling names, documented tests."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
#: Names that say nothing about what is inside.
DRAWERS = frozenset({"common", "data", "helpers", "info", "manager", "misc", "service", "utils"})
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def sources(*folders: str, kinds: tuple[str, ...] = (".py",)) -> list[Path]:
    """List the project's own files of some kinds."""
    return sorted(
        path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in kinds
    )


def long_files(paths: list[Path]) -> list[str]:
    """Name the files with too many lines."""
    counted = ((path, len(path.read_text().splitlines())) for path in paths)
    return [f"{path}: {lines} lines" for path, lines in counted if lines > FILE_LINES_MAX]


def long_functions(text: str, *, name: str) -> Iterator[str]:
    """Name the functions of one file with too many lines."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, FUNCTIONS):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{name}:{node.lineno} {node.name}: {lines} lines"


def drawers(paths: list[Path]) -> list[Path]:
    """Name the modules and folders that are called like a drawer."""
    return [path for path in paths if DRAWERS & {path.stem, path.parent.name}]


def silent_tests(text: str, *, name: str) -> Iterator[str]:
    """Name the tests that do not state their claim."""
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, FUNCTIONS)
            and node.name.startswith("test_")
            and not ast.get_docstring(node)
        ):
            yield f"{name}:{node.lineno} {node.name}"


class TestFiles:
    def test_are_short(self) -> None:
        """No file of code or SQL is longer than the cap."""
        assert long_files(sources("src", "tests", "tools", kinds=(".py", ".sql"))) == []

    def test_are_found_when_long(self, tmp_path: Path) -> None:
        """A file one line above the cap is named, one at the cap is not."""
        (tmp_path / "long.py").write_text("pass\n" * (FILE_LINES_MAX + 1))
        (tmp_path / "short.py").write_text("pass\n" * FILE_LINES_MAX)

        found = long_files(sorted(tmp_path.iterdir()))

        assert found == [f"{tmp_path / 'long.py'}: {FILE_LINES_MAX + 1} lines"]

    def test_say_what_they_hold(self) -> None:
        """No module is a drawer for whatever fits nowhere else."""
        assert drawers(sources("src")) == []

    @pytest.mark.parametrize("path", ["ledger/utils.py", "helpers/money.py"])
    def test_are_found_when_a_drawer(self, path: str) -> None:
        """A module or folder with a name that says nothing is named."""
        assert drawers([Path(path)]) == [Path(path)]


class TestFunctions:
    def test_are_short(self) -> None:
        """No function is longer than the cap."""
        found = [
            problem
            for path in sources("src", "tests", "tools")
            for problem in long_functions(path.read_text(), name=str(path))
        ]

        assert found == []

    @pytest.mark.parametrize("keyword", ["def", "async def"])
    def test_are_found_when_long(self, keyword: str) -> None:
        """A function one line above the cap is named with its place."""
        text = f"{keyword} endless():\n" + "    pass\n" * FUNCTION_LINES_MAX

        found = list(long_functions(text, name="x.py"))

        assert found == [f"x.py:1 endless: {FUNCTION_LINES_MAX + 1} lines"]


class TestTests:
    def test_state_their_claim(self) -> None:
        """Every test says in a docstring what it claims."""
        found = [
            problem
            for path in sources("tests")
            for problem in silent_tests(path.read_text(), name=str(path))
        ]

        assert found == []

    def test_are_found_when_silent(self) -> None:
        """A test without a docstring is named."""
        text = (
            'def test_a(): assert True\nclass TestB:\n    def test_b(self):\n        """Say."""\n'
        )

        assert list(silent_tests(text, name="x.py")) == ["x.py:1 test_a"]
