"""Customers leave, years pass, and the bank forgets them: unless somebody wants them kept."""

import contextlib
import dataclasses
import os
import re
import subprocess
import sys

import httpx
import psycopg
import pytest
from tests.bureau import Bureau
from tests.customers import new_address
from tests.journeys.conftest import serving, until
from tests.journeys.test_vault_erasure import CARD, PERSONAL, SECRET, finds

from scudo import vault
from scudo.bootstrap import now_us
from scudo.fabric.settings import Settings
from scudo.governance import retention
from scudo.interfaces.retaining import job_of
from scudo.kernel import DAY_US, Prefix, ids
from scudo.simulation import Phone

YEAR_US = 366 * DAY_US
#: Longer than any period.
LONG_US = 11 * YEAR_US
#: Countries: Switzerland keeps ten years, Germany five.
CH, DE = 756, 276


def run_job(bank, *, later_us=0):
    """Run the job once, as if so much time had passed."""

    async def run():
        async with vault.AsyncVaultClient(bank.guard.address, patience_s=10) as client:
            job = job_of(bank.bank, bank.settings, client.ask, now=lambda: now_us() + later_us)
            return await job.run()

    until(lambda: bank.bank.notary.stands)
    rules = bank.bank.rooms.retention.rules
    return {rules.by_number(ran.rule).name: ran for ran in bank.run(run())}


def customer_of(teller, country, **person):
    """A customer with a person in the vault, and no account."""
    body = {"reference": f"left-{os.urandom(6).hex()}", "kind": "person", "country": country}
    customer = teller.post("/v1/customers", body).json()["id"]
    kept = teller.http.put(f"/v1/customers/{customer}/person", json=person or {"alias": "left"})
    assert kept.status_code == 200
    return customer


def end(teller, customer):
    """End the relationship."""
    answer = teller.post(f"/v1/customers/{customer}/ending", {"reason_code": "by_customer"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def is_kept(bank, customer):
    """Whether the vault has anything of a customer's person."""
    number = ids.parse(Prefix.CUSTOMER, customer)
    with psycopg.connect(bank.database.dsn.admin) as admin:
        found = admin.execute("SELECT FROM vault.person_key WHERE person = %s", (number,))
        return found.fetchone() is not None


@pytest.fixture
def teller(vaulted):
    made = vaulted.teller(vaulted.token)
    with contextlib.closing(made.http):
        yield made


class TestForgetting:
    def test_a_customer_who_left_is_forgotten_when_the_law_lets_them_be(self, vaulted, teller):
        """Not a day before; then no value is in the vault's tables, and the log says how many."""
        customer = customer_of(teller, DE, **PERSONAL)
        number = ids.parse(Prefix.CUSTOMER, customer)
        body = {"number": CARD, "expiry": "2035-01", "customer_id": customer}
        assert teller.post("/v1/cards", body).status_code == 201
        with vaulted.asked() as client:
            client.ask(vault.PutPerson(number, SECRET))
        stays = customer_of(teller, DE)
        end(teller, customer)

        early = run_job(vaulted, later_us=1826 * DAY_US)["persons"]
        before = is_kept(vaulted, customer)
        ran = run_job(vaulted, later_us=1828 * DAY_US)["persons"]

        assert (early.done, early.due, early.kept, before) == (0, 0, 2, True)
        assert (ran.done, ran.due, ran.held, ran.kept, ran.result) == (1, 0, 0, 1, "done")
        assert not is_kept(vaulted, customer)
        assert is_kept(vaulted, stays)
        with psycopg.connect(vaulted.database.dsn.admin, autocommit=True) as admin:
            admin.execute("VACUUM FULL")
            admin.execute("CHECKPOINT")
            tables = admin.execute(
                "SELECT c.oid::regclass::text FROM pg_class AS c"
                " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
                " WHERE n.nspname = 'vault' AND c.relkind = 'r'"
            ).fetchall()
            rows = {
                table: str(admin.execute(f"SELECT t::text FROM {table} AS t").fetchall())
                for (table,) in tables
            }
        wanted = {**PERSONAL, **SECRET, "pan": CARD}
        for table, text in rows.items():
            for name, value in wanted.items():
                forms = (value, value.encode().hex())
                assert not any(form in text for form in forms), (table, name)
        assert str(number) in rows["vault.erasure"]
        (erased,) = vaulted.events("identity.person.erased.v1")
        assert (erased["customer"], erased["reason"]) == (customer, "retention:persons")
        told = [
            event
            for event in vaulted.events("governance.retention.run.v1")
            if event["rule"] == "persons"
        ]
        assert [event["done"] for event in told] == [0, 1]
        assert not finds([], {n: v.encode() for n, v in wanted.items()}, str(told).encode())

    def test_each_customer_is_under_the_law_of_their_country(self, vaulted, teller):
        """After five years and a day the German goes, the Swiss and one of no country stay."""
        german, swiss, nobody = (customer_of(teller, country) for country in (DE, CH, None))
        for customer in (german, swiss, nobody):
            end(teller, customer)

        first = run_job(vaulted, later_us=1828 * DAY_US)["persons"]
        kept = [is_kept(vaulted, customer) for customer in (german, swiss, nobody)]
        second = run_job(vaulted, later_us=LONG_US)["persons"]

        assert (first.done, kept) == (1, [False, True, True])
        assert (second.done, second.kept, second.due) == (2, 0, 0)

    def test_a_restored_vault_forgets_again_whom_the_job_erased(self, vaulted, teller):
        """The job erases through the vault, whose list outside the database has the person."""
        customer = customer_of(teller, DE)
        number = ids.parse(Prefix.CUSTOMER, customer)
        end(teller, customer)

        run_job(vaulted, later_us=LONG_US)

        listed = (vaulted.settings.home / "vault" / "erasures").rglob("erasures.jsonl")
        lines = "".join(path.read_text() for path in listed)
        assert f'"person":{number}' in lines

    def test_the_job_cut_off_between_vault_and_log_ends_what_it_began(self, vaulted, teller):
        """The vault has erased, nothing was told: the next run tells it, once."""
        customer = customer_of(teller, DE)
        end(teller, customer)
        with vaulted.asked() as client:
            number = ids.parse(Prefix.CUSTOMER, customer)
            client.ask(vault.ErasePerson(number, "bank:retention", "retention:persons"))
        assert vaulted.events("identity.person.erased.v1") == []

        first = run_job(vaulted, later_us=LONG_US)["persons"]
        again = run_job(vaulted, later_us=LONG_US)["persons"]

        assert (first.done, again.done) == (1, 0)
        assert len(vaulted.events("identity.person.erased.v1")) == 1

    def test_a_rule_waits_for_a_vault_that_is_away_and_the_others_go_on(self, vaulted, teller):
        """Its code stands in the run; nothing is counted that nobody has counted."""

        async def nobody(_request):
            raise vault.VaultUnavailable("away")

        until(lambda: vaulted.bank.notary.stands)
        job = job_of(vaulted.bank, vaulted.settings, nobody)
        ran = {one.rule: one for one in vaulted.run(job.run())}

        assert {ran[number].result for number in (1, 2, 3)} == {"vault_unavailable"}
        assert {ran[number].result for number in (4, 5, 6, 7)} == {"done"}
        report = teller.get("/v1/retention").json()["rules"]
        assert [rule["kept"] for rule in report if rule["name"] == "persons"] == [None]


class TestCustomer:
    def sign_up(self, vaulted, http, address):
        """A phone with a passkey, logged in by it."""
        phone = Phone(http)
        code_id = phone.post("/v1/sign-ups", {"email": address}).json()["code_id"]

        def sent():
            texts = [p.read_text() for p in (vaulted.settings.home / "mail").glob("*.eml")]
            return [t for t in texts if f"To: {address}" in t and "is your code" in t]

        # The run of the job has taken the mails of years before.
        (text,) = until(sent)
        code = re.search(r"\b\d{8}\b", text).group()
        opened = phone.activate(address, code_id, code)
        if opened.status_code == 201:
            assert phone.add_passkey().status_code == 201
        return phone, opened

    def test_sees_all_that_is_kept_and_once_forgotten_is_a_stranger(self, vaulted, teller):
        """The own document after a passkey; forgotten, no session and no passkey is good."""
        address = new_address()
        with httpx.Client(base_url=vaulted.url, timeout=20) as http:
            phone, _ = self.sign_up(vaulted, http, address)
            weak = phone.get("/v1/me/export")
            assert phone.log_in().status_code == 201
            own = phone.get("/v1/me/export")
            other = phone.get(f"/v1/customers/{phone.customer}/export?reason=own")
            end(teller, phone.customer)
            still = phone.get("/v1/me")
            path = f"/v1/customers/{phone.customer}/export"
            after_end = teller.get(path, reason="request:4711").json()
            ran = run_job(vaulted, later_us=LONG_US)["persons"]
            ended = phone.get("/v1/me")
            entered = phone.log_in()
            again, opened = self.sign_up(vaulted, http, address)

        document = own.json()
        assert (weak.status_code, weak.json()["code"]) == (403, "fresh_proof_needed")
        assert (own.status_code, document["fields"]) == (200, {"email": address})
        assert document["credentials"] == ["passkey"]
        assert {session["assurance"] for session in document["sessions"]} == {"mail", "passkey"}
        assert (other.status_code, other.json()["code"]) == (403, "scope_missing")
        assert still.status_code == 200
        assert after_end["relationship_ended_at"] is not None
        assert ran.done == 1
        assert (ended.status_code, entered.status_code) == (401, 401)
        assert opened.status_code == 201
        assert again.customer != phone.customer


class TestHome:
    def test_holds_nothing_that_no_rule_speaks_for(self, vaulted, teller):
        """Whatever lies in the bank's folder, somebody has said how long, and why."""
        vaulted.bank.keep_snapshot()
        until(lambda: vaulted.bank.snapshots.position and not vaulted.bank.snapshots.is_writing())
        there = {f"home/{path.name}" for path in vaulted.settings.home.iterdir()}

        without, _ = retention.uncovered(vaulted.bank.rooms.retention.rules, there)

        assert without == ()
        assert {"home/features", "home/vault"} <= there


class TestLegalHold:
    def test_nothing_is_forgotten_while_two_people_want_it_kept(self, vaulted, teller):
        """The job skips and counts them, nobody erases them, and lifted they are due again."""
        held, other = customer_of(teller, DE), customer_of(teller, DE)
        end(teller, held)
        end(teller, other)
        bureau = Bureau(vaulted)
        with contextlib.closing(bureau.http):
            anna, bela = bureau.founders()
            eva = bureau.hire(anna, "eva")
            bureau.grant(anna, bela, eva, "compliance")
            wanted = {"customer_id": held, "authority": "court:zh", "matter": "case:4711"}
            alone = eva.propose("place_legal_hold", **wanted)
            own = eva.approve(alone.json()["id"])
            placed = bela.approve(alone.json()["id"])
            twice = eva.propose("place_legal_hold", **wanted)
            strange = eva.propose(
                "place_legal_hold", **wanted | {"customer_id": f"cus_{1 << 60:016x}"}
            )
            over = eva.propose("place_legal_hold", **wanted | {"until": "2001-01-01T00:00:00Z"})

            ran = run_job(vaulted, later_us=LONG_US)["persons"]
            refused = teller.http.delete(
                f"/v1/customers/{held}/person", params={"reason": "request:1"}
            )
            report = eva.get("/v1/retention").json()
            still = is_kept(vaulted, held)
            (hold,) = report["legal_holds"]
            lifting = eva.propose("lift_legal_hold", legal_hold_id=hold["id"])
            lifted = bela.approve(lifting.json()["id"])
            again = eva.propose("lift_legal_hold", legal_hold_id=hold["id"])
            after = run_job(vaulted, later_us=LONG_US)["persons"]

        assert (alone.status_code, own.status_code, placed.status_code) == (201, 403, 200)
        codes = [answer.json()["code"] for answer in (twice, strange, over, again)]
        assert codes == ["change_invalid"] * 4
        assert (ran.done, ran.held, ran.due, still) == (1, 1, 0, True)
        assert (refused.status_code, refused.json()["code"]) == (409, "legal_hold_in_force")
        assert (hold["customer_id"], hold["is_in_force"]) == (held, True)
        persons = next(rule for rule in report["rules"] if rule["name"] == "persons")
        assert (persons["held"], persons["last_done"], persons["is_overdue"]) == (1, 1, False)
        assert (lifted.status_code, after.done, is_kept(vaulted, held)) == (200, 1, False)
        acts = vaulted.events("governance.act.recorded.v1")
        assert ("persons.erase", "legal_hold_in_force") in {
            (act["act"], act["result"]) for act in acts
        }
        (event,) = vaulted.events("governance.legal_hold.placed.v1")
        assert (event["customer"], event["matter"]) == (held, "case:4711")
        assert len(vaulted.events("governance.legal_hold.lifted.v1")) == 1


#: Opens a bank and runs the job as if eleven years had passed.
KILLED = """
import asyncio, dataclasses, sys
from pathlib import Path
from tests.interfaces.bank.conftest import RunningDatabase
from tests.journeys.test_retention import LONG_US
from scudo.bootstrap import now_us, open_bank, trust_in_vault
from scudo.fabric.postgres import Dsn
from scudo.fabric.settings import Settings
from scudo.interfaces.guarding import guarded
from scudo.interfaces.retaining import job_of

settings = Settings(home=Path(sys.argv[1]))
running = RunningDatabase(Dsn(*sys.argv[2:]))

async def main(guard):
    async with (
        trust_in_vault(guard.address) as trust,
        open_bank(running, home=settings.home, description="killed", trust=trust) as bank,
    ):
        while not bank.notary.stands:
            await asyncio.sleep(0.01)
        await job_of(bank, settings, trust.vault.ask, now=lambda: now_us() + LONG_US).run()

with guarded(settings, server=running) as guard:
    asyncio.run(main(guard))
"""
LEFT = 120


class TestKill:
    @pytest.mark.timeout(180)
    def test_a_job_that_is_killed_in_the_middle_is_ended_by_the_next(self, database, home):
        """SIGKILL while it erases: nobody is forgotten twice, nobody is left, the log tells all."""
        settings = Settings(home=home)
        with serving(database, settings) as bank:
            teller = bank.teller(bank.token)
            with contextlib.closing(teller.http):
                left = [customer_of(teller, DE) for _ in range(LEFT)]
                for customer in left:
                    end(teller, customer)
                stays = customer_of(teller, DE)

        def erased():
            with psycopg.connect(database.dsn.admin) as admin:
                return admin.execute("SELECT count(*) FROM vault.erasure").fetchone()[0]

        dsn = [str(part) for part in dataclasses.astuple(database.dsn)]
        killed = subprocess.Popen([sys.executable, "-c", KILLED, str(home), *dsn])
        try:
            until(lambda: erased() >= LEFT // 10 or killed.poll() is not None, seconds=60)
        finally:
            killed.kill()
            killed.wait()
        done = erased()
        assert 0 < done < LEFT, "it was killed in the middle"

        with serving(database, settings) as bank:
            first = run_job(bank, later_us=LONG_US)["persons"]
            again = run_job(bank, later_us=LONG_US)["persons"]
            events = bank.events("identity.person.erased.v1")
            kept = [is_kept(bank, customer) for customer in left]

            assert first.done >= LEFT - done
            assert (first.due, first.kept, again.done) == (0, 1, 0)
            assert sorted(event["customer"] for event in events) == sorted(left)
            assert not any(kept)
            assert is_kept(bank, stays)
