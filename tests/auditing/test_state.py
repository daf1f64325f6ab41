"""Stored state that its history does not explain is named by row and column."""

import pytest

from scudo.kernel import Prefix, ids

#: How a stored value is changed, by table and column.
CHANGES = [
    ("ledger.account", Prefix.ACCOUNT, column, change)
    for column, change in (
        ("owner", "owner + 1"),
        ("nature", "3 - nature"),
        ("currency", "currency + 1"),
        ("product", "product + 1"),
        ("status", "3 - status"),
        ("opened_at", "opened_at + interval '1 second'"),
        ("hold_limit", "coalesce(hold_limit, 0) + 1"),
        ("posting_limit", "NULLIF(coalesce(posting_limit, 7), posting_limit)"),
        ("debits_posted", "debits_posted + 1"),
        ("credits_posted", "credits_posted + 1"),
        ("debits_held", "debits_held + 1"),
        ("credits_held", "credits_held + 1"),
        ("version", "version + 1"),
    )
]
CHANGES += [
    ("ledger.hold", Prefix.HOLD, column, change)
    for column, change in (
        ("debit_account", "debit_account + 1"),
        ("credit_account", "credit_account + 1"),
        ("held", "held + 1"),
        ("captured", "captured + 1"),
        ("authority", "authority + 1"),
        ("expires_at", "expires_at + interval '1 second'"),
        ("version", "version + 1"),
        ("tolerance_bps", "tolerance_bps + 1"),
        ("authority_kind", "3 - authority_kind"),
        ("code", "code + 1"),
    )
]
CHANGES += [
    ("payments.payment", Prefix.PAYMENT, column, change)
    for column, change in (
        ("debit_account", "debit_account + 1"),
        ("credit_account", "credit_account + 1"),
        ("amount", "amount + 1"),
        ("captured", "captured + 1"),
        ("decision", "decision + 1"),
        ("version", "version + 1"),
        ("ordered_at", "ordered_at + interval '1 second'"),
        ("currency", "currency + 1"),
        ("kind", "3 - kind"),
        ("status", "1 + status % 11"),
        ("outcome", "1 + outcome"),
        ("discharged", "discharged + 4"),
        ("hold", "coalesce(hold, 0) + 1"),
        ("expires_at", "coalesce(expires_at, now()) + interval '1 second'"),
        ("text", "coalesce(text, 0) + 1"),
    )
]
#: Columns that may only change together with others.
TOGETHER = [
    ("ledger.hold", Prefix.HOLD, "status", "status = 1 + status % 4, remaining = 0"),
    ("ledger.hold", Prefix.HOLD, "remaining", "status = 1, remaining = remaining + 1"),
]
SETS = [(t, p, c, f"{c} = {change}") for t, p, c, change in CHANGES] + TOGETHER
STATES = {
    "ledger.account": Prefix.ACCOUNT,
    "ledger.hold": Prefix.HOLD,
    "payments.payment": Prefix.PAYMENT,
}


def key_at(admin, table, place):
    keys = [key for (key,) in admin.execute(f"SELECT id FROM {table} ORDER BY id")]
    return keys[{"first": 0, "middle": len(keys) // 2, "last": -1}[place]]


def columns_of(admin, table):
    rows = admin.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass "
        "AND attnum > 0 AND NOT attisdropped",
        (table,),
    )
    return {name for (name,) in rows}


class TestVerify:
    @pytest.mark.parametrize("table", list(STATES))
    def test_covers_every_column_of_stored_state(self, books, table):
        """A column that is added to a state table must be tampered with here as well."""
        assert columns_of(books.admin, table) == {c for t, _, c, _ in SETS if t == table} | {"id"}

    @pytest.mark.parametrize("place", ["first", "last"])
    @pytest.mark.parametrize(("table", "prefix", "column", "change"), SETS)
    def test_names_row_and_column_of_changed_state(
        self, books, table, prefix, column, change, place
    ):
        """State that was changed by hand is found, whether it can change still or not."""
        admin = books.admin
        key = key_at(admin, table, place)

        with admin.transaction(force_rollback=False):
            admin.execute(f"CREATE TEMP TABLE kept AS SELECT * FROM {table} WHERE id = {key}")
            admin.execute(f"UPDATE {table} SET {change} WHERE id = {key}")
        try:
            bad = books.verify().first_bad
        finally:
            admin.execute(f"DELETE FROM {table} WHERE id = {key}")
            admin.execute(f"INSERT INTO {table} SELECT * FROM kept")
            admin.execute("DROP TABLE kept")

        assert bad is not None
        assert (bad.table, bad.key) == (table, ids.show(prefix, key)), bad
        together = {"status", "remaining"}
        assert bad.column in (together if column in together and prefix == "hld" else {column})

    @pytest.mark.parametrize("place", ["first", "last"])
    @pytest.mark.parametrize("table", list(STATES))
    def test_names_state_that_was_deleted(self, books, table, place):
        """An account, hold or payment whose row is gone is missed."""
        admin = books.admin
        key = key_at(admin, table, place)
        admin.execute(f"CREATE TEMP TABLE kept AS SELECT * FROM {table} WHERE id = {key}")
        admin.execute(f"DELETE FROM {table} WHERE id = {key}")
        try:
            bad = books.verify().first_bad
        finally:
            admin.execute(f"INSERT INTO {table} SELECT * FROM kept")
            admin.execute("DROP TABLE kept")

        assert bad is not None
        assert (bad.table, bad.key, bad.found) == (table, ids.show(STATES[table], key), "no row")

    @pytest.mark.parametrize("step", [1, 1 << 40])
    @pytest.mark.parametrize("table", list(STATES))
    def test_names_state_that_nothing_explains(self, books, table, step):
        """An account, hold or payment that no event tells of is found."""
        admin = books.admin
        model = key_at(admin, table, "last")
        added = model + step
        other = ", 'product', 77" if table == "ledger.account" else ""
        admin.execute(
            f"INSERT INTO {table} SELECT (jsonb_populate_record(t, "
            f"jsonb_build_object('id', {added}{other}))).* FROM {table} t WHERE id = {model}"
        )
        try:
            bad = books.verify().first_bad
        finally:
            admin.execute(f"DELETE FROM {table} WHERE id = {added}")

        assert bad is not None
        assert (bad.table, bad.key) == (table, ids.show(STATES[table], added)), bad

    @pytest.mark.parametrize(
        "change", ["position = position + 1", "batch = batch + 1", "hash = sha256('other')"]
    )
    def test_names_the_head_that_is_not_the_last_batch(self, books, change):
        """A head that was moved does not fit the last batch."""
        admin = books.admin
        kept = admin.execute("SELECT position, batch, hash FROM fabric.log_head").fetchone()
        admin.execute(f"UPDATE fabric.log_head SET {change}")
        try:
            verdict = books.verify()
        finally:
            admin.execute("UPDATE fabric.log_head SET position = %s, batch = %s, hash = %s", kept)

        assert not verdict.ok
        assert verdict.first_bad.table in {"fabric.log_head", "fabric.log_batch"}
