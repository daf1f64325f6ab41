"""From a stored decision to words: for the agent who reads them out, and for the customer.

Agents with permission see rules and values. A customer or partner gets one coarse code,
the same for every refusal on suspicion, so that nobody learns the rules by trying.
"""

from dataclasses import dataclass
from string import Formatter
from typing import Final

from scudo.decisions.errors import PolicyMismatch
from scudo.decisions.logic import is_met
from scudo.decisions.model import PAYMENTS, DecisionRecord, Degradation, Gate, Outcome
from scudo.decisions.policy import Policy
from scudo.kernel import currency_by_numeric

_HEADLINES: Final = {
    Outcome.ALLOW: "The payment was allowed.",
    Outcome.REVIEW: "The payment was allowed and will be looked at by a person.",
    Outcome.HOLD: "The payment is held until a person releases it or the hold expires.",
    Outcome.STEP_UP: "The payment waits for the customer to confirm it.",
    Outcome.DECLINE: "The payment was declined.",
    Outcome.BLOCK: "The payment was blocked.",
}

#: What stands before the gates that no money moves through, and what is said of it.
_PASSING: Final = {
    Gate.ONBOARDING: "The sign-up",
    Gate.LOG_IN: "The log-in",
    Gate.NEW_DEVICE: "The new device",
    Gate.BENEFICIARY: "The new beneficiary",
    Gate.RECOVERY: "The recovery",
    Gate.LIMIT_CHANGE: "The change of a limit",
    Gate.OPERATOR_ACT: "The operator's act",
    Gate.FAILED_PROOF: "The proof that did not hold",
    Gate.SESSION_ACT: "The act in a session",
}
_PASSED: Final = {
    Outcome.ALLOW: "was allowed.",
    Outcome.REVIEW: "was allowed and will be looked at by a person.",
    Outcome.HOLD: "waits until a person lets it pass.",
    Outcome.STEP_UP: "waits for a fresh proof of who it is.",
    Outcome.DECLINE: "was declined.",
    Outcome.BLOCK: "was blocked.",
}

#: What a customer is told. A review is not shown, every refusal looks the same.
_PUBLIC: Final = {
    Outcome.ALLOW: "approved",
    Outcome.REVIEW: "approved",
    Outcome.HOLD: "pending",
    Outcome.STEP_UP: "confirmation_required",
    Outcome.DECLINE: "security_refusal",
    Outcome.BLOCK: "security_refusal",
}

#: What each of these codes means to a customer.
_TOLD: Final = {
    "approved": "The bank's rules allowed this payment.",
    "pending": "The bank's rules held this payment, and a person of the bank looked at it.",
    "confirmation_required": "The bank's rules asked you to confirm this payment.",
    "security_refusal": "The bank's rules refused this payment for security. You may have a "
    "person of the bank look at it again.",
}

_DEGRADED: Final = {
    Degradation.FEATURE_UNKNOWN: "Part of the history was not in memory, so the bank took the "
    "careful way.",
    Degradation.FEATURES_FAILED: "The history could not be read, so the bank took the careful way.",
    Degradation.RULES_FAILED: "The rules could not be evaluated, so the bank took the careful way.",
}

_MICROS: Final = {"day": 86_400_000_000, "hour": 3_600_000_000, "minute": 60_000_000}


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule that took part.

    Attributes:
        code: the rule's stable reason code.
        raised: what it raised.
        is_certain: False when the rule could not be evaluated and raised for that.
        is_discharged: whether its obligation had been met.
    """

    rule: str
    code: str
    sentence: str
    raised: Outcome
    is_certain: bool
    is_discharged: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision in words.

    Attributes:
        headline: what happened.
        reasons: why, most important first by declared priority; for operators only.
        public_reason: the code for customers and partners.
        notes: what else an agent should know.
    """

    outcome: Outcome
    headline: str
    reasons: tuple[Reason, ...]
    public_reason: str
    notes: tuple[str, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        """Everything that an agent reads out, in order."""
        return (self.headline, *(reason.sentence for reason in self.reasons), *self.notes)


def public_words(outcome: Outcome) -> tuple[str, str]:
    """What a customer may know of why a payment went as it did: the code, and a sentence."""
    code = _PUBLIC[outcome]
    return code, _TOLD[code]


def explain(record: DecisionRecord, *, policy: Policy) -> Explanation:
    """Say in words why a decision was made.

    Args:
        record: as it was stored.
        policy: the version that the record names.

    Raises:
        PolicyMismatch: the policy is another one.
    """
    if record.policy != policy.hash:
        msg = f"the decision was made by policy {record.policy.hex()}, not {policy.hash.hex()}"
        raise PolicyMismatch(msg)
    teller = _Teller(record, policy)
    reasons = tuple(_reason(hit, record, policy=policy, teller=teller) for hit in record.hits)
    return Explanation(
        record.outcome,
        _headline(record.event.gate, record.outcome),
        reasons,
        _PUBLIC[record.outcome],
        _notes(record, reasons),
    )


def _headline(gate: Gate, outcome: Outcome) -> str:
    if gate in PAYMENTS:
        return _HEADLINES[outcome]
    return f"{_PASSING[gate]} {_PASSED[outcome]}"


def _notes(record: DecisionRecord, reasons: tuple[Reason, ...]) -> tuple[str, ...]:
    notes = []
    if not reasons and record.degraded is Degradation.NONE:
        notes.append("No rule found anything unusual.")
    if record.degraded in _DEGRADED:
        notes.append(_DEGRADED[record.degraded])
    others = [_name(o) for o in record.obligations if o is not record.outcome]
    if others:
        notes.append(f"Also required: {', '.join(others)}.")
    if record.discharged:
        notes.append(f"Already met: {', '.join(_name(o) for o in record.discharged)}.")
    return tuple(notes)


def _name(outcome: Outcome) -> str:
    return outcome.name.lower().replace("_", "-")


def _reason(hit: int, record: DecisionRecord, *, policy: Policy, teller: "_Teller") -> Reason:
    rule = policy.rules[max(hit, ~hit)]
    missing = {policy.features.names[index] for index in record.unknown}
    raised = rule.raises(
        is_certain=hit >= 0,
        is_doubted=not missing.isdisjoint(rule.reads),
        posture=policy.postures[record.event.gate],
    )
    sentence = f"The check for {rule.typology} could not be made, because data is missing."
    if hit >= 0:
        sentence = teller.vformat(rule.sentence, (), {})
    is_discharged = is_met(raised, record.discharged)
    return Reason(rule.name, rule.reason, sentence, raised, hit >= 0, is_discharged)


class _Teller(Formatter):
    """Fills the placeholders of a sentence from one record."""

    def __init__(self, record: DecisionRecord, policy: Policy) -> None:
        self._record = record
        self._features = dict(zip(policy.features.names, record.features, strict=True))

    def get_value(
        self,
        key: int | str,
        args: object,  # noqa: ARG002 - the port asks for it
        kwargs: object,  # noqa: ARG002 - the port asks for it
    ) -> int | None:
        if key in self._features:
            return self._features[str(key)]
        if key == "ordered_at":
            return self._record.ordered_at
        value: int | None = getattr(self._record.event, str(key))
        return value

    def format_field(self, value: int | None, format_spec: str) -> str:
        if value is None:
            return "an unknown number" if not format_spec else "an unknown " + format_spec
        match format_spec:
            case "money":
                return _money(value, self._record.event.currency)
            case "duration":
                return _duration(value)
            case "kilometres":
                return f"{value // 1000:,} km"
            case _:
                return f"{value:,}"


def _money(minor: int, numeric: int) -> str:
    """Write an amount with its code; a currency that left the table shows its number."""
    try:
        currency = currency_by_numeric(numeric)
    except KeyError:
        return f"{minor:,} minor units of currency {numeric}"
    whole, rest = divmod(abs(minor), 10**currency.exponent)
    sign = "-" if minor < 0 else ""
    decimals = f".{rest:0{currency.exponent}}" if currency.exponent else ""
    return f"{sign}{whole:,}{decimals} {currency.code}"


def _duration(micros: int) -> str:
    """Write a length of time in the largest unit that it fills."""
    for unit, size in _MICROS.items():
        if micros >= size:
            count = micros // size
            return f"{count:,} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"
