"""What a rule is: a condition, what it raises, and how it is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from scudo.decisions.expressions import Node, canonical, columns_of
from scudo.decisions.model import Gate, Outcome


class WhenNull(StrEnum):
    """What a condition that is NULL, or cannot be known, means."""

    IGNORE = "ignore"
    REVIEW = "review"
    FAIL_CLOSED = "fail_closed"


#: How a placeholder of a sentence is told; the empty one is the bare number.
FORMATS: Final = frozenset({"", "money", "duration", "kilometres"})


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a policy.

    Attributes:
        name: unique in the policy.
        outcome: what it raises when its condition is true.
        reason: stable code, shown to operators.
        priority: lower is told first; never decides the outcome.
        when_null: FAIL_CLOSED raises the rule's own outcome when the condition is NULL,
            and the gate's posture when a feature that it reads is unknown.
        gates: where it applies.
        sentence: what a customer-care agent reads out, with {placeholders}.
        source: file and line of its definition.
    """

    name: str
    outcome: Outcome
    reason: str
    priority: int
    when_null: WhenNull
    typology: str
    owner: str
    gates: tuple[Gate, ...]
    sentence: str
    condition: Node
    source: str

    @property
    def reads(self) -> frozenset[str]:
        """Names of the columns that the condition reads."""
        return columns_of(self.condition)

    def raises(self, *, is_certain: bool, is_doubted: bool, posture: Outcome) -> Outcome:
        """Tell what this rule raises.

        Args:
            is_certain: whether its condition was true, rather than NULL or unknown.
            is_doubted: whether it reads a feature whose value is unknown.
            posture: what its gate falls back to.
        """
        if is_certain:
            return self.outcome
        if self.when_null is WhenNull.REVIEW:
            return Outcome.REVIEW
        return posture if is_doubted else self.outcome

    @property
    def text(self) -> str:
        """The one spelling of this rule; its hash is the rule's identity."""
        parts = (
            self.name,
            self.outcome.name,
            self.reason,
            str(self.priority),
            self.when_null,
            ",".join(gate.name for gate in self.gates),
            self.sentence,
            canonical(self.condition),
        )
        return "|".join(parts)


#: The outcome that each gate falls back to when it cannot decide.
Postures = Mapping[Gate, Outcome]
