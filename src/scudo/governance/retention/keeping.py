"""Legal holds, which two people place and lift, and what the job told of each rule: records."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec

from scudo.fabric import Answer, Command, Entry, Reference, Register
from scudo.governance import approvals
from scudo.governance.retention.events import LegalHoldLifted, LegalHoldPlaced, RetentionRun
from scudo.governance.retention.rules import Rules, load_rules
from scudo.kernel import DAY_US, InstantMalformed, Prefix, ids, parse_rfc3339, rfc3339

_HOLD_KIND: Final = 570
_STATE_KIND: Final = 571
_PLACE: Final = "place_legal_hold"
_LIFT: Final = "lift_legal_hold"
_ANSWER: Final = Answer(200, b"{}")
DONE: Final = "done"
#: The job runs once a day; a rule that it has not gone through for two is overdue.
OVERDUE_US: Final = 2 * DAY_US

#: Says whether a number is a customer's; bootstrap has it looked up.
IsCustomer = Callable[[int], bool]
_Code = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_.:/-]{0,63}\Z")]
_IdText = Annotated[str, msgspec.Meta(max_length=20)]


class LegalHold(msgspec.Struct, frozen=True):
    """What an authority wants kept of one customer; the record's number is its event's.

    Attributes:
        authority, matter: codes of who wants it, and of the case.
        until: microseconds since 1970; 0: until it is lifted.
        lifted_at: microseconds; 0: it was not.
        approval, lifted_by: approvals by which it was placed and lifted.
    """

    customer: int
    authority: str
    matter: str
    placed_at: int
    until: int
    approval: int
    lifted_at: int = 0
    lifted_by: int = 0

    def is_in_force(self, now: int) -> bool:
        """Whether it stops anything at a time."""
        return not self.lifted_at and (not self.until or now < self.until)


class RuleState(msgspec.Struct, frozen=True):
    """What the job last told of a rule; the record's number is the rule's.

    Attributes:
        ran_at: microseconds of the last run that went through it; 0: none did yet.
        done, kept, due, held: of that run, as its event has them.
        oldest_at: when the oldest began that is kept; 0: nothing is.
        done_at: of the last run that forgot something; 0: none did.
        result: of the last try: `done`, or what stopped it.
    """

    ran_at: int = 0
    done: int = 0
    kept: int = 0
    due: int = 0
    held: int = 0
    oldest_at: int = 0
    done_at: int = 0
    result: str = DONE


class Ran(msgspec.Struct, frozen=True, array_like=True):
    """What became of one rule in a run; members as `RuleState` has them."""

    rule: int
    done: int
    kept: int
    due: int
    held: int
    oldest_at: int
    result: str


class TellRetention(Command, frozen=True, tag=570):
    """Tell the log of a run: what became of each rule that is enforced."""

    results: tuple[Ran, ...]


class HoldWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A hold to place: codes only, for it stands in the log for ever; `until` is RFC 3339."""

    customer_id: _IdText
    authority: _Code
    matter: _Code
    until: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class HoldUnwanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A hold to lift."""

    legal_hold_id: _IdText


class Retention:
    """Keeps holds, and how each rule stands.

    Attributes:
        rules: as they are shipped.
        since: microseconds since when this process looks after them.
    """

    def __init__(self, *, is_customer: IsCustomer, rules: Rules | None = None) -> None:
        """Begin with no hold."""
        self.rules = rules or load_rules()
        self.since = 0
        self._is_customer = is_customer
        self._holds = Register(_HOLD_KIND, LegalHold, resident=True)
        self._states = Register(_STATE_KIND, RuleState, resident=True)

    # ---- what others ask

    def held(self, now: int) -> frozenset[int]:
        """Customers of whom all is kept at a time, in microseconds."""
        return frozenset(hold.customer for _, hold in self.holds() if hold.is_in_force(now))

    def holds(self) -> list[tuple[int, LegalHold]]:
        """Every hold there ever was, oldest first."""
        return sorted(self._holds.items())

    def states(self) -> dict[int, RuleState]:
        """How each rule stands, by its number."""
        return dict(self._states.items())

    def overdue(self, now: int) -> list[str]:
        """Names of rules by which something should be gone, or nobody has looked for too long."""
        return overdue(self.rules, self.states(), now=now, since=self.since)

    def customers_of(
        self, command: Command, found: Callable[[int], approvals.Approval | None]
    ) -> Iterable[int]:
        """Customers that a proposal or an approval of a hold names."""
        change = None
        if isinstance(command, approvals.Propose) and command.kind == _PLACE:
            change = command.change
        elif isinstance(command, approvals.Approve):
            approval = found(command.approval)
            if approval is not None and approval.kind == _PLACE:
                change = approvals.proposed_change(approval)
        if change is not None:
            try:
                wanted = msgspec.json.decode(change, type=HoldWanted)
                yield ids.parse(Prefix.CUSTOMER, wanted.customer_id)
            except (msgspec.DecodeError, ids.IdMalformed):
                # It is refused when it is decided.
                return

    @property
    def kinds(self) -> tuple[approvals.ApprovalKind[Any], ...]:
        """The kinds of change that need a second person."""
        return (
            approvals.ApprovalKind(
                name=_PLACE,
                change=HoldWanted,
                describe=self._describe_placing,
                demand=self._demand_placing,
                execute=self._place,
            ),
            approvals.ApprovalKind(
                name=_LIFT,
                change=HoldUnwanted,
                describe=self._describe_lifting,
                demand=self._demand_lifting,
                execute=self._lift,
            ),
        )

    # ---- the keeper's port

    @property
    def registers(self) -> Sequence[Register[Any]]:
        """Registers that it keeps."""
        return (self._holds, self._states)

    @property
    def handlers(self) -> Mapping[type[Command], Callable[[Any, Entry], Answer]]:
        """What works on each kind of command; a hold is placed and lifted by approvals only."""
        return {TellRetention: self._tell}

    def refers_to(self, command: Command) -> Iterable[Reference]:  # noqa: ARG002 - the port asks for it
        """Nothing: all of it is in memory."""
        return ()

    def _tell(self, command: TellRetention, entry: Entry) -> Answer:
        run = entry.next_position
        for ran in command.results:
            rule = self.rules.by_number(ran.rule)
            assert rule is not None, "what ran is a rule"
            entry.emit(
                RetentionRun(run, rule.name, ran.done, ran.kept, ran.due, ran.held, ran.result)
            )
            before = self._states.get(ran.rule) or RuleState()
            now = entry.recorded_at
            after = msgspec.structs.replace(
                before, result=ran.result, done_at=now if ran.done else before.done_at
            )
            if ran.result == DONE:
                after = msgspec.structs.replace(
                    after,
                    ran_at=now,
                    done=ran.done,
                    kept=ran.kept,
                    due=ran.due,
                    held=ran.held,
                    oldest_at=ran.oldest_at,
                )
            self._states.put(entry, ran.rule, after)
        return _ANSWER

    # ---- placing

    def _customer(self, change: HoldWanted) -> int:
        """Whom a hold is on.

        Raises:
            IdMalformed: this is no id of a customer.
            ChangeInvalid: there is no such customer.
        """
        number = ids.parse(Prefix.CUSTOMER, change.customer_id, field="change.customer_id")
        if not self._is_customer(number):
            message = "there is no such customer"
            raise approvals.errors.ChangeInvalid(message, field="change.customer_id")
        return number

    def _describe_placing(self, change: HoldWanted) -> approvals.Description:
        until = "it is lifted" if change.until is None else change.until
        effect = (
            f"Nothing of {change.customer_id} is forgotten until {until}: {change.authority} "
            f"wants it for {change.matter}"
        )
        return approvals.Description({"legal_hold": (None, change.matter)}, effect)

    def _demand_placing(self, change: HoldWanted, now: int) -> None:
        """Refuse a hold that would do nothing.

        Raises:
            ChangeInvalid: of an unknown customer, over already, or in force.
        """
        customer, until = self._customer(change), _until(change)
        if until and until <= now:
            message = "this time is over"
            raise approvals.errors.ChangeInvalid(message, field="change.until")
        for hold in (hold for _, hold in self.holds() if hold.is_in_force(now)):
            same = (hold.customer, hold.authority, hold.matter)
            if same == (customer, change.authority, change.matter):
                message = "this hold is in force"
                raise approvals.errors.ChangeInvalid(message, field="change.matter")

    def _place(self, change: HoldWanted, entry: Entry, decided: approvals.Decided) -> None:
        customer, until = self._customer(change), _until(change)
        number = entry.emit(
            LegalHoldPlaced(
                entry.next_position,
                customer,
                change.authority,
                change.matter,
                until or None,
                decided.approval,
            )
        )
        hold = LegalHold(
            customer, change.authority, change.matter, decided.now, until, decided.approval
        )
        self._holds.put(entry, number, hold)

    # ---- lifting

    def _find(self, change: HoldUnwanted) -> tuple[int, LegalHold]:
        """Find a hold.

        Raises:
            IdMalformed: this is no id of one.
            ChangeInvalid: there is none.
        """
        field = "change.legal_hold_id"
        number = ids.parse(Prefix.LEGAL_HOLD, change.legal_hold_id, field=field)
        hold = self._holds.get(number)
        if hold is None:
            message = "there is no such hold"
            raise approvals.errors.ChangeInvalid(message, field=field)
        return number, hold

    def _describe_lifting(self, change: HoldUnwanted) -> approvals.Description:
        _, hold = self._find(change)
        customer = ids.show(Prefix.CUSTOMER, hold.customer)
        diff: dict[str, tuple[Any, Any]] = {"legal_hold": (hold.matter, None)}
        effect = f"What is due of {customer} may be forgotten again, as far as {hold.matter} goes"
        return approvals.Description(diff, effect)

    def _demand_lifting(self, change: HoldUnwanted, now: int) -> None:
        """Refuse to lift what holds nothing.

        Raises:
            ChangeInvalid: there is no such hold, or it is not in force.
        """
        _, hold = self._find(change)
        if not hold.is_in_force(now):
            message = "this hold is not in force"
            raise approvals.errors.ChangeInvalid(message, field="change.legal_hold_id")

    def _lift(self, change: HoldUnwanted, entry: Entry, decided: approvals.Decided) -> None:
        number, hold = self._find(change)
        entry.emit(LegalHoldLifted(number, hold.customer, decided.approval))
        lifted = msgspec.structs.replace(hold, lifted_at=decided.now, lifted_by=decided.approval)
        self._holds.put(entry, number, lifted)


def overdue(rules: Rules, states: Mapping[int, RuleState], *, now: int, since: int) -> list[str]:
    """Names of rules by which something should be gone, or that nobody has gone through in time.

    Args:
        rules: all of them.
        states: as the job told them.
        now: microseconds.
        since: microseconds since when somebody looks after them.
    """
    found = []
    for rule in rules.rules:
        state = states.get(rule.number) or RuleState()
        is_late = now - (state.ran_at or since) > OVERDUE_US
        if rule.is_enforced and (state.due or is_late):
            found.append(rule.name)
    return found


def _until(change: HoldWanted) -> int:
    """When a hold ends by itself, in microseconds; 0: it does not.

    Raises:
        ChangeInvalid: it is no instant.
    """
    if change.until is None:
        return 0
    try:
        return parse_rfc3339(change.until, field="change.until")
    except InstantMalformed as malformed:
        message = "this is no instant, such as 2030-01-31T00:00:00Z"
        raise approvals.errors.ChangeInvalid(message, field="change.until") from malformed


def shown_instant(us: int) -> str | None:
    """An instant for people; None for 0."""
    return rfc3339(us) if us else None
