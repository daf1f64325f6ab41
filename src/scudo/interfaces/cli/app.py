"""The commands, their options and their help. What they do is imported when they run."""

import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from scudo.interfaces.cli.operator_app import operator
from scudo.interfaces.cli.options import Json
from scudo.interfaces.cli.retention_app import retention
from scudo.interfaces.cli.vault_app import vault

_EPILOG: Final = (
    "The bank lives in SCUDO_HOME. SCUDO_DATABASE_URL uses your PostgreSQL instead of the"
    " embedded one; SCUDO_PORT is the port of `serve` (0 takes a free one)."
    " Exit codes: 0 well, 1 something is wrong with the bank, 2 wrong usage, 3 refused,"
    " 130 interrupted (nothing is lost; the same command goes on)."
)

app: Final = typer.Typer(
    name="scudo",
    help="A digital-bank core in which no money moves without passing a gate.\n\n"
    "Try `scudo demo` first: a day of a small bank in under a minute.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(vault, name="vault")

app.add_typer(operator, name="operator")

app.add_typer(retention, name="retention")


def main() -> None:
    """Run the command line; a refusal ends it with code 3 and no traceback."""
    try:
        app()
    except BrokenPipeError:
        # Whoever read our output has gone; Python must not complain about it at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        # Late, as everywhere here: `--help` must not load the bank.
        from scudo.interfaces.cli.terminal import (  # noqa: PLC0415 - late: see above
            REFUSED,
            Terminal,
            refusal_of,
        )

        refusal = refusal_of(error)
        if refusal is None:
            raise
        Terminal(is_json="--json" in sys.argv[1:]).refuse(refusal)
        sys.exit(REFUSED)


@app.command()
def init(
    *,
    new_token: Annotated[
        bool, typer.Option("--new-token", help="Give the administrator a new token.")
    ] = False,
    json: Json = False,
) -> None:
    """Make a bank and its administrator's token.

    The bank is a folder (SCUDO_HOME) with everything in it, its database included.

    A second run says what is there and changes nothing.

    \b
    Examples:
      scudo init
      SCUDO_HOME=~/bank scudo init
      scudo init --new-token      (the old token ends)
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import installing  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(installing.init(wants_new_token=new_token, is_json=json))


@app.command()
def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    tls_cert: Annotated[
        Path | None,
        typer.Option(help="Serve HTTPS with this chain (PEM).", envvar="SCUDO_TLS_CERT"),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="Its private key (PEM).", envvar="SCUDO_TLS_KEY")
    ] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(help="Folder of CAs of clients' certificates.", envvar="SCUDO_CLIENT_CA"),
    ] = None,
) -> None:
    """Run the bank and its HTTP interface.

    Runs until Ctrl-C. The first line on standard output is the address, once it takes work.

    \b
    Examples:
      scudo serve
      SCUDO_PORT=0 scudo serve    (takes a free port and prints it)
      scudo serve --tls-cert bank.pem --tls-key bank.key --client-ca partners/
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import installing  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(installing.serve(host=host, tls=(tls_cert, tls_key, client_ca)))


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="Parquet file of card transactions.")],
    *,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many transactions, from the first on.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Replay over HTTP into the server at this address.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="SCUDO_TOKEN",
            help="Token with scope clock:drive, for --url.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Replay a file of card transactions.

    Each passes gate and ledger at its own time: the file drives the log's clock.

    Customers and merchants are opened as they appear and funded; every transaction takes
    the same way as a live one. Interrupt it whenever you like: the same command goes on
    where it stopped, and running it twice moves nothing twice.

    \b
    Examples:
      scudo replay transactions.parquet --limit 20000
      scudo replay transactions.parquet --json > report.json
      scudo replay transactions.parquet --url http://127.0.0.1:8420
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import replaying  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(replaying.replay(file, limit=limit, url=url, token=token, is_json=json))


@app.command()
def verify(*, json: Json = False) -> None:
    """Prove the books, or name the first bad row.

    Recomputes every balance from the transfers and walks the hash chain.

    Only reads, and may run beside a serving bank. Exit code 1 when something is wrong.

    \b
    Examples:
      scudo verify
      scudo verify --json
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import verifying  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(verifying.verify(is_json=json))


@app.command()
def audit(
    *,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on for ever: new rows as they come, and rounds.")
    ] = False,
    json: Json = False,
) -> None:
    """Recount the bank until a row is wrong; `scudo serve` has this beside it.

    Only reads. All is recounted within SCUDO_AUDIT_HOURS. Exit code 1 names the wrong row.
    """
    from scudo.interfaces.cli import verifying  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(verifying.follow(is_json=json) if follow else verifying.verify(is_json=json))


@app.command()
def why(
    id: Annotated[str, typer.Argument(help="Id of a payment, a decision or an alert.")],  # noqa: A002 - the field's name everywhere
    *,
    replay: Annotated[
        bool,
        typer.Option("--replay", help="Recompute the decision from the log, and all before it."),
    ] = False,
    json: Json = False,
) -> None:
    """Say why a payment was allowed or stopped.

    In words that can be read out to a customer, with the facts behind them.

    \b
    Examples:
      scudo why pay_00000000000004d2
      scudo why dec_00000000000004d3 --replay
      scudo why alt_00000000000004d4 --json
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import explaining  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(explaining.why(id, wants_replay=replay, is_json=json))


@app.command()
def prove(
    payment: Annotated[str | None, typer.Argument(help="Id of a payment.")] = None,
    *,
    first: Annotated[
        int | None, typer.Option("--from", min=1, help="Size of the log of an earlier head.")
    ] = None,
    second: Annotated[
        int | None, typer.Option("--to", min=1, help="Size of the log of a later head.")
    ] = None,
    post_quantum: Annotated[
        bool, typer.Option("--post-quantum", help="By the newest hourly head, of ML-DSA-65.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="File to write the proof to.")] = None,
) -> None:
    """Write a proof that a payment was in the log when it was signed.

    The file convinces people who trust neither the bank nor its database, without either. With
    two sizes instead, it proves that the log has only grown from the one head to the other.

    \b
    Examples:
      scudo prove pay_00000000000004d2
      scudo prove pay_00000000000004d2 --out proof.json
      scudo prove --from 42 --to 90
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import proving  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(
        proving.prove(payment, first=first, second=second, is_post_quantum=post_quantum, out=out)
    )


@app.command("check-proof")
def check_proof(
    file: Annotated[Path | None, typer.Argument(help="What `scudo prove` wrote.")] = None,
    *,
    witness: Annotated[
        Path | None, typer.Option(help="Folder of the log's witness that must hold its heads.")
    ] = None,
    key: Annotated[
        list[str] | None, typer.Option(help="Fingerprint of a key that may have signed; repeat.")
    ] = None,
) -> None:
    """Check a proof, a witness, or both, without the bank and its database.

    Exit code 0: proven; 1: not proven; 2: cannot be read. The same check is one file,
    `proofcheck.py`, for a machine that has only Python and the package cryptography.

    \b
    Examples:
      scudo check-proof proof.json
      scudo check-proof proof.json --witness /media/notary/037dca13efde4b22a57dd9f5fc7b83d7
      scudo check-proof --witness /media/notary/037dca13efde4b22a57dd9f5fc7b83d7
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import proving  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(proving.check(file, witness=witness, keys=key or []))


@app.command()
def bench(
    names: Annotated[
        list[str] | None, typer.Argument(help="Which benchmarks; all by default.")
    ] = None,
    *,
    seconds: Annotated[int | None, typer.Option(min=1, help="How long each one measures.")] = None,
    large: Annotated[
        bool, typer.Option("--large", help="With five million payments already stored.")
    ] = False,
    json: Json = False,
) -> None:
    """Measure this machine as a bank.

    The figures go to build/bench.json too.

    \b
    Examples:
      scudo bench
      scudo bench post_batch decide --seconds 10
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import measuring  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(measuring.bench(tuple(names or ()), seconds=seconds, is_large=large, is_json=json))


@app.command()
def doctor(
    *,
    upgrade: Annotated[
        bool, typer.Option("--upgrade", help="Move data of an older PostgreSQL to this one.")
    ] = False,
    json: Json = False,
) -> None:
    """Check this machine and its settings.

    Settings under which an acknowledged payment could be lost are found and named.

    \b
    Examples:
      scudo doctor
      scudo doctor --upgrade      (make a copy of SCUDO_HOME first)
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import checking  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(checking.doctor(wants_upgrade=upgrade, is_json=json))


@app.command()
def demo(
    *,
    payments: Annotated[
        int, typer.Option(min=500, max=50_000, help="How many payments the day has.")
    ] = 3_000,
    seed: Annotated[int, typer.Option(help="Another seed, another day.")] = 7,
) -> None:
    """Live a day of a small bank.

    Thousands of payments with scams among them, a new customer with a phone over HTTP and a
    thief behind, four decisions explained, every decision made again, books verified.

    Needs nothing and leaves nothing behind, unless SCUDO_HOME is set: then that bank is
    used and stays. The customer acts today, so no other day can be lived in it afterwards.
    """
    from scudo.interfaces.cli import showing  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(showing.demo(payments=payments, seed=seed))


@app.command()
def token(
    name: Annotated[
        str, typer.Argument(help="Name of the client; a known one is given a new token.")
    ],
    *,
    scope: Annotated[
        list[str] | None, typer.Option(help="What it may do; repeat for more than one.")
    ] = None,
    json: Json = False,
) -> None:
    """Give a client a token, shown once.

    \b
    Examples:
      scudo token shop --scope payments:write --scope payments:read
      scudo token replayer --scope clock:drive --scope payments:write
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import installing  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(installing.token(name, scopes=tuple(scope or ()), is_json=json))
