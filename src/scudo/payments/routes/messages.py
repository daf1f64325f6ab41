"""HTTP operations on the messages that came with payments; the vault keeps them."""

from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from scudo.fabric import idempotency_digest, web
from scudo.identity import persons
from scudo.kernel import Prefix, ids
from scudo.ledger import errors as ledger_errors
from scudo.ledger import queries as ledger
from scudo.payments.errors import PaymentNotFound
from scudo.payments.queries import StoredPayment, find_payment
from scudo.payments.routes.wire import PAYMENT_PATH, TAG, PaymentIdText, payment_of
from scudo.vault import NewText, ReadText, TextKept, VaultUnavailable, errors

#: What a payer reads their own messages for, as purpose and as reason.
_OWN: Final = "payment_text"
_HEADER: Final = b"scudo-message"


class KeepText(Protocol):
    """Has the vault keep a text, and make the tokens that go into the same command."""

    async def __call__(
        self, text: NewText, named: tuple[tuple[str, str], ...], /
    ) -> tuple[TextKept, list[int]]:
        """Give what may be known of the text, and tokens of values, each named with its kind.

        Raises:
            VaultUnavailable: the vault does not answer.
            VaultQuota: more is asked of the vault than it allows.
        """


async def keep_nothing(
    text: NewText, named: tuple[tuple[str, str], ...]
) -> tuple[TextKept, list[int]]:
    """Keep no text: what a bank without a vault does.

    Raises:
        VaultUnavailable: always.
    """
    del text, named
    message = "this bank runs without a vault, which would keep the message"
    raise VaultUnavailable(message, field="message")


class MessageRead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the message is read for, and why."""

    purpose: persons.PurposeName
    reason: persons.Reason


class PaymentMessage(msgspec.Struct, frozen=True):
    """What the payer wrote; of a card number the last four digits."""

    payment_id: PaymentIdText
    message: str


async def text_of(call: web.Call, reads: web.Reads, *, debit: int) -> NewText:
    """The message of an order, under its payer.

    Raises:
        AccountNotFound: there is no such account, or it is nobody's who may pay.
    """
    async with reads() as connection:
        account = await ledger.find_account(connection, debit, owner=call.client.customer)
    if account is None or not account.owner:
        message = "there is no such account"
        raise ledger_errors.AccountNotFound(message, field="debit_account_id")
    assert call.key is not None, "an order has a key"
    request = idempotency_digest(call.client.sender, call.key).hex()
    return NewText(account.owner, request, call.body.message)


def with_fate(reply: web.Reply, kept: TextKept) -> web.Reply:
    """An answer that also says whether the vault keeps the message."""
    fate = b"kept" if kept.is_kept else b"not-kept"
    return msgspec.structs.replace(reply, headers=(*reply.headers, (_HEADER, fate)))


async def seen_payment(call: web.Call, reads: web.Reads) -> StoredPayment:
    """The payment that a call names.

    Raises:
        PaymentNotFound: there is none, or not one that the caller may see.
    """
    owner = call.client.customer
    async with reads() as connection:
        payment = await find_payment(connection, payment_of(call))
        if payment is not None and owner is not None:
            own = await ledger.find_account(connection, payment.debit_account, owner=owner)
            payment = payment if own is not None else None
    if payment is None:
        message = "there is no such payment"
        raise PaymentNotFound(message, field="payment_id")
    return payment


@dataclass(frozen=True, slots=True)
class _Desk:
    reads: web.Reads
    recorded: persons.RecordedReads

    async def get_own(self, call: web.Call) -> web.Reply:
        if call.client.customer is None:
            # Whoever acts for the bank has written none; it is read for a purpose, if at all.
            raise _no_message()
        return await self._read(call, _OWN, _OWN)

    async def read(self, call: web.Call) -> web.Reply:
        return await self._read(call, call.body.purpose, call.body.reason)

    async def _read(self, call: web.Call, purpose: str, reason: str) -> web.Reply:
        payment = await seen_payment(call, self.reads)
        if payment.text is None:
            raise _no_message()
        async with self.reads() as connection:
            account = await ledger.find_account(connection, payment.debit_account, owner=None)
        assert account is not None, "an account that paid is there"
        thing = ids.show(Prefix.PAYMENT, payment.id)
        why = persons.why_of(call, purpose, reason, correlation=payment.id)
        request = ReadText(account.owner, payment.text, why)
        found = await self.recorded.read(request, call, thing=thing)
        return web.Reply(200, PaymentMessage(thing, found.text))


def _no_message() -> errors.TextNotFound:
    return errors.TextNotFound("no message of yours came with this payment", field="payment_id")


def message_operations(
    *, reads: web.Reads, recorded: persons.RecordedReads
) -> tuple[web.Operation, ...]:
    """List the operations on messages of payments."""
    desk = _Desk(reads, recorded)
    of_one: dict[str, Any] = {
        "tag": TAG,
        "answers": {200: PaymentMessage},
        "path_types": PAYMENT_PATH,
        "refusals": (
            ids.IdMalformed,
            PaymentNotFound,
            errors.TextNotFound,
            *persons.VAULT_REFUSALS,
            *web.SUBMIT_REFUSALS,
        ),
    }
    return (
        web.Operation(
            method="GET",
            path="/v1/payments/{payment_id}/message",
            name="get_payment_message",
            summary="Show a payer the message that they sent with a payment, which is recorded",
            scope="payments:read",
            handler=desk.get_own,
            **of_one,
        ),
        web.Operation(
            method="POST",
            path="/v1/payments/{payment_id}/message/read",
            name="read_payment_message",
            summary="Read the message of a payment for a purpose, which is recorded",
            scope="persons:read",
            handler=desk.read,
            body=MessageRead,
            example=MessageRead("investigation", "case:4711"),
            **of_one,
        ),
    )
