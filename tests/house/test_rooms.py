"""House rules of the rooms: one door each, one schema each, SQL in files, no float near money."""

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "scudo"
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file())
MODULES = sorted(PACKAGE.rglob("*.py"))
#: Rooms in which a binary fraction could come near an amount.
MONEY = ("kernel", "ledger", "payments")
#: Files of these rooms that measure time or rates, and never money.
RATES: frozenset[str] = frozenset()
#: What rooms may use of another's schema: functions that are made for it.
SHARED_SQL = frozenset(
    {
        "fabric.partition_by_position",
        "fabric.grow",
        "fabric.current_record",
        # A port of the vault, which the room that knows of approvals fills.
        "vault.root_permission",
    }
)
#: Code whose product is SQL text.
SQL_WRITERS = ("fabric/rows.py", "decisions/expressions/", "decisions/features/")

_SQL = re.compile(
    r"\b(SELECT\s.+\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|TRUNCATE\s"
    r"|COPY\s+\S+\s|(CREATE|ALTER|DROP)\s+(TABLE|SCHEMA|INDEX|ROLE|FUNCTION|VIEW|DATABASE)\s"
    r"|(GRANT|REVOKE)\s+\w+\s+ON\s)",
    re.DOTALL,
)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


def place(path: Path) -> str:
    """Name a module below the package, such as `ledger/store.py`."""
    return path.relative_to(PACKAGE).as_posix()


def room_of(path: Path) -> str:
    """Name the room that a file lives in."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def broken(
    rule: Callable[..., Iterator[str]], paths: Iterable[Path], *, by_room: bool
) -> list[str]:
    """Apply one rule to many files and name what breaks it."""
    return [
        f"{place(path)} {problem}"
        for path in paths
        for problem in (
            rule(path.read_text(), room=room_of(path)) if by_room else rule(path.read_text())
        )
    ]


def side_doors(text: str, *, room: str) -> Iterator[str]:
    """Name imports that enter another room by an inner module."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "scudo" and len(parts) > 2 and parts[1] != room:
                yield f"line {node.lineno}: {name}"


def floats(text: str) -> Iterator[str]:
    """Name what is, or makes, a binary fraction."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name) and node.id == "float":
            yield f"line {node.lineno}: float"
        elif isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield f"line {node.lineno}: {node.value}"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            yield f"line {node.lineno}: /"


def foreign_schemas(text: str, *, room: str) -> Iterator[str]:
    """Name what SQL uses of the schemas of other rooms."""
    others = "|".join(name for name in ROOMS if name != room)
    for found in re.finditer(rf"\b({others})\.(\w+)", _COMMENT.sub("", text)):
        if found.group() not in SHARED_SQL:
            yield found.group()


def sql_strings(text: str) -> Iterator[str]:
    """Name strings that hold a statement of SQL; docstrings may talk about it."""
    tree = ast.parse(text)
    prose = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    parts = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.expr) or id(node) in prose | parts:
            continue
        if found := _SQL.search(text_of(node)):
            yield f"line {node.lineno}: {found.group().strip()}"


def text_of(node: ast.AST) -> str:
    """Read a string; what a formatted string fills in counts as one word."""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "x" for part in node.values)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return ""


class TestDoors:
    def test_are_the_only_way_in(self) -> None:
        """A room is entered by its front door, never by an inner module."""
        assert broken(side_doors, MODULES, by_room=True) == []

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("from scudo.ledger import post", []),
            ("from scudo import ledger", []),
            ("from scudo.payments.model import Payment", []),
            ("from scudo.ledger.store import post", ["line 1: scudo.ledger.store"]),
            ("import scudo.ledger.store", ["line 1: scudo.ledger.store"]),
        ],
    )
    def test_are_missed_by_nobody_unseen(self, text: str, expected: list[str]) -> None:
        """An import of another room's inner module is named, others are not."""
        assert list(side_doors(text, room="payments")) == expected


class TestMoney:
    def test_is_never_near_a_float(self) -> None:
        """Rooms that hold money have no binary fraction and no division that makes one."""
        paths = [path for path in MODULES if room_of(path) in MONEY and place(path) not in RATES]

        assert broken(floats, paths, by_room=False) == []

    @pytest.mark.parametrize("text", ["x: float", "x = 0.5", "x = 1e3", "x = a / b", "x /= 2"])
    def test_is_found_near_a_float(self, text: str) -> None:
        """A float type, a float literal and a true division are named."""
        assert len(list(floats(text))) == 1

    @pytest.mark.parametrize("text", ["x = a // b", "x = 1_000", "x = 'a / b'", "floats = 2"])
    def test_may_be_near_integers(self, text: str) -> None:
        """Integers, their division and words are no floats."""
        assert list(floats(text)) == []

    def test_needs_no_exception_that_is_not_used(self) -> None:
        """A file that is excepted as measuring rates exists and measures some."""
        assert {name for name in RATES if not list(floats((PACKAGE / name).read_text()))} == set()


class TestSchemas:
    def test_belong_to_one_room(self) -> None:
        """The SQL of a room names only the room's own schema."""
        assert broken(foreign_schemas, sorted(PACKAGE.rglob("*.sql")), by_room=True) == []

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("SELECT * FROM ledger.account", ["ledger.account"]),
            ("SELECT 1 -- as ledger.account", []),
            ("SELECT fabric.partition_by_position('payments.payment', 0)", []),
            ("SELECT * FROM payments.payment", []),
        ],
    )
    def test_are_guarded(self, text: str, expected: list[str]) -> None:
        """A table of another room is named; comments and shared functions are not."""
        assert list(foreign_schemas(text, room="payments")) == expected


class TestStatements:
    def test_stand_in_sql_files(self) -> None:
        """No Python string holds a statement of SQL, except where SQL is the product."""
        paths = [path for path in MODULES if not place(path).startswith(SQL_WRITERS)]

        assert broken(sql_strings, paths, by_room=False) == []

    @pytest.mark.parametrize(
        "text",
        [
            'x = "SELECT 1 FROM t"',
            'x = f"INSERT INTO {t} VALUES (1)"',
            'x = """\nUPDATE a.b\nSET c = 1"""',
            'x = "DELETE FROM t"',
            'x = "CREATE TABLE t (a int)"',
            'x = f"COPY {t} FROM STDIN"',
        ],
    )
    def test_are_found_in_strings(self, text: str) -> None:
        """A statement in a string is named, formatted strings and long ones too."""
        assert len(list(sql_strings(text))) == 1

    @pytest.mark.parametrize(
        "text", ['"""SELECT a FROM b, in words."""', 'x = "Select one from the list."', "x = 1"]
    )
    def test_are_not_seen_in_prose(self, text: str) -> None:
        """Docstrings and sentences are no statements."""
        assert list(sql_strings(text)) == []
