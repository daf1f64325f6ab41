"""Mandates that two people approve: what the bank may move of its own accord."""

from typing import Any

import msgspec

from scudo.fabric import Entry
from scudo.governance import MandateMalformed, Mandates, MandateUnknown, Terms, approvals
from scudo.kernel import CurrencyUnknown, InstantMalformed, ids, instant
from scudo.ledger.routes.mandates import NewMandate, mandate_number, terms_of, view_of

#: Members of a mandate that say nothing of what it allows.
_ABOUT = frozenset({"id", "mandate", "version", "approved_by", "approval_id"})


class MandateChanges:
    """The kind of change of mandates, on the mandates that are kept."""

    def __init__(self, mandates: Mandates) -> None:
        """Change these mandates."""
        self._mandates = mandates

    @property
    def kinds(self) -> tuple[approvals.ApprovalKind[Any], ...]:
        """The kinds of change that need a second person."""
        return (
            approvals.ApprovalKind(
                name="approve_mandate",
                change=NewMandate,
                describe=self._describe,
                demand=self._demand,
                execute=self._execute,
                refusals=(
                    CurrencyUnknown,
                    InstantMalformed,
                    MandateMalformed,
                    MandateUnknown,
                    ids.IdMalformed,
                ),
                has_owners_way=True,
            ),
        )

    def _describe(self, change: NewMandate) -> approvals.Description:
        number = _number(change)
        before = _members(self._mandates.terms(number)) if number else {}
        after: dict[str, Any] = msgspec.to_builtins(change)
        after.pop("mandate")
        for name in ("valid_from", "valid_to"):
            if after[name] is not None:
                after[name] = _members(_timed(change))[name]
        after = {name: value for name, value in after.items() if value or value == 0}
        diff: dict[str, tuple[Any, Any]] = {
            name: (before.get(name), after.get(name))
            for name in sorted(before | after)
            if before.get(name) != after.get(name)
        }
        verb = "may be moved by another rule" if number else "may be moved from now on"
        return approvals.Description(diff, f"money {verb}, by the bank itself: {change.name}")

    def _demand(self, change: NewMandate, now: int) -> None:
        """Refuse terms that contradict each other, and those that hold.

        Raises:
            ChangeInvalid: the mandate says all of this.
        """
        number = _number(change)
        self._mandates.demand_fit(number, terms_of(change, on=instant(now).date()))
        if not self._describe(change).diff:
            message = "the mandate allows exactly this"
            raise approvals.errors.ChangeInvalid(message, field="change")

    def _execute(self, change: NewMandate, entry: Entry, decided: approvals.Decided) -> None:
        terms = terms_of(change, on=instant(decided.now).date())
        approved = msgspec.structs.replace(terms, approval=decided.approval)
        number = _number(change) or entry.next_position
        self._mandates.put_into_force(entry, number, approved)


def _number(change: NewMandate) -> int:
    return 0 if change.mandate is None else mandate_number(change.mandate)


def _timed(change: NewMandate) -> Terms:
    """A mandate of the same times and of nothing else, to write them as they are stored."""
    times = NewMandate(
        change.name, change.owner, valid_from=change.valid_from, valid_to=change.valid_to
    )
    return terms_of(times, on=instant(0).date())


def _members(terms: Terms) -> dict[str, Any]:
    """What a mandate allows, as it stands on the wire; what is not bounded is not there."""
    shown: dict[str, Any] = msgspec.to_builtins(view_of(0, 0, terms))
    return {
        name: value for name, value in shown.items() if name not in _ABOUT and (value or value == 0)
    }
