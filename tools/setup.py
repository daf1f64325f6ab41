"""Make the project's virtual environment from the hash-pinned lock file, or find it ready.

Run by every make target, with nothing but a Python of the right version:

    python3.11 tools/setup.py

It is safe to run many at once (one works, the others wait), and to kill at any moment
(an environment that was not finished is thrown away by the next run).
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK_FILE = ROOT / "requirements.lock"
STAMP = VENV / "ready"
UNFINISHED = VENV / "unfinished"
PYTHON_NEEDED = (3, 11)
PIP = (str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input")


def fingerprint() -> str:
    """Digest of everything that decides what the environment holds."""
    digest = hashlib.sha256(sys.version.encode())
    digest.update(str(ROOT).encode())
    for file in (LOCK_FILE, ROOT / "pyproject.toml"):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def is_ready(wanted: str) -> bool:
    """Whether the environment was completed for exactly this fingerprint."""
    return STAMP.is_file() and STAMP.read_text() == wanted


def run(*command: str) -> None:
    """Run one step; its failure ends the set-up with its own exit code."""
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(f"set-up stopped: `{' '.join(command)}` failed with code {done.returncode}")


def has_pip() -> bool:
    """Whether there is an environment that can install packages."""
    try:
        return not subprocess.run((*PIP, "--version"), capture_output=True, check=False).returncode
    except OSError:
        return False


def build(wanted: str) -> None:
    """Create the environment, install the locked packages, then the project itself."""
    STAMP.unlink(missing_ok=True)
    if UNFINISHED.exists() or not has_pip():
        # A package that was unpacked by half looks installed; a Python may be gone.
        shutil.rmtree(VENV, ignore_errors=True)
        run(sys.executable, "-m", "venv", str(VENV))
    UNFINISHED.touch()
    sys.stderr.write("set-up: installing the locked packages into .venv\n")
    quiet = ("--quiet", "--progress-bar", "off")
    run(*PIP, "install", *quiet, "--only-binary=:all:", "--require-hashes", "-r", str(LOCK_FILE))
    run(*PIP, "install", *quiet, "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    UNFINISHED.unlink()
    STAMP.write_text(wanted)


def main() -> None:
    """Do nothing when the environment is ready, else make it so, one process at a time."""
    if sys.version_info < PYTHON_NEEDED:
        needed = ".".join(map(str, PYTHON_NEEDED))
        sys.exit(f"Scudo needs Python {needed} or newer: `make PYTHON=/path/to/python{needed} …`")
    wanted = fingerprint()
    if is_ready(wanted):
        return
    with (ROOT / ".setup.lock").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        if not is_ready(wanted):
            build(wanted)


if __name__ == "__main__":
    main()
