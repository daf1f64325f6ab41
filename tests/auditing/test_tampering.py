"""Whoever changes what is stored, with whatever rights, is named by row."""

import contextlib
from collections.abc import Iterator

import psycopg
import pytest

from scudo.decisions import DECISION
from scudo.fabric import RECORD
from scudo.fabric.log.model import BATCH, ENTRY, KEY
from scudo.kernel import Prefix, ids
from scudo.ledger import TRANSFER

APPEND_ONLY = (BATCH, ENTRY, KEY, RECORD, DECISION, TRANSFER)
COLUMNS = [(table.name, column) for table in APPEND_ONLY for column in table.columns]
KEYS = {table.name: table.columns[0] for table in APPEND_ONLY}
PLACES = ("first", "middle", "last")
#: How a value is changed a little, by its type.
CHANGES = {
    "bigint": "coalesce({column}, 0) + 1",
    "integer": "{column} + 1",
    "smallint": "{column} + 1",
    "timestamp with time zone": "{column} + interval '1 microsecond'",
    "date": "{column} + 1",
    "bytea": "set_byte({column}, octet_length({column}) / 2, "
    "get_byte({column}, octet_length({column}) / 2) # 1)",
    "uuid": "overlay({column}::text placing 'ffff' from 1)::uuid",
}
PREFIXES = {
    RECORD.name: Prefix.RECORD,
    DECISION.name: Prefix.DECISION,
    TRANSFER.name: Prefix.TRANSFER,
}


def shown(table, key):
    if table in PREFIXES:
        return ids.show(PREFIXES[table], key)
    return key.hex if table == KEY.name else str(key)


@pytest.fixture(scope="module")
def unguarded(books):
    """The books without constraints and indexes: a superuser need not keep them."""
    rows = books.admin.execute(
        "SELECT conrelid::regclass::text, conname FROM pg_constraint "
        "WHERE conrelid = ANY(%s::regclass[]) AND contype IN ('c', 'p')",
        ([table.name for table in APPEND_ONLY],),
    ).fetchall()
    for table, constraint in rows:
        books.admin.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")
    rows = books.admin.execute(
        "SELECT indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = indrelid "
        "WHERE indisunique AND (c.relname LIKE 'transfer%' AND c.relnamespace = "
        "'ledger'::regnamespace OR c.relname LIKE 'record%' AND c.relnamespace = "
        "'fabric'::regnamespace)"
    ).fetchall()
    for (index,) in rows:
        books.admin.execute(f"DROP INDEX {index}")
    return books


@contextlib.contextmanager
def restored(admin: psycopg.Connection, table: str) -> Iterator[None]:
    """Put a table back as it was."""
    whole = f"COPY (SELECT * FROM {table}) TO STDOUT (FORMAT binary)"
    with admin.cursor().copy(whole) as copy:
        stored = b"".join(copy)
    try:
        yield
    finally:
        admin.execute(f"TRUNCATE {table}")
        with admin.cursor().copy(f"COPY {table} FROM STDIN (FORMAT binary)") as copy:
            copy.write(stored)


def key_at(admin, table, place):
    key = KEYS[table] if table != KEY.name else "position"
    keys = admin.execute(f"SELECT {KEYS[table]} FROM {table} ORDER BY {key}").fetchall()
    return keys[{"first": 0, "middle": len(keys) // 2, "last": -1}[place]][0]


def place_of(admin, table, key):
    """What names a row of which only its place is known."""
    column = "position" if table == KEY.name else KEYS[table]
    (number,) = admin.execute(
        f"SELECT {column} FROM {table} WHERE {KEYS[table]} = %s", (key,)
    ).fetchone()
    return f"of position {number}"


def type_of(admin, table, column):
    return admin.execute(
        "SELECT format_type(atttypid, NULL) FROM pg_attribute "
        "WHERE attrelid = %s::regclass AND attname = %s",
        (table, column),
    ).fetchone()[0]


class TestVerify:
    def test_finds_nothing_in_books_that_were_left_alone(self, books):
        """Everything that can happen leaves books that are found whole."""
        verdict = books.verify()

        assert verdict.first_bad is None
        assert verdict.ok
        assert verdict.transfers > 30
        assert verdict.chain_length > 30

    @pytest.mark.parametrize("table", [table.name for table in APPEND_ONLY])
    def test_knows_every_column_of_the_catalogue(self, books, table):
        """No column of an append-only table is left out of the images that are hashed."""
        rows = books.admin.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass "
            "AND attnum > 0 AND NOT attisdropped",
            (table,),
        ).fetchall()

        assert {name for (name,) in rows} == {c for t, c in COLUMNS if t == table}

    @pytest.mark.fault(55)
    @pytest.mark.parametrize("place", PLACES)
    @pytest.mark.parametrize(("table", "column"), COLUMNS)
    def test_names_the_row_whose_column_was_changed(self, unguarded, table, column, place):
        """A changed value is named by its row, and the column is never a wrong one."""
        admin = unguarded.admin
        key = key_at(admin, table, place)
        where = place_of(admin, table, key)
        change = CHANGES[type_of(admin, table, column)].format(column=column)

        with restored(admin, table):
            changed = admin.execute(
                f"UPDATE {table} SET {column} = {change} WHERE {KEYS[table]} = %s "
                f"RETURNING {KEYS[table]}",
                (key,),
            ).fetchall()
            verdict = unguarded.verify()

        bad = verdict.first_bad
        assert len(changed) == 1
        assert bad is not None
        assert bad.table == table, bad
        assert bad.key in {shown(table, key), shown(table, changed[0][0]), where}, bad
        assert bad.column in {None, column}, bad

    @pytest.mark.fault(55)
    @pytest.mark.parametrize("place", PLACES)
    @pytest.mark.parametrize("table", list(KEYS))
    def test_names_the_row_that_was_deleted(self, unguarded, table, place):
        """A missing row is named by its key, or by its place where only that is known."""
        admin = unguarded.admin
        key = key_at(admin, table, place)
        where = place_of(admin, table, key)

        with restored(admin, table):
            admin.execute(f"DELETE FROM {table} WHERE {KEYS[table]} = %s", (key,))
            bad = unguarded.verify().first_bad

        assert bad is not None
        assert bad.table == table, bad
        assert bad.key in {shown(table, key), where}, bad

    @pytest.mark.fault(55)
    @pytest.mark.parametrize("table", list(KEYS))
    def test_names_a_row_of_two_that_were_swapped(self, unguarded, table):
        """Two rows that changed places are found, and the first of them is named."""
        admin = unguarded.admin
        name = KEYS[table]
        order = "position" if table == KEY.name else name
        keys = [key for (key,) in admin.execute(f"SELECT {name} FROM {table} ORDER BY {order}")]
        low, high = keys[len(keys) // 3], keys[len(keys) // 2]

        with restored(admin, table):
            admin.execute(
                f"WITH gone AS (DELETE FROM {table} WHERE {name} IN (%(low)s, %(high)s) "
                f"RETURNING *), swapped AS (SELECT to_jsonb(gone) || jsonb_build_object("
                f"'{name}', CASE {name} WHEN %(low)s THEN %(high)s ELSE %(low)s END) AS row "
                f"FROM gone) INSERT INTO {table} "
                f"SELECT (jsonb_populate_record(NULL::{table}, row)).* FROM swapped",
                {"low": low, "high": high},
            )
            bad = unguarded.verify().first_bad

        assert bad is not None
        assert bad.table == table, bad
        assert bad.key in {shown(table, low), shown(table, high)}, bad

    @pytest.mark.fault(55)
    @pytest.mark.parametrize("place", [*PLACES, "beyond"])
    @pytest.mark.parametrize("table", list(KEYS))
    def test_names_the_row_that_was_added(self, unguarded, table, place):
        """A row that nothing explains is named, wherever it stands."""
        admin = unguarded.admin
        model = key_at(admin, table, "last" if place == "beyond" else place)
        step = 1_000_000 if place == "beyond" else 1
        if table == KEY.name:
            added = f"jsonb_build_object('key', gen_random_uuid(), 'position', position + {step})"
        else:
            added = f"jsonb_build_object('{KEYS[table]}', {KEYS[table]} + {step})"

        with restored(admin, table):
            (key,) = admin.execute(
                f"INSERT INTO {table} SELECT (jsonb_populate_record(t, {added})).* FROM {table} t "
                f"WHERE {KEYS[table]} = %s RETURNING {KEYS[table]}",
                (model,),
            ).fetchone()
            bad = unguarded.verify().first_bad

        assert bad is not None
        assert bad.table == table, bad
        if table not in {BATCH.name, ENTRY.name}:
            assert bad.key == shown(table, key), bad
