"""`scudo bench`: measures, prints, and keeps the figures in build/bench.json."""

from pathlib import Path
from typing import Final

from rich.markup import escape

from scudo.interfaces.cli.terminal import OK, Terminal
from scudo.simulation import bench as measures

_RESULT: Final = Path("build") / "bench.json"
_SECONDS: Final = 60


def bench(names: tuple[str, ...], *, seconds: int | None, is_large: bool, is_json: bool) -> int:
    """Run measures, all or those named."""
    terminal = Terminal(is_json=is_json)
    figures = measures.run(
        names,
        seconds=seconds or _SECONDS,
        large=is_large,
        file=_RESULT,
        report=lambda line: terminal.say(escape(line)),
    )
    terminal.say(f"Kept in {_RESULT}.")
    terminal.give(figures)
    return OK
