"""What a feature is: one aggregate, over one window, of the events of one key."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from scudo.decisions.expressions import (
    INT_MAX,
    INT_MIN,
    ColumnType,
    Node,
    Schema,
    Type,
    canonical,
)

#: Windows up to this length are exact over rows; longer ones are cut into tiles.
EXACT_MAX_US: Final = 3_600_000_000

#: Sums and means count a value beyond this bound as the bound, so that 65,536 of the
#: greatest values fit one 64-bit sum (a payment of 1.4 trillion euro is no payment).
VALUE_MAX: Final = 1 << 47

#: What a feature of an event may be keyed by.
KEYS: Final = (
    *("customer", "account", "card", "device", "ip", "beneficiary", "merchant"),
    *("session", "act"),
)

_INSTANT_MAX: Final = 1 << 62


def _number(high: int = INT_MAX, *, low: int = 0, nullable: bool = True) -> ColumnType:
    return ColumnType(Type.INT, nullable=nullable, low=low, high=high)


#: Columns of a gate event; the promise that `GateEvent` makes of its members.
EVENT_SCHEMA: Final[Schema] = {
    "gate": _number(255, nullable=False),
    "amount_minor": _number(nullable=False),
    "currency": _number(999, nullable=False),
    "customer": _number(nullable=False),
    "account": _number(nullable=False),
    "beneficiary": _number(),
    "card": _number(),
    "device": _number(),
    "ip": _number(),
    "merchant": _number(),
    "mcc": _number(9999),
    "country": _number(999),
    "latitude_e4": _number(1 << 31, low=-(1 << 31)),
    "longitude_e4": _number(1 << 31, low=-(1 << 31)),
    "channel": _number(255),
    "available_minor": _number(low=INT_MIN),
    "account_opened_at": _number(_INSTANT_MAX),
    "customer_since": _number(_INSTANT_MAX),
    "occurred_at": _number(_INSTANT_MAX),
    "text_signals": _number(1 << 31),
    "act": _number(255),
    "session": _number(),
    "hour": _number(23),
    "listed": _number(1 << 31),
    "ordered_at": _number(_INSTANT_MAX, nullable=False),
}

#: What is known of an event only after its decision.
DECIDED: Final = ("approved", "declined")

#: Columns of an event that has been decided and is part of history.
HISTORY_SCHEMA: Final[Schema] = {
    **EVENT_SCHEMA,
    **{name: ColumnType(Type.BOOL) for name in DECIDED},
}


class Function(StrEnum):
    """What is computed over the window."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    DISTINCT = "distinct"
    LATEST = "latest"
    SINCE_LATEST = "since_latest"
    SINCE_FIRST = "since_first"


@dataclass(frozen=True, slots=True)
class Window:
    """Which earlier events of the same key count.

    Attributes:
        keys: one member of the event, or a pair of them.
        span_us: length; None reaches back to the first event.
        tile_us: 0 for an exact window; else its start is rounded down to a multiple.
        includes_self: whether the event that is being decided counts too.
    """

    keys: tuple[str, ...]
    span_us: int | None
    tile_us: int
    includes_self: bool


@dataclass(frozen=True, slots=True)
class Feature:
    """One number that a rule can use.

    Attributes:
        argument: what is aggregated; None for counts and times.
        condition: which events count; None for all.
        cap: for DISTINCT, where counting stops; else 0.
        line: where the definition begins in its file.

    Invariant:
        NULL when a key is NULL; else an empty window gives 0 for COUNT, SUM and
        DISTINCT and NULL for the other functions.
    """

    name: str
    function: Function
    window: Window
    argument: Node | None
    condition: Node | None
    cap: int
    line: int

    @property
    def text(self) -> str:
        """The one spelling of this definition; its hash is the definition's identity."""
        window = self.window
        parts = (
            self.name,
            self.function,
            "" if self.argument is None else canonical(self.argument),
            "" if self.condition is None else canonical(self.condition),
            ",".join(window.keys),
            window.span_us,
            window.tile_us,
            window.includes_self,
            self.cap,
        )
        return "|".join(map(str, parts))

    @property
    def column(self) -> ColumnType:
        """How a rule sees this feature."""
        empties = {Function.COUNT, Function.SUM, Function.DISTINCT}
        always_keyed = set(self.window.keys) <= {"customer", "account"}
        nullable = not (self.function in empties and always_keyed)
        match self.function:
            case Function.DISTINCT:
                return _number(self.cap, nullable=nullable)
            case Function.COUNT:
                return _number(1 << 47, nullable=nullable)
            case Function.SINCE_LATEST | Function.SINCE_FIRST:
                return _number(_INSTANT_MAX, nullable=nullable)
            case Function.MEAN:
                return _number(VALUE_MAX, low=-VALUE_MAX, nullable=nullable)
            case _:
                return _number(low=INT_MIN, nullable=nullable)


@dataclass(frozen=True)
class FeatureSet:
    """All features of a policy, in the order of a decision's feature vector."""

    features: tuple[Feature, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names in the order of the vector."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def hash(self) -> bytes:
        """SHA-256 over all canonical definitions, in order."""
        return hashlib.sha256("\n".join(f.text for f in self.features).encode()).digest()

    @cached_property
    def schema(self) -> Schema:
        """Columns that a rule may use: members of the event, and features."""
        return {**EVENT_SCHEMA, **{f.name: f.column for f in self.features}}
