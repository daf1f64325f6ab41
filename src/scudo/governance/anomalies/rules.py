"""What is odd about an operator's conduct: rules, read strictly from data."""

import tomllib
from datetime import UTC, datetime, timedelta, timezone
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

import msgspec

from scudo.fabric import web
from scudo.governance.acts import DONE
from scudo.kernel import InvariantBroken, instant

THRESHOLDS: Final = Path(__file__).parent / "thresholds.toml"

Severity = Literal["low", "medium", "high", "critical"]
_Hour = Annotated[int, msgspec.Meta(ge=0, le=24)]
_Positive = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class Conduct(msgspec.Struct, frozen=True):
    """One thing that somebody did.

    Attributes:
        actor, actor_kind: as `ActRecorded` counts them.
        act: `room.verb_noun`.
        result: `done`, or the code of the refusal.
        of_person: whether it concerned a customer's data or money.
        at: microseconds.
    """

    actor: int
    actor_kind: int
    act: str
    result: str
    reason: str
    of_person: bool
    at: int


class Office(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When the bank's people work; hours are whole, Monday is 1."""

    timezone: str
    opens_at: _Hour
    closes_at: _Hour
    days: tuple[Annotated[int, msgspec.Meta(ge=1, le=7)], ...]

    def is_closed(self, at: int) -> bool:
        """Whether nobody is expected to work at a time in microseconds."""
        zone: ZoneInfo | timezone = UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)
        local = instant(at).astimezone(zone)
        is_open = self.opens_at <= local.hour < self.closes_at
        return not is_open or local.isoweekday() not in self.days


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One rule; the file says what its members mean."""

    name: _Name
    says: Annotated[str, msgspec.Meta(min_length=1)]
    severity: Severity
    period: Literal["hour", "day"]
    acts: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    at_least: _Positive
    result: Literal["any", "done", "refused"] = "any"
    of_person: bool = False
    reason_lacks: str | None = None
    odd_hours: bool = False
    percent_of_usual: _Positive | None = None

    def counts(self, conduct: Conduct, office: Office) -> bool:
        """Whether something that somebody did counts."""
        is_done = conduct.result == DONE
        return (
            (self.result == "any" or (self.result == "done") is is_done)
            and (conduct.of_person or not self.of_person)
            and (self.reason_lacks is None or self.reason_lacks not in conduct.reason)
            and any(fnmatchcase(conduct.act, pattern) for pattern in self.acts)
            and (not self.odd_hours or office.is_closed(conduct.at))
        )

    def period_of(self, at: int) -> datetime:
        """The beginning of the hour or day, in UTC, that a time in microseconds lies in."""
        moment = instant(at).replace(minute=0, second=0, microsecond=0)
        return moment if self.period == "hour" else moment.replace(hour=0)

    def threshold(self, usual: int) -> int:
        """The count that is odd for somebody whose mean is `usual`."""
        if self.percent_of_usual is None:
            return self.at_least
        return max(self.at_least, usual * self.percent_of_usual // 100)


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All rules, and who is held against them."""

    watched: tuple[Literal["operator", "client", "partner"], ...]
    office: Office
    rules: tuple[Rule, ...]

    def watches(self, conduct: Conduct) -> bool:
        """Whether somebody is watched; nobody in particular is not."""
        kind = web.PrincipalKind(conduct.actor_kind).name.lower()
        return conduct.actor != 0 and kind in self.watched


#: An operator's own usual is the mean of so long.
USUAL: Final = timedelta(days=28)


def load_thresholds(file: Path = THRESHOLDS) -> Thresholds:
    """Read the rules.

    Raises:
        InvariantBroken: the file is not as documented, or two rules share a name.
    """
    try:
        found = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), Thresholds)
        found.office.is_closed(0)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, LookupError) as error:
        message = f"{file.name}: {error}"
        raise InvariantBroken(message) from error
    if len({rule.name for rule in found.rules}) < len(found.rules):
        message = f"{file.name}: two rules have one name"
        raise InvariantBroken(message)
    return found
