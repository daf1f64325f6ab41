"""An office of operators in memory: every act is an entry of its own, at the office's own time."""

import functools
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any

import msgspec

from scudo.fabric import Batch, Command, Entry, Event, Head, Records, refused
from scudo.governance import Ruling, approvals
from scudo.identity import operators, passkeys
from scudo.kernel import GENESIS, SECOND_US, Prefix, Refusal, ids
from scudo.simulation import Authenticator

NOON = 1_700_049_600 * SECOND_US
HOUR = 3_600 * SECOND_US
DAY = 24 * HOUR
PARTY = passkeys.LOCAL_PARTY


@functools.cache
def permissions_of(policies: str | None) -> operators.Permissions:
    """Permissions by a text: compiled once, because they only grow."""
    return operators.Permissions(policies)


class Gate:
    """The gate of privileged acts, as it is set."""

    def __init__(self) -> None:
        self.ruling = Ruling.ALLOW
        self.asked: list[Any] = []

    def pass_through(self, entry, asked, *, discharged=frozenset()):
        self.asked.append(asked)
        return entry.next_position, self.ruling


@dataclass
class Person:
    """An operator, with two devices."""

    number: int
    handle: str
    devices: list[Authenticator] = field(default_factory=list)

    @property
    def id(self) -> str:
        return ids.show(Prefix.OPERATOR, self.number)


@dataclass
class Outcome:
    """What came of a command."""

    status: int
    body: dict[str, Any]
    events: list[Event]

    @property
    def code(self) -> str:
        return self.body.get("code", "")

    def told(self, kind: type[Event]) -> Any:
        """The one event of a kind."""
        (event,) = (e for e in self.events if isinstance(e, kind))
        return event


class Office:
    """A bank's operators and approvals, without a bank."""

    def __init__(self, *kinds: Any, policies: str | None = None) -> None:
        self.gate = Gate()
        self.now = NOON
        self.authority = operators.make_authority(
            party=PARTY, gates=self.gate, permissions=permissions_of(policies)
        )
        self.authority.approvals.add(*kinds)
        self.authority.know_kinds()
        self.staff = self.authority.staff
        self.handlers = {
            command: handler
            for keeper in self.authority.keepers
            for command, handler in keeper.handlers.items()
        }
        registers = [r for keeper in self.authority.keepers for r in keeper.registers]
        self.records = Records(registers)
        self.records.begin()
        self.position = 0
        self.log: list[Event] = []

    def do(self, command: Command) -> Outcome:
        """Carry a command out as the writer does."""
        self.now += 1
        head = Head(1, self.position, self.now - 1, 0, GENESIS, "unset")
        batch = Batch(head, recorded_at=self.now)
        entry: Entry = batch.entry(client=1, owner=None, now=self.now, at=None)
        try:
            answer = self.handlers[type(command)](command, entry)
        except Refusal as refusal:
            entry.take_back()
            answer = refused(refusal)
        self.position += len(entry.events) + 1
        self.log += entry.events
        body = msgspec.json.decode(answer.body) if answer.body else {}
        return Outcome(answer.status, body, list(entry.events))

    def tick(self) -> list[Event]:
        """Let happen what time has made due."""
        told: list[Event] = []
        while commands := list(self.authority.due(self.now)):
            for command in commands:
                told += self.do(command).events
        return told

    # ---- people

    def founders(self) -> tuple[Person, Person]:
        """The two whom the bank begins with, each with two passkeys."""
        tokens = (secrets.token_bytes(32), secrets.token_bytes(32))
        outcome = self.do(operators.EnrolFirst(("anna", "bela"), tokens))
        first, second = (
            self._enrolled(body, token) for body, token in zip(outcome.body, tokens, strict=True)
        )
        return first, second

    def hire(self, by: Person, handle: str, *, rests: bool = True) -> Person:
        """Somebody whom a colleague invites; rested, the 72 hours are over."""
        token = secrets.token_bytes(32)
        outcome = self.do(operators.InviteOperator(by.number, handle, token))
        person = self._enrolled(outcome.body, token)
        if rests:
            self.now += 4 * DAY
        return person

    def recover(self, by: Person, person: Person) -> Outcome:
        """Begin somebody's access anew; they come with two new devices."""
        token = secrets.token_bytes(32)
        outcome = self.do(operators.RecoverOperator(by.number, person.number, token, "CASE-9"))
        if outcome.status == 201:
            person.devices.clear()
            assert self.enrol(person, invitation=token).status == 201
            assert self.enrol(person).status == 201
        return outcome

    def _enrolled(self, body: dict[str, Any], token: bytes) -> Person:
        person = Person(ids.parse(Prefix.OPERATOR, body["id"]), body["handle"])
        assert self.enrol(person, invitation=token).status == 201
        assert self.enrol(person).status == 201
        return person

    def enrol(self, person: Person, *, invitation: bytes = b"") -> Outcome:
        """Give somebody one device more; beside an invitation, an older one signs."""
        device, challenge = Authenticator(), secrets.token_bytes(32)
        options = passkeys.registration_options(
            PARTY, challenge=challenge, user=b"opr", name=person.handle, known=()
        )
        made = msgspec.convert(device.create(options), passkeys.NewPasskey)
        passkey = passkeys.verify_new(PARTY, made, challenge=challenge)
        for credential in device.made.values():
            credential.user = b"opr" + person.number.to_bytes(8, "big")
        proof = None if invitation else self.answer(person.devices[0], challenge)
        by = 0 if invitation else person.number
        outcome = self.do(operators.EnrolPasskey(by, invitation, passkey, proof, challenge))
        if outcome.status == 201:
            person.devices.append(device)
        return outcome

    def answer(self, device: Authenticator, challenge: bytes) -> passkeys.Assertion:
        options = passkeys.authentication_options(PARTY, challenge=challenge)
        return passkeys.read_assertion(msgspec.convert(device.get(options), passkeys.PasskeyAnswer))

    def log_in(self, person: Person) -> str:
        """Log somebody in; gives the token."""
        challenge = secrets.token_bytes(32)
        token = f"scudo_op_{secrets.token_hex(16)}"
        outcome = self.do(
            operators.LogIn(
                self.answer(person.devices[0], challenge),
                challenge,
                hashlib.sha256(token.encode()).digest(),
                7,
                "trace",
            )
        )
        assert outcome.status == 201, outcome
        return token

    def roles(self, person: Person) -> set[str]:
        return set(self.staff.find(person.number).roles(self.now))

    # ---- approvals

    def propose(self, by: Person, kind: str, *, emergency: bool = False, **change: Any) -> Outcome:
        text = msgspec.json.encode(change)
        return self.do(approvals.Propose(by.number, kind, text, "CASE-1", emergency))

    def proposed(self, by: Person, kind: str, *, emergency: bool = False, **change: Any) -> int:
        outcome = self.propose(by, kind, emergency=emergency, **change)
        assert outcome.status == 201, outcome
        return ids.parse(Prefix.APPROVAL, outcome.body["id"])

    def approval(self, number: int) -> approvals.Approval:
        found = self.authority.approvals.register.get(number)
        assert found is not None
        return found

    def sign(
        self, by: Person, number: int, *, of: int | None = None, device: int = 0
    ) -> approvals.Signature:
        """Sign an approval by one's passkey; `of` signs another approval's hash."""
        approval = self.approval(number if of is None else of)
        challenge = approvals.challenge_of(number, by.number, approval.hash)
        answer = self.answer(by.devices[device], challenge)
        return approvals.Signature(
            answer.credential, answer.authenticator_data, answer.client_data, answer.signature
        )

    def approve(self, by: Person, number: int, *, device: int = 0) -> Outcome:
        signature = self.sign(by, number, device=device)
        return self.do(approvals.Approve(by.number, number, signature))

    def grant(self, proposer: Person, approver: Person, person: Person, role: str) -> None:
        """Give somebody a role, as two people do."""
        number = self.proposed(proposer, "grant_role", operator_id=person.id, role=role)
        outcome = self.approve(approver, number)
        assert outcome.status == 200, outcome
