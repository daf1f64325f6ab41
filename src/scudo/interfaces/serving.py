"""The server process: a bank, HTTP before it, and the signals that end both in order."""

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
import structlog
import uvloop
from prometheus_client import CollectorRegistry
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

import scudo
from scudo.bootstrap import CATALOGUE, Bank, open_bank
from scudo.fabric import Answer, Command, postgres, web
from scudo.fabric import settings as environment
from scudo.governance import Act, RecordActs
from scudo.interfaces.http import (
    Application,
    Check,
    HttpServer,
    Limits,
    System,
)
from scudo.interfaces.measures import BankCollector
from scudo.interfaces.table import Ports, describe, room_operations

_log = structlog.get_logger("scudo.serving")
_HOST: Final = "127.0.0.1"


def serve(
    settings: environment.Settings, *, announce: Callable[[str], None], host: str = _HOST
) -> None:
    """Run the bank and its HTTP interface until SIGTERM or SIGINT.

    Args:
        settings: of the installation; port 0 takes a free one.
        announce: told the address once the bank takes work.
        host: address to listen on.

    Raises:
        WriterAlive: if another process writes to this bank.
        WriterFenced: if another process has taken over while this one ran.
    """
    uvloop.run(_serve(settings, announce=announce, host=host))


async def _serve(
    settings: environment.Settings, *, announce: Callable[[str], None], host: str
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = postgres.database_from(settings)
    limits = Limits()
    description = f"scudo serve, process {os.getpid()}"
    async with open_bank(
        server, home=settings.home, description=description, witness=settings.witness_folder
    ) as bank:
        http = HttpServer(application(bank, limits=limits), limits=limits)
        port = await http.start(host=host, port=settings.port)
        _spare_the_loop()
        announce(f"http://{host}:{port}")
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({stopping, bank.belt}, return_when=asyncio.FIRST_COMPLETED)
        _log.info("stopping", fenced=bank.belt.done())
        stopping.cancel()
        await http.stop()
        if bank.belt.done():
            await bank.belt
    await asyncio.to_thread(server.stop)


def _spare_the_loop() -> None:
    """Switch Python's cyclic collector off: it would stop the loop for long, again and again.

    The state of features is large and lives long, and the hot path makes no cycles. What is
    there now is never looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.disable()


def application(bank: Bank, *, limits: Limits) -> Application:
    """The whole HTTP interface of an open bank."""

    async def submit(command: Command, call: web.Call) -> Answer:
        return await bank.queue(
            command,
            client=call.client.id,
            owner=call.client.customer,
            key=call.key,
            at=call.ordered_at,
        )

    async def record(acts: Sequence[Act]) -> None:
        await bank.queue(RecordActs(tuple(acts)))

    @contextlib.asynccontextmanager
    async def writes() -> AsyncIterator[AsyncConnection[TupleRow]]:
        async with await bank.connect() as connection:
            yield connection

    async def readiness() -> tuple[Check, ...]:
        await bank.reads.check()
        return (
            Check("database", is_ok=True),
            Check("writer", is_ok=bank.conveyor.unavailable is None),
            Check("log", is_ok=not bank.consumers.alarms),
            Check("evidence", is_ok=bank.notary.alarm is None),
        )

    registry = CollectorRegistry()
    registry.register(BankCollector(bank))
    system = System(
        readiness=readiness,
        registry=registry,
        asyncapi=msgspec.json.encode(CATALOGUE.asyncapi(version=scudo.__version__)),
    )
    ports = Ports(
        submit=submit,
        reads=bank.reads,
        writes=writes,
        clients=bank.clients,
        clock=_clock,
        tokeniser=bank.tokeniser,
        policy_of=bank.rooms.policy_of,
        record=record,
        callbacks=bank.rooms.callbacks,
        callback_master=bank.callback_master,
    )
    operations = (*system.operations(), *room_operations(ports))
    system.openapi = msgspec.json.encode(describe(operations))
    served = Application(
        operations, authenticate=bank.clients.authenticate, limits=limits, registry=registry
    )
    system.is_draining = lambda: served.is_draining
    return served


def _clock() -> datetime:
    return datetime.now(UTC)
