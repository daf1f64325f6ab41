"""Inbound callbacks: a declared inventory, proven senders, and what they may change."""

from scudo.governance.callbacks.errors import CallbackUndeclared
from scudo.governance.callbacks.inventory import INVENTORY, Callback, document
from scudo.governance.callbacks.keeping import Callbacks, Reaction
from scudo.governance.callbacks.routes import CallbackDesk, operations
from scudo.governance.callbacks.sharing import HeldSecrets, Secrets, VaultSecrets
from scudo.governance.callbacks.signing import Algorithm

__all__ = [
    "INVENTORY",
    "Algorithm",
    "Callback",
    "CallbackDesk",
    "CallbackUndeclared",
    "Callbacks",
    "HeldSecrets",
    "Reaction",
    "Secrets",
    "VaultSecrets",
    "document",
    "operations",
]
