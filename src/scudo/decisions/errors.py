"""Refusals of the decisions room."""

from scudo.kernel import Refusal


class ExpressionRefused(Refusal):
    """Raised when a SQL expression is malformed, ill-typed or outside the subset."""

    code = "expression_refused"
    next_step = "Correct the expression at the place named and publish it again."


class DefinitionRefused(Refusal):
    """Raised when a feature, rule or policy file cannot be accepted; names file and line."""

    code = "definition_refused"
    next_step = "Correct the file at the line named and load the policy again."


class SnapshotDamaged(Refusal):
    """Raised when a snapshot of the feature state is cut, altered or not ours."""

    code = "snapshot_damaged"
    kind = "internal"
    next_step = "Delete the snapshot; the state is rebuilt from the log."


class SnapshotForeign(Refusal):
    """Raised when a snapshot was made for other feature definitions."""

    code = "snapshot_foreign"
    kind = "conflict"
    next_step = "Rebuild the feature state from the log; a new snapshot follows by itself."


class PolicyMismatch(Refusal):
    """Raised when a decision record is read with another policy than the one it names."""

    code = "policy_mismatch"
    kind = "conflict"
    next_step = "Load the policy version whose hash the decision record carries."


class DecisionNotFound(Refusal):
    """Raised when there is no such decision, or not one that the caller may see."""

    code = "decision_not_found"
    kind = "not_found"
    next_step = "Check the decision id; it is dec_ and sixteen hex digits."
