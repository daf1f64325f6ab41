"""The commands of `scudo retention`. What they do is imported when they run."""

import sys
from typing import Final

import typer

from scudo.interfaces.cli.options import Json

retention: Final = typer.Typer(
    help="How long the bank keeps what: what is due is forgotten, and what is held is not.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@retention.command(name="run")
def retention_run(*, json: Json = False) -> None:
    """Forget what is due now, as `scudo serve` does once a day.

    Writes to the log, so the bank must not be serving meanwhile. Exit code 1: a rule could not
    be carried out.

    \b
    Examples:
      scudo retention run
      scudo retention run --json
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import forgetting  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(forgetting.run(is_json=json))


@retention.command(name="report")
def retention_report(*, json: Json = False) -> None:
    """Show each rule, what its last run found, and legal holds.

    Only reads, and may run beside a serving bank. Exit code 1: a rule is overdue.

    \b
    Examples:
      scudo retention report
      scudo retention report --json
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import forgetting  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(forgetting.report(is_json=json))
