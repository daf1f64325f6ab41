"""The lattice: how what was raised becomes one outcome."""

from collections.abc import Collection, Iterable

from scudo.decisions.model import OBLIGATIONS, Outcome


def combine(
    raised: Iterable[Outcome], *, discharged: Collection[Outcome]
) -> tuple[Outcome, tuple[Outcome, ...]]:
    """Join raised outcomes into the highest, and list what must be discharged.

    Invariant:
        more evidence never lowers the outcome, and its order does not matter; an
        obligation that is discharged counts for nothing, others stay.

    Returns:
        The outcome, and all standing obligations, highest first.
    """
    standing = {outcome for outcome in raised if not is_met(outcome, discharged)}
    outcome = max(standing, default=Outcome.ALLOW)
    return outcome, tuple(sorted(standing & OBLIGATIONS, reverse=True))


def is_met(outcome: Outcome, discharged: Collection[Outcome]) -> bool:
    """Tell whether an outcome is an obligation that has been discharged."""
    return outcome in discharged and outcome in OBLIGATIONS
