"""Looks through what was stored last for personal and card data that should not be there."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from psycopg import Connection

from scudo.fabric import RECORD, newest_entries, newest_records
from scudo.kernel import Prefix, find_in_value, ids

_ENTRY: Final = "fabric.log_entry"


@dataclass(frozen=True, slots=True)
class Leak:
    """A value that should not be where it is; the value itself is not told.

    Attributes:
        table: schema and table.
        key: of the row.
        path: column, and where in it.
        kind: `card`, `iban`, `email`, `phone`, or `name` for a field that is named like a secret.
    """

    table: str
    key: str
    path: str
    kind: str


def find_leaks(connection: Connection[Any], *, limit: int) -> Iterator[Leak]:
    """Look through commands, events and answers of the last entries, and the last records.

    Args:
        connection: of the reading role.
        limit: rows of each table.
    """
    for position, command, events, answer in newest_entries(connection, limit=limit):
        for column, value in (
            ("command", msgspec.msgpack.decode(command)),
            ("events", msgspec.msgpack.decode(events)),
            ("answer", _json(answer)),
        ):
            for path, kind in find_in_value(value, path=column):
                yield Leak(_ENTRY, str(position), path, kind)
    for number, body in newest_records(connection, limit=limit):
        for path, kind in find_in_value(_json(body), path="body"):
            yield Leak(RECORD.name, ids.show(Prefix.RECORD, number), path, kind)


def _json(text: bytes) -> object:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
