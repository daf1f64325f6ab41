"""A typed client of a bank, generated from its OpenAPI document.

    from scudo.client import Client, types

    with Client("http://127.0.0.1:8420", token=token) as bank:
        paid = bank.pay(types.NewPayment(...))

Every order carries an idempotency key (yours, or one that is made), kept over retries.
A refusal is raised as `ClientRefusal`.
"""

from scudo.client import types
from scudo.client.awaited import AsyncClient
from scudo.client.blocking import Client
from scudo.client.errors import BankUnreachable, ClientRefusal
from scudo.client.transport import Retry

__all__ = [
    "AsyncClient",
    "BankUnreachable",
    "Client",
    "ClientRefusal",
    "Retry",
    "types",
]
