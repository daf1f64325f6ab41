"""What the README shows is run as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCUDO = Path(sys.executable).with_name("scudo")


def blocks(language: str) -> list[str]:
    """Code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A bank of its own, on a free port."""
    return os.environ | {"SCUDO_HOME": str(tmp_path / "bank"), "SCUDO_PORT": "0"}


def run(command: list[str], environment: dict[str, str]) -> str:
    """Run a command that must succeed; returns what it printed."""
    done = subprocess.run(
        command,
        env=environment,
        # What a command writes is written beside the bank.
        cwd=Path(environment["SCUDO_HOME"]).parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestTheFirstTenMinutes:
    """A newcomer who types what the README says gets what it says."""

    @pytest.mark.timeout(300)
    def test_commands_and_program_give_what_is_shown(self, environment: dict[str, str]) -> None:
        """init, serve, the program, why and verify work in the order shown."""
        commands = re.findall(r"^\$ scudo (.+)$", "".join(blocks("console")), re.MULTILINE)
        (program,) = blocks("python")
        shown = README.partition(program)[2].partition("```\n\n```\n")[2].partition("```")[0]
        assert commands[:2] == ["init", "serve"]

        run([str(SCUDO), "init"], environment)
        with subprocess.Popen(
            [str(SCUDO), "serve"], env=environment, stdout=subprocess.PIPE, text=True
        ) as server:
            try:
                assert server.stdout is not None
                url = server.stdout.readline().strip()
                printed = run([sys.executable, "-c", program], environment | {"SCUDO_URL": url})
                assert printed.split("\n") == shown.split("\n")
                for command in commands[2:]:
                    assert run([str(SCUDO), *command.split()], environment)
            finally:
                server.terminate()
                assert server.wait(timeout=30) == 0
