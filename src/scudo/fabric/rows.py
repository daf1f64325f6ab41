"""Rows in PostgreSQL's binary COPY format, and arrays of them as parameters.

The image of a row serves twice: it is sent to the database, and its digest is a
leaf of the hash chain (`scudo.kernel.leaf`). Layouts are therefore versioned:
a table whose image changes takes a new tag.

Source:
    PostgreSQL documentation, COPY, "Binary Format"; array layout as sent by array_send.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final

from psycopg import AsyncConnection, Connection
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER: Final = b"\xff\xff"
NULL: Final = b"\xff\xff\xff\xff"
_LENGTH: Final = struct.Struct(">i")

INT8_OID: Final = 20
UUID_OID: Final = 2950
INT8_ARRAY_OID: Final = 1016
UUID_ARRAY_OID: Final = 2951


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A table that is written by COPY.

    Attributes:
        name: schema and table.
        columns: in the order of the image.
        tag: of an append-only table, whose rows are leaves of the chain: names the table
            and the version of its image. Empty for state.
    """

    name: str
    columns: tuple[str, ...]
    tag: bytes = b""

    @property
    def copy_in(self) -> str:
        """The COPY command that takes images of this table."""
        return f"COPY {self.name} ({', '.join(self.columns)}) FROM STDIN (FORMAT binary)"


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


class _ArrayDumper(Dumper):
    format = Format.BINARY
    element_oid: int

    def _head(self, count: int) -> bytes:
        return struct.pack(">iiiii", 1, 0, self.element_oid, count, 1)


class _Int8ArrayDumper(_ArrayDumper):
    oid = INT8_ARRAY_OID
    element_oid = INT8_OID

    def dump(self, obj: Sequence[int]) -> Buffer:
        if not obj:
            return struct.pack(">iii", 0, 0, self.element_oid)
        flat = [8] * (2 * len(obj))
        flat[1::2] = obj
        return self._head(len(obj)) + struct.pack(">" + "iq" * len(obj), *flat)


class _UuidArrayDumper(_ArrayDumper):
    oid = UUID_ARRAY_OID
    element_oid = UUID_OID

    def dump(self, obj: Sequence[bytes]) -> Buffer:
        if not obj:
            return struct.pack(">iii", 0, 0, self.element_oid)
        length = _LENGTH.pack(16)
        return self._head(len(obj)) + b"".join([length + value for value in obj])


def register_arrays(connection: Connection[object] | AsyncConnection[object]) -> None:
    """Teach a connection the packed array parameters."""
    connection.adapters.register_dumper(Int8Array, _Int8ArrayDumper)
    connection.adapters.register_dumper(UuidArray, _UuidArrayDumper)
