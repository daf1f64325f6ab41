"""What may be asked of approvals, and the one mechanism that answers.

A passkey's signature is verified here, on the writer, and not in the route: verification is
deterministic, and so nothing that reaches the writer by another way goes around it. It costs a
quarter of a millisecond, of acts that are rare.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from scudo.fabric import Answer, Command, Entry, Reference, Register, refused
from scudo.governance.approvals.errors import (
    ApprovalEnded,
    ApprovalKindUnknown,
    ApprovalNotFound,
    ApprovalStale,
    ApprovedByProposer,
    ApproverDependent,
    ApproverUnripe,
    ChangeInvalid,
    GateClosed,
    NoEmergency,
    NotProposer,
    SelfServed,
)
from scudo.governance.approvals.events import (
    ApprovalExpired,
    ApprovalGiven,
    ApprovalProposed,
    ApprovalRefused,
    ApprovalRejected,
    ApprovalWithdrawn,
)
from scudo.governance.approvals.model import (
    RIPENING_US,
    Approval,
    ApprovalKind,
    Decided,
    People,
    Severity,
    Signature,
    State,
    canonical,
    challenge_of,
)
from scudo.governance.gates import Asked, Gates, Passage, Ruling
from scudo.kernel import Prefix, Refusal, ids

_encode: Final = msgspec.json.Encoder().encode
#: Refusals that somebody must look at: a control was tried.
_ALARMING: Final[Mapping[str, Severity]] = {
    ApprovedByProposer.code: Severity.PAGE,
    SelfServed.code: Severity.PAGE,
    ApproverDependent.code: Severity.WARNING,
    ApproverUnripe.code: Severity.WARNING,
    "assertion_invalid": Severity.WARNING,
    "elevation_lapsed": Severity.WARNING,
    "duties_conflict": Severity.WARNING,
}


class Propose(Command, frozen=True, tag=522):
    """Propose a change; `change` is JSON of the kind's struct."""

    by: int
    kind: str
    change: bytes
    reason: str
    is_emergency: bool


class Approve(Command, frozen=True, tag=523):
    """Approve a change, and carry it out."""

    by: int
    approval: int
    signature: Signature


class Reject(Command, frozen=True, tag=524):
    """End a proposal as a second person."""

    by: int
    approval: int
    reason: str


class Withdraw(Command, frozen=True, tag=525):
    """End a proposal as its proposer."""

    by: int
    approval: int


class ExpireApproval(Command, frozen=True, tag=526):
    """End a proposal whose time is over."""

    approval: int


class ApprovalBody(msgspec.Struct, frozen=True):
    """Answer to who changed an approval; `hash` is what is approved, in hex."""

    id: str
    state: str
    hash: str


class Approvals:
    """All approvals: resident, because there are few and they are looked at often.

    Attributes:
        kinds: by name; a room adds its own with `add`.
        gates: who decides whether an approver may pass.
        people: who knows them.
    """

    def __init__(self, *, people: People, gates: Gates) -> None:
        """Start with no kind."""
        self.people = people
        self.gates = gates
        self.kinds: dict[str, ApprovalKind[Any]] = {}
        self.register: Register[Approval] = Register(521, Approval, resident=True)

    def add(self, *kinds: ApprovalKind[Any]) -> None:
        """Let changes of further kinds be proposed; two of one name are a bug."""
        for kind in kinds:
            assert kind.name not in self.kinds, f"two kinds are called {kind.name}"
            self.kinds[kind.name] = kind

    def spare(self, name: str, change: bytes, address: str) -> None:
        """Refuse a change that would shut out who asks for it, by the address they come from.

        What else is wrong with it the writer says, and tells the log.
        """
        kind = self.kinds.get(name)
        if kind is not None:
            with contextlib.suppress(ChangeInvalid):
                kind.spare(read_change(kind, change), address)

    def concerns(self, command: Command) -> Iterable[int]:
        """Numbers of the payments that a command looks at, as far as it can be read."""
        if isinstance(command, Propose):
            name, change = command.kind, command.change
        elif isinstance(command, Approve):
            approval = self.register.get(command.approval)
            if approval is None:
                return ()
            name, change = approval.kind, proposed_change(approval)
        else:
            return ()
        kind = self.kinds.get(name)
        if kind is not None:
            # What is wrong with it is said by the handler.
            with contextlib.suppress(ChangeInvalid, ids.IdMalformed):
                return tuple(kind.concerns(read_change(kind, change)))
        return ()

    @property
    def refusals(self) -> tuple[type[Refusal], ...]:
        """What changes of all kinds may be refused with, each once."""
        return tuple(dict.fromkeys(r for kind in self.kinds.values() for r in kind.refusals))

    # ---- the keeper's port

    @property
    def registers(self) -> Sequence[Register[Any]]:
        """Registers that it keeps."""
        return (self.register,)

    @property
    def handlers(self) -> Mapping[type[Command], Callable[[Any, Entry], Answer]]:
        """What works on each kind of command."""
        return {
            Propose: self._told(self._propose),
            Approve: self._told(self._approve),
            Reject: self._told(self._reject),
            Withdraw: self._told(self._withdraw),
            ExpireApproval: self._expire,
        }

    def refers_to(self, command: Command) -> Iterable[Reference]:
        """Everything is resident."""
        del command
        return ()

    def due(self, now: int) -> Command | None:
        """The next proposal whose time is over."""
        for number, approval in self.register.items():
            if approval.state is State.PENDING and approval.expires_at <= now:
                return ExpireApproval(number)
        return None

    # ---- handlers

    def _told(self, work: Callable[[Any, Entry], Answer]) -> Callable[[Any, Entry], Answer]:
        """Leave an event also of what is refused; its severity says who must know."""

        def handle(command: Any, entry: Entry) -> Answer:  # noqa: ANN401 - of its kind
            before = entry.savepoint()
            try:
                return work(command, entry)
            except Refusal as refusal:
                entry.take_back(before)
                return self._refuse(command, entry, refusal)

        return handle

    def _refuse(
        self, command: Propose | Approve | Reject | Withdraw, entry: Entry, refusal: Refusal
    ) -> Answer:
        if isinstance(command, Propose):
            number, kind = 0, command.kind
        else:
            known = self.register.get(command.approval)
            number, kind = command.approval, "" if known is None else known.kind
        severity = _ALARMING.get(refusal.code, Severity.NOTICE)
        act = type(command).__name__.lower()
        entry.emit(ApprovalRefused(number, kind, command.by, act, refusal.code, severity))
        return refused(refusal)

    def _propose(self, command: Propose, entry: Entry) -> Answer:
        """Keep a proposal, described and hashed.

        Raises:
            ApprovalKindUnknown: there is no such kind.
            SelfServed: it is for the proposer.
            NoEmergency: the kind has no emergency path.
        """
        now = entry.recorded_at
        kind = self.kinds.get(command.kind)
        if kind is None:
            message = "nothing of this kind can be proposed"
            raise ApprovalKindUnknown(message, field="kind")
        self.people.demand(command.by, f"propose_{kind.name}", now=now)
        change = read_change(kind, command.change)
        if kind.subject(change) == command.by and not kind.may_ask_for_self:
            message = "nobody proposes what is for themselves"
            raise SelfServed(message, field="change")
        if command.is_emergency and kind.emergency_us is None:
            message = "this kind of change has no emergency path"
            raise NoEmergency(message, field="is_emergency")
        kind.demand(change, now)
        lives_us = kind.emergency_us if command.is_emergency else kind.lives_us
        assert lives_us is not None, "seen above"
        approval = Approval(
            kind.name,
            command.by,
            now,
            now + lives_us,
            _document(kind, change, proposer=command.by, reason=command.reason),
            command.reason,
            command.is_emergency,
        )
        number = entry.emit(
            ApprovalProposed(
                entry.next_position,
                kind.name,
                command.by,
                approval.hash.hex(),
                approval.expires_at,
                Severity.PAGE if command.is_emergency else Severity.NOTICE,
            )
        )
        self.register.put(entry, number, approval)
        return _answer(201, number, approval)

    def _approve(self, command: Approve, entry: Entry) -> Answer:
        """Carry a change out for its proposer, after all that was true is looked at again.

        Raises:
            ApprovedByProposer: it is no second person.
            SelfServed: it is for the approver.
            ApprovalStale: the change would do another thing by now.
        """
        now, by = entry.recorded_at, command.by
        approval = self._pending(command.approval, now)
        kind = self.kinds[approval.kind]
        change = read_change(kind, proposed_change(approval))
        if by == approval.proposer:
            message = "nobody approves what they proposed"
            raise ApprovedByProposer(message)
        if kind.subject(change) == by:
            message = "nobody approves what is for themselves"
            raise SelfServed(message)
        self.people.demand(by, f"approve_{kind.name}", now=now)
        self.people.demand(approval.proposer, f"propose_{kind.name}", now=now)
        self._demand_independent(approval, by, command.signature.credential, now)
        kind.demand(change, now)
        again = _document(kind, change, proposer=approval.proposer, reason=approval.reason)
        if again != approval.document:
            message = "what would be changed is not any more what was proposed"
            raise ApprovalStale(message)
        challenge = challenge_of(command.approval, by, approval.hash)
        self.people.verify(entry, by, challenge=challenge, signature=command.signature)
        decision, ruling = self.gates.pass_through(entry, Asked(Passage.OPERATOR_ACT, by))
        if ruling not in {Ruling.ALLOW, Ruling.REVIEW}:
            message = f"the gate of privileged acts says {ruling.name.lower()}"
            # Not raised: what the gate has decided stays in the log.
            return self._refuse(command, entry, GateClosed(message))
        kind.execute(
            change, entry, Decided(command.approval, approval.proposer, by, approval.reason, now)
        )
        done = msgspec.structs.replace(
            approval, state=State.DONE, ended_by=by, ended_at=now, signature=command.signature
        )
        entry.emit(
            ApprovalGiven(
                command.approval, kind.name, approval.proposer, by, approval.hash.hex(), decision
            )
        )
        self.register.put(entry, command.approval, done)
        return _answer(200, command.approval, done)

    def _demand_independent(self, approval: Approval, by: int, credential: bytes, now: int) -> None:
        standing = self.people.standing(by, credential)
        if approval.proposer in standing.owed_to:
            message = "the approver owes access to the proposer"
            raise ApproverDependent(message)
        for what, at in standing.changes:
            if now - at < RIPENING_US:
                message = f"the approver was {what} less than 72 hours ago"
                raise ApproverUnripe(message)

    def _reject(self, command: Reject, entry: Entry) -> Answer:
        """End a proposal as a second person.

        Raises:
            ApprovedByProposer: the proposer withdraws, and does not reject.
        """
        approval = self._pending(command.approval, entry.recorded_at)
        if command.by == approval.proposer:
            message = "nobody decides on what they proposed; withdraw it"
            raise ApprovedByProposer(message)
        self.people.demand(command.by, f"approve_{approval.kind}", now=entry.recorded_at)
        entry.emit(ApprovalRejected(command.approval, command.by, command.reason))
        return self._end(command.approval, entry, State.REJECTED, command.by, command.reason)

    def _withdraw(self, command: Withdraw, entry: Entry) -> Answer:
        """End a proposal as its proposer.

        Raises:
            NotProposer: it is another's.
        """
        approval = self._pending(command.approval, entry.recorded_at)
        if command.by != approval.proposer:
            message = "another person has proposed this"
            raise NotProposer(message)
        entry.emit(ApprovalWithdrawn(command.approval))
        return self._end(command.approval, entry, State.WITHDRAWN, command.by, "")

    def _expire(self, command: ExpireApproval, entry: Entry) -> Answer:
        approval = self.register.get(command.approval)
        is_due = (
            approval is not None
            and approval.state is State.PENDING
            and approval.expires_at <= entry.recorded_at
        )
        if not is_due:
            return Answer(200, b"{}")
        entry.emit(ApprovalExpired(command.approval))
        return self._end(command.approval, entry, State.EXPIRED, 0, "")

    def _end(self, number: int, entry: Entry, state: State, by: int, reason: str) -> Answer:
        approval = self.register.get(number)
        assert approval is not None, "it was looked up"
        ended = msgspec.structs.replace(
            approval, state=state, ended_by=by, ended_at=entry.recorded_at, ended_reason=reason
        )
        self.register.put(entry, number, ended)
        return _answer(200, number, ended)

    def _pending(self, number: int, now: int) -> Approval:
        approval = self.register.get(number)
        if approval is None:
            message = "there is no such approval"
            raise ApprovalNotFound(message, field="approval_id")
        if approval.state is not State.PENDING or approval.expires_at <= now:
            message = "this proposal was decided, or its time is over"
            raise ApprovalEnded(message)
        return approval


def read_change(kind: ApprovalKind[Any], text: bytes) -> Any:  # noqa: ANN401 - the kind's struct
    """Read a change of a kind.

    Raises:
        ChangeInvalid: it is not JSON of the kind's struct.
    """
    try:
        return msgspec.json.decode(text, type=kind.change)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = "the change is not what this kind consists of"
        raise ChangeInvalid(message, field="change") from error


def proposed_change(approval: Approval) -> bytes:
    """The change of a proposal, as JSON."""
    return bytes(msgspec.json.decode(approval.document, type=_Document).change)


class _Document(msgspec.Struct, frozen=True):
    change: msgspec.Raw


def _document(kind: ApprovalKind[Any], change: Any, *, proposer: int, reason: str) -> str:  # noqa: ANN401 - the kind's struct
    told = kind.describe(change)
    return canonical(
        {
            "kind": kind.name,
            "change": msgspec.Raw(canonical(change).encode()),
            "diff": told.diff,
            "effect": told.effect,
            "proposer": ids.show(Prefix.OPERATOR, proposer),
            "reason": reason,
        }
    )


def _answer(status: int, number: int, approval: Approval) -> Answer:
    body = ApprovalBody(ids.show(Prefix.APPROVAL, number), approval.state, approval.hash.hex())
    return Answer(status, _encode(body))
