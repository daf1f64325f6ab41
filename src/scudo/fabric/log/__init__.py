"""The one log of a unit: ordered, gapless, hash-chained."""

from scudo.fabric.log.batch import Batch, Entry
from scudo.fabric.log.catalogue import INSTANT, EventCatalogue
from scudo.fabric.log.model import Answer, Command, Event, Head

__all__ = [
    "INSTANT",
    "Answer",
    "Batch",
    "Command",
    "Entry",
    "Event",
    "EventCatalogue",
    "Head",
]
