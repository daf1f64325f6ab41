"""Somebody who can also forge the chain is found by what the rows mean.

Each case changes rows and then hashes the whole log anew, so that root and chain are right.
"""

import contextlib
from collections.abc import Iterator

import msgspec
import psycopg
import pytest
from tests.auditing.conftest import chain_anew

from scudo.decisions import DECISION
from scudo.fabric import RECORD
from scudo.kernel import Prefix, ids
from scudo.ledger import TRANSFER, Mandate, TransferKind


@contextlib.contextmanager
def unchecked(connection: psycopg.Connection, table: str) -> Iterator[None]:
    """Without the table's CHECK constraints, which come back afterwards unproven."""
    rows = connection.execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = %s::regclass AND contype = 'c'",
        (table,),
    ).fetchall()
    for name, _ in rows:
        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    yield
    for name, definition in rows:
        connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition} NOT VALID")


def find(connection, table, where):
    row = connection.execute(f"SELECT id FROM {table} WHERE {where} ORDER BY id LIMIT 1").fetchone()
    assert row is not None, "the scenario has such a row"
    return row[0]


BY_DECISION = "authority_kind = 1"
MOVES = [
    ("debit_account", "debit_account = 0", f"kind = {TransferKind.POST}"),
    ("credit_account", "credit_account = 0", f"kind = {TransferKind.POST}"),
    ("amount", "amount = amount + 1", f"kind = {TransferKind.POST}"),
    ("amount", "amount = amount - 1", f"kind = {TransferKind.CAPTURE}"),
    ("held", "held = held + 1", f"kind = {TransferKind.HOLD}"),
    ("held", "held = held - 1", f"kind = {TransferKind.RELEASE}"),
    ("hold", "hold = hold + 4096", f"kind = {TransferKind.CAPTURE}"),
    ("debit_version", "debit_version = debit_version + 1000", "true"),
    ("debit_balance", "debit_balance = debit_balance - 1", "true"),
    ("debit_held", "debit_held = debit_held + 1", "true"),
    ("credit_version", "credit_version = credit_version + 1000", "true"),
    ("credit_balance", "credit_balance = credit_balance + 1", "true"),
    ("credit_held", "credit_held = credit_held + 1", "true"),
    ("authority", "authority = authority + 1", f"{BY_DECISION} AND kind = {TransferKind.POST}"),
    ("authority", "authority = authority - 1", f"{BY_DECISION} AND kind = {TransferKind.CAPTURE}"),
    (None, "authority = 77", "authority_kind = 2"),
    (None, "authority_kind = 2", f"{BY_DECISION} AND kind = {TransferKind.HOLD}"),
    ("booked_on", "booked_on = booked_on + 1", "true"),
    ("value_on", "value_on = value_on + 1", "true"),
    ("currency", "currency = 840", "true"),
    ("code", "code = code + 1", f"{BY_DECISION} AND kind = {TransferKind.POST}"),
    ("code", "code = code + 1", f"{BY_DECISION} AND kind = {TransferKind.CAPTURE}"),
    ("code", "code = code + 1", f"{BY_DECISION} AND kind = {TransferKind.RELEASE}"),
    ("code", "code = code + 1", f"kind = {TransferKind.EXPIRE}"),
    ("authority", "authority = authority - 1", f"{BY_DECISION} AND kind = {TransferKind.RELEASE}"),
    ("authority", "authority = authority - 1", f"{BY_DECISION} AND kind = {TransferKind.RAISE}"),
    ("hold", "hold = hold + 4096", f"kind = {TransferKind.RAISE}"),
    ("debit_account", "debit_account = 0", f"kind = {TransferKind.CAPTURE}"),
    ("credit_account", "credit_account = 0", f"kind = {TransferKind.HOLD}"),
    ("credit_account", "credit_account = 0", f"kind = {TransferKind.RAISE}"),
    (None, f"kind = {TransferKind.RELEASE}", f"kind = {TransferKind.CAPTURE}"),
    ("held", "held = held + 1", f"kind = {TransferKind.EXPIRE}"),
]


class TestVerify:
    def test_finds_nothing_when_the_same_rows_are_chained_anew(self, books, forging):
        """The forger of these tests computes what the writer computed."""
        before = books.verify()
        chain_anew(forging)

        assert books.verify() == before

    @pytest.mark.parametrize(("column", "change", "where"), MOVES)
    def test_names_a_transfer_that_means_something_else(
        self, books, forging, column, change, where
    ):
        """Balances, versions, holds, days and authorities are recomputed, not believed."""
        number = find(forging, TRANSFER.name, where)
        with unchecked(forging, TRANSFER.name):
            forging.execute(f"UPDATE {TRANSFER.name} SET {change} WHERE id = {number}")
            chain_anew(forging)
            bad = books.verify().first_bad

        assert bad is not None
        assert (bad.table, bad.key) == (TRANSFER.name, ids.show(Prefix.TRANSFER, number)), bad
        assert bad.column in {None, column}, bad

    @pytest.mark.parametrize(
        ("member", "column"),
        [("account", "debit_account"), ("amount", None), ("currency", "currency")],
    )
    @pytest.mark.parametrize("kind", [TransferKind.POST, TransferKind.HOLD, TransferKind.RAISE])
    def test_names_a_transfer_whose_decision_allowed_another(
        self, books, forging, kind, member, column
    ):
        """The record of the decision is read: its account, its amount and its currency."""
        number, decision = forging.execute(
            f"SELECT id, authority FROM {TRANSFER.name} WHERE {BY_DECISION} AND kind = {kind:d} "
            "ORDER BY id LIMIT 1"
        ).fetchone()
        (stored,) = forging.execute(
            f"SELECT record FROM {DECISION.name} WHERE id = {decision}"
        ).fetchone()
        record = msgspec.msgpack.decode(stored)
        place = {"amount": 1, "currency": 2, "account": 4}[member]
        record[1][place] -= 1
        forging.execute(
            f"UPDATE {DECISION.name} SET record = %s WHERE id = {decision}",
            (msgspec.msgpack.encode(record),),
        )
        chain_anew(forging)

        bad = books.verify().first_bad

        assert bad is not None
        assert (bad.table, bad.key) == (TRANSFER.name, ids.show(Prefix.TRANSFER, number)), bad
        assert bad.column == column, bad

    def test_names_a_hold_that_its_decision_does_not_let_be_exceeded_so_far(self, books, forging):
        """The event that places it tells of a tolerance that no card payment has."""
        number = find(forging, TRANSFER.name, f"{BY_DECISION} AND kind = {TransferKind.CAPTURE}")
        (hold,) = forging.execute(
            f"SELECT hold FROM {TRANSFER.name} WHERE id = {number}"
        ).fetchone()
        position = ids.entry_of(hold)
        (stored,) = forging.execute(
            f"SELECT events FROM fabric.log_entry WHERE position = {position}"
        ).fetchone()
        events = msgspec.msgpack.decode(stored)
        placed = next(event for event in events if event[0] == 205)
        placed[5] = 9_999
        forging.execute(
            f"UPDATE fabric.log_entry SET events = %s WHERE position = {position}",
            (msgspec.msgpack.encode(events),),
        )
        forging.execute(f"UPDATE ledger.hold SET tolerance_bps = 9999 WHERE id = {hold}")
        chain_anew(forging)

        bad = books.verify().first_bad
        forging.execute(f"UPDATE ledger.hold SET tolerance_bps = 1500 WHERE id = {hold}")

        assert bad is not None
        assert (bad.table, bad.key) == (TRANSFER.name, ids.show(Prefix.TRANSFER, hold)), bad
        assert "tolerance" in bad.expected

    @pytest.mark.parametrize("column", ["subject", "ordered_at", "gate", "outcome", "degraded"])
    def test_names_a_decision_that_its_event_does_not_tell(self, books, forging, column):
        """What a decision says stands in its event as well."""
        number = find(forging, DECISION.name, "outcome = 0")
        step = "interval '1 second'" if column == "ordered_at" else "1"
        forging.execute(
            f"UPDATE {DECISION.name} SET {column} = {column} + {step} WHERE id = {number}"
        )
        chain_anew(forging)

        bad = books.verify().first_bad

        assert bad is not None
        assert (bad.table, bad.key, bad.column) == (
            DECISION.name,
            ids.show(Prefix.DECISION, number),
            column,
        )

    @pytest.mark.parametrize("table", [DECISION.name, TRANSFER.name])
    def test_finds_a_row_that_was_taken_out_of_log_and_chain(self, books, forging, table):
        """A decision is missed by its event, a transfer by the versions around it."""
        number = find(forging, table, "true")
        forging.execute(f"DELETE FROM {table} WHERE id = {number}")
        chain_anew(forging)

        assert not books.verify().ok

    @pytest.mark.parametrize(
        ("body", "other", "where"),
        [
            (
                '"day_max":100',
                '"day_max":900',
                "kind = 501 AND convert_from(body, 'UTF8') LIKE '%day_max\":100%'",
            ),
            ('"name":"opening"', '"name":"fees"', "kind = 501 AND thing = 1"),
            ('"used":60', '"used":10', "kind = 502 AND version = 1"),
        ],
    )
    def test_names_a_record_of_a_mandate_that_was_changed(self, books, forging, body, other, where):
        """Its approval tells its digest; what is used of a day is what transfers used."""
        number = find(forging, RECORD.name, where)
        forging.execute(
            f"UPDATE {RECORD.name} SET body = replace(convert_from(body, 'UTF8'), %s, %s)::bytea "
            "WHERE id = %s",
            (body, other, number),
        )
        chain_anew(forging)

        bad = books.verify().first_bad

        assert bad is not None
        assert (bad.table, bad.key) == (RECORD.name, ids.show(Prefix.RECORD, number)), bad

    @pytest.mark.parametrize(
        "kind", [pytest.param(501, id="terms"), pytest.param(502, id="used of a day")]
    )
    def test_misses_a_record_of_a_mandate_that_was_taken_out(self, books, forging, kind):
        """Its approval, or the transfers that used it, ask for it."""
        number = find(forging, RECORD.name, f"kind = {kind} AND thing > 6 AND version = 1")
        forging.execute(f"DELETE FROM {RECORD.name} WHERE id = {number}")
        chain_anew(forging)

        bad = books.verify().first_bad

        assert bad is not None
        assert bad.table == RECORD.name, bad

    @pytest.mark.parametrize(
        ("amount", "account", "expected"),
        [
            (61, "anna", "at most 60 a movement"),
            (5, "anna", "at most 150 a day, 155 with this one"),
            (5, "spare", "does not cover this account"),
            (6, "anna", "valid at its time"),
        ],
    )
    def test_names_a_transfer_that_its_mandate_does_not_cover(
        self, books, forging, amount, account, expected
    ):
        """Each was posted under a mandate that allows all, just when this one did not."""
        (fees,) = forging.execute(
            f"SELECT max(thing) FROM {RECORD.name} WHERE kind = 501"
        ).fetchone()
        limit = 0 if account == "anna" else 500
        number = find(
            forging,
            TRANSFER.name,
            f"authority_kind = 2 AND authority = {Mandate.ADJUSTMENT:d} AND amount = {amount} AND "
            f"debit_account IN (SELECT id FROM ledger.account WHERE hold_limit = {limit})",
        )
        forging.execute(f"UPDATE {TRANSFER.name} SET authority = {fees} WHERE id = {number}")
        chain_anew(forging)

        bad = books.verify().first_bad

        assert bad is not None
        assert (bad.table, bad.key) == (TRANSFER.name, ids.show(Prefix.TRANSFER, number)), bad
        assert expected in bad.expected, bad

    def test_finds_money_made_from_nothing(self, books, forging):
        """A transfer of its own entry, without an authority, does not go unseen."""
        number = find(forging, TRANSFER.name, f"{BY_DECISION} AND kind = {TransferKind.POST}")
        forging.execute(
            f"INSERT INTO {TRANSFER.name} SELECT (jsonb_populate_record(t, jsonb_build_object("
            f"'id', id + 1, 'debit_version', debit_version + 1000, 'credit_version', "
            f"credit_version + 1000))).* FROM {TRANSFER.name} t WHERE id = {number}"
        )
        chain_anew(forging)

        bad = books.verify().first_bad

        assert bad is not None
        assert bad.key == ids.show(Prefix.TRANSFER, number + 1)
