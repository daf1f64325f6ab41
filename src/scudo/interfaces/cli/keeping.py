"""`scudo vault`: made, run, opened and closed by its keepers."""

import getpass
import os
import pwd
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Final

import msgspec
import typer
from rich.markup import escape

from scudo import vault
from scudo.bootstrap import migrate_all
from scudo.fabric import TlsUnfit, postgres, telemetry
from scudo.fabric import doctor as physician
from scudo.fabric import settings as environment
from scudo.interfaces import vaulting
from scudo.interfaces.cli.installing import Settings, opened, settings_now
from scudo.interfaces.cli.terminal import INTERRUPTED, NOT_OK, OK, Terminal
from scudo.kernel import Prefix, ids

_LOOK_S: Final = 0.2
_TOKENS_ANEW: Final = (
    "With a new token key every card, device, address and merchant has another token: counters"
    " of the rules begin anew, and a request that was answered before is taken for another one"
    " when it comes again with the same Idempotency-Key (refused, nothing moves twice)."
    " Do it when the key may be known to somebody, at a quiet hour."
)
#: Shares and their threshold, the URI of a PKCS#11 token, or none in development mode.
Wanted = tuple[int, int] | str | None


def init(wanted: Wanted, *, is_agreed: bool, is_json: bool) -> int:
    """Make the root of a vault that has none; one that does not run is started for it.

    Raises:
        RootPresent: it has one.
    """
    terminal, settings = Terminal(is_json=is_json), settings_now()
    with _asked(settings, starts=True) as client:
        if client.ask(vault.Status()).state != "new":
            message = "the vault has a root key already"
            raise vault.RootPresent(message)
        return _put_root(terminal, client, wanted, is_agreed=is_agreed)


def rotate_root(wanted: Wanted, *, approval: str | None, is_agreed: bool, is_json: bool) -> int:
    """Put a new root in the place of the old one.

    Raises:
        IdMalformed: this is no id of an approval.
        RootUnapproved: two people decide on it, and have not.
    """
    terminal, settings = Terminal(is_json=is_json), settings_now()
    number = 0 if approval is None else ids.parse(Prefix.APPROVAL, approval, field="approval")
    with _asked(settings) as client:
        return _put_root(terminal, client, wanted, approval=number, is_agreed=is_agreed)


def _put_root(
    terminal: Terminal,
    client: vault.VaultClient,
    wanted: Wanted,
    *,
    is_agreed: bool,
    approval: int = 0,
) -> int:
    """Prepare a root, show its shares, and use it once they are in people's hands."""
    if wanted is None:
        client.ask(vault.PrepareDevelopmentRoot())
        client.ask(vault.CommitRoot())
        warn_of_development(terminal)
        terminal.give({"shares": [], "threshold": 0, "development": True})
        return OK
    if isinstance(wanted, str):
        return _put_root_in_token(terminal, client, wanted, approval=approval)
    shares, threshold = wanted
    made = client.ask(vault.PrepareRoot(shares, threshold, approval))
    for number, share in enumerate(made.shares, start=1):
        terminal.say(f"[bold]Share {number} of {shares}[/]\n{share}\n")
    terminal.say(
        f"Any {threshold} of them open the vault; fewer tell nothing. They are not shown again."
    )
    terminal.give({"shares": made.shares, "threshold": threshold, "development": False})
    if not is_agreed and not typer.confirm("Are all of them written down?", err=True):
        terminal.aside.print("The root is as it was before; these shares are worth nothing.")
        return NOT_OK
    client.ask(vault.CommitRoot())
    terminal.aside.print("The new root key is in use.")
    return OK


def _put_root_in_token(
    terminal: Terminal, client: vault.VaultClient, text: str, *, approval: int
) -> int:
    """Make a root in a token, and use it: nobody has anything to write down."""
    uri = vault.HsmUri.parse(text)
    pin = vault.read_pin(uri.pin_source) if uri.pin_source else _secret("PIN: ")
    if pin is None:
        return INTERRUPTED
    made = client.ask(vault.PrepareHsmRoot(text, pin, approval))
    client.ask(vault.CommitRoot())
    terminal.say(f"The root key was made in {escape(made.hsm)} and is in use. It never leaves it.")
    terminal.say("Have the token's keys copied to a second token, as its maker describes.")
    terminal.give({"shares": [], "threshold": 0, "development": False, "hsm": made.hsm})
    return OK


def _secret(prompt: str) -> str | None:
    """Ask for a share or a PIN; none if there is to be no answer.

    It is never an argument: those are seen by every process of the machine.
    """
    try:
        read = getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline()
    except (KeyboardInterrupt, EOFError):
        return None
    return read.strip()


def rotate_search(*, is_json: bool) -> int:
    """Make a new key of look-ups."""
    terminal, settings = Terminal(is_json=is_json), settings_now()
    with _asked(settings) as client:
        made = client.ask(vault.RotateSearch())
    terminal.say(f"Search key {made.search} is in use; what is kept is hashed anew by and by.")
    terminal.give(made)
    return OK


def rotate_seal(*, is_json: bool) -> int:
    """Seal the operational keys by a new key of their token."""
    terminal, settings = Terminal(is_json=is_json), settings_now()
    with _asked(settings) as client:
        client.ask(vault.RotateOperational("seal"))
    terminal.say("The operational keys are sealed by a new key of their token.")
    terminal.give({"sealed": True})
    return OK


def rotate_unit(*, is_json: bool) -> int:
    """Make a new unit key."""
    terminal, settings = Terminal(is_json=is_json), settings_now()
    with _asked(settings) as client:
        made = client.ask(vault.RotateUnit())
    terminal.say(f"Unit key {made.unit} wraps what is written from now on.")
    terminal.give(made)
    return OK


def rotate_signing(*, is_json: bool) -> int:
    """Make a new key of each algorithm that heads of the log are signed by."""
    terminal, settings = Terminal(is_json=is_json), settings_now()
    with _asked(settings) as client:
        for algorithm in (vault.ED25519, vault.ML_DSA_65):
            client.ask(vault.RotateOperational(algorithm))
        signing = client.ask(vault.Status()).signing
    for algorithm, key in sorted(signing.items()):
        terminal.say(f"{algorithm:10} {key} signs from now on.")
    terminal.give({"signing": signing})
    return OK


def rotate_token(*, is_agreed: bool, is_json: bool) -> int:
    """Make a new key of tokens, once whoever asks knows what that does."""
    terminal, settings = Terminal(is_json=is_json), settings_now()
    with _asked(settings) as client:
        terminal.aside.print(_TOKENS_ANEW)
        if not is_agreed and not typer.confirm("Make a new token key?", err=True):
            terminal.aside.print("Nothing was changed.")
            return NOT_OK
        client.ask(vault.RotateOperational("token"))
        version = client.ask(vault.Status()).token_version
    terminal.say(f"Token key {version} makes tokens from now on.")
    terminal.give({"token_version": version})
    return OK


def serve(hop: Mapping[str, str]) -> int:
    """Run the vault until a signal ends it, or it ends by itself.

    Args:
        hop: what the command line says in place of `SCUDO_VAULT_…`, by the rest of the name.
    """
    terminal = Terminal()
    named = {f"SCUDO_VAULT_{name}": value for name, value in hop.items()}
    settings = environment.settings_from(os.environ | named, is_root=os.geteuid() == 0)
    telemetry.configure_logging(level="INFO")
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with _running(settings) as process:
        with vault.VaultClient(process.socket) as client:
            status = client.ask(vault.Status())
        if status.is_development:
            warn_of_development(terminal)
        if process.user == os.geteuid():
            terminal.aside.print("The vault runs as the same user as the bank.")
        sys.stdout.write(f"{process.socket}\n")
        if settings.vault_listen is not None:
            sys.stdout.write(f"tls://{settings.vault_listen[0]}:{process.port}\n")
        sys.stdout.flush()
        while not stop.wait(_LOOK_S):
            if process.process.poll() is not None:
                terminal.aside.print("The vault has ended by itself.")
                return NOT_OK
    return OK


def unseal(keeper: str | None, *, is_json: bool) -> int:
    """Enter one share, or the PIN of the token that has the root."""
    terminal, settings = Terminal(is_json=is_json), settings_now()
    name = keeper or os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    with _asked(settings) as client:
        by_pin = client.ask(vault.Status()).root_kind == "hsm"
        entered = _secret("PIN: " if by_pin else "Share: ")
        if entered is None:
            return INTERRUPTED
        progress = client.ask(
            vault.UnsealByPin(entered) if by_pin else vault.Unseal(entered, name.lower())
        )
    if progress.is_open:
        terminal.say("The vault is open.")
    else:
        terminal.say(f"{progress.entered} of {progress.needed} shares are entered.")
    terminal.give(progress)
    return OK


def seal(*, is_json: bool) -> int:
    """Make the running vault forget its keys."""
    terminal, settings = Terminal(is_json=is_json), settings_now()
    with _asked(settings) as client:
        client.ask(vault.Seal())
    terminal.say("The vault is sealed.")
    terminal.give({"state": "sealed"})
    return OK


def status(*, is_json: bool) -> int:
    """Say how the vault is."""
    terminal, settings = Terminal(is_json=is_json), settings_now()
    with _asked(settings) as client:
        found = client.ask(vault.Status())
    terminal.say(f"[bold]Vault[/]     {found.state}")
    terminal.say(f"[bold]User[/]      {escape(_name_of(found.user))}")
    if found.shares_needed:
        terminal.say(f"[bold]Shares[/]    {found.shares_entered} of {found.shares_needed} entered")
    if found.unit:
        terminal.say(f"[bold]Unit key[/]  {found.unit}, {found.keys_left:,} keys under older ones")
    if found.search:
        left = f"{found.hashes_left:,} look-ups under older ones"
        terminal.say(f"[bold]Search[/]    key {found.search}, {left}")
    if found.hsm:
        terminal.say(f"[bold]Root[/]      {escape(found.hsm)}")
    if found.is_development:
        warn_of_development(terminal)
    terminal.give(msgspec.to_builtins(found))
    return OK


def findings(settings: Settings) -> Iterator[physician.Finding]:
    """What doctor says of the vault; nothing if there is none."""
    if settings.vault_at is not None:
        # Its user, root and erasures are for the doctor of its own machine.
        try:
            yield _state(settings)
        except TlsUnfit as unfit:
            yield _hop_unfit(unfit)
        return
    folder = vaulting.folder_of(settings)
    if not folder.exists():
        return
    owner = folder.stat().st_uid
    data = settings.home / "postgres" / "data"
    others = {os.geteuid()} | ({data.stat().st_uid} if data.exists() else set())
    yield physician.Finding(
        name="vault_user",
        ok=owner not in others,
        is_vital=False,
        found=_name_of(owner),
        wanted="a user of its own",
        next_step="As root: make a user `scudo-vault`, or name one in SCUDO_VAULT_USER.",
    )
    yield _state(settings)
    is_development = (folder / vault.ROOT_FILE).exists()
    yield physician.Finding(
        name="vault_root",
        ok=not is_development,
        is_vital=False,
        found="DEVELOPMENT: a file beside the data" if is_development else "not on this disk",
        wanted="shares in the hands of people",
        next_step="Run `scudo vault rotate-root` before the data of one real person is in it.",
    )
    yield physician.Finding(
        name="vault_erasures",
        ok=settings.erasures is not None,
        is_vital=False,
        found=str(settings.erasures or "in the bank's own folder"),
        wanted="a folder that no backup of the bank restores",
        next_step="Name one in SCUDO_ERASURES: with it a restored backup forgets again.",
    )


def _hop_unfit(unfit: TlsUnfit) -> physician.Finding:
    return physician.Finding(
        name="vault",
        ok=False,
        is_vital=False,
        found=unfit.message,
        wanted="reached by mutual TLS",
        next_step=unfit.next_step,
    )


def _state(settings: Settings) -> physician.Finding:
    """How the vault that runs is; one that does not starts with the bank."""
    address, ok = vaulting.address_of(settings), settings.vault_at is None
    found = "does not run: it starts with the bank" if ok else "elsewhere, and does not answer"
    if isinstance(address, vault.RemoteVault) or (address is not None and address.exists()):
        try:
            with vault.VaultClient(address, patience_s=0) as client:
                status = client.ask(vault.Status())
            ok = status.state == "open"
            found = f"{status.state}, token key {status.token_version}"
            if status.unit:
                found += f", unit key {status.unit}, {status.keys_left:,} keys under older ones"
        except vault.VaultUnavailable:
            pass
        except vault.VaultRefusal as refusal:
            found, ok = f"runs, and answers {refusal.code}", False
    return physician.Finding(
        name="vault",
        ok=ok,
        is_vital=False,
        found=found,
        wanted="open",
        next_step="`scudo vault init` gives a new one its root; `scudo vault unseal` opens it.",
    )


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def warn_of_development(terminal: Terminal) -> None:
    """Say loudly that no real person's data belongs into this vault."""
    terminal.aside.print(
        "[bold red]DEVELOPMENT VAULT[/]: its root key lies in a file beside the data."
        " Keep the data of real people out."
    )


@contextmanager
def _asked(settings: Settings, *, starts: bool = False) -> Iterator[vault.VaultClient]:
    """A client of the running vault; of one that is started for a moment, if that will do.

    Raises:
        VaultUnavailable: none runs.
    """
    address = vaulting.address_of(settings)
    if isinstance(address, vault.RemoteVault) or (address is not None and address.exists()):
        with vault.VaultClient(address) as client:
            yield client
    elif starts:
        with _running(settings) as process, vault.VaultClient(process.socket) as client:
            yield client
    else:
        message = "no vault runs in this bank"
        raise vault.VaultUnavailable(message)


@contextmanager
def _running(settings: Settings) -> Iterator[vaulting.VaultProcess]:
    """The vault beside the database of a bank that was made before.

    On a machine of its own it knows the database by its own login only, and has nothing to make.
    """
    if settings.vault_database_url is not None and settings.database_url is None:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with vaulting.running_alone(settings, settings.vault_database_url) as process:
            yield process
        return
    with opened(settings) as dsn:
        migrate_all(dsn)
        with vaulting.running(settings, server=postgres.database_from(settings)) as process:
            yield process
