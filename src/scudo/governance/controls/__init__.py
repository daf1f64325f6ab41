"""Ownership of controls: who answers for each, and who is told when it does not work."""

from scudo.governance.controls.keeping import Controls, ControlUnchanged, NoteControl
from scudo.governance.controls.ownership import Control, load_controls

__all__ = ["Control", "ControlUnchanged", "Controls", "NoteControl", "load_controls"]
