"""The server process: a bank, HTTP before it, and the signals that end both in order."""

import asyncio
import contextlib
import functools
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Final, NoReturn

import msgspec
import structlog
import uvloop
from prometheus_client import CollectorRegistry
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

import scudo
from scudo import identity, payments
from scudo.bootstrap import CATALOGUE, Bank, now_us, open_bank, trust_in_vault
from scudo.fabric import Answer, BadRow, BankUnavailable, Command, postgres, web
from scudo.fabric import settings as environment
from scudo.governance import Act, RecordActs, flags
from scudo.identity import customers, operators, passkeys
from scudo.interfaces import guarding
from scudo.interfaces.admitting import (
    Site,
    partner_desk,
    signature_check,
    tls_of,
)
from scudo.interfaces.customers import customers_office
from scudo.interfaces.http import (
    Application,
    Check,
    HttpServer,
    Limits,
    System,
)
from scudo.interfaces.measures import BankCollector, EdgeCollector
from scudo.interfaces.recounting import AuditorProcess
from scudo.interfaces.retaining import retained
from scudo.interfaces.table import Ports, describe, room_operations
from scudo.interfaces.watching import VaultWatch, watched
from scudo.vault import Address, AsyncVaultClient, VaultTexts, VaultUnavailable

_log = structlog.get_logger("scudo.serving")
_HOST: Final = "127.0.0.1"
_OK: Final = 200


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
        VaultRefusal: its vault cannot start.
        SettingInvalid: if production would speak plain HTTP to other machines.
        TlsUnfit: if certificate, key or CAs cannot be used.
    """
    site = Site.of(settings, tls=tls_of(settings, host))
    server = postgres.database_from(settings)
    with guarding.guarded(settings, server=server) as guard:
        uvloop.run(_serve(settings, vault=guard.address, site=site, announce=announce, host=host))


async def _serve(
    settings: environment.Settings,
    *,
    vault: Address,
    site: Site,
    announce: Callable[[str], None],
    host: str,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = postgres.database_from(settings)
    limits = Limits()
    description = f"scudo serve, process {os.getpid()}"
    async with (
        trust_in_vault(vault) as trust,
        open_bank(
            server,
            home=settings.home,
            description=description,
            witness=settings.witness_folder,
            trust=trust,
            party=passkeys.RelyingParty(settings.passkey_domain, "Scudo", settings.origins),
        ) as bank,
        watched(bank, vault) as watch,
        retained(bank, settings, vault_port(trust.vault)),
    ):
        auditor = AuditorProcess(settings, dsn=bank.dsn.read, alarm=lambda bad: _alarm(bank, bad))
        office = customers_office(
            bank, settings, record=functools.partial(_record, bank), vault=trust.vault
        )
        await customers.recall_failures(office)
        served = application(
            bank,
            limits=limits,
            vault=trust.vault,
            watch=watch,
            auditor=auditor,
            site=site,
            office=office,
        )
        bank.rooms.controls.checks |= checks_beside(watch, auditor)
        http = HttpServer(served, limits=limits, tls=site.tls)
        port = await http.start(host=host, port=settings.port)
        _spare_the_loop()
        announce(f"{'http' if site.tls is None else 'https'}://{host}:{port}")
        recounting = asyncio.create_task(auditor.run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({stopping, bank.belt}, return_when=asyncio.FIRST_COMPLETED)
        _log.info("stopping", fenced=bank.belt.done())
        stopping.cancel()
        recounting.cancel()
        await asyncio.gather(recounting, return_exceptions=True)
        await http.stop()
        await asyncio.to_thread(office.close)
        if bank.belt.done():
            await bank.belt
    await asyncio.to_thread(server.stop)


@contextlib.asynccontextmanager
async def served_here(
    bank: Bank, settings: environment.Settings, *, vault: AsyncVaultClient | None
) -> AsyncIterator[str]:
    """Serve an open bank of this process on a free port of this machine; yields its address."""
    limits = Limits()
    office = customers_office(bank, settings, record=functools.partial(_record, bank), vault=vault)
    http = HttpServer(application(bank, limits=limits, vault=vault, office=office), limits=limits)
    port = await http.start(host=_HOST, port=0)
    try:
        yield f"http://{_HOST}:{port}"
    finally:
        await http.stop()
        await asyncio.to_thread(office.close)


def _spare_the_loop() -> None:
    """Switch Python's cyclic collector off: it would stop the loop for long, again and again.

    The state of features is large and lives long, and the hot path makes no cycles. What is
    there now is never looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.disable()


async def _alarm(bank: Bank, bad: BadRow) -> None:
    """Tell the log which row is wrong: the one fact that must outlive the process."""
    where = f"{bad.table} {bad.key}" + (f" {bad.column}" if bad.column else "")
    act = Act(0, web.PrincipalKind.NOBODY, "audit.found_row", where, None, "row_broken")
    await bank.note(RecordActs((act,)))


def application(  # noqa: PLR0913 - one parameter per property
    bank: Bank,
    *,
    limits: Limits,
    vault: AsyncVaultClient | None = None,
    watch: VaultWatch | None = None,
    auditor: AuditorProcess | None = None,
    site: Site | None = None,
    office: customers.Office | None = None,
) -> Application:
    """The whole HTTP interface of an open bank.

    Args:
        bank: open.
        limits: of the interface.
        vault: asks for personal data; without one all of that is refused as unavailable.
        watch: sees how the vault is.
        auditor: recounts beside it; None: nobody does.
        site: for whom the installation works; a sandbox in plain HTTP by default.
        office: where customers are served; by default that of a laptop.
    """
    site = site or Site()
    submit, record = functools.partial(_submit, bank), functools.partial(_record, bank)
    office = office or _laptop_office(bank, vault)
    desk = partner_desk(bank, site, proofs=office.proofs, submit=submit, record=record)
    registry = CollectorRegistry()
    registry.register(BankCollector(bank, auditor, watch))
    reader = flags.FlagReader(flags.FlagProvider(bank.rooms.flags))
    registry.register(EdgeCollector(site.tls, desk.doorkeeper, reader))
    readiness = functools.partial(_readiness, bank, site, watch, auditor)
    system = System(readiness=readiness, registry=registry, asyncapi=_asyncapi())
    ports = Ports(
        submit=submit,
        reads=bank.reads,
        writes=functools.partial(_writes, bank),
        clients=bank.clients,
        clock=_clock,
        tokeniser=bank.tokeniser,
        policy_of=bank.rooms.policy_of,
        record=record,
        callbacks=bank.rooms.callbacks,
        callback_secrets=bank.callback_secrets,
        vault=vault_port(vault),
        keep_text=payments.routes.keep_nothing if vault is None else VaultTexts(vault).keep,
        authority=bank.rooms.authority,
        partner_tokens=desk,
        customers=office,
        flagged=bank.rooms.flags,
        flag_reader=reader,
        edge=bank.rooms.edge_limits,
        lists=bank.rooms.lists,
        retention=bank.rooms.retention,
        relationships=bank.rooms.relationships,
    )
    operations = (*system.operations(), *room_operations(ports))
    system.openapi = msgspec.json.encode(describe(operations))
    edge = _edge(bank, operations)
    doors = (bank.clients, edge, desk.doorkeeper, office.tokens)  # Clients ask most: theirs first.
    served = Application(
        operations,
        authenticate=first_of(*(door.authenticate for door in doors)),
        authorise=edge.authorise,
        limits=limits,
        registry=registry,
        trail=bank.requests,
        signatures=signature_check(desk.doorkeeper),
        rules=bank.rooms.edge_limits.holding,
    )
    system.is_draining = lambda: served.is_draining
    return served


def _asyncapi() -> bytes:
    return msgspec.json.encode(CATALOGUE.asyncapi(version=scudo.__version__))


def _laptop_office(bank: Bank, vault: AsyncVaultClient | None) -> customers.Office:
    laptop = environment.Settings(home=bank.home)
    return customers_office(bank, laptop, record=functools.partial(_record, bank), vault=vault)


async def _readiness(
    bank: Bank, site: Site, watch: VaultWatch | None, auditor: AuditorProcess | None
) -> tuple[Check, ...]:
    await bank.reads.check()
    return (
        Check("database", is_ok=True),
        Check("writer", is_ok=bank.conveyor.unavailable is None),
        Check("log", is_ok=not bank.consumers.alarms),
        Check("evidence", is_ok=bank.notary.alarm is None),
        Check("auditor", is_ok=auditor is None or auditor.is_well),
        Check("certificate", is_ok=site.tls is None or site.tls.is_good),
        # Payments go on while it is sealed, and those of usual customers while it is away.
        Check("vault", is_ok=watch is not None and watch.is_open, is_vital=False),
        Check("controls", is_ok=not bank.rooms.controls.degraded(), is_vital=False),
    )


def checks_beside(watch: VaultWatch, auditor: AuditorProcess) -> dict[str, Callable[[], bool]]:
    """What says whether the controls work that are processes of their own, by their names."""
    return {"vault": lambda: watch.is_open, "auditor": lambda: auditor.is_well}


def _edge(bank: Bank, operations: tuple[web.Operation, ...]) -> operators.Edge:
    """Who knows operators, and what they may do of the table."""

    def tell(command: Command) -> None:
        # What comes of it is in the log, or the bank has said that it takes no work.
        bank.queue(command).add_done_callback(lambda told: told.cancelled() or told.exception())

    bank.rooms.edge_limits.know(operation.name for operation in operations)
    edge = operators.Edge(bank.rooms.authority.staff, now=now_us, tell=tell)
    edge.know(operations)
    return edge


def vault_port(vault: AsyncVaultClient | None) -> identity.AskVault:
    """What asks the vault; of a bank without one, what says so."""
    return _no_vault if vault is None else vault.ask


async def _no_vault(request: object) -> NoReturn:
    del request
    message = "this bank runs without a vault"
    raise VaultUnavailable(message)


@contextlib.asynccontextmanager
async def _writes(bank: Bank) -> AsyncIterator[AsyncConnection[TupleRow]]:
    async with await bank.connect() as connection:
        yield connection


async def _submit(bank: Bank, command: Command, call: web.Call) -> Answer:
    return await bank.queue(
        command,
        client=call.client.sender,
        owner=call.client.customer,
        key=call.key,
        at=call.ordered_at,
    )


async def _record(bank: Bank, acts: Sequence[Act]) -> None:
    """Have acts in the log before anybody sees what they were for.

    Raises:
        BankUnavailable: they cannot be recorded; then nobody may see it.
    """
    answer = await bank.submit(RecordActs(tuple(acts)))
    if answer.status != _OK:
        message = "what is done cannot be recorded now, so it is not done"
        raise BankUnavailable(message)


def first_of(*authenticators: web.Authenticator) -> web.Authenticator:
    """Ask one after the other who somebody is."""

    def authenticate(scheme: str, credentials: str, arrival: web.Arrival) -> web.Principal | None:
        for ask in authenticators:
            found = ask(scheme, credentials, arrival)
            if found is not None:
                return found
        return None

    return authenticate


def _clock() -> datetime:
    return datetime.now(UTC)
