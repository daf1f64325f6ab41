"""Rows in PostgreSQL's binary COPY format, and arrays of them as parameters.

The image of a row serves twice: it is sent to the database, and its digest is a
leaf of the hash chain (`scudo.kernel.leaf`). Layouts are therefore versioned:
a table whose image changes takes a new tag.

Source:
    PostgreSQL documentation, COPY, "Binary Format"; array layout as sent by array_send.
"""

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from itertools import groupby
from typing import Final

HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER: Final = b"\xff\xff"
NULL: Final = b"\xff\xff\xff\xff"
_PLACEHOLDER: Final = re.compile(r"%\((\w+)\)s")
_LENGTH: Final = struct.Struct(">i")

BYTEA_OID: Final = 17
INT8_OID: Final = 20
TEXT_OID: Final = 25
BYTEA_ARRAY_OID: Final = 1001
TEXT_ARRAY_OID: Final = 1009
UUID_OID: Final = 2950
INT8_ARRAY_OID: Final = 1016
UUID_ARRAY_OID: Final = 2951


@dataclass(frozen=True, eq=False)
class Table:
    """A table that is written by COPY.

    Attributes:
        name: schema and table.
        columns: in the order of the image.
        tag: of an append-only table, whose rows are leaves of the chain: names the table
            and the version of its image. Empty for state.
        sizes: bytes of each column in binary form, 0 for one that varies or may be NULL;
            all vary if it is empty.
    """

    name: str
    columns: tuple[str, ...]
    tag: bytes = b""
    sizes: tuple[int, ...] = ()

    @cached_property
    def runs(self) -> tuple[struct.Struct | None, ...]:
        """How an image is taken apart: by runs of fixed size, and one by one what varies (None)."""
        sizes = self.sizes or (0,) * len(self.columns)
        assert len(sizes) == len(self.columns), f"{self.name} has not a size for each column"
        found: list[struct.Struct | None] = []
        for is_fixed, group in groupby(sizes, key=bool):
            run = [f"{_LENGTH.size + size}s" for size in group]
            found += [struct.Struct("".join(run))] if is_fixed else [None] * len(run)
        return tuple(found)

    @cached_property
    def copy_in(self) -> bytes:
        """The COPY command that takes images of this table."""
        return f"COPY {self.name} ({', '.join(self.columns)}) FROM STDIN (FORMAT binary)".encode()

    @cached_property
    def insert(self) -> bytes:
        """The INSERT that takes an array for each column."""
        arrays = ", ".join(f"${number + 1}" for number in range(len(self.columns)))
        names = ", ".join(self.columns)
        text = f"INSERT INTO {self.name} ({names}) SELECT * FROM unnest({arrays})"  # noqa: S608 - our names
        return text.encode()


def sized(value: bytes) -> bytes:
    """One variable-length field of an image: its length and its bytes."""
    return _LENGTH.pack(len(value)) + value


def queries(package: str, file: str = "queries.sql") -> dict[str, str]:
    """Read the named queries of a room: each starts with a line `-- name: purpose`."""
    text = resources.files(package).joinpath("sql", file).read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for block in text.split("\n\n"):
        head, _, body = block.strip().partition("\n")
        name, separator, _ = head.removeprefix("-- ").partition(": ")
        if head.startswith("-- ") and separator and name.isidentifier():
            found[name] = body.strip().rstrip(";")
    return found


class Int8Array(list[int]):
    """A bigint[] parameter that is packed at once instead of element by element."""


class UuidArray(list[bytes]):
    """A uuid[] parameter of 16-byte values."""


class TextArray(list[str]):
    """A text[] parameter."""


class ByteaArray(list[bytes]):
    """A bytea[] parameter."""


def array(element: int, count: int, fields: Iterable[bytes]) -> bytes:
    """A one-dimensional array in binary form, of elements that carry their length.

    A field of a row's image is such an element, so columns of images become arrays as
    they are.
    """
    if not count:
        return struct.pack(">iii", 0, 0, element)
    return struct.pack(">iiiii", 1, 0, element, count, 1) + b"".join(fields)


def columns(table: Table, images: Iterable[bytes]) -> Iterator[tuple[bytes, ...]]:
    """Turn a table's row images into columns of their fields, each with its length before it."""
    rows = []
    length, runs = _LENGTH.unpack_from, table.runs
    for image in images:
        row: list[bytes] = []
        at = 2
        for run in runs:
            if run is None:
                (size,) = length(image, at)
                after = at + 4 + size if size > 0 else at + 4
                row.append(image[at:after])
                at = after
            else:
                row += run.unpack_from(image, at)
                at += run.size
        assert at == len(image), f"an image of {table.name} is longer than its columns"
        rows.append(row)
    yield from zip(*rows, strict=True)


def _int8_array(values: Sequence[int]) -> bytes:
    flat = [8] * (2 * len(values))
    flat[1::2] = values
    return array(INT8_OID, len(values), (struct.pack(">" + "iq" * len(values), *flat),))


Parameter = int | str | bytes | Int8Array | UuidArray | TextArray | ByteaArray


def parameter(value: Parameter) -> tuple[int, bytes]:
    """A parameter's type and binary form."""
    if isinstance(value, Int8Array):
        return INT8_ARRAY_OID, _int8_array(value)
    if isinstance(value, UuidArray | ByteaArray):
        is_uuid = isinstance(value, UuidArray)
        element, many = (UUID_OID, UUID_ARRAY_OID) if is_uuid else (BYTEA_OID, BYTEA_ARRAY_OID)
        return many, array(element, len(value), map(sized, value))
    if isinstance(value, TextArray):
        texts = (sized(text.encode()) for text in value)
        return TEXT_ARRAY_OID, array(TEXT_OID, len(value), texts)
    if isinstance(value, int):
        return INT8_OID, struct.pack(">q", value)
    if isinstance(value, str):
        return TEXT_OID, value.encode()
    return BYTEA_OID, value


@lru_cache(maxsize=256)
def numbered(query: str) -> tuple[bytes, tuple[str, ...]]:
    """A named query with numbered placeholders, and the names in their order."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        name = match[1]
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _PLACEHOLDER.sub(number, query).encode(), tuple(names)
