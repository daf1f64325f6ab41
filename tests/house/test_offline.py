"""House rule of the offline checker: one file that needs nothing but `cryptography`."""

import ast
import sys
from pathlib import Path

import pytest

CHECKER = Path(__file__).resolve().parents[2] / "src" / "scudo" / "proofcheck.py"


def foreign(text: str) -> set[str]:
    """Name what a file imports beside the standard library and `cryptography`."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or ".")
    known = {"cryptography", *sys.stdlib_module_names}
    return {name for name in names if name.partition(".")[0] not in known}


class TestProofcheck:
    def test_needs_nothing_of_the_bank(self) -> None:
        """It can be carried to another machine as it is."""
        assert foreign(CHECKER.read_text()) == set()

    @pytest.mark.parametrize(
        "text", ["import msgspec", "from scudo.kernel import ids", "from . import x"]
    )
    def test_is_found_to_need_more(self, text: str) -> None:
        """Another package, the bank itself, or a file beside it, is named."""
        assert len(foreign(text)) == 1
