"""Writes docs/callbacks.md from the inventory of inbound callbacks."""

from pathlib import Path

from scudo.governance.callbacks import document

PAGE = Path(__file__).resolve().parent.parent / "docs" / "callbacks.md"

if __name__ == "__main__":
    PAGE.write_text(document(), encoding="utf-8")
