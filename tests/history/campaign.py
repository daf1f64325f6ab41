"""A history against the real service: clients in processes of their own, and a nemesis."""

import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import psycopg
from tests.history import deeds, record
from tests.history.check import check
from tests.history.decided import decision_problems
from tests.history.lives import people_problems
from tests.history.people import Customer, Officers, Registrar, connection
from tests.history.wire import Caller
from tests.history.workload import EUR, Workload
from tests.model.bank import show
from tests.model.replay import read_stored

from scudo.fabric.postgres import Dsn, EmbeddedServer
from scudo.identity import SCOPES
from scudo.interfaces.cli.installing import issue

_SERVE: Final = "from scudo.interfaces.cli import main; main()"
_READS: Final = ("balance", "balance", "payment", "transactions", "events")
#: Share of operations that are reads, and of writes that come with an earlier key.
READS, REPLAYS, ALTERED = 0.15, 0.3, 0.3
#: A service that does not answer for so long after a kill has failed.
PATIENCE_S: Final = 60


@dataclass(frozen=True)
class Size:
    """How large a campaign is."""

    operations: int
    kills: int
    clients: int = 8
    lanes: int = 4
    accounts: int = 40
    phones: int = 3

    @property
    def deeds(self) -> int:
        """What each of the people does."""
        return self.operations // 50


class Service:
    """`scudo serve` on a bank of its own, killed and started again on the same port."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.embedded = EmbeddedServer(home)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port: int = taken.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None
        self.dsn: Dsn = self.embedded.start()

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"SCUDO_HOME": str(self.home), "SCUDO_PORT": str(self.port)}

    def enrol_first(self) -> list[str]:
        """Invite the two operators that the bank begins with, before it is served."""
        scudo = [sys.executable, "-c", _SERVE]
        told: bytes = b""
        for command in (["init"], ["operator", "enroll-first", "anna", "bela", "--json"]):
            done = subprocess.run(
                [*scudo, *command], env=self.environment, check=True, capture_output=True
            )
            told = done.stdout
        return [one["invitation"] for one in json.loads(told)]

    def start(self) -> None:
        """Start the server; it may take a moment until it answers."""
        with (self.home / "server.log").open("ab") as log:
            command = [sys.executable, "-c", _SERVE, "serve"]
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)

    def wait(self) -> float:
        """Wait until it takes work; how many seconds that took."""
        began = time.monotonic()
        while time.monotonic() < began + PATIENCE_S:
            if self.process is not None and self.process.poll() is not None:
                self.start()
            caller = Caller(0, "nobody", self.port)
            status = caller.call(["balance", 1]).status
            caller.close()
            if status == 401:
                return time.monotonic() - began
            time.sleep(0.02)
        raise AssertionError("the service does not come back; see server.log")

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill the server and start it again at once."""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()
        self.start()

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.embedded.stop("immediate")


@dataclass
class Nemesis:
    """Breaks the service, in one of several ways at a time."""

    service: Service
    random: Random
    done: Counter[str] = field(default_factory=Counter)

    def strike(self) -> None:
        """Break something, and wait until the service is back."""
        ways: list[Callable[[], None]] = [
            self.kill_server,
            self.kill_server_twice,
            self.kill_postmaster,
            self.stop_postgres_at_once,
            self.kill_backend,
            self.end_backends,
            self.pause_server,
        ]
        way = self.random.choices(ways, (4, 1, 2, 1, 2, 2, 1))[0]
        self.done[way.__name__] += 1
        with contextlib.suppress(psycopg.Error):
            way()
        self.service.wait()

    def kill_server(self) -> None:
        self.service.kill()

    def kill_server_twice(self) -> None:
        """Also while it starts."""
        self.service.kill()
        time.sleep(self.random.random() * 1.5)
        self.service.kill()

    def kill_postmaster(self) -> None:
        pid = self.service.embedded.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    def stop_postgres_at_once(self) -> None:
        pid = self.service.embedded.pid
        if pid is not None:
            os.kill(pid, signal.SIGQUIT)

    def kill_backend(self) -> None:
        """Kill one backend the hard way: PostgreSQL then restarts all of them."""
        pids = self.backends()
        if pids:
            os.kill(self.random.choice(pids), signal.SIGKILL)

    def end_backends(self) -> None:
        with psycopg.connect(self.service.dsn.admin, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'scudo_app'"
            )

    def pause_server(self) -> None:
        """Stop the process for longer than a transaction may last."""
        self.service.signal(signal.SIGSTOP)
        time.sleep(2.2)
        self.service.signal(signal.SIGCONT)

    def backends(self) -> list[int]:
        with psycopg.connect(self.service.dsn.admin, autocommit=True) as connection:
            found = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE usename = 'scudo_app'"
            ).fetchall()
        return [pid for (pid,) in found]


@dataclass(frozen=True)
class Task:
    """What one client process is to do: `lanes` callers of one token, each with a file."""

    caller: Caller
    seed: str
    accounts: list[int]
    customers: list[int]
    mandates: list[int]
    files: list[Path]
    share: int


@dataclass(frozen=True)
class Crowd:
    """The people of a campaign, who live in one process, each with a diary."""

    port: int
    token: str
    seed: str
    size: Size
    home: Path
    invitations: list[str]
    customers: list[int]
    diaries: Path

    def registrar(self, name: str = "registrar") -> Registrar:
        """The clerk, of a few customers: they come up again and again."""
        random = Random(f"{self.seed}-{name}")
        http = connection(self.port, random)
        http.headers["authorization"] = f"Bearer {self.token}"
        diary = deeds.Diary(self.diaries / f"{name}.jsonl", name)
        customers = [show("cus", number) for number in self.customers[:12]]
        return Registrar(http, diary, random, customers)


def live(crowd: Crowd, is_ready: Any, counter: Any) -> None:
    """Be the people: each in a thread, once the operators have come."""
    seed, port, share = crowd.seed, crowd.port, crowd.size.deeds
    diary = crowd.diaries / "officers.jsonl"
    officers = Officers(port=port, diary=diary, random=Random(f"{seed}-officers"))
    officers.found(crowd.invitations)
    is_ready.set()

    def customer(number: int) -> None:
        name = f"phone-{number}"
        random, diary = Random(f"{seed}-{name}"), crowd.diaries / f"{name}.jsonl"
        someone = Customer(name, port=port, mail=crowd.home / "mail", diary=diary, random=random)
        someone.work(share, pace)

    def pace(part: float) -> None:
        while 0 <= counter.value < part * crowd.size.operations * 0.9:
            time.sleep(0.05)

    def safely(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException:
            counter.value = -(10**9)
            raise

    everybody = [partial(customer, number) for number in range(crowd.size.phones)]
    everybody += [
        partial(officers.work, share, pace),
        partial(crowd.registrar().work, share, pace),
    ]
    threads = [threading.Thread(target=safely, args=(one,)) for one in everybody]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if counter.get_obj().value < 0:
        raise SystemExit(1)


def act(task: Task, counter: Any) -> None:
    """Be one client: a share of the operations, every try written down."""
    lanes = [
        threading.Thread(target=lane, args=(task, counter), kwargs={"number": number})
        for number in range(len(task.files))
    ]
    for one in lanes:
        one.start()
    for one in lanes:
        one.join()
    if counter.get_obj().value < 0:
        raise SystemExit(1)


def lane(task: Task, counter: Any, *, number: int) -> None:
    """One connection of a client, one operation after the other."""
    try:
        operate(task, counter, lane_number=number)
    except BaseException:
        counter.value = -(10**9)
        raise


def operate(task: Task, counter: Any, *, lane_number: int) -> None:
    """Make operations, some of them reads, some replays, and write down what came of them."""
    seed, file = f"{task.seed}l{lane_number}", task.files[lane_number]
    caller = Caller(task.caller.client, task.caller.token, task.caller.port)
    random = Random(seed)
    workload = Workload(random, name=seed, now=time.time_ns() // 1_000)
    workload.accounts, workload.customers = list(task.accounts), list(task.customers)
    workload.mandates = list(task.mandates)
    sent: list[tuple[list[Any], str]] = []
    for number in range(task.share // len(task.files)):
        with counter.get_lock():
            counter.value += 1
        if random.random() < READS:
            record.write(file, [caller.call(reading(workload))])
            continue
        if number % 500 == 0:
            workload.now = time.time_ns() // 1_000
        command, key = chosen(workload, sent, f"{seed}-{number}")
        if command[0] == 205:
            record.write(file, in_bulk(caller, command, key, sent))
            continue
        insists = random.random() < 0.7
        tries = caller.insist(command, key, random, tries=400 if insists else 1)
        record.write(file, tries)
        if tries[-1].status and tries[-1].code != "idempotency_key_reused":
            workload.learn(command, tries[-1].status, tries[-1].answer())


def chosen(workload: Workload, sent: list[tuple[list[Any], str]], key: str) -> tuple[Any, str]:
    """The next command and its key: a new one, an earlier one, or an earlier one altered."""
    random = workload.random
    if len(sent) > 5 and random.random() < REPLAYS:
        command, old = random.choice(sent[-80:])
        return (workload.altered(command) if random.random() < ALTERED else command), old
    command = workload.next()
    if command[0] != 205:
        sent.append((command, key))
    return command, key


def in_bulk(
    caller: Caller, command: list[Any], key: str, sent: list[tuple[list[Any], str]]
) -> list[record.Try]:
    """Journals in one request, each with its own key."""
    journals = [[203, 2, group, "bulk"] for group in command[2]]
    pairs = [(journal, f"{key}-{n}") for n, journal in enumerate(journals)]
    sent += pairs
    return caller.bulk(journals, [name for _, name in pairs])


def reading(workload: Workload) -> list[Any]:
    """Something to read."""
    kind = workload.random.choice(_READS)
    if kind == "payment":
        return [kind, workload.payment("authorised", "held", "challenged")]
    if kind == "events":
        return [kind, workload.random.randint(0, 40 * workload.made), 50]
    return [kind, workload.account()]


class Campaign:
    """Sets a service up, sends clients and the nemesis at it, and checks what comes out."""

    def __init__(self, folder: Path, *, seed: int, size: Size, say: Callable[[str], None]) -> None:
        self.folder, self.seed, self.size, self.say = folder, seed, size, say
        self.random = Random(seed)
        self.service = Service(folder / "bank")
        self.files: list[Path] = []
        self.invitations: list[str] = []

    def run(self) -> list[str]:
        """Run to the end; what is wrong."""
        began = time.monotonic()
        try:
            self.invitations = self.service.enrol_first()
            self.service.start()
            self.say(f"seed {self.seed}: started in {self.service.wait():.1f} s")
            self.work(self.callers())
            self.say(f"worked for {time.monotonic() - began:.0f} s")
            stored = read_stored(self.service.dsn.read)
        finally:
            self.service.stop()
        tries = [one for file in self.files for one in record.read(file)]
        unknown = sum(one.is_unknown for one in tries)
        self.say(f"{len(tries)} tries, {unknown} unknown, {len(stored.entries)} entries to check")
        problems = check(stored, tries) + decision_problems(stored)
        lives = deeds.read(sorted((self.folder / "diaries").glob("*.jsonl")))
        self.say(f"{len(lives)} deeds, {sum(one.is_unknown for one in lives)} unknown")
        self.say(f"done: {dict(Counter(one.what for one in lives if 0 < one.status < 300))}")
        problems += people_problems(stored, lives)
        problems += [f"poisoned: {one}" for one in tries if one.code == "request_poisoned"][:10]
        self.say(f"{len(problems)} problems after {time.monotonic() - began:.0f} s")
        return problems

    def callers(self) -> list[Caller]:
        """A client for every process, and one more for set-up and the end."""
        callers = []
        for number in range(self.size.clients + 1):
            client, token = asyncio.run(issue(self.service.dsn, f"history-{number}", SCOPES))
            callers.append(Caller(client, token, self.service.port))
        time.sleep(1.2)
        return callers

    def setup(self, caller: Caller, file: Path) -> Workload:
        """Customers, accounts, money on them, and mandates."""
        known = Workload(self.random, name="setup")

        def do(command: list[Any], key: str) -> None:
            tries = caller.insist(command, key, self.random)
            record.write(file, tries)
            known.learn(command, tries[-1].status, tries[-1].answer())

        for number in range(self.size.accounts):
            do([101, f"customer-{number}", 1, 380], f"customer-{number}")
            do([201, known.customers[-1], EUR, 100, 2, 0, 0], f"account-{number}")
        rich = [[1, 10**7, EUR, 0, number, 0, True, 0, 0, 0] for number in known.accounts]
        do([203, 1, rich, "opening"], "opening")
        known.now = time.time_ns() // 1_000
        for number, mandate in enumerate(known.new_mandates()):
            do(mandate, f"mandate-{number}")
        return known

    def work(self, callers: list[Caller]) -> None:
        """Let the clients work while the nemesis strikes, then settle what is unknown."""
        last = callers.pop()
        self.files = [self.folder / "last.jsonl"]
        known = self.setup(last, self.files[-1])
        context = multiprocessing.get_context("spawn")
        counter, is_ready = context.Value("q", 0), context.Event()
        crowd = self.crowd(last, known.customers)
        people = context.Process(target=live, args=(crowd, is_ready, counter))
        people.start()
        assert is_ready.wait(PATIENCE_S), "the operators do not come"
        share, tasks = self.size.operations // len(callers), []
        for number, caller in enumerate(callers):
            files = [self.folder / f"client-{number}-{n}.jsonl" for n in range(self.size.lanes)]
            self.files += files
            seed = f"s{self.seed}c{number}"
            numbers = (known.accounts, known.customers, known.mandates)
            tasks.append(Task(caller, seed, *numbers, files, share))
        processes = [context.Process(target=act, args=(task, counter)) for task in tasks]
        for process in processes:
            process.start()
        processes.append(people)
        nemesis = Nemesis(self.service, self.random)
        try:
            self.strike(nemesis, processes, counter, share * len(callers))
        finally:
            for process in processes:
                process.terminate()
                process.join()
        self.say(f"struck: {dict(nemesis.done)}")
        self.service.wait()
        time.sleep(0.5)
        self.settle(callers, last)
        last_look = crowd.registrar("at the end")
        with last_look.http:
            last_look.every()

    def crowd(self, caller: Caller, customers: list[int]) -> Crowd:
        """The people, with a folder for their diaries."""
        diaries = self.folder / "diaries"
        diaries.mkdir()
        place = (self.service.home, self.invitations, customers, diaries)
        return Crowd(self.service.port, caller.token, f"s{self.seed}", self.size, *place)

    def strike(self, nemesis: Nemesis, processes: list[Any], counter: Any, total: int) -> None:
        step = total / (self.size.kills + 1)
        for number in range(self.size.kills):
            due = step * (number + 0.5 + self.random.random() / 2)
            while counter.value < due and any(process.is_alive() for process in processes):
                time.sleep(0.01)
            nemesis.strike()
        for process in processes:
            process.join()
            assert process.exitcode == 0, "a client died"

    def settle(self, callers: list[Caller], last: Caller) -> None:
        """Ask by key what became of every operation whose outcome is unknown."""
        by_client = {caller.client: caller for caller in (*callers, last)}
        for file in self.files:
            tries = record.read(file)
            keys = {(one.client, one.key) for one in tries if one.is_unknown and one.key}
            found = [by_client[client].call(["answer", key]) for client, key in sorted(keys)]
            record.write(file, found)
        for caller in by_client.values():
            caller.close()
