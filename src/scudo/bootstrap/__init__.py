"""The composition root: the one place that knows every room.

It puts the rooms together (`rooms`), opens and closes a bank on its database (`bank`), and
says who makes its tokens and signatures (`trust`).
"""

from scudo.bootstrap.bank import Bank, migrate_all, now_us, open_bank
from scudo.bootstrap.rooms import CATALOGUE, ROOMS, Rooms
from scudo.bootstrap.trust import (
    CALLBACK_KEY,
    SIGNING_KEYS,
    TOKEN_KEY,
    Trust,
    trust_in_files,
    trust_in_vault,
)

__all__ = [
    "CALLBACK_KEY",
    "CATALOGUE",
    "ROOMS",
    "SIGNING_KEYS",
    "TOKEN_KEY",
    "Bank",
    "Rooms",
    "Trust",
    "migrate_all",
    "now_us",
    "open_bank",
    "trust_in_files",
    "trust_in_vault",
]
