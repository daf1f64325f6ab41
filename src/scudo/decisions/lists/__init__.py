"""Lists that rules ask: allow, deny, watch; an entry has an end, a reason, and two people."""

from scudo.decisions.lists.keeping import ListChange, ListEntry, Lists
from scudo.decisions.lists.model import NOTHING, Listed, ListName, Subject, bit_of, names_of
from scudo.decisions.lists.routes import operations

__all__ = [
    "NOTHING",
    "ListChange",
    "ListEntry",
    "ListName",
    "Listed",
    "Lists",
    "Subject",
    "bit_of",
    "names_of",
    "operations",
]
