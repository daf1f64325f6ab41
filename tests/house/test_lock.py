"""House rules of the lock file: it covers what is imported, pins by hash, names no address."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"
#: Modules that are the project itself.
OWN = frozenset({"scudo", "tests", "tools"})


def pinned(lock: str) -> set[str]:
    """List the packages that a lock file pins."""
    return set(re.findall(r"^([a-z0-9][a-z0-9-]*)==", lock, re.MULTILINE))


def loose(lock: str) -> list[str]:
    """Name the entries of a lock file that are not pinned by hash, or name an address."""
    entries = re.split(r"\n(?=\S)", lock.strip())
    return [
        entry.splitlines()[0]
        for entry in entries
        if "--hash=sha256:" not in entry or "://" in entry or not pinned(entry)
    ]


def imported(text: str) -> Iterator[str]:
    """Name the modules of others that one file imports."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        else:
            continue
        yield from {name.partition(".")[0] for name in names} - OWN - sys.stdlib_module_names


def unlocked(modules: set[str], lock: str) -> set[str]:
    """Name the modules that no package of the lock file brings."""
    known = pinned(lock)
    brought_by = packages_distributions()
    return {
        module
        for module in modules
        if not {re.sub(r"[-_.]+", "-", name.lower()) for name in brought_by.get(module, [])} & known
    }


class TestLock:
    def test_brings_everything_that_is_imported(self) -> None:
        """A fresh environment has every module that product and tests import."""
        modules = {
            module
            for folder in ("src", "tests", "tools")
            for path in (ROOT / folder).rglob("*.py")
            for module in imported(path.read_text())
        }

        assert unlocked(modules, LOCK.read_text()) == set()

    def test_is_found_short_of_a_module(self) -> None:
        """A module is missed when the lock file lacks its package."""
        assert unlocked({"msgspec", "pytest"}, "pytest==9.2.0 \\\n") == {"msgspec"}

    def test_pins_by_hash_without_addresses(self) -> None:
        """Every package is pinned by version and hash, and comes from wherever the user's does."""
        assert loose(LOCK.read_text()) == []

    @pytest.mark.parametrize(
        "entry",
        [
            "rich==15.0.0",
            "rich>=15 \\\n    --hash=sha256:ab",
            "--index-url https://example.org",
            "rich @ https://example.org/rich.whl \\\n    --hash=sha256:ab",
        ],
    )
    def test_is_found_loose(self, entry: str) -> None:
        """An entry without hash, without version or with an address is named."""
        assert len(loose(f"typer==0.29.2 \\\n    --hash=sha256:cd\n{entry}\n")) == 1
