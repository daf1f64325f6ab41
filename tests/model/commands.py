"""The model's commands: what each request does to the books, and when it is refused."""

from collections.abc import Callable
from typing import Any, ClassVar, Final

from tests.model.bank import (
    ALLOW,
    BLOCK,
    BY_DECISION,
    BY_MANDATE,
    CAPTURE,
    CARD_LASTS,
    CARD_SETTLEMENT,
    CHALLENGE_LASTS,
    CLOSED,
    DECLINE,
    EXPIRE,
    EXPIRED,
    FUNDING,
    HELD_LASTS,
    HOLD,
    HOLD_IT,
    OPEN,
    POST,
    RAISE,
    REFUSALS,
    RELEASE,
    REVIEW,
    SECOND,
    STEP_UP,
    Disagreement,
    Expected,
    Place,
    Refused,
    Row,
    positive,
    show,
)
from tests.model.layout import MOVEMENT, RECORDED, instant
from tests.model.mandates import Leave, Mandates

CARD, TRANSFER = 1, 2


class Model(Mandates):
    """What moves money."""

    handlers: ClassVar[dict[int, Callable[..., tuple[int, Any]]]] = {}
    fields: ClassVar[dict[int, tuple[str, ...]]] = {}

    def apply(self, command: list[Any], place: Place) -> Expected:
        """Work on one command of the log; says what the real bank must have done."""
        tag, fields = command[0], dict(zip(self.fields[command[0]], command[1:], strict=True))
        self.start(place)
        handler = self.handlers[tag]
        try:
            self.did.status, self.did.body = handler(self, **fields)
        except Refused as refused:
            self.take_back()
            self._refuse(tag, fields, refused)
        if place.outcomes:
            raise Disagreement(f"{len(place.outcomes)} decisions of the log were not asked for")
        return self.did

    def _refuse(self, tag: int, fields: Row, refused: Refused) -> None:
        self.did.status = REFUSALS[refused.code]
        self.did.body = {"code": refused.code, "field": refused.field}
        if tag in {203, 205}:
            self.emit(204, self.next_position, refused.code, refused.field)
        elif tag in RECORDED:
            number = fields.get("payment", self.place.position)
            self.emit(406, number, refused.code, refused.field)

    def register(self, reference: str, kind: int, country: int | None) -> tuple[int, Row]:
        if reference in self.references:
            raise Refused("customer_reference_taken", "reference")
        number = self.emit(101, self.next_position, kind, country)
        row = {"id": number, "reference": reference, "registered_at": self.place.ordered_at}
        self.put(self.customers, number, row)
        self.put(self.references, reference, number)
        return 201, {"id": show("cus", number), "reference": reference}

    def open_account(self, owner: int, **properties: Any) -> tuple[int, Row]:
        if owner not in self.customers:
            raise Refused("customer_not_found", "customer_id")
        account = self.open(owner=owner, **properties)
        return 201, {"id": show("acc", account["id"]), "status": "open"}

    def close_account(self, account: int) -> tuple[int, Row]:
        found = self.account(account, "account_id")
        if not found["owner"]:
            raise Refused("account_not_found", "account_id")
        if self.posted(found) or found["debits_held"] or found["credits_held"]:
            raise Refused("account_not_empty")
        if found["status"] == OPEN:
            self.put(found, "status", CLOSED)
            self.emit(202, account)
        return 200, {"id": show("acc", account), "status": "closed"}

    def journal(self, mandate: int, movements: list[list[Any]], reference: str) -> tuple[int, Row]:
        self._count(movements)
        journal, leave = self.place.position, self.leave(mandate)
        shown = self._group(leave, movements)
        self.keep_usage(leave)
        self.emit(203, journal, mandate, len(self.did.transfers), reference)
        return 201, {"id": show("jnl", journal), "transfers": shown}

    def bulk(self, mandate: int, groups: list[list[list[Any]]], reference: str) -> tuple[int, Row]:
        for group in [*groups, [movement for one in groups for movement in one]]:
            self._count(group)
        journal, leave, results = self.place.position, self.leave(mandate), []
        for group in groups:
            kept, used = self.keep(), leave.used
            try:
                results.append({"transfers": self._group(leave, group)})
            except Refused as refused:
                self.take_back(kept)
                leave.used = used
                results.append({"code": refused.code} | {"field": refused.field})
        self.emit(203, journal, mandate, len(self.did.transfers), reference)
        self.keep_usage(leave)
        no = sum("code" in result for result in results)
        counts = {"posted": len(groups) - no, "refused": no, "results": results}
        return 201, {"id": show("jnl", journal), **counts}

    @staticmethod
    def _count(movements: list[list[Any]]) -> None:
        if not 0 < len(movements) <= 2048:
            raise Refused("journal_malformed", "movements")

    def _group(self, leave: Leave, movements: list[list[Any]]) -> list[str]:
        """Movements that stand or fall together; their ids as clients see them."""
        by, done = {"authority": leave.number, "authority_kind": BY_MANDATE}, []
        for index, values in enumerate(movements):
            movement = dict(zip(MOVEMENT, values, strict=True))
            try:
                named_by = by | {"code": movement["code"]}
                number, event = self._movement(movement, named_by, done, leave)
            except Refused as refused:
                named = f"movements[{index}].{refused.field or 'kind'}"
                raise Refused(refused.code, named) from None
            done.append(number)
            if event is not None:
                self.emit(*event)
        kinds = [values[0] for values in movements]
        return [show("hld" if k == HOLD else "trf", n) for k, n in zip(kinds, done, strict=True)]

    def _movement(
        self, m: Row, by: Row, done: list[int], leave: Leave
    ) -> tuple[int, list[Any] | None]:
        kind, amount = m["kind"], m["amount"]
        if kind != RELEASE or amount:
            positive(amount)
        if kind in {POST, HOLD}:
            sides = [self._side(m, "debit"), self._side(m, "credit")]
            self.ask_leave(m, leave, sides, None)
            if kind == POST:
                return self.post(*sides, amount, by), None
            hold = self.place_hold(*sides, amount, m["tolerance_bps"], m["expires_at"], by)
            told = (hold["debit_account"], amount, m["expires_at"], m["tolerance_bps"])
            return hold["id"], [205, hold["id"], *told]
        wanted = m["hold"]
        if wanted < 0:
            wanted = done[-wanted - 1] if -wanted <= len(done) else 0
        self.ask_leave(m, leave, [], hold := self.hold(wanted))
        if hold["authority_kind"] != BY_MANDATE:
            raise Refused("hold_of_payment", "hold_id")
        payer = hold["debit_account"]
        if kind == RAISE:
            return self.raise_hold(hold, amount, by), [206, hold["id"], payer, amount]
        if kind == CAPTURE:
            return self.capture_hold(hold, amount, final=m["final"], by=by), None
        freed = self.release_hold(hold, amount)
        return self.did.transfers[-1]["id"], [207, hold["id"], payer, freed]

    def _side(self, m: Row, side: str) -> Row:
        if m[side] == 0:
            return self.house_account(FUNDING, m["currency"])
        account = self.account(m[side], f"{side}_account_id")
        if account["currency"] != m["currency"]:
            raise Refused("currency_mismatch", "currency")
        return account

    def expire_hold(self, hold: int) -> tuple[int, Row]:
        self._expire(self.hold(hold))
        return 200, {}

    def _expire(self, hold: Row) -> None:
        if hold["status"] != OPEN or hold["expires_at"] > self.place.ordered_at:
            raise Disagreement(f"hold {hold['id']} was expired before its time")
        freed = hold["remaining"]
        self.let_go(hold, freed, EXPIRE, EXPIRED)
        self.emit(208, hold["id"], hold["debit_account"], freed)

    # ---- new payments

    def authorise(self, **asked: Any) -> tuple[int, Row]:
        payer = self._payer(asked, asked["account"], "account_id")
        credit = asked["merchant_account"]
        if credit:
            self._payee(credit, "merchant_account_id")
        return self._new(CARD, payer, credit, asked)

    def pay(self, **asked: Any) -> tuple[int, Row]:
        payer = self._payer(asked, asked["debit"], "debit_account_id")
        payee = self._payee(asked["credit"], "credit_account_id")
        if payer is payee:
            raise Refused("same_account", "credit_account_id")
        return self._new(TRANSFER, payer, payee["id"], asked)

    def _payer(self, asked: Row, number: int, named: str) -> Row:
        positive(asked["amount"])
        account = self.account(number, named)
        if not account["owner"]:
            raise Refused("account_not_found", named)
        if account["currency"] != asked["currency"]:
            raise Refused("currency_mismatch", "currency")
        return account

    def _payee(self, number: int, named: str) -> Row:
        account = self.account(number, named)
        if not account["owner"]:
            raise Refused("account_not_found", named)
        return account

    def _new(self, kind: int, payer: Row, credit: int, asked: Row) -> tuple[int, Row]:
        number, currency = self.place.position, payer["currency"]
        self.emit(401, number, kind, payer["id"], credit or None, asked["amount"], currency)
        if "text" in asked:
            self.emit(415, number, asked["text"], asked["text_signals"])
        payment = {
            "id": number,
            "kind": kind,
            "debit_account": payer["id"],
            "credit_account": credit,
            "amount": asked["amount"],
            "currency": currency,
            "ordered_at": self.place.ordered_at,
            "status": "refused",
            "outcome": ALLOW,
            "decision": 0,
            "captured": 0,
            "discharged": 0,
            "hold": None,
            "expires_at": None,
            "text": asked.get("text"),
            "asked": asked,
            "version": 0,
        }
        answer = self._judge(payment)
        self.put(self.payments, number, payment)
        return answer

    def _gate(self, payment: Row, amount: int, discharged: int) -> int:
        """Ask the gate: the log says what it decided; the model, what it was asked."""
        if not self.place.outcomes:
            raise Disagreement("the log has no decision where one was due")
        outcome, number = self.place.outcomes.pop(0), self.next_position
        payer = self.accounts[payment["debit_account"]]
        is_card = payment["kind"] == CARD
        self.did.asked.append(
            {
                "id": number,
                "payment": payment["id"],
                "gate": 2 if is_card else 1,
                "amount_minor": amount,
                "currency": payer["currency"],
                "customer": payer["owner"],
                "account": payer["id"],
                "beneficiary": None if is_card else payment["asked"]["credit"],
                "available_minor": self.available(payer),
                "account_opened_at": payer["opened_at"],
                "customer_since": self.customers[payer["owner"]]["registered_at"],
                "discharged": [o for o in range(6) if discharged >> o & 1],
                "outcome": outcome,
            }
        )
        self.emit(301, number, payment["id"], 2 if is_card else 1, outcome, 0)
        if outcome != ALLOW:
            self.emit(302, self.next_position, number, payment["id"], outcome)
        return outcome

    def _judge(self, payment: Row) -> tuple[int, Row]:
        decision = self.next_position
        outcome = self._gate(payment, payment["asked"]["amount"], payment["discharged"])
        self._set(payment, decision=decision, outcome=outcome, expires_at=None)
        try:
            return self._follow(payment, outcome)
        except Refused as refused:
            self._set(payment, status="refused")
            self.emit(406, payment["id"], refused.code, refused.field)
            return REFUSALS[refused.code], {"code": refused.code, "field": refused.field}

    def _follow(self, payment: Row, outcome: int) -> tuple[int, Row]:
        number, decision = payment["id"], payment["decision"]
        if outcome >= DECLINE:
            self._set(payment, status="blocked" if outcome == BLOCK else "declined")
            self.emit(407, number, decision, outcome)
            return self._shown(payment, reason="declined_by_bank")
        if outcome == STEP_UP:
            until = self.place.ordered_at + CHALLENGE_LASTS
            self._set(payment, status="challenged", expires_at=until)
            self.emit(409, number, decision, until)
            return self._shown(payment)
        if outcome == HOLD_IT:
            until = self.place.ordered_at + HELD_LASTS
            self._set_aside(payment, until, 0)
            self._set(payment, status="held", expires_at=until)
            self.emit(408, number, decision, until)
            return self._shown(payment)
        if payment["kind"] == CARD and not payment["asked"]["capture"]:
            lasts = payment["asked"]["expires_in_s"] * SECOND or CARD_LASTS
            self._set_aside(payment, self.place.ordered_at + lasts, 1_500)
            until = self.place.ordered_at + lasts
            self._set(payment, status="authorised", expires_at=until)
            self.emit(402, number, decision, payment["hold"])
            return self._shown(payment)
        return self._post_at_once(payment)

    def _post_at_once(self, payment: Row) -> tuple[int, Row]:
        number, decision, amount = payment["id"], payment["decision"], payment["amount"]
        transfer = self.post(*self._sides(payment), amount, self._by(payment))
        is_card = payment["kind"] == CARD
        self._set(payment, status="captured" if is_card else "settled", captured=amount)
        if is_card:
            self.emit(402, number, decision, None)
            self.emit(403, number, amount, transfer, True)
        else:
            self.emit(404, number, transfer)
        return self._shown(payment, transfer=transfer)

    def _set_aside(self, payment: Row, until: int, tolerance: int) -> None:
        debit, credit = self._sides(payment)
        amount = payment["amount"]
        hold = self.place_hold(debit, credit, amount, tolerance, until, self._by(payment))
        self._set(payment, hold=hold["id"])
        self.emit(205, hold["id"], debit["id"], amount, until, tolerance)

    def _sides(self, payment: Row) -> tuple[Row, Row]:
        if not payment["credit_account"]:
            account = self.house_account(CARD_SETTLEMENT, payment["currency"])
            self._set(payment, credit_account=account["id"])
        return self.accounts[payment["debit_account"]], self.accounts[payment["credit_account"]]

    @staticmethod
    def _by(payment: Row) -> Row:
        code = 401 if payment["kind"] == CARD else 402
        return {"authority": payment["decision"], "authority_kind": BY_DECISION, "code": code}

    # ---- acts

    def _set(self, payment: Row, **values: Any) -> None:
        for key, value in values.items():
            self.put(payment, key, value)

    def _in(self, number: int, *statuses: str) -> Row:
        if number not in self.payments:
            raise Refused("payment_not_found", "payment_id")
        payment = self.payments[number]
        if payment["status"] not in statuses:
            raise Refused("payment_state_conflict")
        self._set(payment, version=payment["version"] + 1)
        return payment

    def _end(self, payment: Row, status: str) -> None:
        self._set(payment, status=status, expires_at=None)

    def capture(self, payment: int, amount: int, final: bool) -> tuple[int, Row]:
        found = self._in(payment, "authorised") if positive(amount) else {}
        hold = self.holds[found["hold"]]
        transfer = self.capture_hold(hold, amount, final=final, by=self._by(found))
        self._set(found, captured=found["captured"] + amount)
        has_ended = hold["status"] != OPEN
        self.emit(403, payment, amount, transfer, has_ended)
        if has_ended:
            self._end(found, "captured")
        return self._shown(found, 200, transfer=transfer)

    def reverse(self, payment: int, amount: int) -> tuple[int, Row]:
        if amount:
            positive(amount)
        found = self._in(payment, "authorised")
        hold = self.holds[found["hold"]]
        freed = self.release_hold(hold, amount)
        self.emit(405, payment, freed)
        self.emit(207, hold["id"], hold["debit_account"], freed)
        if hold["status"] != OPEN:
            self._end(found, "captured" if found["captured"] else "reversed")
        return self._shown(found, 200)

    def raise_authorisation(self, payment: int, amount: int) -> tuple[int, Row]:
        found = self._in(payment, "authorised") if positive(amount) else {}
        hold, decision = self.holds[found["hold"]], self.next_position
        # What was met for the amount before says nothing of the amount that is added.
        outcome = self._gate(found, amount, 0)
        refused = self._not_raised(hold, amount, outcome, decision)
        if refused is not None:
            self.emit(406, payment, refused.code, refused.field)
            return REFUSALS[refused.code], {"code": refused.code, "field": refused.field}
        self._set(found, amount=found["amount"] + amount)
        self.emit(414, payment, decision, amount)
        self.emit(206, hold["id"], hold["debit_account"], amount)
        return self._shown(found, 200)

    def _not_raised(self, hold: Row, amount: int, outcome: int, decision: int) -> Refused | None:
        """Raise a hold if the gate allows it; why not, if it does not."""
        if outcome > REVIEW:
            return Refused("payment_declined")
        try:
            by = {"authority": decision, "authority_kind": BY_DECISION}
            self.raise_hold(hold, amount, by)
        except Refused as refused:
            return refused
        return None

    def _free(self, payment: Row) -> None:
        if payment["status"] == "held":
            hold = self.holds[payment["hold"]]
            freed = self.release_hold(hold, 0)
            self.emit(207, hold["id"], hold["debit_account"], freed)
            self._set(payment, hold=None)

    def _again(self, payment: Row, discharged: int) -> tuple[int, Row]:
        self._set(payment, discharged=payment["discharged"] | 1 << discharged)
        status, body = self._judge(payment)
        return (200 if status < 400 else status), body

    def release(self, payment: int, reason_code: str) -> tuple[int, Row]:
        found = self._in(payment, "held")
        self.emit(411, payment, reason_code)
        self._free(found)
        return self._again(found, HOLD_IT)

    def answer_challenge(self, payment: int, has_passed: bool) -> tuple[int, Row]:
        found = self._in(payment, "challenged")
        self.emit(410, payment, has_passed)
        if has_passed:
            return self._again(found, STEP_UP)
        self.emit(407, payment, found["decision"], found["outcome"])
        self._end(found, "declined")
        return self._shown(found, 200, reason="challenge_failed")

    def cancel(self, payment: int) -> tuple[int, Row]:
        found = self._in(payment, "held", "challenged")
        self._free(found)
        self.emit(412, payment)
        self._end(found, "cancelled")
        return self._shown(found, 200)

    def expire(self, payment: int) -> tuple[int, Row]:
        found = self._in(payment, "authorised", "held", "challenged")
        if found["expires_at"] > self.place.ordered_at:
            raise Disagreement(f"payment {payment} was expired before its time")
        if found["status"] != "challenged":
            self._expire(self.holds[found["hold"]])
        self.emit(413, payment)
        self._end(found, "captured" if found["captured"] else "expired")
        return self._shown(found, 200)

    @staticmethod
    def _shown(payment: Row, status: int = 201, **more: Any) -> tuple[int, Row]:
        body = {
            "id": show("pay", payment["id"]),
            "status": payment["status"],
            "amount_minor": payment["amount"],
            "decision_id": show("dec", payment["decision"]),
        }
        if payment["captured"]:
            body["captured_minor"] = payment["captured"]
        if payment["hold"] is not None:
            body["hold_id"] = show("hld", payment["hold"])
        if "transfer" in more:
            body["transfer_id"] = show("trf", more["transfer"])
        if payment["expires_at"] is not None:
            body["expires_at"] = instant(payment["expires_at"])
        if "reason" in more:
            body["reason"] = more["reason"]
        return status, body


HANDLERS: Final[dict[int, Callable[..., tuple[int, Row]]]] = {
    502: Model.approve_mandate,
    101: Model.register,
    201: Model.open_account,
    202: Model.close_account,
    203: Model.journal,
    204: Model.expire_hold,
    205: Model.bulk,
    401: Model.authorise,
    402: Model.pay,
    411: Model.pay,
    403: Model.capture,
    404: Model.reverse,
    405: Model.raise_authorisation,
    406: Model.release,
    407: Model.cancel,
    408: Model.answer_challenge,
    409: Model.expire,
}
