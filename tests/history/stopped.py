"""A bank in a process of its own that stops itself with the log's head locked.

`python -m tests.history.stopped APP OWNER READ ADMIN VAULT HOME FILE`: opens the bank, sends one
command, and is stopped (SIGSTOP) in the middle of the COPY that follows the lock. Whoever
wakes it up again finds in FILE what its waiters were told.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.history.banks import Driver, Saboteur, opened
from tests.history.record import write

from scudo.bootstrap import Bank
from scudo.fabric import Table
from scudo.fabric.log.model import KEY, key_image
from scudo.fabric.postgres import Dsn
from scudo.fabric.writer import SMALL_BATCH_ROWS


class _Stopper(Saboteur):
    """Has one more table to copy, whose rows never come while the process is stopped."""

    is_armed = False

    def copies(self) -> Iterable[tuple[Table, Sequence[bytes]]]:
        if self.is_armed:
            yield KEY, _Rows()


class _Rows(Sequence[bytes]):
    def __iter__(self) -> Iterator[bytes]:
        os.kill(os.getpid(), signal.SIGSTOP)
        return iter((key_image(os.urandom(16), os.urandom(16), 1),))

    def __len__(self) -> int:
        return SMALL_BATCH_ROWS + 1  # Only a large batch holds its locks between two commands.

    def __getitem__(self, index: Any) -> Any:
        raise IndexError(index)


async def main() -> None:
    """Open, work a little, stop, and tell."""
    app, owner, read, admin, vault, home, file = sys.argv[1:]
    dsn = Dsn(admin=admin, owner=owner, app=app, read=read, vault=vault)
    driver, stopper = Driver(1), _Stopper()

    def prepare(bank: Bank) -> None:
        bank.rooms._stores = (*bank.rooms._stores, stopper)

    try:
        async with opened(dsn, Path(home), prepare=prepare) as (bank, _):
            await driver.setup(bank)
            write(Path(file), driver.tries)
            driver.tries.clear()
            stopper.is_armed = True
            await driver.work(bank, count=3)
    finally:
        write(Path(file), driver.tries)


if __name__ == "__main__":
    asyncio.run(main())
