"""A bank opened on its database, and closed in order."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from scudo import decisions, payments
from scudo.bootstrap.rooms import CATALOGUE, ROOMS, Rooms
from scudo.bootstrap.trust import Trust, trust_in_files
from scudo.decisions import Alerts, FeatureState, Passages, Policy, Rescoring, Snapshots
from scudo.fabric import (
    Answer,
    Command,
    Consumer,
    ConsumerRunner,
    Conveyor,
    Head,
    Limits,
    ReadPool,
    Recorded,
    Tokens,
    Writer,
    idempotency_digest,
    is_batch_end,
    migration,
    postgres,
    request_digest,
    web,
)
from scudo.governance import DONE, Notary, anomalies, callbacks, trail
from scudo.identity import Clients, passkeys
from scudo.kernel import SECOND_US, Refusal, instant

#: The writer's heartbeat, the look for expiries and the refresh of clients.
BEAT_S: Final = 0.5
#: Positions of the log between two snapshots of the features' state.
SNAPSHOT_EVERY: Final = 2_000_000
#: A consumer that is further behind does not show what happens now.
BEHIND_MAX: Final = 1_000_000
#: Signed heads that may be on their way to the witness.
UNWITNESSED_MAX: Final = 2
#: A gate counts as degraded for so long after its last degraded decision.
DEGRADED_FOR_US: Final = 60 * SECOND_US


def now_us() -> int:
    """Our wall clock, microseconds since 1970. Only the edge of the system reads it."""
    return time.time_ns() // 1_000


@dataclass(slots=True)
class Bank:
    """An open bank: one writer, its conveyor, and what stands around them.

    Attributes:
        callback_secrets: knows the shared secrets of inbound callbacks.
    """

    server: postgres.Server
    dsn: postgres.Dsn
    home: Path
    rooms: Rooms
    writer: Writer
    conveyor: Conveyor
    tokeniser: Tokens
    callback_secrets: callbacks.Secrets
    reads: ReadPool
    clients: Clients
    consumers: ConsumerRunner
    snapshots: Snapshots
    access_snapshots: Snapshots
    notary: Notary
    requests: trail.RequestTrail
    belt: asyncio.Task[None]

    async def submit(
        self,
        command: Command,
        *,
        client: int = 0,
        owner: int | None = None,
        key: str | None = None,
        at: int | None = None,
    ) -> Answer:
        """Hand a command to the one writer; returns what was committed, or a refusal.

        Args:
            command: in canonical form.
            client: id of the sender; 0 for the bank itself.
            owner: whose objects the command may touch; None: everybody's.
            key: Idempotency-Key of the client.
            at: log time in microseconds that a replayed file asks for.
        """
        return await self.queue(command, client=client, owner=owner, key=key, at=at)

    async def note(self, command: Command) -> Answer:
        """Hand in what the bank itself has seen, unasked: it is dated as the log is.

        So it neither stops a file that drives the log's clock nor gives the log a time.
        """
        return await _queue(self.conveyor, command, background=True)

    def queue(
        self,
        command: Command,
        *,
        client: int = 0,
        owner: int | None = None,
        key: str | None = None,
        at: int | None = None,
    ) -> asyncio.Future[Answer]:
        """Like `submit`, without waiting: items queued in order are decided in order."""
        return _queue(self.conveyor, command, client=client, owner=owner, key=key, at=at)

    async def connect(self) -> AsyncConnection[TupleRow]:
        """A new connection of the application's role; starts an embedded database that died."""
        return await _connect(self.server, self.dsn)

    def keep_snapshot(self) -> None:
        """Have the features' state written aside, at the end of the batch in hand."""
        self.conveyor.at_rest(self._snapshot)

    def _snapshot(self) -> None:
        head = self.conveyor.head
        for snapshots, state in self.states:
            snapshots.write_aside(state, position=head.position, batch_hash=head.hash)

    @property
    def states(self) -> tuple[tuple[Snapshots, FeatureState], ...]:
        """Features' states, each with where it is kept."""
        rooms = self.rooms
        return (
            (self.snapshots, rooms.gatekeeper.state),
            (self.access_snapshots, rooms.passages.state),
        )


def _queue(  # noqa: PLR0913 - one parameter per property
    conveyor: Conveyor,
    command: Command,
    *,
    client: int = 0,
    owner: int | None = None,
    key: str | None = None,
    at: int | None = None,
    background: bool = False,
) -> asyncio.Future[Answer]:
    item = conveyor.item(
        command,
        client=client,
        owner=owner,
        key=None if key is None else _digest(client, key),
        request=b"" if key is None else request_digest(command),
        at=at,
        is_timers=background,
    )
    return conveyor.submit(item, background=background)


def _digest(client: int, key: str) -> bytes:
    # Strangers send no keys of their own. What a callback is known by stands among the bank's
    # keys, where it stood before strangers had a number: a message of an old log acts once, too.
    return idempotency_digest(0 if client == web.STRANGERS else client, key)


async def _connect(server: postgres.Server, dsn: postgres.Dsn) -> AsyncConnection[TupleRow]:
    try:
        return await AsyncConnection.connect(dsn.app, autocommit=True)
    except psycopg.OperationalError:
        await asyncio.to_thread(server.start)
        return await AsyncConnection.connect(dsn.app, autocommit=True)


@contextlib.asynccontextmanager
async def open_bank(  # noqa: PLR0913 - one parameter per property
    server: postgres.Server,
    *,
    home: Path,
    description: str,
    witness: Path | None = None,
    trust: Trust | None = None,
    limits: Limits | None = None,
    policy: Policy | None = None,
    party: passkeys.RelyingParty = passkeys.LOCAL_PARTY,
) -> AsyncIterator[Bank]:
    """Open the bank of a home: start its database, migrate, take the log over, rebuild.

    Args:
        server: where its database is.
        home: folder with the installation's keys and snapshots.
        description: who writes, for whoever finds the log taken.
        witness: folder that the log's signed heads go to; within the home by default.
        trust: makes tokens and signs; keys in files of the home by default.
        limits: sizes of the conveyor's batch and queue.
        policy: what the gates decide on payments by; the shipped one by default.
        party: whom passkeys are made for.

    Raises:
        WriterAlive: if another process writes to this bank.
        VaultUnavailable: its keys are in its vault, and no `trust` was given.
    """
    dsn = await asyncio.to_thread(server.start)
    await asyncio.to_thread(migrate_all, dsn)
    await asyncio.to_thread(home.mkdir, parents=True, exist_ok=True)

    async def connect() -> AsyncConnection[TupleRow]:
        return await _connect(server, dsn)

    trusted = await asyncio.to_thread(trust_in_files, home) if trust is None else trust
    policy = policy or decisions.load_policy()
    access_policy = decisions.load_access_policy()
    writer = Writer(connect, description=description)
    head = await writer.open()
    clients = Clients()
    snapshots, access_snapshots = Snapshots(home / "features"), Snapshots(home / "access")
    async with _beating(dsn, writer, clients):
        async with await connect() as connection:
            await clients.refresh(connection)
            rooms = await _open_rooms(
                connection, (policy, snapshots), (access_policy, access_snapshots), head, party
            )
        conveyor = Conveyor(
            writer, rooms, head=head, now=now_us, clock_ns=time.perf_counter_ns, limits=limits
        )
        bank = Bank(
            server=server,
            dsn=dsn,
            home=home,
            rooms=rooms,
            writer=writer,
            conveyor=conveyor,
            tokeniser=trusted.tokens,
            callback_secrets=trusted.callbacks,
            reads=ReadPool(dsn.read),
            clients=clients,
            consumers=ConsumerRunner(_consumers(conveyor), catalogue=CATALOGUE, connect=connect),
            snapshots=snapshots,
            access_snapshots=access_snapshots,
            notary=Notary(signer=trusted.signer, witness=witness or home / "witness"),
            requests=trail.RequestTrail(now=now_us, tokens=trusted.tokens),
            belt=asyncio.create_task(conveyor.run()),
        )
        async with _attended(bank):
            yield bank


def _consumers(conveyor: Conveyor) -> tuple[Consumer, ...]:
    """What follows the log beside the conveyor."""

    async def act(command: Command, key: str) -> Answer:
        return await _queue(conveyor, command, key=key, background=True)

    watching = anomalies.Anomalies(
        act,
        anomalies.load_thresholds(),
        readers={
            payments.events.PaymentReleased: _release,
            decisions.events.ListEntrySet: _spared,
        },
    )
    return (Alerts(), Rescoring(act), trail.ActIndex(), watching)


def _release(recorded: Recorded) -> anomalies.Conduct:
    """To release a held payment overrides what the gate decided."""
    event = recorded.event
    assert isinstance(event, payments.events.PaymentReleased), "it reads nothing else"
    kind, number = web.sender_of(recorded.client)
    return anomalies.Conduct(
        actor=number,
        actor_kind=kind,
        act="payments.release",
        result=DONE,
        reason=event.reason_code,
        of_person=True,
        at=recorded.ordered_at,
    )


def _spared(recorded: Recorded) -> anomalies.Conduct | None:
    """To put something on the allow list overrides what rules say, for as long as it stands."""
    event = recorded.event
    assert isinstance(event, decisions.events.ListEntrySet), "it reads nothing else"
    if event.listed != decisions.lists.ListName.ALLOW:
        return None
    kind, number = web.sender_of(recorded.client)
    return anomalies.Conduct(
        actor=number,
        actor_kind=kind,
        act="decisions.override_rules",
        result=DONE,
        reason="",
        of_person=False,
        at=recorded.ordered_at,
    )


@contextlib.asynccontextmanager
async def _beating(dsn: postgres.Dsn, writer: Writer, clients: Clients) -> AsyncIterator[None]:
    """Keep the writer's heartbeat and the list of clients fresh, also while much is rebuilt."""
    beating = asyncio.create_task(_beat(dsn, writer, clients))
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        await writer.close()


@contextlib.asynccontextmanager
async def _attended(bank: Bank) -> AsyncIterator[None]:
    """Keep what stands around the writer going; at the end, answer what is queued and leave."""
    await bank.reads.open()
    around = [
        asyncio.create_task(work)
        for work in (
            _keep_time(bank),
            _keep_snapshots(bank),
            _keep_authority(bank),
            bank.consumers.run(),
            _watch_controls(bank),
        )
    ]
    ended = threading.Event()
    attesting = asyncio.create_task(asyncio.to_thread(_attest, bank, ended))
    try:
        async with bank.requests.running(bank.connect):
            yield
    finally:
        await bank.conveyor.stop()
        try:
            with contextlib.suppress(Refusal):
                await bank.belt
        finally:
            # What was committed last is signed before we leave.
            ended.set()
            await attesting
            for task in around:
                task.cancel()
            await asyncio.gather(*around, return_exceptions=True)
            await bank.reads.close()
            await bank.writer.retire()
        _last_snapshot(bank)


def migrate_all(dsn: postgres.Dsn) -> tuple[str, ...]:
    """Bring the database to the schema that the code expects; returns what was applied."""
    with psycopg.connect(dsn.owner, autocommit=True) as connection:
        return migration.migrate(connection, rooms=migration.rooms_of(ROOMS))


async def _open_rooms(
    connection: AsyncConnection[TupleRow],
    payments: tuple[Policy, Snapshots],
    access: tuple[Policy, Snapshots],
    head: Head,
    party: passkeys.RelyingParty,
) -> Rooms:
    """The rooms as the log left them, under the policies that decide from now on."""
    state, access_state = await _rebuild(connection, (payments, access), head)
    for version, _ in (payments, access):
        await _keep_policy(connection, version)
    rooms = Rooms(payments[0], state, Passages(access[0], access_state), party=party)
    await rooms.load(connection)
    await rooms.warm(connection)
    return rooms


async def _rebuild(
    connection: AsyncConnection[TupleRow],
    kept: Sequence[tuple[Policy, Snapshots]],
    head: Head,
) -> list[FeatureState]:
    """The features' states at the head: of each the newest good snapshot, and the log after it."""
    found = [await _newest(connection, policy, snapshots, head) for policy, snapshots in kept]
    of_gate = {
        gate: state for (policy, _), state in zip(kept, found, strict=True) for gate in policy.gates
    }
    after = min(position for _, position in found)
    async for number, record in decisions.read_decisions(
        connection, after=after, through=head.position
    ):
        state, position = of_gate[record.event.gate]
        if number > position:
            state.apply(record.event, ordered_at=record.ordered_at, outcome=record.outcome)
    return [state for state, _ in found]


async def _newest(
    connection: AsyncConnection[TupleRow], policy: Policy, snapshots: Snapshots, head: Head
) -> tuple[FeatureState, int]:
    """The newest good snapshot and its position; of none, the empty state of the beginning."""
    for at, batch_hash, path in snapshots.candidates(through=head.position):
        if await is_batch_end(connection, position=at, batch_hash=batch_hash):
            found = snapshots.read(path, policy.features)
            if found is not None:
                return found
    return FeatureState(policy.features), 0


async def _keep_policy(connection: AsyncConnection[TupleRow], policy: Policy) -> None:
    await decisions.keep_policy(
        connection,
        digest=policy.hash,
        name=policy.name,
        source=policy.text,
        now=instant(now_us()),
    )


async def _beat(dsn: postgres.Dsn, writer: Writer, clients: Clients) -> None:
    """Beat over lost connections."""
    while True:
        with contextlib.suppress(psycopg.Error, OSError):
            async with await AsyncConnection.connect(dsn.app, autocommit=True) as connection:
                while True:
                    await writer.beat(connection)
                    await clients.refresh(connection)
                    await asyncio.sleep(BEAT_S)
        await asyncio.sleep(BEAT_S)


async def _watch_controls(bank: Bank) -> None:
    """Have it noted which controls do not work, by what their parts know of themselves."""

    def follows(name: str) -> bool:
        head, consumers = bank.conveyor.head.position, bank.consumers
        return head - consumers.positions.get(name, head) <= BEHIND_MAX

    def decides(degraded_at: int) -> bool:
        return now_us() - degraded_at > DEGRADED_FOR_US

    rooms = bank.rooms
    rooms.retention.since = now_us()
    rooms.controls.checks |= {
        "log": lambda: bank.conveyor.unavailable is None and not bank.consumers.alarms,
        "evidence": lambda: bank.notary.alarm is None,
        "payment_gates": lambda: decides(rooms.gatekeeper.degraded_at),
        "access_gates": lambda: decides(rooms.passages.degraded_at),
        "audit_trail": lambda: follows(trail.ActIndex.name),
        "flags": lambda: not rooms.flags.expired(instant(now_us()).date()),
        "retention": lambda: not rooms.retention.overdue(now_us()),
        "operator_anomalies": lambda: follows(anomalies.Anomalies.name),
        "witness": lambda: bank.notary.signed - bank.notary.exported <= UNWITNESSED_MAX,
        "access_reviews": lambda: not rooms.authority.reviews.overdue(now_us()),
    }
    await rooms.controls.watch(partial(_queue, bank.conveyor, background=True), now_us)


async def _keep_time(bank: Bank) -> None:
    """Let expiries happen when there is no traffic."""
    while True:
        await asyncio.sleep(BEAT_S)
        bank.conveyor.nudge()


async def _keep_authority(bank: Bank) -> None:
    """Tell the log what of the operators' access and approvals has ended by itself."""
    while True:
        await asyncio.sleep(BEAT_S)
        for command in bank.rooms.authority.due(now_us()):
            # It is found again at the next look.
            with contextlib.suppress(Refusal):
                await _queue(bank.conveyor, command, background=True)


def _attest(bank: Bank, ended: threading.Event) -> None:
    """Keep the log's evidence, in a thread: it hashes, signs and waits for two disks."""
    bank.notary.run(
        lambda: psycopg.connect(bank.dsn.app, autocommit=True), clock=now_us, stopping=ended
    )


async def _keep_snapshots(bank: Bank) -> None:
    """Write a snapshot whenever the log has grown enough."""
    while True:
        await asyncio.sleep(BEAT_S)
        bank.snapshots.is_writing()
        bank.access_snapshots.is_writing()
        if bank.conveyor.head.position - bank.snapshots.position >= SNAPSHOT_EVERY:
            bank.keep_snapshot()


def _last_snapshot(bank: Bank) -> None:
    """Leave a snapshot for the next start, if it would save it more than a moment."""
    head = bank.conveyor.head
    for snapshots, state in bank.states:
        snapshots.finish()
        if head.position - snapshots.position >= SNAPSHOT_EVERY // 20:
            snapshots.write(state, position=head.position, batch_hash=head.hash)
