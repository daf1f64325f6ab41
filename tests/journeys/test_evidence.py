"""A bank that lives keeps its evidence by itself, and sees when it is forged beside it."""

import asyncio

import psycopg
from tests.history.banks import opened

from scudo.auditing import CHAINED, verify_bank
from scudo.bootstrap import CATALOGUE
from scudo.governance import EvidenceAudit, prove_entry
from scudo.identity import CustomerKind, RegisterCustomer
from scudo.proofcheck import check


async def register(bank, name):
    answer = await bank.submit(RegisterCustomer(name, CustomerKind.PERSON, 380), client=1, key=name)
    assert answer.status == 201


async def until(is_so):
    while not is_so():
        await asyncio.sleep(0.05)


class TestBank:
    def test_signs_by_itself_and_at_last_all(self, database, tmp_path):
        """What was committed a moment before the end can be proven after it."""

        async def live(first, last):
            async with opened(database.dsn, tmp_path) as (bank, _):
                for number in range(first, last):
                    await register(bank, f"c{number}")
                await until(lambda: bank.notary.exported)

        asyncio.run(live(0, 3))
        asyncio.run(live(3, 5))

        (witness,) = (tmp_path / "witness").iterdir()
        evidence = EvidenceAudit(tmp_path / "witness")
        with psycopg.connect(database.dsn.read, autocommit=True) as connection:
            for position in range(1, 6):
                proof = prove_entry(connection, position, tables=CHAINED)
                assert check(proof, witness=witness)
            verdict = verify_bank(connection, catalogue=CATALOGUE, gentle=False, evidence=evidence)
        assert verdict.ok, verdict.first_bad
        assert evidence.heads == evidence.witnessed

    def test_raises_the_alarm_while_it_goes_on(self, database, tmp_path):
        """The log is forged beside it: it works on, and signs no more."""

        async def live():
            async with opened(database.dsn, tmp_path) as (bank, _):
                await register(bank, "before")
                await until(lambda: bank.notary.exported)
                signed = bank.notary.signed
                database.connection.execute("UPDATE fabric.log_batch SET hash = sha256(hash)")
                await register(bank, "after")
                await until(lambda: bank.notary.alarm)
                await register(bank, "later")
                return signed

        signed = asyncio.run(live())

        count = database.connection.execute(
            "SELECT count(*) FROM governance.signed_head"
        ).fetchone()[0]
        assert count == signed
