"""The model's mandates: between which accounts money may move unasked, how much, and when."""

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from tests.model.bank import CAPTURE, HOLD, POST, RELEASE, Books, Refused, Row, positive, show

DAY: Final = 86_400_000_000
#: Mandates that every bank has from its beginning; they allow everything.
STANDING: Final = frozenset(range(1, 7))
#: Members of a mandate's terms, as they are written; what is as here is left out.
_TERMS: Final[dict[str, Any]] = {
    "name": None,
    "owner": None,
    "debit_products": [],
    "credit_products": [],
    "accounts": [],
    "currency": None,
    "amount_max": None,
    "day_max": None,
    "valid_from": 0,
    "valid_to": None,
    "approved_by": 0,
}
_BOUNDS: Final = ("debit_products", "credit_products", "accounts", "currency")


@dataclass
class Leave:
    """What one entry may move under a mandate; `used` is of the day's bound."""

    number: int
    terms: Row
    used: int

    @property
    def is_bounded(self) -> bool:
        return any(self.terms[name] not in ([], None) for name in _BOUNDS)

    def take(self, sides: list[Row], amount: int) -> None:
        """Look whether a movement is covered, and count it."""
        terms = self.terms
        for name, side in zip(("debit", "credit"), sides, strict=True):
            allowed = terms[f"{name}_products"]
            is_foreign = terms["accounts"] and side["owner"] and side["id"] not in terms["accounts"]
            if (allowed and side["product"] not in allowed) or is_foreign:
                raise Refused("mandate_exceeded", f"{name}_account_id")
        if terms["currency"] not in {None, sides[0]["currency"]}:
            raise Refused("mandate_exceeded", "currency")
        if terms["amount_max"] is not None and amount > terms["amount_max"]:
            raise Refused("mandate_exceeded", "amount_minor")
        if terms["day_max"] is not None:
            if self.used + amount > terms["day_max"]:
                raise Refused("mandate_exceeded", "amount_minor")
            self.used += amount


class Mandates(Books):
    """Books whose journals name a mandate."""

    def __init__(self) -> None:
        super().__init__()
        self.mandates: dict[int, Row] = {}
        self.versions: dict[int, int] = {}
        self.usage: dict[int, tuple[int, int, int]] = {}

    def approve_mandate(self, mandate: int, terms: Row) -> tuple[int, Row]:
        """Put a mandate into force, or change one."""
        if mandate and mandate not in self.mandates and mandate not in STANDING:
            raise Refused("mandate_unknown", "mandate")
        number = mandate or self.place.position
        if not mandate and number in STANDING:
            number |= 1 << 61
        whole = _TERMS | terms | {"approved_by": self.place.client}
        self.put(self.mandates, number, whole)
        version = self.versions.get(number, 0) + 1
        self.put(self.versions, number, version)
        written = {name: value for name, value in whole.items() if value != _TERMS[name]}
        digest = sha256(json.dumps(written, separators=(",", ":")).encode()).hexdigest()
        self.emit(502, number, version, whole["name"], self.place.client, digest)
        return (200 if mandate else 201), {"id": show("mnd", number), "version": version}

    def leave(self, mandate: int) -> Leave:
        """Begin to move money under a mandate."""
        if mandate not in self.mandates and mandate not in STANDING:
            raise Refused("mandate_unknown", "mandate")
        terms = self.mandates.get(mandate, _TERMS)
        now = self.place.ordered_at
        if now < terms["valid_from"] or (
            terms["valid_to"] is not None and now >= terms["valid_to"]
        ):
            raise Refused("mandate_lapsed", "mandate")
        if mandate not in self.versions:
            self.put(self.versions, mandate, 1)
        day, currency, used = self.usage.get(mandate, (0, 0, 0))
        is_today = (day, currency) == (now // DAY, terms["currency"])
        return Leave(mandate, terms, used if is_today else 0)

    def keep_usage(self, leave: Leave) -> None:
        """Remember what the entry has used of the day's bound."""
        if leave.terms["day_max"] is not None:
            day = self.place.ordered_at // DAY
            self.put(self.usage, leave.number, (day, leave.terms["currency"], leave.used))

    def ask_leave(self, m: Row, leave: Leave, sides: list[Row], hold: Row | None) -> None:
        """Ask a bounded mandate about one movement; letting go needs no leave."""
        kind, amount = m["kind"], m["amount"]
        if kind == RELEASE or not leave.is_bounded:
            return
        positive(amount)
        if kind not in {POST, HOLD} and hold is not None:
            sides = list(self.sides(hold))
            if kind == CAPTURE:
                amount -= min(amount, hold["remaining"])
        leave.take(sides, amount)
