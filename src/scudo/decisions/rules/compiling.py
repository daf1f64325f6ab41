"""Generates one function per gate that evaluates all of its rules."""

from collections.abc import Callable
from typing import Any

from scudo.decisions.expressions import RUNTIME, PythonWriter
from scudo.decisions.features import EVENT_SCHEMA, FeatureSet
from scudo.decisions.model import Gate, GateEvent
from scudo.decisions.rules.model import Rule, WhenNull

#: (event, ordered_at, features) to rules that are true, by index, and ~index of rules
#: that are NULL and whose policy is not to ignore that; in the order of the policy.
Evaluate = Callable[[GateEvent, int, tuple[int | None, ...]], list[int]]


def compile_rules(rules: tuple[Rule, ...], *, features: FeatureSet, gate: Gate) -> Evaluate:
    """Compile the rules of one gate to one Python function.

    The source consists of our own words and checked names; no text of a rule gets in.
    """
    names: dict[str, Any] = dict(RUNTIME)
    source = rules_source(rules, features=features, gate=gate)
    exec(compile(source, f"<rules: {gate.name.lower()}>", "exec"), names)  # noqa: S102 - our own generated text, never input
    evaluate: Evaluate = names["evaluate"]
    return evaluate


def rules_source(rules: tuple[Rule, ...], *, features: FeatureSet, gate: Gate) -> str:
    """Write `evaluate(e, ordered_at, f)` for one gate."""
    applying = [(index, rule) for index, rule in enumerate(rules) if gate in rule.gates]
    read = {name for _, rule in applying for name in rule.reads}
    writer = PythonWriter({name: name for name in features.schema})
    lines = [f"{name} = e.{name}" for name in EVENT_SCHEMA if name in read - {"ordered_at"}]
    if not read.isdisjoint(features.names):
        vector = (name if name in read else "_" for name in features.names)
        lines.append(f"({', '.join(vector)},) = f")
    lines.append("hits = []")
    for index, rule in applying:
        lines.append(f"if {writer.true(rule.condition)}: hits.append({index})")
        if rule.when_null is not WhenNull.IGNORE and rule.condition.nullable:
            lines.append(f"elif not {writer.false(rule.condition)}: hits.append({~index})")
    lines.append("return hits")
    body = "".join(f"    {line}\n" for line in lines)
    return f"def evaluate(e, ordered_at, f):\n{body}"
