"""Replays a whole log through the model, and compares everything that is stored with it."""

import heapq
import json
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import msgspec
import psycopg
from psycopg.rows import dict_row
from tests.model.bank import OPEN, STATUS, Disagreement, Expected, Place, Row, show
from tests.model.customers import EYES
from tests.model.layout import BESIDE
from tests.model.whole import Bank

_unpack: Final = msgspec.msgpack.Decoder().decode
_US: Final = "(extract(epoch FROM {0}) * 1000000)::bigint AS {0}"
_ENTRIES: Final = f"""
    SELECT position, {_US.format("ordered_at")}, correlation, client, event_count, status,
        command, events, answer
    FROM fabric.log_entry ORDER BY position"""
_DECISIONS: Final = f"""
    SELECT id, subject, {_US.format("ordered_at")}, gate, outcome, degraded, record
    FROM decisions.decision ORDER BY id"""
_TRANSFERS: Final = """
    SELECT id, debit_account, credit_account, amount, held, hold, debit_version, debit_balance,
        debit_held, credit_version, credit_balance, credit_held, authority, kind,
        authority_kind, code, currency
    FROM ledger.transfer ORDER BY id"""
_ACCOUNTS: Final = f"""
    SELECT id, owner, nature, currency, product, status, {_US.format("opened_at")}, hold_limit,
        posting_limit, debits_posted, credits_posted, debits_held, credits_held, version
    FROM ledger.account ORDER BY id"""
_HOLDS: Final = f"""
    SELECT id, debit_account, credit_account, held, captured, remaining, tolerance_bps,
        {_US.format("expires_at")}, authority, authority_kind, code, status, version
    FROM ledger.hold ORDER BY id"""
_PAYMENTS: Final = f"""
    SELECT id, debit_account, credit_account, amount, captured, decision, version,
        {_US.format("ordered_at")}, currency, kind, status, outcome, discharged, hold,
        {_US.format("expires_at")}, text
    FROM payments.payment ORDER BY id"""
_KEYS: Final = "SELECT key, request, position FROM fabric.idempotency"
_BATCHES: Final = """
    SELECT first_position, last_position, number, epoch, leaves, root, hash,
        (extract(epoch FROM recorded_at) * 1000000)::bigint AS recorded_at
    FROM fabric.log_batch ORDER BY first_position"""
_HEAD: Final = "SELECT epoch, position, ordered_at, batch, hash FROM fabric.log_head"
#: Where members of a stored decision record stand, and of the event in it.
_RECORD: Final = {"event": 1, "ordered_at": 2, "position": 3, "outcome": 4, "discharged": 9}
_EVENT: Final = {
    "gate": 0,
    "amount_minor": 1,
    "currency": 2,
    "customer": 3,
    "account": 4,
    "beneficiary": 5,
    "available_minor": 15,
    "account_opened_at": 16,
    "customer_since": 17,
}


#: Gates that money moves through.
PAYMENTS: Final = frozenset({1, 2})
#: Microseconds by which an expiry may come late: after one that failed the bank pauses.
LATE: Final = 1_500_000


@dataclass(frozen=True, slots=True)
class Logged:
    """One entry of the log, decoded."""

    position: int
    ordered_at: int
    correlation: int
    client: int
    event_count: int
    status: int
    command: list[Any]
    events: list[list[Any]]
    answer: bytes

    @property
    def last(self) -> int:
        return self.position + self.event_count - 1


@dataclass
class Stored:
    """Everything that a bank has stored."""

    entries: list[Logged]
    decisions: dict[int, Row]
    transfers: dict[int, Row]
    accounts: list[Row]
    holds: list[Row]
    payments: list[Row]
    keys: dict[bytes, tuple[bytes, int]]
    batches: list[Row]
    head: Row


@dataclass
class Replayed:
    """What came of a replay: the model at the end, what differed, and how it got there.

    Attributes:
        problems: what differs from the model; empty if the bank is right.
        history: of each account and payment, what it was from a position on.
    """

    model: Bank
    stored: Stored
    problems: list[str] = field(default_factory=list)
    history: dict[tuple[str, int], list[tuple[int, Row]]] = field(default_factory=dict)


def read_stored(conninfo: str) -> Stored:
    """Read everything in one snapshot."""
    with psycopg.connect(conninfo, row_factory=dict_row) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ

        def rows(query: str) -> list[Row]:
            return connection.execute(query).fetchall()

        entries = [
            Logged(**row | {name: _unpack(row[name]) for name in ("command", "events")})
            for row in rows(_ENTRIES)
        ]
        return Stored(
            entries=entries,
            decisions={r["id"]: r | {"record": _unpack(r["record"])} for r in rows(_DECISIONS)},
            transfers={r["id"]: r for r in rows(_TRANSFERS)},
            accounts=rows(_ACCOUNTS),
            holds=rows(_HOLDS),
            payments=rows(_PAYMENTS),
            keys={r["key"].bytes: (r["request"].bytes, r["position"]) for r in rows(_KEYS)},
            batches=rows(_BATCHES),
            head=rows(_HEAD)[0],
        )


def replay(stored: Stored, *, late: int = LATE) -> Replayed:
    """Put every entry through the model and compare all that the bank says and stores.

    `late` is how many microseconds an expiry may be overdue when something else is done.
    """
    replayed = Replayed(Bank(), stored)
    replayed.problems += chain_problems(stored)
    _Replay(replayed, late=late).run()
    return replayed


def chain_problems(stored: Stored) -> list[str]:
    """Positions without gaps, time strictly forward, batches chained, no epoch goes back."""
    problems, position, ordered_at = [], 1, 0
    for entry in stored.entries:
        if entry.position != position:
            problems.append(f"position {entry.position} follows {position - 1}")
        if entry.ordered_at <= ordered_at:
            problems.append(f"time does not go forward at {entry.position}")
        if entry.event_count != len(entry.events):
            problems.append(f"entry {entry.position} counts {entry.event_count} events")
        position, ordered_at = entry.last + 1, entry.ordered_at + entry.event_count - 1
    previous: Row = {"last_position": 0, "number": 0, "epoch": 0, "hash": bytes(32)}
    for batch in stored.batches:
        number = batch["number"]
        if batch["first_position"] != previous["last_position"] + 1:
            problems.append(f"batch {number} does not follow the one before")
        if number != previous["number"] + 1 or batch["epoch"] < previous["epoch"]:
            problems.append(f"batch {number} has a wrong number or an older epoch")
        if sha256(b"\x02" + previous["hash"] + batch["root"]).digest() != batch["hash"]:
            problems.append(f"batch {number} is not chained to the one before")
        previous = batch
    head = stored.head
    stands = (position - 1, ordered_at, previous["number"], previous["hash"])
    if (head["position"], head["ordered_at"], head["batch"], head["hash"]) != stands:
        problems.append("the head is not where the last batch is")
    return problems


def fence_problems(stored: Stored, *, epoch: int, position: int) -> list[str]:
    """Batches of an older epoch after the position at which a newer one began."""
    return [
        f"batch {batch['number']} of epoch {batch['epoch']} was appended after epoch {epoch}"
        for batch in stored.batches
        if batch["first_position"] > position and batch["epoch"] < epoch
    ]


class _Replay:
    """One pass over the log."""

    def __init__(self, replayed: Replayed, *, late: int) -> None:
        self.late = late
        self.replayed, self.stored, self.model = replayed, replayed.stored, replayed.model
        self.starts = [batch["first_position"] for batch in self.stored.batches]
        self.due: list[tuple[int, str, int]] = []
        self.transfers: set[int] = set()
        self.decisions: set[int] = set()

    def differ(self, where: str, name: str, *, is_: Any, should: Any) -> None:
        self.replayed.problems.append(f"{where}: {name} is {is_!r}, should be {should!r}")

    def run(self) -> None:
        before = 0
        for entry in self.stored.entries:
            self.overlooked(entry, before)
            if entry.command[0] in BESIDE:
                before = entry.ordered_at + entry.event_count - 1
                continue
            place = self.place(entry)
            try:
                expected = self.model.apply(entry.command, place)
            except (Disagreement, LookupError, TypeError) as error:
                self.replayed.problems.append(f"entry {entry.position}: {error!r}")
                return
            self.compare(entry, expected)
            self.remember(entry)
            before = entry.ordered_at + entry.event_count - 1
            if len(self.replayed.problems) > 20:
                return
        self.compare_rest()

    def place(self, entry: Logged) -> Place:
        """Where an entry stands, and what is not for the model to say."""
        outcomes = [event[4] for event in entry.events if event[0] == 301]
        for event, after in zip(entry.events, [*entry.events[1:], [0]], strict=True):
            if event[0] == 311:
                outcomes.append(event[5] + (EYES if after[0] == 312 else 0))
        number = bisect_right(self.starts, entry.position) - 1
        recorded_at = self.stored.batches[number]["recorded_at"]
        at = (entry.position, entry.ordered_at, outcomes)
        return Place(*at, entry.client, recorded_at, entry.status)

    def overlooked(self, entry: Logged, before: int) -> None:
        """Nothing that was due before this entry may still stand, unless this entry ends it."""
        if entry.command[0] in {204, 409}:
            return
        while self.due and self.due[0][0] <= before - self.late:
            at, kind, number = heapq.heappop(self.due)
            row = (self.model.holds if kind == "hold" else self.model.payments)[number]
            waits = row["status"] == OPEN if kind == "hold" else True
            if waits and row["expires_at"] == at:
                self.replayed.problems.append(f"{kind} {number} was due before {entry.position}")

    def compare(self, entry: Logged, expected: Expected) -> None:
        where = f"entry {entry.position} {entry.command!r}"
        if entry.status != expected.status:
            self.differ(where, "status", is_=(entry.status, entry.answer), should=expected)
            return
        body = json.loads(entry.answer or b"{}")
        if entry.status >= 400:
            body = {"code": body["code"], "field": body.get("field")}
        for result in body.get("results", ()) if isinstance(body, dict) else ():
            result.pop("detail", None)
        if body != expected.body:
            self.differ(where, "answer", is_=body, should=expected.body)
        if entry.events != expected.events:
            self.differ(where, "events", is_=entry.events, should=expected.events)
        for row in expected.transfers:
            self.transfers.add(row["id"])
            if self.stored.transfers.get(row["id"]) != row:
                is_ = self.stored.transfers.get(row["id"])
                self.differ(where, "transfer", is_=is_, should=row)
        for asked in expected.asked:
            self.decisions.add(asked["id"])
            self.compare_decision(entry, asked)

    def compare_decision(self, entry: Logged, asked: Row) -> None:
        row = self.stored.decisions.get(asked["id"])
        if row is None:
            self.differ(f"decision {asked['id']}", "row", is_=None, should=asked)
            return
        record = row["record"]
        event = record[_RECORD["event"]]
        is_ = {name: event[index] for name, index in _EVENT.items()} | {
            "id": row["id"],
            "payment": row["subject"],
            "outcome": record[_RECORD["outcome"]],
            "discharged": record[_RECORD["discharged"]],
        }
        if is_ != asked:
            self.differ(f"decision {asked['id']}", "event", is_=is_, should=asked)
        times = (row["ordered_at"], record[_RECORD["ordered_at"]], record[_RECORD["position"]])
        # An entry may pass several gates that are none of payments, each at its own event.
        later = asked["id"] - entry.position if asked["gate"] not in PAYMENTS else 0
        at = entry.ordered_at + later
        if times != (at, at, entry.position - 1 + later):
            self.differ(f"decision {asked['id']}", "place", is_=times, should=entry.position)

    def remember(self, entry: Logged) -> None:
        for row in self.model.changed():
            kind = "hold" if "remaining" in row else "payment" if "asked" in row else "account"
            until = row.get("expires_at")
            if until is not None:
                heapq.heappush(self.due, (until, kind, row["id"]))
            if kind != "hold":
                past = self.replayed.history.setdefault((kind, row["id"]), [])
                past.append((entry.last, self.seen(kind, row)))

    def seen(self, kind: str, row: Row) -> Row:
        """What a reader sees of an account or a payment."""
        if kind == "payment":
            names = ("status", "amount", "captured", "decision", "hold", "expires_at")
            return {name: row[name] for name in names}
        return {
            "posted": self.model.posted(row),
            "held": self.model.held(row),
            "available": self.model.available(row),
            "moving": row["debits_held"] + row["credits_held"],
            "status": row["status"],
            "version": row["version"],
        }

    def compare_rest(self) -> None:
        """Compare what stands at the end, and that nothing is stored that nobody asked for."""
        self.compare_rows("account", self.stored.accounts, self.model.accounts.values())
        self.compare_rows("hold", self.stored.holds, self.model.holds.values())
        numbers = [
            {key: value for key, value in row.items() if key != "asked"}
            | {"status": STATUS[row["status"]]}
            for row in self.model.payments.values()
        ]
        self.compare_rows("payment", self.stored.payments, numbers)
        for name, there, known in (
            ("transfers", self.stored.transfers, self.transfers),
            ("decisions", self.stored.decisions, self.decisions),
        ):
            if set(there) - known:
                self.replayed.problems.append(f"{name} of nobody: {sorted(set(there) - known)}")
        positions = {entry.position: entry for entry in self.stored.entries}
        taken = [position for _, position in self.stored.keys.values()]
        if len(set(taken)) != len(taken) or set(taken) - set(positions):
            self.replayed.problems.append("idempotency keys share an entry, or have none")

    def compare_rows(self, name: str, stored: Iterable[Row], modelled: Iterable[Row]) -> None:
        there = {row["id"]: row for row in stored}
        should = {row["id"]: row for row in modelled}
        for number in sorted(there.keys() | should.keys()):
            if there.get(number) != should.get(number):
                is_, wanted = there.get(number, {}), should.get(number, {})
                names = [
                    key for key in is_.keys() | wanted.keys() if is_.get(key) != wanted.get(key)
                ]
                self.differ(
                    f"{name} {number} ({show('', number)})",
                    ", ".join(sorted(names)),
                    is_={key: is_.get(key) for key in names},
                    should={key: wanted.get(key) for key in names},
                )
