"""Which flags there are, read strictly from data."""

import tomllib
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from scudo.governance.controls import load_controls
from scudo.kernel import InvariantBroken

DECLARED: Final = Path(__file__).parent / "flags.toml"

#: What a flag may be; a bool is no number.
Value = bool | int | str
_Words = Annotated[str, msgspec.Meta(min_length=3, max_length=200)]
_Word = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,62}$", max_length=63)]
_NUMBER_MAX: Final = 2**53 - 1
_Whole = Annotated[int, msgspec.Meta(ge=-_NUMBER_MAX, le=_NUMBER_MAX)]
_TYPES: Final = {"bool": bool, "int": int, "word": str}


class FlagKind(StrEnum):
    """What a flag may change; a control is none of it."""

    PRESENTATION = "presentation"
    ROLLOUT = "rollout"
    TUNING = "tuning"


class Flag(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One flag; the file says what its members mean.

    Attributes:
        least, most: bounds of an `int`, both included; None for other types.
        words: what a `word` may be; empty for other types.
    """

    number: Annotated[int, msgspec.Meta(ge=1, le=32_767)]
    name: _Word
    type: Literal["bool", "int", "word"]
    default: Value
    kind: FlagKind
    owner: _Words
    says: _Words
    expires_on: date
    least: _Whole | None = None
    most: _Whole | None = None
    words: tuple[_Word, ...] = ()

    def allows(self, value: object) -> bool:
        """Whether the flag may have a value."""
        if type(value) is not _TYPES[self.type]:
            return False
        if isinstance(value, str):
            return value in self.words
        if self.least is None or self.most is None:
            return True
        return isinstance(value, int) and self.least <= value <= self.most

    def has_expired(self, day: date) -> bool:
        """Whether the flag should be gone by a day (UTC)."""
        return day >= self.expires_on


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    flags: tuple[Flag, ...]


def load_flags(file: Path = DECLARED) -> tuple[Flag, ...]:
    """Read all flags.

    Raises:
        InvariantBroken: the file is not as documented, two flags are one, a default is not
            allowed, bounds or words do not fit the type, or a flag is called as a control is.
    """
    try:
        flags = msgspec.convert(tomllib.loads(file.read_text("utf-8")), _File).flags
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        message = f"{file.name}: {error}"
        raise InvariantBroken(message) from error
    controls = {control.name for control in load_controls()}
    for flag in flags:
        fault = _fault(flag) or ("is a control" if flag.name in controls else None)
        if fault is not None:
            message = f"{file.name}: {flag.name} {fault}"
            raise InvariantBroken(message)
    if not len({f.number for f in flags}) == len({f.name for f in flags}) == len(flags):
        message = f"{file.name}: two flags share a name or a number"
        raise InvariantBroken(message)
    return flags


def _fault(flag: Flag) -> str | None:
    bounds = {flag.least is not None, flag.most is not None}
    if bounds != {flag.type == "int"}:
        return "has bounds if it is an int, and only then"
    if bool(flag.words) != (flag.type == "word") or len(set(flag.words)) != len(flag.words):
        return "has words if it is a word, and only then, each once"
    return None if flag.allows(flag.default) else "has a default that it does not allow"
