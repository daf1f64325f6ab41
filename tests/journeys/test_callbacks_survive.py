"""Keys of callbacks, and which were taken, outlive the process."""

import asyncio
from pathlib import Path

from tests.conftest import Database
from tests.history.banks import opened

from scudo.governance.callbacks import INVENTORY
from scudo.governance.callbacks.keeping import AddCallbackKey, RevokeCallbackKey, TakePing
from scudo.governance.callbacks.signing import Algorithm

(PING,) = INVENTORY
NOW = 0
TAKEN = "callback:partner_ping:msg_1"


class TestRestart:
    """What a callback rests on is in the log."""

    def test_replays_and_revoked_keys_are_known_after_a_restart(
        self, database: Database, tmp_path: Path
    ) -> None:
        """An id is answered as it was, a sequence counts on, a revoked key stays revoked."""
        add = AddCallbackKey(PING.number, Algorithm.HMAC, b"", 10**9)

        async def scenario() -> None:
            async with opened(database.dsn, tmp_path) as (bank, _):
                await bank.submit(add)
                (first,) = bank.rooms.callbacks.good_keys(PING, now=NOW)
                await bank.submit(add)
                taken = await bank.submit(TakePing(5), key=TAKEN)
                assert taken.status == 200
                keys = list(bank.rooms.callbacks.good_keys(PING, now=NOW))
                assert len(keys) == 2
                revoked = await bank.submit(RevokeCallbackKey(PING.number, first.number))
                assert revoked.status == 200
                secret = await bank.callback_secrets.secret(PING.name, first.number)
            async with opened(database.dsn, tmp_path) as (bank, _):
                position = bank.conveyor.head.position
                assert await bank.submit(TakePing(5), key=TAKEN) == taken
                assert bank.conveyor.head.position == position
                again = await bank.submit(TakePing(5), key=TAKEN + "2")
                assert b"callback_unexpected" in again.body
                good = list(bank.rooms.callbacks.good_keys(PING, now=NOW))
                assert good == [key for key in keys if key.number != first.number]
                assert len(good) == 1
                again = await bank.callback_secrets.secret(PING.name, first.number)
                assert again == secret

        asyncio.run(scenario())
