"""House rules of words: nothing unfinished, nothing of one machine, one code for one refusal."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "scudo"
KINDS = frozenset({".cfg", ".in", ".json", ".md", ".py", ".sh", ".sql", ".toml", ".yaml", ".yml"})
#: Split, so that this file does not hold what it forbids.
BANNED = {
    "unfinished": re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b"),
    "a machine's path": re.compile(r"(?<![\w.])/(wo" r"rk|ro" r"ot)\b(?!-)"),
    "a debugger": re.compile(r"\b(break" r"point\(|import p" r"db)"),
}
#: Only in the product: its words go through the console or the log.
SILENT = re.compile(r"(?<![\w.])pri" r"nt\(")


def texts() -> list[Path]:
    """List the project's own texts."""
    folders = ("src", "tests", "tools", "docs", ".ci")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    found += [*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml"]
    return sorted(
        path
        for path in found
        if path.is_file() and (path.suffix in KINDS or path.name in {"Makefile", "run"})
    )


def banned(text: str) -> list[str]:
    """Name the banned words of a text and why they are."""
    return [
        f"{found.group()} ({why})" for why, what in BANNED.items() for found in what.finditer(text)
    ]


def refusal_codes(text: str) -> list[str]:
    """List the codes that the classes of one module give to refusals."""
    return [
        statement.value.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.Assign)
        and [getattr(target, "id", "") for target in statement.targets] == ["code"]
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    ]


class TestWords:
    def test_are_finished_and_true_everywhere(self) -> None:
        """Nothing is left for later, and nothing names one machine."""
        found = [f"{path}: {word}" for path in texts() for word in banned(path.read_text())]

        assert found == []

    @pytest.mark.parametrize(
        "text", ["# TO" + "DO later", "open('/wo" + "rk/x')", "break" + "point()", "cd /ro" + "ot"]
    )
    def test_are_found_when_banned(self, text: str) -> None:
        """Each banned word is named."""
        assert len(banned(text)) == 1

    def test_are_not_printed_by_the_product(self) -> None:
        """The product speaks through its console, its answers and its log."""
        assert [path for path in PACKAGE.rglob("*.py") if SILENT.search(path.read_text())] == []

    def test_are_found_when_printed(self) -> None:
        """A call is found, a method of the same name is not."""
        assert SILENT.findall("pri" + "nt(1); console.pri" + "nt(2)") == ["pri" + "nt("]


class TestRefusals:
    def test_have_a_code_each(self) -> None:
        """No two refusals of the whole bank share a code."""
        codes = [code for path in PACKAGE.rglob("*.py") for code in refusal_codes(path.read_text())]

        assert [code for code, uses in Counter(codes).items() if uses > 1] == []

    def test_are_found_by_their_code(self) -> None:
        """The code of a refusal is read from its class, and from nowhere else."""
        text = 'code = "a"\nclass Frozen:\n    """Doc."""\n\n    code = "account_frozen"\n'

        assert refusal_codes(text) == ["account_frozen"]
