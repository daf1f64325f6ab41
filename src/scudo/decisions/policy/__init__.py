"""A policy: features, rules and postures, one version of which decides.

A policy is a folder: `policy.toml`, `features.sql`, and `rules/*.sql`. Two are shipped:
`standard/` decides on payments, `access/` on everything that persons do beside paying. Each
has features of its own, so that a log-in never counts as a payment, nor costs one time.
"""

import hashlib
import tomllib
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from scudo.decisions.errors import DefinitionRefused
from scudo.decisions.features import FeatureSet, read_features
from scudo.decisions.model import PASSAGES, PAYMENTS, Gate, Outcome
from scudo.decisions.rules import (
    RULES_MAX,
    Evaluate,
    Postures,
    Rule,
    compile_rules,
    read_rules,
)

#: Bytes of a policy's hash that a decision carries.
HASH_BYTES: Final = 16

STANDARD: Final = Path(__file__).parent / "standard"
ACCESS: Final = Path(__file__).parent / "access"


@dataclass(frozen=True)
class Policy:
    """One version of everything that a gate decides with.

    Attributes:
        rules: by priority, then name; a decision names them by index.
        postures: of the gates that it decides at; no other is its business.
        evaluate: the compiled rules of each gate.
    """

    name: str
    features: FeatureSet
    rules: tuple[Rule, ...]
    postures: Postures
    evaluate: dict[Gate, Evaluate] = field(repr=False)

    @property
    def gates(self) -> AbstractSet[Gate]:
        """Where it decides."""
        return self.postures.keys()

    @cached_property
    def hash(self) -> bytes:
        """First 16 bytes of SHA-256 over canonical features, rules and postures.

        Comments, layout and file names do not change it; whatever can change a decision,
        or how it is told, does.
        """
        return hashlib.sha256(self.text.encode()).digest()[:HASH_BYTES]

    @cached_property
    def text(self) -> str:
        """Everything that the hash covers, canonical; kept with the decisions that name it."""
        postures = (f"{gate.name}={self.postures[gate].name}" for gate in sorted(self.postures))
        parts = (
            self.name,
            self.features.hash.hex(),
            *(rule.text for rule in self.rules),
            *postures,
        )
        return "\n".join(parts)


def make_policy(
    *, name: str, features: FeatureSet, rules: tuple[Rule, ...], postures: Postures
) -> Policy:
    """Join and compile the parts of a policy.

    Raises:
        DefinitionRefused: too many rules, two with one name, or one at a gate without posture.
    """
    if len(rules) > RULES_MAX:
        raise DefinitionRefused(f"a policy has at most {RULES_MAX} rules")
    seen: dict[str, Rule] = {}
    for rule in rules:
        if rule.name in seen:
            msg = f"{rule.source}: the rule {rule.name} stands in {seen[rule.name].source} too"
            raise DefinitionRefused(msg)
        seen[rule.name] = rule
        foreign = [gate.name.lower() for gate in rule.gates if gate not in postures]
        if foreign:
            msg = f"{rule.source}: this policy does not decide at {', '.join(foreign)}"
            raise DefinitionRefused(msg)
    ordered = tuple(sorted(rules, key=lambda rule: (rule.priority, rule.name)))
    evaluate = {gate: compile_rules(ordered, features=features, gate=gate) for gate in postures}
    return Policy(name, features, ordered, postures, evaluate)


def load_policy(folder: Path | None = None) -> Policy:
    """Read a policy for payments from its folder; the shipped one by default.

    Raises:
        DefinitionRefused: names the file and line that cannot be accepted.
    """
    return _load(STANDARD if folder is None else folder, PAYMENTS)


def load_access_policy(folder: Path | None = None) -> Policy:
    """Read a policy for what persons do beside paying from its folder; the shipped one by default.

    Raises:
        DefinitionRefused: names the file and line that cannot be accepted.
    """
    return _load(ACCESS if folder is None else folder, PASSAGES)


def _load(folder: Path, decided: AbstractSet[Gate]) -> Policy:
    name, postures = _settings(_text(folder / "policy.toml"), decided)
    features = read_features(_text(folder / "features.sql"), source="features.sql")
    rules: list[Rule] = []
    for file in sorted((folder / "rules").glob("*.sql")):
        rules += read_rules(_text(file), source=file.name, schema=features.schema)
    if not rules:
        msg = f"the policy {name} has no rules"
        raise DefinitionRefused(msg)
    return make_policy(name=name, features=features, rules=tuple(rules), postures=postures)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file.name} cannot be read: {error}"
        raise DefinitionRefused(msg, field=file.name) from error


def _settings(text: str, decided: AbstractSet[Gate]) -> tuple[str, Postures]:
    # Every gate has a posture, and none of them lets anything through.
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"policy.toml: {error}"
        raise DefinitionRefused(msg, field="policy.toml") from error
    name, written = settings.pop("name", None), settings.pop("postures", None)
    gates = {gate.name.lower(): gate for gate in sorted(decided)}
    closed = {outcome.name.lower(): outcome for outcome in Outcome if outcome >= Outcome.HOLD}
    if settings or not isinstance(name, str) or not isinstance(written, dict):
        raise DefinitionRefused("policy.toml has a name and [postures], nothing else")
    if set(written) != set(gates) or not set(map(str, written.values())) <= set(closed):
        msg = f"policy.toml: postures of {', '.join(gates)}, each one of {', '.join(closed)}"
        raise DefinitionRefused(msg, field="policy.toml")
    return name, {gates[gate]: closed[outcome] for gate, outcome in written.items()}
