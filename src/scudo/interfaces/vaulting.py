"""The vault's process: started by the bank, as another user where there is one, and ended with it.

Whoever starts it opens its folders and tells it on standard input what it is: where its
database is, as whom it runs, and who may ask. It says on standard output that it answers.
While standard input is open it lives; so it never outlives whoever started it.
"""

import asyncio
import contextlib
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import structlog
import uvloop

from scudo import vault
from scudo.bootstrap import CALLBACK_KEY, SIGNING_KEYS, TOKEN_KEY, now_us
from scudo.fabric import HopTls, TlsFiles, TlsUnfit, postgres, telemetry
from scudo.fabric import settings as environment
from scudo.kernel import Refusal

_log = structlog.get_logger("scudo.vault")

SOCKET: Final = "vault"
FOLDER: Final = "vault"
ERASURES: Final = "erasures"
STARTS_WITHIN_S: Final = 60
STOPS_WITHIN_S: Final = 10
_REFUSED: Final = 3


class Listening(msgspec.Struct, frozen=True):
    """Where the process waits for callers of the network, and the files that say who they are."""

    host: str
    port: int
    certificate: str
    key: str
    ca: str
    callers: str


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is told. It may hold a password and a key, and shows neither.

    Attributes:
        dsn: of the database, as the vault's role.
        folder, erasures: open folders, by descriptor.
        socket: where to answer.
        user, group: to run as, by id.
        callers, keepers: who may ask, by id.
        former: keys that the bank held itself before its vault did.
        pkcs11_module: library of the tokens that a root may be in; none: there are none.
        sealed_by: URI of the token that seals the operational keys; none: nothing does.
        cached_age_us: how old keys in memory become; none for the usual age.
        reads_per_second: quotas in place of the usual ones, by purpose.
        hop: where callers of the network come, if they may.
    """

    dsn: str
    folder: int
    erasures: int
    socket: str
    user: int
    group: int
    callers: tuple[int, ...]
    keepers: tuple[int, ...]
    former: vault.FormerKeys = vault.FormerKeys()
    pkcs11_module: str | None = None
    sealed_by: str | None = None
    cached_age_us: int | None = None
    reads_per_second: dict[str, int] = {}
    hop: Listening | None = None

    def __repr__(self) -> str:
        return "<Launch>"


class _Told(msgspec.Struct, frozen=True):
    """What the process says when it answers, or why it does not.

    Attributes:
        port: where it waits for callers of the network; 0: nowhere.
    """

    refused: str | None = None
    message: str = ""
    port: int = 0


@dataclass(slots=True)
class VaultProcess:
    """A running vault.

    Attributes:
        port: where it waits for callers of the network; 0: nowhere.
    """

    socket: Path
    user: int
    process: subprocess.Popen[bytes]
    port: int = 0

    @property
    def pid(self) -> int:
        """Its number."""
        return self.process.pid

    def stop(self) -> None:
        """End it in order."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._close()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        self._close()

    def _close(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()


def account_of(server: postgres.Server, settings: environment.Settings) -> postgres.Account:
    """The user that the vault runs as: another one if we are root, else ourselves."""
    me = pwd.getpwuid(os.geteuid())
    ours = postgres.Account(name=me.pw_name, user_id=me.pw_uid, group_id=me.pw_gid)
    if isinstance(server, postgres.EmbeddedServer):
        return server.guest() or ours
    return postgres.guest_for(ours, preferred=settings.vault_user) or ours


def folder_of(settings: environment.Settings) -> Path:
    """The vault's own folder."""
    return settings.home / FOLDER


def socket_of(settings: environment.Settings) -> Path | None:
    """Where the vault of this bank answers; none if it never did."""
    noted = postgres.noted_socket(folder_of(settings)) if folder_of(settings).exists() else None
    return None if noted is None else noted / SOCKET


def start(
    settings: environment.Settings,
    *,
    dsn: str,
    account: postgres.Account,
    cached_age_us: int | None = None,
    reads_per_second: dict[str, int] | None = None,
) -> VaultProcess:
    """Start the vault of a bank and wait until it answers.

    Args:
        settings: of the installation.
        dsn: of a migrated database, as the vault's role.
        account: that it runs as.
        cached_age_us: how old keys in memory become.
        reads_per_second: quotas in place of the usual ones, by purpose.

    Raises:
        VaultRefusal: it cannot start, and says why.
        VaultFolderUnfit: a folder of the vault is not the vault's.
        SettingInvalid: a user who may ask does not exist.
        TlsUnfit: files of the hop cannot be used.
    """
    folder = _own_folder(folder_of(settings), account)
    erasures = _own_folder(settings.erasures or folder / ERASURES, account)
    peers = [_peer(name) for name in settings.vault_peers]
    place = postgres.place_socket(folder, account, guest=peers[0] if peers else None, name=SOCKET)
    former, module = _former_keys(settings.home), settings.pkcs11_module
    descriptors = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (folder, erasures)]
    try:
        launch = Launch(
            dsn=dsn,
            folder=descriptors[0],
            erasures=descriptors[1],
            socket=str(place / SOCKET),
            user=account.user_id,
            group=account.group_id,
            callers=tuple({os.geteuid(), *(peer.user_id for peer in peers)}),
            keepers=(os.geteuid(),),
            former=_read(former),
            pkcs11_module=None if module is None else str(module),
            sealed_by=settings.vault_sealed_by,
            cached_age_us=cached_age_us,
            reads_per_second=reads_per_second or {},
            hop=_listening_of(settings),
        )
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", "scudo.interfaces.vaulting"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=descriptors,
            cwd="/",
            env=_environment(settings),
            start_new_session=True,
        )
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    running = VaultProcess(socket=place / SOCKET, user=account.user_id, process=process)
    _demand_answering(running, launch)
    # It answers, so it has them on its disk; killed before this, the next start sees that.
    for path in former:
        path.unlink()
    return running


def _environment(settings: environment.Settings) -> dict[str, str]:
    """What the process sees of our environment.

    Only what a token's module is told by: the rest may hold passwords, and names our home.
    """
    told = {name: os.environ.get(name, "") for name in settings.pkcs11_variables}
    return {**told, "PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _listening_of(settings: environment.Settings) -> Listening | None:
    if settings.vault_listen is None:
        return None
    files = (
        settings.vault_cert,
        settings.vault_key,
        settings.vault_ca,
        settings.vault_callers,
    )
    return Listening(*settings.vault_listen, *map(str, files))


def remote_of(settings: environment.Settings) -> vault.RemoteVault | None:
    """The vault beyond this machine; None: this bank's is here.

    Raises:
        SettingInvalid: this machine holds keys that a vault here must take over first.
        TlsUnfit: files of the hop cannot be used.
    """
    if settings.vault_at is None:
        return None
    if _former_keys(settings.home):
        message = (
            f"SCUDO_VAULT names a vault elsewhere, and {settings.home} holds keys of before there"
            " was one: start the bank once without it, then move the folder `vault`."
        )
        raise environment.SettingInvalid(message)
    assert settings.vault_cert is not None, "settings are read together"
    assert settings.vault_key is not None, "settings are read together"
    files = TlsFiles(settings.vault_cert, settings.vault_key, settings.vault_ca)
    tls = HopTls(files, side="client", protocol=vault.PROTOCOL, clock=now_us)
    return vault.RemoteVault(*settings.vault_at, tls)


def address_of(settings: environment.Settings) -> vault.Address | None:
    """Where the vault of this bank answers; none if it never did.

    Raises:
        SettingInvalid: keys of this machine are in the way.
        TlsUnfit: files of the hop cannot be used.
    """
    return remote_of(settings) or socket_of(settings)


def _former_keys(home: Path) -> list[Path]:
    """Files of keys that a bank held itself before it had a vault; signing keys oldest first."""
    others = (home / TOKEN_KEY, home / CALLBACK_KEY)
    return [
        *sorted((home / SIGNING_KEYS).glob("*-*.key")),
        *(path for path in others if path.exists()),
    ]


def _read(former: list[Path]) -> vault.FormerKeys:
    content = {path.name: path.read_bytes() for path in former}
    return vault.FormerKeys(
        token=content.pop(TOKEN_KEY, b""),
        callback=content.pop(CALLBACK_KEY, b""),
        signing=tuple(
            vault.SigningSeed(name.removesuffix(".key").rpartition("-")[0], seed)
            for name, seed in content.items()
        ),
    )


def _peer(name: str) -> postgres.Account:
    """A user who may ask.

    Raises:
        SettingInvalid: there is no such user.
    """
    try:
        user = pwd.getpwnam(name)
    except KeyError as error:
        message = f"SCUDO_VAULT_PEERS names {name!r}, and there is no such user."
        raise environment.SettingInvalid(message) from error
    return postgres.Account(name=user.pw_name, user_id=user.pw_uid, group_id=user.pw_gid)


def _own_folder(path: Path, account: postgres.Account) -> Path:
    """Make a folder for the vault's user alone, or find it so.

    Raises:
        VaultFolderUnfit: it is somebody else's, or others may look into it.
    """
    if not path.exists():
        path.mkdir(mode=0o700, parents=True)
        account.own(path)
    entry = path.stat()
    if entry.st_uid != account.user_id or entry.st_mode & 0o077:
        message = f"{path} is not the vault's alone: its user is {account.name}"
        raise vault.VaultFolderUnfit(message)
    return path


def _demand_answering(running: VaultProcess, launch: Launch) -> None:
    """Tell the process what it is, and wait until it answers.

    Raises:
        VaultRefusal: it cannot.
        VaultUnavailable: it ended without a word.
        TlsUnfit: it cannot use files of the hop.
    """
    process = running.process
    assert process.stdin is not None, "its standard input is a pipe"
    assert process.stdout is not None, "its standard output is a pipe"
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(msgspec.json.encode(launch) + b"\n")
        process.stdin.flush()
    line = process.stdout.readline()
    told = msgspec.json.decode(line, type=_Told) if line else _Told("vault_unavailable")
    if told.refused is not None:
        running.kill()
        if told.refused == TlsUnfit.code:
            raise TlsUnfit(told.message)
        refusal = vault.REFUSALS.get(told.refused, vault.VaultUnavailable)
        raise refusal(told.message or "the vault's process ended as it began")
    running.port = told.port


def dsn_of(server: postgres.Server, settings: environment.Settings) -> str:
    """How the vault reaches the bank's database, which is started."""
    if settings.vault_database_url is not None:
        return postgres.in_role(settings.vault_database_url, postgres.VAULT)
    return server.start().vault


@contextlib.contextmanager
def running(settings: environment.Settings, *, server: postgres.Server) -> Iterator[VaultProcess]:
    """Run the vault beside a database that is started and migrated."""
    account = account_of(server, settings)
    process = start(settings, dsn=dsn_of(server, settings), account=account)
    try:
        yield process
    finally:
        process.stop()


@contextlib.contextmanager
def running_alone(settings: environment.Settings, url: str) -> Iterator[VaultProcess]:
    """Run the vault on a database that it knows by its own login only."""
    server = postgres.ExternalServer(url)
    process = start(settings, dsn=dsn_of(server, settings), account=account_of(server, settings))
    try:
        yield process
    finally:
        process.stop()


# ---- inside the process


def main() -> int:
    """Be the vault, until standard input ends or a signal comes."""
    launch = msgspec.json.decode(sys.stdin.buffer.readline(), type=Launch)
    if os.geteuid() != launch.user:
        vault.become(launch.user, launch.group)
    vault.harden()
    telemetry.configure_logging(level="INFO")
    try:
        uvloop.run(_serve(launch))
    except Refusal as refusal:
        _say(_Told(refusal.code, refusal.message))
        return _REFUSED
    return 0


async def _serve(launch: Launch) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_reader(sys.stdin.fileno(), stop.set)
    folder = vault.Folder(launch.folder)
    folder.lock()
    folder.tidy()
    hsm = vault.Hsm(None if launch.pkcs11_module is None else Path(launch.pkcs11_module))
    safe = None if launch.sealed_by is None else vault.Safe(hsm, launch.sealed_by)
    age = {} if launch.cached_age_us is None else {"cached_age_us": launch.cached_age_us}
    custody = vault.Custody(
        vault.Database(launch.dsn),
        folder=folder,
        hsm=hsm,
        keys=vault.FileKeyStore(folder, former=launch.former, safe=safe),
        erasures=vault.Erasures(vault.Folder(launch.erasures)),
        clock=vault.Clock(
            wall_us=lambda: time.time_ns() // 1_000,
            monotonic_us=lambda: time.monotonic_ns() // 1_000,
        ),
        limits=vault.Limits(reads_per_second=launch.reads_per_second, **age),
    )
    peers = vault.Peers(frozenset(launch.callers), frozenset(launch.keepers))
    hop = None if launch.hop is None else _hop(launch.hop)
    async with vault.listening(custody, path=Path(launch.socket), peers=peers, hop=hop):
        _say(_Told(port=0 if hop is None else hop.port))
        _log.info("the vault answers", user=os.geteuid())
        await stop.wait()
        loop.remove_reader(sys.stdin.fileno())


def _hop(told: Listening) -> vault.Hop:
    """What waits for callers of the network.

    Raises:
        TlsUnfit: certificate, key or CAs cannot be used by the vault's user.
        VaultCallersUnfit: nor can the list of callers.
    """
    files = TlsFiles(Path(told.certificate), Path(told.key), Path(told.ca))
    return vault.Hop(
        (told.host, told.port),
        tls=HopTls(files, side="server", protocol=vault.PROTOCOL, clock=now_us),
        callers=vault.CallerList(Path(told.callers)),
        clock=now_us,
    )


def _say(told: _Told) -> None:
    # Whoever started us may be gone.
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
