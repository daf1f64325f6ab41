"""Feature flags: declared, approved, evaluated once per request; a control is none."""

from scudo.governance.flags import events
from scudo.governance.flags.declaring import Flag, FlagKind, Value, load_flags
from scudo.governance.flags.evaluating import FlagProvider, FlagReader
from scudo.governance.flags.keeping import FlagChange, Flags, FlagSetting
from scudo.governance.flags.routes import operations

__all__ = [
    "Flag",
    "FlagChange",
    "FlagKind",
    "FlagProvider",
    "FlagReader",
    "FlagSetting",
    "Flags",
    "Value",
    "events",
    "load_flags",
    "operations",
]
