"""What tests of the evidence may ask for: a log of which there is only the chain."""

import hashlib

import psycopg
import pytest

from scudo.governance import KeyFiles, Notary, logic, store
from scudo.kernel import DAY_US, GENESIS, SECOND_US, chain
from scudo.proofcheck import Witness, witness_files

MORNING = 20_000 * DAY_US + 9 * 3_600 * SECOND_US


class Log:
    """A log of which there is only the chain, and a notary that keeps its evidence."""

    def __init__(self, database, folder):
        self.database, self.owner, self.folder = database, database.connection, folder
        self.app = psycopg.connect(database.dsn.app, autocommit=True)
        self.owner.execute("SELECT fabric.grow(100000)")
        self.size, self.hash = 0, GENESIS
        self.hashes = []

    def append(self, count=1):
        """Seal batches of one event each."""
        for _ in range(count):
            self.size += 1
            root = hashlib.sha256(b"%d" % self.size).digest()
            self.hash = chain(self.hash, root)
            self.hashes.append(self.hash)
            self.owner.execute(
                "INSERT INTO fabric.log_batch VALUES (%s, %s, %s, 1, now(), 1, '', %s, %s)",
                (self.size, self.size, self.size, root, self.hash),
            )

    def notary(self, signer=None, witness=None):
        """A notary as a process makes one when it starts."""
        keys = signer or KeyFiles(self.folder / "keys")
        return Notary(signer=keys, witness=witness or self.folder / "witness")

    def attest(self, notary, now):
        while notary.grow(self.app):
            pass
        notary.attest(self.app, now=now)

    def heads(self):
        return list(store.every_head(self.app))

    def witness(self, folder=None):
        """Where the witness of this log is."""
        return next((folder or self.folder / "witness").iterdir())

    def witnessed(self, folder=None):
        """What the witness has; every line of it is checked."""
        return list(Witness(witness_files(self.witness(folder))))

    def root(self, size):
        frontier = logic.Frontier(0, [])
        for digest in self.hashes[:size]:
            frontier.push(digest)
        return frontier.root


@pytest.fixture
def log(database, tmp_path):
    made = Log(database, tmp_path)
    yield made
    made.app.close()
