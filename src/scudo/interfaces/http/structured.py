"""Structured fields of HTTP, as far as signatures need them: read strictly, written canonically.

A dictionary of inner lists, byte sequences or bare items, each with parameters. Dates, decimals
and display strings are not read: nothing here may have one.

Source:
    RFC 9651 (Structured Field Values), sections 3 and 4.
"""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Final

import msgspec

#: A field that is longer is not read.
_CHARS_MAX: Final = 8_192
_MEMBERS_MAX: Final = 16
_KEY: Final = re.compile(r"[a-z*][a-z0-9_.*-]*")
_INTEGER: Final = re.compile(r"-?[0-9]{1,15}(?![0-9.])")
_TOKEN: Final = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")
_STRING: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BYTES: Final = re.compile(r":([A-Za-z0-9+/]*={0,2}):")
_ESCAPED: Final = re.compile(r"\\(.)")


class Token(str):
    """A token: a word without quotes."""

    __slots__ = ()


class Malformed(ValueError):
    """Raised when a text is no structured field, or one that is not read here."""


class Item(msgspec.Struct, frozen=True):
    """An item with its parameters, in order."""

    value: "bool | int | str | bytes"
    parameters: "dict[str, bool | int | str | bytes]"


class InnerList(msgspec.Struct, frozen=True):
    """A list of items, with parameters of its own."""

    items: tuple[Item, ...]
    parameters: "dict[str, bool | int | str | bytes]"


def parse_dictionary(text: str) -> dict[str, Item | InnerList]:
    """Read a dictionary; no member and no parameter may come twice.

    RFC 9651 takes the last of two; which one a signer meant is a matter in which readers differ.

    Raises:
        Malformed: if it is none.
    """
    if len(text) > _CHARS_MAX or not text.isascii():
        message = "the field is too long, or not ASCII"
        raise Malformed(message)
    return _Reader(text.strip(" ")).dictionary()


class _Reader:
    """Reads from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def dictionary(self) -> dict[str, Item | InnerList]:
        members: dict[str, Item | InnerList] = {}
        while True:
            key = self._take(_KEY, "a name").group()
            self._demand_new(key, members)
            if self._skip("="):
                members[key] = self._inner_list() if self._peek() == "(" else self._item()
            else:
                members[key] = Item(True, self._parameters())  # noqa: FBT003 - RFC 9651, 4.2.2
            if self._at == len(self._text):
                return members
            self._spaces(" \t")
            if not self._skip(","):
                message = "a comma is missing"
                raise Malformed(message)
            self._spaces(" \t")

    def _inner_list(self) -> InnerList:
        self._at += 1
        items: list[Item] = []
        while True:
            self._spaces(" ")
            if self._skip(")"):
                return InnerList(tuple(items), self._parameters())
            if len(items) == _MEMBERS_MAX:
                message = "the list is too long"
                raise Malformed(message)
            items.append(self._item())
            if self._peek() not in {" ", ")"}:
                message = "items stand too close"
                raise Malformed(message)

    def _item(self) -> Item:
        value = self._bare()
        return Item(value, self._parameters())

    def _parameters(self) -> dict[str, bool | int | str | bytes]:
        found: dict[str, bool | int | str | bytes] = {}
        while self._skip(";"):
            self._spaces(" ")
            key = self._take(_KEY, "a name").group()
            self._demand_new(key, found)
            found[key] = self._bare() if self._skip("=") else True
        return found

    def _bare(self) -> bool | int | str | bytes:
        match self._peek():
            case '"':
                return _ESCAPED.sub(r"\1", self._take(_STRING, "a string").group(1))
            case ":":
                encoded = self._take(_BYTES, "a byte sequence").group(1)
                try:
                    value = b64decode(encoded, validate=True)
                except binascii.Error as error:
                    message = "this is not base64"
                    raise Malformed(message) from error
                if b64encode(value).decode("ascii") != encoded:
                    message = "this is not canonical base64"
                    raise Malformed(message)
                return value
            case "?":
                return self._take(re.compile(r"\?[01]"), "a boolean").group() == "?1"
            case first if first.isdigit() or first == "-":
                return int(self._take(_INTEGER, "an integer").group())
            case _:
                return Token(self._take(_TOKEN, "an item").group())

    def _demand_new(self, key: str, found: Mapping[str, object]) -> None:
        if key in found:
            message = f"{key} comes twice"
            raise Malformed(message)
        if len(found) == _MEMBERS_MAX:
            message = "there are too many members"
            raise Malformed(message)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self, character: str) -> bool:
        if self._peek() != character:
            return False
        self._at += 1
        return True

    def _spaces(self, kinds: str) -> None:
        while self._at < len(self._text) and self._text[self._at] in kinds:
            self._at += 1

    def _take(self, pattern: "re.Pattern[str]", what: str) -> "re.Match[str]":
        found = pattern.match(self._text, self._at)
        if found is None:
            message = f"{what} is missing at character {self._at}"
            raise Malformed(message)
        self._at = found.end()
        return found


def write_inner_list(inner: InnerList) -> str:
    """Write an inner list in its one canonical form (RFC 9651, section 4.1.1.1)."""
    items = " ".join(write_bare(item.value) + _write(item.parameters) for item in inner.items)
    return f"({items}){_write(inner.parameters)}"


def _write(parameters: dict[str, bool | int | str | bytes]) -> str:
    return "".join(
        f";{key}" if value is True else f";{key}={write_bare(value)}"
        for key, value in parameters.items()
    )


def write_bare(value: bool | int | str | bytes) -> str:  # noqa: FBT001 - a value of the wire
    """Write one value."""
    match value:
        case bool():
            return "?1" if value else "?0"
        case int() | Token():
            return str(value)
        case bytes():
            return f":{b64encode(value).decode('ascii')}:"
        case _:
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
