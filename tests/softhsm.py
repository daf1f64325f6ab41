"""SoftHSM2: PKCS#11 tokens on a disk, for tests of whatever keeps keys in such tokens."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PIN = "planted-pin-8361"
_SO_PIN = "planted-so-pin-8361"
_MODULES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    *Path("/usr/lib").glob("*/softhsm/libsofthsm2.so"),
)
#: Looks at one key, or takes it away, or puts another in its place; in a process of its own,
#: because a process sees the tokens as they were when it first looked.
_KEYS = """
import sys, pkcs11
from pkcs11 import Attribute, KeyType
module, label, pin, act = sys.argv[1:]
token = pkcs11.lib(module).get_token(token_label=label)
with token.open(rw=True, user_pin=pin) as session:
    for key in list(session.get_objects({Attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY})):
        print(key[Attribute.SENSITIVE], key[Attribute.EXTRACTABLE], key[Attribute.LABEL])
        if act == "show":
            continue
        name = key[Attribute.ID]
        key.destroy()
        if act == "replace":
            session.generate_key(KeyType.AES, 256, id=name, store=True)
"""


@dataclass
class SoftHsm:
    """A folder of tokens, which one user may use."""

    folder: Path
    user: int
    group: int
    module: Path
    made: list[str] = field(default_factory=list)

    @property
    def conf(self) -> Path:
        """What the module is configured by, through SOFTHSM2_CONF."""
        return self.folder / "softhsm2.conf"

    @property
    def tokens(self) -> Path:
        """Where it keeps its tokens."""
        return self.folder / "tokens"

    def make(self, label: str) -> None:
        """Make a token."""
        pins = ("--pin", PIN, "--so-pin", _SO_PIN)
        self._run("softhsm2-util", "--init-token", "--free", "--label", label, *pins)

    def delete(self, label: str) -> None:
        """Destroy a token with all its keys."""
        self._run("softhsm2-util", "--delete-token", "--token", label)

    def keys(self, label: str, act: str = "show") -> list[str]:
        """Sensitive, extractable and label of each key; `destroy` or `replace` them."""
        argv = (sys.executable, "-c", _KEYS, str(self.module), label, PIN, act)
        return self._run(*argv).splitlines()

    def lock(self) -> Path:
        """A module that is SoftHSM's, but counts wrong PINs as hardware does, and locks at three.

        SoftHSM never locks a PIN.
        """
        source, shim = self.folder / "locking.c", self.folder / "locking.so"
        source.write_text(_LOCKING.replace("MODULE", str(self.module)))
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("there is no C compiler: a token that locks its PIN cannot be made")
        self._run(compiler, "-shared", "-fPIC", "-o", str(shim), str(source))
        shim.chmod(0o755)
        return shim

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """The tokens are not there for a while."""
        self.tokens.rename(self.folder / "away")
        self.tokens.mkdir(mode=0o700)
        self._give()
        yield
        self.tokens.rmdir()
        (self.folder / "away").rename(self.tokens)

    def pin_file(self, pin: str = PIN, *, mode: int = 0o400) -> Path:
        """A file with a PIN, for the user alone unless another mode is given."""
        path = self.folder / "pin"
        path.unlink(missing_ok=True)
        path.write_text(pin + "\n")
        path.chmod(mode)
        os.chown(path, self.user, self.group)
        return path

    def _run(self, *argv: str) -> str:
        environment = {**os.environ, "SOFTHSM2_CONF": str(self.conf)}
        done = subprocess.run(
            argv, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        self._give()
        return done.stdout

    def _give(self) -> None:
        for path in (self.tokens, *self.tokens.rglob("*")):
            os.chown(path, self.user, self.group)


#: PKCS#11 gives its functions as a table that begins with a version, in the order of the
#: standard: C_Login is the nineteenth. CKR_PIN_INCORRECT is 0xA0, CKR_PIN_LOCKED 0xA4.
_LOCKING = """
#include <dlfcn.h>
#include <string.h>
typedef unsigned long (*login_t)(unsigned long, unsigned long, unsigned char *, unsigned long);
static struct { unsigned char version[8]; void *functions[68]; } table;
static login_t inner;
static int wrong;
static unsigned long login(unsigned long session, unsigned long user, unsigned char *pin,
                           unsigned long length)
{
    unsigned long told;
    if (wrong >= 3) return 0xA4;
    told = inner(session, user, pin, length);
    if (told == 0xA0) wrong++;
    if (told == 0) wrong = 0;
    return told;
}
unsigned long C_GetFunctionList(void **list)
{
    void *library = dlopen("MODULE", RTLD_NOW);
    unsigned long (*get)(void **) = library ? dlsym(library, "C_GetFunctionList") : 0;
    void *real;
    if (!get || get(&real)) return 5;
    memcpy(&table, real, sizeof table);
    inner = (login_t)table.functions[18];
    table.functions[18] = (void *)login;
    *list = &table;
    return 0;
}
"""


@contextlib.contextmanager
def soft_hsm(*, user: int, group: int) -> Iterator[SoftHsm]:
    """A folder for tokens; the test is skipped where SoftHSM2 is not installed."""
    module = next((path for path in _MODULES if path.exists()), None)
    if module is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM2 is NOT INSTALLED (Debian: softhsm2): no root in a token is tested")
    with tempfile.TemporaryDirectory(prefix="scudo-hsm-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        made = SoftHsm(folder, user, group, module)
        made.tokens.mkdir(mode=0o700)
        made.conf.write_text(
            f"directories.tokendir = {made.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
        )
        made.conf.chmod(0o644)
        yield made
