"""Scudo: a digital-bank core in which no money moves without passing a gate."""

__version__ = "0.1.0"
