"""Persons who were customers: who of them is due, and how they are forgotten.

The vault erases first, so that its list outside knows them; then the log is told, which also
takes back how they proved who they are. Cut off in between, the next run does both again.
"""

import abc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from scudo import vault
from scudo.fabric import Answer, BankUnavailable, Command, page_records
from scudo.governance import retention
from scudo.identity.persons.commands import RecordPersonErased
from scudo.identity.persons.reading import AskVault
from scudo.identity.relationships import Relationship, Relationships

_ACTOR: Final = "bank:retention"
_REASON: Final = "retention:persons"
_OK: Final = 200
#: Erasing is a few statements and a line that goes to the disk each: fewer of them at once.
_ERASED_AT_ONCE: Final = 20


class PersonKeeping:
    """Persons in the vault, as rules for retention see them."""

    def __init__(
        self,
        connect: retention.Connect,
        relationships: Relationships,
        *,
        ask: AskVault,
        tell: Callable[[Command], Awaitable[Answer]],
    ) -> None:
        """Forget persons of relationships that are over.

        Args:
            connect: a new connection of the application's role.
            relationships: which of them are over.
            ask: asks the vault.
            tell: has facts in the log.
        """
        self._connect = connect
        self._relationships = relationships
        self._ask = ask
        self._tell = tell

    async def forget(self, asked: retention.Asked) -> AsyncIterator[int]:
        """Erase who is due and not held; some at a time.

        Raises:
            VaultRefusal: the vault refused, or does not answer.
            BankUnavailable: somebody was erased, and the log could not be told yet.
        """
        done = 0
        async for customer, over in self._over():
            if over.forgotten_at or not _is_due(over, asked) or customer in asked.held():
                continue
            erased = await self._ask(vault.ErasePerson(customer, _ACTOR, _REASON))
            answer = await self._tell(RecordPersonErased(customer, erased.at, _REASON))
            if answer.status != _OK:
                message = "a person was erased, and it could not be recorded yet"
                raise BankUnavailable(message)
            done += 1
            if done == _ERASED_AT_ONCE:
                yield done
                done = 0
        yield done

    async def count(self, asked: retention.Asked) -> retention.Count:
        """Count who is kept, and since when the first of them is no customer any more."""
        oldest = due = held = 0
        async for customer, over in self._over():
            if over.forgotten_at:
                continue
            oldest = min(oldest or over.ended_at, over.ended_at)
            if _is_due(over, asked):
                is_held = customer in asked.held()
                due, held = due + (not is_held), held + is_held
        kept = await self._ask(vault.CountKept(0, 0, ()))
        return retention.Count(kept.persons, oldest, due, held)

    async def _over(self) -> AsyncIterator[tuple[int, Relationship]]:
        """Every relationship that is over, as it is stored, by customer."""
        after, is_more = 0, True
        async with await self._connect() as connection:
            while is_more:
                page = await page_records(
                    connection, self._relationships.register, after=after, limit=retention.AT_ONCE
                )
                for customer, _, over in page:
                    after = customer
                    yield customer, over
                is_more = len(page) == retention.AT_ONCE


def _is_due(over: Relationship, asked: retention.Asked) -> bool:
    return over.ended_at < asked.cuts[asked.law_of(over.country)]


class _VaultKeeping(abc.ABC):
    """What the vault forgets by itself, a batch at a time, when it is told until when."""

    #: Asks for a batch to be forgotten.
    forgets: type[vault.ForgetReads | vault.ForgetCards]

    def __init__(self, ask: AskVault) -> None:
        """Ask a vault."""
        self._ask = ask

    async def forget(self, asked: retention.Asked) -> AsyncIterator[int]:
        """Delete what is due.

        Raises:
            VaultRefusal: the vault refused, or does not answer.
        """
        while True:
            held = tuple(sorted(asked.held()))
            gone = await self._ask(self.forgets(asked.cuts[retention.ALL], held, retention.AT_ONCE))
            yield gone.count
            if gone.count < retention.AT_ONCE:
                return

    async def count(self, asked: retention.Asked) -> retention.Count:
        """Count what is kept."""
        cut, held = asked.cuts[retention.ALL], tuple(sorted(asked.held()))
        kept = self.counted(await self._ask(vault.CountKept(cut, cut, held)))
        return retention.Count(kept.kept, kept.oldest_at, kept.due, kept.held)

    @staticmethod
    @abc.abstractmethod
    def counted(kept: vault.Kept) -> vault.Tally:
        """Which of the vault's counts is meant."""


class ReadKeeping(_VaultKeeping):
    """The vault's record of reads."""

    forgets = vault.ForgetReads

    @staticmethod
    def counted(kept: vault.Kept) -> vault.Tally:
        """The count of reads."""
        return kept.reads


class CardKeeping(_VaultKeeping):
    """Card numbers in the vault."""

    forgets = vault.ForgetCards

    @staticmethod
    def counted(kept: vault.Kept) -> vault.Tally:
        """The count of cards."""
        return kept.cards
