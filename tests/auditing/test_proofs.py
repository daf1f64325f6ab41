"""A proof convinces somebody who has nothing but it, and nothing else does."""

import base64
import json
import shutil
import subprocess
import sys

import pytest

import scudo.proofcheck
from scudo.auditing import CHAINED
from scudo.governance import (
    DAY,
    HOUR,
    EntryUnknown,
    HeadUnknown,
    prove_entry,
    prove_growth,
)
from scudo.kernel import Prefix, ids
from scudo.proofcheck import NotProven, Unreadable, check, leaf_digest, main, node_digest

#: Runs the one file in a Python that has the standard library and `cryptography`, no more.
LONELY = """
import importlib.abc, runpy, sys

class Nothing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        known = {"cryptography", "cffi", "_cffi_backend"} | sys.stdlib_module_names
        if name.partition(".")[0] not in known:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Nothing())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def payment(books):
    """An authorised card payment: an entry with a key, a decision and a transfer."""
    return books.admin.execute(
        "SELECT id FROM payments.payment WHERE hold IS NOT NULL ORDER BY id LIMIT 1"
    ).fetchone()[0]


@pytest.fixture(scope="module")
def proof(books, payment):
    return prove_entry(books.reader, payment, tables=CHAINED)


@pytest.fixture(scope="module")
def witness(books):
    (folder,) = (books.home / "witness").iterdir()
    return folder


def lonely(folder, *arguments):
    """The one file, carried to another folder and run there."""
    carried = folder / "carried.py"
    shutil.copy(scudo.proofcheck.__file__, carried)
    done = subprocess.run(
        [sys.executable, "-I", "-c", LONELY, str(carried), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def decoded(text):
    return base64.b64decode(text)


def encoded(octets):
    return base64.b64encode(octets).decode()


class TestProof:
    def test_says_what_the_rows_say(self, books, payment, proof):
        """Amount, currency, outcome and movement are read from the rows of the entry."""
        said = "\n".join(check(proof))

        assert said.startswith(f"payment {ids.show(Prefix.PAYMENT, payment)} of 10.00 EUR")
        assert f"on {ids.show(Prefix.PAYMENT, payment)}: allow" in said
        assert "10.00 EUR held from acc_" in said

    def test_holds_for_every_entry_of_the_log(self, books, witness):
        """Whatever the entry is, with or without key, decisions and many transfers."""
        positions = books.admin.execute("SELECT position FROM fabric.log_entry").fetchall()
        for (position,) in positions:
            written = prove_entry(books.reader, position, tables=CHAINED)
            tables = [row["table"] for row in json.loads(written)["rows"]]
            assert tables == sorted(tables, key=["E1", "K1", "R1", "D1", "T1"].index)
            assert check(written)

    def test_has_every_row_of_its_entry(self, books):
        """The rows of a proof are those that the database has for the entry."""
        entries = books.admin.execute(
            "SELECT e.position, (SELECT count(*) FROM ledger.transfer t"
            " WHERE t.id >> 12 = e.position) FROM fabric.log_entry e"
        ).fetchall()

        for position, transfers in entries:
            rows = json.loads(prove_entry(books.reader, position, tables=CHAINED))["rows"]
            assert sum(row["table"] == "T1" for row in rows) == transfers

    def test_is_signed_by_the_second_algorithm_where_it_is_asked_for(self, books, payment):
        """An hourly or daily head carries ML-DSA-65."""
        cadences = (HOUR, DAY)

        said = check(prove_entry(books.reader, payment, tables=CHAINED, cadences=cadences))

        assert "by the ml-dsa-65 key" in said[0]

    def test_is_small(self, proof):
        """Without head, key and the rows themselves it has less than two kilobytes."""
        parts = json.loads(proof)
        for name in ("rows", "head", "key"):
            del parts[name]

        assert len(json.dumps(parts)) < 2_048

    def test_is_refused_where_no_entry_begins(self, books):
        """A position inside an entry, or beyond the log, begins none."""
        for position in (
            10**6,
            -5,
            books.admin.execute(
                "SELECT position + 1 FROM fabric.log_entry WHERE event_count > 1 LIMIT 1"
            ).fetchone()[0],
        ):
            with pytest.raises(EntryUnknown):
                prove_entry(books.reader, position, tables=CHAINED)

    def test_of_growth_is_refused_between_sizes_that_nobody_signed(self, books):
        """Only heads that were signed can be compared."""
        with pytest.raises(HeadUnknown):
            prove_growth(books.reader, 1, 10**6)


class TestAnotherMachine:
    def test_needs_nothing_but_cryptography(self, tmp_path, proof, witness):
        """The one file, alone with `cryptography`, checks proof and witness."""
        (tmp_path / "proof.json").write_bytes(proof)
        key = json.loads(proof)["head"]["key"]

        code, said = lonely(tmp_path, "proof.json", f"--witness={witness}")
        assert (code, said[:8]) == (0, "Proven: ")
        code, said = lonely(tmp_path, "proof.json", f"--key={key}")
        assert code == 0
        assert "Whose keys these are" not in said
        assert lonely(tmp_path, f"--witness={witness}")[0] == 0

    def test_is_told_what_is_wrong_without_a_traceback(self, tmp_path, proof):
        """Exit code 1: not proven; 2: cannot be read; a sentence in both cases."""
        forged = json.loads(proof)
        forged["head"]["size"] += 1
        for name, content, expected in (
            ("forged.json", json.dumps(forged).encode(), 1),
            ("torn.json", proof[:-7], 2),
            ("binary.json", bytes(range(256)), 2),
            ("deep.json", b"[" * 100_000, 2),
            ("empty.json", b"", 2),
            ("number.json", b"9" * 10_000, 2),
        ):
            (tmp_path / name).write_bytes(content)
            code, said = lonely(tmp_path, name)
            assert code == expected, said
            assert said.startswith("Not proven: " if expected == 1 else "Cannot be read: ")
        assert lonely(tmp_path, "absent.json")[0] == 2
        assert lonely(tmp_path, "torn.json", "--key=zz")[0] == 2


def confuse(proof):
    """Give a node of the batch's tree for a leaf, and the digests of two rows for an image."""
    rows, batch = proof["rows"], proof["batch"]
    leaves = [leaf_digest(row["table"].encode() + decoded(row["image"])) for row in rows]
    assert batch["shape"].count("##")
    left, right = leaves[:2]
    assert node_digest(left, right)
    joined = left + right
    batch["shape"] = batch["shape"].replace("+##", "#", 1)
    rows[:2] = [{"table": "E1", "image": encoded(joined)}]


def swap(image, at, octets):
    return encoded(image[:at] + octets + image[at + len(octets) :])


#: What is done to a proof, and whether it is then readable at all.
FORGERIES = {
    "a bit of the entry": lambda p: p["rows"][0].update(
        image=swap(decoded(p["rows"][0]["image"]), 90, b"\x00\x01")
    ),
    "the amount of the transfer": lambda p: p["rows"][-1].update(
        image=swap(decoded(p["rows"][-1]["image"]), 44, b"\x7f")
    ),
    "a row less": lambda p: p["rows"].pop(),
    "a row twice": lambda p: p["rows"].append(p["rows"][-1]),
    "rows swapped": lambda p: p["rows"].reverse(),
    "a row of another table": lambda p: p["rows"][-1].update(table="D1"),
    "no rows": lambda p: p.update(rows=[]),
    "a table of two words": lambda p: p["rows"][0].update(table="E\x1b"),
    "a table of a surrogate": lambda p: p["rows"][0].update(table="E\ud800"),
    "a node for a leaf": confuse,
    "a shape that is longer": lambda p: p["batch"].update(shape=p["batch"]["shape"] + "."),
    "a shape that is shorter": lambda p: p["batch"].update(shape=p["batch"]["shape"][:-1]),
    "a shape that is none": lambda p: p["batch"].update(shape=["+", "#"]),
    "a shape that never ends": lambda p: p["batch"].update(shape="+" * 10**6),
    "a batch path that is truncated": lambda p: p["batch"].update(
        path=encoded(decoded(p["batch"]["path"])[:-32])
    ),
    "a batch path with one more": lambda p: p["batch"].update(
        path=encoded(decoded(p["batch"]["path"]) + bytes(32))
    ),
    "another previous batch": lambda p: p["batch"].update(previous=encoded(bytes(32))),
    "a previous batch that is short": lambda p: p["batch"].update(previous=encoded(bytes(31))),
    "another index": lambda p: p["log"].update(index=p["log"]["index"] + 1),
    "an index beyond": lambda p: p["log"].update(index=p["head"]["size"]),
    "a negative index": lambda p: p["log"].update(index=-1),
    "an index that is no number": lambda p: p["log"].update(index=True),
    "an index with a fraction": lambda p: p["log"].update(index=float(p["log"]["index"])),
    "a log path that is truncated": lambda p: p["log"].update(
        path=encoded(decoded(p["log"]["path"])[:-32])
    ),
    "a log path with one more": lambda p: p["log"].update(
        path=encoded(decoded(p["log"]["path"]) + bytes(32))
    ),
    "a log path that is reversed": lambda p: p["log"].update(
        path=encoded(decoded(p["log"]["path"])[::-1])
    ),
    "a log path of half a digest": lambda p: p["log"].update(
        path=encoded(decoded(p["log"]["path"])[:-16])
    ),
    "a path that is huge": lambda p: p["log"].update(path=encoded(bytes(32 * 129))),
    "a smaller log": lambda p: p["head"].update(size=p["head"]["size"] - 1),
    "another root": lambda p: p["head"].update(root=encoded(bytes(32))),
    "another position": lambda p: p["head"].update(position=0),
    "another time": lambda p: p["head"].update(signed_at=p["head"]["signed_at"] + 1),
    "a time beyond all": lambda p: p["head"].update(signed_at=1 << 62),
    "another log": lambda p: p["head"].update(log="00" * 16),
    "another algorithm": lambda p: p["head"].update(algorithm="ml-dsa-65"),
    "an unknown algorithm": lambda p: p["head"].update(algorithm="rsa"),
    "an algorithm that is a list": lambda p: p["head"].update(algorithm=["ed25519"]),
    "another algorithm of the key": lambda p: p["key"].update(algorithm="ml-dsa-65"),
    "another key": lambda p: p["key"].update(public_key=encoded(bytes(31) + b"\x01")),
    "a key in use too late": lambda p: p["key"].update(valid_from=p["head"]["signed_at"] + 1),
    "a fingerprint in upper case": lambda p: p["head"].update(key=p["head"]["key"].upper()),
    "a fingerprint with spaces": lambda p: p["head"].update(key=" " + p["head"]["key"]),
    "no signature": lambda p: p["head"].update(signature=""),
    "another signature": lambda p: p["head"].update(signature=encoded(bytes(64))),
    "base64 that is not canonical": lambda p: p["head"].update(
        signature=p["head"]["signature"][:-3] + "B=="
    ),
    "base64 with a line end": lambda p: p["head"].update(signature=p["head"]["signature"] + "\n"),
    "one member more": lambda p: p["head"].update(caption="all is well"),
    "one member less": lambda p: p["head"].pop("cadence"),
    "no head": lambda p: p.pop("head"),
    "a head that is a list": lambda p: p.update(head=[]),
}


class TestForgedProof:
    @pytest.mark.parametrize("which", FORGERIES)
    def test_is_refused_with_a_sentence(self, proof, which, tmp_path, capsys):
        """Whatever was changed, the answer is one sentence and exit code 1 or 2."""
        forged = json.loads(proof)
        FORGERIES[which](forged)
        path = tmp_path / "forged.json"
        path.write_text(json.dumps(forged))
        assert path.read_text() != json.dumps(json.loads(proof))

        code = main([str(path)])

        said = capsys.readouterr().out
        assert code in {1, 2}, said
        assert said.count("\n") == 1
        assert said.isprintable() or said.strip().isprintable()

    def test_with_a_member_twice_is_refused(self, proof):
        """Of two members of one name a reader could take either."""
        twice = proof.replace(b'"size":', b'"size": 1, "size":', 1)

        with pytest.raises(Unreadable, match="stands twice"):
            check(twice)

    def test_of_a_row_that_is_no_entry_is_refused(self, books, payment):
        """A decision that is in the log is not shown as an entry."""
        forged = json.loads(prove_entry(books.reader, payment, tables=CHAINED))
        kept, *others = forged["rows"]
        batch = forged["batch"]
        digest = leaf_digest(b"E1" + decoded(kept["image"]))
        shape, path = batch["shape"], decoded(batch["path"])
        before = shape[: shape.index("#")].count(".")
        batch["shape"] = shape.replace("#", ".", 1)
        batch["path"] = encoded(path[: 32 * before] + digest + path[32 * before :])
        forged["rows"] = others

        with pytest.raises(NotProven, match="of an entry"):
            check(json.dumps(forged).encode())
