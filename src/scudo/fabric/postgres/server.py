"""The embedded PostgreSQL of one bank: start it, share it, stop it.

The server belongs to the bank's folder, not to a process. Whoever needs it attaches,
which is a shared lock on a file: the kernel drops it when the process ends, however it
ends. The last one to leave stops the server; if that one was killed, the server goes on
and the next start attaches to it. Starting and stopping exclude each other by a second
lock, so there is never more than one start, and never one during a stop.
"""

from pathlib import Path
from typing import Final, Self

from scudo.fabric.postgres.account import Account, account_for, guest_for
from scudo.fabric.postgres.binaries import binaries_for
from scudo.fabric.postgres.cluster import Cluster
from scudo.fabric.postgres.process import Postmaster, find_postmaster
from scudo.fabric.postgres.refusals import PostgresFolderUnfit, PostgresNotStarted
from scudo.fabric.postgres.roles import Dsn, ensure_database, ensure_roles, socket_dsn
from scudo.fabric.postgres.running import StopMode, find_running, halt, kill, launch
from scudo.fabric.postgres.sharing import Sharing
from scudo.fabric.postgres.socket import place_socket, remove_socket

DATABASE: Final = "scudo"


class EmbeddedServer:
    """PostgreSQL on `home/postgres`, shared by every process that starts it."""

    def __init__(
        self,
        home: Path,
        *,
        durable: bool = True,
        postgres_user: str | None = None,
        vault_user: str | None = None,
    ) -> None:
        """Name the bank's folder; nothing happens before `start`.

        Args:
            home: folder of the bank (SCUDO_HOME).
            durable: false only in test suites: data then does not survive a power cut.
            postgres_user: user that root runs PostgreSQL as (SCUDO_POSTGRES_USER).
            vault_user: user that root runs the vault as (SCUDO_VAULT_USER).
        """
        self.home = home.absolute()
        self.folder = self.home / "postgres"
        self.data = self.folder / "data"
        self._is_durable = durable
        self._postgres_user = postgres_user
        self._vault_user = vault_user
        self._sharing = Sharing(self.folder)

    def __enter__(self) -> Self:
        """Start or attach."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave; the last one stops the server."""
        self.stop()

    def start(self) -> Dsn:
        """Start the server unless it runs, attach to it and say how to connect.

        It makes the data folder if there is none, and cleans up after a crash. Calling
        it again is free; after a crash of PostgreSQL it brings it back, and connection
        strings of before stay true.

        Raises:
            PostgresUnfit: no user or no programs to run it.
            PostgresFolderUnfit: the folder cannot hold it.
            PostgresVersionOther: the data is of another major version.
            PostgresNotStarted: it did not come up; the message carries its last words.
        """
        self._make_folder()
        with self._sharing.exclusively():
            postmaster = find_running(self.data)
            is_known = postmaster is not None and self._sharing.is_attached
            if postmaster is None:
                postmaster = self._launch()
            if not is_known:
                # Whoever launched it may have been killed before it came to this.
                ensure_database(_admin(postmaster, "postgres"), name=DATABASE)
                ensure_roles(_admin(postmaster, DATABASE))
            self._sharing.attach()
        return socket_dsn(postmaster.socket_folder, database=DATABASE)

    def stop(self, mode: StopMode = "fast") -> bool:
        """Detach; stop the server if nobody else is attached. Says whether it is stopped.

        Raises:
            PostgresNotStarted: it did not stop in time.
        """
        if not self.folder.is_dir():
            return True
        with self._sharing.exclusively():
            self._sharing.detach()
            if self._sharing.is_in_use():
                return False
            halt(self.data, mode=mode)
            if self.data.exists():
                account = account_for(self.data, preferred=None)
                remove_socket(self.folder, account, guest=self.guest())
        return True

    def kill(self) -> None:
        """Kill -9 PostgreSQL's first process, as a test of the next start."""
        kill(self.data)

    @property
    def pid(self) -> int | None:
        """Process id of the running PostgreSQL; none when it does not run."""
        postmaster = find_postmaster(self.data) if self.data.exists() else None
        return postmaster.pid if postmaster else None

    def guest(self) -> Account | None:
        """Find the user that the vault runs as; none when it runs as we do.

        Raises:
            PostgresUnfit: there is no such user.
        """
        account = account_for(self.data, preferred=self._postgres_user)
        return guest_for(account, preferred=self._vault_user)

    def _make_folder(self) -> None:
        """Make the bank's folder.

        Raises:
            PostgresFolderUnfit: it cannot be made.
        """
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            message = f"{self.folder} cannot be made: {error.strerror}."
            raise PostgresFolderUnfit(message) from error

    def _launch(self) -> Postmaster:
        """Make the data folder if there is none, and start the server on it.

        Raises:
            PostgresNotStarted: it did not come up, or the disk is full.
        """
        account = account_for(self.data, preferred=self._postgres_user)
        binaries = binaries_for(account)
        guest = guest_for(account, preferred=self._vault_user)
        cluster = Cluster(data=self.data, account=account, is_durable=self._is_durable, guest=guest)
        try:
            if not cluster.is_made():
                cluster.make(binaries)
            socket_folder = place_socket(self.folder, account, guest=guest)
            return launch(cluster, binaries=binaries, socket_folder=socket_folder)
        except OSError as error:
            message = f"PostgreSQL could not be set up in {self.folder}: {error}."
            raise PostgresNotStarted(message) from error


def _admin(postmaster: Postmaster, database: str) -> str:
    return socket_dsn(postmaster.socket_folder, database=database).admin
