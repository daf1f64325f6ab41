"""Reading rules from text files.

A rule is a header of comment lines and one condition, which is valid SQL:

    -- rule: card_testing
    -- outcome: decline
    -- reason: card_testing
    -- priority: 10
    -- when null: ignore
    -- typology: card testing
    -- owner: card fraud
    -- gates: card
    -- says: {card_small_10m} very small purchases were tried with this card in ten minutes.
    SELECT card_small_10m >= 4;

Every line of the header is required. A sentence may go on over several `-- says:` lines.
"""

import re
from dataclasses import dataclass, field
from string import Formatter
from typing import Final

from scudo.decisions.errors import DefinitionRefused, ExpressionRefused
from scudo.decisions.expressions import Node, Schema, Type, parse
from scudo.decisions.model import Gate, Outcome
from scudo.decisions.rules.model import FORMATS, Rule, WhenNull

RULES_MAX: Final = 500
FILE_MAX: Final = 500_000

_HEADER: Final = re.compile(r"--\s*([a-z ]+?)\s*:\s*(.*?)\s*")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_FIELDS: Final = (
    "rule",
    "outcome",
    "reason",
    "priority",
    "when null",
    "typology",
    "owner",
    "gates",
    "says",
)


@dataclass(slots=True)
class _Block:
    """One rule as written."""

    line: int
    header: dict[str, tuple[int, str]] = field(default_factory=dict)
    body: list[str] = field(default_factory=list)
    body_line: int = 0


def read_rules(text: str, *, source: str, schema: Schema) -> tuple[Rule, ...]:
    """Read all rules of one file.

    Args:
        text: the file.
        source: its name, for refusals.
        schema: columns that conditions and sentences may use.

    Raises:
        DefinitionRefused: names file and line, and what is wanted there.
    """
    if len(text) > FILE_MAX:
        raise DefinitionRefused(f"{source}: a file of rules has at most {FILE_MAX} characters")
    return tuple(_rule(block, source, schema) for block in _blocks(text, source))


def _refuse(source: str, line: int, reason: str) -> DefinitionRefused:
    return DefinitionRefused(f"{source}, line {line}: {reason}", field=source)


def _blocks(text: str, source: str) -> list[_Block]:
    # A rule is a header, then SQL up to a semicolon at the end of a line.
    blocks: list[_Block] = []
    block: _Block | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        written = line.strip()
        match = _HEADER.fullmatch(written)
        if block is None:
            if match and match[1] == "rule":
                block = _Block(number)
            elif written and not written.startswith("--"):
                raise _refuse(source, number, "a rule begins with -- rule: name")
        if block is None:
            continue
        if not block.body and match:
            _add_header(block, match[1], match[2], source, number)
        elif block.body or (written and not written.startswith("--")):
            block.body_line = block.body_line or number
            block.body.append(line)
            if written.endswith(";"):
                blocks.append(block)
                block = None
    if block is not None:
        raise _refuse(source, block.line, "the rule does not end with a semicolon")
    return blocks


def _add_header(block: _Block, name: str, value: str, source: str, line: int) -> None:
    if name not in _FIELDS:
        raise _refuse(source, line, f"{name} is not one of {', '.join(_FIELDS)}")
    if name in block.header and name != "says":
        raise _refuse(source, line, f"{name} is given twice")
    if not value:
        raise _refuse(source, line, f"{name} has no value")
    if name in block.header:
        line, former = block.header[name]
        value = f"{former} {value}"
    block.header[name] = (line, value)


def _rule(block: _Block, source: str, schema: Schema) -> Rule:
    missing = [name for name in _FIELDS if name not in block.header]
    if missing:
        raise _refuse(source, block.line, f"the rule lacks {', '.join(missing)}")

    outcomes = {o.name.lower(): o for o in Outcome if o is not Outcome.ALLOW}
    policies = {policy.value: policy for policy in WhenNull}
    return Rule(
        name=_identifier(block, "rule", source),
        outcome=outcomes[_choice(block, "outcome", source, allowed=tuple(outcomes))],
        reason=_identifier(block, "reason", source),
        priority=_priority(*block.header["priority"], source),
        when_null=policies[_choice(block, "when null", source, allowed=tuple(policies))],
        typology=block.header["typology"][1],
        owner=block.header["owner"][1],
        gates=_gates(*block.header["gates"], source),
        sentence=_sentence(*block.header["says"], source, schema=schema),
        condition=_condition(block, source, schema),
        source=f"{source}, line {block.line}",
    )


def _choice(block: _Block, name: str, source: str, *, allowed: tuple[str, ...]) -> str:
    line, value = block.header[name]
    if value not in allowed:
        raise _refuse(source, line, f"{name} is one of {', '.join(allowed)}")
    return value


def _identifier(block: _Block, name: str, source: str) -> str:
    line, value = block.header[name]
    if not _NAME.fullmatch(value):
        raise _refuse(source, line, f"{name} is written in lower_case_with_underscores")
    return value


def _priority(line: int, value: str, source: str) -> int:
    if not value.isdecimal() or int(value) > 1000:
        raise _refuse(source, line, "priority is a number from 0 to 1000")
    return int(value)


def _gates(line: int, value: str, source: str) -> tuple[Gate, ...]:
    known = {gate.name.lower(): gate for gate in Gate}
    names = [name.strip() for name in value.split(",")]
    if len(set(names)) < len(names) or not set(names) <= set(known):
        raise _refuse(source, line, f"gates are some of {', '.join(known)}, each once")
    return tuple(sorted(known[name] for name in names))


def _sentence(line: int, value: str, source: str, *, schema: Schema) -> str:
    try:
        places = [place for place in Formatter().parse(value) if place[1] is not None]
    except ValueError as error:
        raise _refuse(source, line, f"the sentence is not readable: {error}") from error
    for _, name, spec, conversion in places:
        if name not in schema:
            raise _refuse(source, line, f"the sentence names {name}, which does not exist")
        if conversion or spec not in FORMATS:
            told = ", ".join(sorted(FORMATS - {""}))
            raise _refuse(source, line, f"{{{name}}} can be told as {told}")
    return value


def _condition(block: _Block, source: str, schema: Schema) -> Node:
    written = "\n".join(block.body).rstrip().removesuffix(";")
    stripped = written.lstrip()
    if stripped[:6].upper() != "SELECT" or not stripped[6:7].isspace():
        raise _refuse(source, block.body_line, "the condition is written SELECT …;")
    # SELECT becomes blanks, so that columns in refusals are those of the file.
    indent = len(written) - len(stripped)
    text = " " * (indent + 6) + stripped[6:]
    try:
        return parse(text, schema=schema, wanted=Type.BOOL, line=block.body_line)
    except ExpressionRefused as refusal:
        message = f"{source}, {refusal.message} (rule {block.header['rule'][1]})"
        raise DefinitionRefused(message, field=source) from refusal
