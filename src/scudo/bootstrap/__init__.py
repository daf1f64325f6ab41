"""The composition root: the one place that knows every room.

It puts the rooms together (`rooms`), and opens and closes a bank on its database (`bank`).
"""

from scudo.bootstrap.bank import Bank, migrate_all, now_us, open_bank
from scudo.bootstrap.rooms import CATALOGUE, ROOMS, Rooms

__all__ = ["CATALOGUE", "ROOMS", "Bank", "Rooms", "migrate_all", "now_us", "open_bank"]
