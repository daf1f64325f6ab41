"""Claims about who knows feature flags: no control does."""

import ast
from pathlib import Path

import pytest

import scudo

#: Modules that may know flags: what keeps and shows them, what puts the bank together, and, last,
#: the only one whose answers look different by them.
KNOWING = {
    "bootstrap.bank",
    "bootstrap.rooms",
    "governance",
    "identity.customers.routes",
    "identity.customers.routes.me",
    "interfaces.cli.overlooking",
    "interfaces.measures",
    "interfaces.serving",
    "interfaces.table",
}


def knows_flags(source: str) -> bool:
    """Whether a module names flags, their reader, or what was evaluated for a request."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(module=str(module), names=names):
                if "scudo.governance.flags" in module or module.startswith("openfeature"):
                    return True
                if module == "scudo.governance" and any(name.name == "flags" for name in names):
                    return True
            case ast.Import(names=names):
                if any(".flags" in n.name or n.name.startswith("openfeature") for n in names):
                    return True
            case ast.Attribute(attr="flags" | "flagged" | "flag_reader" | "FlagReader"):
                return True
            case _:
                pass
    return False


class TestControl:
    """What decides, limits, screens, audits, keeps or approves."""

    def test_no_control_reads_a_flag(self) -> None:
        """Only the modules of the list know flags: no gate, limit, vault, audit or approval."""
        root = Path(scudo.__file__).parent
        found = set()
        for file in root.rglob("*.py"):
            parts = file.relative_to(root).with_suffix("").parts
            name = ".".join(part for part in parts if part != "__init__")
            if not name.startswith("governance.flags") and knows_flags(file.read_text("utf-8")):
                found.add(name)

        assert found == KNOWING

    @pytest.mark.parametrize(
        "source",
        [
            "from scudo.governance import flags",
            "from scudo.governance.flags.evaluating import FlagReader",
            "import scudo.governance.flags",
            "from openfeature import api",
            "def handle(call):\n    return call.flags['a']",
            "from scudo import governance\n\ngovernance.flags.Flags()",
        ],
    )
    def test_a_module_that_reads_a_flag_is_seen(self, source: str) -> None:
        """Every way to a flag is one that the claim above looks at."""
        assert knows_flags(source)
        assert not knows_flags("import os\n\nflags = os.O_EXCL")
