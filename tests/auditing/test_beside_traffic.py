"""The auditor works beside live traffic, and up to a head that moves."""

import asyncio
import contextlib

import psycopg
from tests.auditing.conftest import LentServer, Teller, live, pay

from scudo.auditing import verify_bank
from scudo.bootstrap import open_bank
from scudo.bootstrap.rooms import CATALOGUE
from scudo.fabric import Limits


def audit(dsn, heads):
    with psycopg.connect(dsn.read, autocommit=True) as reader:
        return verify_bank(
            reader, catalogue=CATALOGUE, progress=lambda _, head: heads.append(head), gentle=False
        )


def test_books_are_found_whole_while_payments_are_made(database, policy, tmp_path):
    """Every audit of a log that grows is right about the part that it saw."""
    heads: list[int] = []

    async def run():
        limits = Limits(batch=8, queue=1_000)
        async with open_bank(
            LentServer(database.dsn),
            home=tmp_path,
            description="test",
            limits=limits,
            policy=policy,
        ) as bank:
            teller = Teller(bank)
            await live(teller)
            payer, payee = sorted(bank.rooms.book.accounts)[:2]

            async def traffic():
                while True:
                    await teller.send(pay(payer, payee, 3))

            paying = asyncio.create_task(traffic())
            verdicts = [await asyncio.to_thread(audit, database.dsn, heads) for _ in range(3)]
            paying.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await paying
            return verdicts

    verdicts = asyncio.run(run())

    assert [verdict.first_bad for verdict in verdicts] == [None] * 3
    lengths = [verdict.chain_length for verdict in verdicts]
    assert lengths == sorted(set(lengths))
    assert heads == sorted(heads)


def test_an_empty_bank_is_whole(database):
    """A log without a batch has nothing wrong with it."""
    verdict = audit(database.dsn, [])

    assert verdict.ok
    assert (verdict.accounts, verdict.transfers, verdict.chain_length) == (0, 0, 0)
