"""Who answers for each control, read strictly from data."""

import tomllib
from pathlib import Path
from typing import Annotated, Final

import msgspec

from scudo.kernel import SECOND_US, InvariantBroken

OWNERSHIP: Final = Path(__file__).parent / "ownership.toml"

_Words = Annotated[str, msgspec.Meta(min_length=3, max_length=200)]
_Seconds = Annotated[int, msgspec.Meta(ge=1, le=30 * 86_400)]


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One control; the file says what its members mean."""

    number: Annotated[int, msgspec.Meta(ge=1, le=32_767)]
    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    says: _Words
    technical_owner: _Words
    security_partner: _Words
    pages: _Words
    emergency_approver: _Words
    escalates_after_s: Annotated[tuple[_Seconds, ...], msgspec.Meta(min_length=1)]
    is_watched: bool = True

    def level(self, elapsed_us: int) -> int:
        """How many levels are reached by a control that is degraded for so long."""
        return sum(elapsed_us >= after * SECOND_US for after in self.escalates_after_s)


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    controls: tuple[Control, ...]


def load_controls(file: Path = OWNERSHIP) -> tuple[Control, ...]:
    """Read all controls.

    Raises:
        InvariantBroken: the file is not as documented, two controls are one, or levels do not
            follow on each other.
    """
    try:
        controls = msgspec.convert(tomllib.loads(file.read_text("utf-8")), _File).controls
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        message = f"{file.name}: {error}"
        raise InvariantBroken(message) from error
    for control in controls:
        if list(control.escalates_after_s) != sorted(set(control.escalates_after_s)):
            message = f"{file.name}: the levels of {control.name} do not follow on each other"
            raise InvariantBroken(message)
    if not len({c.number for c in controls}) == len({c.name for c in controls}) == len(controls):
        message = f"{file.name}: two controls share a name or a number"
        raise InvariantBroken(message)
    return controls
