"""The commands of `scudo vault`, their options and their help."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from scudo.interfaces.cli.options import Json

Root = Annotated[
    str | None,
    typer.Option(
        "--root",
        help="No shares: the root key is made in this PKCS#11 token, as pkcs11:token=bank.",
    ),
]

Approval = Annotated[
    str | None,
    typer.Option("--approval", help="Two people's approval of this root, as apr_0000000000000001."),
]

vault: Final = typer.Typer(
    help="Keys, personal data and card numbers, in a process of their own.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@vault.command(name="init")
def vault_init(
    *,
    shares: Annotated[int, typer.Option(help="How many shares the root key has.")] = 5,
    threshold: Annotated[int, typer.Option(help="How many of them open the vault.")] = 3,
    development: Annotated[
        bool, typer.Option("--development", help="No shares: the root key lies in a file.")
    ] = False,
    root: Root = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask whether the shares are written down.")
    ] = False,
    json: Json = False,
) -> None:
    """Make the vault's root key and show its shares, once.

    Each share belongs to another person. Without enough of them the vault cannot be opened
    after its next start, by anybody. Later the same command puts a new root in the place of
    the old one (`rotate-root`).

    \b
    Examples:
      scudo vault init --shares 5 --threshold 3
      scudo vault init --root 'pkcs11:token=bank'      (asks for the PIN)
      scudo vault init --root 'pkcs11:token=bank?pin-source=/run/pin'
      scudo vault init --development      (never with real people's data)
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import keeping  # noqa: PLC0415 - late: `--help` must not load the bank

    wanted = None if development else root or (shares, threshold)
    sys.exit(keeping.init(wanted, is_agreed=yes, is_json=json))


@vault.command(name="rotate-root")
def vault_rotate_root(
    *,
    shares: Annotated[int, typer.Option(help="How many shares the new root key has.")] = 5,
    threshold: Annotated[int, typer.Option(help="How many of them open the vault.")] = 3,
    root: Root = None,
    approval: Approval = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask whether the shares are written down.")
    ] = False,
    json: Json = False,
) -> None:
    """Put a new root key in the place of the old one, and show its shares, once.

    Nothing that is stored is written anew, and nobody waits. The old shares, or the old key in
    its token, still open older backups; keep them as long as those.

    Once the bank has operators, two of them decide first: the kind of approval is rotate_root,
    and it is good for 24 hours, for these numbers of shares or this token, and once.

    \b
    Examples:
      scudo vault rotate-root --shares 5 --threshold 3
      scudo vault rotate-root --shares 5 --threshold 3 --approval apr_0000000000000001
      scudo vault rotate-root --root 'pkcs11:token=bank'
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import keeping  # noqa: PLC0415 - late: `--help` must not load the bank

    wanted = root or (shares, threshold)
    sys.exit(keeping.rotate_root(wanted, approval=approval, is_agreed=yes, is_json=json))


@vault.command(name="rotate-unit")
def vault_rotate_unit(*, json: Json = False) -> None:
    """Make a new unit key; person keys are wrapped anew by and by.

    \b
    Examples:
      scudo vault rotate-unit
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import keeping  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(keeping.rotate_unit(is_json=json))


@vault.command(name="rotate-search")
def vault_rotate_search(*, json: Json = False) -> None:
    """Make a new key that values are hashed under to be looked up by.

    Nobody waits: values are looked up under both keys while what is kept is hashed anew; then
    the old key is destroyed. `scudo vault status` says how much is left.

    \b
    Examples:
      scudo vault rotate-search
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import keeping  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(keeping.rotate_search(is_json=json))


@vault.command(name="rotate-seal")
def vault_rotate_seal(*, json: Json = False) -> None:
    """Seal the operational keys by a new key of their token (SCUDO_VAULT_SEALED_BY).

    The old key stays in the token for older backups; destroy it there when these are gone.

    \b
    Examples:
      scudo vault rotate-seal
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import keeping  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(keeping.rotate_seal(is_json=json))


@vault.command(name="rotate-signing")
def vault_rotate_signing(*, json: Json = False) -> None:
    """Make new keys that sign the log's heads, of both algorithms.

    What the old keys signed stays verifiable; they sign nothing more. Nobody waits, and the
    log says from where on the new keys are in use.

    \b
    Examples:
      scudo vault rotate-signing
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import keeping  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(keeping.rotate_signing(is_json=json))


@vault.command(name="rotate-token")
def vault_rotate_token(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Make a new key of tokens, when the old one may be known to somebody.

    The log says from where on tokens are of the new key. Values can still be turned into their
    older tokens, and older tokens still lead to persons; but counters of the rules begin anew.

    \b
    Examples:
      scudo vault rotate-token
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import keeping  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(keeping.rotate_token(is_agreed=yes, is_json=json))


@vault.command(name="serve")
def vault_serve(
    *,
    listen: Annotated[
        str | None, typer.Option(help="Wait for callers of the network too: HOST:PORT.")
    ] = None,
    cert: Annotated[
        Path | None, typer.Option(help="The vault's chain of certificates, PEM.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Its private key, PEM.")] = None,
    ca: Annotated[
        Path | None, typer.Option(help="CAs of its callers, PEM: a file, or a folder.")
    ] = None,
    callers: Annotated[
        Path | None, typer.Option(help="List of the callers and what they may, TOML.")
    ] = None,
) -> None:
    """Run the vault beside the bank's database, until Ctrl-C.

    As root it runs as another user (SCUDO_VAULT_USER). The first line on standard output is
    its socket, once it answers; with --listen the second is its address on the network, where
    callers are let in by mutual TLS. What only keepers may do is done on this machine.

    \b
    Examples:
      scudo vault serve
      scudo vault serve --listen 10.0.0.5:8421 --cert vault.pem --key vault.key \\
          --ca hop-ca.pem --callers callers.toml
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import keeping  # noqa: PLC0415 - late: `--help` must not load the bank

    hop = {"LISTEN": listen, "CERT": cert, "KEY": key, "CA": ca, "CALLERS": callers}
    sys.exit(keeping.serve({name: str(value) for name, value in hop.items() if value is not None}))


@vault.command(name="unseal")
def vault_unseal(
    *,
    keeper: Annotated[
        str | None, typer.Option("--as", help="Who enters the share; the login by default.")
    ] = None,
    json: Json = False,
) -> None:
    """Enter one share of the root key, or its token's PIN; it is asked for and not shown.

    Every keeper enters a share once, within fifteen minutes of the first.

    \b
    Examples:
      scudo vault unseal
      scudo vault unseal --as grace
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import keeping  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(keeping.unseal(keeper, is_json=json))


@vault.command(name="seal")
def vault_seal(*, json: Json = False) -> None:
    """Make the running vault forget its keys, at once.

    Payments go on; personal data can be read after the next unsealing.

    \b
    Examples:
      scudo vault seal
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import keeping  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(keeping.seal(is_json=json))


@vault.command(name="status")
def vault_status(*, json: Json = False) -> None:
    """Say whether the vault is open, and how far its rotation is.

    \b
    Examples:
      scudo vault status
      scudo vault status --json
    """  # noqa: D301 - a line continuation that is shown
    from scudo.interfaces.cli import keeping  # noqa: PLC0415 - late: `--help` must not load the bank

    sys.exit(keeping.status(is_json=json))
