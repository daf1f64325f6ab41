"""The history checker: every answer that any client got, against the log and the model.

Acknowledged means present, once, with these very bytes. A promise of no effect means
absent. What is in doubt is one or the other. Positions agree with real time, and a read
saw something that was true between its beginning and its end.
"""

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from tests.history.record import NO_EFFECT, Try
from tests.model.bank import OPEN, Row
from tests.model.layout import RECORDED, instant
from tests.model.replay import LATE, Logged, Replayed, Stored, replay
from tests.model.whole import Bank

#: Members of commands that hold keyed tokens: the client's text does not tell the number.
TOKENS: Final = frozenset({"card", "merchant", "device", "ip"})
#: Refusals of the edge: not of the model, nothing was done, nothing is remembered.
EDGE: Final = frozenset(
    {"body_invalid", "card_number_refused", "currency_unknown", "reference_unfit"}
)

#: Senders from here on are people, whose requests have no keys; see `people`.
PEOPLE: Final = 1 << 60
#: What is recorded of persons comes after it was done, without the request's key.
KEYLESS: Final = frozenset({118, 551, 552})


def check(stored: Stored, tries: Sequence[Try], *, late: int = LATE) -> list[str]:
    """Everything that is wrong with a bank and with what its clients were told."""
    replayed = replay(stored, late=late)
    return replayed.problems + History(replayed, tries).problems()


class History:
    """What clients saw, beside what is stored."""

    def __init__(self, replayed: Replayed, tries: Sequence[Try]) -> None:
        self.stored, self.replayed = replayed.stored, replayed
        self.found: list[str] = []
        self.entries = {entry.position: entry for entry in self.stored.entries}
        self.reads = [one for one in tries if one.is_read]
        self.by_key: dict[bytes, list[Try]] = defaultdict(list)
        for one in tries:
            if not one.is_read:
                self.by_key[one.digest].append(one)
        #: When each entry was asked for first, and when its answer was first known.
        self.asked: dict[int, int] = {}
        self.known: dict[int, int] = {}

    def problems(self) -> list[str]:
        """Compare everything; at most a few dozen problems are told."""
        for digest, tries in self.by_key.items():
            self.check_key(digest, tries)
        self.check_owners()
        self.check_real_time()
        self.prepare_bounds()
        for tries in self.by_key.values():
            for one in tries:
                if one.code and self.is_unrecorded(one):
                    self.check_refusal(one)
        for one in self.reads:
            if one.status and one.code not in NO_EFFECT:
                getattr(self, f"check_{one.what[0]}")(one)
        return self.found[:40]

    def wrong(self, one: Try, why: str) -> None:
        self.found.append(
            f"{why}: client {one.client} key {one.key} {one.what} -> "
            f"{one.status} {one.body[:300]!r}"
        )

    # ---- commands

    @staticmethod
    def is_unrecorded(one: Try) -> bool:
        """Whether an answer is one that the log does not keep."""
        if one.is_unknown or one.code in NO_EFFECT:
            return False
        return one.code in EDGE or (one.status >= 400 and one.what[0] not in RECORDED)

    def check_key(self, digest: bytes, tries: list[Try]) -> None:
        _, position = self.stored.keys.get(digest, (b"", 0))
        entry = self.entries.get(position)
        for one in tries:
            if one.code == "idempotency_key_reused":
                self.check_reused(one, entry)
            elif not (one.is_unknown or one.code in NO_EFFECT or self.is_unrecorded(one)):
                self.check_answered(one, entry)
        for one in tries:
            is_poisoned = one.code == "request_poisoned"
            if is_poisoned and one.began > self.known.get(position, math.inf):
                self.wrong(one, "is no answer to a key that was answered before")
        if entry is not None:
            self.asked[position] = min(one.began for one in tries)
            if all(one.code in NO_EFFECT or self.is_unrecorded(one) for one in tries):
                self.wrong(tries[0], f"promised no effect, but it is at {position}")
            if not any(same(one.what, entry.command) for one in tries):
                self.wrong(tries[0], f"nobody asked for {entry.command}")

    def check_answered(self, one: Try, entry: Logged | None) -> None:
        """An answer that stands: it is in the log, for this command, with these bytes."""
        if entry is None:
            if one.what[0] == 202:
                self.check_closed(one)
            else:
                self.wrong(one, "acknowledged and lost")
        elif (one.status, one.body) != (entry.status, entry.answer):
            self.wrong(one, f"not the answer of entry {entry.position} {entry.answer[:300]!r}")
        elif not same(one.what, entry.command):
            self.wrong(one, f"answered for another command {entry.command}")
        else:
            known = self.known.get(entry.position, one.ended)
            self.known[entry.position] = min(known, one.ended)

    def check_reused(self, one: Try, entry: Logged | None) -> None:
        if entry is None:
            self.wrong(one, "a key is called used that was never answered")
        elif same(one.what, entry.command):
            self.wrong(one, "the same request is called another one")
        else:
            named = one.answer()["field"]
            names = ("kind", *Bank.fields[one.what[0]])
            differing = [
                name
                for name, old, new in zip(names, entry.command, one.what, strict=False)
                if not same_value(name, old, new)
            ]
            if not differing or named != differing[0]:
                self.wrong(one, f"names {named}, {differing} differ")

    def check_owners(self) -> None:
        """Every entry of a client belongs to a key that a client of ours sent."""
        keyed = {position: digest for digest, (_, position) in self.stored.keys.items()}
        for entry in self.stored.entries:
            if not 0 < entry.client < PEOPLE or entry.command[0] in KEYLESS:
                continue
            if entry.position not in keyed:
                self.found.append(f"entry {entry.position} {entry.command} has no key")
            elif keyed[entry.position] not in self.by_key:
                self.found.append(f"entry {entry.position} {entry.command} was asked by nobody")

    def check_real_time(self) -> None:
        """Whoever began after another's answer was known stands behind it in the log."""
        latest = 0
        for entry in self.stored.entries:
            if latest > self.known.get(entry.position, math.inf):
                self.found.append(
                    f"entry {entry.position} stands behind one begun after its answer"
                )
            latest = max(latest, self.asked.get(entry.position, 0))

    # ---- what could be seen when

    def prepare_bounds(self) -> None:
        """Sort what is known, to bound what a read can have seen."""
        ends = {position: self.entries[position].last for position in self.asked}
        known = sorted((at, ends[position]) for position, at in self.known.items())
        self._known_at = [at for at, _ in known]
        self._known_through = running(max, [end for _, end in known])
        asked = sorted(((at, position) for position, at in self.asked.items()), reverse=True)
        self._asked_at = [-at for at, _ in asked]
        self._asked_from = running(min, [position for _, position in asked])

    def bounds(self, one: Try) -> tuple[int, int]:
        """Positions that a read surely saw, and that it can have seen at the most."""
        before = bisect_left(self._known_at, one.began)
        after = bisect_left(self._asked_at, -one.ended)
        low = self._known_through[before - 1] if before else 0
        high = self._asked_from[after - 1] - 1 if after else self.stored.head["position"]
        return low, high

    def states(self, kind: str, number: int, one: Try) -> list[Row]:
        """What an account or payment was at some moment of a read; {} before it existed."""
        low, high = self.bounds(one)
        past = self.replayed.history.get((kind, number), [])
        first = bisect_right(past, low, key=lambda item: item[0]) - 1
        last = bisect_right(past, high, key=lambda item: item[0])
        return ([{}] if first < 0 else []) + [row for _, row in past[max(first, 0) : last]]

    # ---- refusals that the log does not keep, and reads

    def check_refusal(self, one: Try) -> None:
        command, model = one.what, self.replayed.model
        low, high = self.bounds(one)
        code = one.code
        if code in EDGE or code == "idempotency_key_reused":
            return
        if code == "customer_reference_taken":
            right = model.references.get(command[1], high + 1) <= high
        elif code == "customer_not_found":
            right = command[1] not in model.customers or command[1] > low
        elif code == "account_not_found":
            account = model.accounts.get(command[1])
            right = account is None or not account["owner"] or command[1] > low
        elif code == "account_not_empty":
            past = self.states("account", command[1], one)
            right = any(row and (row["posted"] or row["moving"]) for row in past)
        else:
            right = False
        if not right:
            self.wrong(one, "refused without reason")

    def check_closed(self, one: Try) -> None:
        past = self.replayed.history.get(("account", one.what[1]), [])
        if one.status != 200 or not any(row["status"] != OPEN for _, row in past):
            self.wrong(one, "called closed, but it is not")

    def check_balance(self, one: Try) -> None:
        answer, number = one.answer(), one.what[1]
        if one.status != 200:
            if {} not in self.states("account", number, one):
                self.wrong(one, "there is such an account")
            return
        seen = {name: answer[f"{name}_minor"] for name in ("posted", "held", "available")}
        states = [{n: row.get(n) for n in seen} for row in self.states("account", number, one)]
        if seen not in states:
            self.wrong(one, f"was never true then, but {states}")

    def check_payment(self, one: Try) -> None:
        answer, number = one.answer(), one.what[1]
        states = self.states("payment", number, one)
        if one.status != 200:
            if {} not in states:
                self.wrong(one, "there is such a payment")
        elif not any(row and agrees(answer, row) for row in states):
            self.wrong(one, f"was never so then, but {states}")

    def check_transactions(self, one: Try) -> None:
        """The newest transfers of an account: all of them, in order, each as it is stored."""
        number, items = one.what[1], one.answer().get("items", [])
        states = self.states("account", number, one)
        versions = {row.get("version", 0) for row in states}
        top = items[0]["version"] if items else 0
        if one.status == 200 and top not in versions:
            self.wrong(one, f"newest version {top}, but it was in {sorted(versions)}")
        for below, item in enumerate(items):
            stored = self.stored.transfers.get(int(item["transfer_id"][4:], 16), {})
            is_debit = stored.get("debit_account") == number
            side = "debit" if is_debit else "credit"
            wanted = [stored.get(f"{side}_{name}") for name in ("account", "version", "balance")]
            wanted += [-stored.get("amount", 0) if is_debit else stored.get("amount")]
            found = [number, top - below, item["balance_minor"], item["amount_minor"]]
            if item["version"] != top - below or found != wanted:
                self.wrong(one, f"item {below} is not as stored: {stored}")
                return

    def check_events(self, one: Try) -> None:
        """Events from a position on: without gaps, and all that was surely there."""
        _, after, limit = one.what
        low, high = self.bounds(one)
        items = one.answer()["items"]
        positions = [item["position"] for item in items]
        if positions != list(range(after + 1, after + 1 + len(items))):
            self.wrong(one, "positions have gaps")
        if len(items) < min(limit, low - after) or (positions and positions[-1] > high):
            self.wrong(one, f"ends at {positions[-1:]}, {low} was there and {high} the last")
        starts = [entry.position for entry in self.stored.entries]
        for item in items:
            entry = self.stored.entries[bisect_right(starts, item["position"]) - 1]
            index = item["position"] - entry.position
            if item["time"] != instant(entry.ordered_at + index):
                self.wrong(one, f"event {item['position']} has another time")
                return

    def check_answer(self, one: Try) -> None:
        """What was asked by key, when all was quiet: the remembered answer, or none."""
        digest = msgspec.structs.replace(one, key=one.what[1]).digest
        entry = self.entries.get(self.stored.keys.get(digest, (b"", 0))[1])
        if one.status != 200:
            if entry is not None:
                self.wrong(one, f"says nothing of entry {entry.position}")
        elif entry is None or one.answer() != {
            "status": entry.status,
            "body": msgspec.json.decode(entry.answer),
        }:
            self.wrong(one, "is not what was answered")


def same(one: list[Any], other: list[Any]) -> bool:
    """Whether two canonical commands ask for the same; tokens only for being there."""
    if one[0] != other[0] or len(one) != len(other):
        return False
    names = ("kind", *Bank.fields[one[0]])
    return all(same_value(name, a, b) for name, a, b in zip(names, one, other, strict=True))


def same_value(name: str, one: Any, other: Any) -> bool:
    """Whether one member of two commands is the same."""
    return (one is None) == (other is None) if name in TOKENS else one == other


def agrees(answer: Row, row: Row) -> bool:
    """Whether a payment as it was read is a payment as it was."""
    return (
        answer["status"] == row["status"]
        and answer["amount_minor"] == row["amount"]
        and answer.get("captured_minor", 0) == row["captured"]
        and int(answer["decision_id"][4:], 16) == row["decision"]
    )


def running(choose: Any, values: Sequence[int]) -> list[int]:
    """Running maximum or minimum."""
    found: list[int] = []
    for value in values:
        found.append(choose(found[-1], value) if found else value)
    return found
