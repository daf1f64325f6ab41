"""A Parquet file of card transactions: checked as a whole before anything moves, read in order."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb

from scudo.fabric import queries
from scudo.simulation.errors import FileForeign, FileMalformed, FileUnreadable

_SQL: Final = queries("scudo.simulation", "transactions.sql")
_WHOLE: Final = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
)
_MOMENT: Final = frozenset({"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"})
_COLUMNS: Final = {
    "transaction_id": _WHOLE,
    "tx_datetime": _MOMENT,
    "customer_id": _WHOLE,
    "terminal_id": _WHOLE,
    "tx_amount_minor": _WHOLE,
    "tx_fraud": _WHOLE,
    "tx_fraud_scenario": _WHOLE,
}
_MAGIC: Final = b"PAR1"
_FINGERPRINT_DIGITS: Final = 16


class Transaction(NamedTuple):
    """One row of the file.

    Attributes:
        at: microseconds since 1970, UTC.
        amount: cents; may be zero, which the bank refuses.
        scenario: label of the fraud, 0 for honest ones.
    """

    id: int
    at: int
    customer: int
    terminal: int
    amount: int
    scenario: int


class TransactionFile:
    """A file that was found whole, well-formed and in order of time.

    Attributes:
        fingerprint: start of the SHA-256 of its bytes; names the file, whatever its path.
        count: rows.
    """

    def __init__(self, path: Path) -> None:
        """Open and check a file.

        Raises:
            FileUnreadable: it is not there, not Parquet, damaged or cut short.
            FileForeign: a column is missing or of another type.
            FileMalformed: a row cannot be a transaction.
        """
        self._path = path
        self.fingerprint = _fingerprint(path)
        # One thread: the second core belongs to PostgreSQL.
        self._duck = duckdb.connect(config={"threads": 1})
        try:
            self._check_columns()
            self.count = self._check_rows()
        except duckdb.Error as error:
            reason = str(error).split("\n", 1)[0]
            message = f"{path.name} cannot be read as Parquet: {reason}"
            raise FileUnreadable(message) from error

    def _check_columns(self) -> None:
        types = {name: kind for name, kind, *_ in self._all("describe")}
        for column, wanted in _COLUMNS.items():
            found = types.get(column)
            if found is None:
                message = f"{self._path.name} has no column {column}"
                raise FileForeign(message, field=column)
            if found not in wanted:
                message = f"column {column} of {self._path.name} is of type {found}"
                raise FileForeign(message, field=column)

    def _check_rows(self) -> int:
        count, distinct, row, problem = self._all("check")[0]
        if problem is not None:
            message = f"row {row} of {self._path.name}: {problem}"
            raise FileMalformed(message)
        if distinct != count:
            message = f"a transaction_id of {self._path.name} stands in more than one row"
            raise FileMalformed(message, field="transaction_id")
        return int(count)

    def _all(self, query: str, **parameters: object) -> list[tuple[Any, ...]]:
        values = {"file": str(self._path), **parameters}
        return self._duck.cursor().execute(_SQL[query], values).fetchall()

    def identify(self, rows: Sequence[int]) -> list[int]:
        """Transaction ids of some rows, given and returned in the order of the file."""
        return [row[0] for row in self._all("identify", rows=list(rows))]

    def identify_range(self, start: int, stop: int) -> list[int]:
        """Transaction ids of neighbouring rows."""
        return [row[0] for row in self._all("range", start=start, stop=stop)]

    def instant(self, row: int) -> int:
        """Microseconds since 1970 of a row."""
        return int(self._all("instant", row=row)[0][0])

    def customers(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Who pays in neighbouring rows, by id, and how many cents in all."""
        return [(row[0], row[1]) for row in self._all("customers", start=start, stop=stop)]

    def terminals(self, start: int, stop: int) -> list[int]:
        """Where neighbouring rows were paid, by id."""
        return [row[0] for row in self._all("terminals", start=start, stop=stop)]

    def rows(self, start: int, stop: int, *, page: int) -> Iterator[list[Transaction]]:
        """Read neighbouring rows in order, at most `page` at a time, while they are wanted."""
        values = {"file": str(self._path), "start": start, "stop": stop}
        cursor = self._duck.cursor().execute(_SQL["rows"], values)
        while found := cursor.fetchmany(page):
            yield [Transaction._make(row) for row in found]


def _fingerprint(path: Path) -> str:
    """Digest a file, after a look at both of its ends.

    Raises:
        FileUnreadable: it cannot be read, or does not begin and end as Parquet does.
    """
    try:
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
            file.seek(max(0, path.stat().st_size - len(_MAGIC)))
            end = file.read()
            if start != _MAGIC:
                message = f"{path.name} is not a Parquet file"
                raise FileUnreadable(message)
            if end != _MAGIC:
                message = f"{path.name} is cut short: its end is missing"
                raise FileUnreadable(message)
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()[:_FINGERPRINT_DIGITS]
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise FileUnreadable(message) from error
