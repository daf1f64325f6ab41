"""The laws of what people do: every deed beside the log, which the model has replayed.

What was acknowledged is there, once; what was promised to have had no effect is not; and what
has ended (a token, a session, a proposal, a person) never comes back, whatever broke meanwhile.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from tests.history.deeds import Deed
from tests.model.bank import show
from tests.model.replay import Logged, Stored

#: Refusals of an approval that leave their event.
_TOLD: Final = frozenset(
    {
        "approval_ended",
        "approval_stale",
        "approved_by_proposer",
        "approver_dependent",
        "approver_unripe",
        "duties_conflict",
        "operator_act_declined",
        "role_held",
    }
)
_REFUSED: Final = 400


def people_problems(stored: Stored, deeds: Sequence[Deed]) -> list[str]:
    """Everything that is wrong with what people were told; at most a few dozen are told."""
    laws = Laws(stored, deeds)
    found = [
        *laws.beginnings(),
        *laws.refreshes(),
        *laws.revoked(),
        *laws.approvals(),
        *laws.left(),
        *laws.persons(),
    ]
    return found[:40]


class Laws:
    """What people were told, beside what is stored."""

    def __init__(self, stored: Stored, deeds: Sequence[Deed]) -> None:
        self.entries = stored.entries
        self.deeds = sorted(deeds, key=lambda deed: deed.began)
        self.exchanges: dict[str, list[Logged]] = defaultdict(list)
        for entry in self.entries:
            if entry.command[0] == 117:
                self.exchanges[entry.command[2].hex()].append(entry)

    def of(self, *names: str) -> Iterator[Deed]:
        return (deed for deed in self.deeds if deed.what in names)

    def events(self, tag: int) -> Iterator[list[Any]]:
        return (event for entry in self.entries for event in entry.events if event[0] == tag)

    # ---- customers

    def beginnings(self) -> Iterable[str]:
        """Whoever was told of a session has it, and a code has opened one account."""
        began = {show("ses", event[1]): show("cus", event[2]) for event in self.events(116)}
        for deed in self.of("activate", "log_in"):
            if (
                deed.status == 201
                and began.get(deed.told["session_id"]) != deed.told["customer_id"]
            ):
                yield f"a session was told of and is lost: {deed}"
        opened = Counter(
            e.command[1] for e in self.entries if e.command[:1] == [111] and e.status == 200
        )
        yield from (f"code {code} opened {n} accounts" for code, n in opened.items() if n > 1)

    def refreshes(self) -> Iterable[str]:
        """A refresh token worked once, for whom it was told so, and for nobody else."""
        asked = {deed.about["token"] for deed in self.of("refresh")}
        yield from (
            f"nobody asked for {entry.command}"
            for token, entries in self.exchanges.items()
            for entry in entries
            if token not in asked
        )
        worked: Counter[str] = Counter()
        ended = {event[1] for event in self.events(118)}
        began = {show("ses", event[1]) for event in self.events(116)}
        for deed in self.of("refresh"):
            entries = self.exchanges.get(deed.about["token"], [])
            good = [entry for entry in entries if entry.status == 200]
            if deed.status == 201:
                worked[deed.about["token"]] += 1
                sessions = [show("ses", entry.events[0][1]) for entry in good]
                if sessions != [deed.told["session_id"]]:
                    yield f"a refresh was acknowledged and is not in the log once: {deed}"
            elif deed.code == "refresh_refused":
                session = deed.about.get("session")
                is_over = session not in began or int(session[4:], 16) in ended
                if not is_over and all(entry.status == 200 for entry in entries):
                    yield f"a good refresh token was refused: {deed}"
        yield from (
            f"refresh token {token} worked {n} times" for token, n in worked.items() if n > 1
        )

    def revoked(self) -> Iterable[str]:
        """What was known to have ended never works again."""
        over: dict[str, int] = {}
        for deed in self.deeds:
            session = self._ends(deed)
            if session is not None:
                over[session] = min(over.get(session, deed.ended), deed.ended)
        for deed in self.of("look", "refresh"):
            session = deed.told.get("session_id") or deed.about.get("session")
            works = 0 < deed.status < _REFUSED
            if works and deed.began > over.get(session, deed.began):
                yield f"a session that was ended worked: {deed}"

    def _ends(self, deed: Deed) -> str | None:
        """The session that a deed was told to have ended."""
        if deed.what in {"end_one", "end_all"} and deed.status == 204:
            return str(deed.about["session"])
        if deed.what == "refresh" and deed.code == "refresh_refused":
            for entry in self.exchanges.get(deed.about["token"], []):
                if entry.status >= _REFUSED:
                    return show("ses", entry.events[-1][1])
        return None

    # ---- operators

    def approvals(self) -> Iterable[str]:
        """What two people wanted was carried out exactly once, and told so."""
        given = {show("apr", e[1]): show("opr", e[4]) for e in self.events(523)}
        carried = Counter(show("apr", e[3]) for e in self.events(137) if e[3])
        carried.update(e[3] for e in self.events(138))
        if carried != Counter(list(given)):
            yield f"carried out {carried}, approved {sorted(given)}"
        proposed = {show("apr", event[1]) for event in self.events(522)}
        refused = {(show("apr", e[1]), show("opr", e[3]), e[4], e[5]) for e in self.events(527)}
        may_have = set()
        for deed in self.of("propose"):
            if deed.status == 201 and deed.told["id"] not in proposed:
                yield f"a proposal was acknowledged and lost: {deed}"
        for deed in self.of("approve"):
            named = (deed.about["approval"], deed.about["by"])
            if deed.status == 200 or deed.is_unknown:
                may_have.add(named)
            if deed.status == 200 and given.get(named[0]) != named[1]:
                yield f"an approval was acknowledged and lost: {deed}"
            if deed.code in _TOLD and (*named, "approve", deed.code) not in refused:
                yield f"a refusal left no trace: {deed}"
        yield from (
            f"{approval} was approved by {by}, who was told otherwise"
            for approval, by in given.items()
            if (approval, by) not in may_have
        )

    def left(self) -> Iterable[str]:
        """Whoever has logged out is out."""
        gone = {d.about["token"]: d.ended for d in self.of("leave") if d.status == 204}
        for deed in self.of("use"):
            works = 0 < deed.status < _REFUSED
            if works and deed.began > gone.get(deed.about["token"], deed.began):
                yield f"an operator's session that was ended worked: {deed}"

    # ---- persons

    def persons(self) -> Iterable[str]:
        """An erased person never comes back, and a kept one does not go by itself."""
        erased: dict[str, int] = {}
        asked: dict[str, int] = {}
        kept: dict[str, int] = {}
        told = {show("cus", event[1]) for event in self.events(552)}
        for deed in self.of("put", "erase"):
            customer = deed.about["customer"]
            if deed.what == "erase":
                asked.setdefault(customer, deed.began)
                if deed.status == 200:
                    erased[customer] = min(erased.get(customer, deed.ended), deed.ended)
            elif deed.status == 200:
                kept[customer] = min(kept.get(customer, deed.ended), deed.ended)
        yield from (f"nobody told the log that {one} is erased" for one in erased.keys() - told)
        for deed in self.of("put", "read", "find"):
            customer = deed.about["customer"]
            if deed.is_unknown or deed.status == 429:
                continue
            is_there = deed.status < _REFUSED
            if deed.what == "find":
                is_there = customer in deed.told.get("customer_ids", ())
            if is_there and deed.began > erased.get(customer, deed.began):
                yield f"an erased person came back: {deed}"
            is_kept = kept.get(customer, deed.began) < deed.began
            if is_kept and not is_there and deed.ended < asked.get(customer, deed.ended + 1):
                yield f"a person was acknowledged and lost: {deed}"
