"""The vault of a bank that runs: started with it, started again when it dies, ended with it.

A bank without its vault goes on as far as it can: what needs a token that is not remembered,
a signature or personal data is refused as `vault_unavailable`, to be sent again.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog

from scudo import vault
from scudo.fabric import postgres
from scudo.fabric import settings as environment
from scudo.interfaces import vaulting
from scudo.kernel import Refusal

_log = structlog.get_logger("scudo.vault")

#: Between two looks whether it lives.
_LOOK_S: Final = 0.05
#: Before it is started again: the first time, and at most.
_PAUSE_S: Final = 0.1
_PAUSE_MAX_S: Final = 10.0
#: Lived so long, what ended it is taken for a single mishap.
_STEADY_S: Final = 30.0


class Guard:
    """Sees that a vault answers for as long as the bank runs.

    Attributes:
        address: where it answers; stays the same when it is started again.
        is_development: whether its root lies in a file.
        starts: how often it was started.
    """

    def __init__(self, settings: environment.Settings, *, server: postgres.Server) -> None:
        """Guard the vault of a bank whose database is started and migrated."""
        self._settings = settings
        self._server = server
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="vault", daemon=True)
        self._process: vaulting.VaultProcess | None = None
        self.starts = 0
        self.is_development = False
        self.address: vault.Address = Path()

    @property
    def pid(self) -> int | None:
        """Number of the vault's process; None while there is none, or it is somebody else's."""
        process = self._process
        return None if process is None else process.pid

    def start(self) -> None:
        """Start the vault, or find the one that runs; give a new one of a laptop its root.

        Raises:
            VaultRefusal: it cannot start, and says why; or, elsewhere, does not answer.
            TlsUnfit: files of the hop to it cannot be used.
            SettingInvalid: keys of this machine are not its keys yet.
        """
        remote = vaulting.remote_of(self._settings)
        if remote is not None:
            self.address = remote
            self._greet()
            return
        try:
            self._start()
        except vault.VaultRunning:
            _log.info("the vault runs already, started by somebody else")
        noted = vaulting.socket_of(self._settings)
        assert noted is not None, "a vault that runs has noted where"
        self.address = noted
        self._greet()
        self._thread.start()

    def _greet(self) -> None:
        """See how it is, and say what people must know."""
        with vault.VaultClient(self.address) as client:
            status = client.ask(vault.Status())
            # Nobody is asked for shares on a laptop. A bank on a database of its own is in
            # earnest: it waits for its keepers, and meanwhile keeps nobody's data.
            is_laptop = self._settings.database_url is None and isinstance(self.address, Path)
            if status.state == "new" and is_laptop:
                client.ask(vault.PrepareDevelopmentRoot())
                client.ask(vault.CommitRoot())
                status = client.ask(vault.Status())
        self.is_development = status.is_development
        if status.is_development:
            _log.warning(
                "DEVELOPMENT VAULT: its root key lies in a file beside the data. Run"
                " `scudo vault rotate-root` before the data of one real person is in it."
            )
        elif status.state != "open":
            _log.warning("the vault is sealed: `scudo vault unseal`", state=status.state)

    def stop(self) -> None:
        """End the vault, if it is ours."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._process is not None:
            self._process.stop()

    def _start(self) -> None:
        account = vaulting.account_of(self._server, self._settings)
        dsn = vaulting.dsn_of(self._server, self._settings)
        self._process = vaulting.start(self._settings, dsn=dsn, account=account)
        self.starts += 1

    def _watch(self) -> None:
        pause = _PAUSE_S
        while True:
            began = time.monotonic()
            if not self._stands_by():
                return
            if time.monotonic() - began >= _STEADY_S:
                pause = _PAUSE_S
            if self._ended.wait(pause):
                return
            pause = min(2 * pause, _PAUSE_MAX_S)
            try:
                self._start()
                _log.warning("the vault was started again", starts=self.starts)
            except (vault.PinWrong, vault.PinLocked) as error:
                # Each further try with the same file would bring the token nearer to its lock.
                _log.error("the vault is not started again: mend the PIN first", code=error.code)
                return
            except (Refusal, OSError) as error:
                code = error.code if isinstance(error, Refusal) else type(error).__name__
                _log.warning("the vault cannot be started again yet", code=code)

    def _stands_by(self) -> bool:
        """Wait while the vault lives; false when the bank has ended."""
        process = self._process
        while process is not None and process.process.poll() is None:
            if self._ended.wait(_LOOK_S):
                return False
        if process is not None:
            _log.error("the vault has ended by itself", status=process.process.returncode)
            process.kill()
            self._process = None
            return True
        with vault.VaultClient(self.address, patience_s=0) as client:
            while not self._ended.wait(1):
                try:
                    client.ask(vault.Status())
                except vault.VaultUnavailable:
                    return True
                except Refusal:
                    # It answers, and that is all that is asked of it.
                    continue
        return False


@contextlib.contextmanager
def guarded(settings: environment.Settings, *, server: postgres.Server) -> Iterator[Guard]:
    """Have a vault beside a database that is started and migrated.

    Raises:
        VaultRefusal: it cannot start, and says why.
    """
    guard = Guard(settings, server=server)
    try:
        guard.start()
        yield guard
    finally:
        guard.stop()
