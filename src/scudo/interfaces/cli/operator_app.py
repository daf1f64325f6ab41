"""The commands of `scudo operator`. What they do is imported when they run."""

import sys
from typing import Annotated, Final

import typer

from scudo.interfaces.cli.options import Json

operator: Final = typer.Typer(
    help="The people who run the bank: the first of them, and the glass to break.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@operator.command(name="enroll-first")
def operator_enroll_first(
    first: Annotated[str, typer.Argument(help="Code of one person, such as a staff number.")],
    second: Annotated[str, typer.Argument(help="Code of another person.")],
    *,
    json: Json = False,
) -> None:
    """Invite the two people that a bank begins with, while it has no operator.

    \b
    Examples:
      scudo operator enroll-first s4711 s4712
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import operating  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(operating.enroll_first((first, second), is_json=json))


@operator.command(name="seal-break-glass")
def operator_seal_break_glass(
    *,
    shares: Annotated[int, typer.Option(min=2, max=16, help="How many to make.")] = 3,
    threshold: Annotated[int, typer.Option(min=2, max=16, help="How many break it.")] = 2,
    json: Json = False,
) -> None:
    """Seal the means of an emergency in shares, in place of any before.

    \b
    Examples:
      scudo operator seal-break-glass --shares 5 --threshold 3
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import operating  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(operating.seal_break_glass(shares=shares, threshold=threshold, is_json=json))
