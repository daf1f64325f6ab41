"""Secrets of customers that the vault keeps, and of which the log says which one holds.

A secret is with the vault before the log names it, beside the one that holds until then, so that
whatever becomes of the command in between, the one that the log names is there. One customer's
are exchanged one after the other, and the writer takes commands in their order: when the answer
to one is known, all that were sent before are decided too, and what does not hold is dropped.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final
from weakref import WeakValueDictionary

import structlog

from scudo.fabric import web
from scudo.identity.customers.logic import number_of
from scudo.identity.customers.model import Account
from scudo.identity.customers.persons import PASSWORD_HASH, Persons
from scudo.kernel import Refusal

_log: Final = structlog.get_logger("scudo.identity")
#: Of secrets whose command was lost with its process no more are kept beside the one that holds.
_UNDECIDED_MAX: Final = 4
_UNKNOWN: Final = 500

#: Finds a customer's account as the log has it.
FindAccount = Callable[[int], Awaitable[Account]]
#: Sends the command that names the new secret's digest; gives what the customer is answered.
Change = Callable[[int], Awaitable[web.Reply]]


class KeptSecrets:
    """Password hashes and seeds, exchanged so that none is lost and none is mistaken."""

    def __init__(self, persons: Persons, account: FindAccount) -> None:
        """Keep them by a port; `account` says which hold."""
        self._persons = persons
        self._account = account
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def read(self, customer: int, account: Account, field: str) -> str:
        """The secret that holds; empty: none. As much work where there is nobody."""
        return _holding(account, field, await self._persons.read(customer, field))

    async def exchange(self, customer: int, field: str, secret: str, change: Change) -> web.Reply:
        """Have a new secret kept, and then have the log say that it holds.

        Args:
            customer: whose.
            field: `PASSWORD_HASH` or `TOTP_SEED`.
            secret: without spaces.
            change: if it raises a refusal, it has sent nothing.

        Raises:
            Refusal: what `change` raises.
        """
        lock = self._locks.setdefault(customer, asyncio.Lock())
        async with lock:
            await self._offer(customer, field, secret)
            try:
                reply = await change(number_of(secret.encode()))
            except Refusal:
                await self._settle(customer, field)
                raise
            if reply.status < _UNKNOWN:
                await self._settle(customer, field)
            return reply

    async def _offer(self, customer: int, field: str, secret: str) -> None:
        kept = await self._persons.read(customer, field) or ""
        held = _holding(await self._account(customer), field, kept)
        undecided = [one for one in kept.split() if one != held][:_UNDECIDED_MAX]
        both = [secret, *undecided, held]
        await self._persons.keep(customer, {field: " ".join(both).rstrip()})

    async def _settle(self, customer: int, field: str) -> None:
        """Drop what does not hold; it does no harm if that fails, and is done the next time."""
        try:
            kept = await self._persons.read(customer, field)
            held = _holding(await self._account(customer), field, kept)
            if held and held != kept:
                await self._persons.keep(customer, {field: held})
        except Refusal as refusal:
            _log.warning("secrets_not_settled", field=field, code=refusal.code)


def _holding(account: Account, field: str, kept: str | None) -> str:
    """Of the secrets that the vault has, the one that the account names; empty: none."""
    found = (kept or "").split()
    digest = account.password_digest if field == PASSWORD_HASH else account.totp_digest
    if field != PASSWORD_HASH and account.has_totp and not digest:
        # Confirmed before accounts named their seed: it was alone then, and came first.
        return found[-1] if found else ""
    return next((one for one in found if digest and number_of(one.encode()) == digest), "")
