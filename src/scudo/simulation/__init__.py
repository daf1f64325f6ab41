"""A bank's customers and scams, seeded, and replays of recorded days."""

from scudo.simulation import errors
from scudo.simulation.day import make_day
from scudo.simulation.desk import Desk, OwnDesk
from scudo.simulation.living import Lived, Living, Told
from scudo.simulation.model import Day, Label, Profile
from scudo.simulation.redeciding import Redecided, redecide
from scudo.simulation.remote import RemoteDesk
from scudo.simulation.replay import PAGE, Progress, Replay
from scudo.simulation.report import Report
from scudo.simulation.transactions import TransactionFile

__all__ = [
    "PAGE",
    "Day",
    "Desk",
    "Label",
    "Lived",
    "Living",
    "OwnDesk",
    "Profile",
    "Progress",
    "Redecided",
    "RemoteDesk",
    "Replay",
    "Report",
    "Told",
    "TransactionFile",
    "errors",
    "make_day",
    "redecide",
]
