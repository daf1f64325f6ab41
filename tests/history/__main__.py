"""Run a history at full size: `python -m tests.history --operations 50000 --kills 30`."""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.history.campaign import Campaign, Size


def say(text: str) -> None:
    """Tell how it goes, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run, say what was found, and keep the history if anything was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=50_000)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="scudo-history-"))
    size = Size(asked.operations, asked.kills, asked.clients)
    campaign = Campaign(folder, seed=asked.seed, size=size, say=say)
    problems = campaign.run()
    for problem in problems:
        sys.stderr.write(problem + "\n")
    if problems:
        sys.stderr.write(f"seed {asked.seed}; the history is in {folder}\n")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
