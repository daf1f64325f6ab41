"""What doctor says of the bank's government, by what is stored and by the files beside it."""

import asyncio

import msgspec
import psycopg
import pytest
import trustme
from tests.history.banks import opened

from scudo.auditing import Recount
from scudo.bootstrap import migrate_all, now_us
from scudo.fabric.settings import Settings
from scudo.identity.operators.model import Line, Review, Role
from scudo.interfaces.cli import checking, overlooking
from scudo.kernel import instant

DAY_US = 86_400_000_000


def findings(database, home, *, now=None):
    """Everything that is found, by name."""
    with psycopg.connect(database.dsn.read, autocommit=True) as connection:
        found = overlooking.findings(connection, Settings(home=home), now=now or now_us())
        return {finding.name: finding for finding in found}


def keep_review(database, home, review):
    """Store a review as the writer would."""
    live(database, home)
    row = "INSERT INTO fabric.record (id, kind, thing, version, body) VALUES (1, 123, 1, 1, %s)"
    with psycopg.connect(database.dsn.owner, autocommit=True) as connection:
        connection.execute(row, (msgspec.json.encode(review),))


def live(database, home):
    """Have the log begin: a control is degraded for a moment."""

    async def degrade():
        async with opened(database.dsn, home) as (bank, _):
            bank.rooms.gatekeeper.degraded_at = 1 << 62
            while not bank.conveyor.head.position:
                await asyncio.sleep(0.05)

    asyncio.run(degrade())


@pytest.fixture
def bank(database):
    """The schema of a bank in which nothing has happened."""
    migrate_all(database.dsn)
    return database


class TestGovernment:
    def test_of_a_new_bank_is_in_order(self, bank, tmp_path):
        """Nothing is degraded, past its date, waited for or overdue."""
        found = findings(bank, tmp_path)

        assert set(found) == {"controls", "flags", "access_reviews", "auditor"}
        assert [finding.name for finding in found.values() if not finding.ok] == []
        assert not any(finding.is_vital for finding in found.values())
        assert found["auditor"].found == "no round has ended yet"

    def test_names_degraded_controls_and_who_is_paged(self, database, tmp_path):
        """What was noted is told, also while the bank is down."""

        async def degrade():
            async with opened(database.dsn, tmp_path) as (bank, _):
                bank.notary.alarm = "a test says so"
                while not bank.rooms.controls.degraded():
                    await asyncio.sleep(0.05)

        asyncio.run(degrade())
        controls = findings(database, tmp_path)["controls"]

        assert not controls.ok
        assert controls.found.startswith("evidence since 2")
        assert controls.found.endswith("level 0, pages security on-call")

    def test_names_flags_past_their_date(self, bank, tmp_path):
        """A flag that outlives its date is told by its name."""
        flags = findings(bank, tmp_path, now=now_us() + 3_650 * DAY_US)["flags"]

        assert not flags.ok
        assert "me_gives_advice" in flags.found

    @pytest.mark.parametrize(("days", "ok"), [(-1, False), (6, False), (8, True)])
    def test_counts_reviews_that_wait(self, database, tmp_path, days, ok):
        """One that is due within a week, or was, must be seen to."""
        now = now_us()
        line = Line(7, Role.ENGINEER, now, 0)
        keep_review(database, tmp_path, Review(8, now, now + days * DAY_US, "regular", (line,)))

        reviews = findings(database, tmp_path, now=now)["access_reviews"]

        assert reviews.ok is ok
        assert reviews.found.startswith("1 wait for answers, the first is due 2")

    @pytest.mark.parametrize(("hours", "ok"), [(1, True), (47, True), (49, False)])
    def test_says_when_the_auditor_ended_its_last_round(self, bank, tmp_path, hours, ok):
        """A round that takes more than twice its time is overdue."""
        now = now_us()
        ended = now - hours * DAY_US // 24
        notes = msgspec.json.encode(Recount(rounds=3, finished_at=ended))
        (tmp_path / "auditor.json").write_bytes(notes)

        auditor = findings(bank, tmp_path, now=now)["auditor"]

        assert auditor.ok is ok
        assert auditor.found.startswith("3 rounds, the last ended 2")

    def test_misses_an_auditor_that_never_came_to_an_end(self, database, tmp_path):
        """A bank that is days old and was never recounted is told."""
        live(database, tmp_path)

        assert findings(database, tmp_path)["auditor"].ok
        assert not findings(database, tmp_path, now=now_us() + 3 * DAY_US)["auditor"].ok


class TestCertificates:
    @pytest.mark.parametrize(("days", "ok"), [(13, False), (15, True)])
    def test_of_clients_authorities_are_told_before_they_end(self, tmp_path, days, ok):
        """A CA that ends within two weeks takes all its clients with it."""
        ends = instant(now_us() + days * DAY_US)
        authority = trustme.CA()
        leaf, short = authority.issue_cert("localhost"), authority.issue_cert("ca", not_after=ends)
        (tmp_path / "cert.pem").write_bytes(b"".join(one.bytes() for one in leaf.cert_chain_pems))
        (tmp_path / "key.pem").write_bytes(leaf.private_key_pem.bytes())
        folder = tmp_path / "authorities"
        folder.mkdir()
        (folder / "ca.pem").write_bytes(short.cert_chain_pems[0].bytes())
        settings = Settings(
            home=tmp_path,
            tls_cert=tmp_path / "cert.pem",
            tls_key=tmp_path / "key.pem",
            client_ca=folder,
        )

        found = {finding.name: finding for finding in checking._certificate(settings)}

        assert found["client_authorities"].ok is ok
        assert found["client_authorities"].found.startswith("the first ends 2")

    def test_that_cannot_be_read_are_told(self, tmp_path):
        """A file that is no certificate, and a folder without any."""
        settings = Settings(
            home=tmp_path,
            tls_cert=tmp_path / "no.pem",
            tls_key=tmp_path / "no.pem",
            client_ca=tmp_path,
        )
        empty = {finding.name: finding for finding in checking._certificate(settings)}
        (tmp_path / "ca.pem").write_text("no certificate")
        torn = {finding.name: finding for finding in checking._certificate(settings)}

        assert [empty[name].ok for name in ("certificate", "client_authorities")] == [False] * 2
        assert empty["client_authorities"].found == "there is none"
        assert not torn["client_authorities"].ok
        assert torn["client_authorities"].found == "a file of a CA cannot be read"
