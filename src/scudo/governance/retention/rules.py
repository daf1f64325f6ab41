"""How long what is kept, read strictly from data, and whether a rule speaks for everything."""

import tomllib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import msgspec

from scudo.governance.classification import DataClass
from scudo.kernel import DAY_US, InvariantBroken

RULES: Final = Path(__file__).parent / "rules.toml"
#: Of rules that are not about customers, and of customers under no law that is listed.
ALL: Final = "all"
ELSEWHERE: Final = "elsewhere"

_Words = Annotated[str, msgspec.Meta(min_length=3, max_length=500)]
_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
_Days = Annotated[int, msgspec.Meta(ge=1, le=36_530)]


class Begins(StrEnum):
    """What a period is counted from."""

    RECORDED = "recorded"
    RELATIONSHIP_ENDED = "relationship_ended"
    EXPIRED = "expired"
    REPLACED = "replaced"


class Action(StrEnum):
    """What happens to what is due."""

    DESTROY_KEY = "destroy_key"
    DELETE_ROW = "delete_row"
    DELETE_FILE = "delete_file"
    KEEP = "keep"


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One rule; the file says what its members mean."""

    number: Annotated[int, msgspec.Meta(ge=1, le=32_767)]
    name: _Name
    says: _Words
    classes: Annotated[tuple[DataClass, ...], msgspec.Meta(min_length=1)]
    places: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    begins: Begins
    action: Action
    why: _Words
    days: dict[_Name, _Days] = {}

    @property
    def is_enforced(self) -> bool:
        """Whether there is anything for the job to do."""
        return self.action is not Action.KEEP


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All rules.

    Attributes:
        jurisdictions: countries under each law, by ISO 3166-1 number.
    """

    jurisdictions: Mapping[_Name, tuple[int, ...]]
    rules: tuple[Rule, ...]

    def law_of(self, country: int | None) -> str:
        """The jurisdiction of a country; None: it is not known."""
        for name, countries in self.jurisdictions.items():
            if country in countries:
                return name
        return ELSEWHERE

    def by_number(self, number: int) -> Rule | None:
        """The rule of a number; None if there is none any more."""
        return next((rule for rule in self.rules if rule.number == number), None)


def cuts(rule: Rule, now: int) -> dict[str, int]:
    """Up to when what began is due at a time, by jurisdiction; microseconds since 1970."""
    return {law: now - days * DAY_US for law, days in rule.days.items()}


def load_rules(file: Path = RULES) -> Rules:
    """Read all rules.

    Raises:
        InvariantBroken: the file is not as documented, two rules are one or speak for the same
            place, or a period does not fit what the rule does.
    """
    try:
        read = msgspec.convert(tomllib.loads(file.read_text("utf-8")), Rules)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        message = f"{file.name}: {error}"
        raise InvariantBroken(message) from error
    every: tuple[list[str], ...] = (
        [str(rule.number) for rule in read.rules],
        [rule.name for rule in read.rules],
        [place for rule in read.rules for place in rule.places],
        [str(country) for law in read.jurisdictions.values() for country in law],
    )
    for what in every:
        twice = sorted({one for one in what if what.count(one) > 1})
        if twice:
            message = f"{file.name}: {', '.join(twice)}: said twice"
            raise InvariantBroken(message)
    for rule in read.rules:
        fault = _fault(rule, read.jurisdictions)
        if fault:
            message = f"{file.name}: {rule.name}: {fault}"
            raise InvariantBroken(message)
    return read


def _fault(rule: Rule, laws: Mapping[str, tuple[int, ...]]) -> str:
    """What does not fit about the periods of a rule; empty: all does."""
    if not rule.is_enforced:
        return "what is kept has no period" if rule.days else ""
    is_of_customers = rule.begins is Begins.RELATIONSHIP_ENDED
    expected = {*laws, ELSEWHERE} if is_of_customers else {ALL}
    if set(rule.days) != expected:
        return f"its periods are not those of {', '.join(sorted(expected))}"
    if is_of_customers and rule.days[ELSEWHERE] < max(rule.days.values()):
        return "where no law is known, the longest period holds"
    return ""


def uncovered(rules: Rules, places: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Compare the rules with what there is.

    Args:
        rules: all of them.
        places: `schema.table`, or `home/NAME`.

    Returns:
        Places that no rule speaks for, and places of rules that there are not.
    """
    there = set(places)
    said = {place for rule in rules.rules for place in rule.places}
    return tuple(sorted(there - said)), tuple(sorted(said - there))
