"""A desk at a bank that another process serves: the same commands, over HTTP.

Order is what counts: a decision depends on every one before it. Requests on several
connections overtake each other, so one is sent when the one before it was answered.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final, Self

import msgspec

from scudo.client import AsyncClient, BankUnreachable, ClientRefusal, types
from scudo.decisions import Channel, Outcome
from scudo.fabric import Answer, BankUnavailable, Command, Head, refused
from scudo.identity import CustomerKind, RegisterCustomer
from scudo.kernel import Prefix, currency_by_numeric, ids
from scudo.ledger import Mandate, OpenAccount, PostJournal, Product, TransferKind
from scudo.payments import AuthoriseCard

_CREATED: Final = 201
_NOT_FOUND: Final = 404
_EVENTS: Final = 500
_DECIDED: Final = "decisions.decision.made.v1"
_encode: Final = msgspec.json.Encoder().encode
_Waiting = tuple[Command, str, int, "asyncio.Future[Answer]"]


class RemoteDesk:
    """One client's place at a bank behind HTTP.

    Use it as a context manager: a task sends what is handed in, one after the other.
    """

    look_up: Final = 2
    pages_under_way: Final = 0

    def __init__(self, client: AsyncClient) -> None:
        """Use a client whose token may drive the log's clock."""
        self._client = client
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._worker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to send."""
        self._worker = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        """End, whatever still waits."""
        if self._worker is not None:
            self._worker.cancel()

    def head(self) -> Head | None:
        """Where the log stands is not told over HTTP; the server refuses what does not fit."""
        return None

    async def tokens(self, named: Sequence[tuple[str, str]]) -> Sequence[int]:
        """Numbers to stand for values until the bank makes its own tokens of them."""
        return [int(value.rpartition(":")[2]) + 1 for _, value in named]

    def send(self, command: Command, *, key: str, at: int) -> asyncio.Future[Answer]:
        """Hand in a command, to be sent when all before it were answered."""
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting.put_nowait((command, key, at, answer))
        return answer

    async def _work(self) -> None:
        while True:
            command, key, at, answer = await self._waiting.get()
            try:
                body = await self._ask(command, key=key, at=at)
                answer.set_result(Answer(_CREATED, _encode(body)))
            except ClientRefusal as refusal:
                problem = {"code": refusal.code, "detail": refusal.detail}
                answer.set_result(Answer(refusal.status, _encode(problem)))
            except BankUnreachable as lost:
                answer.set_result(refused(BankUnavailable(f"the server does not answer: {lost}")))

    async def _ask(self, command: Command, *, key: str, at: int) -> msgspec.Struct:
        match command:
            case AuthoriseCard():
                return await self._client.authorise_card(
                    _authorisation(command), idempotency_key=key, ordered_at=at
                )
            case RegisterCustomer():
                customer = types.NewCustomer(
                    reference=command.reference,
                    kind="person" if command.kind is CustomerKind.PERSON else "business",
                    country=command.country,
                )
                return await self._client.register_customer(
                    customer, idempotency_key=key, ordered_at=at
                )
            case OpenAccount():
                account = types.NewAccount(
                    customer_id=ids.show(Prefix.CUSTOMER, command.owner),
                    currency=currency_by_numeric(command.currency).code,
                    product="current" if command.product is Product.CURRENT else "merchant",
                )
                return await self._client.open_account(account, idempotency_key=key, ordered_at=at)
            case PostJournal():
                return await self._client.post_journal(
                    _journal(command), idempotency_key=key, ordered_at=at
                )
            case _:
                message = f"a file holds no {type(command).__name__}"
                raise AssertionError(message)

    async def are_answered(self, keys: Sequence[str]) -> list[bool]:
        """Tell for each key whether it has an answer."""
        return [await self._answer(key) is not None for key in keys]

    async def answers(self, keys: Sequence[str]) -> list[Answer]:
        """What was answered under these keys, all of which have an answer."""
        found = [await self._answer(key) for key in keys]
        return [answer for answer in found if answer is not None]

    async def _answer(self, key: str) -> Answer | None:
        try:
            found = await self._client.get_answer(idempotency_key=key)
        except ClientRefusal as refusal:
            if refusal.status == _NOT_FOUND:
                return None
            raise
        return Answer(found.status, _encode(found.body))

    async def decided(
        self, *, first: int, last: int
    ) -> AsyncIterator[tuple[int, Outcome, int | None]]:
        """Read decisions in order from the log's events, which do not say how long they took."""
        if first > last:
            return
        async for event in self._client.iterate_events(after=first - 1, limit=_EVENTS):
            if event.position > last:
                return
            if event.type == _DECIDED:
                yield event.position, Outcome(event.data["outcome"]), None


def _authorisation(command: AuthoriseCard) -> types.NewAuthorisation:
    return types.NewAuthorisation(
        account_id=ids.show(Prefix.ACCOUNT, command.account),
        amount_minor=command.amount,
        currency=currency_by_numeric(command.currency).code,
        card=None if command.card is None else ids.show(Prefix.CARD, command.card),
        merchant=None if command.merchant is None else ids.show(Prefix.MERCHANT, command.merchant),
        merchant_account_id=ids.show(Prefix.ACCOUNT, command.merchant_account),
        channel="card_present" if command.channel is Channel.CARD_PRESENT else None,
        capture=command.capture,
    )


def _journal(command: PostJournal) -> types.NewJournal:
    assert command.mandate is Mandate.FUNDING, "a file is funded, nothing else"
    return types.NewJournal(
        mandate="funding",
        reference=command.reference,
        movements=tuple(
            types.NewMovement(
                kind="post",
                amount_minor=movement.amount,
                currency=currency_by_numeric(movement.currency).code,
                credit_account_id=ids.show(Prefix.ACCOUNT, movement.credit),
            )
            for movement in command.movements
            if movement.kind is TransferKind.POST
        ),
    )
