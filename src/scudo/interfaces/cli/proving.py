"""`scudo prove` and `scudo check-proof`: evidence for people outside the bank."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import Connection
from rich.markup import escape

from scudo import proofcheck
from scudo.auditing import CHAINED
from scudo.governance import DAY, HOUR, MOMENT, ProofNotReady, prove_entry, prove_growth
from scudo.interfaces.cli.errors import ProofUnclear
from scudo.interfaces.cli.installing import opened, settings_now
from scudo.interfaces.cli.terminal import OK, Terminal
from scudo.kernel import Prefix, ids

#: Longer than between two heads that are signed while the log grows.
_WAIT_S: Final = 8
_AGAIN_S: Final = 0.5


def prove(
    payment: str | None,
    *,
    first: int | None,
    second: int | None,
    is_post_quantum: bool,
    out: Path | None,
) -> int:
    """Write a proof to a file.

    Raises:
        ProofUnclear: neither one payment nor two sizes were named.
    """
    terminal, settings = Terminal(), settings_now()
    growth = None if first is None or second is None else (first, second)
    if (payment is None) == (growth is None) or (growth is None and (first or second)):
        message = "name one payment, or two sizes with --from and --to"
        raise ProofUnclear(message)
    number = 0 if payment is None else ids.parse(Prefix.PAYMENT, payment)
    with opened(settings) as dsn, psycopg.connect(dsn.read, autocommit=True) as connection:
        if growth is None:
            cadences = (HOUR, DAY) if is_post_quantum else (MOMENT,)
            written = _waited(connection, number, cadences)
            name = f"{payment}.proof.json"
        else:
            written = prove_growth(connection, *growth)
            name = f"log_{growth[0]}_{growth[1]}.proof.json"
    path = out or Path(name)
    path.write_bytes(written)
    for line in proofcheck.check(written):
        terminal.say(escape(line))
    terminal.say(f"\nNext: [bold]scudo check-proof {escape(str(path))}[/]")
    return OK


def _waited(connection: Connection[Any], position: int, cadences: Sequence[str]) -> bytes:
    """Prove an entry once a head covers it; a bank that is served signs within seconds.

    Raises:
        ProofNotReady: none does for long.
    """
    until = time.monotonic() + _WAIT_S
    while True:
        try:
            return prove_entry(connection, position, tables=CHAINED, cadences=cadences)
        except ProofNotReady:
            if time.monotonic() >= until:
                raise
        time.sleep(_AGAIN_S)


def check(file: Path | None, *, witness: Path | None, keys: list[str]) -> int:
    """Check a proof as anybody can who has the one file `proofcheck.py`."""
    arguments = [] if file is None else [str(file)]
    arguments += [f"--witness={witness}"] if witness is not None else []
    return proofcheck.main(arguments + [f"--key={key}" for key in keys])
