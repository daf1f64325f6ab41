"""The executable model of the bank: plain numbers and dicts, no database, none of Scudo's code.

One command goes in with its place in the log and what the gate decided; out come the
answer, the events and the transfers that the real bank must have given. Everything else
(limits, holds, lives of payments, all-or-nothing) the model works out by itself.
"""

from dataclasses import dataclass, field
from typing import Any, Final

Row = dict[str, Any]

MINOR_MAX: Final = (1 << 63) - 1
SECOND: Final = 1_000_000
CURRENCIES: Final = {978: "EUR", 840: "USD", 392: "JPY"}
#: Products of the bank's own accounts; the first is of debit nature.
FUNDING, CARD_SETTLEMENT = 1, 2
DEBIT, CREDIT = 1, 2
OPEN, CLOSED = 1, 2
#: How a hold ends; OPEN until then.
CAPTURED, RELEASED, EXPIRED = 2, 3, 4
POST, HOLD, RAISE, CAPTURE, RELEASE, EXPIRE = 1, 2, 3, 4, 5, 6
BY_DECISION, BY_MANDATE = 1, 2
ALLOW, REVIEW, HOLD_IT, STEP_UP, DECLINE, BLOCK = range(6)
STATUS: Final = {
    "authorised": 1,
    "captured": 2,
    "settled": 3,
    "held": 4,
    "challenged": 5,
    "declined": 6,
    "blocked": 7,
    "refused": 8,
    "reversed": 9,
    "expired": 10,
    "cancelled": 11,
}
CARD_LASTS, HELD_LASTS, CHALLENGE_LASTS = 604_800 * SECOND, 86_400 * SECOND, 300 * SECOND
#: HTTP status of every refusal that the log may hold.
REFUSALS: Final = {
    "account_not_found": 404,
    "hold_not_found": 404,
    "payment_not_found": 404,
    "customer_not_found": 404,
    "account_not_empty": 409,
    "customer_reference_taken": 409,
    "hold_ended": 409,
    "hold_expired": 409,
    "hold_of_payment": 409,
    "payment_state_conflict": 409,
    "account_closed": 422,
    "amount_out_of_range": 422,
    "balance_out_of_range": 422,
    "capture_too_high": 422,
    "currency_mismatch": 422,
    "insufficient_funds": 422,
    "approval_ended": 409,
    "approval_not_found": 404,
    "approval_stale": 409,
    "approved_by_proposer": 403,
    "approver_dependent": 403,
    "approver_unripe": 403,
    "assertion_invalid": 401,
    "credential_limit": 409,
    "credential_taken": 409,
    "duties_conflict": 403,
    "fresh_proof_needed": 403,
    "handle_taken": 409,
    "invitation_invalid": 401,
    "no_emergency_path": 422,
    "not_proposer": 403,
    "operator_not_found": 404,
    "operator_session_not_found": 404,
    "operator_state_conflict": 409,
    "operators_exist": 409,
    "passkey_known": 409,
    "passkeys_full": 409,
    "permission_missing": 403,
    "refresh_refused": 401,
    "role_held": 409,
    "second_passkey_missing": 403,
    "self_served": 403,
    "session_not_found": 404,
    "session_over": 401,
    "mandate_exceeded": 422,
    "mandate_lapsed": 422,
    "mandate_unknown": 422,
    "journal_malformed": 422,
    "payment_declined": 422,
    "release_too_high": 422,
    "same_account": 422,
}


class Refused(Exception):
    """The model says no."""

    def __init__(self, code: str, field: str | None = None) -> None:
        super().__init__(code)
        self.code, self.field = code, field


class Disagreement(Exception):
    """The gate was asked where the log has no decision, or the other way round."""


@dataclass
class Place:
    """Where a command stands in the log, who sent it, and what the gate said there, in order.

    Attributes:
        outcomes: of a decision that asked for a person's eyes, 100 more.
        recorded_at: our clock's, for what does not go by the log's.
        status: what was answered, where that is for cryptography to say and not for a model.
    """

    position: int
    ordered_at: int
    outcomes: list[int]
    client: int = 0
    recorded_at: int = 0
    status: int = 0


@dataclass
class Expected:
    """What the real bank must have done with one command."""

    status: int
    body: Any
    events: list[list[Any]] = field(default_factory=list)
    transfers: list[Row] = field(default_factory=list)
    asked: list[Row] = field(default_factory=list)


def show(prefix: str, number: int) -> str:
    """An id as clients see it."""
    return f"{prefix}_{number:016x}"


def positive(amount: int) -> int:
    """Return an amount that may be moved."""
    if not 0 < amount <= MINOR_MAX:
        raise Refused("amount_out_of_range", "amount_minor")
    return amount


class Books:
    """Accounts and holds, and the entry that is being worked on."""

    def __init__(self) -> None:
        self.customers: dict[int, Row] = {}
        self.references: dict[str, int] = {}
        self.accounts: dict[int, Row] = {}
        self.holds: dict[int, Row] = {}
        self.payments: dict[int, Row] = {}
        self.house: dict[tuple[int, int], int] = {}
        self._undo: list[tuple[Row, Any, Any]] = []
        self.place = Place(0, 0, [])
        self.did = Expected(0, {})

    # ---- one entry

    def put(self, row: Row, key: Any, value: Any) -> None:
        """Change one thing, so that it can be taken back."""
        self._undo.append((row, key, row.get(key, Refused)))
        row[key] = value

    def start(self, place: Place) -> None:
        self.place, self.did, self._undo = place, Expected(0, {}), []

    def keep(self) -> tuple[int, int, int]:
        """Where the entry stands now, for `take_back`."""
        return len(self._undo), len(self.did.events), len(self.did.transfers)

    def take_back(self, kept: tuple[int, int, int] = (0, 0, 0)) -> None:
        while len(self._undo) > kept[0]:
            row, key, value = self._undo.pop()
            if value is Refused:
                del row[key]
            else:
                row[key] = value
        del self.did.events[kept[1] :]
        del self.did.transfers[kept[2] :]

    def changed(self) -> list[Row]:
        """The accounts, holds and payments that the entry made or changed."""
        rows = [new if isinstance(new := row[key], dict) else row for row, key, _ in self._undo]
        return list({id(row): row for row in rows if "status" in row}.values())

    def emit(self, *event: Any) -> int:
        self.did.events.append(list(event))
        return self.place.position + len(self.did.events) - 1

    @property
    def next_position(self) -> int:
        return self.place.position + len(self.did.events)

    # ---- balances, each with its one definition

    @staticmethod
    def posted(account: Row) -> int:
        net = account["credits_posted"] - account["debits_posted"]
        return net if account["nature"] == CREDIT else -net

    @staticmethod
    def held(account: Row) -> int:
        return account["debits_held" if account["nature"] == CREDIT else "credits_held"]

    def available(self, account: Row) -> int | None:
        limit = account["posting_limit"]
        return None if limit is None else self.posted(account) - self.held(account) + limit

    # ---- accounts

    def account(self, number: int, named: str) -> Row:
        if number not in self.accounts:
            raise Refused("account_not_found", named)
        return self.accounts[number]

    def open(self, **properties: Any) -> Row:
        owner, currency = properties["owner"], properties["currency"]
        number = self.next_position
        self.emit(
            201,
            number,
            owner or None,
            properties["nature"],
            CURRENCIES[currency],
            properties["product"],
            properties["hold_limit"],
            properties["posting_limit"],
        )
        zeros = dict.fromkeys(
            ("debits_posted", "credits_posted", "debits_held", "credits_held", "version"), 0
        )
        opened = {"opened_at": self.place.ordered_at, "status": OPEN}
        account = {"id": number} | properties | opened | zeros
        self.put(self.accounts, number, account)
        return account

    def house_account(self, product: int, currency: int) -> Row:
        if (product, currency) not in self.house:
            account = self.open(
                owner=0,
                nature=DEBIT if product == FUNDING else CREDIT,
                currency=currency,
                product=product,
                hold_limit=None,
                posting_limit=None,
            )
            self.put(self.house, (product, currency), account["id"])
        return self.accounts[self.house[product, currency]]

    # ---- movements

    def check(self, debit: Row, credit: Row, amount: int, limit: str | None, over: int) -> None:
        """Check two sides for `amount`, of which `over` must be covered within `limit`."""
        if debit is credit:
            raise Refused("same_account", "credit_account_id")
        for side, account in (("debit", debit), ("credit", credit)):
            if account["status"] != OPEN:
                raise Refused("account_closed", f"{side}_account_id")
        if debit["currency"] != credit["currency"]:
            raise Refused("currency_mismatch", "currency")
        self.check_room(debit, credit, amount)
        if over and limit is not None:
            self.check_limit(debit, credit, over, limit)

    @staticmethod
    def check_room(debit: Row, credit: Row, amount: int) -> None:
        if (
            debit["debits_posted"] + debit["debits_held"] + amount > MINOR_MAX
            or credit["credits_posted"] + credit["credits_held"] + amount > MINOR_MAX
        ):
            raise Refused("balance_out_of_range", "amount_minor")

    def check_limit(self, debit: Row, credit: Row, amount: int, limit: str) -> None:
        for account, nature in ((debit, CREDIT), (credit, DEBIT)):
            if account["nature"] == nature and account[limit] is not None:
                left = self.posted(account) - self.held(account) + account[limit]
                if left < amount:
                    raise Refused("insufficient_funds", "amount_minor")

    def move(
        self, kind: int, debit: Row, credit: Row, posted: int, held: int, hold: Row | None, by: Row
    ) -> int:
        for account, side in ((debit, "debits"), (credit, "credits")):
            self.put(account, f"{side}_posted", account[f"{side}_posted"] + posted)
            self.put(account, f"{side}_held", account[f"{side}_held"] + held)
            self.put(account, "version", account["version"] + 1)
        number = self.place.position << 12 | len(self.did.transfers)
        self.did.transfers.append(
            {
                "id": number,
                "debit_account": debit["id"],
                "credit_account": credit["id"],
                "amount": posted,
                "held": held,
                "hold": None if hold is None else hold["id"],
                "debit_version": debit["version"],
                "debit_balance": debit["credits_posted"] - debit["debits_posted"],
                "debit_held": debit["debits_held"],
                "credit_version": credit["version"],
                "credit_balance": credit["credits_posted"] - credit["debits_posted"],
                "credit_held": credit["credits_held"],
                "authority": by["authority"],
                "kind": kind,
                "authority_kind": by["authority_kind"],
                "code": by["code"],
                "currency": debit["currency"],
            }
        )
        return number

    def post(self, debit: Row, credit: Row, amount: int, by: Row) -> int:
        self.check(debit, credit, amount, "posting_limit", amount)
        return self.move(POST, debit, credit, amount, 0, None, by)

    def place_hold(
        self, debit: Row, credit: Row, amount: int, tolerance: int, expires_at: int, by: Row
    ) -> Row:
        self.check(debit, credit, amount, "hold_limit", amount)
        number = self.place.position << 12 | len(self.did.transfers)
        hold = {
            "id": number,
            "debit_account": debit["id"],
            "credit_account": credit["id"],
            "held": amount,
            "captured": 0,
            "remaining": amount,
            "tolerance_bps": tolerance,
            "expires_at": expires_at,
            "status": OPEN,
            "version": 0,
            **by,
        }
        self.put(self.holds, number, hold)
        self.move(HOLD, debit, credit, 0, amount, hold, by)
        return hold

    def hold(self, number: int) -> Row:
        if number not in self.holds:
            raise Refused("hold_not_found")
        return self.holds[number]

    def sides(self, hold: Row) -> tuple[Row, Row]:
        return self.accounts[hold["debit_account"]], self.accounts[hold["credit_account"]]

    def must_be_open(self, hold: Row) -> None:
        late = hold["status"] == OPEN and hold["expires_at"] <= self.place.ordered_at
        if hold["status"] == EXPIRED or late:
            raise Refused("hold_expired")
        if hold["status"] != OPEN:
            raise Refused("hold_ended")

    def change(self, hold: Row, **values: Any) -> None:
        for key, value in (values | {"version": hold["version"] + 1}).items():
            self.put(hold, key, value)

    def raise_hold(self, hold: Row, amount: int, by: Row) -> int:
        self.must_be_open(hold)
        debit, credit = self.sides(hold)
        self.check(debit, credit, amount, "hold_limit", amount)
        self.change(hold, held=hold["held"] + amount, remaining=hold["remaining"] + amount)
        return self.move(RAISE, debit, credit, 0, amount, hold, by | {"code": hold["code"]})

    def capture_hold(self, hold: Row, amount: int, *, final: bool, by: Row) -> int:
        self.must_be_open(hold)
        debit, credit = self.sides(hold)
        self.check(debit, credit, 0, None, 0)
        tolerated = hold["held"] * hold["tolerance_bps"] // 10_000
        if amount > hold["held"] + tolerated - hold["captured"]:
            raise Refused("capture_too_high", "amount_minor")
        freed = min(amount, hold["remaining"])
        self.check(debit, credit, amount, "posting_limit", amount - freed)
        left = hold["remaining"] - freed
        status = OPEN if left else CAPTURED
        self.change(hold, captured=hold["captured"] + amount, remaining=left, status=status)
        by = by | {"code": hold["code"]}
        number = self.move(CAPTURE, debit, credit, amount, -freed, hold, by)
        if final and left:
            self.let_go(hold, left, RELEASE, CAPTURED)
        return number

    def let_go(self, hold: Row, freed: int, kind: int, status: int) -> None:
        debit, credit = self.sides(hold)
        by = {key: hold[key] for key in ("authority", "authority_kind", "code")}
        self.change(hold, remaining=hold["remaining"] - freed, status=status)
        self.move(kind, debit, credit, 0, -freed, hold, by)

    def release_hold(self, hold: Row, amount: int) -> int:
        """Release an amount, or with 0 all that is held."""
        if hold["status"] != OPEN:
            raise Refused("hold_ended")
        freed = amount or hold["remaining"]
        if freed > hold["remaining"]:
            raise Refused("release_too_high", "amount_minor")
        ended = CAPTURED if hold["captured"] else RELEASED
        self.let_go(hold, freed, RELEASE, ended if freed == hold["remaining"] else OPEN)
        return freed
