"""Texts that people send with payments: kept by claim, known to rules by signals only."""

from scudo.vault.texts.client import VaultTexts
from scudo.vault.texts.signals import TextSignal, signals_of
from scudo.vault.texts.store import Texts

__all__ = ["TextSignal", "Texts", "VaultTexts", "signals_of"]
