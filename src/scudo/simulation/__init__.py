"""A bank's customers and scams, seeded, and replays of recorded days."""

from scudo.simulation import errors
from scudo.simulation.day import make_day
from scudo.simulation.desk import Desk, OwnDesk
from scudo.simulation.journey import Journey, Stage, mailed_code
from scudo.simulation.living import Lived, Living, Told
from scudo.simulation.model import Day, Label, Profile
from scudo.simulation.phone import Authenticator, DeviceKey, Phone
from scudo.simulation.redeciding import Redecided, redecide
from scudo.simulation.remote import RemoteDesk
from scudo.simulation.replay import PAGE, Progress, Replay
from scudo.simulation.report import Report
from scudo.simulation.transactions import TransactionFile

__all__ = [
    "PAGE",
    "Authenticator",
    "Day",
    "Desk",
    "DeviceKey",
    "Journey",
    "Label",
    "Lived",
    "Living",
    "OwnDesk",
    "Phone",
    "Profile",
    "Progress",
    "Redecided",
    "RemoteDesk",
    "Replay",
    "Report",
    "Stage",
    "Told",
    "TransactionFile",
    "errors",
    "mailed_code",
    "make_day",
    "redecide",
]
