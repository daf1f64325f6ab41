"""The command line: `scudo`, typed by a person or by a script."""

from scudo.interfaces.cli.app import main

__all__ = ["main"]
