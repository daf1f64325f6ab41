"""Somebody who computes everything anew, and right, is found by what was signed before."""

import base64
import json

import psycopg
import pytest
from tests.auditing.conftest import chain_anew

from scudo.auditing import CHAINED
from scudo.fabric import list_batches
from scudo.governance import (
    EvidenceAudit,
    KeyFiles,
    LogContradictsHead,
    Notary,
    logic,
    prove_entry,
    store,
)
from scudo.proofcheck import NotProven, check, witness_files


def first_payment(books):
    """A payment somewhere in the middle of the log."""
    return books.admin.execute(
        "SELECT id FROM payments.payment ORDER BY id LIMIT 1 OFFSET 5"
    ).fetchone()[0]


def tell_another_story(books):
    """Change what a customer was answered: no balance and no other row says otherwise."""
    changed = books.admin.execute(
        "UPDATE fabric.log_entry SET answer = replace(convert_from(answer, 'UTF8'),"
        " 'amount_minor', 'amount_miner')::bytea WHERE position = %s RETURNING answer",
        (first_payment(books),),
    ).fetchone()
    assert b"amount_miner" in changed[0]
    chain_anew(books.admin)


def grow_anew(books):
    """Compute the whole tree from the log as it is now."""
    frontier = logic.Frontier(0, [])
    batches = list_batches(books.admin, after=0, limit=100_000)
    nodes = [node for batch in batches for node in frontier.push(batch.hash)]
    books.admin.execute("TRUNCATE governance.tree_node")
    store.add_nodes(books.admin, nodes)
    books.admin.execute("UPDATE governance.tree SET hash = %s", (batches[-1].hash,))
    return frontier.root


def take_out_the_heads(books):
    books.admin.execute("TRUNCATE governance.signed_head")
    books.admin.execute("UPDATE governance.export SET number = 0")


def sign_the_forgery(books):
    """Give every head the root that the log has now; nobody has the key, so it is not signed."""
    root = grow_anew(books)
    books.admin.execute("UPDATE governance.signed_head SET root = %s", (root,))


class TestVerify:
    def test_counts_what_was_signed_and_witnessed(self, books):
        """A bank that has lived has heads, all of them at the witness, and all fit its log."""
        evidence = EvidenceAudit(books.home / "witness")

        assert books.verify(evidence).ok
        assert evidence.heads == evidence.witnessed
        assert evidence.heads >= 2

    @pytest.mark.fault(55)
    def test_names_the_batch_from_which_a_log_was_rewritten(self, books, forging):
        """The chain is right in itself and every balance too; the tree says what it was."""
        tell_another_story(books)

        bad = books.verify().first_bad

        batch = books.admin.execute(
            "SELECT max(first_position) FROM fabric.log_batch WHERE first_position <= %s",
            (first_payment(books),),
        ).fetchone()[0]
        assert (bad.table, bad.key, bad.column) == ("fabric.log_batch", str(batch), "hash")
        assert "rewritten" in bad.found

    @pytest.mark.fault(55)
    def test_finds_a_log_that_was_rewritten_with_its_tree(self, books, forging):
        """The roots that were signed are not those of the new tree."""
        tell_another_story(books)
        grow_anew(books)

        bad = books.verify().first_bad

        assert bad.table == "fabric.log_batch"
        assert "which was signed" in bad.expected

    def test_finds_heads_that_nobody_signed(self, books, forging):
        """A head that was given the new root does not carry a signature of it."""
        tell_another_story(books)
        sign_the_forgery(books)

        bad = books.verify().first_bad

        assert (bad.table, bad.column) == ("governance.signed_head", "signature")

    @pytest.mark.fault(55)
    def test_needs_the_witness_when_the_heads_were_taken_out(self, books, forging):
        """Nothing in the database tells of the forgery any more; the witness does."""
        tell_another_story(books)
        grow_anew(books)
        take_out_the_heads(books)

        assert books.verify().ok
        bad = books.verify_with_witness().first_bad

        assert bad.table == "fabric.log_batch"
        assert "head 1, which was signed" in bad.expected

    def test_names_heads_that_only_the_witness_has(self, books, forging):
        """Heads that were taken out are missed, even where the log still fits them."""
        take_out_the_heads(books)

        bad = books.verify_with_witness().first_bad

        assert (bad.table, bad.key, bad.found) == ("governance.signed_head", "1", "no row")

    @pytest.mark.parametrize(
        ("change", "table"),
        [
            ("UPDATE governance.tree_node SET hash = sha256(hash) WHERE level = 1", "tree_node"),
            ("DELETE FROM governance.tree_node WHERE level = 0 AND index = 3", "tree_node"),
            ("UPDATE governance.tree_node SET index = index + 1000 WHERE index = 4", "tree_node"),
            (
                "INSERT INTO governance.tree_node SELECT 0, 5000, hash FROM governance.tree",
                "tree_node",
            ),
            ("UPDATE governance.tree SET hash = sha256(hash)", "tree"),
            ("UPDATE governance.signed_head SET position = position - 1", "signed_head"),
            ("UPDATE governance.signed_head SET signed_at = now()", "signed_head"),
            ("UPDATE governance.signed_head SET cadence = 'hour'", "signed_head"),
            ("UPDATE governance.signed_head SET number = number + 100", "signed_head"),
            ("UPDATE governance.signed_head SET signature = sha512(signature)", "signed_head"),
        ],
    )
    def test_names_evidence_that_was_changed(self, books, forging, change, table):
        """Tree and heads are compared with the log, which is as it was."""
        books.admin.execute(change)

        bad = books.verify().first_bad

        assert bad is not None
        assert bad.table == f"governance.{table}", bad

    def test_names_a_witness_that_lacks_what_it_was_given(self, books, forging):
        """Lines that are missing at the end of the witness are missed too."""
        (path,) = (path for path, _ in witness_files(next((books.home / "witness").iterdir())))
        kept = path.read_bytes()
        try:
            path.write_bytes(b"".join(kept.splitlines(keepends=True)[:-1]))
            bad = books.verify_with_witness().first_bad
        finally:
            path.write_bytes(kept)

        assert bad is not None
        assert bad.table == "witness"


class TestProof:
    def test_outlives_a_forgery_that_the_database_cannot_tell(self, books, forging, tmp_path):
        """What was proven before stays proven; the forged rows cannot be proven to anybody."""
        position = first_payment(books)
        before = prove_entry(books.reader, position, tables=CHAINED)
        (witness,) = (books.home / "witness").iterdir()

        tell_another_story(books)
        grow_anew(books)

        with pytest.raises(LogContradictsHead):
            prove_entry(books.reader, position, tables=CHAINED)
        said = check(before, witness=witness)
        assert said[0].startswith(f"payment pay_{position:016x} of ")
        forged = json.loads(before)
        row = forged["rows"][0]
        told = base64.b64decode(row["image"]).replace(b"amount_minor", b"amount_miner")
        row["image"] = base64.b64encode(told).decode()
        with pytest.raises(NotProven, match="not what was signed"):
            check(json.dumps(forged).encode(), witness=witness)

    def test_of_a_forger_with_keys_of_his_own_is_not_at_the_witness(self, books, forging, tmp_path):
        """He can sign what he likes; the witness and the published keys do not know him."""
        position = first_payment(books)
        own = store.read_keys(books.reader)
        (witness,) = (books.home / "witness").iterdir()
        tell_another_story(books)
        grow_anew(books)
        take_out_the_heads(books)
        forger = Notary(signer=KeyFiles(tmp_path / "keys"), witness=tmp_path / "witness")
        with psycopg.connect(books.dsn.owner, autocommit=True) as connection:
            forger.sign(connection, now=1_790_000_000_000_000)

        forged = prove_entry(books.reader, position, tables=CHAINED)

        assert check(forged)[-1].startswith("Whose keys these are, no file can prove")
        with pytest.raises(NotProven, match="is not in the witness"):
            check(forged, witness=witness)
        with pytest.raises(NotProven, match="none of those that were named"):
            check(forged, keys=set(own))
        books.admin.execute("TRUNCATE governance.signed_head")
        books.admin.execute(
            "DELETE FROM governance.signing_key WHERE fingerprint <> ALL(%s)", (list(own),)
        )
