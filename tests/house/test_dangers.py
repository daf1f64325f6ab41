"""House rules of dangers: what only few files may use, and the cryptography that is used at all.

A rule names what is dangerous, and where it stands all the same, for a reason that the file
tells. docs/security.md describes both.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "scudo"
PAGE = ROOT / "docs" / "security.md"
MODULES = sorted(PACKAGE.rglob("*.py"))

#: Never: what reads objects, runs text, or speaks to a shell.
NEVER = frozenset(
    {
        "builtins.eval",
        "dill",
        "jinja2",
        "ldap3",
        "lxml",
        "marshal",
        "os.popen",
        "os.system",
        "pickle",
        "shelve",
        "subprocess.getoutput",
        "subprocess.getstatusoutput",
        "tempfile.mktemp",
        "xml",
        "yaml",
    }
)
#: Only here: text of our own that becomes functions, other programs, chance that may be guessed.
ONLY_HERE = {
    "builtins.exec": {"decisions/features/state.py", "decisions/rules/compiling.py"},
    "builtins.compile": {"decisions/features/state.py", "decisions/rules/compiling.py"},
    "subprocess": {
        "fabric/postgres/account.py",
        "fabric/postgres/upgrade.py",
        "interfaces/recounting.py",
        "interfaces/vaulting.py",
        "simulation/",
    },
    "random": {"client/transport.py", "simulation/"},
    # What opens connections to others: the client, for people's programs, and the mail.
    "httpx": {"client/", "simulation/", "interfaces/cli/"},
    "smtplib": {"identity/mail.py"},
    "urllib.request": set[str](),
    "http.client": set[str](),
    "aiohttp": set[str](),
    "requests": set[str](),
}
#: The cryptography that may be used: names of what is imported, and of hashes.
APPROVED = frozenset(
    {
        "AESGCM",
        "Ed25519PrivateKey",
        "Ed25519PublicKey",
        "HKDFExpand",
        "MLDSA65PrivateKey",
        "MLDSA65PublicKey",
        "SHA256",
        "TOTP",
        "ec",
        "ed25519",
        "hashes",
    }
)
#: RFC 6238 as authenticators know it; a code is worth nothing after 90 seconds.
SHA1_HERE = {"identity/customers/passwords.py"}
#: What is no algorithm: errors, encodings, certificates as values.
BESIDE = frozenset(
    {
        "Encoding",
        "InvalidSignature",
        "InvalidTag",
        "NameOID",
        "NoEncryption",
        "PrivateFormat",
        "PublicFormat",
        "UnsupportedAlgorithm",
        "decode_dss_signature",
        "encode_dss_signature",
        "serialization",
        "x509",
    }
)
HASHES = frozenset({"blake2b", "blake2s", "file_digest", "sha256", "sha512"})
#: Scripts of pages, what makes code or HTML of texts in them, and what outlives a page.
SCRIPTS = sorted(PACKAGE.rglob("*.js"))
SCRIPTS_NEVER = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|postMessage"
    r"|__proto__|\w\[(?![\"'])[^\]]+\]\s*=[^=]"
)
STORAGE = re.compile(r"localStorage|sessionStorage|indexedDB|document\.cookie|\bcaches\b")
#: Imports that mean: this file does cryptography.
CRYPTOGRAPHY = frozenset(
    {
        "argon2",
        "cryptography",
        "hashlib",
        "hmac",
        "joserfc",
        "pkcs11",
        "secrets",
        "shamir_mnemonic",
        "ssl",
        "webauthn",
    }
)


def place(path: Path) -> str:
    """Name a module below the package."""
    return path.relative_to(PACKAGE).as_posix()


def used(text: str) -> Iterator[str]:
    """Name what one file imports or calls, in full: `subprocess`, `os.system`, `builtins.eval`."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _prefixes(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield from _prefixes(f"{node.module}.{alias.name}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield f"builtins.{node.func.id}"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def dangers(text: str, *, name: str) -> set[str]:
    """Name what a file uses and may not."""
    found = set(used(text))
    elsewhere = {
        danger
        for danger, places in ONLY_HERE.items()
        if danger in found and not name.startswith(tuple(places) or ("\0",))
    }
    return (found & NEVER) | elsewhere


def ciphers(text: str, *, name: str) -> set[str]:
    """Name the algorithms that a file uses and that nobody approved."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cryptography"):
            found |= {alias.name for alias in node.names} - APPROVED - BESIDE
        elif isinstance(node, ast.ImportFrom) and node.module == "hashlib":
            found |= {alias.name for alias in node.names} - HASHES
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "hashlib"
        ):
            found |= {node.attr} - HASHES
        elif isinstance(node, ast.Call) and any(k.arg == "shell" for k in node.keywords):
            found.add("shell")
    return found - ({"SHA1"} if name in SHA1_HERE else set())


def does_cryptography(text: str) -> bool:
    """Whether a file imports anything that hashes, signs, encrypts or draws secrets."""
    return bool({name.partition(".")[0] for name in used(text)} & CRYPTOGRAPHY)


def inventory() -> set[str]:
    """Read the files and folders that the inventory of docs/security.md names."""
    section = PAGE.read_text().partition("\n## Cryptographic inventory\n")[2].partition("\n## ")[0]
    return set(re.findall(r"`([\w/]+(?:\.py|/))`", section))


class TestDangers:
    def test_stand_where_they_are_declared_only(self) -> None:
        """No file reads objects, runs text, starts programs or asks others unless it is named."""
        found = {place(path): dangers(path.read_text(), name=place(path)) for path in MODULES}

        assert {name: what for name, what in found.items() if what} == {}

    @pytest.mark.parametrize(
        ("text", "danger"),
        [
            ("eval('1')", "builtins.eval"),
            ("exec(text)", "builtins.exec"),
            ("import pickle", "pickle"),
            ("from xml.etree import ElementTree", "xml"),
            ("import os\nos.system('ls')", "os.system"),
            ("from os import popen", "os.popen"),
            ("import subprocess", "subprocess"),
            ("import urllib.request", "urllib.request"),
            ("from random import choice", "random"),
            ("import httpx", "httpx"),
        ],
    )
    def test_are_found(self, text: str, danger: str) -> None:
        """Each danger is named in a file that may not have it."""
        assert danger in dangers(text, name="ledger/book.py")

    def test_are_let_be_where_they_are_declared(self) -> None:
        """A declared file may have its danger, and no other."""
        text = "import random\nimport pickle"

        assert dangers(text, name="simulation/day.py") == {"pickle"}


class TestPages:
    def test_put_texts_in_as_texts(self) -> None:
        """No script of a page makes HTML or code of a text, or names a member by a text."""
        found = {place(path): SCRIPTS_NEVER.findall(path.read_text()) for path in SCRIPTS}

        assert found
        assert {name: what for name, what in found.items() if what} == {}

    def test_keep_nothing_in_the_browser(self) -> None:
        """No script of a page writes to any storage that outlives it."""
        found = {place(path): STORAGE.findall(path.read_text()) for path in SCRIPTS}

        assert {name: what for name, what in found.items() if what} == {}

    @pytest.mark.parametrize(
        "text", ["a.innerHTML = b", "eval(a)", "new Function(a)", "a[b] = c", "document.write(a)"]
    )
    def test_are_found_when_they_do(self, text: str) -> None:
        """Each way is found."""
        assert SCRIPTS_NEVER.search(text)

    @pytest.mark.parametrize("text", ["localStorage.a = b", "document.cookie", "indexedDB.open(a)"])
    def test_are_found_when_they_keep(self, text: str) -> None:
        """Each storage is found."""
        assert STORAGE.search(text)


class TestCryptography:
    def test_is_of_approved_algorithms_only(self) -> None:
        """No cipher, mode, padding, curve or hash is used that is not on the list."""
        found = {place(path): ciphers(path.read_text(), name=place(path)) for path in MODULES}

        assert {name: what for name, what in found.items() if what} == {}

    @pytest.mark.parametrize(
        ("text", "algorithm"),
        [
            ("import hashlib\nhashlib.md5(b'')", "md5"),
            ("import hashlib\nhashlib.sha1(b'')", "sha1"),
            ("from cryptography.hazmat.primitives.hashes import SHA1", "SHA1"),
            ("from cryptography.hazmat.primitives.ciphers.modes import ECB", "ECB"),
            ("from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15", "PKCS1v15"),
            ("from cryptography.hazmat.primitives.asymmetric import rsa", "rsa"),
            ("import subprocess\nsubprocess.run('ls', shell=True)", "shell"),
        ],
    )
    def test_is_found_when_it_is_not_approved(self, text: str, algorithm: str) -> None:
        """Each weak or unlisted algorithm is named, and a shell."""
        assert ciphers(text, name="vault/keys.py") == {algorithm}

    def test_is_in_the_inventory(self) -> None:
        """docs/security.md names every file that hashes, signs, encrypts or draws secrets."""
        named = tuple(inventory())
        missing = {
            place(path)
            for path in MODULES
            if not place(path).startswith((*named, "simulation/"))
            and does_cryptography(path.read_text())
        }

        assert missing == set()

    def test_of_the_inventory_is_there(self) -> None:
        """Every file that the inventory names does what it says that it does."""
        named = inventory()
        found = {place(path) for path in MODULES if does_cryptography(path.read_text())}

        assert named
        assert {name for name in named if not any(f.startswith(name) for f in found)} == set()
