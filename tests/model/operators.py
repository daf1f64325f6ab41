"""The model's operators and approvals: who may what, and what a second person carries out, once.

Two kinds of change are known here, roles that are given and taken; signatures are for the tests
of passkeys: where one decides, the log's status says how.
"""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from tests.model.bank import REVIEW, SECOND, Disagreement, Refused, Row, show
from tests.model.customers import OPERATOR_ACT, Customers
from tests.model.layout import instant

HOUR: Final = 3_600 * SECOND
INVITATION_LASTS, SESSION_LASTS, PROPOSAL_LASTS = 72 * HOUR, 8 * HOUR, 24 * HOUR
RIPE_AFTER: Final = 72 * HOUR
SESSIONS_MAX, KEYS_MAX, KEYS_NEEDED = 5, 8, 2
OFFICER: Final = "security_officer"
#: Roles whose holders may propose, and approve, each kind of change.
PROPOSE: Final = {"grant_role": {OFFICER}, "drop_role": {OFFICER}}
APPROVE: Final = {"grant_role": {OFFICER, "compliance"}, "drop_role": {OFFICER}}
#: Roles whose holders would propose, and approve, what a client does alone until there are two.
MANDATES: Final = ({"compliance"}, {OFFICER, "compliance"})
#: Roles that one person never holds together.
APART: Final = (
    {"payments_operator", OFFICER},
    {"payments_operator", "compliance"},
    {"payments_operator", "auditor"},
    {OFFICER, "auditor"},
)
#: Who must know of a refusal.
_PAGED: Final = {"approved_by_proposer", "self_served", "self_administered"}
_WARNED: Final = {
    "approver_dependent",
    "approver_unripe",
    "assertion_invalid",
    "elevation_lapsed",
    "duties_conflict",
}
#: Kinds of change in whose place a client's command stands.
_ALONE: Final = {502: "approve_mandate"}
_ACTS: Final = {522: "propose", 523: "approve", 524: "reject", 525: "withdraw"}
_COMMANDS: Final = {131: "InviteOperator", 132: "EnrolPasskey", 134: "EndSession"}


def severity(code: str, *, warned: frozenset[str] | set[str] = frozenset(_WARNED)) -> str:
    """Who must know of a refusal: whoever is on call, the owners, nobody at once."""
    return "page" if code in _PAGED else "warning" if code in warned else "notice"


def canonical(thing: Any) -> str:
    """JSON in one way only."""
    return json.dumps(thing, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class Operators(Customers):
    """The whole bank, with those who run it."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: dict[int, Row] = {}
        self.approvals: dict[int, Row] = {}
        self.closed: dict[str, bool] = {}

    def _refuse(self, tag: int, fields: Row, refused: Refused) -> None:
        """Refuse, and tell of what an operator was refused."""
        super()._refuse(tag, fields, refused)
        if tag in _ACTS:
            number = fields.get("approval", 0)
            known = self.approvals.get(number, {}).get("kind", "")
            told = severity(refused.code)
            kind = fields.get("kind", known)
            self.emit(527, number, kind, fields["by"], _ACTS[tag], refused.code, told)
        elif tag in _COMMANDS:
            told = severity(refused.code, warned={"duties_conflict", "elevation_lapsed"})
            self.emit(141, fields["by"], _COMMANDS[tag], refused.code, told)
        elif refused.code == "second_person_needed":
            self.emit(528, self.place.position, _ALONE[tag], self.place.client, "warning")

    # ---- what a client does alone, until two people could decide

    def approve_mandate(self, mandate: int, terms: Row) -> tuple[int, Row]:
        """Put a mandate into force alone."""
        if self.closed.get("approve_mandate") or self._could_decide(*MANDATES):
            raise Refused("second_person_needed")
        return super().approve_mandate(mandate, terms)

    def close_ways(self, closed: list[str]) -> tuple[int, Row]:
        """Remember for good that two people could decide."""
        new = [kind for kind in closed if kind not in self.closed]
        for kind in new:
            self.put(self.closed, kind, True)
        self.emit(521, self.place.position, new)
        return 200, {}

    def _could_decide(self, propose: set[str], approve: set[str]) -> bool:
        able = {n: set(o["roles"]) for n, o in self.operators.items() if len(o["keys"]) > 1}
        proposers = {n for n, roles in able.items() if roles & propose}
        approvers = {n for n, roles in able.items() if roles & approve}
        return bool(proposers and approvers) and len(proposers | approvers) > 1

    # ---- coming and going

    def enrol_first(self, handles: list[str], invitations: list[bytes]) -> tuple[int, Any]:
        if self.operators:
            raise Refused("operators_exist")
        bodies = []
        for handle, invitation in zip(handles, invitations, strict=True):
            number, body = self._add(handle, 0, invitation)
            self.emit(137, number, OFFICER, 0)
            self.put(self.operators[number], "roles", [OFFICER])
            bodies.append(body)
        return 201, bodies

    def invite(self, by: int, handle: str, invitation: bytes) -> tuple[int, Row]:
        return 201, self._add(handle, by, invitation)[1]

    def _add(self, handle: str, by: int, invitation: bytes) -> tuple[int, Row]:
        if any(row["handle"] == handle for row in self.operators.values()):
            raise Refused("handle_taken", "handle")
        number = self.emit(130, self.next_position, by)
        until = self.place.recorded_at + INVITATION_LASTS
        row = {
            "handle": handle,
            "by": by,
            "invitation": (invitation, until),
            "keys": [],
            "roles": [],
            "sessions": [],
            "enrolled_at": 0,
        }
        self.put(self.operators, number, row)
        body = {"id": show("opr", number), "handle": handle, "expires_at": instant(until)}
        return number, body

    def enrol_passkey(
        self, by: int, invitation: bytes, passkey: Row, proof: Row | None, challenge: bytes
    ) -> tuple[int, Row]:
        del challenge
        number = by
        if invitation:
            holding = [n for n, o in self.operators.items() if o["invitation"][0] == invitation]
            number = holding[0] if holding else 0
            if not holding or self.operators[number]["invitation"][1] <= self.place.recorded_at:
                raise Refused("invitation_invalid", "invitation")
        operator = self.operators[number]
        if any(passkey["id"] in row["keys"] for row in self.operators.values()):
            raise Refused("passkey_known", "credential")
        if len(operator["keys"]) >= KEYS_MAX:
            raise Refused("passkeys_full")
        if not invitation and (proof is None or proof["credential"] not in operator["keys"]):
            raise Refused("assertion_invalid", "proof")
        self.put(operator, "keys", [*operator["keys"], passkey["id"]])
        self.put(operator, "invitation", (b"", 0))
        self.put(operator, "enrolled_at", operator["enrolled_at"] or self.place.recorded_at)
        self.emit(131, number, len(operator["keys"]))
        return 201, {"operator_id": show("opr", number), "passkeys": len(operator["keys"])}

    def log_in_operator(
        self, assertion: Row, challenge: bytes, token: bytes, network: int | None, trace: str
    ) -> tuple[int, Row]:
        del challenge, token
        found = [n for n, o in self.operators.items() if assertion["credential"] in o["keys"]]
        number = found[0] if found else 0
        if self.place.status != 201 or not number:
            code = "assertion_invalid"
            act = ("identity.log_in", "", None, code, "", network, None, trace)
            self.emit(501, self.next_position, number, 3, *act)
            return 401, {"code": code, "field": "credential"}
        operator, session = self.operators[number], self.place.position
        living = operator["sessions"]
        for oldest in living[: max(0, len(living) + 1 - SESSIONS_MAX)]:
            self.emit(133, number, oldest, number)
        until = self.place.recorded_at + SESSION_LASTS
        self.emit(132, number, session, until, network)
        self.put(operator, "sessions", [*living, session][-SESSIONS_MAX:])
        who = {"id": show("ses", session), "operator_id": show("opr", number)}
        return 201, who | {"expires_at": instant(until)}

    def end_session(self, by: int, operator: int, session: int) -> tuple[int, Row]:
        row = self._operator(operator)
        if session not in row["sessions"]:
            raise Refused("operator_session_not_found", "session_id")
        self.emit(133, operator, session, by)
        self.put(row, "sessions", [number for number in row["sessions"] if number != session])
        return 204, {}

    def note_use(self, operator: int, scope: str) -> tuple[int, Row]:
        self.emit(148, operator, scope)
        return 200, {}

    def tell_refused(self, operator: int, act: str, code: str) -> tuple[int, Row]:
        warned = {"duties_conflict", "elevation_lapsed"}
        self.emit(141, operator, act, code, severity(code, warned=warned))
        return 200, {}

    def _operator(self, number: int) -> Row:
        if number not in self.operators:
            raise Refused("operator_not_found", "operator_id")
        return self.operators[number]

    # ---- approvals

    def _demand(self, number: int, allowed: set[str]) -> None:
        operator = self._operator(number)
        if len(operator["keys"]) < KEYS_NEEDED:
            raise Refused("second_passkey_missing")
        if not allowed & set(operator["roles"]):
            raise Refused("permission_missing")

    def _demand_change(self, kind: str, change: Row) -> None:
        """Whether a role can be given or taken now."""
        operator, role = self._operator(int(change["operator_id"][4:], 16)), change["role"]
        held = set(operator["roles"])
        if kind == "grant_role":
            if not operator["keys"]:
                raise Refused("operator_state_conflict")
            if any(pair <= held | {role} for pair in APART):
                raise Refused("duties_conflict", "change.role")
        if (role in held) == (kind == "grant_role"):
            raise Refused("role_held", "change.role")

    def _document(self, kind: str, change: Row, proposer: int, reason: str) -> str:
        operator = self.operators[int(change["operator_id"][4:], 16)]
        held, role = set(operator["roles"]), change["role"]
        after = held | {role} if kind == "grant_role" else held - {role}
        verb = "gets" if kind == "grant_role" else "loses"
        return canonical(
            {
                "kind": kind,
                "change": change,
                "diff": {"roles": [sorted(held), sorted(after)]},
                "effect": f"{operator['handle']} {verb} the role {role}",
                "proposer": show("opr", proposer),
                "reason": reason,
            }
        )

    def propose(
        self, by: int, kind: str, change: bytes, reason: str, is_emergency: bool
    ) -> tuple[int, Row]:
        if kind not in PROPOSE:
            raise Disagreement(f"the model does not know changes of the kind {kind}")
        self._demand(by, PROPOSE[kind])
        wanted, now = json.loads(change), self.place.recorded_at
        if kind == "grant_role" and wanted["operator_id"] == show("opr", by):
            raise Refused("self_served", "change")
        if is_emergency and kind == "grant_role":
            raise Refused("no_emergency_path", "is_emergency")
        self._demand_change(kind, wanted)
        until = now + (HOUR if is_emergency else PROPOSAL_LASTS)
        row = {
            "kind": kind,
            "change": wanted,
            "by": by,
            "reason": reason,
            "until": until,
            "document": self._document(kind, wanted, by, reason),
            "state": "pending",
        }
        told = "page" if is_emergency else "notice"
        digest = sha256(row["document"].encode()).hexdigest()
        number = self.emit(522, self.next_position, kind, by, digest, until, told)
        self.put(self.approvals, number, row)
        return 201, self._approval_body(number)

    def approve(self, by: int, approval: int, signature: Row) -> tuple[int, Row]:
        row = self._pending(approval)
        kind, change, proposer = row["kind"], row["change"], row["by"]
        if by == proposer:
            raise Refused("approved_by_proposer")
        if kind == "grant_role" and change["operator_id"] == show("opr", by):
            raise Refused("self_served")
        self._demand(by, APPROVE[kind])
        self._demand(proposer, PROPOSE[kind])
        approver = self.operators[by]
        if approver["by"] == proposer:
            raise Refused("approver_dependent")
        # Founders have nobody who could have approved them: their enrolment does not count.
        if approver["by"] and self.place.recorded_at - approver["enrolled_at"] < RIPE_AFTER:
            raise Refused("approver_unripe")
        self._demand_change(kind, change)
        if self._document(kind, change, proposer, row["reason"]) != row["document"]:
            raise Refused("approval_stale")
        if signature["credential"] not in approver["keys"] or self.place.status == 401:
            raise Refused("assertion_invalid", "credential")
        decision, outcome = self.passage(OPERATOR_ACT, by)
        if outcome > REVIEW:
            code = "operator_act_declined"
            self.emit(527, approval, kind, by, "approve", code, severity(code))
            return 403, {"code": code, "field": None}
        self._execute(approval, row)
        digest = sha256(row["document"].encode()).hexdigest()
        self.emit(523, approval, kind, proposer, by, digest, decision)
        self.put(row, "state", "done")
        return 200, self._approval_body(approval)

    def _execute(self, approval: int, row: Row) -> None:
        number, role = int(row["change"]["operator_id"][4:], 16), row["change"]["role"]
        operator = self.operators[number]
        if row["kind"] == "grant_role":
            self.emit(137, number, role, approval)
            self.put(operator, "roles", [*operator["roles"], role])
        else:
            self.emit(138, number, role, show("apr", approval))
            self.put(operator, "roles", [held for held in operator["roles"] if held != role])

    def reject(self, by: int, approval: int, reason: str) -> tuple[int, Row]:
        row = self._pending(approval)
        if by == row["by"]:
            raise Refused("approved_by_proposer")
        self._demand(by, APPROVE[row["kind"]])
        self.emit(524, approval, by, reason)
        self.put(row, "state", "rejected")
        return 200, self._approval_body(approval)

    def withdraw(self, by: int, approval: int) -> tuple[int, Row]:
        row = self._pending(approval)
        if by != row["by"]:
            raise Refused("not_proposer")
        self.emit(525, approval)
        self.put(row, "state", "withdrawn")
        return 200, self._approval_body(approval)

    def expire_approval(self, approval: int) -> tuple[int, Row]:
        row = self.approvals[approval]
        if row["state"] != "pending" or row["until"] > self.place.recorded_at:
            raise Disagreement(f"approval {approval} was ended before its time")
        self.emit(526, approval)
        self.put(row, "state", "expired")
        return 200, self._approval_body(approval)

    def _pending(self, number: int) -> Row:
        row = self.approvals.get(number)
        if row is None:
            raise Refused("approval_not_found", "approval_id")
        if row["state"] != "pending" or row["until"] <= self.place.recorded_at:
            raise Refused("approval_ended")
        return row

    def _approval_body(self, number: int) -> Row:
        row = self.approvals[number]
        digest = sha256(row["document"].encode()).hexdigest()
        return {"id": show("apr", number), "state": row["state"], "hash": digest}


HANDLERS: Final[dict[int, Callable[..., tuple[int, Any]]]] = {
    130: Operators.enrol_first,
    131: Operators.invite,
    132: Operators.enrol_passkey,
    133: Operators.log_in_operator,
    134: Operators.end_session,
    137: Operators.note_use,
    138: Operators.tell_refused,
    522: Operators.propose,
    523: Operators.approve,
    524: Operators.reject,
    525: Operators.withdraw,
    526: Operators.expire_approval,
    502: Operators.approve_mandate,
    527: Operators.close_ways,
}
#: Members of the commands, in their order in the log.
FIELDS: Final[dict[int, tuple[str, ...]]] = {
    130: ("handles", "invitations"),
    131: ("by", "handle", "invitation"),
    132: ("by", "invitation", "passkey", "proof", "challenge"),
    133: ("assertion", "challenge", "token", "network", "trace"),
    134: ("by", "operator", "session"),
    137: ("operator", "scope"),
    138: ("operator", "act", "code"),
    522: ("by", "kind", "change", "reason", "is_emergency"),
    523: ("by", "approval", "signature"),
    524: ("by", "approval", "reason"),
    525: ("by", "approval"),
    526: ("approval",),
    527: ("closed",),
}
