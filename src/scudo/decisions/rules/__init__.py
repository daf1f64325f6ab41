"""Rules: conditions over an event and its features, in text files."""

from scudo.decisions.rules.compiling import Evaluate, compile_rules
from scudo.decisions.rules.model import Postures, Rule, WhenNull
from scudo.decisions.rules.reading import RULES_MAX, read_rules

__all__ = [
    "RULES_MAX",
    "Evaluate",
    "Postures",
    "Rule",
    "WhenNull",
    "compile_rules",
    "read_rules",
]
