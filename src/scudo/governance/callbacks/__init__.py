"""Inbound callbacks: a declared inventory, proven senders, and what they may change."""

from scudo.governance.callbacks.errors import CallbackUndeclared
from scudo.governance.callbacks.inventory import INVENTORY, Callback, document
from scudo.governance.callbacks.keeping import AddCallbackKey, Callbacks, Reaction
from scudo.governance.callbacks.kinds import ADD_KEY, approved_key, callback_kinds
from scudo.governance.callbacks.routes import CallbackDesk, operations
from scudo.governance.callbacks.sharing import HeldSecrets, Secrets, VaultSecrets
from scudo.governance.callbacks.signing import Algorithm

__all__ = [
    "ADD_KEY",
    "INVENTORY",
    "AddCallbackKey",
    "Algorithm",
    "Callback",
    "CallbackDesk",
    "CallbackUndeclared",
    "Callbacks",
    "HeldSecrets",
    "Reaction",
    "Secrets",
    "VaultSecrets",
    "approved_key",
    "callback_kinds",
    "document",
    "operations",
]
