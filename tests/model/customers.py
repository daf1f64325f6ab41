"""The model's customers: mailed codes, passkeys, sessions, and refresh tokens that work once.

Whether a signature, a password or a code of an authenticator is right is for the tests of those;
here it is what becomes of them: what is used up, what ends, what never works again.
"""

from typing import Any, Final

from tests.model.bank import BLOCK, HOLD_IT, REVIEW, SECOND, Disagreement, Refused, Row
from tests.model.commands import Model

MAIL, PASSWORD, PASSKEY = 1, 3, 4
SIGN_UP, RECOVERY = 1, 2
ONBOARDING, LOG_IN, NEW_DEVICE, OPERATOR_ACT = 11, 12, 13, 17
#: What the event of a decision that asks for eyes adds to its outcome; see `Place`.
EYES: Final = 100
CODE_LASTS, CODE_TRIES = 600 * SECOND, 5
REFRESH_LASTS, SESSION_LASTS = 30 * 86_400 * SECOND, 90 * 86_400 * SECOND
FRESH: Final = 600 * SECOND
SESSIONS_MAX, PASSKEYS_MAX = 20, 10
_STEP_UP: Final = 3
#: Members of a passkey that count here.
_BEARING: Final = ("thumbprint", "token", "key", "network", "country", "refresh", "digest")


class Customers(Model):
    """Customers who prove who they are."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: dict[int, int] = {}
        self.proofs: dict[int, Row] = {}
        self.passkeys: dict[int, Row] = {}
        self.codes: dict[int, Row] = {}
        self.devices: dict[tuple[int, str], bool] = {}
        self.sessions: dict[int, Row] = {}
        self.refreshes: dict[int, Row] = {}

    # ---- the gates

    def passage(self, gate: int, who: int, *, discharged: tuple[int, ...] = ()) -> tuple[int, int]:
        """Ask the gate: the log says what it decided; its number, and that."""
        if not self.place.outcomes:
            raise Disagreement("the log has no decision where one was due")
        told = self.place.outcomes.pop(0)
        outcome, number = told % EYES, self.next_position
        is_operator = gate == OPERATOR_ACT
        self.did.asked.append(
            {
                "id": number,
                "payment": 0,
                "gate": gate,
                "amount_minor": 0,
                "currency": 0,
                "customer": who,
                "account": 0,
                "beneficiary": None,
                "available_minor": None,
                "account_opened_at": None,
                "customer_since": None,
                "discharged": list(discharged),
                "outcome": outcome,
            }
        )
        persons = (None, who) if is_operator else (who or None, None)
        self.emit(311, number, *persons, gate, outcome, 0)
        if told >= EYES or outcome in {REVIEW, HOLD_IT, BLOCK}:
            self.emit(312, self.next_position, number, gate, outcome)
        return number, outcome

    def let_in(self, customer: int, bearing: Row, gate: int, *, is_strong: bool) -> bool:
        """Ask the gates of somebody who comes in, whose device may be new."""
        is_known = (customer, bearing["thumbprint"]) in self.devices
        gates = [gate] if is_known or gate == ONBOARDING else [gate, NEW_DEVICE]
        met = (_STEP_UP,) if is_strong else ()
        return all(self.passage(one, customer, discharged=met)[1] <= REVIEW for one in gates)

    def no(self, code: str, field: str | None, *event: Any, status: int = 401) -> tuple[int, Row]:
        """Refuse, and keep what was done."""
        self.emit(*event)
        return status, {"code": code, "field": field}

    def declined(self, customer: int, bearing: Row, code: str, status: int) -> tuple[int, Row]:
        event = (120, customer, code, bearing["token"], bearing["network"])
        return self.no(code, None, *event, status=status)

    # ---- codes by mail

    def mail_code(
        self, code: int, purpose: int, address: int, digest: int, network: int
    ) -> tuple[int, Row]:
        customer = self.addresses.get(address, 0)
        is_decoy = (purpose == SIGN_UP) == bool(customer)
        row = {
            "purpose": purpose,
            "address": address,
            "digest": digest,
            "until": self.place.ordered_at + CODE_LASTS,
            "is_decoy": is_decoy,
            "tries": 0,
            "is_spent": False,
        }
        self.put(self.codes, code, row)
        self.emit(110, self.next_position, purpose, network)
        return 200, {"customer": customer, "is_decoy": is_decoy}

    def activate(
        self, code: int, address: int, digest: int, country: int | None, bearing: list[Any]
    ) -> tuple[int, Row]:
        device = dict(zip(_BEARING, bearing, strict=True))
        is_good = self._redeem(code, address, digest, SIGN_UP)
        if not is_good or address in self.addresses:
            failed = (111, self.next_position, SIGN_UP, device["network"])
            return self.no("code_refused", "code", *failed)
        customer = self.next_position
        self.register(f"sign-up-{code:016x}", 1, country)
        if not self.let_in(customer, device, ONBOARDING, is_strong=True):
            return self.declined(customer, device, "log_in_declined", 403)
        self.put(self.addresses, address, customer)
        proof = {
            "passkeys": [],
            "password": 0,
            "has_totp": False,
            "step": 0,
            "recovery": [],
            "sessions": [],
        }
        self.put(self.proofs, customer, proof)
        self.emit(112, customer)
        return 200, self._begin(customer, device, MAIL)

    def _redeem(self, code: int, address: int, digest: int, purpose: int) -> bool:
        """Use a code up; a wrong try counts."""
        row = self.codes.get(code)
        if row is None or row["is_spent"] or row["tries"] >= CODE_TRIES:
            return False
        wanted = {"address": address, "digest": digest, "purpose": purpose, "is_decoy": False}
        is_right = all(row[name] == value for name, value in wanted.items())
        if is_right and self.place.ordered_at <= row["until"]:
            self.put(row, "is_spent", True)
            return True
        self.put(row, "tries", row["tries"] + 1)
        return False

    # ---- sessions

    def _begin(self, customer: int, device: Row, assurance: int) -> Row:
        is_new = (customer, device["thumbprint"]) not in self.devices
        if is_new:
            self.put(self.devices, (customer, device["thumbprint"]), True)
            self.emit(115, customer, device["token"])
        number, now = self.next_position, self.place.ordered_at
        self.emit(116, number, customer, device["token"], device["network"], assurance)
        session = {
            "customer": customer,
            "thumbprint": device["thumbprint"],
            "assurance": assurance,
            "began_at": now,
            "proven_at": now,
            "refreshed_at": 0,
            "ended": "",
        }
        self.put(self.sessions, number, session)
        self._give(device["refresh"], device["digest"], number)
        proof = self.proofs[customer]
        for oldest in proof["sessions"][: max(0, len(proof["sessions"]) + 1 - SESSIONS_MAX)]:
            self._end_session(oldest, "too_many_sessions")
        self.put(proof, "sessions", [*proof["sessions"], number])
        return {"customer": customer, "session": number, "is_new_device": is_new}

    def _give(self, token: int, digest: bytes, session: int) -> None:
        until = self.place.ordered_at + REFRESH_LASTS
        row = {"session": session, "digest": digest, "until": until, "is_spent": False}
        self.put(self.refreshes, token, row)

    def _end_session(self, number: int, code: str) -> None:
        session = self.sessions[number]
        if session["ended"]:
            return
        self.put(session, "ended", code)
        self.emit(118, number, session["customer"], code)
        proof = self.proofs[session["customer"]]
        self.put(proof, "sessions", [n for n in proof["sessions"] if n != number])

    def is_over(self, number: int) -> bool:
        """Whether a session has ended, by somebody or by itself."""
        session, now = self.sessions.get(number), self.place.ordered_at
        if session is None or session["ended"]:
            return True
        last = session["refreshed_at"] or session["began_at"]
        return now - last > REFRESH_LASTS or now - session["began_at"] > SESSION_LASTS

    def log_in(
        self,
        customer: int,
        passkey: int,
        answered: Row | None,
        against: int,
        totp_step: int,
        recovery: int,
        bearing: list[Any],
    ) -> tuple[int, Row]:
        device = dict(zip(_BEARING, bearing, strict=True))
        proof = self.proofs.get(customer)
        if passkey:
            is_good = proof is not None and self._answer(proof, passkey, answered)
        else:
            is_good = proof is not None and self._use(proof, against, totp_step, recovery)
        if not is_good:
            return self.declined(customer, device, "log_in_refused", 401)
        if not self.let_in(customer, device, LOG_IN, is_strong=bool(passkey)):
            return self.declined(customer, device, "log_in_declined", 403)
        return 200, self._begin(customer, device, PASSKEY if passkey else PASSWORD)

    def _answer(self, proof: Row, number: int, answered: Row | None) -> bool:
        """A passkey's counter only grows; one that never counts stays at zero."""
        if number not in proof["passkeys"] or answered is None:
            return False
        known, counts = self.passkeys[number], (answered["sign_count"], 0)
        if answered["id"] != known["id"]:
            return False
        if counts[0] <= known["sign_count"] and (counts[0] or known["sign_count"]):
            return False
        self.put(known, "sign_count", counts[0])
        return True

    def _use(self, proof: Row, against: int, step: int, recovery: int) -> bool:
        """A password with a code: each code is good once."""
        if not proof["has_totp"] or proof["password"] != against:
            return False
        if recovery:
            if recovery not in proof["recovery"]:
                return False
            self.put(proof, "recovery", [c for c in proof["recovery"] if c != recovery])
            return True
        if step <= proof["step"]:
            return False
        self.put(proof, "step", step)
        return True

    def refresh(
        self,
        old: int,
        old_digest: bytes,
        new: int,
        new_digest: bytes,
        thumbprint: str,
        network: int,
    ) -> tuple[int, Row]:
        token = self.refreshes.get(old)
        if token is None or token["digest"] != old_digest:
            raise Refused("refresh_refused", "refresh_token")
        number = token["session"]
        session = self.sessions[number]
        is_foreign = session["thumbprint"] != thumbprint
        if is_foreign or token["is_spent"]:
            if not is_foreign:
                self._end_session(number, "refresh_reused")
            code = "key_mismatched" if is_foreign else "refresh_reused"
            event = (119, number, session["customer"], code, 3, network)
            return self.no("refresh_refused", "refresh_token", *event)
        if token["until"] < self.place.ordered_at or self.is_over(number):
            raise Refused("refresh_refused", "refresh_token")
        self.put(token, "is_spent", True)
        self._give(new, new_digest, number)
        self.put(session, "refreshed_at", self.place.ordered_at)
        self.emit(117, number, session["customer"])
        customer = session["customer"]
        return 200, {"customer": customer, "session": number, "is_new_device": False}

    def end_sessions(self, session: int, customer: int, which: int, code: str) -> tuple[int, Row]:
        del session
        living = self.proofs[customer]["sessions"]
        if which and which not in living:
            raise Refused("session_not_found", "session_id")
        for number in [which] if which else list(living):
            self._end_session(number, code)
        return 204, {}

    def report_misuse(
        self, session: int, customer: int, code: str, network: int
    ) -> tuple[int, Row]:
        self.emit(119, session, customer, code, 3, network)
        return 204, {}

    # ---- credentials

    def _may_change(self, session: int, customer: int, step_up: int) -> Row:
        if step_up:
            raise Disagreement("the model does not know step-ups")
        if self.is_over(session):
            raise Refused("session_over")
        proof, row = self.proofs[customer], self.sessions[session]
        has_way = proof["passkeys"] or (proof["password"] and proof["has_totp"])
        is_fresh = self.place.ordered_at - row["proven_at"] <= FRESH
        if not is_fresh or (row["assurance"] == MAIL and has_way):
            raise Refused("fresh_proof_needed")
        return proof

    def add_passkey(
        self, session: int, customer: int, number: int, passkey: Row, step_up: int
    ) -> tuple[int, Row]:
        proof = self._may_change(session, customer, step_up)
        if number in self.passkeys:
            raise Refused("credential_taken", "credential")
        if len(proof["passkeys"]) >= PASSKEYS_MAX:
            raise Refused("credential_limit", "credential")
        counted = {"id": passkey["id"], "sign_count": passkey.get("sign_count", 0)}
        self.put(self.passkeys, number, counted)
        self.put(proof, "passkeys", [*proof["passkeys"], number])
        self.emit(113, customer, "passkey")
        return 204, {}

    def set_password(
        self, session: int, customer: int, password_digest: int, step_up: int
    ) -> tuple[int, Row]:
        proof = self._may_change(session, customer, step_up)
        self.put(proof, "password", password_digest)
        self.emit(113, customer, "password")
        for number in list(proof["sessions"]):
            if number != session:
                self._end_session(number, "password_changed")
        return 204, {}

    def confirm_totp(
        self, session: int, customer: int, step: int, recovery: list[int], step_up: int
    ) -> tuple[int, Row]:
        proof = self._may_change(session, customer, step_up)
        for name, value in (("has_totp", True), ("step", step), ("recovery", list(recovery))):
            self.put(proof, name, value)
        self.emit(113, customer, "totp")
        self.emit(113, customer, "recovery_codes")
        return 204, {}

    # ---- persons: the vault does, the log is told

    def person_kept(
        self, customer: int, fields: list[str], age_band: str | None
    ) -> tuple[int, Row]:
        self.emit(551, customer, list(fields), age_band)
        return 200, {}

    def person_erased(self, customer: int, erased_at: int, reason: str) -> tuple[int, Row]:
        self.emit(552, customer, erased_at, reason)
        return 200, {}


HANDLERS: Final = {
    110: Customers.mail_code,
    111: Customers.activate,
    112: Customers.add_passkey,
    114: Customers.set_password,
    115: Customers.confirm_totp,
    116: Customers.log_in,
    117: Customers.refresh,
    118: Customers.end_sessions,
    123: Customers.report_misuse,
    551: Customers.person_kept,
    552: Customers.person_erased,
}
#: Members of the commands, in their order in the log.
FIELDS: Final[dict[int, tuple[str, ...]]] = {
    110: ("code", "purpose", "address", "digest", "network"),
    111: ("code", "address", "digest", "country", "bearing"),
    112: ("session", "customer", "number", "passkey", "step_up"),
    114: ("session", "customer", "password_digest", "step_up"),
    115: ("session", "customer", "step", "recovery", "step_up"),
    116: ("customer", "passkey", "answered", "against", "totp_step", "recovery", "bearing"),
    117: ("old", "old_digest", "new", "new_digest", "thumbprint", "network"),
    118: ("session", "customer", "which", "code"),
    123: ("session", "customer", "code", "network"),
    551: ("customer", "fields", "age_band"),
    552: ("customer", "erased_at", "reason"),
}
