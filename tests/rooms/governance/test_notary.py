"""The notary signs what the log has grown to, takes it to the witness, and sees forgeries."""

import hashlib
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from tests.rooms.governance.conftest import MORNING

from scudo.governance import (
    ED25519,
    ML_DSA_65,
    EvidenceContradicted,
    KeyFiles,
    Notary,
    logic,
    store,
)
from scudo.governance.notary import EVERY_US
from scudo.governance.witness import Line, WitnessFolder
from scudo.kernel import DAY_US, GENESIS, SECOND_US, chain
from scudo.proofcheck import NotProven, Witness, check, witness_files

HOUR_US = 3_600 * SECOND_US


def told(heads):
    return [(head.number, head.size, head.cadence, head.algorithm) for head in heads]


class TestTree:
    def test_grows_with_the_chain_over_several_pages(self, log):
        """Whatever it is interrupted by, the tree has the root of all that it has taken."""
        log.append(600)
        notary = log.notary()

        while notary.grow(log.app):
            notary = log.notary()
        tree = store.read_tree(log.app)

        assert (tree.size, tree.position, tree.hash) == (600, 600, log.hash)
        assert store.find_digests(log.app, [(0, 600)]) == [log.root(600)]
        assert store.find_digests(log.app, [(0, 77)]) == [log.root(77)]

    def test_takes_nothing_twice(self, log):
        """Two notaries at once, and one that begins again, leave one tree."""
        log.append(3)
        first, second = log.notary(), log.notary()

        assert not any(notary.grow(log.app) for notary in (first, second, first, second))
        log.append(2)
        assert not any(notary.grow(log.app) for notary in (second, first))

        assert store.find_digests(log.app, [(0, 5)]) == [log.root(5)]

    def test_cannot_be_changed_by_the_application(self, log):
        """The role that the bank works with may add nodes and heads, and take none back."""
        log.append()
        log.attest(log.notary(), MORNING)

        for table in ("tree_node", "signed_head", "signing_key"):
            for statement in (f"DELETE FROM governance.{table}", f"TRUNCATE governance.{table}"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    log.app.execute(statement)
        for change in (
            "UPDATE governance.tree_node SET hash = hash",
            "UPDATE governance.signed_head SET root = root",
            "UPDATE governance.tree SET log = log",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                log.app.execute(change)


class TestHeads:
    def test_are_not_signed_of_an_empty_log(self, log):
        """Where nothing has happened there is nothing to sign."""
        log.attest(log.notary(), MORNING)

        assert log.heads() == []
        assert not (log.folder / "witness").exists()

    def test_are_signed_for_the_moment_the_hour_and_the_day(self, log):
        """By Ed25519 while it grows; by ML-DSA-65 each hour that it grew, and every day."""
        notary = log.notary()
        for later, grows in [
            (0, 2),
            (EVERY_US - 1, 1),
            (EVERY_US, 0),
            (2 * EVERY_US, 0),
            (HOUR_US, 0),
            (HOUR_US + EVERY_US, 3),
            (HOUR_US + 2 * EVERY_US, 0),
            (DAY_US, 0),
            (DAY_US + HOUR_US, 0),
        ]:
            log.append(grows)
            log.attest(notary, MORNING + later)

        assert told(log.heads()) == [
            (1, 2, "moment", ED25519),
            (2, 2, "day", ML_DSA_65),
            (3, 3, "moment", ED25519),
            (4, 3, "hour", ML_DSA_65),
            (5, 6, "moment", ED25519),
            (6, 6, "day", ML_DSA_65),
        ]
        assert [head.root for head in log.heads()] == [
            log.root(size) for size in (2, 2, 3, 3, 6, 6)
        ]
        assert log.witnessed() == log.heads()
        assert len(witness_files(log.witness())) == 2

    def test_stay_in_order_when_the_clock_is_set_back(self, log):
        """What is signed later never claims an earlier time."""
        notary = log.notary()
        for later in (0, EVERY_US, -DAY_US, EVERY_US - SECOND_US, 3 * EVERY_US):
            log.append()
            log.attest(notary, MORNING + later)

        times = [head.signed_at for head in log.heads()]
        assert times == sorted(times)
        assert log.witnessed() == log.heads()

    def test_stay_verifiable_when_a_key_is_replaced(self, log):
        """A new key signs from now on; heads of the old one are still proven."""
        log.append()
        log.attest(log.notary(), MORNING)
        KeyFiles(log.folder / "keys").rotate(ED25519)
        log.append()
        log.attest(log.notary(), MORNING + EVERY_US)
        log.append()
        log.attest(log.notary(), MORNING + 2 * EVERY_US)

        moments = [head for head in log.witnessed() if head.cadence == "moment"]
        old, new, newest = [head.key for head in moments]
        assert old != new
        assert new == newest
        check(None, witness=log.witness(), keys={head.key for head in log.heads()})
        with pytest.raises(NotProven, match="none of those that were named"):
            check(None, witness=log.witness(), keys={new})

    def test_do_not_count_by_a_key_that_was_replaced(self, log):
        """Whoever finds an old key cannot sign with it any more, even at the witness."""
        log.append()
        log.attest(log.notary(), MORNING)
        stolen = KeyFiles(log.folder / "keys")
        KeyFiles(log.folder / "keys").rotate(ED25519)
        log.append()
        log.attest(log.notary(), MORNING + EVERY_US)
        old, *_, latest = log.witnessed()
        forged = replace(latest, number=latest.number + 1, key=old.key)
        forged = replace(forged, signature=stolen.sign(ED25519, forged.statement))

        key = store.read_keys(log.app)[old.key]
        WitnessFolder(log.folder / "witness", old.log).append([Line(forged, key, [])])

        with pytest.raises(NotProven, match="had been replaced"):
            log.witnessed()

    def test_are_signed_at_last_when_the_bank_stops(self, log):
        """Told to stop, the notary signs what has grown, however short ago it signed."""
        log.append(2)
        log.attest(log.notary(), MORNING)
        log.append(5)
        ended = threading.Event()
        ended.set()

        notary = log.notary()
        notary.run(
            lambda: psycopg.connect(log.database.dsn.app, autocommit=True),
            clock=lambda: MORNING + 1,
            stopping=ended,
        )

        assert log.witnessed()[-1].size == 7
        assert (notary.size, notary.alarm) == (7, None)
        assert notary.signed == notary.exported == len(log.heads())


class Unreachable(KeyFiles):
    """A signer that is away."""

    def sign(self, algorithm, message):
        raise ConnectionRefusedError


class Broken(KeyFiles):
    """A signer with a fault."""

    def sign(self, algorithm, message):
        raise ZeroDivisionError


class TestInterruption:
    def test_loses_nothing_between_tree_head_and_export(self, log):
        """Each step is taken by a process of its own; the witness has all of it, in order."""
        log.append(3)
        log.notary().grow(log.app)
        with pytest.raises(ConnectionRefusedError):
            log.attest(log.notary(Unreachable(log.folder / "keys")), MORNING)
        assert log.heads() == []
        full = log.folder / "full"
        full.write_text("a file, where a folder should be")
        with pytest.raises(NotADirectoryError):
            log.attest(log.notary(witness=full), MORNING)
        assert len(log.heads()) == 2

        log.append()
        log.attest(log.notary(), MORNING + EVERY_US)

        assert log.witnessed() == log.heads()
        assert [head.number for head in log.witnessed()] == [1, 2, 3]

    @pytest.mark.parametrize("torn", [1, 2, 3, 40, 5_000])
    def test_of_a_line_is_made_good(self, log, torn):
        """A line that was written by half is ended, and follows whole."""
        log.append()
        log.attest(log.notary(), MORNING)
        (path, size), *_ = witness_files(log.witness())
        with path.open("rb+") as file:
            file.truncate(size - torn)
        assert len(log.witnessed()) < 2 or torn == 1
        log.owner.execute("UPDATE governance.export SET number = 0")

        log.append()
        log.attest(log.notary(), MORNING + EVERY_US)

        assert log.witnessed() == log.heads()
        assert len(log.heads()) == 3

    def test_before_the_export_was_noted_repeats_no_line(self, log):
        """What the witness has counts, not what the database believes that it has."""
        log.append()
        log.attest(log.notary(), MORNING)
        before = witness_files(log.witness())
        log.owner.execute("UPDATE governance.export SET number = 0")

        log.attest(log.notary(), MORNING)

        assert witness_files(log.witness()) == before

    def test_by_kill_9_at_any_moment_leaves_a_whole_witness(self, log):
        """A process that signs as fast as it can is killed again and again, mid-write."""
        code = (
            "import itertools, psycopg, sys\n"
            "from pathlib import Path\n"
            "from scudo.governance import KeyFiles, Notary\n"
            "dsn, home, start = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])\n"
            "keys = KeyFiles(home / 'keys')\n"
            "notary = Notary(signer=keys, witness=home / 'witness', every_us=0)\n"
            "with psycopg.connect(dsn, autocommit=True) as connection:\n"
            "    for later in itertools.count():\n"
            "        notary.grow(connection)\n"
            "        notary.attest(connection, now=start + later * 600_000_000)\n"
            "        sys.stdout.write('.')\n"
            "        sys.stdout.flush()\n"
        )
        for life in range(3):
            start = MORNING + life * DAY_US
            command = [sys.executable, "-c", code, log.database.dsn.app, log.folder, str(start)]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
                for _ in range(40):
                    log.append()
                    assert process.stdout.read(1) == b"."
                process.send_signal(signal.SIGKILL)

        log.append()
        log.attest(log.notary(), MORNING + 9 * DAY_US)

        assert log.witnessed() == log.heads()
        assert log.heads()[-1].size == log.size
        assert log.heads()[-1].root == log.root(log.size)

    def test_of_the_witness_is_made_good_at_another_place(self, log):
        """A place that has nothing is given every head from the first on."""
        log.append()
        log.attest(log.notary(), MORNING)
        other = log.folder / "elsewhere"

        log.attest(log.notary(witness=other), MORNING)

        assert log.witnessed(other) == log.witnessed() == log.heads()


def rechain(log, start):
    """Write every batch from one on anew, chained as it should be."""
    previous = log.hashes[start - 2] if start > 1 else GENESIS
    for number in range(start, log.size + 1):
        root = hashlib.sha256(b"forged %d" % number).digest()
        previous = chain(previous, root)
        log.hashes[number - 1] = log.hash = previous
        log.owner.execute(
            "UPDATE fabric.log_batch SET root = %s, hash = %s WHERE number = %s",
            (root, previous, number),
        )


def regrow(log):
    """Compute the whole tree anew from the log as it is."""
    frontier = logic.Frontier(0, [])
    nodes = [node for digest in log.hashes for node in frontier.push(digest)]
    log.owner.execute("TRUNCATE governance.tree_node")
    store.add_nodes(log.owner, nodes)
    log.owner.execute("UPDATE governance.tree SET hash = %s, size = %s", (log.hash, log.size))


def unsign(log, number):
    """Take out heads from one on."""
    log.owner.execute("DELETE FROM governance.signed_head WHERE number >= %s", (number,))
    log.owner.execute("UPDATE governance.export SET number = %s", (number - 1,))


FORGERIES = {
    "latest batch": lambda log: rechain(log, 6),
    "every batch": lambda log: rechain(log, 1),
    "chain and tree": lambda log: (rechain(log, 3), regrow(log)),
    "chain, tree and last head": lambda log: (rechain(log, 3), regrow(log), unsign(log, 2)),
    "chain, tree and all heads": lambda log: (rechain(log, 3), regrow(log), unsign(log, 1)),
    "last head": lambda log: unsign(log, 2),
    "size of a head": lambda log: log.owner.execute("UPDATE governance.signed_head SET size = 1"),
    "nodes": lambda log: log.owner.execute("UPDATE governance.tree_node SET hash = sha256(hash)"),
    "a node": lambda log: log.owner.execute("DELETE FROM governance.tree_node WHERE level = 2"),
    "which log": lambda log: log.owner.execute(
        "UPDATE governance.tree SET log = gen_random_uuid()"
    ),
    "end of the log": lambda log: log.owner.execute(
        "DELETE FROM fabric.log_batch WHERE number > 4"
    ),
}


class TestForgery:
    @pytest.mark.parametrize("is_running", [True, False])
    @pytest.mark.parametrize("which", FORGERIES)
    def test_of_what_was_signed_ends_the_signing(self, log, which, is_running):
        """Nothing is signed over a log that was rewritten, by who saw it or by who starts anew."""
        log.append(6)
        notary = log.notary()
        log.attest(notary, MORNING)
        before = log.witnessed()

        FORGERIES[which](log)
        if which != "end of the log":
            log.append(3)
        if not is_running:
            notary = log.notary()

        with pytest.raises(EvidenceContradicted):
            log.attest(notary, MORNING + EVERY_US)
        assert log.witnessed() == before

    def test_under_another_key_never_reaches_the_witness(self, log):
        """A head that somebody signed with a key of his own is not exported."""
        log.append(2)
        log.attest(log.notary(), MORNING)
        before = log.witnessed()
        log.append()
        log.notary().grow(log.app)
        stranger = Notary(signer=KeyFiles(log.folder / "strange"), witness=log.folder / "other")
        with log.owner.transaction():
            forged = stranger._keys(log.owner, MORNING + 1)[ED25519]
            log.owner.execute(
                "INSERT INTO governance.signed_head SELECT number + 2, size, root, position, "
                "signed_at, cadence, %s, signature FROM governance.signed_head WHERE number = 1",
                (forged.fingerprint,),
            )

        with pytest.raises(EvidenceContradicted, match="none of ours"):
            log.attest(log.notary(), MORNING + EVERY_US)
        assert log.witnessed() == before

    def test_raises_the_alarm_and_ends_the_notary(self, log):
        """A bank that runs goes on, its notary does not: it says why, and signs no more."""
        log.append(4)
        log.attest(log.notary(), MORNING)
        rechain(log, 2)
        notary = log.notary()

        notary.run(
            lambda: psycopg.connect(log.database.dsn.app, autocommit=True),
            clock=lambda: MORNING + EVERY_US,
            stopping=threading.Event(),
        )

        assert notary.alarm is not None
        assert "rewritten" in notary.alarm
        assert len(log.heads()) == 2

    def test_is_raised_by_a_fault_of_the_notary_itself(self, log):
        """Nobody waits for its thread: what nobody has foreseen is an alarm too, not silence."""
        log.append()
        notary = log.notary(signer=Broken(log.folder / "keys"))

        notary.run(
            lambda: psycopg.connect(log.database.dsn.app, autocommit=True),
            clock=lambda: MORNING,
            stopping=threading.Event(),
        )

        assert notary.alarm == "the notary met a fault of its own: ZeroDivisionError"


def changed(line, old, new):
    assert old in line
    return line.replace(old, new)


TOUCHES = {
    "a key is missing": lambda lines: lines[:2] + lines[3:],
    "a head is missing": lambda lines: lines[:-2] + lines[-1:],
    "two heads are swapped": lambda lines: [*lines[:-2], lines[-1], lines[-2]],
    "the first key and head are missing": lambda lines: lines[2:],
    "a size": lambda lines: [*lines[:-1], changed(lines[-1], b'"size":', b'"size":1')],
    "a number": lambda lines: [*lines[:-1], changed(lines[-1], b'"number":', b'"number":1')],
    "a path": lambda lines: [*lines[:-1], changed(lines[-1], b'"path":"', b'"path":"' + b"A" * 44)],
    "a piece of a line": lambda lines: [*lines[:-1], lines[-1][:-9] + b"}}\n"],
    "a cadence": lambda lines: [*lines[:-1], changed(lines[-1], b"moment", b"day")],
    "a strange line": lambda lines: [*lines[:3], b"something\n", *lines[3:]],
    "an empty head": lambda lines: [*lines[:3], b'{"path":"","head":{}}\n', *lines[3:]],
}


class TestWitness:
    @pytest.mark.parametrize("which", TOUCHES)
    def test_that_was_touched_is_found(self, log, which):
        """A line that is missing, moved, changed or of somebody else does not go unseen."""
        notary = log.notary()
        for later in range(4):
            log.append(2)
            log.attest(notary, MORNING + later * EVERY_US)
        ((path, _),) = witness_files(log.witness())
        lines = path.read_bytes().splitlines(keepends=True)
        assert log.witnessed() == log.heads()

        path.write_bytes(b"".join(TOUCHES[which](lines)))

        done = subprocess.run(
            [sys.executable, "-m", "scudo.proofcheck", f"--witness={path.parent}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in {1, 2}, done.stdout
        assert done.stderr == ""
        assert done.stdout.startswith(("Not proven: ", "Cannot be read: "))

    def test_has_what_its_keys_signed_after_them_in_every_file(self, log):
        """A day's file can be read by itself."""
        notary = log.notary()
        for later in range(3):
            log.append()
            log.attest(notary, MORNING + later * DAY_US)

        files = witness_files(log.witness())

        assert [len(list(Witness([file]))) for file in files] == [2, 2, 2]


class TestKeyFiles:
    def test_are_private_and_the_same_next_time(self, tmp_path):
        """Keys are made once, readable by their owner only."""
        first = KeyFiles(tmp_path / "keys").public_keys()

        assert KeyFiles(tmp_path / "keys").public_keys() == first
        modes = {path.stat().st_mode & 0o777 for path in Path(tmp_path / "keys").iterdir()}
        assert modes == {0o600}
